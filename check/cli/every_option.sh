# Every command with every option and every value that an option can have. `make check-ci` runs this with the sanitizers,
# where any finding fails a check. A new option fails it, too, until it has a line here.
needs python3

# try STATUS WORD...: the program with these words ends so, and no sanitizer says anything.
try() {
    wanted=$1
    shift
    printf ' %s \n' "$*" >> words
    run "$@"
    if grep -q 'runtime error:\|Sanitizer' stderr; then
        fail "$*: a sanitizer's finding"
    elif [ "$status" -eq "$wanted" ]; then
        pass "$*: exit $wanted"
    else
        fail "$*: exit $status, expected $wanted"
    fi
}
# What the arithmetic and the hardware of this machine do not have.
avx2=3 avx512=3
grep -q '^#define HAVE_X86_64 1' "$(dirname "$SELFSAME")/config.h" || avx2=2 avx512=2 # unknown to the build
if grep -q -w avx2 /proc/cpuinfo; then avx2=0; fi
if grep -q -w avx512bw /proc/cpuinfo; then avx512=0; fi
if [ -e /dev/nvidiactl ]; then
    echo "skipped: this machine has a GPU"
    exit 77
fi

# ---- what they work on -----------------------------------------------------------------------------------------------

# Few images, since some commands compute with plain loops.
cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
dataset: {training_images: 144, test_images: 24, train_sha256: e95904a9cab21c9133f410b213b10aa9508ec82f95f7cbbb0a52e36643303924, test_sha256: any}
model: {depth: 8}
training: {steps: 2, batch_size: 4, schedule: {drop_epochs: []}}
targets: [{metric: final_error, value: 90, tolerance: 100, source: nobody}]
YAML
printf 'inherit: tiny.yaml\nname: two\ntraining: {epochs: 2, batch_size: 72}\n' > two.yaml
printf 'inherit: tiny.yaml\nname: fast\narithmetic: fast\n' > fast.yaml
# Black images, which are read and refused: to evaluate ten thousand takes minutes with the sanitizers.
mkdir -p data
for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do truncate -s 30730000 data/$name.bin; done
cat > black.yaml <<YAML
inherit: akamaster/resnet20.yaml
name: black
model: {depth: 8}
YAML
python3 "$TOP/check/cli/mlflow_server.py" &
server=$!
trap 'kill "$server"' EXIT
for _ in $(seq 100); do [ -e port ] || sleep 0.1; done
url=http://127.0.0.1:$(cat port)/away

# ---- fetch, train, sweep ---------------------------------------------------------------------------------------------

try 0 train tiny.yaml --runs runs --mlflow "$url" --after "echo after"
weights=runs/tiny-seed1/weights.safetensors
printf 'inherit: tiny.yaml\nweights: {urls: ["file://%s"], sha256: %s}\n' "$PWD/none" "$(sha256sum $weights | cut -d ' ' -f 1)" > weights.yaml
try 3 fetch weights.yaml --store store --retry 1 --retry-delay 0 --speed-time 1 --cacert /etc/ssl/certs/ca-certificates.crt
sed -i "s|/none\"|/$weights\"|" weights.yaml
try 3 fetch weights.yaml --store store --offline
try 0 fetch weights.yaml --store store --only weights
try 0 fetch weights.yaml --store store --only data --format json
try 0 fetch --store store --list --format text
try 0 fetch --store store --verify
try 0 fetch --store store --prune
try 0 eval --manifest weights.yaml

for isa in scalar:0 avx2:$avx2 avx512:$avx512; do
    try "${isa#*:}" train tiny.yaml --runs runs --isa "${isa%:*}" --threads 2 --name "${isa%:*}"
    try "${isa#*:}" eval --weights $weights --isa "${isa%:*}" --threads 2
    try "${isa#*:}" bench tiny.yaml --isa "${isa%:*}" --threads 1 --steps 1 --batch 2 --depth 8
    try "${isa#*:}" trace runs/tiny-seed1 --step 2 --isa "${isa%:*}" --threads 2 --out "${isa%:*}.trace"
    try "${isa#*:}" verify runs/tiny-seed1 --epoch 1 --isa "${isa%:*}" --threads 1
    try "${isa#*:}" sweep tiny.yaml --seeds 1 --runs "sweep-${isa%:*}" --isa "${isa%:*}" --threads 2
done
for arithmetic in exact exact-1 exact-2; do
    try 0 train tiny.yaml --runs arithmetic --arithmetic $arithmetic --name $arithmetic
    try 0 eval --weights $weights --arithmetic $arithmetic
    try 0 bench tiny.yaml --arithmetic $arithmetic --steps 1 --batch 2
    try 0 sweep tiny.yaml --seeds 3 --arithmetic $arithmetic --runs sweep-$arithmetic
    try 0 new new.yaml --recipe paper --depth 20 --arithmetic $arithmetic --force
