# The engine cuda in the whole program, on the imitation of CUDA in check/cuda_host: the CPU's bits, changes of engine in
# the middle, a card that fails, has too little memory or is missing. check/device/check-gpu tests a real card.

host=$(dirname "$SELFSAME")/check/selfsame_on_host
if [ ! -x "$host" ]; then
    echo "skipped: this build has no program on the imitation of CUDA, which a C++ compiler makes"
    exit 77
fi
SELFSAME=$host
unset SELFSAME_CUDA_DEVICE SELFSAME_CUDA_HOST_SEED SELFSAME_CUDA_HOST_MEMORY SELFSAME_CUDA_HOST_SHARED SELFSAME_CUDA_HOST_PROTECT SELFSAME_CUDA_HOST_FAIL SELFSAME_CUDA_HOST_LAZY SELFSAME_CUDA_HOST_MODE SELFSAME_CUDA_HOST_DRIVER

# with SETTING=VALUE expect ...: one program's imitation is set so. It may come twice.
set_here=
with() {
    export "SELFSAME_CUDA_HOST_$1"
    set_here="${1%%=*} $set_here"
    shift
    "$@"
    for setting in $set_here; do unset "SELFSAME_CUDA_HOST_$setting"; done
    set_here=
}
# recorded RUN NAME: a number of the engine in record.json; records FILE PATTERN: it has such a line.
recorded() { sed -n "/^  \"engine\": {/,/^  }/s/^ *\"$2\": \([0-9]*\),*$/\1/p" "$1/record.json"; }
records() { if grep -q -- "$2" "$1/record.json"; then pass "  record.json has $2"; else fail "  record.json does not have $2"; fi; }
# What the imitation says, of work or memory left behind, is a fault.
quiet() { if grep "cuda_host" stderr; then fail "  the imitation complains"; else pass "  nothing is left on the card"; fi; }
absent() { if [ -e "$1" ]; then fail "  there is $1"; else pass "  no $1"; fi; }

images=144 tests=24
cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
dataset: {training_images: $images, test_images: $tests, train_sha256: e95904a9cab21c9133f410b213b10aa9508ec82f95f7cbbb0a52e36643303924, test_sha256: any}
model: {depth: 8}
training: {epochs: 3, batch_size: 32, schedule: {drop_epochs: [2]}}
targets: []
YAML
whole=cpu/tiny-seed1

expect 0 "the CPU's run" train tiny.yaml --engine cpu --runs cpu
expect 0 "the run of the engine cuda" train tiny.yaml --engine cuda --runs cuda
quiet
expect 0 "compare" compare "$whole" cuda/tiny-seed1
prints identical
same "$whole/ledger.txt" cuda/tiny-seed1/ledger.txt "  the same ledger"
same "$whole/weights.safetensors" cuda/tiny-seed1/weights.safetensors "  the same weights"
records cuda/tiny-seed1 '^    "name": "cuda"'
records cuda/tiny-seed1 '"card: CUDA on the host, 4 multiprocessors'
records cuda/tiny-seed1 '"driver: '
records cuda/tiny-seed1 '"kernels compiled for: '
records "$whole" '^    "name": "cpu"'
with SEED=7 expect 0 "with threads, blocks and queued work in another order" train tiny.yaml --engine cuda --runs order
quiet
expect 0 "  compare" compare "$whole" order/tiny-seed1

# The engine changes in the middle.
with LAZY=1 expect 0 "an epoch on cuda, where a captured launch loads no kernel" train tiny.yaml --engine cuda --runs changed --epochs 1
expect 0 "  one on the CPU" train tiny.yaml --engine cpu --runs changed --resume --epochs 2
records changed/tiny-seed1 '^    "name": "cpu"'
expect 0 "  the last on cuda" train tiny.yaml --engine cuda --runs changed --resume
records changed/tiny-seed1 '^    "name": "cuda"'
expect 0 "  compare" compare "$whole" changed/tiny-seed1
prints identical
same "$whole/weights.safetensors" changed/tiny-seed1/weights.safetensors "  the same weights"

