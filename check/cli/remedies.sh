# What a message tells you to do, done. Other tests follow the remedies of their own subjects: weights.sh those of --key, --rename and --round, cifar10.sh
# those of data, planted.sh those of links, limits.sh that of the stack, manifest.sh those of manifests, fetch.sh those of the store.
needs python3

tiny 'steps: 2, batch_size: 16, schedule: {drop_epochs: []}'
expect 0 "a run" train tiny.yaml --runs runs
ours=runs/tiny-seed1/weights.safetensors

# told PATTERN: what the last message says in brackets of the pattern.
told() { sed -n "s/.*$1.*/\1/p" stderr; }
# reads FILE: the file is read, and holds our weights.
reads() {
    rm -f read.safetensors
    expect 0 "  it is read" convert "$1" read.safetensors
    same "$ours" read.safetensors "  and holds the weights"
}

# ---- files of weights ----------------------------------------------------------------------------------------------------------------------

gzip -c "$ours" > zipped.gz
expect 2 "weights in gzip" inspect zipped.gz
says "gunzip"
gunzip -c zipped.gz > unzipped
reads unzipped
for pair in bzip2:bunzip2 xz:unxz zstd:unzstd; do
    command -v "${pair#*:}" > /dev/null || { echo "skipped: no ${pair#*:} here"; continue; }
    "${pair%:*}" -c "$ours" > packed.file
    expect 2 "weights in ${pair%:*}" inspect packed.file
    says "unpack it first, with ${pair#*:}"
    "${pair#*:}" -c < packed.file > unzipped
    reads unzipped
done
mkdir untarred
tar -cf packed.file -C "$(dirname "$ours")" "$(basename "$ours")"
expect 2 "weights in a tar file" inspect packed.file
says "a tar file: unpack it first, with tar -xf"
tar -xf packed.file -C untarred
reads "untarred/$(basename "$ours")"
python3 -m zipfile -c packed.file "$ours"
expect 2 "weights in a zip file" inspect packed.file
says "if a file of weights is in it, unpack it first, with unzip"
mkdir unzipped.folder
python3 -m zipfile -e packed.file unzipped.folder # as unzip does
reads "unzipped.folder/$(basename "$ours")"

python3 - "$ours" <<'PY'
import json, struct, sys, zipfile
data = open(sys.argv[1], "rb").read()
length, = struct.unpack_from("<Q", data)
header, values = json.loads(data[8:8 + length]), data[8 + length:]
header.pop("__metadata__", None)
def write(path, prefixes):
    new = {}
    for number, prefix in enumerate(prefixes):
        for name, entry in header.items():
            new[prefix + name] = {**entry, "data_offsets": [offset + number * len(values) for offset in entry["data_offsets"]]}
    text = json.dumps(new).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + values * len(prefixes))
write("several.safetensors", ["student.", "teacher."])
header = {name.replace("linear.weight", "linear.matrix"): entry for name, entry in header.items()}
write("renamed.safetensors", [""])
PY
expect 2 "a name that is not usual" eval --weights renamed.safetensors --manifest tiny.yaml
says "If it has another name there, selfsame convert --rename OLD=NEW FILE OUT.safetensors gives it this one"
expect 0 "  renamed" convert --rename matrix=weight renamed.safetensors usual.safetensors
reads usual.safetensors
expect 2 "two networks in one file" eval --weights several.safetensors --manifest tiny.yaml
says "several networks"
rename=$(told 'selfsame convert \(--rename [^ ]*\) FILE')
# shellcheck disable=SC2086 # an option and its value
expect 0 "  with what the message says: $rename" convert $rename several.safetensors one.safetensors
reads one.safetensors

"$SELFSAME" convert "$ours" torch.pth > stdout 2> stderr || fail "convert to torch's format"
python3 - <<'PY'
import zipfile
for method, path in (zipfile.ZIP_BZIP2, "bzip2.pth"), (zipfile.ZIP_STORED, "again.pth"):
    with zipfile.ZipFile("torch.pth") as old, zipfile.ZipFile(path, "w", method) as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item), method)
