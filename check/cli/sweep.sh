# sweep: many runs at a time, none of them computed twice: after a failure, after kill -9 of a training and of sweep
# itself, after SIGINT, and with two sweeps at once. slurm.sh has the array.

tiny
sed 's/^name: tiny/name: other/' tiny.yaml > other.yaml
sed -e 's/^name: tiny/name: bad/' -e 's/drop_epochs: \[\]/drop_epochs: [], learning_rate: 1000/' \
    -e 's/training: {/training: {optimizer: {weight_decay: 1}, /' tiny.yaml > bad.yaml
# Long enough to be killed in the middle.
sed 's/^name: tiny/name: long/; s/steps: 4/steps: 160/' tiny.yaml > long.yaml

# trained "PROCESSES:STEPS ..." RUNS NAME...: how many processes have trained each run, and the steps of its ledger.
trained() {
    wanted=$1 runs=$2
    shift 2
    got=$(for run in "$@"; do
        printf '%s:' "$(sed -n 's/.*"sessions": \([0-9]*\).*/\1/p' "$runs/$run/record.json")"
        printf '%s ' "$(grep -c '^ *[0-9]' "$runs/$run/ledger.txt")"
    done)
    if [ "$got" = "$wanted " ]; then
        pass "  processes and steps of each run: $wanted"
    else
        fail "  processes and steps of each run: $got, expected $wanted"
    fi
}
# ends PROCESS STATUS "what"
ends() {
    wait "$1"
    status=$?
    if [ "$status" -eq "$2" ]; then pass "$3: exit $2"; else fail "$3: exit $status, expected $2"; fi
}
# The trainings that a sweep has started.
children() { cat "/proc/$1/task/$1/children"; }

# ---- the list ----

expect 0 "the list of tasks" sweep tiny.yaml other.yaml --seeds 1-2,7 --dry-run
prints '^   1  tiny-seed1 *1  to do  *tiny.yaml$'
prints '^   6  other-seed7 *7  to do  *other.yaml$'
if [ -e runs ]; then fail "  it makes a folder"; else pass "  and nothing is made"; fi
expect 0 "a manifest's own seeds" sweep tiny.yaml --dry-run --format csv
prints '^1,tiny-seed1,1,to do,tiny.yaml'
for seeds in "" 1- -3 1,,2 1-2x a 3-1 1,1 1-3,2 0-10000 99999999999999999999; do
    expect 2 "--seeds '$seeds'" sweep tiny.yaml "--seeds=$seeds" --dry-run
    says '^selfsame sweep: --seeds '
done
expect 2 "one manifest twice" sweep tiny.yaml tiny.yaml --seeds 1
says "two runs are called tiny-seed1"
expect 2 "two ways at once" sweep tiny.yaml --jobs 2 --slurm
says "exclude each other"
expect 2 "options of sbatch without Slurm" sweep tiny.yaml -- --time=1
says "need --slurm"
expect 2 "only options of sbatch" sweep --slurm -- tiny.yaml
says "needs MANIFEST"
expect 2 "more epochs than there are" sweep tiny.yaml other.yaml --epochs 9 --jobs 2
says "the training of tiny has 1"
if [ -e runs ]; then fail "  something has begun"; else pass "  before anything begins"; fi

# ---- all of it, and again ----

expect 0 "six runs, two at a time" sweep tiny.yaml other.yaml --seeds 1-3 --jobs 2
says "6 tasks, 0 of them finished before; 2 at a time; logs in runs/sweep-logs"
says "is finished (6 of 6)"
prints '^other-seed3  *finished  *1  *1 '
trained "1:4 1:4 1:4 1:4 1:4 1:4" runs tiny-seed1 tiny-seed2 tiny-seed3 other-seed1 other-seed2 other-seed3
# Each option reaches the training, whatever its value is.
expect 0 "all options" sweep tiny.yaml --seeds 8 --runs runs --arithmetic exact-2 --engine cpu --threads 2 --isa scalar \
    --epochs 1 --data data --any-test-data --keep-checkpoints all
if grep -q 'engine cpu (.*2 threads), into runs/tiny-exact-2-seed8$' runs/sweep-logs/tiny-exact-2-seed8.log; then
    pass "  reach the training"
