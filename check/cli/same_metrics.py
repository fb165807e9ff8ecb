"""same_metrics.py FORMAT OURS THEIRS: a run of three epochs has the same metrics after its way through a format and back.

csv keeps every number. mlflow and tensorboard do not keep how many images there were, and tensorboard rounds to binary32.
A run that came back has no digests: selfsame did not compute it.
"""
import json
import struct
import sys

form, *names = sys.argv[1:]
ours, theirs = ([json.loads(line) for line in open(f"runs/{name}/metrics.jsonl")] for name in names)
assert len(ours) == len(theirs) == 3
for x, y in zip(ours, theirs):
    for key, value in x.items():
        if key.endswith("sha256") or key == "validation_images" and form != "csv":
            value = None
        elif form == "tensorboard" and isinstance(value, float):
            value, = struct.unpack("<f", struct.pack("<f", value))
        assert y[key] == value, (key, value, y[key])
