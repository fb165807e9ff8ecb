# CIFAR-10 as people have it, with black images: where it is found, what is refused, and what is said of other test images.
needs python3

mkdir -p all/cifar-10-batches-bin
for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    truncate -s 30730000 all/cifar-10-batches-bin/$name.bin
done
zeros=$(cat all/cifar-10-batches-bin/data_batch_?.bin | sha256sum | cut -d ' ' -f 1)
test_zeros=$(sha256sum all/cifar-10-batches-bin/test_batch.bin | cut -d ' ' -f 1)
cat > black.yaml <<YAML
inherit: akamaster/resnet20.yaml
name: black
model: {depth: 8}
dataset: {train_sha256: $zeros}
training: {steps: 1, batch_size: 2, schedule: {drop_epochs: []}}
targets: [{metric: final_error, value: 90, tolerance: 100, source: nobody}]
YAML

# Other test images than the manifest's are refused; both remedies of the message are followed.
expect 2 "training with other test images" train black.yaml --runs runs --data all
says "the test data have SHA-256 $test_zeros, but the manifest black.yaml expects 8e2eb146.*dataset.test_sha256.*--any-test-data"
expect 0 "  with --any-test-data" train black.yaml --runs runs --data all --any-test-data
says "test data of SHA-256 $test_zeros, not CIFAR-10's test set"
prints "^error: .*; not CIFAR-10's test set"
if grep -q "test data of SHA-256 $test_zeros, not CIFAR-10's test set" runs/black-seed1/record.json; then pass "  the record says so"; else fail "  the record does not say so"; fi
printf 'inherit: black.yaml\nname: stated\ndataset: {test_sha256: %s}\n' "$test_zeros" > stated.yaml
expect 0 "  with a manifest that states their digest" train stated.yaml --runs runs --data all
prints "^error: .*; not CIFAR-10's test set"
expect 0 "  the bits are the same" compare runs/black-seed1 runs/stated-seed1
expect 0 "  and the record's own manifest trains it again" train runs/black-seed1/manifest.yaml --runs again --data all
expect 0 "    to the same bits" compare runs/black-seed1 again/black-seed1
expect 1 "targets" targets runs/black-seed1
prints "black-seed1 .*not-comparable: not CIFAR-10's"
expect 1 "  of the other, too" targets runs/stated-seed1
prints "stated-seed1 .*not-comparable: not CIFAR-10's"
expect 0 "runs" runs --runs runs
says "black-seed1: its errors were measured on other test data"
if command -v gnuplot > /dev/null; then
    expect 0 "a figure" plot runs/black-seed1 --out figures --format svg
    if grep -q "not CIFAR-10's test set\|not CIFAR-10&#39;s test set\|not CIFAR-10&apos;s test set" figures/*.svg; then pass "  says so"; else fail "  does not say so"; fi
fi

weights=runs/black-seed1/weights.safetensors
# finds "what" PATH: an evaluation there; the manifest's normalisation is constant, so that the test batch is enough.
finds() {
    expect 0 "$1" eval --weights $weights --manifest stated.yaml --data "$2"
    prints "^error: .* of 10000)"
}
expect 2 "an evaluation on other test images" eval --weights $weights --manifest black.yaml --data all
says "any-test-data"
expect 0 "  with --any-test-data" eval --weights $weights --manifest black.yaml --data all --any-test-data
prints "^data: .*not CIFAR-10's test set, SHA-256 $test_zeros"
finds "all of it" all
prints "^data: .*not CIFAR-10's test set, SHA-256 $test_zeros"
mkdir -p alone two/cifar-10-batches-py twice/cifar-10-batches-bin packed renamed
ln all/cifar-10-batches-bin/test_batch.bin alone/
finds "a test batch alone" alone
cp -r all/cifar-10-batches-bin twice/cifar-10-batches-bin/
finds "a folder nested twice" twice
tar -C all -cf - cifar-10-batches-bin/test_batch.bin | gzip -1 > packed/cifar-10-binary.tar.gz
finds "an archive alone in a folder" packed
finds "the archive itself" packed/cifar-10-binary.tar.gz
cp packed/cifar-10-binary.tar.gz renamed/download.tgz
finds "an archive by another name" renamed
if [ "$(ls packed)" = cifar-10-binary.tar.gz ]; then pass "  nothing was unpacked next to it"; else fail "  next to it: $(ls packed)"; fi
python3 - <<'PYTHON'
import struct
def text(data): return b"X" + struct.pack("<I", len(data)) + data
def integer(number): return b"M" + struct.pack("<H", number)
def array(kind, shape, data):
    return (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + integer(0) + b"\x85" + text(b"b") + b"\x87R(" + integer(1) + b"("
            + b"".join(map(integer, shape)) + b"tcnumpy\ndtype\n" + text(kind) + integer(0) + integer(1) + b"\x87R(" + integer(3) + text(b"|" if kind == b"u1" else b"<")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + integer(0) + b"tb\x89T" + struct.pack("<i", len(data)) + data + b"tb")
images = array(b"u1", (10000, 3, 32, 32), bytes(30720000))
labels = array(b"i8", (10000,), bytes(80000))
open("two/cifar-10-batches-py/test_batch", "wb").write(b"\x80\x02}(" + text(b"data") + images + text(b"labels") + labels + b"u.")
last = array(b"u1", (10000, 32, 32, 3), bytes(30720000))
import os
for folder in "last", "hundred", "hundred-inside/cifar-100-python":
    os.makedirs(folder)
open("last/test_batch", "wb").write(b"\x80\x02}(" + text(b"data") + last + text(b"labels") + labels + b"u.")
open("hundred/test_batch", "wb").write(b"\x80\x02}(" + text(b"data") + images + text(b"fine_labels") + labels + b"u.")
open("hundred-inside/cifar-100-python/test", "wb").write(b"x")
PYTHON
finds "the Python version, four dimensions, labels as an array" two
mkdir two/cifar-10-batches-bin
finds "  next to an empty folder of the binary version" two
head -c 30000000 /dev/zero > two/cifar-10-batches-bin/test_batch.bin
finds "  next to a broken one" two

# refused PATTERN PATH
refused() {
    expect 2 "$2" eval --weights $weights --manifest stated.yaml --data "$2"
    says "$1"
}
refused "last/test_batch: .*channels last" last
if has_modules numpy "images with the channels last"; then
    # The remedy in the message is run unchanged, on the array that the file holds.
    "$python" -c "
import pickle
batch = pickle.load(open('last/test_batch', 'rb'))
data = batch['data']
batch['data'] = $(sed -n 's/.*save \(data\.transpose([0-9, ]*)\).*/\1/p' stderr)
pickle.dump(batch, open('last/test_batch', 'wb'), 2)" 2> failed || fail "the remedy"
    finds "  transposed" last
