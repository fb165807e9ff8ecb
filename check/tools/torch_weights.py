"""PyTorch's side of check/cli/weights.sh.

    torch_weights.py save IN.safetensors OUT.pt legacy|zip|half   what torch.save writes of these weights, as a training script would
    torch_weights.py compare FILE.pt FILE.safetensors             exit 1 unless torch.load's numbers are those of the safetensors file, bit for bit"""
import collections, json, struct, sys
import torch


def read_safetensors(path):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    length, = struct.unpack_from("<Q", data)
    header = json.loads(bytes(data[8:8 + length]))
    tensors = collections.OrderedDict()
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = torch.frombuffer(bytearray(data[8 + length + begin:8 + length + end]), dtype=torch.float32).reshape(entry["shape"])
    return tensors


def save(source, out, kind):
    state = collections.OrderedDict(("module." + name, tensor.half() if kind == "half" else tensor) for name, tensor in read_safetensors(source).items())
    state["module.bn1.num_batches_tracked"] = torch.tensor(25)
    torch.save({"state_dict": state, "best_prec1": 50.0}, out, _use_new_zipfile_serialization=kind != "legacy")


def compare(ours, theirs):
    state = torch.load(ours, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    loaded = {name.removeprefix("module."): tensor.float() for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    read = read_safetensors(theirs)
    same = loaded.keys() == read.keys() and all(torch.equal(loaded[name].view(torch.int32), read[name].view(torch.int32)) for name in read)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    {"save": save, "compare": compare}[sys.argv[1]](*sys.argv[2:])
