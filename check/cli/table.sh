# table, its tools and pages, and the scripts around the reproduction.

cat > a.yaml <<YAML
inherit: quick/resnet20.yaml
name: a
model: {depth: 8}
training: {epochs: 2, schedule: {drop_epochs: [1]}}
targets: [{metric: final_error, value: 50, tolerance: 50, source: a test}]
YAML
sed 's/name: a/name: b/; s/value: 50, tolerance: 50/value: 1, tolerance: 0.5/; s/depth: 8/depth: 14/' a.yaml > b.yaml
"$SELFSAME" train a.yaml b.yaml --runs runs > /dev/null 2>&1
"$SELFSAME" train a.yaml --runs runs --seed 2 --epochs 1 > /dev/null 2>&1

# what ROW COLUMN: a value of the table in JSON.
what() { python3 -c 'import json, sys; print(json.load(open("stdout"))[int(sys.argv[1])][sys.argv[2]])' "$1" "$2"; }
# is ROW COLUMN VALUE
is() { if [ "$(what "$1" "$2")" = "$3" ]; then pass "  $2 of row $1: $3"; else fail "  $2 of row $1: $(what "$1" "$2"), expected $3"; fi; }
last() { python3 -c 'import json, sys; print(json.loads(open(sys.argv[1] + "/metrics.jsonl").readlines()[-1])[sys.argv[2]])' "$1" "$2"; }

expect 0 "table as JSON, by depth and seed" table b-seed1 a-seed2 a-seed1 --runs runs --format json
is 0 run a-seed1; is 1 run a-seed2; is 2 run b-seed1
is 0 depth 8; is 2 depth 14; is 1 seed 2
is 0 verdict met; is 1 verdict "unfinished: 1 of 2"; is 2 verdict missed
is 0 error "$(last runs/a-seed1 validation_error)"
is 2 weights "$(last runs/b-seed1 weights_sha256)"
is 0 error_2016 None; is 0 near_curve None
expect 0 "as text" table a-seed1 b-seed1 --runs runs
prints '^depth  error %  2016 %  paper %  verdict'
prints '^Seed 1, arithmetic exact-1.$'
prints '^Times are medians of one session on '
if awk 'length > 80 { bad = 1 } END { exit bad }' stdout; then pass "  in 80 columns"; else fail "  not in 80 columns"; fi
"$SELFSAME" train a.yaml --runs runs --seed 3 --epochs 1 > /dev/null 2>&1
"$SELFSAME" train a.yaml --runs runs --seed 3 --resume > /dev/null 2>&1
expect 0 "a run of two sessions may have used two machines" table a-seed3 --runs runs
prints '^Times are medians of several sessions, the last on '
"$SELFSAME" train a.yaml --runs runs --seed 4 --isa scalar --epochs 1 > /dev/null 2>&1
expect 0 "runs that different machines timed" table a-seed1 a-seed2 a-seed4 --runs runs
prints '^Times of a-seed1, a-seed2 are medians of one session on '
prints '^Times of a-seed4 are medians of one session on scalar'
expect 0 "seeds that differ are a column" table a-seed1 a-seed2 --runs runs
prints '^depth  seed'
expect 0 "as Markdown" table a-seed1 --runs runs --format markdown
prints '^| depth | our error, last epoch (%) |'
prints '^|---:|---:|'
expect 0 "as CSV" table a-seed1 --runs runs --format csv
prints '^run,depth,arithmetic,seed,epochs,of,error,'
expect 2 "an unknown format" table a-seed1 --runs runs --format table
expect 2 "no run" table

