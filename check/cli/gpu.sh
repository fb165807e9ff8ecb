# check/device/check-gpu: without a GPU it says so and does not pass; with --rehearse (the engine cpu) all its steps work.

unset SELFSAME_PYTHON
CUDA_VISIBLE_DEVICES=-1 # a machine that has one hides it
export CUDA_VISIBLE_DEVICES
script=$TOP/check/device/check-gpu
build=$(dirname "$SELFSAME")

# gpu STATUS "what" WORD...: runs the script.
gpu() {
    wanted=$1 what=$2
    shift 2
    "$script" "$@" > stdout 2> stderr
    status=$?
    if [ "$status" -eq "$wanted" ]; then pass "$what: exit $wanted"; else fail "$what: exit $status, expected $wanted"; fi
}
# sums VERDICT PATTERN: the summary has a step with that verdict.
sums() { if grep -q "^$1 .*$2" results/summary; then pass "  $1: $2"; else fail "  not $1: $2"; fi; }

gpu 3 "no GPU" --selfsame "$SELFSAME" --source "$TOP" --tests no-such-folder --results none
says "^no GPU here: ."
if grep -q 'published\|BITS' stdout none/summary; then fail "  speaks of bits"; else pass "  says nothing about bits"; fi
gpu 2 "an option that there is not" --fast
says "check-gpu train"
gpu 2 "train without data" train --selfsame "$SELFSAME" --source "$TOP"
says "^check-gpu train: --data FOLDER"
gpu 2 "no program" --selfsame no-such-program
says "no program at no-such-program"

gpu 0 "a rehearsal" --rehearse --selfsame "$SELFSAME" --source "$TOP" --results results
sums ok "doctor"
sums ok "two steps of depth 8"
sums ok "bench of depth 20, cpu"
sums skipped "times of PyTorch"
sums skipped "compute-sanitizer"
prints "^SAME BITS"
prints "^check: 3 steps ok, 0 with different bits, 0 without a result"
if [ -s results/runs/tiny-seed1/record.json ] && [ -s results/bench-20-cpu.json ]; then pass "  runs and times are there"; else fail "  runs or times are missing"; fi

# The other mode: a run that ends, and one that time ends, which goes on.
gpu 0 "a rehearsal of training" train --rehearse --selfsame "$SELFSAME" --source "$TOP" --results trained
if tar tzf trained/packed/tiny-seed1.tar.gz 2> stderr | grep -q weights.safetensors; then pass "  its record is packed"; else fail "  its record is not packed"; fi

# What is no wrong bit: a program that cannot start, one that is too slow. What is one: another run under the published name.
printf '#!/bin/sh\n[ "$1" = doctor ] || exit 127\nexec "%s" "$@"\n' "$SELFSAME" > missing
printf '#!/bin/sh\n[ "$1" != train ] || [ "$3" = cpu ] && [ "$5" != scalar ] || sleep 60\nexec "%s" "$@"\n' "$SELFSAME" > slow
chmod +x missing slow
gpu 3 "a program that cannot start" --rehearse --selfsame ./missing --source "$TOP" --results results
sums "cannot start" "two steps of depth 8"
gpu 3 "a program that is too slow" --rehearse --seconds 8 --selfsame ./slow --source "$TOP" --results results
if grep -q 'different bits .*two steps' results/summary; then fail "  slow looks like wrong bits"; else pass "  slow is not wrong bits"; fi
printf '#!/bin/sh\n[ "$1" != compare ] || { echo differs; exit 1; }\nexec "%s" "$@"\n' "$SELFSAME" > other
chmod +x other
gpu 1 "other bits" --rehearse --selfsame ./other --source "$TOP" --tests no-such-folder --results results
sums "different bits" "two steps of depth 8"
prints "^OTHER BITS"
