# Weights in every container: what inspect prints, what convert keeps, what eval measures. neon's layout is written by
# other code. Real PyTorch and the published ResNet-20 are used if they are there.

tiny 'epochs: 1, batch_size: 64, schedule: {drop_epochs: []}'
"$SELFSAME" train tiny.yaml --runs runs > trained 2> /dev/null
ours=runs/tiny-seed1/weights.safetensors
digest=$(sed -n 's/^weights: \([0-9a-f]*\).*/\1/p' trained)

# Our own file.
expect 0 "inspect a run's weights" inspect "$ours"
prints "^container   safetensors"
prints "^SHA-256     $(sha256sum < "$ours" | cut -d' ' -f1)"
prints "^weights     $digest"
prints "^network     depth 8, msra"
prints "^manifest    no manifest in the experiments folder"
prints "^    layer2.0.shortcut.0.weight  *F32   32x16x1x1"
expect 0 "inspect as JSON" inspect "$ours" --format json
prints "\"weights_sha256\": \"$digest\""
prints "\"parameters\": $("$SELFSAME" inspect "$ours" | sed -n 's/^parameters  //p')"
expect 0 "convert it" convert "$ours" copy.safetensors
prints "$digest"
same "$ours" copy.safetensors "  equal weights are equal files"
expect 0 "a checkpoint's weights without its momentum" convert "$(ls runs/tiny-seed1/checkpoints/* | tail -n 1)" checkpoint.safetensors
same "$ours" checkpoint.safetensors "  are the same file"
expect 0 "convert it to torch's zip format" convert "$ours" copy.pth
prints "torch zip, weights $digest"
expect 0 "  and back" convert copy.pth back.safetensors
same "$ours" back.safetensors "  to the same file"
cp back.safetensors kept
expect 2 "convert onto a file that exists" convert copy.pth back.safetensors
says "back.safetensors exists: give another name, or --force to replace it"
echo precious > back.safetensors
expect 0 "  with --force" convert copy.pth back.safetensors --force
same kept back.safetensors "  replaces it"
expect 2 "convert a file onto itself" convert copy.pth copy.pth
says "copy.pth exists"
expect 2 "convert to a format that is not written" convert "$ours" copy.hdf5
says "the suffix chooses the format"
expect 3 "convert to a folder that is not there" convert "$ours" none/copy.safetensors
head -c 5000 "$ours" > short
expect 2 "inspect a file cut short" inspect short
says "truncated"

# eval: a manifest next to the weights, else one that names the file, else none.
expect 0 "eval with the manifest next to the weights" eval --weights "$ours"
cp stdout first
expect 0 "eval with predictions" eval --weights "$ours" --predictions table.txt
echo precious > table.txt
expect 2 "  over a file that exists" eval --weights "$ours" --predictions table.txt
says "table.txt exists: give another name, or --force"
expect 0 "  with --force" eval --weights "$ours" --predictions table.txt --force
if [ "$(head -n 1 table.txt)" = "image	label	prediction" ]; then pass "  they replace it"; else fail "  they do not"; fi
expect 2 "eval without any manifest" eval --weights copy.safetensors
says "there is no manifest next to copy.safetensors"
says "name one with --manifest"
mkdir -p folder/deep
cp -r "$SELFSAME_EXPERIMENTS"/. folder
sha256=$(sha256sum < copy.safetensors | cut -d' ' -f1)
printf 'inherit: %s\nname: by-digest\nweights: {sha256: %s, format: safetensors}\n' "$PWD/tiny.yaml" "$sha256" > folder/deep/long-name-by-digest.yaml
SELFSAME_EXPERIMENTS=$PWD/folder
expect 0 "eval finds the manifest by the SHA-256" eval --weights copy.safetensors
says "folder/deep/long-name-by-digest.yaml names these weights"
same first stdout "  with the same result"
expect 0 "inspect finds it too" inspect copy.safetensors
prints "^manifest    .*/folder/deep/long-name-by-digest.yaml"
printf "inherit: %s\nname: by-prefix\nweights: {sha256_prefix: '%.8s'}\n" "$PWD/tiny.yaml" "$sha256" > folder/prefix.yaml
expect 0 "eval finds one by the digest's start, and prefers the shorter path" eval --weights copy.safetensors
says "folder/prefix.yaml names these weights"
rm folder/prefix.yaml
sed -i 's/format: safetensors/format: neon/' folder/deep/long-name-by-digest.yaml
expect 2 "a manifest that says another format" eval --weights copy.safetensors
says "names another one (weights.format)"
SELFSAME_EXPERIMENTS=$TOP/experiments
expect 2 "eval with neither weights nor manifest" eval
says "needs --weights"
expect 2 "eval with a manifest that names no weights" eval --manifest tiny.yaml
says "names no file of weights"
SELFSAME_STORE=$PWD/store
export SELFSAME_STORE
expect 3 "eval with a manifest whose weights are not in the store" eval --manifest pretrained/akamaster-resnet32.yaml
says "selfsame fetch pretrained/akamaster-resnet32.yaml"

