# compare, runs, targets and plot on small runs.

cat > a.yaml <<YAML
inherit: quick/resnet20.yaml
name: a
model: {depth: 8}
training: {epochs: 3, schedule: {drop_epochs: [2]}}
targets: [{metric: final_error, value: 50, tolerance: 50, source: a test}, {metric: best_error, value: 0, tolerance: 0.01, source: a test}]
YAML
sed 's/name: a/name: b/; s/epochs: 3,/epochs: 4,/' a.yaml > b.yaml
"$SELFSAME" train a.yaml --runs runs > /dev/null 2>&1
"$SELFSAME" train a.yaml --runs runs --name short --epochs 1 --threads 3 > /dev/null 2>&1
"$SELFSAME" train a.yaml --runs runs --name other --seed 2 > /dev/null 2>&1

expect 0 "a run with itself" compare runs/a-seed1 runs/a-seed1
prints ": identical"
expect 0 "by names in the runs folder, a shorter one" compare a-seed1 short --runs runs
prints "a-seed1 goes on to 3 epochs"
expect 1 "another seed" compare a-seed1 other --runs runs
prints "^    seed 1 and 2$"
prints "first difference: epoch 1, step 1 (from 1)"
cp -r runs/a-seed1 runs/changed
python3 - <<'PY'
lines = open("runs/changed/ledger.txt").read().split("\n")
lines[31] = lines[31][:-1] + ("0" if lines[31][-1] != "0" else "1")
open("runs/changed/ledger.txt", "w").write("\n".join(lines))
PY
expect 2 "a changed ledger is noticed" compare a-seed1 changed --runs runs
says "runs/changed: metrics.jsonl and ledger.txt contradict each other: the chain of epoch 1"
rm -r runs/changed
expect 0 "json" compare a-seed1 short --runs runs --format json
if python3 -m json.tool < stdout > /dev/null; then pass "  is json"; else fail "  is not json"; fi
expect 2 "a run that is not there" compare a-seed1 nowhere --runs runs
says "nowhere"

expect 0 "runs" runs --runs runs
prints "^a-seed1 .* finished  "
prints "^short .* finished 1 of 3 "
for format in json csv; do expect 0 "runs as $format" runs --runs runs --format $format; cp stdout runs.$format; done
if python3 -m json.tool < runs.json > /dev/null; then pass "  json is json"; else fail "  json is not"; fi
if python3 -c 'import csv; rows = list(csv.DictReader(open("runs.csv"))); assert any(r["run"] == "other" and r["seed"] == "2" for r in rows)'; then
    pass "  csv is csv"
else
    fail "  csv is not"
fi
echo '{' > runs/other/record.json
expect 0 "a damaged record is left out" runs --runs runs
says "left out: .*other"
expect 0 "no runs folder: an empty list" runs --runs none

expect 1 "targets: one met, one missed" targets a-seed1 --runs runs
prints "met .*a test"
prints "missed"
expect 1 "targets of an unfinished run" targets short --runs runs
prints "unfinished: finished 1 of 3 epochs"
expect 0 "targets as json" targets published/quick/quick-resnet20-seed1 --format json
if python3 -m json.tool < stdout > /dev/null; then pass "  is json"; else fail "  is not json"; fi

mkdir nothing
ln -s "$(command -v env)" nothing/env
PATH=$PWD/nothing "$SELFSAME" plot a-seed1 --runs runs --out drawn > stdout 2> stderr
if [ $? -eq 3 ]; then pass "without gnuplot: exit 3"; else fail "without gnuplot: another exit"; fi
says "apt-get install gnuplot-nox"
expect 2 "an unknown format" plot a-seed1 --runs runs --format gif
says "'gif' is none of"
: > file
expect 3 "a figures folder below a file" plot a-seed1 --runs runs --out file/figures
says "file/figures: file is a file"
if command -v gnuplot > /dev/null; then
    expect 0 "figures" plot a-seed1 short --runs runs --out drawn
    for file in full.png full.svg full.pdf zoom.png zoom.svg zoom.pdf; do
        if [ -s "drawn/error-$file" ]; then pass "  error-$file"; else fail "  no error-$file"; fi
    done
    if grep -q "a-seed1" drawn/error-full.svg; then pass "  the run is named"; else fail "  the run is not named"; fi
    if [ "$(ls -A drawn | wc -l)" -eq 6 ]; then pass "  and nothing else"; else fail "  and other files"; fi
fi
