# The commands that show runs (compare, runs, targets, plot), on small runs.

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

"$SELFSAME" train a.yaml --runs runs --name again --threads 1 > /dev/null 2>&1
expect 0 "a run and another machine's" compare runs/a-seed1 runs/again
prints "^identical: every step, every epoch and the final weights agree, from two independent records"
prints "^engine.description .* 1\( thread\)\{0,1\}$" # the last word may be on a line of its own
expect 0 "a run with itself" compare runs/a-seed1 runs/a-seed1
prints "^same-document: "
expect 0 "by names in the runs folder, a shorter one" compare a-seed1 short --runs runs
prints "a-seed1 goes on to 3 epochs"
expect 1 "another seed" compare a-seed1 other --runs runs
prints "^other-experiment: "
prints "^training.seed  *1  *2$"
prints "first difference: epoch 1, step 1 (from 1)"
cp -r runs/a-seed1 runs/changed
python3 - <<'PY'
lines = open("runs/changed/ledger.txt").read().split("\n")
lines[31] = lines[31][:-1] + ("0" if lines[31][-1] != "0" else "1")
open("runs/changed/ledger.txt", "w").write("\n".join(lines))
PY
expect 2 "a changed ledger is noticed" compare a-seed1 changed --runs runs
says "runs/changed: metrics.jsonl and ledger.txt contradict each other: the chain of epoch 1"
prints "^malformed: "
expect 2 "  among others" compare a-seed1 changed again other --runs runs
prints "^malformed: 2 of 4 runs are independent and identical"
prints "^runs/again  *identical "
prints "^runs/other  *other-experiment "
expect 2 "  and first" compare changed a-seed1 again --runs runs
prints "^runs/again  *identical "
rm -r runs/changed

# The ladder: several runs, copies among them, keys in their order, tolerances.
expect 0 "three runs" compare a-seed1 again short --runs runs
prints "^incomplete: 2 of 3 runs"
cp -r runs/again runs/copy
expect 0 "a copy of a run that is not the first" compare a-seed1 again copy --runs runs
prints "^same-document: 2 of 3 runs"
prints "^  runs/again and runs/copy$"
rm -r runs/copy
sed 's/^model:/dataset: {padding: {pixels: 2}}\nmodel:/; s/epochs: 3,/epochs: 3, batch_size: 32,/' a.yaml > keys.yaml
"$SELFSAME" train keys.yaml --runs runs --name keys --epochs 1 > /dev/null 2>&1
expect 1 "other keys" compare a-seed1 keys --runs runs
sed -n '/^What differs/,/^$/p' stdout | awk 'NR > 2 && NF { print $1 }' > keys
printf '%s\n' dataset.padding.pixels training.batch_size > wanted
same wanted keys "  the data's first, and no default that neither changes"
expect 1 "a tolerance that is missed" compare a-seed1 other --runs runs --tolerance validation_loss=abs:0.000001
prints "^other-experiment: validation_loss differs by "
expect 0 "  and one that is met" compare a-seed1 other --runs runs --tolerance validation_error=abs:100 --tolerance validation_loss=abs:9
prints "^within-tolerance: "
expect 2 "  of no metric" compare a-seed1 other --runs runs --tolerance validation_eror=abs:1
says "did you mean 'validation_error'"
expect 0 "everything" compare a-seed1 again --runs runs --all
prints "^training_seconds "
prints "^time.started "
expect 0 "as csv" compare a-seed1 again --runs runs --format csv
prints "^runs/again,identical,3,75,,"
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
# narrow "what": the last output fits a terminal of 80 columns.
narrow() { if awk 'length > 80 { exit 1 }' stdout; then pass "  $1 fits 80 columns"; else fail "  $1 is wider than 80 columns"; fi; }
mkdir long
cp -r runs/a-seed1 long/msra-resnet110-exact-2-seed1
cp -r runs/short long/msra-resnet110-exact-2-seed2
expect 0 "runs of long names" runs --runs long
narrow runs
prints "^msra-resnet110-exact-2-seed2  *finished 1 of 3 "
expect 1 "targets of long names" targets --runs long msra-resnet110-exact-2-seed1 msra-resnet110-exact-2-seed2
narrow targets
prints "unfinished: 1 of"
run table --runs long msra-resnet110-exact-2-seed1 msra-resnet110-exact-2-seed2
narrow table
run status --runs long msra-resnet110-exact-2-seed1
narrow status
expect 0 "no runs folder: an empty list" runs --runs none