"$TOP/check/tools/pretrained" "$SELFSAME" "$TOP/experiments" > stdout 2> stderr
if [ $? -eq 3 ]; then pass "make check-pretrained without weights: exit 3"; else fail "make check-pretrained without weights: wrong exit"; fi
says "there are no weights to evaluate"

# neon's layout, written by other code from our file: back to the same bytes.
if command -v python3 > /dev/null; then
    for change in "" states fortran; do
        python3 "$TOP/check/goldens/neon_file.py" "$ours" model.p $change
        expect 0 "convert a model of neon's ${change:+($change)}" convert model.p neon.safetensors --force
        same "$ours" neon.safetensors "  to the very file it was made from"
    done
    expect 0 "inspect it" inspect model.p
    prints "^container   neon pickle"
    prints "^it says     epoch_index = 180"
    prints "^it says     neon_version = 1.2.1"
    expect 0 "eval it" eval --weights model.p --manifest tiny.yaml
    same first stdout "  with the same result"
    refuse() {
        python3 "$TOP/check/goldens/neon_file.py" "$ours" bad.p "$1"
        expect 2 "neon: $1" inspect bad.p
        says "$2"
    }
    refuse no-projection "7 convolutions, 1 projections, 8 batch norms and 1 linear layers"
    refuse two-linear "2 linear layers"
    refuse wide-conv "28 x 16, is at the place of conv1.weight, which needs 27 x 16"
    refuse big-endian "not little-endian"
    python3 "$TOP/check/goldens/neon_file.py" "$ours" bad.p call
    expect 0 "neon: a call of os.system next to the weights is ignored" convert bad.p neon.safetensors --force
    same "$ours" neon.safetensors "  and the weights are read"
else
    echo "skipped: no python3 here: neon's layout is not tested"
fi

# Other words for what a batch norm has are usual. What is beside the weights does not matter, unless it may be a weight.
if command -v python3 > /dev/null; then
    python3 - "$ours" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack_from("<Q", data)
header, values = json.loads(data[8:8 + length]), data[8 + length:]
header.pop("__metadata__", None)
def write(path, header, more=b""):
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + values + more)
def beside(name, dtype, shape, count):
    return {**header, name: {"dtype": dtype, "shape": shape, "data_offsets": [len(values), len(values) + count]}}
words = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
def other(name):
    module, leaf = name.rsplit(".", 1)
    return f"{module}.{words[leaf]}" if "bn" in module else name
write("words.safetensors", {other(name): entry for name, entry in header.items()})
write("empty.safetensors", beside("r\u00e9seau", "F32", [0, 3], 0))
write("counter.safetensors", beside("counter", "I64", [], 8), bytes(8))
write("more.safetensors", beside("\u001b[2Jscale", "F32", [1], 4), bytes(4))
PY
    for file in words empty counter; do
        expect 0 "weights with $file" convert $file.safetensors beside.safetensors --force
        same "$ours" beside.safetensors "  are the weights"
    done
    expect 2 "a number more, by a name that clears the screen" eval --weights more.safetensors --manifest tiny.yaml
    says 'no place for the tensor "\\x1b\[2Jscale"'
fi
python=${SELFSAME_PYTHON:-python3}
if "$python" -c 'import numpy' > /dev/null 2>&1; then
    "$python" - "$ours" <<'PY'
