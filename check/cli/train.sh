# Bad input and bad surroundings of train and eval: a clear error, the right exit status, nothing lost or half-written.

tiny 'epochs: 3, batch_size: 64, schedule: {drop_epochs: [2]}'
expect 0 "a run" train tiny.yaml --runs runs
prints "^weights: [0-9a-f]\{64\}"
cp -r runs kept

# Names, locks, other manifests.
expect 2 "a finished run is left alone" train tiny.yaml --runs runs
says "finished"
sed 's/epochs: 3,/epochs: 4,/' tiny.yaml > other.yaml
expect 2 "a run of that name with another manifest" train other.yaml --runs runs
says "another experiment"
expect 2 "and not with --resume either" train other.yaml --runs runs --resume
# The lock names the process that asked last.
if diff -r -x .lock kept runs > stdout; then pass "  and not a byte of it has changed"; else fail "  but its files have changed"; fi
expect 2 "--name with a slash" train tiny.yaml --runs runs --name a/b
expect 0 "--name and --seed" train tiny.yaml --runs runs --name named --seed 7
if [ -d runs/named ]; then pass "  the run is called so"; else fail "  no run called so"; fi
"$SELFSAME" train tiny.yaml --runs locked --name long --isa scalar > /dev/null 2>&1 &
process=$!
grows "$process" locked/long/ledger.txt 0
expect 3 "two processes on one run" train tiny.yaml --runs locked --name long --resume
says "locked/long is in use by process $process;"
kill -9 "$process"
wait "$process" 2> /dev/null

# Other test images make the same experiment, but one run has the errors on one set of them.
sed 's/^targets:/dataset: {test_images: 10, test_sha256: any}\n&/' tiny.yaml > ten.yaml
expect 0 "an epoch on other test images" train ten.yaml --runs tests --epochs 1
expect 2 "  the rest on the manifest's" train tiny.yaml --runs tests --resume
says "tiny-seed1 measures its errors on test data of SHA-256 [0-9a-f]*, not d7f366ba.*; give the same data"
expect 0 "  the same" train ten.yaml --runs tests --resume --epochs 2
expect 0 "  the other way round" train tiny.yaml --runs tests --name other --epochs 1
expect 2 "    is refused, too" train ten.yaml --runs tests --name other --resume
expect 0 "  another name" train ten.yaml --runs tests --name another --resume --epochs 1

