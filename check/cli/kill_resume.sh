# Killed at random instants and resumed each time, a run ends with the bits and files of one that was never stopped; so
# does one that is stopped by SIGINT. `make check` kills it twice, `make check-ci` ten times.

KILLS=${KILLS:-2}
if [ "$KILLS" -gt 2 ]; then depth=14 epochs=10; else depth=8 epochs=4; fi

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: $depth}
training: {epochs: $epochs, batch_size: 32, schedule: {drop_epochs: [3]}}
targets: []
YAML
expect 0 "the uninterrupted run" train tiny.yaml --runs whole

kills=0 tries=0
while [ "$kills" -lt "$KILLS" ] && [ "$tries" -lt 60 ]; do
    tries=$((tries + 1))
    "$SELFSAME" train tiny.yaml --runs killed --resume > stdout 2> stderr &
    process=$!
    # Between 0.05 and 1.3 seconds: in the middle of steps, evaluations and writes.
    sleep "$(awk -v seed="$$$tries" 'BEGIN { srand(seed); printf "%.3f", 0.05 + 1.25 * rand() }')"
    kill -9 "$process" 2> /dev/null
    wait "$process" 2> /dev/null
    if [ $? -eq 137 ]; then kills=$((kills + 1)); fi # one that had ended before was not killed
done
if [ "$kills" -eq "$KILLS" ]; then pass "killed $kills times"; else fail "killed only $kills times in $tries tries: the run is too short"; fi
run train tiny.yaml --runs killed --resume
# Finished between the last kill and now, there is nothing left to resume.
if [ "$status" -eq 0 ] || grep -q "finished" stderr; then pass "resumed to its end"; else fail "not resumed: exit $status"; fi
same whole/tiny-seed1/ledger.txt killed/tiny-seed1/ledger.txt "  the same ledger"
same whole/tiny-seed1/weights.safetensors killed/tiny-seed1/weights.safetensors "  the same weights"
expect 0 "compare" compare whole/tiny-seed1 killed/tiny-seed1
prints identical
if [ -z "$(find killed -name '*.tmp*' -o -name '.*.??????')" ]; then pass "  nothing half-written is left"; else fail "  half-written files are left"; fi

"$SELFSAME" train tiny.yaml --runs stopped > stdout 2> stderr &
process=$!
grows "$process" stopped/tiny-seed1/ledger.txt 19
kill -INT "$process"
wait "$process"
if [ $? -eq 130 ]; then pass "SIGINT: exit 130"; else fail "SIGINT: another exit"; fi
says "to go on: .*selfsame train tiny.yaml --runs stopped --resume"
expect 2 "without --resume it is left alone" train tiny.yaml --runs stopped
says "--resume"
expect 0 "resumed on another instruction set and thread count" train tiny.yaml --runs stopped --resume --threads 3 --isa scalar --epochs 1
expect 0 "resumed to its end" train tiny.yaml --runs stopped --resume
same whole/tiny-seed1/ledger.txt stopped/tiny-seed1/ledger.txt "  the same ledger"
same whole/tiny-seed1/weights.safetensors stopped/tiny-seed1/weights.safetensors "  the same weights"
expect 0 "compare" compare whole/tiny-seed1 stopped/tiny-seed1
prints identical