import json, numpy, pickle, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack_from("<Q", data)
arrays = {"classes": numpy.array(["cat", "dog"]), "notes": numpy.array([{"by": "me"}], dtype=object), "when": numpy.array(["2016-01-01"], "M8[D]")}
for name, entry in json.loads(data[8:8 + length]).items():
    if name != "__metadata__":
        begin, end = entry["data_offsets"]
        arrays[name] = numpy.frombuffer(data[8 + length + begin:8 + length + end], "<f4").reshape(entry["shape"])
numpy.savez("texts.npz", **arrays)
for protocol in 2, 5:
    pickle.dump(arrays, open(f"texts{protocol}.pkl", "wb"), protocol)
PY
    for file in texts.npz texts2.pkl texts5.pkl; do
        expect 0 "texts, objects and dates beside the weights in $file" convert $file beside.safetensors --force
        same "$ours" beside.safetensors "  are the weights"
    done
fi

# PyTorch opens what convert writes, and we open what PyTorch writes of a whole network.
if has_modules safetensors.numpy; then
    "$python" - "$ours" theirs.safetensors <<'PY'
import sys
from safetensors.numpy import load_file, save_file
save_file(load_file(sys.argv[1]), sys.argv[2])
PY
    expect 0 "inspect what the safetensors package made of our file" inspect theirs.safetensors
    prints "^weights     $digest"
fi
if has_modules torch "its own files are tested in test_torch alone"; then
    for kind in legacy zip half; do
        "$python" "$TOP/check/tools/torch_weights.py" save "$ours" "$kind.pt" "$kind"
        expect 0 "convert PyTorch's $kind file" convert "$kind.pt" "$kind.safetensors"
        [ "$kind" = half ] || same "$ours" "$kind.safetensors" "  to the very file it was made from"
        if "$python" "$TOP/check/tools/torch_weights.py" compare "$kind.pt" "$kind.safetensors" > stdout 2> stderr; then
            pass "  PyTorch's own load gives the same numbers"
        else
            fail "  PyTorch's own load gives other numbers"
        fi
    done
    # The same weights as people have them: each evaluates as the file that they were made from, and what a message names as a remedy works.
    "$python" "$TOP/check/tools/torch_cases.py" "$ours" cases
    for case in compiled lightning ema-key resumable namespace sparse-beside expanded-beside accuracy parameter-attribute protocol3 protocol5 deflated \
        pickled copies; do
        expect 0 "convert a file of the kind $case" convert "cases/$case.pth" "$case.safetensors"
        same "$ours" "$case.safetensors" "  to the very file it was made from"
    done
    expect 0 "convert numpy's arrays in a pickle" convert cases/arrays.pkl arrays.safetensors
    same "$ours" arrays.safetensors "  to the very file it was made from"
    expect 0 "convert numpy's .npz" convert cases/arrays.npz npz.safetensors
    same "$ours" npz.safetensors "  to the very file it was made from"
    expect 0 "inspect the checkpoint with a namespace" inspect cases/namespace.pth
    prints "ignored, and not run: argparse.Namespace"
    expect 2 "convert float64 weights" convert cases/float64.pth float64.safetensors
    says "pass --round to write the nearest"
    expect 0 "  with --round" convert --round cases/float64.pth float64.safetensors
    says "float64, rounded to float32"
    same "$ours" float64.safetensors "  to the very file it was made from"
    expect 2 "convert a file with weights under two keys" convert cases/two.pth two.safetensors
    says "with --key student for example"
    expect 0 "  with --key" convert --key student cases/two.pth two.safetensors
    same "$ours" two.safetensors "  to the very file it was made from"
    expect 2 "eval weights with a tensor too many" eval --weights cases/extra.pth --manifest tiny.yaml
    says "selfsame convert --rename head.weight= FILE OUT.safetensors"
    expect 0 "  left out" convert --rename head.weight= cases/extra.pth extra.safetensors
    same "$ours" extra.safetensors "  to the very file it was made from"
    expect 2 "eval weights with names of their own" eval --weights cases/strange.pth --manifest tiny.yaml
    says "selfsame convert --rename OLD=NEW FILE OUT.safetensors"
    expect 0 "  renamed" convert --rename eins=conv1 --rename zwei=conv2 cases/strange.pth strange.safetensors
    same "$ours" strange.safetensors "  to the very file it was made from"
    expect 2 "  by a part that no name has" convert --rename drei=conv3 cases/strange.pth none.safetensors
    says "no tensor's name has the part drei"
    expect 2 "inspect a whole module" inspect cases/module.pth
    says "torch.save(model.state_dict(), OUT)"
    if [ -n "${SELFSAME_CIFAR10:-}" ]; then
        "$python" "$TOP/check/tools/torch_styles.py" styles "$SELFSAME_CIFAR10" 500
        for style in torchvision kuangliu stem order; do
            expect 0 "eval a network in the style $style" eval --weights "styles/$style.pth" --manifest "styles/$style.yaml" --data "$SELFSAME_CIFAR10" \
                --predictions predictions --force
            equal=$(tail -n +2 predictions | head -n 500 | cut -f3 | paste -d' ' - "styles/$style.txt" | awk '$1 == $2' | wc -l)
            if [ "$equal" -ge 499 ]; then pass "  $equal of 500 predictions are PyTorch's"; else fail "  only $equal predictions are PyTorch's"; fi
        done
    fi
    if "$python" "$TOP/check/tools/torch_weights.py" compare copy.pth "$ours" > stdout 2> stderr; then
        pass "PyTorch opens the zip file that convert writes, as weights only, with the same numbers"
    else
        fail "PyTorch does not read the zip file that convert writes"
    fi
