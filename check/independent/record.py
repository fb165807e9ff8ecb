"""Section 13 of trainer/ARITHMETIC.md, and the check of a run's folder against itself.

README.md lists what the files of a record say about each other.
"""

import gzip
import hashlib
import json
import os
import re
import struct

import numpy as np

from arithmetic import b32
from experiment import Experiment, Refused, read_manifest

FORMAT = 1
LEDGER_LINE_BYTES = 67
LEDGER_HEADING = b"      step            loss errors                   weights digest\n"


# ---- section 13 --------------------------------------------------------------------------------------------------

def sha256(data):
    return hashlib.sha256(data).hexdigest()


def weights_digest(tensors):
    digest = hashlib.sha256()
    for name in sorted(tensors, key=str.encode):
        w = tensors[name]
        digest.update(struct.pack("<I", len(name.encode())) + name.encode() + struct.pack("<I", 3) + b"F32")
        digest.update(struct.pack(f"<I{w.ndim}Q", w.ndim, *w.shape) + w.astype("<f4").tobytes())
    return digest.hexdigest()


def ledger_digest(tensors):
    """Two u64 as 32 hexadecimal digits."""
    w = np.concatenate([tensors[name].reshape(-1) for name in sorted(tensors, key=str.encode)]).view(np.uint32)
    i = np.arange(len(w), dtype=np.uint32)
    x = w ^ (i * np.uint32(0x9E3779B1) + np.uint32(0x7F4A7C15))
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x21F0AAAD)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x735A2D97)
    x ^= x >> np.uint32(15)
    factors = (i * np.uint32(0x85EBCA77) + np.uint32(0xC2B2AE3D), i * np.uint32(0xC2B2AE35) + np.uint32(0x27D4EB2F))
    sums = (np.sum(x.astype(np.uint64) * (f | np.uint32(1)).astype(np.uint64)) for f in factors)
    return "".join(f"{int(s):016x}" for s in sums)


class Chain:
    """The run chain. A step is (loss, errors, ledger digest)."""

    def __init__(self, experiment_digest):
        self.value, self.step = bytes.fromhex(experiment_digest), 0

    def add_epoch(self, weights_sha256, steps):
        data = self.value + bytes.fromhex(weights_sha256)
        for loss, errors, digest in steps:
            data += struct.pack("<QfIQQ", self.step, loss, errors, int(digest[:16], 16), int(digest[16:], 16))
            self.step += 1
        self.value = hashlib.sha256(data).digest()
        return self.value.hex()


def epoch_means(steps, sizes):
    """Section 12: the mean loss and the percentage of errors of an epoch's steps."""
    total = 0.0
    for (loss, _, _), images in zip(steps, sizes):
        total = total + float(loss) * images
    images = sum(sizes)
    return total / images, 100 * sum(errors for _, errors, _ in steps) / images


# ---- the files ---------------------------------------------------------------------------------------------------

def read(folder, name):
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as wrong:
        raise Refused(f"{name}: {wrong.strerror}") from None


