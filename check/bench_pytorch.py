#!/usr/bin/env python3
"""Times PyTorch's training step, or its evaluation, on the CPU against ours, alternating in one run.

usage: check/bench_pytorch.py [--evaluation] [--selfsame PROGRAM] [--manifest FILE] [--depth N] [--threads N] [--rounds N] [--steps N]

Each round runs some steps of PyTorch in contiguous and in channels_last format, then as many of `selfsame bench` on the same network (the msra
variant: projection shortcuts, batch norm over the logits, SGD with momentum and weight decay), never two at the same time. Printed: each round's
medians, then the median over the rounds and the ratio to PyTorch's faster format. Exit status 0 if the ratio is at least --at-least (1.4).
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as functional
from torch import nn


class Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Conv2d(channels, filters, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks, channels = [], 16
        for stage, filters in enumerate((16, 32, 64)):
            for block in range((depth - 2) // 6):
                blocks.append(Block(channels, filters, 2 if stage > 0 and block == 0 else 1))
                channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(64, 10, bias=False)
        self.bn_logits = nn.BatchNorm1d(10)

    def forward(self, x):
        x = self.blocks(functional.relu(self.bn1(self.conv1(x))))
        return self.bn_logits(self.linear(x.mean((2, 3))))


class Peer:
    """A training step of PyTorch in one memory format."""

    def __init__(self, depth, batch, memory_format):
        torch.manual_seed(0)
        self.model = ResNet(depth).to(memory_format=memory_format)
        self.images = torch.randn(batch, 3, 32, 32).to(memory_format=memory_format)
        self.labels = torch.randint(0, 10, (batch,))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

    def evaluation_ms(self, repeats):
        """Of as many images as a training step has."""
        self.model.eval()
        times = []
        with torch.inference_mode():
            for _ in range(repeats):
                began = time.perf_counter()
                self.model(self.images).argmax(1)
                times.append(1e3 * (time.perf_counter() - began))
        return statistics.median(times)

    def step_ms(self, steps):
        times = []
        for _ in range(steps):
            began = time.perf_counter()
            self.optimizer.zero_grad()
            functional.cross_entropy(self.model(self.images), self.labels).backward()
            self.optimizer.step()
            times.append(1e3 * (time.perf_counter() - began))
        return statistics.median(times)


def ours_ms(arguments):
    command = [arguments.selfsame, "bench", arguments.manifest, "--threads", str(arguments.threads), "--steps", str(arguments.steps),
               "--format", "json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selfsame", default="./selfsame")
    parser.add_argument("--evaluation", action="store_true", help="time the evaluation of as many images, not the training step")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--manifest", help="default: experiments/msra/resnet<depth>.yaml")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--at-least", type=float, default=1.4)
    arguments = parser.parse_args()
    arguments.manifest = arguments.manifest or f"experiments/msra/resnet{arguments.depth}.yaml"
    torch.set_num_threads(arguments.threads)
    batch = 128
    peers = {"contiguous": Peer(arguments.depth, batch, torch.contiguous_format),
             "channels_last": Peer(arguments.depth, batch, torch.channels_last)}
    time_peer = Peer.evaluation_ms if arguments.evaluation else Peer.step_ms
    for peer in peers.values():
        time_peer(peer, 3)
    ours_ms(arguments)
    rounds = {name: [] for name in ["selfsame", *peers]}
    share = []
    print(f"PyTorch {torch.__version__}, depth {arguments.depth}, batch {batch}, {arguments.threads} threads, "
          f"{arguments.steps} a round; ms per {'evaluation of a batch' if arguments.evaluation else 'training step'}")
    for number in range(arguments.rounds):
        for name, peer in peers.items():
            rounds[name].append(time_peer(peer, arguments.steps))
        result = ours_ms(arguments)
        rounds["selfsame"].append(1e3 * batch / result["evaluation_images_per_s"] if arguments.evaluation else result["step_ms"]["median"])
        share.append(result["share_of_peak"])
        print(f"round {number + 1}: " + "  ".join(f"{name} {times[-1]:.1f}" for name, times in rounds.items())
              + f"  share of FMA peak {100 * share[-1]:.0f} %", flush=True)
    medians = {name: statistics.median(times) for name, times in rounds.items()}
    ratio = min(medians[name] for name in peers) / medians["selfsame"]
    print("median:  " + "  ".join(f"{name} {time_ms:.1f}" for name, time_ms in medians.items())
          + f"  share of FMA peak {100 * statistics.median(share):.0f} %")
    print(f"selfsame is {ratio:.2f} times as fast as PyTorch's faster format (at least {arguments.at_least:.2f} wanted)")
    return 0 if ratio >= arguments.at_least else 1


sys.exit(main())