# Published results are those of the experiments folder, whatever the current folder holds.
published=$TOP/results/published/msra-resnet20-seed1
expect 0 "a published run" table "$published" --format json
cp stdout wanted.json
mkdir msra
printf 'inherit: quick/resnet20.yaml\nname: mine\ntargets: [{metric: final_error, value: 1.25, tolerance: 1, source: "mine, here"}]\n' > msra/resnet20.yaml
expect 0 "  next to a file that is called msra/resnet20.yaml" table "$published" --format json
same wanted.json stdout "  is the same"
expect 0 "  and in a table of seeds" table "$published" --group seed --format json
is 0 error_2016 8.29
if command -v gnuplot > /dev/null; then
    expect 0 "  and in a figure" plot "$published" --kind depth --out drawn --format svg
    if grep -q "mine" drawn/*.tsv; then fail "  has the file's value"; else pass "  without the file's value"; fi
fi
expect 0 "experiments" experiments msra/resnet20
if grep -q mine stdout; then fail "  lists the file's"; else pass "  lists its own"; fi
rm -r msra
mkdir -p broken/msra
echo 'name: [' > broken/msra/resnet20.yaml
SELFSAME_EXPERIMENTS=$PWD/broken
expect 2 "one that cannot be read there" table "$published"
says "broken/msra/resnet20.yaml:"
SELFSAME_EXPERIMENTS=$TOP/experiments

# How near a run is to a published curve.
sed 's/name: a/name: c/; s/epochs: 2/epochs: 14/; s/drop_epochs: \[1\]/drop_epochs: [7]/' a.yaml > c.yaml
echo 'curve: {file: curve.tsv, column: mine, source: a test}' >> c.yaml
"$SELFSAME" train c.yaml --runs runs > /dev/null 2>&1
mkdir scripts
cp "$TOP"/plots/*.gp scripts
SELFSAME_PLOTS=$PWD/scripts
# curve SHIFT: the run's own curve, shifted from the drop on.
curve() {
    python3 - "$1" > scripts/curve.tsv << 'PY'
import json, sys
print("epoch\tmine")
for e, line in enumerate(open("runs/c-seed1/metrics.jsonl")):
    error = json.loads(line)["validation_error"]
    print("%d\t%.2f" % (e, min(max(error + (float(sys.argv[1]) if e >= 7 else 0), 0), 100)))
PY
}
curve 0
expect 0 "a run against its own curve" table c-seed1 --runs runs --format json
is 0 near_curve "100 %"
run targets c-seed1 --runs runs
prints 'near curve %  *100.00  *90.00'
curve 30
expect 0 "and against another" table c-seed1 --runs runs --format json
if [ "$(what 0 near_curve | sed 's/ %.*//')" -lt 70 ]; then pass "  is not near it"; else fail "  is near it"; fi
expect 1 "which targets does not accept" targets c-seed1 --runs runs
prints 'near curve %.* missed'
unset SELFSAME_PLOTS
SELFSAME_PLOTS=$TOP/plots
export SELFSAME_PLOTS

# The pages show the table of the published records.
cd "$TOP" || exit
"$TOP/check/tools/published_table" "$SELFSAME" "$TOP" check > "$OLDPWD/stdout" 2> "$OLDPWD/stderr"
status=$?
cd "$OLDPWD" || exit
if [ $status -eq 0 ]; then pass "README.md and results/README.md show the table of the records"; else fail "a page shows another table"; fi
mkdir -p pages/results/published pages/experiments
printf 'a\n<!-- table -->\nold\n<!-- end of the table -->\nb\n' > pages/README.md
cp pages/README.md pages/results/README.md
cp -r runs/a-seed1 pages/results/published/msra-test
"$TOP/check/tools/published_table" "$SELFSAME" pages check > stdout 2> stderr
if [ $? -eq 1 ]; then pass "a page with an old table: exit 1"; else fail "a page with an old table: another exit"; fi
says "make publish-table"
"$TOP/check/tools/published_table" "$SELFSAME" pages write > stdout 2> stderr
"$TOP/check/tools/published_table" "$SELFSAME" pages check > stdout 2> stderr
if [ $? -eq 0 ]; then pass "what it says helps"; else fail "what it says does not help"; fi
if [ "$(head -n 2 pages/README.md | tail -n 1)$(tail -n 1 pages/README.md)" = "<!-- table -->b" ]; then pass "the rest of the page stays"; else fail "the page changed"; fi

# Weights of our own are evaluated by the manifest that the tool writes, to the image.
mkdir -p own/results/published own/experiments/pretrained own/experiments/a
cp "$TOP/experiments/cifar10.yaml" own/experiments/
cp -r "$TOP/experiments/quick" "$TOP/experiments/msra" own/experiments/
sed 's/^name: a$/name: quick-a/; s,inherit: quick/,inherit: ,' a.yaml > own/experiments/quick/a.yaml
"$SELFSAME" train own/experiments/quick/a.yaml --runs own/runs > /dev/null 2>&1
cp -r own/runs/quick-a-seed1 own/results/published/
"$TOP/check/tools/pretrained_manifest" "$SELFSAME" own/results/published/quick-a-seed1 > own/experiments/pretrained/own.yaml 2> stderr
if [ $? -eq 0 ]; then pass "its manifest is written"; else fail "its manifest is not written"; fi
"$TOP/check/tools/pretrained" "$SELFSAME" own/experiments > stdout 2> stderr
if [ $? -eq 0 ]; then pass "and check-pretrained agrees"; else fail "and check-pretrained does not agree"; fi
prints '^pretrained-quick-a-seed1 .*as published'
rm own/runs/quick-a-seed1/weights.safetensors
"$TOP/check/tools/pretrained_manifest" "$SELFSAME" own/runs/quick-a-seed1 > /dev/null 2> stderr
if [ $? -eq 2 ]; then pass "without weights: exit 2"; else fail "without weights: another exit"; fi

