# bench: what it prints, and two builds in turn.

expect 0 "a table" bench --depth 8 --batch 4 --steps 5
prints "ResNet-8, batch 4, exact-1, engine cpu"
prints "^step  .* lower quartile, .* median, .* upper quartile of 5"
prints "^used of it  .* upper quartile, .* median, .* lower quartile"
expect 0 "exact-2" bench --depth 8 --batch 4 --steps 1 --arithmetic exact-2
prints "ResNet-8, batch 4, exact-2, engine cpu"
expect 0 "as JSON" bench --depth 8 --batch 4 --steps 3 --format json
prints '"lower_quartile": '
prints '"disturbed": \(true\|false\)'

# The same program gives the same bits, and other arithmetic other ones; the opponent's own options come first.
expect 0 "against itself" bench --depth 8 --batch 4 --steps 3 --threads 1 --against "$SELFSAME"
prints "^this to the other  .* lower quartiles"
prints "^bits  .* equal after every step"
expect 0 "against exact-2" bench --depth 8 --batch 4 --steps 2 --arithmetic exact-1 --against "$SELFSAME --arithmetic exact-2"
prints "^bits  .* differ from step 1 on"
expect 2 "against nothing" bench --depth 8 --batch 4 --steps 1 --against ./nothing
says "cannot run ./nothing: No such file"
expect 2 "against a program that takes no turns" bench --depth 8 --batch 4 --steps 1 --against true
says "true takes no steps in turn"
printf 'step\nstep\n' | "$SELFSAME" bench --depth 8 --batch 2 --in-turn > turns
if [ "$(head -n 1 turns)" = ready ] && [ "$(wc -l < turns)" -eq 3 ]; then pass "two lines, two steps"; else fail "two lines gave: $(cat turns)"; fi
