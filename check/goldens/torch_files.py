"""Writes check/goldens/torch/: small files of PyTorch's own torch.save, in both of its formats, for check/unit/test_torch.c, which knows their numbers
by formula. Written with PyTorch 2.15.0; run as: python3 torch_files.py FOLDER"""
import collections, io, os, struct, sys, zipfile
import torch

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)


def save(name, value, **options):
    for kind, zipped in (("legacy", False), ("zip", True)):
        torch.save(value, os.path.join(folder, f"{name}-{kind}.pt"), _use_new_zipfile_serialization=zipped, **options)


def ramp(*shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(count, dtype=torch.float32) * 0.5 - 1).reshape(shape).to(dtype)


# All kinds of places: a matrix, a scalar, nothing at all, integers, a parameter.
save("plain", collections.OrderedDict([
    ("matrix", ramp(2, 3)), ("scalar", torch.tensor(0.625)), ("empty", torch.zeros(0, 3)), ("bn1.num_batches_tracked", torch.tensor(7)),
    ("parameter", torch.nn.Parameter(ramp(4)))]))

# Four views of one storage.
base = ramp(24)
save("views", {"base": base, "transposed": base.view(4, 6).t(), "tail": base[5:], "every_third": base[::3]})

# Numbers of other types; each has an equal float32: 1 + 2^-10, the least subnormals, infinity.
save("types", {"half": torch.tensor([1 + 2**-10, 2**-24, -65504, float("inf"), -0.0], dtype=torch.float16),
               "brain": torch.tensor([1 + 2**-7, 2**-133, -3.0e38, float("-inf"), 0.0], dtype=torch.bfloat16),
               "double": torch.tensor([1 + 2**-23, 2**-149, -1.5, float("inf")], dtype=torch.float64)})
save("inexact", {"double": torch.tensor([1.0, 0.1], dtype=torch.float64)})

# A checkpoint as training scripts write it.
state = collections.OrderedDict((f"module.{name}", ramp(3)) for name in ("second", "first"))
state._metadata = collections.OrderedDict([("", {"version": 1})])  # as Module.state_dict() has it: a state of the OrderedDict
save("wrapped", {"epoch": 12, "arch": "resnet8", "best_prec1": torch.tensor(91.5), "state_dict": state, "optimizer": {"lr": 0.1}})



def zip64(source, out):
    """The same entries with every size and place in 64 bits, as torch writes them from 4 GiB on."""
    body, directory = bytearray(), bytearray()
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            name, data = info.filename.encode(), archive.read(info)
            facts = struct.pack("<HHHHHI", 45, 0x800, 0, 0, 0x21, info.CRC)
            big = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(body))
            directory += (b"PK\1\2" + struct.pack("<H", 45) + facts + struct.pack("<IIHHHHHII", 2**32 - 1, 2**32 - 1, len(name), len(big), 0, 0, 0, 0, 2**32 - 1)
                          + name + big)
            body += (b"PK\3\4" + facts + struct.pack("<IIHH", 2**32 - 1, 2**32 - 1, len(name), 20) + name
                     + struct.pack("<HHQQ", 1, 16, len(data), len(data)) + data)
    end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, len(archive.namelist()), len(archive.namelist()), len(directory), len(body))
    locator = b"PK\6\7" + struct.pack("<IQI", 0, len(body) + len(directory), 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    with open(out, "wb") as file:
        file.write(body + directory + end64 + locator + end)
    torch.load(out, weights_only=True)  # torch reads it, too


zip64(os.path.join(folder, "views-zip.pt"), os.path.join(folder, "views64-zip.pt"))

class Twice(torch.nn.Module):
    def forward(self, x):
        return x * 2


# What must be refused. (A module's legacy file would hold its class's source text as well.)
torch.save(torch.nn.Linear(2, 1), os.path.join(folder, "module-zip.pt"))
save("protocol4", {"a": ramp(2)}, pickle_protocol=4)
save("nothing", {"a": 1, "b": [1.5, None, (True, False)]})
script = io.BytesIO()
torch.jit.save(torch.jit.script(Twice()), script)
with zipfile.ZipFile(script) as source, zipfile.ZipFile(os.path.join(folder, "script-zip.pt"), "w") as out:
    for entry in source.infolist():
        if not entry.filename.endswith(".debug_pkl"):  # which names this machine's folders
            out.writestr(entry, source.read(entry))