fi

# The published ResNet-20, from the shared data folder next to the checkout.
shared=${SELFSAME_SHARED:-$TOP/../shared/data}
published=$shared/weights/resnet20-12fca82f.th
if [ -f "$published" ]; then
    expect 0 "inspect the published ResNet-20" inspect "$published"
    prints "^container   torch legacy, 1099231 bytes"
    prints "^parameters  269722"
    prints "^weights     a16675baf0a80e71cfbcd46b581a51810b66e8e8a0a80cfa614a83eb63a0f5bd"
    prints "^network     depth 20, paper or akamaster"
    prints "^manifest    .*/pretrained/akamaster-resnet20.yaml"
    prints "^it says     best_prec1 = 91.78"
    data=${SELFSAME_CIFAR10:-}
    if [ -z "$data" ] && "$python" "$shared/cifar10/unpack" cifar > /dev/null 2>&1; then
        data=cifar
    fi
    if [ -n "$data" ]; then
        expect 0 "eval it without a manifest" eval --weights "$published" --data "$data" --predictions predictions --force
        prints "^error: 8.27 % (827 of 10000)"
        equal=$(tail -n +2 predictions | cut -f3 | paste -d' ' - "$shared/weights/resnet20-12fca82f.predictions.txt" | awk '$1 == $2' | wc -l)
        if [ "$equal" -ge 9999 ]; then pass "  $equal of 10,000 predictions are PyTorch's"; else fail "  only $equal predictions are PyTorch's"; fi
        expect 0 "eval it by its manifest, which names the test images" eval --weights "$published" --data "$data" --manifest pretrained/akamaster-resnet20.yaml
        prints "^error: 8.27 % (827 of 10000)"
        WEIGHTS=$shared/weights "$TOP/check/tools/pretrained" "$SELFSAME" "$TOP/experiments" "$data" > stdout 2> stderr
        if [ $? -eq 0 ]; then pass "make check-pretrained: exit 0"; else fail "make check-pretrained says no"; fi
        prints "^pretrained-akamaster-resnet20 *8.22 *8.27 *8.27  as published"
        prints "^pretrained-akamaster-resnet56 *not here"
        expect 0 "convert it" convert "$published" published.safetensors
        expect 0 "eval the converted file" eval --weights published.safetensors --data "$data" --manifest pretrained/akamaster-resnet20.yaml
        prints "^error: 8.27 % (827 of 10000)"
    else
        echo "skipped: no CIFAR-10 here (SELFSAME_CIFAR10 names its folder): the published weights are not evaluated"
    fi
else
    echo "skipped: no shared data folder next to the checkout: the published weights are not tested"
fi