def parse_json(name, text):
    def once(pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise ValueError("a key is there twice")
        return dict(pairs)

    def no_constant(word):
        raise ValueError(f"{word} is not JSON")
    try:
        value = json.loads(text.decode(), object_pairs_hook=once, parse_constant=no_constant)
    except (ValueError, RecursionError) as wrong:
        raise Refused(f"{name}: {wrong}") from None
    if not isinstance(value, dict):
        raise Refused(f"{name}: not an object")
    return value


def field(name, value, path, kind):
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    fits = isinstance(value, (int, float) if kind is float else kind) and not (kind is not bool
                                                                              and isinstance(value, bool))
    if not fits or kind is int and value < 0:
        raise Refused(f"{name}: {path} is missing, or of another type")
    return value


def read_safetensors(name, data):
    """Named float32 tensors, whose data fill the file without gap or overlap."""
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if size == 0 or size > len(data) - 8:
        raise Refused(f"{name}: not a safetensors file")
    tensors, ends = {}, []
    for key, entry in parse_json(name, data[8:8 + size]).items():
        if key == "__metadata__":
            continue
        try:
            (first, last), shape = entry["data_offsets"], entry["shape"]
            if entry["dtype"] != "F32" or last - first != 4 * int(np.prod(shape, dtype=object)) or first < 0:
                raise ValueError
            tensors[key] = np.frombuffer(data[8 + size:][first:last], "<f4").reshape(shape)
        except (KeyError, TypeError, ValueError):
            raise Refused(f"{name}: the tensor {key} does not fit") from None
        ends.append((first, last))
    covered = 0
    for first, last in sorted(ends):
        if first != covered:
            raise Refused(f"{name}: a gap or an overlap at byte {covered} of the data")
        covered = last
    if covered != len(data) - 8 - size:
        raise Refused(f"{name}: {len(data) - 8 - size} bytes of data, not {covered}")
    return tensors


def read_ledger(folder):
    text = read(folder, "ledger.txt")
    if text is None and (packed := read(folder, "ledger.txt.gz")) is not None:
        try:
            text = gzip.decompress(packed)
        except (OSError, EOFError) as wrong:
            raise Refused(f"ledger.txt.gz: {wrong}") from None
    lines = [text[i:i + LEDGER_LINE_BYTES] for i in range(0, len(text or b""), LEDGER_LINE_BYTES)]
    if not lines or lines[0] != LEDGER_HEADING:
        raise Refused("ledger.txt: no heading")
    steps = []
    for line in lines[1:]:
        match = re.fullmatch(rb" *(\d+) +(\d\.\d{8}e[+-]\d\d) +(\d+) ([0-9a-f]{32})\n", line)
        if match is None or len(line) != LEDGER_LINE_BYTES or int(match[1]) != len(steps):
            raise Refused(f"ledger.txt:{len(steps) + 2}: not the line of step {len(steps)}")
        steps.append((b32(match[2].decode()), int(match[3]), match[4].decode()))
    return steps


def agree(what, said, found):
    if said != found:
        raise Refused(f"{what}: {said} is said, but it is {found}")


class Record:
    """Reads a run's folder and checks it, or raises Refused."""

    def __init__(self, folder):
        text = read(folder, "record.json")
        if text is None:
            raise Refused("record.json: not there")
        self.said = parse_json("record.json", text)
        agree("record.json: format", field("record.json", self.said, "format", int), FORMAT)
        others = [line for line in text.splitlines(keepends=True) if not line.lstrip().startswith(b'"record_sha256"')]
        agree("record.json: record_sha256", self.get("record_sha256", str), sha256(b"".join(others)))
        self.check_manifest(read(folder, "manifest.yaml"))
        self.check_epochs(read(folder, "metrics.jsonl") or b"", read_ledger(folder))
        self.check_weights(read(folder, "weights.safetensors"))

    def get(self, path, kind):
        return field("record.json", self.said, path, kind)

    def check_manifest(self, text):
        agree("manifest.yaml: SHA-256", self.get("manifest.sha256", str), sha256(text or b""))
        self.settings = read_manifest(text.decode())
        self.experiment = Experiment(self.settings, self.get("experiment.seed", int))
        agree("experiment digest", self.get("experiment.sha256", str), self.experiment.digest())
        agree("arithmetic", self.get("arithmetic.version", str), self.experiment.version)
        agree("depth", self.get("network.depth", int), self.experiment["model.depth"])
        agree("training data", self.get("training_data.sha256", str), self.experiment["dataset.train_sha256"])
        self.images = self.get("training_data.images", int)
        agree("training images", self.images, self.experiment.values.get("dataset.training_images", self.images))
        if self.images == 0:
            raise Refused("record.json: no training images")
        agree("steps of the experiment", self.get("experiment.steps", int), self.experiment.total(self.images))

    def sizes(self, first, last):
        """The images of each of these steps."""
        batch = self.experiment["training.batch_size"]
        if self.experiment["training.last_batch"] == "continue":
            return [batch] * (last - first)
        per = -(-self.images // batch)
        return [min(batch, self.images - step % per * batch) for step in range(first, last)]

    def check_epochs(self, text, ledger):
        self.ledger = ledger
        self.epochs = [parse_json("metrics.jsonl", line) for line in text.splitlines()]
        agree("epochs", self.get("result.epochs", int), len(self.epochs))
        agree("metrics.jsonl: SHA-256", self.get("result.metrics_sha256", str), sha256(text))
        agree("steps", self.get("result.steps", int), len(ledger))
        ends, chain, first = self.experiment.epoch_ends(self.images), Chain(self.experiment.digest()), 0
        if len(self.epochs) > len(ends):
            raise Refused(f"{len(self.epochs)} epochs, where the manifest has {len(ends)}")
        for epoch, row in enumerate(self.epochs):
            name = f"metrics.jsonl:{epoch + 1}"
            end = ends[epoch]
            agree(name + ": epoch", field(name, row, "epoch", int), epoch)
            agree(name + ": end_step", field(name, row, "end_step", int), end)
            agree(name + ": learning_rate", field(name, row, "learning_rate", float),
                  float(self.experiment.rate(end - 1, self.images)))
            steps = ledger[first:end]
            loss, errors = epoch_means(steps, self.sizes(first, end))
            agree(name + ": training_loss", field(name, row, "training_loss", float), loss)
            agree(name + ": training_error", field(name, row, "training_error", float), errors)
            wrong, count = field(name, row, "validation_errors", int), field(name, row, "validation_images", int)
            agree(name + ": validation_error", field(name, row, "validation_error", float), 100 * wrong / count)
            try:
                value = chain.add_epoch(field(name, row, "weights_sha256", str), steps)
            except ValueError:
                raise Refused(f"{name}: weights_sha256 is no digest") from None
            agree(name + ": chain_sha256", field(name, row, "chain_sha256", str), value)
            first = end
        agree("steps in the ledger", first, len(ledger))
        for key in ("chain_sha256", "weights_sha256", "training_loss", "training_error", "validation_loss",
                    "validation_error", "validation_errors", "validation_images"):
            if self.epochs:
                agree("record.json: " + key, self.said["result"].get(key), self.epochs[-1].get(key))

    def check_weights(self, data):
        if data is None or not self.epochs:
            return
        tensors = read_safetensors("weights.safetensors", data)
        agree("weights digest", self.get("result.weights_sha256", str), weights_digest(tensors))
        agree("the last step's ledger digest", self.ledger[-1][2], ledger_digest(tensors))