# Checkpoints.
"$SELFSAME" train tiny.yaml --runs half --epochs 2 > /dev/null 2>&1
newest=$(ls half/tiny-seed1/checkpoints/* | tail -n 1)
cp "$newest" whole_checkpoint
head -c 100000 whole_checkpoint > "$newest"
expect 0 "the newest checkpoint cut short: the one before it" train tiny.yaml --runs half --resume
says "$(basename "$newest")"
expect 0 "  with the same bits" compare runs/tiny-seed1 half/tiny-seed1
for file in flip none; do
    rm -rf half
    "$SELFSAME" train tiny.yaml --runs half --epochs 2 > /dev/null 2>&1
    for checkpoint in half/tiny-seed1/checkpoints/*; do
        if [ "$file" = flip ]; then
            printf '\001' | dd of="$checkpoint" bs=1 seek=5000 conv=notrunc 2> /dev/null
        else
            : > "$checkpoint"
        fi
    done
    expect 2 "no good checkpoint ($file)" train tiny.yaml --runs half --resume
    says "checkpoint"
done

# Data.
expect 3 "CIFAR-10 without --data" train msra/resnet20.yaml --runs runs
says "not in the store .*selfsame fetch msra/resnet20.yaml downloads it .* --data"
mkdir empty
expect 2 "a folder without CIFAR-10" train msra/resnet20.yaml --runs runs --data empty
says "data_batch_1.bin"
mkdir data
for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do head -c 30730000 /dev/zero > data/$file.bin; done
expect 2 "other data than the manifest's" train msra/resnet20.yaml --runs runs --data data
says "SHA-256"
printf '\012' | dd of=data/data_batch_3.bin bs=1 seek=3073 conv=notrunc 2> /dev/null
expect 2 "a label over 9" train msra/resnet20.yaml --runs runs --data data
says "data_batch_3.bin.*3073"
head -c 30729999 /dev/zero > data/data_batch_2.bin
expect 2 "a file that is short" train msra/resnet20.yaml --runs runs --data data
says "data_batch_2.bin"
head -c 30730001 /dev/zero > data/data_batch_2.bin
expect 2 "a file that is long" train msra/resnet20.yaml --runs runs --data data
says "data_batch_2.bin"
rm -rf data

# Engines.
expect 2 "an unknown instruction set" train tiny.yaml --isa sse9 --runs runs --name isa
says "unknown instruction set 'sse9'"
expect 2 "an unknown engine" train tiny.yaml --engine tpu --runs runs --name engine
says "cpu|cuda|cudnn"
expect 2 "an engine for other arithmetic" train tiny.yaml --engine cudnn --runs runs --name engine
says "the arithmetic is exact-1, which the engine cudnn does not compute; pass --engine cpu"
if [ -e runs/engine ]; then fail "  a folder runs/engine"; else pass "  no folder runs/engine"; fi

# A dry run says what the run itself comes to.
expect 0 "a dry run" train tiny.yaml --dry-run --runs runs --name dry
prints "experiment: [0-9a-f]\{64\}"
prints "engine:     cpu, [0-9.]* MiB"
if [ -e runs/dry ]; then fail "  a folder runs/dry"; else pass "  no folder runs/dry"; fi

# Surroundings. As root nothing is forbidden, so a file takes the place of the folder.
: > file
expect 3 "a runs folder below a file" train tiny.yaml --runs file/runs
says "cannot make the folder file/runs.*: file is a file"
if [ "$(id -u)" -ne 0 ]; then
    mkdir closed && chmod 500 closed
    expect 3 "an unwritable runs folder" train tiny.yaml --runs closed
    says "closed"
fi
(
    ulimit -f 100 # in units of 512 bytes: less than a checkpoint
    "$SELFSAME" train tiny.yaml --runs limited > stdout 2> stderr
)
if [ $? -eq 3 ]; then pass "a file that may not grow: exit 3"; else fail "a file that may not grow: another exit"; fi
says "File too large"
if [ -z "$(find limited -name '*.safetensors*')" ]; then pass "  nothing half-written"; else fail "  half-written files"; fi

# A disk of 600 KiB, in a name space of its own: full in the second epoch, and gone on with once there is room.
cat > full_disk.sh <<'SCRIPT'
mount -t tmpfs -o size=600k tmpfs disk || exit 77
"$SELFSAME" train tiny.yaml --runs disk > stdout 2> stderr
echo $? > full.status
find disk -type f -size 0 ! -name .lock > empty_files
mount -o remount,size=4m disk
"$SELFSAME" train tiny.yaml --runs disk --resume > resumed.stdout 2> resumed.stderr
echo $? > resumed.status
cp -r disk/tiny-seed1 after_full
SCRIPT
mkdir disk
if ! unshare -rm true 2> unshare.stderr; then
    echo "skipped: a full disk, since this system gives nobody a name space: $(cat unshare.stderr)"
    full=77
else
    unshare -rm sh full_disk.sh 2> unshare.stderr
    full=$?
    [ "$full" -ne 77 ] || echo "skipped: a full disk, since this system lets nobody mount one: $(cat unshare.stderr)"
fi
if [ "$full" -eq 0 ]; then
    if [ "$(cat full.status)" -eq 3 ]; then pass "a full disk: exit 3"; else fail "a full disk: exit $(cat full.status)"; fi
    says "No space left on device; free some space"
    if [ ! -s empty_files ]; then pass "  nothing half-written"; else fail "  half-written: $(cat empty_files)"; fi
    if [ "$(cat resumed.status)" -eq 0 ]; then pass "  resumed once there is room"; else fail "  not resumed: $(cat resumed.stderr)"; fi
    expect 0 "  with the same bits" compare runs/tiny-seed1 after_full
elif [ "$full" -ne 77 ]; then
    cp unshare.stderr stderr
    fail "a full disk: the script for it ended with exit $full"
fi
"$SELFSAME" train tiny.yaml --runs runs --name nobody > /dev/full 2> stderr
if [ $? -eq 3 ]; then pass "standard output full: exit 3"; else fail "standard output full: another exit"; fi
says "standard output"

# Evaluation.
expect 0 "eval of a run's weights" eval --weights runs/tiny-seed1/weights.safetensors --predictions predictions.txt
prints "^error: [0-9.]* % ([0-9]* of 400)"
run train tiny.yaml --runs again
grep -o '([0-9]* of 400)' stdout > trained
"$SELFSAME" eval --weights again/tiny-seed1/weights.safetensors | grep -o '([0-9]* of 400)' > evaluated
same trained evaluated "  the error that training printed"
if [ "$(wc -l < predictions.txt)" -eq 401 ]; then pass "  a heading and a prediction for each image"; else fail "  not a heading and a prediction for each image"; fi
expect 0 "eval of a run's checkpoint" eval --weights "$(find runs/tiny-seed1/checkpoints -name '*.safetensors' | sort | tail -n 1)"
grep -o '([0-9]* of 400)' stdout > evaluated
same trained evaluated "  its run's error"
cp runs/tiny-seed1/weights.safetensors lost.safetensors
expect 2 "weights without a manifest" eval --weights lost.safetensors
says "manifest"
expect 2 "weights of another network" eval --weights lost.safetensors --manifest quick/resnet20.yaml
says "lost.safetensors belong to another network than the manifest's: model.depth 8 instead of 20"
head -c 1000 lost.safetensors > cut.safetensors
expect 2 "weights cut short" eval --weights cut.safetensors --manifest tiny.yaml
says "cut.safetensors"
expect 2 "weights that are not there" eval --weights gone.safetensors --manifest tiny.yaml
says "gone.safetensors"

# A training that diverges names step and tensor, and exits 1.
sed 's/name: tiny/name: wild/; s/drop_epochs: \[2\]/drop_epochs: [2], learning_rate: 1000/' tiny.yaml > wild.yaml
sed -i 's/training: {/training: {optimizer: {weight_decay: 1}, /' wild.yaml
expect 1 "a training that becomes non-finite" train wild.yaml --runs runs
says "step [0-9]* (from 1): a number that is not finite"
diverged=$(sed -n 's/.* step \([0-9]*\) (from 1): .*/\1/p' stderr)
expect 1 "  which trace names in the same way" trace runs/wild-seed1 --step "$diverged"
says "step $diverged: .*; the trace is written"
