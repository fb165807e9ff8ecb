#!/usr/bin/env python3
"""Writes vectors/: make_vectors.py SELFSAME FOLDER, with the program and an empty folder to train in.

What a run computes comes from the program: replays, digests of experiments and data, the record. The other outputs are
this implementation's.
"""

import base64
import glob
import json
import os
import re
import shutil
import struct
import subprocess
import sys

import numpy as np

import vectors
from arithmetic import b32
from record import sha256

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")

RECIPES = {
    "exact-1": """
dataset: {training_images: 10, test_images: 10, train_sha256: TRAIN, test_sha256: TEST}
model: {depth: 8}
training: {steps: 3, batch_size: 3, schedule: {drop_epochs: []}}
""",
    "exact-2": """
dataset: {training_images: 40, test_images: 10, train_sha256: TRAIN, test_sha256: TEST}
model: {depth: 8}
training: {steps: 3, batch_size: 5, schedule: {drop_epochs: []}}
arithmetic: exact-2
""",
    "option-a": """
dataset:
  {training_images: 10, test_images: 10, train_sha256: TRAIN, test_sha256: TEST, padding: {mode: zero},
   normalization: {kind: constants, mean: [0.4914, 0.4822, 0.4465], deviation: [0.2023, 0.1994, 0.201]}}
model: {depth: 8, shortcut: pad-both, linear_bias: uniform, final_batch_norm: false,
        batch_norm: {epsilon: 1.0e-05, unbiased_variance: true, initial_variance: 1}}
training: {epochs: 2, batch_size: 6, last_batch: short, seed: 4294967301, optimizer: {form: pytorch},
           schedule: {drop_steps: [2], warmup: {learning_rate: 0.01, epochs: 1}}}
""",
    "projection-bn": """
dataset: {training_images: 10, test_images: 10, train_sha256: TRAIN, test_sha256: TEST,
          padding: {mode: zero, pixels: 2}, normalization: {kind: pixel-mean}}
model: {depth: 8, shortcut: projection-bn, linear_bias: zero, batch_norm: {unbiased_variance: true}}
training: {steps: 2, batch_size: 3, optimizer: {form: pytorch}, augmentation: {flip: false},
           schedule: {drop_epochs: [], warmup: {learning_rate: 0.01, steps: 1}}}
""",
    "pad-end": """
dataset: {training_images: 11, test_images: 10, train_sha256: TRAIN, test_sha256: TEST,
          padding: {mode: zero-raw, pixels: 3}}
model: {depth: 8, shortcut: pad-end}
training: {steps: 3, batch_size: 3, augmentation: {crop: false}, schedule: {drop_steps: [1], drop_factor: 0.3}}
""",
}


def write(name, says, kind, given, output=None, **more):
    vector = {"says": says, "kind": kind, "input": given, **more}
    if "refused" not in vector:
        vector["output"] = vectors.compute(vector, HERE) if output is None else output
    with open(os.path.join(HERE, name + ".json"), "w") as file:
        text = json.dumps(vector, indent=1)
        # lists of plain values on one line
        text = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m[1]) + "]", text)
        file.write(text + "\n")


def train(program, folder, name, body):
    """The folder of the run."""
    path = os.path.join(folder, name + ".yaml")
    digests = {"TRAIN": "0" * 64, "TEST": "0" * 64}
    while True:
        text = f"inherit: quick/resnet20.yaml\nname: {name}\ntargets: []\n{body}"
        for word, digest in digests.items():
            text = text.replace(word, digest)
        with open(path, "w") as file:
            file.write(text)
        done = subprocess.run([program, "train", path, "--runs", folder], capture_output=True, text=True)
        if done.returncode == 0:
            return glob.glob(os.path.join(folder, name + "-*seed*"))[0]
        wrong = re.search(r"(training|validation|test) data have SHA-256 ([0-9a-f]{64})", done.stderr)
        if wrong is None or wrong[2] in digests.values():
            sys.exit(done.stderr)
        digests["TRAIN" if wrong[1] == "training" else "TEST"] = wrong[2]


