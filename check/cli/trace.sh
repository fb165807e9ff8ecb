# The trace of a step: the same file from every engine, and four planted faults, each named to the step and the tensor.

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
dataset:
  training_images: 80
  train_sha256: 593139fd29a409f4872e498cdb043bea361793703d57a70157bcf25effe31648
  test_images: 10
  test_sha256: any
training: {steps: 12, batch_size: 20, schedule: {drop_epochs: []}}
targets: []
YAML
sed 's/^name: tiny/name: tiles/; $a arithmetic: exact-2' tiny.yaml > tiles.yaml
known_isas
sed 's/^name: tiny/name: long/; s/steps: 12, batch_size: 20/steps: 780, batch_size: 2/' tiny.yaml > long.yaml

# ---- one file, whatever computes it ----

for name in tiny tiles; do
    expect 0 "a run of $name" train $name.yaml --runs runs --name $name --keep-checkpoints all
    expect 0 "a trace" trace runs/$name --step 6 --threads 1
    prints "^traced: runs/$name, step 6 (from 1), computed again from the checkpoint after step 4; [0-9]* tensors"
    prints "^The step comes out as the run's ledger says"
    for isa in $isas; do
        run trace runs/$name --step 6 --isa $isa --threads 2 --out $isa.trace --force
        case $status in
        3) echo "skipped: no $isa here" ;;
        0) same $name-step6.trace $isa.trace "  the same bytes by $isa, 2 threads" ;;
        *) fail "  by $isa: exit $status" ;;
        esac
    done
done
expect 0 "packed" pack runs/tiny --out tiny.tar
expect 0 "  and traced" trace tiny.tar --step 6 --threads 3 --out packed.trace
same tiny-step6.trace packed.trace "  into the same bytes"
expect 2 "  but not over a file that exists" trace tiny.tar --step 6
says "tiny-step6.trace exists: .*--force"
cp -r runs/tiny early
rm early/checkpoints/*
expect 0 "without checkpoints, from the start" trace early --step 6 --out start.trace
prints "computed again from the start"
same tiny-step6.trace start.trace "  into the same bytes"
expect 0 "a step before the first checkpoint" trace runs/tiny --step 1
expect 0 "the last step" trace runs/tiny --step 12
expect 2 "a step after the last" trace runs/tiny --step 13
says "the training of runs/tiny has 12 steps"
expect 2 "no step" trace runs/tiny
says "name the step with --step N"
expect 0 "a run that ends early" train tiny.yaml --runs runs --name short --epochs 1
expect 0 "  traced beyond its end" trace runs/short --step 6
prints "ledger ends before this step"
same tiny-step6.trace short-step6.trace "  into the same bytes"

# ---- traces compared ----

expect 0 "a trace and the same" compare tiny-step6.trace short-step6.trace
prints "^identical: every tensor of the step agrees"
expect 2 "two steps" compare tiny-step6.trace tiny-step1.trace
prints "^not-comparable: the traces are of different steps"
expect 2 "two arithmetics" compare tiny-step6.trace tiles-step6.trace
prints "^not-comparable: the arithmetics differ"
expect 2 "a trace and a run" compare tiny-step6.trace runs/tiny
expect 2 "three traces" compare tiny-step6.trace tiny-step6.trace tiny-step6.trace
says "name two"
expect 2 "a tolerance for traces" compare tiny-step6.trace tiny-step6.trace --tolerance validation_error=abs:1
expect 2 "an option of --trace without it" compare runs/tiny runs/short --isa scalar
says "goes with --trace"
expect 0 "runs that do not differ" compare runs/tiny runs/short --trace

# damaged "what" SED_SCRIPT PATTERN: a trace that was changed so is refused.
damaged() {
    sed "$2" tiny-step6.trace > damaged.trace
    expect 2 "$1" compare tiny-step6.trace damaged.trace
    says "damaged.trace:$3"
}
damaged "a cut trace" '100,$d' '6: a trace has here as many tensors as fit'
damaged "a line too few" '100d' '100: a trace has here a tensor'
damaged "a trace without its end" '$d' '[0-9]*: a trace has here "end"'
damaged "a line too many" '$p' '[0-9]*: a trace has here its last line'
damaged "a changed digest" '20s/ f32 \(.*\) [0-9a-f]\{4\}/ f32 \1 0000/' '[0-9]*: the lines before this one were changed'
damaged "a line that reads itself" '270s/$/ 264/' '270: a trace has here the numbers of earlier lines'
damaged "a name that a terminal would obey" "20s/before/$(printf '\033')[31m/" "20: a trace has here a tensor's name"
damaged "a shape of five numbers" '20s/ f32 [0-9x]*/ f32 1x1x1x1x1/' '20: a trace has here a shape'
damaged "another step" 's/^step 6/step 7/' '5: a trace has here "ledger"'
damaged "more lines than there are" 's/^lines .*/lines 4000000000/' '6: a trace has here as many tensors'
damaged "a later version" '1s/1$/2/' '1: a trace has here "selfsame-trace 1"'
sed 's/$/\r/' tiny-step6.trace > editor.trace
expect 0 "a trace that went through an editor" compare tiny-step6.trace editor.trace

# ---- programs with planted faults ----

. "$TOP/check/cli/lib_faults.sh"

