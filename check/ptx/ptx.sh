# Tests the kernels as nvcc compiled them, without a card. In the PTX of every architecture, no instruction may be contracted
# by ptxas, flushes or is approximate. For the lowest and the highest architecture, check/ptx runs the PTX instruction by
# instruction on the imitation of CUDA: it gives the CPU's bits, and has no race, no missing fence, and no read that is
# unwritten or outside.

build=$(dirname "$SELFSAME")
host=$build/check/selfsame_on_host
architectures=$(for folder in "$build"/check/ptx/gen/*/; do [ -d "$folder" ] && basename "$folder"; done | sort -n)
if [ -z "$architectures" ] || [ ! -x "$host" ]; then
    echo "skipped: this build has no CUDA compiler, or no imitation of CUDA"
    exit 77
fi
unset SELFSAME_CUDA_HOST_SEED SELFSAME_CUDA_HOST_FAIL SELFSAME_CUDA_HOST_LAZY SELFSAME_CUDA_HOST_SHRINK SELFSAME_CUDA_HOST_PTX_NEVER

# modules ARCHITECTURE: as SELFSAME_CUDA_HOST_PTX names them.
modules() { find "$build/check/ptx/gen/$1" -name "*.ptx" | sort | paste -sd: -; }

# ---- what they are made of ----

for architecture in $architectures; do
    if "$build/check/ptx/ptx_list" "$build/check/ptx/gen/$architecture"/*.ptx > stdout 2> stderr; then
        pass "compute_$architecture: no instruction is contractible, flushed or approximate"
    else
        fail "compute_$architecture: $(tail -n 1 stdout)"
        grep -E 'may be contracted|flushes|is approximate' stdout | head -n 10
    fi
done

# Division is correctly rounded by code that flushes on purpose, in the kernel head alone: twice an architecture.
if command -v cuobjdump > /dev/null; then
    cuobjdump -sass "$build"/trainer/gpu/*.o "$build"/trainer/cuda/*.o > sass 2> stderr
    flushed=$(awk '/Function :/ { name = $3 } /^[ \t]*arch = /  { arch = $3 } /F(ADD|MUL|FMA)[A-Z0-9.]*\.FTZ/ && name !~ /head/ { print arch, name }' sass)
    if [ -s sass ] && [ -z "$flushed" ]; then pass "no sum or product is flushed in the machine code"; else fail "flushed in the machine code: $flushed"; fi
else
    echo "skipped: flushing in the machine code: no cuobjdump here"
fi

# ---- what they compute ----

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
dataset: {training_images: 32, test_images: 12, train_sha256: 3cc266318723b0ed6f160a7ef7d275983db849e473b379772bad4111990f121a, test_sha256: any}
model: {depth: 8}
training: {epochs: 1, batch_size: 16, schedule: {drop_epochs: []}}
targets: []
YAML
"$host" train tiny.yaml --engine cpu --runs cpu > stdout 2> stderr || fail "the CPU's two steps"

# runs_from_ptx "what" COMMAND...: it succeeds, launches from PTX alone, and nothing is reported.
runs_from_ptx() {
    what=$1
    shift
    "$@" > stdout 2> stderr
    status=$?
    if [ "$status" -eq 0 ] && grep -q '^ptx: [1-9][0-9]* launches from PTX, 0 of the host.s, .* 0 places reported' stderr; then
        pass "$what"
    else
        fail "$what: exit $status"
    fi
}

lowest=$(echo "$architectures" | head -n 1) highest=$(echo "$architectures" | tail -n 1)
for architecture in $(printf '%s\n%s\n' "$lowest" "$highest" | uniq); do
    SELFSAME_CUDA_HOST_PTX=$(modules "$architecture")
    export SELFSAME_CUDA_HOST_PTX
    for test in input update head evaluation weights forward backward_data; do
        runs_from_ptx "compute_$architecture: test_cuda_$test" "$build/check/device/test_cuda_$test"
    done
    runs_from_ptx "compute_$architecture: two steps of depth 8, and an evaluation" "$host" train tiny.yaml --engine cuda --runs "ptx$architecture"
    unset SELFSAME_CUDA_HOST_PTX
    "$host" compare cpu/tiny-seed1 "ptx$architecture/tiny-seed1" > stdout 2> stderr
    prints identical
done

# ---- what watching is worth: a piece of the engine's one allocation that is too short is noticed ----

SELFSAME_CUDA_HOST_PTX=$(modules "$highest") SELFSAME_CUDA_HOST_SHRINK=2:4
export SELFSAME_CUDA_HOST_PTX SELFSAME_CUDA_HOST_SHRINK
"$host" train tiny.yaml --engine cuda --runs short > stdout 2> stderr
if [ $? -eq 99 ]; then pass "a piece that is four bytes short: exit 99"; else fail "a piece that is four bytes short goes unnoticed"; fi
says "outside an allocation"