def replay_output(run, steps):
    with open(os.path.join(run, "ledger.txt")) as file:
        rows = [line.split() for line in file.readlines()[1:]]
    with open(os.path.join(run, "metrics.jsonl")) as file:
        epochs = [json.loads(line) for line in file]
    return {"steps": [[vectors.texts([b32(loss)])[0], int(errors), digest] for _, loss, errors, digest in rows[:steps]],
            "epochs": [{"weights": e["weights_sha256"], "validation_loss": vectors.texts([e["validation_loss"]])[0],
                        "validation_errors": e["validation_errors"]} for e in epochs if e["end_step"] <= steps]}


# ---- refusals ----------------------------------------------------------------------------------------------------

class Forgery:
    """Edits of vectors/record, after which the digests of whole files are right again."""

    def __init__(self):
        self.texts, self.edits = {}, []
        for name in ("record.json", "manifest.yaml", "metrics.jsonl", "ledger.txt"):
            with open(os.path.join(HERE, "record", name)) as file:
                self.texts[name] = file.read()

    def replace(self, name, find, replace):
        assert find in self.texts[name] and find != replace, find
        self.texts[name] = self.texts[name].replace(find, replace)
        self.edits.append({"file": name, "find": find, "replace": replace})
        return self

    def sealed(self):
        record = json.loads(self.texts["record.json"])
        for name, said in (("metrics.jsonl", record["result"]["metrics_sha256"]),
                           ("manifest.yaml", record["manifest"]["sha256"])):
            found = sha256(self.texts[name].encode())
            if found != said:
                self.replace("record.json", said, found)
        lines = self.texts["record.json"].splitlines(keepends=True)
        found = sha256("".join(line for line in lines if '"record_sha256"' not in line).encode())
        if found != record["record_sha256"]:
            self.replace("record.json", record["record_sha256"], found)
        return {"edits": self.edits}


def other_digit(digest):
    return digest[:-1] + ("0" if digest[-1] != "0" else "1")


def refusals():
    with open(os.path.join(HERE, "record", "metrics.jsonl")) as file:
        lines = file.readlines()
        first, last = (json.loads(line) for line in lines)
    with open(os.path.join(HERE, "record", "ledger.txt")) as file:
        ledger = file.readlines()

    def refuse(name, says, refused, given):
        write("refused-" + name, says, "record", given, refused=refused)

    at = 67 * 2 + 40
    refuse("flipped-bit", "one bit of a step's digest is flipped", "chain_sha256",
           {"edits": [{"file": "ledger.txt", "byte": at, "xor": 1}]})
    refuse("record-edited", "record.json was edited after it was written", "record_sha256",
           {"edits": [{"file": "record.json", "find": '"sessions": 1', "replace": '"sessions": 2'}]})
    refuse("metrics-edited", "a number of the last epoch is edited, in metrics.jsonl alone", "metrics.jsonl: SHA-256",
           {"edits": [{"file": "metrics.jsonl", "find": f'"validation_errors": {last["validation_errors"]}',
                       "replace": '"validation_errors": 1'}]})
    refuse("step-missing", "the last step is missing", "steps", {"edits": [{"file": "ledger.txt", "length": 67 * 4}]})
    refuse("step-torn", "the last line is cut short", "ledger.txt:5",
           {"edits": [{"file": "ledger.txt", "length": 67 * 5 - 9}]})
    refuse("wrong-count", "record.json says three steps, and its own digest is right", "steps",
           Forgery().replace("record.json", '"epochs": 2,\n    "steps": 4', '"epochs": 2,\n    "steps": 3').sealed())
    refuse("wrong-epochs", "an epoch is taken out of metrics.jsonl, and its digest is right", "epochs",
           Forgery().replace("metrics.jsonl", lines[1], "").sealed())
    chain = last["chain_sha256"]
    refuse("wrong-chain", "another chain, the same in both files, whose digests are right", "chain_sha256",
           Forgery().replace("metrics.jsonl", chain, other_digit(chain))
           .replace("record.json", chain, other_digit(chain)).sealed())
    weights = last["weights_sha256"]
    refuse("wrong-weights", "another digest of the last weights, the same in both files, whose digests are right",
           "chain_sha256", Forgery().replace("metrics.jsonl", weights, other_digit(weights))
           .replace("record.json", weights, other_digit(weights)).sealed())
    weights = first["weights_sha256"]
    refuse("wrong-earlier-weights", "another digest of the first epoch's weights; metrics.jsonl's own is right",
           "chain_sha256", Forgery().replace("metrics.jsonl", weights, other_digit(weights)).sealed())
    loss = ledger[1].split()[1]
    refuse("wrong-loss", "a step's loss is one unit in the last place lower", "training_loss",
           Forgery().replace("ledger.txt", loss, f"{np.nextafter(b32(loss), b32(0)):.8e}").sealed())
    refuse("unknown-format", "a format that no reader knows", "format",
           Forgery().replace("record.json", '"format": 1', '"format": 2').sealed())
    refuse("other-manifest", "another learning rate in the manifest, whose digest is right", "experiment digest",
           Forgery().replace("manifest.yaml", "learning_rate: 0.01", "learning_rate: 0.02").sealed())
    refuse("key-twice", "a key is in record.json twice", "twice",
           Forgery().replace("record.json", '"state": "finished"', '"state": "failed",\n  "state": "finished"')
           .sealed())