PY
expect 2 "a zip file of another method" inspect bzip2.pth
says "pack it again without"
reads again.pth

# convert writes all of another network, or says which tensor it cannot write.
python3 - <<'PY'
import struct, zipfile
def npz(path, arrays):
    with zipfile.ZipFile(path, "w") as file:
        for name, (descr, shape, data) in arrays.items():
            head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
            file.writestr(name + ".npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)
real = ("<f4", "(2,)", struct.pack("<2f", 1, 2))
npz("complex.npz", {"theirs.weight": real, "theirs.phase": ("<c8", "(1,)", bytes(8)), "n": ("<i4", "(1,)", bytes(4))})
npz("whole.npz", {"theirs.weight": real, "bn.num_batches_tracked": ("<i8", "(1,)", bytes(8))})
npz("integers.npz", {"num_batches_tracked": ("<i8", "(1,)", bytes(8))})
PY
names=
for _ in 1 2; do
    # shellcheck disable=SC2086 # options and their values
    expect 2 "a tensor that cannot be written" convert $names complex.npz theirs.safetensors
    if [ -e theirs.safetensors ]; then fail "  and a file"; else pass "  and no file"; fi
    names="$names $(told 'selfsame convert \(--rename [^ ]*\) FILE')"
done
# shellcheck disable=SC2086
expect 0 "  with what the messages say:$names" convert $names complex.npz theirs.safetensors
expect 0 "what only a training needs" convert whole.npz again.safetensors
same theirs.safetensors again.safetensors "  is left out"
expect 2 "nothing else" convert integers.npz none.safetensors
says "no tensor of real numbers"
expect 2 "a tensor with the name of the metadata" convert whole.npz named.safetensors --rename theirs.weight=__metadata__
says "cannot have a tensor called __metadata__; selfsame convert --rename __metadata__=NEW"
if [ -e named.safetensors ]; then fail "  and a file"; else pass "  and no file"; fi
expect 0 "  is no fault in torch's format" convert whole.npz named.pth --rename theirs.weight=__metadata__
expect 0 "  and gets another with what the message says" convert named.pth named.safetensors --rename __metadata__=NEW

if command -v git-lfs > /dev/null; then
    export GIT_CONFIG_GLOBAL="$PWD/gitconfig" GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=test GIT_AUTHOR_EMAIL=test GIT_COMMITTER_NAME=test GIT_COMMITTER_EMAIL=test
    { git lfs install && git init -q origin && cp "$ours" origin/w.safetensors && cd origin && git lfs track '*.safetensors' && git add -A &&
        git commit -q -m weights && cd .. && GIT_LFS_SKIP_SMUDGE=1 git clone -q "file://$PWD/origin" clone; } > stdout 2> stderr || fail "git lfs"
    expect 2 "a pointer of Git LFS" inspect clone/w.safetensors
    says "git lfs pull"
    git -C clone lfs pull > stdout 2> stderr
    reads clone/w.safetensors
else
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' > pointer
    expect 2 "a pointer of Git LFS" inspect pointer
    says "git lfs pull"
    echo "skipped: git lfs pull, since it is not here"
fi

if has_modules numpy "pickles and arrays"; then
    "$python" - "$ours" <<'PY'
import json, numpy, pickle, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack_from("<Q", data)
arrays = {}
for name, entry in json.loads(data[8:8 + length]).items():
    if name != "__metadata__":
        begin, end = entry["data_offsets"]
        arrays[name] = numpy.frombuffer(data[8 + length + begin:8 + length + end], "<f4").reshape(entry["shape"])
for protocol in range(6):
    with open(f"protocol{protocol}.pkl", "wb") as file:
        pickle.dump(arrays, file, protocol)
late = bytearray(open("protocol5.pkl", "rb").read())
late[1] = 6
open("protocol6.pkl", "wb").write(late)
outside = []
open("outside.pkl", "wb").write(pickle.dumps({name: pickle.PickleBuffer(array) for name, array in arrays.items()}, 5, buffer_callback=outside.append))
numpy.save("one.npy", arrays["conv1.weight"])
numpy.savez("all.npz", **arrays)
numpy.savez("big.npz", **{name: array.astype(">f4") for name, array in arrays.items()})
pickle.dump({name: array.astype(">f4") for name, array in arrays.items()}, open("big.pkl", "wb"), 4)
tree = {}
for name, array in arrays.items():
    module, leaf = name.rsplit(".", 1)
    tree.setdefault(module, {})[leaf] = array
pickle.dump(tree, open("tree.pkl", "wb"), 4)
PY
    for file in big.npz big.pkl; do
        expect 2 "big-endian arrays in $file" eval --weights $file --manifest tiny.yaml
        says "endian.*: save array.astype(array.dtype.newbyteorder('<'))"
    done
    "$python" -c 'import numpy; numpy.savez("little.npz", **{name: array.astype(array.dtype.newbyteorder("<")) for name, array in numpy.load("big.npz").items()})'
    reads little.npz
    expect 2 "a dict for each module" inspect tree.pkl
    says "save the weights in one dict, under names with dots, as model.state_dict() has them"
    "$python" -c 'import pickle
tree = pickle.load(open("tree.pkl", "rb"))
pickle.dump({f"{module}.{leaf}": array for module, leaves in tree.items() for leaf, array in leaves.items()}, open("flat.pkl", "wb"), 4)'
    reads flat.pkl
    for protocol in 0 1; do
        expect 2 "a pickle of protocol $protocol" inspect protocol$protocol.pkl
        says "write it again with protocol 2 or later"
    done
    expect 2 "a pickle of a protocol to come" inspect protocol6.pkl
    says "protocol 6; 2 to 5 are read"
    for protocol in 2 3 4 5; do reads protocol$protocol.pkl; done
    expect 2 "a pickle with its numbers elsewhere" inspect outside.pkl
    says "without buffer_callback"
    expect 2 "one array of numpy's" inspect one.npy
    says "numpy.savez writes several"
    reads all.npz
fi

printf '\211HDF\r\n\032\n' > keras.h5
expect 2 "an HDF5 file" inspect keras.h5
says "h5py reads its arrays, and numpy.savez writes them"
if has_modules "h5py, numpy"; then
    "$python" -c '
import h5py, numpy, sys
with h5py.File("keras.h5", "w") as file:
    for name, array in numpy.load("all.npz").items():
        file[name] = array
with h5py.File("keras.h5") as file:
    numpy.savez("keras.npz", **{name: file[name][()] for name in file})' 2> stderr || fail "h5py and numpy.savez"
    expect 2 "  by h5py" inspect keras.h5
    reads keras.npz
fi

if has_modules torch "whole modules and TorchScript"; then
    "$python" - "$ours" <<'PY' > stdout 2> stderr || fail "torch writes the files"
import json, struct, sys, torch
data = open(sys.argv[1], "rb").read()
length, = struct.unpack_from("<Q", data)
model = torch.nn.Module()
for name, entry in json.loads(data[8:8 + length]).items():
    if name != "__metadata__":
        begin, end = entry["data_offsets"]
        tensor = torch.frombuffer(bytearray(data[8 + length + begin:8 + length + end]), dtype=torch.float32).reshape(entry["shape"])
        *path, last = name.split(".")
        module = model
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, torch.nn.Module())
            module = getattr(module, part)
        module.register_buffer(last, tensor)
