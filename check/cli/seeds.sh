# Several seeds: targets, compare --statistics, and what their numbers are made of.

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
dataset: {test_sha256: any, test_images: 50}
training: {steps: 3, batch_size: 16, schedule: {drop_epochs: []}, seeds: [1, 2, 3]}
targets: [{metric: final_error, value: 100, tolerance: 1, source: a test}]
YAML
sed 's/name: tiny/name: wide/; s/targets:.*/targets: [{metric: final_error, value: 50, tolerance: 50, n: 5, sd: 20, source: a test}]/' tiny.yaml > wide.yaml
expect 0 "three seeds" train tiny.yaml --runs runs
expect 0 "and three in the other arithmetic" train tiny.yaml --arithmetic exact-2 --runs runs
cp -r runs/tiny-seed1 again

# ---- targets ----

run targets runs/tiny-seed1 runs/tiny-seed2 runs/tiny-seed3 --format json
cp stdout seeds.json
if python3 - <<'PY'; then pass "mean, sd, interval and n of three seeds"; else fail "not the mean of three seeds"; fi
import json, statistics
errors = [json.loads(open("runs/tiny-seed%d/metrics.jsonl" % s).readlines()[-1])["validation_error"] for s in (1, 2, 3)]
(row,) = json.load(open("seeds.json"))
mean, sd = statistics.mean(errors), statistics.stdev(errors)
half = 4.302652729696142 * sd / 3 ** 0.5  # Student's t with 2 degrees of freedom exceeds it with 2.5 %
assert row["n"] == 3 and abs(row["measured"] - mean) < 0.006 and abs(row["sd"] - sd) < 0.0006, row
assert abs(row["low"] - (mean - half)) < 0.006 and abs(row["high"] - (mean + half)) < 0.006, row
assert row["verdict"] in ("within-spread", "missed", "met"), row
PY
run targets runs/tiny-seed1 runs/tiny-seed2 runs/tiny-seed3
prints "^tiny, 3 runs  *3  *final error %"
prints "the mean of 3 runs"
if awk 'length > 80 { exit 1 }' stdout; then pass "  in 80 columns"; else fail "  wider than 80 columns"; fi
run targets runs/tiny-seed1 again
says "1 run was left out: the weights have the same bits"
expect 0 "by another manifest's targets" targets runs/tiny-seed1 --by wide.yaml
prints "These are the targets of wide, not those of the runs' own manifests"
sed 's/depth: 8/depth: 20/; s/name: wide/name: deep/' wide.yaml > deep.yaml
expect 1 "  of another depth" targets runs/tiny-seed1 --by deep.yaml
prints "not-comparable: depth 8 by a"
expect 1 "  of other images" targets runs/tiny-seed1 --by quick/resnet20.yaml
prints "not-comparable: not the manifest's"
expect 2 "  that is not there" targets runs/tiny-seed1 --by nowhere.yaml

# ---- table ----

expect 0 "a table of groups" table runs/tiny-* --group seed
prints "^depth  arithmetic  runs  mean %  *sd"
prints "^    8  exact-2  *3 "
expect 0 "  as json" table runs/tiny-seed1 runs/tiny-seed2 runs/tiny-seed3 again --group seed --format json
says "1 of the runs of tiny left out: the same bits are here already"
if python3 - <<'PY'; then pass "  has the numbers of targets"; else fail "  has other numbers"; fi
import json
(row,), (target,) = json.load(open("stdout")), json.load(open("seeds.json"))
assert (row["runs"], row["mean"], row["sd"], row["low"]) == (3, target["measured"], target["sd"], target["low"]), row
assert row["verdict"] == target["verdict"] and row["error_2016"] is None, row
PY
expect 0 "a table of machines" table runs/tiny-* --group machine
prints "^depth .*s/epoch"
if [ "$(grep -c '^    8 ' stdout)" -eq 2 ]; then pass "  a line for each arithmetic"; else fail "  other lines"; fi

# ---- eval: classes, and two files on the same images ----

one=runs/tiny-seed1/weights.safetensors two=runs/tiny-seed2/weights.safetensors
expect 0 "classes" eval --weights $one --per-class
prints "^error: [0-9.]* % ([0-9]* of 50); [0-9.]* to [0-9.]* % with so many images$"
prints "^class  images  errors  error %"
prints "^label, and what it was taken for:"
"$SELFSAME" eval --weights $one --predictions one.tsv > /dev/null 2>&1
"$SELFSAME" eval --weights $two --predictions two.tsv > /dev/null 2>&1
expect 0 "two files" eval --weights $one --against $two
prints "^against $two:$"
prints "^McNemar's test: p = "
expect 0 "  as json" eval --weights $one --against $two --per-class --format json
if python3 - <<'PY'; then pass "  has what the predictions say"; else fail "  has something else"; fi
import json, math
read = lambda name: [tuple(map(int, l.split("\t"))) for l in open(name).read().splitlines()[1:]]
one, two, got = read("one.tsv"), read("two.tsv"), json.load(open("stdout"))
for predictions, said in ((one, got), (two, got["against"])):
    matrix = [[sum(l == a and p == b for _, l, p in predictions) for b in range(10)] for a in range(10)]
    assert said["confusion"] == matrix and said["errors"] == sum(l != p for _, l, p in predictions)
    assert [c["errors"] for c in said["classes"]] == [sum(r) - r[i] for i, r in enumerate(matrix)]