def safetensors(tensors, **change):
    header, data = {}, b""
    for name, w in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(w.shape), "data_offsets": [len(data), len(data) + 4 * w.size],
                        **change}
        data += w.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights_files():
    generator = np.random.default_rng(1)
    tensors = {name: generator.standard_normal(shape).astype(b32)
               for name, shape in (("layer1.2.bn1.bias", (3,)), ("conv1.weight", (2, 3, 1, 1)),
                                   ("layer1.10.bn1.bias", (3,)))}
    tensors["conv1.weight"][0] = [[[-0.0]], [[2.0**-149]], [[1]]]
    data = safetensors(tensors)

    def text(b):
        return base64.b64encode(b).decode()
    write("weights-file", "both digests of a small safetensors file, in base64", "safetensors_digests", text(data))
    for name, says, refused, bad in (
            ("cut", "a weights file without its last byte", "does not fit", data[:-1]),
            ("longer", "a weights file with a byte too many", "bytes of data", data + b"\0"),
            ("type", "a weights file of another type", "does not fit", safetensors(tensors, dtype="I32")),
            ("overlap", "a weights file whose tensors share their data", "gap or an overlap",
             safetensors({n: w for n, w in tensors.items() if w.size == 3}, data_offsets=[0, 12]))):
        write("refused-weights-" + name, says, "safetensors_digests", text(bad), refused=refused)


# ---- everything --------------------------------------------------------------------------------------------------