done
# No engine here computes these.
try 3 train tiny.yaml --runs fast --arithmetic fast
try 3 eval --weights $weights --manifest tiny.yaml --arithmetic fast
try 3 bench tiny.yaml --arithmetic fast
try 3 sweep tiny.yaml --arithmetic fast --runs fast
try 0 new new.yaml --recipe quick --depth 20 --arithmetic fast --force
for engine in cpu:0 cuda:3 cudnn:2; do
    try "${engine#*:}" train tiny.yaml --runs engines --engine "${engine%:*}"
    try "${engine#*:}" eval --weights $weights --engine "${engine%:*}"
    try "${engine#*:}" sweep tiny.yaml --runs sweep-engines --engine "${engine%:*}"
    try "${engine#*:}" trace runs/tiny-seed1 --step 1 --engine "${engine%:*}" --out engine.trace --force
    try "${engine#*:}" verify runs/tiny-seed1 --epoch 1 --engine "${engine%:*}"
done
for engine in cpu:0 cuda:3; do try "${engine#*:}" bench tiny.yaml --engine "${engine%:*}" --steps 1 --batch 2; done
try 3 bench fast.yaml --engine cudnn
try 0 train two.yaml --runs runs --epochs 1 --seed 1 --keep-checkpoints all
try 0 train two.yaml --runs runs --resume
try 0 train tiny.yaml two.yaml --runs together --together 2 --keep-checkpoints 1
try 0 train two.yaml --dry-run
try 0 train tiny.yaml --runs runs --name pinned --threads 2 --pin
try 0 sweep tiny.yaml --runs sweep-pinned --pin
try 0 bench tiny.yaml --threads 1,2 --pin --steps 1 --batch 2
try 0 train tiny.yaml --runs data-runs --data data --any-test-data
for precision in fp32 tf32 bf16; do try 3 bench fast.yaml --precision $precision; done
try 0 sweep two.yaml --seeds 2 --epochs 1 --keep-checkpoints all --runs runs --jobs 2
try 0 sweep tiny.yaml two.yaml --seeds 1-2 --dry-run
try 0 sweep tiny.yaml --seeds 1-2 --runs runs --task 2
try 0 sweep tiny.yaml --seeds 2 --runs data-runs --data data --any-test-data
for format in table json csv; do try 0 sweep tiny.yaml --seeds 1-2 --runs runs --summary --format $format; done
try 0 sweep tiny.yaml --slurm --dry-run --template "$TOP/experiments/sweep.sbatch"
try 0 bench tiny.yaml --dry-run --format table
try 0 bench tiny.yaml --steps 1 --batch 2 --format json
cp stdout bench.json
try 0 bench tiny.yaml --steps 1 --batch 2 --against "$SELFSAME --threads 1"
try 0 bench tiny.yaml --in-turn --batch 2

# ---- ranks, and the imitated card ------------------------------------------------------------------------------------