# Stopped in the middle of an epoch, once the steps that are queued are heard.
sed 's/batch_size: 32/batch_size: 1/; s/epochs: 3/epochs: 1/; s/drop_epochs: \[2\]/drop_epochs: []/' tiny.yaml > single.yaml
expect 0 "the CPU's run of single images" train single.yaml --engine cpu --runs single
"$SELFSAME" train single.yaml --engine cuda --runs stopped > stdout 2> stderr &
process=$!
grows "$process" stopped/tiny-seed1/ledger.txt 1
kill -INT "$process"
wait "$process"
if [ $? -eq 130 ]; then pass "SIGINT: exit 130"; else fail "SIGINT: another exit"; fi
quiet
expect 0 "  resumed on the CPU" train single.yaml --engine cpu --runs stopped --resume
says "after epoch 0, step [1-9]"
expect 0 "  compare" compare single/tiny-seed1 stopped/tiny-seed1
prints identical

# A card that fails in the second epoch: as a step is queued, as it is waited for, as it is evaluated.
# Steps 5 to 8 are of that epoch, and its one wait for them is the second; before its evaluation the program waits seven times for all work.
for failure in cudaGraphLaunch:8:cudaErrorECCUncorrectable cudaEventSynchronize:2:cudaErrorLaunchFailure cudaStreamSynchronize:8:cudaErrorLaunchTimeout; do
    call=${failure%%:*} cause=${failure##*:}
    with FAIL=$failure expect 3 "$call fails with $cause" train tiny.yaml --engine cuda --runs "$call"
    says "$call: $cause .*--resume.*--engine cpu"
    says "to go on: .* train tiny.yaml --engine cuda --runs $call --resume"
    records "$call/tiny-seed1" '"state": "interrupted"'
    records "$call/tiny-seed1" "\"failure\": \".*$call.*$cause"
    expect 2 "  without --resume it is left alone" train tiny.yaml --engine cuda --runs "$call"
    says "has 1 of 3 epochs"
    cp -r "$call" "$call.cuda"
    expect 0 "  resumed on the CPU" train tiny.yaml --engine cpu --runs "$call" --resume
    says "after epoch 1, step 5"
    expect 0 "  compare" compare "$whole" "$call/tiny-seed1"
    if grep -q '"failure"' "$call/tiny-seed1/record.json"; then fail "  the failure stays in the record"; else pass "  the record forgets the failure"; fi
done
expect 0 "resumed on the card" train tiny.yaml --engine cuda --runs cudaGraphLaunch.cuda --resume
expect 0 "  compare" compare "$whole" cudaGraphLaunch.cuda/tiny-seed1
with FAIL=cudaGraphLaunch:1:cudaErrorECCUncorrectable expect 3 "the first step fails" train tiny.yaml --engine cuda --runs first
expect 0 "  begun again on the CPU" train tiny.yaml --engine cpu --runs first --resume
expect 0 "  compare" compare "$whole" first/tiny-seed1

# Memory: the dry run says what the record then does, and that with the data sets is what the card must have.
expect 0 "a dry run" train tiny.yaml --engine cuda --dry-run --runs dry
absent dry
predicted=$(sed -n 's/^engine: *cuda, \([0-9.]*\) MiB.*/\1/p' stdout)
bytes=$(recorded cuda/tiny-seed1 memory_bytes)
if awk -v mib="$predicted" -v bytes="$bytes" 'BEGIN { mib *= 1048576; exit !(bytes > 0 && mib >= 0.95 * bytes && mib <= 1.05 * bytes) }'; then
    pass "  predicts $predicted MiB for $bytes bytes"
else
    fail "  predicts '$predicted' MiB for '$bytes' bytes"
fi
expect 0 "bench" bench tiny.yaml --engine cuda --steps 1
quiet
prints "^memory *$predicted MiB in the engine"
needed=$((bytes + (images + tests) * 3073))
with MEMORY=$((needed - 1)) expect 3 "a byte too little memory" train tiny.yaml --engine cuda --runs memory
says "batch 32 at depth 8 needs [0-9]* MiB of the device's memory, but CUDA on the host has"
absent memory/tiny-seed1
says "use a smaller batch, .*or --engine cpu"
sed 's/^name: tiny/name: small/; s/batch_size: 32/batch_size: 16/' tiny.yaml > small.yaml
with MEMORY=$((needed - 1)) expect 0 "  a smaller batch" train small.yaml --engine cuda --runs memory --epochs 1
quiet
expect 0 "  the CPU" train tiny.yaml --engine cpu --runs memory --name by-cpu --epochs 1
with FAIL=cudaMalloc:2:cudaErrorMemoryAllocation expect 3 "memory that another process took" train tiny.yaml --engine cuda --runs memory
says "cudaMalloc: cudaErrorMemoryAllocation .*too little free memory"
quiet
absent memory/tiny-seed1
# Each of the five allocations begins at a multiple of 256 bytes.
with MEMORY=$((needed + 5 * 256)) expect 0 "just enough" train tiny.yaml --engine cuda --runs memory --epochs 1
quiet

# No card, or not for this program.
for cause in cudaErrorNoDevice cudaErrorInsufficientDriver; do
    with FAIL=cudaGetDeviceCount:1:$cause expect 3 "$cause" train tiny.yaml --engine cuda --runs none
    case $cause in cudaErrorNoDevice) says "no NVIDIA GPU" ;; *) says "driver.* is too old" ;; esac
    says "--engine cpu"
