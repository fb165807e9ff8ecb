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

# The other mode. Runs that end, two at a time: the record, and the checkpoint from which the last epoch can be computed again.
gpu 0 "a rehearsal of training" train --rehearse --selfsame "$SELFSAME" --source "$TOP" --results trained
prints "^train: [0-9]* steps ok, 0 with different bits, 0 without a result"
if grep -q "together 2 .*resnet14.yaml .*resnet8.yaml" trained/log; then pass "  two at a time"; else fail "  not two at a time"; fi
mkdir carried
for depth in 14 8; do
    for packed in "tiny-resnet$depth-seed1" "tiny-resnet$depth-seed1-checkpoint"; do
        mkdir -p "carried/tiny-resnet$depth-seed1"
        if tar xzf "trained/packed/$packed.tar.gz" -C "carried/tiny-resnet$depth-seed1" 2> stderr; then pass "  $packed is packed"; else fail "  $packed is not packed"; fi
    done
done
expect 0 "  the record is whole" check carried/tiny-resnet14-seed1
expect 0 "  the last epoch is computed again from the checkpoint" verify carried/tiny-resnet14-seed1 --epoch 2
prints "^epoch 2: the same 2 steps, from step 2 on"

# Runs that time ends, of which the first would need all of it: it goes on alone, and ends with a checkpoint. The program stays the real one: it gets
# more epochs than the rehearsal names.
cat > longer << SH
#!/bin/sh
sed -i 's/epochs: 2/epochs: 100000/' late/tiny-resnet*.yaml 2> /dev/null
exec "$SELFSAME" "\$@"
SH
chmod +x longer
gpu 0 "training that time ends" train --rehearse --seconds 22 --depths "8 14" --selfsame ./longer --source "$TOP" --results late
prints "^depth 8 would not end in time while others train: it goes on alone"
if [ "$(grep -c '^==== train ' late/log)" -eq 2 ] && grep -q '^==== train .*--together 1 [^ ]*resnet8.yaml: exit 130' late/log; then pass "  alone, from its checkpoint"; else fail "  not alone"; fi
if grep -q '^no time .*depth 8: {"epoch"' late/summary; then pass "  no time: depth 8"; else fail "  not: no time"; fi
if tar tzf late/packed/tiny-resnet8-seed1-checkpoint.tar.gz 2> stderr | grep -q 'checkpoints/step-'; then pass "  its checkpoint is packed"; else fail "  its checkpoint is not packed"; fi

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