# make reproduce plans the runs, and refuses what it does not know.
plan() { "$TOP/check/tools/reproduce" "$SELFSAME" "$TOP" plan > stdout 2> stderr; status=$?; }
DEPTHS="20 110" SEEDS="1 3" ARITHMETIC=exact-2
export DEPTHS SEEDS ARITHMETIC
plan
printf 'msra-resnet20-exact-2-seed1\nmsra-resnet20-exact-2-seed3\nmsra-resnet110-exact-2-seed1\nmsra-resnet110-exact-2-seed3\n' > expected
same expected stdout "depths, seeds and arithmetic name the runs"
DEPTHS=21 plan
if [ $status -eq 2 ]; then pass "a depth without a manifest: exit 2"; else fail "a depth without a manifest: $status"; fi
says "experiments/msra/resnet21-exact-2.yaml"
SEEDS=one plan
if [ $status -eq 2 ]; then pass "a seed in words: exit 2"; else fail "a seed in words: $status"; fi
ARITHMETIC=fast plan
if [ $status -eq 2 ]; then pass "another arithmetic: exit 2"; else fail "another arithmetic: $status"; fi
unset DEPTHS SEEDS ARITHMETIC
plan
printf 'msra-resnet%s-exact-2-seed1\n' 20 32 56 110 > expected
same expected stdout "without any it is all depths in exact-2"
ENGINE=cuda plan
printf 'msra-resnet%s-seed1\n' 20 32 56 110 > expected
same expected stdout "  and on a GPU in exact-1, which it computes"
"$TOP/check/tools/reproduce" "$SELFSAME" "$TOP" table > stdout 2> stderr
if [ $? -eq 2 ]; then pass "no run is there: exit 2"; else fail "no run is there: another exit"; fi

# The whole of it, on data that stand in for CIFAR-10.
mkdir -p small/experiments/msra small/results/published small/work
cp -r "$TOP/experiments/quick" small/experiments/
cp "$TOP/experiments/cifar10.yaml" small/experiments/
cp "$TOP/experiments/msra/base.yaml" small/experiments/msra/
for depth in 8 14; do
    {
        sed "s/name: a/name: msra-resnet$depth-exact-2/; s/depth: 8/depth: $depth/; s#inherit: quick#inherit: ../quick#" a.yaml
        echo "arithmetic: exact-2"
    } > "small/experiments/msra/resnet$depth-exact-2.yaml"
done
sed 's/name: a/name: msra-resnet20/; s/depth: 8/depth: 20/; s#inherit: quick#inherit: ../quick#' a.yaml \
    > small/experiments/msra/resnet20.yaml # what it fetches: nothing
cd small/work || exit
reproduce() { DEPTHS="8 14" SEEDS="1 2" DATA=$PWD "$TOP/check/tools/reproduce" "$SELFSAME" "$PWD/.." all > ../../stdout 2> ../../stderr; status=$?; }
EPOCHS=1 reproduce
cd ../.. || exit
if command -v gnuplot > /dev/null; then wanted=0; else wanted=3; fi
if [ $status -eq $wanted ]; then pass "make reproduce EPOCHS=1: exit $wanted"; else fail "make reproduce EPOCHS=1: exit $status"; fi
prints "msra-resnet14-exact-2-seed2: no run of this name is published"
prints "unfinished: 1 of 2"
for seed in 1 2; do cp -r small/work/runs/msra-resnet8-exact-2-seed$seed small/results/published/; done
cd small/work || exit
reproduce
cd ../.. || exit
if [ $status -eq $wanted ]; then pass "it goes on to the end: exit $wanted"; else fail "it goes on to the end: exit $status"; fi
prints "msra-resnet8-exact-2-seed2 goes on to 2 epochs\|msra-resnet8-exact-2-seed1 goes on to 2 epochs"
prints "^ *14 .*met"
rm -r small/results/published/msra-resnet8-exact-2-seed1
cp -r small/work/runs/msra-resnet8-exact-2-seed2 small/results/published/msra-resnet8-exact-2-seed1
cd small/work || exit
reproduce
cd ../.. || exit
if [ $status -ne 0 ]; then pass "another published run: not 0"; else fail "another published run: exit 0"; fi