else
    fail "  do not reach the training"
fi
if [ "$(ls)" = "$(printf '%s\n' *.yaml runs stderr stdout | sort)" ]; then pass "  and nothing else is made"; else fail "  $(ls)"; fi
expect 0 "again" sweep tiny.yaml other.yaml --seeds 1-3 --jobs 2
says "nothing is left to do: 6 of 6 runs are finished"
trained "1:4 1:4" runs tiny-seed1 other-seed3
expect 0 "the summary" sweep tiny.yaml other.yaml --seeds 1-3 --summary --format json
cp stdout summary.json
if python3 - <<'PY'
import json, statistics
for row in json.load(open("summary.json")):
    files = ["runs/%s-seed%d/metrics.jsonl" % (row["manifest"], seed) for seed in (1, 2, 3)]
    errors = [json.loads(list(open(file))[-1])["validation_error"] for file in files]
    assert row["runs"] == row["finished"] == 3
    assert abs(row["mean"] - statistics.mean(errors)) < 0.006 and abs(row["sd"] - statistics.stdev(errors)) < 0.0006
    assert abs(row["lowest"] - min(errors)) < 0.006 and abs(row["highest"] - max(errors)) < 0.006
PY
then pass "  its numbers are those of the records"; else fail "  its numbers are not those of the records"; fi
# A record of another run in the place of one's own agrees with itself, and not with the files next to it.
cp runs/tiny-seed1/record.json kept.json
cp runs/tiny-seed2/record.json runs/tiny-seed1/record.json
expect 0 "  with a record of another run" sweep tiny.yaml --seeds 1-3 --summary
says "left out: runs/tiny-seed1: "
prints "^tiny-seed1  *damaged"
prints "^tiny  *exact-1  *3  *2 "
cp kept.json runs/tiny-seed1/record.json
"$SELFSAME" train tiny.yaml --seed 2 --runs alone > stdout 2> stderr
expect 0 "a run of a sweep and one alone" compare runs/tiny-seed2 alone/tiny-seed2
prints '^identical'
expect 0 "one more seed" sweep tiny.yaml --seeds 1-4 --jobs 3
says "4 tasks, 3 of them finished before; 1 at a time"
expect 0 "a task by its number" sweep tiny.yaml --seeds 1-5 --task 5 --threads 1
trained "1:4 1:4" runs tiny-seed4 tiny-seed5
expect 0 "  again" sweep tiny.yaml --seeds 1-5 --task 5
says "tiny-seed5 is finished"
expect 2 "  one that is not there" sweep tiny.yaml --seeds 1-5 --task 6
says "there are 5 tasks"

# ---- a task that fails leaves the others alone ----

expect 1 "one fails" sweep bad.yaml tiny.yaml --seeds 1-2 --jobs 2 --runs failing
says "bad-seed1 ended with exit status 1: .*not finite.*; its log is failing/sweep-logs/bad-seed1.log"
says "2 of 4 tasks ended with an error, and 2 are finished"
trained "1:4 1:4" failing tiny-seed1 tiny-seed2
prints '^tiny .* 2  *2 '
mkdir unwritable && : > unwritable/runs
expect 3 "no runs folder can be made" sweep tiny.yaml --runs unwritable/runs
says "to go on: "

# ---- kill -9 of a training ----

"$SELFSAME" sweep long.yaml --seeds 1-3 --jobs 2 --runs killed > stdout 2> stderr &
sweep=$!
grows $sweep killed/long-seed1/metrics.jsonl 0
for training in $(children $sweep); do
    if tr '\0' ' ' < "/proc/$training/cmdline" | grep -q -- ' --seed 1 '; then kill -9 "$training"; fi
done
ends $sweep 3 "a training is killed"
says "long-seed1 was ended by signal 9"
says "to go on: .*selfsame sweep long.yaml --seeds 1-3 --jobs 2 --runs killed"
expect 0 "the same command" sweep long.yaml --seeds 1-3 --jobs 2 --runs killed
says "3 tasks, 2 of them finished before"
trained "2:160 1:160 1:160" killed long-seed1 long-seed2 long-seed3

# ---- kill -9 of sweep: its trainings write checkpoints and end; the next sweep waits for that ----