done
count=FAIL=cudaGetDeviceCount:1 busy=FAIL=cudaMemGetInfo:1:cudaErrorDevicesUnavailable
with $count:cudaErrorStubLibrary expect 3 "the toolkit's stub" train tiny.yaml --engine cuda --runs none
says "is the toolkit's stub, .*: remove its folder (lib64/stubs) from LD_LIBRARY_PATH"
with $count:cudaErrorSystemDriverMismatch expect 3 "a driver that was updated" train tiny.yaml --engine cuda --runs none
says "after an update of the driver, restart the machine"
with DRIVER=0 with $count:cudaErrorInsufficientDriver expect 3 "no driver" train tiny.yaml --engine cuda --runs none
says "no NVIDIA driver here (no libcuda.so.1 was found): install it; --engine cpu"
with DRIVER=11040 with $count:cudaErrorInsufficientDriver expect 3 "an old driver" train tiny.yaml --engine cuda --runs none
says "is too old: it knows CUDA 11.4, and this program needs [0-9.]*; update it to 5[0-9]* or newer"
for cause in cudaErrorNoKernelImageForDevice cudaErrorUnsupportedPtxVersion; do
    with FAIL=cudaGraphLaunch:1:$cause expect 3 "$cause" train tiny.yaml --engine cuda --runs image
    case $cause in
    cudaErrorNoKernelImageForDevice) says "no code for this device .*: configure with --with-cuda-arch and build again" ;;
    *) says "the driver cannot translate .*: update the driver, or configure with --with-cuda-arch and build again" ;;
    esac
    rm -rf image
done
with $busy expect 3 "a card that another process holds" train tiny.yaml --engine cuda --runs none
says "cudaErrorDevicesUnavailable .*: nvidia-smi shows both"
with MODE=2 with $busy expect 3 "  whose mode forbids computing" train tiny.yaml --engine cuda --runs none
says "(Prohibited): nvidia-smi -i 0 -c DEFAULT allows it"
with MODE=3 with $busy expect 3 "  for one process at a time" train tiny.yaml --engine cuda --runs none
says "compute mode Exclusive_Process.*: wait for that, choose another device with SELFSAME_CUDA_DEVICE, or pass --engine cpu"
with MODE=3 expect 0 "  which has ended" train tiny.yaml --engine cuda --runs exclusive --epochs 1
quiet
SELFSAME_CUDA_DEVICE=1
export SELFSAME_CUDA_DEVICE
expect 3 "a second card, where there is one" train tiny.yaml --engine cuda --runs none
says "there is 1 device here, from 0"
SELFSAME_CUDA_DEVICE=0 expect 0 "  the first" train tiny.yaml --engine cuda --runs first-device --epochs 1
unset SELFSAME_CUDA_DEVICE
absent none
with FAIL=cudaGetDeviceCount:1:cudaErrorNoDevice expect 0 "the CPU needs no card" train tiny.yaml --engine cpu --runs none --epochs 1
with FAIL=cudaGetDeviceCount:1:cudaErrorNoDevice expect 0 "nor does a dry run" train tiny.yaml --engine cuda --dry-run --runs dry