engine=trainer/cpu/engine.c
draw='^    sampler_batch(engine->sampler, step, engine->samples);'
plant flipped $engine "s/$draw/&\n    if (step == 776) {\n        const size_t count = engine->network->value_count;\n        \
float *state = calloc(2 * count, sizeof *state);\n        engine->operations->get_state(engine->backend, state, state + count);\n        \
((uint32_t *)(state + engine->network->tensors[engine->network->convs[4].weight].offset))[100] ^= 1u << 3;\n        \
engine->operations->set_state(engine->backend, state, state + count);\n        free(state);\n    }/"
plant swapped $engine "s/$draw/&\n    if (step == 6) {\n        const struct sample first = engine->samples[1];\n        \
engine->samples[1] = engine->samples[3];\n        engine->samples[3] = first;\n    }/"
plant hasty $engine 's/return schedule_learning_rate(.*)/& * (step >= 499 ? 1.25f : 1.0f)/'
rounded='s/^\( *\)if (!exact_norm_finite(&norms\[k\]))/\1if (layer == \&r->network->convs[3])\n\1    norms[k].scale = value(r, tensors.gamma)[k] * (float)norms[k].inverse;\n&/'
if [ -f "$build/libreference_fma.a" ]; then
    plant rounded trainer/cpu/reference.c "$rounded" "" "-DREFERENCE_FMA -mavx -mfma"
else
    plant rounded trainer/cpu/reference.c "$rounded"
fi

# named NAME GOOD STEP TENSOR...: the run runs/NAME of the program NAME parts from GOOD at the step; there, the traces of both name these tensors alone.
named() {
    name=$1 good=$2 step=$3
    shift 3
    expect 1 "  compare names step $step" compare "$good" "runs/$name"
    prints "first difference: epoch [0-9]*, step $step (from 1)"
    [ -f "good-$step.trace" ] || expect 0 "  the step traced where all is well" trace "$good" --step "$step" --threads 1 --out "good-$step.trace"
    faulty "$name" 0 "  and where it is not" trace "runs/$name" --step "$step" --threads 1 --out "$name.trace"
    expect 1 "  the traces are compared" compare "good-$step.trace" "$name.trace"
    prints "^differs: $1 is the first tensor that differs"
    sed -n 's/^  \([a-z0-9_./]*\): [0-9a-f]*\.\.\. and .*/\1/p' stdout > roots
    printf '%s\n' "$@" > expected
    same expected roots "  and name $*, and nothing else"
}

expect 0 "a long run" train long.yaml --threads 1 --runs runs --name long
faulty flipped 0 "one bit of a weight flips at step 777" train long.yaml --threads 1 --runs runs --name flipped
named flipped runs/long 777 before/layer2.0.conv2.weight
expect 1 "  computed again from both runs by a good program" compare runs/long runs/flipped --trace
prints "^Step 777 (from 1), computed again here: every tensor of the step agrees"
prints "runs/flipped: from the checkpoint after step 760; the result is not that of its ledger"
prints "So runs/flipped did not compute what its manifest says"
expect 1 "  as trace says, too" trace runs/flipped --step 777 --force
says "step 777 comes out otherwise here than its ledger says"
expect 1 "  and of a later step" trace runs/flipped --step 779
says "step 777 (from 1) comes out otherwise here than its ledger says; trace that step instead"
faulty hasty 0 "another learning rate from step 500 on" train long.yaml --threads 1 --runs runs --name hasty
named hasty runs/long 500 batch/learning_rate
faulty swapped 0 "two images change places in step 7" train tiny.yaml --runs runs --name swapped
named swapped runs/tiny 7 batch/images batch/crops
faulty rounded 0 "another rounding in one layer's batch norm, which shows once gamma is not 1" train tiny.yaml --runs runs --name rounded --isa scalar
SELFSAME_ISA=scalar
export SELFSAME_ISA
named rounded runs/tiny 2 forward/layer2.0.bn1/scale
expect 1 "  as JSON, too" compare good-2.trace rounded.trace --format json
if python3 -c 'import json; r, = json.load(open("stdout")); assert r["verdict"] == "differs" and r["step"] == 1; t, = r["first_tensors"]; assert t["name"] == "forward/layer2.0.bn1/scale" and t["inputs"] == ["before/layer2.0.bn1.weight", "forward/layer2.0.bn1/inverse"]'; then pass "  with its inputs"; else fail "  without its inputs"; fi
unset SELFSAME_ISA

# ---- a checkpoint whose momentum changed: no record can know, and the run goes on from it ----

expect 0 "a run to its first checkpoint" train tiny.yaml --runs runs --name bent --epochs 1
python3 - << 'PY'
import hashlib, json, re, struct
path = "runs/bent/checkpoints/step-00000004.safetensors"
data = bytearray(open(path, "rb").read())
start = 8 + struct.unpack("<Q", data[:8])[0]
tensors = json.loads(data[8:start])
data[start + tensors["momentum.layer1.0.conv1.weight"]["data_offsets"][0] + 2] ^= 1
at = re.search(rb'"selfsame_seal":"([0-9a-f]{64})', data).start(1)
data[at : at + 64] = b"0" * 64
data[at : at + 64] = hashlib.sha256(data).hexdigest().encode()
open(path, "wb").write(data)
PY
expect 0 "  resumed after a bit of its momentum changed" train tiny.yaml --runs runs --name bent --resume --keep-checkpoints all
expect 1 "  is traced together with a good one" compare runs/tiny runs/bent --trace
prints "first difference: epoch 2, step 5 (from 1)"
prints "^Step 5 (from 1), computed again here: before/momentum/layer1.0.conv1.weight is the first tensor that differs"
prints "runs/bent: from the checkpoint after step 4; the result is that of its ledger"
if [ "$(grep -c '\.\.\. and ' stdout)" -eq 1 ]; then pass "  which it names alone"; else fail "  among others"; fi