"$SELFSAME" sweep long.yaml --seeds 1-2 --jobs 2 --runs orphans > stdout 2> stderr &
sweep=$!
grows $sweep orphans/long-seed1/metrics.jsonl 0
grows $sweep orphans/long-seed2/ledger.txt 9
trainings=$(children $sweep)
kill -9 $sweep
wait $sweep 2> stderr
expect 0 "the same command after sweep was killed" sweep long.yaml --seeds 1-2 --jobs 2 --runs orphans
for training in $trainings; do
    kill -0 "$training" 2> /dev/null && fail "a training goes on without its sweep"
done
trained "2:160 2:160" orphans long-seed1 long-seed2
if grep -q "to go on" orphans/sweep-logs/long-seed1.log && grep -q "to go on" orphans/sweep-logs/long-seed2.log; then
    pass "  the trainings had stopped with a checkpoint"
else
    fail "  the trainings had not stopped with a checkpoint"
fi
expect 0 "  and the bits are those of the others" compare killed/long-seed1 orphans/long-seed1
prints '^identical'

# ---- SIGINT ----

"$SELFSAME" sweep long.yaml --seeds 1-3 --jobs 2 --runs stopped > stdout 2> stderr &
sweep=$!
grows $sweep stopped/long-seed1/ledger.txt 9
grows $sweep stopped/long-seed2/ledger.txt 9
trainings=$(children $sweep)
kill -INT $sweep
ends $sweep 130 "SIGINT"
for training in $trainings; do
    kill -0 "$training" 2> /dev/null && fail "a training is still there"
done
says "stopped on request; 0 of 3 runs are finished"
prints '^long-seed1  *stopped '
prints '^long-seed3  *not begun'
command=$(sed -n 's/.*to go on: //p' stderr)
eval "$command" > stdout 2> stderr
if [ $? -eq 0 ]; then pass "  the command that it names goes on to the end"; else fail "  the command that it names does not go on"; fi
trained "2:160 2:160 1:160" stopped long-seed1 long-seed2 long-seed3

# ---- two sweeps at once share the work; a doubled task refuses ----

"$SELFSAME" sweep long.yaml --seeds 1-3 --jobs 1 --runs shared > first 2> first.log &
first=$!
"$SELFSAME" sweep long.yaml --seeds 1-3 --jobs 1 --runs shared > second 2> second.log &
second=$!
grows $first shared/long-seed1/ledger.txt 9
expect 3 "a task that another process trains" sweep long.yaml --seeds 1-3 --task 1 --runs shared
says "long-seed1.*process"
ends $first 0 "the first of two sweeps"
ends $second 0 "the second"
trained "1:160 1:160 1:160" shared long-seed1 long-seed2 long-seed3
if cmp -s first second; then pass "  both show the same table"; else fail "  the tables differ"; fi

# ---- the array's script; slurm.sh submits one to a real Slurm ----

expect 0 "the script of an array" sweep tiny.yaml other.yaml --seeds 1-9 --slurm --dry-run -- --time=10
prints '^#SBATCH --array=6-9,13-18$'
prints "sweep --threads .* tiny.yaml other.yaml --seeds 1-9 --runs runs --task "
sed 's/@ARRAY@/1-3/' "$TOP/experiments/sweep.sbatch" > fixed.sbatch
expect 2 "a template without the array" sweep tiny.yaml --seeds 9 --slurm --dry-run --template fixed.sbatch
says "fixed.sbatch: does not have @ARRAY@"
sed 's/@LOGS@/@LOGZ@/' "$TOP/experiments/sweep.sbatch" > unknown.sbatch
expect 2 "a template with an unknown word" sweep tiny.yaml --seeds 9 --slurm --dry-run --template unknown.sbatch
says "unknown.sbatch:[0-9]*: @LOGZ@ is nothing"
expect 2 "a folder that Slurm cannot name" sweep tiny.yaml --seeds 9 --slurm --dry-run --runs '50%'
says "choose another runs folder"
mkdir none
PATH=$PWD/none "$SELFSAME" sweep tiny.yaml --seeds 6 --slurm > stdout 2> stderr
if [ $? -eq 3 ]; then pass "no sbatch: exit 3"; else fail "no sbatch: another exit"; fi
says "sbatch cannot be started: .*--jobs"
