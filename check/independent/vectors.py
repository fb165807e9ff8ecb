"""Runs vectors/*.json. README.md describes each kind; there is one function here for each."""

import base64
import glob
import json
import os
import shutil
import tempfile
from fractions import Fraction

import numpy as np

import arithmetic
import data
from arithmetic import b32, b64
from experiment import Experiment, Refused, read_manifest
from network import Network
from record import Chain, Record, agree, ledger_digest, read_safetensors, sha256, weights_digest


def bits32(texts):
    return np.array([int(text, 16) for text in texts], np.uint32).view(b32)


def bits64(texts):
    return np.array([int(text, 16) for text in texts], np.uint64).view(b64)


def texts(values):
    values = np.ascontiguousarray(values)
    return [f"{int(v):0{2 * values.itemsize}x}" for v in values.view(f"u{values.itemsize}").reshape(-1)]


def experiment_of(given):
    settings = read_manifest(given["manifest"])
    return Experiment(settings, given["seed"]), settings


# ---- kinds: the input of a vector -> its output ------------------------------------------------------------------

def random_blocks(given):
    return [texts(arithmetic.block(*numbers).astype(np.uint32)) for numbers in given]


def normal_deviates(given):
    return texts(arithmetic.normal([int(word, 16) for word in given]))


def exponentials(given):
    return texts(arithmetic.exp32(bits32(given)))


def logarithms(given):
    return texts(arithmetic.log64(bits64(given)))


def fma_binary32(given):
    return texts(arithmetic.fma32(*(bits32(column) for column in zip(*given))))


def fma_binary64(given):
    return texts(arithmetic.fma64(*(bits64(column) for column in zip(*given))))


def trees_binary32(given):
    return [texts(arithmetic.tree(bits32(values)))[0] for values in given]


def embedded_images(given):
    return [sha256(data.embedded_image(number, label).tobytes()) for number, label in given]


def embedded_sets(given):
    return [data.embedded(count, first).digest() for first, count in given]


def orders(given):
    return [data.order(seed, images, passes).tolist() for seed, images, passes in given]


def augmentations(given):
    experiment, _ = experiment_of(given)
    return [list(data.augmentation(experiment, passes, image)) for passes, image in given["images"]]


def batches(given):
    experiment, _ = experiment_of(given)
    return [[image for _, image in data.batch_images(experiment, given["images"], step)] for step in given["steps"]]


def schedule(given):
    experiment, _ = experiment_of(given)
    ends = experiment.epoch_ends(given["images"])
    return {"ends": ends, "rates": texts([experiment.rate(step, given["images"]) for step in range(ends[-1])])}


def experiment_digest(given):
    return experiment_of(given)[0].digest()


def inputs(given):
    """SHA-256 of each step's x as little-endian b32."""
    experiment, _ = experiment_of(given)
    source = data.Input(experiment, data.embedded(experiment["dataset.training_images"]))
    return [sha256(source.batch(step)[0].astype("<f4").tobytes()) for step in given["steps"]]


def first_weights(given):
    experiment, _ = experiment_of(given)
    network = Network(experiment, data.embedded(experiment["dataset.training_images"]))
    return {"weights": weights_digest(network.tensors), "ledger": ledger_digest(network.tensors)}


def safetensors_digests(given):
    tensors = read_safetensors("the file", base64.b64decode(given))
    return {"weights": weights_digest(tensors), "ledger": ledger_digest(tensors)}


def run_chain(given):
    chain = Chain(given["experiment"])
    return [chain.add_epoch(epoch["weights"], [(bits32([loss])[0], errors, digest) for loss, errors, digest
                                               in epoch["steps"]]) for epoch in given["epochs"]]


def gradients(given):
    """SHA-256 of every parameter's gradient in the first step, as little-endian b32."""
    experiment, _ = experiment_of(given)
    network = Network(experiment, data.embedded(experiment["dataset.training_images"]))
    network.train_step()
    return {name: sha256(network.gradients[name].astype("<f4").tobytes()) for name in sorted(network.gradients)}


def replay(given):
    """The first steps of a training, and the epochs that they complete."""
    experiment, settings = experiment_of(given)
    training = data.embedded(experiment["dataset.training_images"])
    agree("training data", experiment["dataset.train_sha256"], training.digest())
    network, steps, epochs = Network(experiment, training), [], []
    ends = experiment.epoch_ends(network.images)
    for _ in range(given["steps"]):
        loss, errors, _ = network.train_step()
        steps.append([texts([loss])[0], errors, ledger_digest(network.tensors)])
        if network.step in ends:
            test = data.embedded(int(settings["dataset.test_images"]), data.TEST_FIRST)
            mean, errors = network.evaluate(test)
            epochs.append({"weights": weights_digest(network.tensors), "validation_loss": texts([mean])[0],
                           "validation_errors": errors})
    return {"steps": steps, "epochs": epochs}


