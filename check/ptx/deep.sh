# The tests that take too long for check/ptx/ptx.sh. First the whole engine's test from PTX, on the lowest and the highest
# architecture. Then every depth, with its pieces of memory watched. Last, faults that are planted in the PTX of the highest
# architecture, each of which must be seen: barriers and fences that are dropped one by one, and compilations that flush or
# contract. It takes about half an hour. Run it after a change of a kernel, a barrier or a fence.

build=$(dirname "$SELFSAME")
host=$build/check/selfsame_on_host
architectures=$(for folder in "$build"/check/ptx/gen/*/; do [ -d "$folder" ] && basename "$folder"; done | sort -n)
if [ -z "$architectures" ] || [ ! -x "$host" ]; then
    echo "skipped: this build has no CUDA compiler, or no imitation of CUDA"
    exit 77
fi
modules() { find "$1" -name "*.ptx" | sort | paste -sd: -; }
lowest=$(echo "$architectures" | head -n 1) highest=$(echo "$architectures" | tail -n 1)
generated=$build/check/ptx/gen

manifest() {
    cat <<YAML
inherit: quick/resnet20.yaml
name: depth$1
dataset: {training_images: 10, test_images: 10, train_sha256: 12c508054c77f3255c987922d2d3a68b914504b06d1ec275eb84e327ca3a9a4b, test_sha256: any}
model: {depth: $1}
training: {epochs: 1, batch_size: $2, schedule: {drop_epochs: []}}
targets: []
YAML
}

# ---- the engine ----

for architecture in $(printf '%s\n%s\n' "$lowest" "$highest" | uniq); do
    SELFSAME_CUDA_HOST_PTX=$(modules "$generated/$architecture") "$build/check/device/test_cuda_engine" > stdout 2> stderr
    status=$?
    if [ "$status" -eq 0 ]; then pass "compute_$architecture: test_cuda_engine"; else fail "compute_$architecture: test_cuda_engine: exit $status"; fi
done

# ---- memory, at every depth: 14 has all block outputs, 56 and 110 borrow ----

for depth in 8 14 20 32 56 110; do
    manifest $depth 5 > depth$depth.yaml
    "$host" train depth$depth.yaml --engine cpu --runs cpu > stdout 2> stderr || fail "depth $depth on the CPU"
    SELFSAME_CUDA_HOST_PTX=$(modules "$generated/$highest") "$host" train depth$depth.yaml --engine cuda --runs ptx > stdout 2> stderr
    status=$?
    if [ "$status" -eq 0 ]; then pass "depth $depth: nothing is reported"; else fail "depth $depth: exit $status"; fi
    "$host" compare cpu/depth$depth-seed1 ptx/depth$depth-seed1 > stdout 2> stderr
    prints identical
done

# ---- planted faults ----

manifest 8 10 > step.yaml
"$host" train step.yaml --engine cpu --runs whole > /dev/null 2>&1
cat > step.sh <<'SH'
#!/bin/sh
rm -rf planted
"$1" train step.yaml --engine cuda --runs planted || exit
"$1" compare whole/depth8-seed1 planted/depth8-seed1
SH
chmod +x step.sh
# One barrier is not needed: that of last_to_arrive (trainer/gpu/kernel.cuh) in mean_loss's tree.
if "$TOP/check/ptx/faults.py" --unseen=1 "$generated/$highest" 'bar\.sync' -- ./step.sh "$host" > stdout 2> stderr; then
    pass "each barrier but one that is dropped is seen: $(tail -n 1 stdout)"
else
    fail "barriers that are dropped and not seen: $(grep UNSEEN stdout)"
fi
if "$TOP/check/ptx/faults.py" "$generated/$highest" 'membar\.gl|fence\.[a-z_.]*gpu' -- ./step.sh "$host" > stdout 2> stderr; then
    pass "each fence that is dropped is seen: $(tail -n 1 stdout)"
else
    fail "fences that are dropped and not seen: $(grep UNSEEN stdout)"
fi

# Flags that nvcc takes: the list tells of each, and the tests of the kernels that they change do not pass.
for fault in -ftz=true -fmad=true; do
    rm -rf flags
    mkdir -p flags
    for source in "$TOP"/trainer/gpu/*.cu "$TOP"/trainer/cuda/*.cu; do
        ${NVCC:-nvcc} -std=c++17 -O3 "-arch=compute_$highest" -I"$TOP" -I"$build" -DHAVE_CONFIG_H -include "$build/config.h" -fmad=false -ftz=false -prec-div=true \
            -prec-sqrt=true "$fault" --ptx -o "flags/$(basename "$source" .cu).ptx" "$source" 2> stderr || fail "$source with $fault"
    done
    if "$build/check/ptx/ptx_list" flags/*.ptx > stdout 2> stderr; then fail "$fault: the list has nothing to say"; else pass "$fault: $(tail -n 1 stdout)"; fi
    for test in forward backward_data head weights update; do
        case $fault$test in -fmad=trueweights | -fmad=trueupdate) continue ;; esac # these have no sum that takes a product
        SELFSAME_CUDA_HOST_PTX=$(modules flags) "$build/check/device/test_cuda_$test" > stdout 2> stderr
        if [ $? -eq 1 ] || grep -q 'FAILED' stdout stderr; then pass "  test_cuda_$test does not pass"; else fail "  test_cuda_$test passes"; fi
    done
done
