# experiments and new: the manifests that there are, and one that the program writes.

# ---- experiments ----

expect 0 "experiments" experiments --runs none
prints "^msra/resnet20.yaml .*ResNet-20 of the 2016"
prints "^No time: no run of that arithmetic here"
if grep -q base.yaml stdout; then fail "a file to inherit from is listed"; else pass "  without the files to inherit from"; fi
if awk 'length > 80 { exit 1 }' stdout; then pass "  in 80 columns"; else fail "  wider than 80 columns"; fi
expect 2 "none of that name" experiments nothing/here
says "there is no such manifest in "

mkdir -p own/tiny
cat > own/tiny/base.yaml <<YAML
inherit: $TOP/experiments/quick/base.yaml
model: {depth: 8}
training: {epochs: 2, schedule: {drop_epochs: []}}
YAML
printf 'inherit: base.yaml\nname: tiny\ndescription: eight layers\ntraining: {seeds: [1, 2]}\ntargets: [{metric: final_error, value: 50, tolerance: 9, source: a test}]\n' > own/tiny/resnet8.yaml
printf 'inherit: base.yaml\nname: tiny14\nmodel: {depth: 14}\ntraining: {epochs: 4, seed: 1}\n' > own/tiny/resnet14.yaml
SELFSAME_EXPERIMENTS=$PWD/own
"$SELFSAME" train tiny/resnet8.yaml --seed 1 --runs runs > /dev/null 2>&1
"$SELFSAME" train tiny/resnet8.yaml --seed 2 --epochs 1 --runs runs > /dev/null 2>&1
expect 0 "one that was run" experiments --runs runs
prints "^tiny/resnet8.yaml .* 1 of 2  *eight layers: 50.00 % +- 9.00$"
prints "^tiny/resnet14.yaml  *~ "
prints "^~ is an estimate"
expect 0 "  as json" experiments --runs runs --format json
if python3 - <<'PY'; then pass "  measured, and estimated in proportion"; else fail "  something else"; fi
import json, statistics
rows = {r["manifest"]: r for r in json.load(open("stdout"))}
ran, other = rows["tiny/resnet8.yaml"], rows["tiny/resnet14.yaml"]
assert (ran["runs"], ran["finished"], ran["seconds_are"], ran["memory_is"]) == (2, 1, "measured", "measured"), ran
assert (other["runs"], other["seconds_are"], other["memory_is"]) == (0, "estimated", "estimated"), other
epochs = [json.loads(l) for l in open("runs/%s/metrics.jsonl" % other["seconds_from"])]
seconds = statistics.median(e["training_seconds"] + e["validation_seconds"] for e in epochs)
assert abs(other["seconds"] - 4 * seconds * 12 / 6) < 0.06, (other, seconds)  # 4 epochs; 12 layers for 6
PY

# ---- new ----

SELFSAME_EXPERIMENTS=$TOP/experiments
expect 0 "new, of a depth that was published" new mine.yaml --recipe msra --depth 20 --seeds 1,2,3
prints "^written: mine.yaml; selfsame train mine.yaml trains it$"
expect 0 "  is a manifest" manifest mine.yaml
prints "^name: mine$"
prints "seeds: \[1, 2, 3\]"
prints "value: 8.29"
"$SELFSAME" manifest mine.yaml --format json > mine.json
"$SELFSAME" manifest msra/resnet20.yaml --format json > msra.json
if python3 -c 'import json; a, b = (json.load(open(n))["experiments"][0] for n in ("mine.json", "msra.json")); assert a == b, (a, b)'; then
    pass "  and the same experiment as the recipe's"
else
    fail "  and another experiment than the recipe's"
fi
expect 2 "  it is not overwritten" new mine.yaml --recipe paper --depth 20
says "force"
expect 0 "  or it is" new mine.yaml --recipe paper --depth 110 --epochs 8 --force
expect 0 "  with another length" manifest mine.yaml
prints "drop_epochs: \[4, 6\]"
prints "warmup"
if grep -q "value:" stdout; then fail "  has targets of the full length"; else pass "  without the targets of the full length"; fi
expect 0 "of another depth" new dir.name.yaml --recipe quick --depth 14 --name tried --arithmetic exact-2
expect 0 "  is a manifest" manifest dir.name.yaml
prints "^name: tried$"
prints "^arithmetic: exact-2$"
expect 2 "no terminal, no answers" new other.yaml
says "needs --recipe and --depth, because there is no terminal to ask on"
expect 2 "  one of them" new other.yaml --recipe msra
says "needs --depth, because"
expect 2 "a depth that is none" new other.yaml --recipe msra --depth 21
says "model.depth"
expect 2 "an unknown recipe" new other.yaml --recipe mrsa --depth 20
says "there is no recipe 'mrsa'"
expect 2 "seeds that are none" new other.yaml --recipe msra --depth 20 --seeds one
says "the seeds 'one' are not numbers"
expect 2 "seeds twice" new other.yaml --recipe msra --depth 20 --seeds 1,1
says "given twice"
if [ -e other.yaml ]; then fail "a manifest that cannot be read was written"; else pass "nothing was written of all that"; fi
if command -v script > /dev/null && printf '\n32\n4, 5\n' | script -qec "'$SELFSAME' new asked.yaml" /dev/null > stdout 2> stderr; then
    prints "Which recipe"
    expect 0 "answers on a terminal" manifest asked.yaml
    prints "depth: 32"
    prints "seeds: \[4, 5\]"
else
    echo "skipped: questions on a terminal: no working script(1) here"
fi