torch.save(model, "module.pth")
torch.jit.save(torch.jit.script(model), "script.pt")
torch.save(list(model.state_dict().values()), "unnamed.pth")

# As torch wrote before 0.1.10: a tar of the storages, the tensors on them, and a pickle that names tensors by number.
import io, pickle, tarfile
class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return keys.get(id(value))
state = dict(model.state_dict())
keys = {id(tensor): number for number, tensor in enumerate(state.values())}
storages, tensors, names = io.BytesIO(), io.BytesIO(), io.BytesIO()
pickle.dump(len(state), storages, 2)
pickle.dump(len(state), tensors, 2)
for number, tensor in enumerate(state.values()):
    pickle.dump((1000 + number, "cpu", torch.FloatStorage), storages, 2)
    storages.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
    pickle.dump((number, 1000 + number, torch.FloatTensor), tensors, 2)
    tensors.write(struct.pack("<ii", tensor.dim(), 0) + struct.pack(f"<{2 * tensor.dim() + 1}q", *tensor.shape, *tensor.stride(), 0))
pickle.dump([], storages, 2)
Pickler(names, 2).dump(state)
with tarfile.open("old.pth", "w", format=tarfile.PAX_FORMAT) as tar:
    for name, file in ("sys_info", io.BytesIO(pickle.dumps({}, 2))), ("pickle", names), ("storages", storages), ("tensors", tensors):
        entry = tarfile.TarInfo(name)
        entry.size = len(file.getvalue())
        tar.addfile(entry, io.BytesIO(file.getvalue()))