pairs = [(a[1] == a[2], b[1] == b[2]) for a, b in zip(one, two)]
b, c = pairs.count((True, False)), pairs.count((False, True))
test = got["mcnemar"]
assert (test["first_only"], test["second_only"]) == (b, c)
exact = min(1, 2 * sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)) if b != c else 1
assert abs(test["exact_p"] - exact) < 1e-9, (test, exact)
PY
sed 's/test_images: 50/test_images: 40/; s/name: tiny/name: fewer/' tiny.yaml > fewer.yaml
"$SELFSAME" train fewer.yaml --seed 4 --runs runs > /dev/null 2>&1
expect 2 "  on different images" eval --weights $one --against runs/fewer-seed4/weights.safetensors
says "evaluate them on different images, 50 of SHA-256 .* and 40 of "
expect 2 "  which are not two samples of one recipe either" compare --statistics runs/tiny-seed1 runs/tiny-seed2 vs runs/fewer-seed4
says "they were evaluated on different images"

# ---- compare --statistics ----

# The errors of so few steps differ by chance, and how is no matter: the verdict must be that of its own p.
expect_verdict() {
    if [ "$status" -eq 0 ]; then prints "^within-spread: "; else prints "^differs: .*only with p"; fi
}
run compare --statistics runs/tiny-seed1 runs/tiny-seed2 runs/tiny-seed3 runs/tiny-exact-2-seed1 runs/tiny-exact-2-seed2 runs/tiny-exact-2-seed3
expect_verdict
prints "^Welch's test: t = "
prints "^To see 0.3 points in 4 of 5 cases, each side needs [0-9]* runs.$"
run compare --statistics runs/tiny-seed1 runs/tiny-seed2 vs runs/tiny-seed3 --points 5
expect_verdict
prints "^Student's test: t = "
prints "^To see 5 points in 4 of 5 cases, each side needs [0-9]* runs.$"
run compare --statistics runs/tiny-seed1 runs/tiny-seed2 vs runs/tiny-seed3 --format json
if python3 -c 'import json; c = json.load(open("stdout")); assert [s["n"] for s in c["sides"]] == [2, 1] and 0 <= c["p"] <= 1 and (c["p"] < 0.05) == (c["verdict"] == "differs"), c'; then
    pass "  json has the sides and the test"
else
    fail "  json has not"
fi
expect 2 "one run on each side" compare --statistics runs/tiny-seed1 runs/tiny-seed2
says "one run on each side shows no spread"
"$SELFSAME" train tiny.yaml --seed 1 --name other --runs runs > /dev/null 2>&1
expect 2 "a run on both sides" compare --statistics runs/tiny-seed1 runs/tiny-seed2 vs runs/other
says "runs/tiny-seed1 and runs/other have the same bits, so they are no two samples; compare them without --statistics"
expect 0 "  which is so" compare runs/tiny-seed1 runs/other
prints "^identical: "
expect 0 "a copy" compare --statistics runs/tiny-seed1 runs/tiny-seed2 vs again
prints "^same-document: "
sed 's/batch_size: 16/batch_size: 8/; s/name: tiny/name: small/' tiny.yaml > small.yaml
"$SELFSAME" train small.yaml --runs runs > /dev/null 2>&1
expect 1 "another recipe" compare --statistics runs/tiny-seed? runs/small-seed?
prints "^other-experiment: "
prints "training.batch_size: 16 and 8"
expect 2 "three recipes" compare --statistics runs/tiny-seed? runs/small-seed? runs/tiny-exact-2-seed?
says "these runs have 3 recipes or arithmetics, and two sides are compared; put vs between the sides"
expect 2 "two recipes on a side" compare --statistics runs/tiny-seed1 runs/small-seed1 vs runs/tiny-exact-2-seed1
says "runs/tiny-seed1 and other runs before 'vs' have different recipes"
expect 2 "nothing after vs" compare --statistics runs/tiny-seed1 vs
says "there must be one 'vs'"
echo '{' > runs/other/record.json
expect 2 "a damaged record" compare --statistics runs/tiny-seed1 runs/tiny-seed2 vs runs/other
prints "^malformed: "
expect 2 "--statistics with --tolerance" compare --statistics runs/tiny-seed1 runs/tiny-seed2 --tolerance validation_error=abs:1
says "cannot be given together with --tolerance"
expect 2 "--points of no number" compare --statistics runs/tiny-seed1 runs/tiny-seed2 --points few
says "'few' is not a number above 0 and below 100"

# ---- seeds ----

expect 0 "how many seeds" seeds
prints "^13 runs on each side see a difference of 0.3 points in 80 of 100 cases"
expect 0 "  for a smaller spread" seeds --points 0.3 --sd 0.21 --power 0.8 --level 0.01
prints "^14 runs on each side"
expect 0 "  and the other way round" seeds --runs-per-side 13 --format json
if python3 -c 'import json; d = json.load(open("stdout"))["difference_seen"]; assert 0.285 < d <= 0.3, d'; then pass "  13 runs see 0.3 points"; else fail "  13 runs see something else"; fi
expect 2 "a power of more than 1" seeds --power 1.5
says "'1.5' is not a number above 0 and below 1"
expect 2 "a difference of nothing" seeds --points 0.000001
says "more than a million runs"