program=$SELFSAME folder=$(dirname "$SELFSAME")
printf 'inherit: tiny.yaml\nname: eight\ntraining: {batch_size: 8}\n' > eight.yaml
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
for start in "openmpi mpirun.openmpi --oversubscribe" "mpich mpirun.mpich"; do
    kind=${start%% *} launcher=${start#* }
    if [ ! -f "$folder/ranks/selfsame-mpi-$kind.so" ] || ! command -v "${launcher%% *}" > /dev/null; then
        echo "skipped: ranks of $kind, which is not here"
        continue
    fi
    # An MPI library keeps memory until the process ends.
    printf '#!/bin/sh\nASAN_OPTIONS=detect_leaks=0 exec %s -n 2 "%s" "$@"\n' "$launcher" "$program" > "ranks-of-$kind"
    chmod +x "ranks-of-$kind"
    SELFSAME=$PWD/ranks-of-$kind
    try 0 train eight.yaml --runs "$kind" --threads 1
    try 0 train two.yaml --runs "$kind" --threads 1 --epochs 1 --keep-checkpoints all
    try 0 train two.yaml --runs "$kind" --threads 1 --resume
    try 2 train tiny.yaml --runs "$kind" --threads 1
    try 0 train two.yaml --dry-run
    try 0 bench eight.yaml --threads 1 --steps 1
    try 0 bench eight.yaml --threads 1 --steps 1 --format json
    try 2 bench eight.yaml --threads 1,2 --steps 1
    SELFSAME=$program
    try 0 compare "$kind/two-seed1" runs/two-seed1
    try 0 check "$kind/eight-seed1"
done

if [ -x "$folder/check/selfsame_on_host" ]; then
    SELFSAME=$folder/check/selfsame_on_host
    try 0 train two.yaml tiny.yaml --runs card --engine cuda --together 2
    try 0 compare card/two-seed1 runs/two-seed1
    try 0 trace card/tiny-seed1 --step 2 --engine cuda --out card.trace
    try 0 compare card.trace scalar.trace
    try 0 verify card/two-seed1 --epoch 2 --engine cuda
    try 0 eval --weights $weights --engine cuda
    try 0 bench tiny.yaml --engine cuda --steps 1 --batch 2
    try 0 sweep tiny.yaml --runs sweep-card --seeds 2 --engine cuda
    try 1 compare card/tiny-seed1 sweep-card/tiny-seed2 --trace --engine cuda
    try 0 doctor
    SELFSAME=$program
else
    echo "skipped: the imitated card, which make check-programs builds"
fi

# ---- weights ---------------------------------------------------------------------------------------------------------

try 0 eval --weights $weights --manifest tiny.yaml --per-class --predictions predictions --force --format json
try 0 eval --weights $weights --against runs/two-seed1/weights.safetensors --format text
try 2 train black.yaml --runs runs --data data
try 0 eval --weights $weights --manifest tiny.yaml --data data --any-test-data
for format in table json; do try 0 inspect $weights --format $format --rename conv1=first; done
try 0 convert $weights weights.pth --round
try 0 convert weights.pth weights.safetensors
try 0 convert weights.pth weights.safetensors --force --rename conv1=conv1
for command in "eval --weights" inspect; do
    # shellcheck disable=SC2086 # a command and its option
    try 2 $command weights.pth --key nowhere
done
try 2 convert weights.pth other.safetensors --key nowhere

# ---- runs: lists, verdicts, figures ----------------------------------------------------------------------------------

try 0 tag tiny-seed1 good better --runs runs
try 0 tag tiny-seed1 better --remove --runs runs
try 0 note tiny-seed1 "a note" --runs runs
for format in table json csv; do
    try 0 runs --runs runs --format $format --where 'depth = 8 and error < 100' --sort error:desc,run --columns all
    try 0 runs --runs runs --format $format --group seed
    try 0 targets tiny-seed1 --runs runs --format $format
    try 0 experiments --runs runs --format $format
done
try 0 targets two-seed1 --runs runs --by tiny.yaml
try 0 check tiny-seed1 two-seed1 --runs runs
for format in text json csv; do try 0 status --runs runs --format $format; done
try 0 status --runs runs --follow
for format in text table csv json; do try 0 compare tiny-seed1 scalar --runs runs --format $format --all; done
# Two experiments: nothing is traced, whatever would compute it.
for isa in scalar avx2 avx512; do try 1 compare tiny-seed1 tiny-seed2 --runs runs --trace --threads 1 --isa $isa; done
for engine in cpu cuda cudnn; do try 1 compare tiny-seed1 tiny-seed2 --runs runs --trace --engine $engine; done
try 1 compare tiny-seed1 tiny-seed2 --runs runs --trace --data data
try 0 compare tiny-seed1 tiny-seed2 --runs runs --tolerance validation_error=abs:1
try 0 compare runs/tiny-seed1 runs/tiny-seed2 vs arithmetic/exact-2 --statistics --points 1
for format in text markdown json csv; do try 0 table tiny-seed1 two-seed1 --runs runs --format $format; done
for group in seed machine; do try 0 table tiny-seed1 tiny-seed2 two-seed1 --runs runs --group $group; done
for format in text json; do
    try 0 seeds --points 0.5 --sd 0.2 --power 0.9 --level 0.01 --format $format
    try 0 seeds --runs-per-side 5 --format $format
done
if command -v gnuplot > /dev/null; then
    for kind in error full rate loss seeds depth time machines; do
        try 0 plot tiny-seed1 tiny-seed2 two-seed1 --runs runs --kind $kind --name all --format svg --theme dark
    done
    try 0 plot "$PWD/runs/two-seed1" --kind zoom --theme light --format png,svg,pdf
    try 0 plot bench.json --kind peak --format png
    try 0 plot tiny-seed1 --runs runs --out figures --format pdf --follow
    try 0 report tiny-seed1 two-seed1 --runs runs --out report.html
else
    echo "skipped: no gnuplot here"
fi
try 0 report tiny-seed1 --runs runs --out report.html --no-figures --force

# ---- exchange, signatures --------------------------------------------------------------------------------------------

try 0 export tiny-seed1 two-seed1 --runs runs --format tensorboard --out tensorboard
try 0 export tiny-seed1 --runs runs --format mlflow --to "$url" --experiment one --steps --no-files --cacert /etc/ssl/certs/ca-certificates.crt
try 0 export tiny-seed1 --runs runs --format model-card --out card.md --license MIT --author me
try 0 export tiny-seed1 --runs runs --format model-card --out card.md --force
try 0 export tiny-seed1 two-seed1 --runs runs --format ro-crate --out crate --license MIT --author me
try 0 export tiny-seed1 two-seed1 --runs runs --format mllog --out mllog
try 0 export published/msra-resnet20-seed1 --format croissant --out croissant.json
try 0 export tiny-seed1 two-seed1 --runs runs --format csv --out tables
try 0 export tiny-seed1 two-seed1 --runs runs --format trackio --out trackio
printf 'epoch,e\n1,90\n1,0.9\n' > table.csv
printf 'step,val_accuracy\n2,0.9\n' > steps.csv
try 0 import table.csv --manifest tiny.yaml --runs imported --name a --seed 2 --column val_error=e --percent val_error --first-epoch 1 --last
try 0 import steps.csv --manifest tiny.yaml --runs imported --steps --fractions val_accuracy
try 3 import "$url" --manifest tiny.yaml --runs imported --run r --cacert /etc/ssl/certs/ca-certificates.crt
try 2 import "$url" --manifest tiny.yaml --runs imported --experiment one
try 0 pack tiny-seed1 --runs runs --out run.tar --no-checkpoints
try 0 pack tiny-seed1 --runs runs --out run.tar --force
try 0 unpack run.tar --runs unpacked --name other
try 0 check run.tar
try 0 key new mine
try 0 attest tiny-seed1 --runs runs --key mine.pem
try 0 attest scalar --runs runs --key mine.pem --reproduces tiny-seed1
try 0 verify tiny-seed1 --runs runs --signatures --key mine.pub.pem
try 0 report tiny-seed1 --runs runs --out report.html --no-figures --force --key mine.pub.pem
try 0 verify tiny-seed1 --runs runs --sample 1 --beacon x --format text
try 0 verify tiny-seed1 --runs runs --epoch 1 --data data --any-test-data --format json
try 0 trace tiny-seed1 --runs runs --step 1 --out step1.trace
try 0 trace tiny-seed2 --runs runs --step 1 --data data --out seed2.trace
try 1 compare step1.trace seed2.trace
try 0 compare scalar.trace scalar.trace
try 0 delete tiny-seed2 --yes --runs runs

# ---- help, manifests, the machine ------------------------------------------------------------------------------------

for format in yaml json; do try 0 manifest tiny.yaml --format $format; done
try 0 manifest --schema
for recipe in msra paper akamaster; do try 0 new $recipe.yaml --recipe $recipe --depth 32 --seeds 1,2 --epochs 5 --name $recipe; done
for format in table json; do try 0 doctor --format $format --threads 1; done
try 0 doctor --soak 2s
try 0 doctor --threads 2 --pin
for shell in bash zsh fish; do try 0 help --completion $shell; done
for words in commands manifests runs; do try 0 help --words $words; done
try 0 help
try 0 help train
for command in $("$SELFSAME" help --words commands); do
    try 0 "$command" --help
    try 0 help --man "$command"
done

# ---- nothing was left out --------------------------------------------------------------------------------------------

# From the completions: every option of every command, and every value of those that have a list.
"$SELFSAME" help --completion fish > fish.txt
sed -n "s/^complete .*seen_subcommand_from \([a-z]*\)' -l \([a-z-]*\) .*/\1 \2/p" fish.txt > options
sed -n "s/^complete .*seen_subcommand_from \([a-z]*\)' -l \([a-z-]*\) -x -a '\([a-z0-9 -]*\)' .*/\1 \2 \3/p" fish.txt > values
missing=0
while read -r command option; do
    grep -q "^ $command .*--$option " words || { echo "    $command --$option"; missing=$((missing + 1)); }
done < options
while read -r command option list; do
    for value in $list; do
        grep -q "^ $command .*--$option \([a-z,]*,\)*${value}[, ]" words || { echo "    $command --$option $value"; missing=$((missing + 1)); }
    done
done < values
if [ "$missing" -eq 0 ] && [ "$(wc -l < options)" -gt 150 ] && [ "$(wc -l < values)" -gt 30 ]; then
    pass "every option of every command, and every value"
else
    fail "$missing options or values have no line above ($(wc -l < options) options, $(wc -l < values) lists)"
fi