expect 1 "targets: one met, one missed" targets a-seed1 --runs runs
prints "met .*a test"
prints "missed"
expect 1 "targets of an unfinished run" targets short --runs runs
prints "unfinished: 1 of 3$"
expect 0 "targets as json" targets published/quick/quick-resnet20-seed1 --format json
if python3 -m json.tool < stdout > /dev/null; then pass "  is json"; else fail "  is not json"; fi

mkdir nothing
ln -s "$(command -v env)" nothing/env
PATH=$PWD/nothing "$SELFSAME" plot a-seed1 --runs runs --out drawn > stdout 2> stderr
if [ $? -eq 3 ]; then pass "without gnuplot: exit 3"; else fail "without gnuplot: another exit"; fi
says "apt-get install gnuplot-nox"
expect 2 "an unknown format" plot a-seed1 --runs runs --format gif
says "'gif' is not png"
: > file
expect 3 "a figures folder below a file" plot a-seed1 --runs runs --out file/figures
says "file/figures: file is a file"
expect 2 "a figures' name with a slash" plot a-seed1 --runs runs --out drawn --name a/b
says "not a name for files"
cat > odd.yaml <<YAML
inherit: a.yaml
name: odd
curve: {file: ../experiments/cifar10.yaml, column: resnet20, source: a test}
YAML
"$SELFSAME" train odd.yaml --runs runs --epochs 1 > /dev/null 2>&1
expect 2 "a curve outside the plots folder" plot odd-seed1 --runs runs --out drawn
says "does not name a file in the plots folder"
if command -v gnuplot > /dev/null; then
    expect 0 "figures of a run" plot a-seed1 --runs runs --out drawn
    for file in full.png full.svg full.pdf full.tsv zoom.png zoom.svg zoom.pdf zoom.tsv; do
        if [ -s "drawn/a-seed1-$file" ]; then pass "  a-seed1-$file"; else fail "  no a-seed1-$file"; fi
    done
    if [ "$(ls -A drawn | wc -l)" -eq 8 ]; then pass "  and nothing else"; else fail "  and other files"; fi
    # A gnuplot without cairo: imitated by one that does not know cairo's terminals.
    mkdir nocairo
    cat > nocairo/gnuplot <<SH