PY
    expect 2 "a tar of torch before 0.1.10" inspect old.pth
    says "before 0.1.10: if you trust it"
    "$python" -c "import torch; FILE, OUT = 'old.pth', 'old-weights.pth'; $(told 'with \(torch\.save(.*, OUT)\)')" 2> stderr || fail "the remedy"
    reads old-weights.pth
    # The remedy in the message is run unchanged. Its names exist here: a loaded model, and files.
    expect 2 "a whole module" inspect module.pth
    says "torch.save(model.state_dict(), OUT)"
    "$python" -c "import torch; OUT = 'module-weights.pth'; model = torch.load('module.pth', weights_only=False); $(told 'with \(torch\.save(.*, OUT)\)')" 2> stderr || fail "the remedy"
    reads module-weights.pth
    expect 2 "TorchScript" inspect script.pt
    says "torch.jit.load(FILE)"
    "$python" -c "import torch; FILE, OUT = 'script.pt', 'script-weights.pth'; $(told 'with \(torch\.save(.*, OUT)\)')" 2> stderr || fail "the remedy"
    reads script-weights.pth
    expect 2 "tensors without names" inspect unnamed.pth
    says "without named tensors, .*torch.save(model.state_dict(), OUT)"
fi

# ---- engines and processors ----------------------------------------------------------------------------------------------------------------

run train tiny.yaml --runs gpu --engine cuda
if [ "$status" -eq 3 ]; then
    pass "no GPU: exit 3"
    says "--engine cpu"
    expect 0 "  which trains" train tiny.yaml --runs gpu --engine cpu
    expect 0 "  to the same bits" compare runs/tiny-seed1 gpu/tiny-seed1
else
    echo "skipped: this machine has a GPU"
fi
# A program that was built with CUDA, on a machine without a driver, with the stub that the toolkit links programs against.
stub=$(dirname "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")/../lib64/stubs/libcuda.so
run train tiny.yaml --runs gpu --engine cuda
if grep -q "no NVIDIA driver here (no libcuda.so.1 was found): install it" stderr && [ -e "$stub" ]; then
    mkdir stubs
    ln -s "$stub" stubs/libcuda.so.1
    LD_LIBRARY_PATH="$PWD/stubs" expect 3 "the toolkit's stub in the driver's place" train tiny.yaml --runs gpu --engine cuda
    says "is the toolkit's stub, .*: remove its folder (lib64/stubs) from LD_LIBRARY_PATH"
    expect 3 "  removed, the message is another" train tiny.yaml --runs gpu --engine cuda
    says "no NVIDIA driver here"