def main():
    program, folder = sys.argv[1:]
    shutil.rmtree(HERE, ignore_errors=True)
    os.mkdir(HERE)
    runs = {name: train(program, folder, name, body) for name, body in RECIPES.items()}
    given = {}
    for name, run in runs.items():
        with open(os.path.join(run, "manifest.yaml")) as file:
            manifest = file.read()
        with open(os.path.join(run, "record.json")) as file:
            record = json.load(file)
        given[name] = {"manifest": manifest, "seed": record["experiment"]["seed"]}
        write("experiment-" + name, f"the experiment digest of {name}", "experiment_digest", given[name],
              record["experiment"]["sha256"])
        write("replay-" + name, f"the first steps of {name}: loss, errors and ledger digest of each; and every epoch "
              "that they complete", "replay", {**given[name], "steps": 2}, replay_output(run, 2))
        write("first-weights-" + name, f"digests of the weights of {name} before its first step", "first_weights",
              given[name])
        write("input-" + name, f"the input of the first two steps of {name}", "inputs",
              {**given[name], "steps": [0, 1]})
        write("schedule-" + name, f"the steps at which the epochs of {name} end, and the rate of every step",
              "schedule", {**given[name], "images": record["training_data"]["images"]})
    record = os.path.join(HERE, "record")
    os.mkdir(record)
    for name in ("record.json", "manifest.yaml", "metrics.jsonl", "ledger.txt"):
        shutil.copy(os.path.join(runs["option-a"], name), record)
    write("record", "a record whose files agree (its weights are not here)", "record", {"edits": []},
          {"steps": 4, "epochs": 2})
    refusals()
    weights_files()

    write("gradients-exact-1", "the gradients of the first step of exact-1", "gradients", given["exact-1"])
    write("gradients-exact-2", "the gradients of the first step of exact-2", "gradients", given["exact-2"])
    write("random-blocks", "blocks of Philox words: seed, purpose, major, index", "random_blocks",
          [[1, 1, 0, 0], [1, 3, 2, 5], [0, 1, 0, 0], [2**53 - 1, 2, 2**40 + 7, 4294967295], [20151210, 5, 2**32, 3]])
    write("normal", "normal deviates of words, in b64", "normal_deviates",
          ["80000000", "12345678", "00000000", "ffffffff", "7fffffff", "13333333", "13333334", "eccccccc", "ecccccd0",
           "deadbeef"])
    x = [0, -0.0, 1, -1, 0.5, 88.7, 88.73, 89, 89.1, -87.3, -87.4, -100, -103.9, -104, -104.1, 1e-30, -3e-8, 2.5, -20]
    write("exp", "exp of b32", "exponentials", vectors.texts(np.array(x, b32)))
    x = [1, 2, 0.5, 10, 1.4142135623730951, 1.4142135623730954, 1 - 2.0**-53, 2.0**-149, 3e38, 1e-300, 9.999]
    write("log", "log of b64", "logarithms", vectors.texts(np.array(x)))
    generator = np.random.default_rng(2)
    rows = [(1 + 2.0**-23, 1 + 2.0**-23, 0), (1 + 2.0**-12, 1 + 2.0**-12, 2.0**-80), (1 + 2.0**-12, 1 + 2.0**-12, 0),
            (1 + 2.0**-12, 1 + 2.0**-12, -2.0**-80), (2.0**-75, 2.0**-75, 2.0**-149), (2.0**-75, 2.0**-75, 0),
            (2.0**-75, 2.0**-75, 2.0**-148), (-0.0, 1, 0), (-0.0, 1, -0.0), (1, -1, 1), (2.0**127, 2, -2.0**127),
            (2.0**-74, 2.0**-76 * (1 + 2.0**-23), 0), (1.5 * 2.0**-126, 2.0**-23, 2.0**-126)]
    rows += [tuple(row) for row in generator.standard_normal((20, 3))]
    write("fma-b32", "a b c: fma(a, b, c), with double roundings, ties, subnormals and zeros", "fma_binary32",
          [vectors.texts(np.array(row, b32)) for row in rows])
    rows = [(1 + 2.0**-52, 1 + 2.0**-52, -1), (1 + 2.0**-27, 1 + 2.0**-27, 2.0**-120), (0.1, 10, -1), (1 / 3, 3, -1),
            (1 + 2.0**-27, 1 + 2.0**-27, -2.0**-120), (1 + 2.0**-27, 1 + 2.0**-27, 0)]
    rows += [tuple(row) for row in generator.standard_normal((20, 3))]
    write("fma-b64", "a b c: fma(a, b, c) of b64", "fma_binary64", [vectors.texts(np.array(row)) for row in rows])
    trees = [[], [1.0], [-0.0], [-0.0, -0.0], [-0.0, -0.0, -0.0], [1, 2.0**-24, 2.0**-24, 2.0**-24, 2.0**-24],
             [2.0**-149, 2.0**-149, -2.0**-149], generator.standard_normal(37)]
    write("trees", "T32 of lists", "trees_binary32", [vectors.texts(np.array(t, b32)) for t in trees if len(t)])
    write("embedded-images", "SHA-256 of the 3072 bytes of an image of the embedded set: number, label",
          "embedded_images", [[label, label] for label in range(10)] + [[2**32 + 399, 9]])
    write("embedded-sets", "SHA-256 of the records of the embedded set: first image, count", "embedded_sets",
          [[0, 10], [0, 40], [2**32, 10]])
    write("orders", "the order of a pass: seed, images, pass", "orders", [[1, 10, 0], [1, 10, 1], [4294967301, 64, 7]])
    for name in ("exact-1", "option-a", "pad-end"):
        write("batches-" + name, "the images of steps", "batches",
              {**given[name], "images": 11, "steps": [0, 1, 2, 3, 4, 5, 1000000]})
        write("augmentation-" + name, "pass and image: row, column and flip", "augmentations",
              {**given[name], "images": [[0, 0], [0, 1], [0, 9], [1, 0], [5000000000, 3]]})
    steps = [["40200000", 3, "0123456789abcdeffedcba9876543210"], ["3f800000", 0, "0" * 32], ["00000001", 7, "f" * 32]]
    write("chain", "the run chain after two epochs", "run_chain",
          {"experiment": "00" * 31 + "01", "epochs": [{"weights": "11" * 32, "steps": steps[:2]},
                                                      {"weights": "22" * 32, "steps": steps[2:]}]})


if __name__ == "__main__":
    main()
