#!/usr/bin/env python3
"""The second implementation: replays runs, checks records, and tests itself with vectors. README.md says how."""

import argparse
import json
import os
import sys

from data import TEST_FIRST, embedded
from experiment import Refused
from network import Network
from record import Record, agree, ledger_digest, weights_digest
from vectors import edited_record, run_all


def datasets(experiment, settings):
    if experiment["dataset.kind"] != "embedded":
        raise Refused("only runs on the embedded data set are replayed")
    training = embedded(experiment["dataset.training_images"])
    agree("training data", experiment["dataset.train_sha256"], training.digest())
    return training, embedded(int(settings["dataset.test_images"]), TEST_FIRST)


def replay(folder, limit):
    """Computes a run's first steps again. Returns how many steps and epochs agree."""
    record = Record(folder)
    training, test = datasets(record.experiment, record.settings)
    network, epochs = Network(record.experiment, training), 0
    for step, (loss, errors, digest) in enumerate(record.ledger[:limit]):
        found = network.train_step()
        agree(f"step {step}: loss", loss, found[0])
        agree(f"step {step}: errors", errors, found[1])
        agree(f"step {step}: ledger digest", digest, ledger_digest(network.tensors))
        if record.epochs[epochs]["end_step"] == step + 1:
            row = record.epochs[epochs]
            agree(f"epoch {epochs}: weights digest", row["weights_sha256"], weights_digest(network.tensors))
            loss, errors = network.evaluate(test)
            agree(f"epoch {epochs}: validation errors", row["validation_errors"], errors)
            agree(f"epoch {epochs}: validation loss", row["validation_loss"], float(loss))
            epochs += 1
    return network.step, epochs


def main():
    parser = argparse.ArgumentParser(description="A second implementation of the specified arithmetic.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="check a run's folder against itself")
    command.add_argument("run")
    command = commands.add_parser("replay", help="compute a run's first steps again, and compare every bit")
    command.add_argument("run")
    command.add_argument("--steps", type=int, default=2)
    command = commands.add_parser("vectors", help="test this implementation with vectors")
    command.add_argument("folder", nargs="?", default=os.path.join(os.path.dirname(__file__), "vectors"))
    command = commands.add_parser("edit", help="write the record of a vector into a new folder, edited as it says")
    command.add_argument("vector")
    command.add_argument("folder")
    arguments = parser.parse_args()
    try:
        if arguments.command == "check":
            record = Record(arguments.run)
            print(f"its files agree: {len(record.ledger)} steps, {len(record.epochs)} epochs")
        elif arguments.command == "replay":
            steps, epochs = replay(arguments.run, arguments.steps)
            print(f"identical: {steps} steps, {epochs} epochs")
        elif arguments.command == "edit":
            with open(arguments.vector) as file:
                edited_record(json.load(file)["input"], os.path.dirname(arguments.vector), arguments.folder)
        else:
            return run_all(arguments.folder)
    except Refused as wrong:
        print(f"refused: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