else
    echo "skipped: a stub in the driver's place, which takes a build with CUDA, its toolkit, and no driver"
fi
if grep -q '^#define HAVE_X86_64 1' "$(dirname "$SELFSAME")/config.h" && ! grep -q -w avx512bw /proc/cpuinfo; then
    expect 3 "an instruction set that is not here" train tiny.yaml --runs gpu --name isa --isa avx512
    says "leave it out"
    expect 0 "  left out" train tiny.yaml --runs gpu --name isa
fi

expect 2 "fast arithmetic on the CPU" train tiny.yaml --runs fast --arithmetic fast --engine cpu
says "or choose another experiment with --arithmetic exact-1"
expect 0 "  another experiment" train tiny.yaml --runs fast --arithmetic exact-1 --engine cpu

# ---- folders that come with selfsame -------------------------------------------------------------------------------------------------------

# bare WORD...: the program where there are no sources, behind a file system of its own that is mounted on them.
cp "$SELFSAME" program
cp -r "$TOP/experiments" "$TOP/plots" .
bare() {
    unshare --map-root-user --mount sh -c 'mount -t tmpfs none "$1" && shift && exec "$@"' sh "$TOP" ./program "$@" > stdout 2> stderr
    status=$?
}
kept_experiments=$SELFSAME_EXPERIMENTS kept_plots=$SELFSAME_PLOTS
unset SELFSAME_EXPERIMENTS SELFSAME_PLOTS
bare manifest quick/resnet20.yaml
if [ "$status" -eq 2 ] && grep -q 'there is no manifest quick/resnet20.yaml' stderr; then
    says "no experiments folder; set SELFSAME_EXPERIMENTS to the folder that came with selfsame"
    export SELFSAME_EXPERIMENTS="$PWD/experiments"
    bare manifest quick/resnet20.yaml
    if [ "$status" -eq 0 ]; then pass "  set"; else fail "  set: exit $status"; fi
    if command -v gnuplot > /dev/null; then
        bare plot runs/tiny-seed1 --out figures --format svg
        if [ "$status" -eq 3 ]; then pass "no plots folder: exit 3"; else fail "no plots folder: exit $status"; fi
        says "set SELFSAME_PLOTS to the plots folder of its sources"
        export SELFSAME_PLOTS="$PWD/plots"
        bare plot runs/tiny-seed1 --out figures --format svg
        if [ "$status" -eq 0 ]; then pass "  set"; else fail "  set: exit $status"; fi
    fi
else
    echo "skipped: nothing can be mounted here, or selfsame is installed: folders that come with it"
fi
export SELFSAME_EXPERIMENTS="$kept_experiments" SELFSAME_PLOTS="$kept_plots"

# ---- runs ----------------------------------------------------------------------------------------------------------------------------------

expect 2 "a run that is not in the folder" targets tiny-seed1 --runs elsewhere
says "name a run's folder, or pass the runs folder with --runs"
expect 1 "  its folder" targets runs/tiny-seed1
expect 1 "  the runs folder" targets tiny-seed1 --runs runs
expect 2 "a run that is finished" train tiny.yaml --runs runs
says "choose another name with --name"
expect 0 "  another name" train tiny.yaml --runs runs --name again
sed 's/steps: 2/steps: 3/' tiny.yaml > longer.yaml
expect 2 "another experiment by a run's name" train longer.yaml --runs runs
says "choose another name with --name, or another runs folder with --runs"
expect 0 "  another runs folder" train longer.yaml --runs others
expect 0 "  another name" train longer.yaml --runs runs --name longer

