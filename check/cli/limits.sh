# A machine with a small stack or little memory: a clear error, never a signal.

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
dataset: {test_images: 10, test_sha256: any}
training: {epochs: 1, batch_size: 500, schedule: {drop_epochs: []}}
targets: []
YAML

# limited LETTER VALUE WORD...: runs the program under that limit of ulimit's.
limited() {
    letter=$1 value=$2
    shift 2
    (
        # shellcheck disable=SC3045 # the letters are those that every shell with a ulimit has
        ulimit "-$letter" "$value"
        exec "$SELFSAME" "$@" > stdout 2> stderr < /dev/null
    )
    status=$?
}
# With less than 32 KiB the dynamic loader itself may not get as far as main(): it depends on the environment's size.
for kib in 32 64 128 255; do
    limited s $kib manifest tiny.yaml
    if [ "$status" -eq 3 ]; then pass "a stack of $kib KiB: exit 3"; else fail "a stack of $kib KiB: exit $status"; fi
    says "the stack is limited to $kib KiB, but selfsame needs 256: run ulimit -s 8192 first"
done
limited s 8192 manifest tiny.yaml
if [ "$status" -eq 0 ]; then pass "a stack of 8,192 KiB, as the message says"; else fail "a stack of 8,192 KiB: exit $status"; fi
# What is said to be enough is.
rm -rf runs
for words in "train tiny.yaml --runs runs --threads 2" "eval --weights runs/tiny-seed1/weights.safetensors" "inspect runs/tiny-seed1/weights.safetensors" \
    "compare runs/tiny-seed1 runs/tiny-seed1" "runs --runs runs" "targets runs/tiny-seed1" "convert runs/tiny-seed1/weights.safetensors w.pth" "inspect w.pth" \
    "fetch tiny.yaml" "fetch --list --verify" "plot runs/tiny-seed1 --out figures --format svg"; do
    # shellcheck disable=SC2086 # words
    limited s 256 $words
    if [ "$status" -le 3 ]; then pass "a stack of 256 KiB: $words: exit $status"; else fail "a stack of 256 KiB: $words: exit $status"; fi
done

# A dry run says how much memory a training would take, and takes none of it.
sed 's/depth: 8/depth: 9998/; s/batch_size: 500/batch_size: 128/' tiny.yaml > deep.yaml
limited v 1000000 train deep.yaml --dry-run
if [ "$status" -eq 0 ]; then pass "depth 9998 in 1 GB, --dry-run"; else fail "depth 9998 in 1 GB, --dry-run: exit $status"; fi
prints "^engine: .*cpu, [0-9]\{5,\}\.[0-9] MiB"
limited v 1000000 train deep.yaml --runs runs
if [ "$status" -eq 3 ]; then pass "and without it: exit 3"; else fail "without it: exit $status"; fi
says "out of memory\|no memory\|not enough memory"

# More threads than there is room for their stacks.
limited v 2000000 train tiny.yaml --runs runs --name threads --threads 256
if [ "$status" -eq 3 ]; then pass "256 threads in 2 GB: exit 3"; else fail "256 threads in 2 GB: exit $status"; fi
says "of 256 threads: .*; ask for fewer with --threads"
limited v 2000000 train tiny.yaml --runs runs --name threads --threads 2
if [ "$status" -eq 0 ]; then pass "  with fewer: exit 0"; else fail "  with fewer: exit $status"; fi

# On a full disk a run can be deleted: that is how it gets room.
(
    ulimit -f 0
    exec "$SELFSAME" delete runs/threads --yes > /dev/null 2>&1 < /dev/null
)
status=$?
if [ "$status" -eq 0 ] && [ ! -e runs/threads ]; then pass "delete without room for a file: exit 0"; else fail "delete without room for a file: exit $status"; fi

# However little there is, nothing ends in a signal.
signals=0
for kib in 20000 30000 40000 45000 50000 55000 60000 65000 70000 80000 100000 120000 150000; do
    for words in "manifest tiny.yaml" "train tiny.yaml --runs runs --name m$kib" "inspect runs/tiny-seed1/weights.safetensors" "compare runs/tiny-seed1 runs/tiny-seed1"; do
        # shellcheck disable=SC2086 # words
        limited v $kib $words
        [ "$status" -lt 126 ] || { [ "$status" -eq 127 ] && [ ! -s stdout ]; } || { signals=$((signals + 1)); echo "$kib kB, $words: exit $status"; }
    done
done
if [ $signals -eq 0 ]; then pass "no signal for want of memory"; else fail "$signals signals for want of memory"; fi
