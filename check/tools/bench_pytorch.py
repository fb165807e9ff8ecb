#!/usr/bin/env python3
"""Times PyTorch's training step, or its evaluation, against ours, alternating in one run: on the CPU, or on a GPU with --engine cuda or cudnn.

usage: check/tools/bench_pytorch.py [--evaluation] [--engine cpu|cuda|cudnn] [--precision fp32|tf32|bf16] [--compile] [--selfsame PROGRAM] [--manifest FILE]
                              [--depth N] [--threads N] [--rounds N] [--steps N]

Each round runs some steps of PyTorch in contiguous and in channels_last format, then as many of `selfsame bench` on the same network (the msra
variant: projection shortcuts, batch norm over the logits, SGD with momentum and weight decay), never two at the same time. Printed: each round's
medians, then the median over the rounds and the ratio to PyTorch's fastest. Exit status 0 if the ratio is at least --at-least (1.4 on the CPU, else 0),
3 if there is no GPU.

On a GPU, PyTorch is held to deterministic algorithms, the fastest of which cuDNN looks for, and its step is one CUDA graph; --compile adds the same
with torch.compile, which takes a minute more. Steps are timed by CUDA events. bf16 is autocast with float32 weights.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it, and reads it once

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

    def __init__(self, depth, batch, memory_format, device="cpu"):
        torch.manual_seed(0)
        self.model = ResNet(depth).to(device, memory_format=memory_format)
        self.images = torch.randn(batch, 3, 32, 32, device=device).to(memory_format=memory_format)
        self.labels = torch.randint(0, 10, (batch,), device=device)
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


class DevicePeer(Peer):
    """The same on a GPU, captured once as a CUDA graph."""

    def __init__(self, depth, batch, memory_format, precision, compiled, evaluation):
        super().__init__(depth, batch, memory_format, "cuda")
        self.autocast = torch.autocast("cuda", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
        self.forward = torch.compile(self.model) if compiled else self.model
        self.model.train(not evaluation)
        run = self.evaluate if evaluation else self.step
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            run()

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast:
            loss = functional.cross_entropy(self.forward(self.images), self.labels)
        loss.backward()
        self.optimizer.step()

    def evaluate(self):
        with torch.no_grad(), self.autocast:
            self.predictions = self.forward(self.images).argmax(1)

    def step_ms(self, steps):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
        events[0].record()
        for event in events[1:]:
            self.graph.replay()
            event.record()
        torch.cuda.synchronize()
        return statistics.median(first.elapsed_time(second) for first, second in zip(events, events[1:]))

    evaluation_ms = step_ms


FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def make_peers(arguments, batch):
    if arguments.engine == "cpu":
        torch.set_num_threads(arguments.threads)
        return {name: Peer(arguments.depth, batch, memory_format) for name, memory_format in FORMATS.items()}
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True  # among the deterministic ones
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = arguments.precision == "tf32"
    peers = {}
    for compiled in [False, True] if arguments.compile else [False]:
        for name, memory_format in FORMATS.items():
            peers[name + (", compiled" if compiled else "")] = DevicePeer(arguments.depth, batch, memory_format, arguments.precision, compiled,
                                                                          arguments.evaluation)
    return peers


def ours_ms(arguments):
    command = [arguments.selfsame, "bench", arguments.manifest, "--engine", arguments.engine, "--steps", str(arguments.steps), "--format", "json",
               "--depth", str(arguments.depth)]
    if arguments.engine == "cpu":
        command += ["--threads", str(arguments.threads)]
    if arguments.engine == "cudnn":
        command += ["--precision", arguments.precision]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selfsame", default="./selfsame")
    parser.add_argument("--engine", choices=["cpu", "cuda", "cudnn"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32", help="PyTorch's on a GPU, and the engine cudnn's")
    parser.add_argument("--compile", action="store_true", help="on a GPU, also with torch.compile")
    parser.add_argument("--evaluation", action="store_true", help="time the evaluation of as many images, not the training step")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--manifest", help="default: experiments/msra/resnet<depth>.yaml")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--at-least", type=float, help="default: 1.4 on the CPU, else 0")
    arguments = parser.parse_args()
    if arguments.engine != "cpu" and not torch.cuda.is_available():
        print(f"no GPU here that PyTorch {torch.__version__} can use", file=sys.stderr)
        return 3
    if arguments.at_least is None:
        arguments.at_least = 1.4 if arguments.engine == "cpu" else 0.0
    arguments.manifest = arguments.manifest or f"experiments/msra/resnet{arguments.depth}.yaml"
    batch = 128
    peers = make_peers(arguments, batch)
    measure = "evaluation_ms" if arguments.evaluation else "step_ms"
    for peer in peers.values():
        getattr(peer, measure)(3)
    ours_ms(arguments)
    rounds = {name: [] for name in ["selfsame", *peers]}
    share = []
    where = f"{arguments.threads} threads" if arguments.engine == "cpu" else f"{torch.cuda.get_device_name()}, {arguments.precision}, CUDA graphs"
    digits = 1 if arguments.engine == "cpu" else 3
    print(f"PyTorch {torch.__version__}, depth {arguments.depth}, batch {batch}, {where}, "
          f"{arguments.steps} a round; ms per {'evaluation of a batch' if arguments.evaluation else 'training step'}")
    for number in range(arguments.rounds):
        for name, peer in peers.items():
            rounds[name].append(getattr(peer, measure)(arguments.steps))
        result = ours_ms(arguments)
        rounds["selfsame"].append(1e3 * batch / result["evaluation_images_per_s"] if arguments.evaluation else result["step_ms"]["median"])
        share.append(result["share_of_peak"])
        print(f"round {number + 1}: " + "  ".join(f"{name} {times[-1]:.{digits}f}" for name, times in rounds.items())
              + f"  share of FMA peak {100 * share[-1]:.0f} %", flush=True)
    medians = {name: statistics.median(times) for name, times in rounds.items()}
    ratio = min(medians[name] for name in peers) / medians["selfsame"]
    print("median:  " + "  ".join(f"{name} {time_ms:.{digits}f}" for name, time_ms in medians.items())
          + f"  share of FMA peak {100 * statistics.median(share):.0f} %")
    print(f"selfsame, engine {arguments.engine}, is {ratio:.2f} times as fast as PyTorch's fastest (at least {arguments.at_least:.2f} wanted)")
    return 0 if ratio >= arguments.at_least else 1


sys.exit(main())