cat > epochs.yaml <<YAML
inherit: tiny.yaml
name: epochs
training: {epochs: 3, batch_size: 800}
YAML
expect 0 "two epochs of three" train epochs.yaml --runs runs --epochs 2
cp -r runs/epochs-seed1 part
sed -i 's/"state": "finished"/"state": "interrupted"/; /"record_sha256"/d' part/record.json
# broken NAME: a copy of the run that stopped, to be broken.
broken() { rm -rf runs/epochs-seed1 && cp -r part runs/epochs-seed1; }
broken
expect 2 "a run that exists" train epochs.yaml --runs runs
says "with --resume, or choose another name"
expect 0 "  it goes on" train epochs.yaml --runs runs --resume
broken
mv runs/epochs-seed1/record.json kept.json
mv runs/epochs-seed1/weights.safetensors kept.safetensors
expect 2 "steps without a record or weights" train epochs.yaml --runs runs --resume
says "put that back"
mv kept.safetensors runs/epochs-seed1/weights.safetensors
expect 2 "steps without a record" train epochs.yaml --runs runs --resume
says "put that back"
mv kept.json runs/epochs-seed1/record.json
expect 0 "  it is back" train epochs.yaml --runs runs --resume
broken
cp runs/epochs-seed1/metrics.jsonl kept
sed -i 's/"training_loss": [0-9]/"training_loss": 7/' runs/epochs-seed1/metrics.jsonl
expect 2 "metrics that were edited" train epochs.yaml --runs runs --resume
cp kept runs/epochs-seed1/metrics.jsonl
expect 0 "  the right file is back" train epochs.yaml --runs runs --resume
broken
for checkpoint in runs/epochs-seed1/checkpoints/*; do : > "$checkpoint"; done
expect 2 "no good checkpoint" train epochs.yaml --runs runs --resume
says "to start again, remove that folder"
rm -r runs/epochs-seed1
expect 0 "  removed" train epochs.yaml --runs runs --resume
broken
printf '\001' | dd of=runs/epochs-seed1/weights.safetensors bs=1 seek=9000 conv=notrunc 2> /dev/null
expect 2 "weights that are not the record's: eval" eval --weights runs/epochs-seed1/weights.safetensors
says "or the run was killed while it wrote them; then train --resume repairs them"
expect 2 "  convert" convert runs/epochs-seed1/weights.safetensors out.safetensors
says "then train --resume repairs them"
expect 0 "  repaired" train epochs.yaml --runs runs --resume
expect 0 "  they are used" convert runs/epochs-seed1/weights.safetensors out.safetensors
broken
rm -r runs/epochs-seed1/checkpoints
expect 2 "no checkpoint at all" train epochs.yaml --runs runs --resume
says "choose another name with --name to run it from the start"
expect 0 "  another name" train epochs.yaml --runs runs --name from-the-start

printf 'inherit: tiny.yaml\ntraining: {seeds: [1, 2]}\n' > seeds.yaml
expect 2 "a name for two runs" train seeds.yaml --runs runs --name both
says "name one at a time"
expect 0 "  one at a time" train seeds.yaml --runs runs --name first --seed 1

# ---- folders -------------------------------------------------------------------------------------------------------------------------------

: > file
expect 3 "a runs folder below a file" train tiny.yaml --runs file/runs
says "name another folder"
sum=$(sha256sum "$ours" | cut -d ' ' -f 1)
printf 'inherit: tiny.yaml\nweights: {urls: ["file://%s"], sha256: %s}\n' "$PWD/$ours" "$sum" > weights.yaml
(
    unset SELFSAME_STORE XDG_CACHE_HOME HOME
    run fetch weights.yaml
    [ "$status" -ne 0 ] && grep -q -- "name one with --store" stderr
) && pass "no store: named by --store" || fail "no store: nothing is said of --store"
expect 0 "  with --store" fetch weights.yaml --store store
printf 'inherit: tiny.yaml\nweights: {urls: ["file://%s"], bytes: 5}\n' "$PWD/$ours" > unknown.yaml
expect 2 "weights without a digest" fetch unknown.yaml
says "sha256.*add one of them"