fi
refused "hundred/test_batch is a file of CIFAR-100" hundred
refused "contains CIFAR-100" hundred-inside
printf '\037\213' > damaged.tar.gz
refused "damaged.tar.gz is damaged" damaged.tar.gz
mkdir empty
refused "empty does not contain CIFAR-10" empty
refused "cannot open nowhere" nowhere
expect 2 "training with a test batch alone" train stated.yaml --runs runs --name alone --data alone
says "alone/data_batch_1.bin, which is part of CIFAR-10"
expect 2 "training with an archive of the test batch alone" train stated.yaml --runs runs --name alone --data packed
says "does not contain data_batch_1"

# A batch that is missing, downloaded.
tar -C all -czf whole.tar.gz cifar-10-batches-bin
cat > fetched.yaml <<YAML
inherit: stated.yaml
name: fetched
dataset: {archives: [{urls: ["file://$PWD/whole.tar.gz"], bytes: $(wc -c < whole.tar.gz), sha256: $(sha256sum whole.tar.gz | cut -d ' ' -f 1)}]}
YAML
expect 2 "a folder without a batch" train fetched.yaml --runs runs --data alone
says "selfsame fetch downloads it"
expect 2 "an archive without a batch" train fetched.yaml --runs runs --data packed
says "selfsame fetch downloads the whole"
expect 0 "  fetched" fetch fetched.yaml
expect 0 "  it trains" train fetched.yaml --runs runs
expect 0 "  to the same bits" compare runs/stated-seed1 runs/fetched-seed1

# The real images, if they, the cases that people reported and a Python with numpy are there.
cases=$TOP/../shared/cases/data.py
resnet20=$TOP/../shared/data/weights/resnet20-12fca82f.th
if [ -n "${SELFSAME_CIFAR10:-}" ] && [ -f "$cases" ] && [ -f "$resnet20" ] && has_modules numpy "the cases that people reported"; then
    "$python" "$cases" "$SELFSAME_CIFAR10" cases
    for case in cases/*; do
        run eval --weights "$resnet20" --manifest akamaster/resnet20.yaml --data "$case"
        case $case in
        */cifar-100 | */damaged-archive | */images-nhwc) if [ "$status" -eq 2 ]; then pass "$case: refused"; else fail "$case: exit $status"; fi ;;
        *) if grep -q "(827 of 10000)" stdout; then pass "$case: 827 errors"; else fail "$case: other errors"; fi ;;
        esac
    done
else
    echo "skipped: the cases with CIFAR-10's own images"
fi