def edited_record(given, source, target):
    """A copy of the folder vectors/record, after the edits of a vector."""
    shutil.copytree(os.path.join(source, "record"), target)
    for edit in given["edits"]:
        path = os.path.join(target, edit["file"])
        with open(path, "rb") as file:
            text = file.read()
        if "xor" in edit:
            at = edit["byte"]
            text = text[:at] + bytes([text[at] ^ edit["xor"]]) + text[at + 1:]
        elif "length" in edit:
            text = text[:edit["length"]]
        else:
            assert edit["find"].encode() in text, edit
            text = text.replace(edit["find"].encode(), edit["replace"].encode())
        with open(path, "wb") as file:
            file.write(text)


def record(given, folder):
    with tempfile.TemporaryDirectory() as scratch:
        target = os.path.join(scratch, "run")
        edited_record(given, folder, target)
        found = Record(target)
        return {"steps": len(found.ledger), "epochs": len(found.epochs)}


KINDS = {f.__name__: f for f in (
    random_blocks, normal_deviates, exponentials, logarithms, fma_binary32, fma_binary64, trees_binary32,
    embedded_images, embedded_sets, orders, augmentations, batches, schedule, experiment_digest, inputs, first_weights,
    safetensors_digests, run_chain, gradients, replay, record)}


# ---- running them ------------------------------------------------------------------------------------------------

def compute(vector, folder):
    kind = KINDS[vector["kind"]]
    return kind(vector["input"], folder) if kind is record else kind(vector["input"])


def fma_self_test():
    """The two emulations of fma against exact rational arithmetic."""
    generator = np.random.default_rng(1)
    mantissas = np.array([1, 1 + 2.0**-23, 1 - 2.0**-24, 1.5, 4 / 3, 1 + 2.0**-12, 1 - 2.0**-12])
    for fma, kind, digits, lowest in ((arithmetic.fma32, b32, 24, -149), (arithmetic.fma64, b64, 53, -1074)):
        a, b, c = (generator.choice(mantissas, 4000) * (1 + generator.choice([0, 1, 5], 4000) * 2.0**(1 - digits))
                   * 2.0**generator.integers(-12, 12, 4000) * generator.choice([-1, 1], 4000) for _ in range(3))
        if kind is b32:
            b *= generator.choice([1, 2.0**-70], 4000)
            a *= np.where(np.abs(b) < 2.0**-40, generator.choice([1, 2.0**-70], 4000), 1)
        c *= generator.choice([1, 0, 2.0**-30, 2.0**(1 - digits), 2.0**-digits, 2.0**-2 / 2.0**digits], 4000)
        c = np.where(np.abs(b) < 2.0**-40, c * 2.0**-60, c)
        a, b, c = (v.astype(kind) for v in (a, b, c))
        for x, y, z, found in zip(a, b, c, fma(a, b, c)):
            exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
            if exact == 0:
                expected = Fraction(0)
            else:
                exponent = len(bin(abs(exact.numerator))) - len(bin(exact.denominator))
                exponent -= abs(exact) < Fraction(2)**exponent
                unit = Fraction(2)**max(exponent - digits + 1, lowest)
                expected = round(exact / unit) * unit  # Python rounds ties to even
            if Fraction(float(found)) != expected:
                raise Refused(f"fma({x!r}, {y!r}, {z!r}) is {found!r}")


def run_all(folder):
    failures, refusals = 0, 0
    paths = sorted(glob.glob(os.path.join(folder, "*.json")))
    fma_self_test()
    for path in paths:
        with open(path) as file:
            vector = json.load(file)
        refused = vector.get("refused")
        try:
            found = compute(vector, folder)
            good = refused is None and found == vector["output"]
            what = "is accepted" if refused else f"gives {json.dumps(found)[:300]}"
        except Refused as wrong:
            good, what = refused is not None and refused in str(wrong), f"is refused: {wrong}"
            refusals += 1
        name = os.path.basename(path)[:-5]
        print(f"{'ok' if good else 'not ok'} - {name}" + ("" if good else f" {what}"), flush=True)
        failures += not good
    print(f"{len(paths)} vectors, {refusals} of them refused; {failures} failed")
    return 1 if failures or not paths else 0