#!/bin/sh
for script; do :; done
sed -i "s/GPVAL_TERMINALS/'dumb svg unknown'/; s/^set terminal [a-z]*cairo/set terminal none/" "\$script"
exec "$(command -v gnuplot)" "\$@"
SH
    chmod +x nocairo/gnuplot
    path=$PATH
    PATH=$PWD/nocairo:$PATH
    expect 0 "figures with a gnuplot without cairo" plot a-seed1 --runs runs --out poor
    says "left out: .*no terminal pngcairo: it was built without cairo"
    says "left out: .*no terminal pdfcairo"
    if [ "$(ls poor/*.svg | tr '\n' ' ')" = "poor/a-seed1-full.svg poor/a-seed1-zoom.svg " ]; then pass "  the SVG files are there"; else fail "  there: $(ls poor)"; fi
    expect 3 "  a PNG file, which was asked for" plot a-seed1 --runs runs --out poor --format png
    says "apt-get install gnuplot-nox"
    expect 0 "  with what the message says" plot a-seed1 --runs runs --out poor --format svg
    PATH=$path
    cp drawn/a-seed1-full.svg before.svg
    expect 0 "of another, and of both" plot short --runs runs --out drawn --format svg
    expect 0 "of both" plot a-seed1 short --runs runs --out drawn --format svg
    same before.svg drawn/a-seed1-full.svg "no run's figure replaces another's"

    # svg_has FILE TEXT: gnuplot writes each text as an element of its own.
    svg_has() { if grep -q -F -- ">$2<" "drawn/$1"; then pass "  $1 says: $2"; else fail "  $1 does not say: $2"; fi; }
    last=$(python3 -c 'import json; print("%.2f" % json.loads(open("runs/a-seed1/metrics.jsonl").readlines()[-1])["validation_error"])')
    first=$(python3 -c 'import json; print("%.2f" % json.loads(open("runs/a-seed1/metrics.jsonl").readline())["validation_error"])')
    svg_has a-seed1-full.svg "ResNet-8 on the embedded data set: validation error"
    svg_has a-seed1-full.svg "validation error (% of the test images)"
    svg_has a-seed1-full.svg "training done (epochs)"
    svg_has a-seed1-full.svg "a-seed1: $last %"
    svg_has a-seed1-full.svg "training error, in the colour of its run"
    svg_has a-seed1-full.svg "learning rate 0.1"
    svg_has a-seed1-full.svg "0.01"
    svg_has a-seed1-full.svg "50.00"
    svg_has a-seed1+short-full.svg "short: $first %, epoch 1 of 3"
    svg_has short-zoom.svg "short: $first %, epoch 1 of 3"

    # The learning rates above the frame are those of all runs, or none are there.
    svg_has a-seed1+short-full.svg "learning rate 0.1"
    sed 's/name: a/name: slower/; s/schedule: {/schedule: {learning_rate: 0.05, warmup: {epochs: 1, learning_rate: 0.02}, /' a.yaml > slower.yaml
    "$SELFSAME" train slower.yaml --runs runs > /dev/null 2>&1
    expect 0 "with a warm-up" plot slower-seed1 --runs runs --out drawn --format svg
    for rate in 0.02 0.05 0.005; do
        if grep -q "> *\(learning rate \)\{0,1\}$rate<" drawn/slower-seed1-full.svg; then pass "  the rate $rate"; else fail "  no rate $rate"; fi
    done
    expect 0 "of runs whose rates differ" plot a-seed1 slower-seed1 --runs runs --out drawn --format svg --name differ
    if grep -q "learning rate" drawn/differ-*.svg; then fail "  rates that are not all the runs'"; else pass "  no rate is named"; fi

    # With a published curve: one legend entry, however many runs name it, and the plot goes on to the training's end.
    mkdir scripts
    cp "$TOP"/plots/*.gp scripts
    printf '# a test\nepoch\tother\tmine\n0\t1\tnan\n1\t1\t60.5\n2\t1\t40\n' > scripts/curve.tsv
    sed 's/name: a/name: curved/' a.yaml > curved.yaml
    echo 'curve: {file: curve.tsv, column: mine, source: published by a test}' >> curved.yaml
    "$SELFSAME" train curved.yaml --runs runs --seed 1 --epochs 2 > /dev/null 2>&1
    "$SELFSAME" train curved.yaml --runs runs --seed 2 --epochs 1 > /dev/null 2>&1
    SELFSAME_PLOTS=$PWD/scripts
    expect 0 "with a published curve" plot curved-seed1 curved-seed2 --runs runs --out drawn --format svg --name curved
    svg_has curved-full.svg "published by a test, mine"
    if [ "$(grep -c -F '>published by a test, mine<' drawn/curved-full.svg)" -eq 1 ]; then pass "  once"; else fail "  not once"; fi
    printf '0\t1\t2\n' >> scripts/curve.tsv
    expect 2 "a published curve that is damaged" plot curved-seed1 --runs runs --out drawn
    says "curve.tsv:6: expected the line of epoch 3"
fi