# What this engine does not compute.
printf 'inherit: tiny.yaml\nname: projected\nmodel: {shortcut: projection-bn}\n' > projected.yaml
expect 2 "projections with batch norms" train projected.yaml --engine cuda --runs projected
says "projection-bn; pass --engine cpu"
expect 0 "  on the CPU" train projected.yaml --engine cpu --runs projected --epochs 1
expect 2 "exact-2 on the card" train tiny.yaml --arithmetic exact-2 --engine cuda --runs exact2
says "pass --engine cpu, or choose another experiment with --arithmetic exact-1"
expect 0 "  on the CPU" train tiny.yaml --arithmetic exact-2 --engine cpu --runs exact2 --epochs 1
expect 0 "  exact-1 on the card" train tiny.yaml --arithmetic exact-1 --engine cuda --runs exact1 --epochs 1

# Evaluation.
expect 0 "eval on the CPU" eval --engine cpu --weights cuda/tiny-seed1/weights.safetensors --predictions cpu.txt
mv stdout cpu.stdout
expect 0 "eval on cuda" eval --engine cuda --weights cuda/tiny-seed1/weights.safetensors --predictions cuda.txt
quiet
same cpu.stdout stdout "  the same error and loss"
same cpu.txt cuda.txt "  the same predictions"

# Doctor.
known=$(known_digest exact-1)
expect 0 "doctor" doctor
quiet
prints "^card       CUDA on the host, compute capability "
prints "^cuda  *exact-1   exact: $(printf %.16s "$known") (CUDA on the host"
prints "^exact: yes "
with FAIL=cudaGraphLaunch:2:cudaErrorECCUncorrectable expect 3 "doctor of a card that fails" doctor
prints "^cuda  *exact-1   failed: .*cudaErrorECCUncorrectable"
prints "^cpu  *scalar  *exact-1   exact: "
says "cuda: .*cudaErrorECCUncorrectable"

# Several runs at a time: each has the bits that it has alone, and one that fails leaves the others alone.
sed 's/^name: tiny/name: other/; s/batch_size: 32/batch_size: 48/; s/epochs: 3/epochs: 1/; s/drop_epochs: \[2\]/drop_epochs: []/' tiny.yaml > other.yaml
sed 's/epochs: 3,/epochs: 1, seeds: [1, 2],/; s/drop_epochs: \[2\]/drop_epochs: []/' tiny.yaml > two.yaml
expect 0 "on the CPU, two runs at a time" train two.yaml other.yaml --engine cpu --runs alone --together 2
with SEED=7 expect 0 "on the card, three at a time" train two.yaml other.yaml --engine cuda --runs together --together 3
quiet
prints "^other-seed1  *1 "
for run in tiny-seed1 tiny-seed2 other-seed1; do
    same "alone/$run/ledger.txt" "together/$run/ledger.txt" "  the same ledger of $run"
    same "alone/$run/weights.safetensors" "together/$run/weights.safetensors" "  the same weights of $run"
done
with FAIL=cudaMalloc:6:cudaErrorMemoryAllocation expect 3 "one has no memory" train two.yaml other.yaml --engine cuda --runs apart --together 3
says "seed[12]: .*cudaErrorMemoryAllocation"
says "1 of 3 runs ended with an error, and 2 are finished"
says "to go on: .* --together 3 --resume"
expect 0 "  --resume trains it" train two.yaml other.yaml --engine cuda --runs apart --together 3 --resume
for run in tiny-seed1 tiny-seed2 other-seed1; do
    same "alone/$run/weights.safetensors" "apart/$run/weights.safetensors" "  the same weights of $run"
done
expect 2 "the same run twice" train tiny.yaml tiny.yaml --engine cuda --runs twice --together 2
says "two of the runs are called tiny-seed1"
absent twice
expect 0 "a dry run of three" train two.yaml other.yaml --engine cuda --runs dry --together 3 --dry-run
prints "^together:   3 at a time, at most [0-9.]* MiB"
