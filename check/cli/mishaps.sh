# Mishaps, planted into copies of the program: memory that changes, a stop while a task starts, a task that does nothing.

. "$TOP/check/cli/lib_faults.sh"

tiny
sed 's/^name: tiny/name: long/; s/steps: 4/steps: 400/' tiny.yaml > long.yaml

# ---- the data in memory change ----

# One bit of an image, each time that the data are looked at again.
plant bad_memory commands/train_run.c 's/^    struct dataset training = \*job->training, validation = .*/&\n    if (now) job->training->images[7] ^= 1;/'
faulty bad_memory 1 "memory that changes during a training" train tiny.yaml --runs runs
says "runs/tiny-seed1: the data in memory changed during the training"
for words in "train tiny.yaml --runs runs --resume" "train tiny.yaml --runs runs" "sweep tiny.yaml --runs runs"; do
    # shellcheck disable=SC2086 # words
    expect 2 "  no good memory makes good of it: $words" $words
    says "cannot go on: its training data changed in memory while it was trained"
done
expect 0 "  it is shown" runs --runs runs
prints "tiny-seed1 .*failed"
expect 0 "  deleted" delete tiny-seed1 --runs runs --yes
expect 0 "    it is trained again" train tiny.yaml --runs runs

./bad_memory train long.yaml --runs stopped > stdout 2> stderr &
process=$!
grows "$process" stopped/long-seed1/ledger.txt 9
kill -INT "$process"
wait "$process"
status=$?
if [ "$status" -eq 1 ]; then pass "such memory is seen at a stop: exit 1"; else fail "such memory at a stop: exit $status"; fi
says "the data in memory changed during the training"
expect 2 "  and nothing goes on from there" train long.yaml --runs stopped --resume
says "cannot go on: its training data changed in memory"

# ---- a sweep is stopped while a task starts ----

plant slow commands/sweep_jobs.c 's/execv(program/sleep(5), &/'
./slow sweep long.yaml --seeds 1-2 --jobs 1 --runs starting > stdout 2> stderr &
process=$!
grows "$process" stderr 0
while [ ! -e starting/sweep-logs/long-seed1.log ] && kill -0 "$process" 2> /dev/null; do sleep 0.02; done
sleep 0.3
kill -INT "$process"
wait "$process"
status=$?
if [ "$status" -eq 130 ]; then pass "a stop while a task starts: exit 130"; else fail "a stop while a task starts: exit $status"; fi
says "stopped on request; 0 of 2 runs are finished"
prints "^long-seed1  *not begun"

# ---- a task says that all is well, and has done nothing ----

plant idle commands/sweep_jobs.c 's/execv(program/_exit(0), &/'
faulty idle 3 "a task that does nothing" sweep tiny.yaml --seeds 1-2 --runs undone
says "tiny-seed1 ended with exit status 0"
says "2 of 2 tasks ended with an error, and 0 are finished"

# ---- a parent that ignores what becomes of its children ----

if command -v python3 > stdout; then
    timeout -k 5 30 python3 -c 'import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])' "$SELFSAME" sweep tiny.yaml --seeds 1 --runs ignored > stdout 2> stderr
    status=$?
    if [ "$status" -eq 0 ]; then pass "a parent that ignores SIGCHLD: exit 0"; else fail "a parent that ignores SIGCHLD: exit $status"; fi
fi
