#!/usr/bin/env python3
"""Writes pytorch_step.h: two training steps of a ResNet-8 of each variant, by PyTorch in float64.

usage: pytorch_step.py > pytorch_step.h       (needs torch 2 and numpy)

Shares nothing with the C code: the initial state and the images are made anew from ARITHMETIC.md section 9 and 10 (the
normal deviates are Python's statistics.NormalDist), everything else is PyTorch's own operations, autograd and SGD. Both
steps see the same batch. For each tensor: the norm and three elements of its gradient in the first step (or of the
running statistic after it), and the norm of its change over both steps. float32 runs too, for the comment that says how
near PyTorch itself comes. No ReLU's input is nearly 0 (`smallest`), so no sign depends on a rounding.
"""
import math
import statistics

import numpy
import torch
import torch.nn.functional as F

IMAGES, DEPTH, SEED = 4, 8, 7
WEIGHTS, BIAS = 3, 4  # purposes of random numbers
LEARNING_RATE, MOMENTUM, DECAY = 0.1, 0.9, 1e-4
MEAN, DEVIATION = (0.5, 0.4, 0.45), (0.25, 0.2, 0.3)
SAMPLES = 3
WORD = 2**32

VARIANTS = {
    # shortcut, bias, logits' norm, epsilon, unbiased, initial variance, and the seed of the state: one for which no ReLU of either step meets nearly 0
    "msra": ("projection", False, True, 1e-3, False, 0.0, 19),
    "paper": ("pad-end", True, False, 1e-5, False, 1.0, 19),
    "akamaster": ("pad-both", True, False, 1e-5, True, 1.0, 19),
    "projection-bn": ("projection-bn", True, False, 1e-5, False, 1.0, 23),
}


def philox(counter, key):
    """Philox 4x32-10 of Salmon et al."""
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(right >> 32) ^ c[1] ^ k[0], right % WORD, (left >> 32) ^ c[3] ^ k[1], left % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


def words(seed, purpose, major, count):
    blocks = [philox((i, major, 0, purpose), (seed, 0)) for i in range((count + 3) // 4)]
    return [word for block in blocks for word in block][:count]


def normals(major, shape, fan_in):
    deviation, normal = math.sqrt(2.0 / fan_in), statistics.NormalDist()
    values = [deviation * normal.inv_cdf((word + 0.5) / WORD) for word in words(SEED, WEIGHTS, major, math.prod(shape))]
    return numpy.array(values).astype(numpy.float32).reshape(shape)


def make_state(variant):
    """All tensors by name, float32, a little off the initial state so that no gamma is 1 and no beta 0."""
    shortcut, bias, final_norm, _, _, variance, state_seed = VARIANTS[variant]
    state = {}

    def add_norm(name, count):
        state[name + ".weight"] = numpy.ones(count, numpy.float32)
        state[name + ".bias"] = numpy.zeros(count, numpy.float32)
        state[name + ".running_mean"] = numpy.zeros(count, numpy.float32)
        state[name + ".running_var"] = numpy.full(count, variance, numpy.float32)

    convolutions, projections = [("conv1", "bn1", 3, 16)], []
    for stage, width in enumerate((16, 32, 64), 1):
        for block in range((DEPTH - 2) // 6):
            entering = width // 2 if stage > 1 and block == 0 else width
            name = f"layer{stage}.{block}."
            convolutions += [(name + "conv1", name + "bn1", entering, width), (name + "conv2", name + "bn2", width, width)]
            if entering != width and shortcut == "projection":
                state[name + "shortcut.0.weight"] = numpy.eye(width, entering, dtype=numpy.float32).reshape(width, entering, 1, 1)
            elif entering != width and shortcut == "projection-bn":
                projections.append((name + "shortcut.", entering, width))
    for major, (conv, norm, channels, filters) in enumerate(convolutions):
        state[conv + ".weight"] = normals(major, (filters, channels, 3, 3), 9.0 * channels)
        add_norm(norm, filters)
    state["linear.weight"] = normals(len(convolutions), (10, 64), 64.0)
    for number, (name, channels, filters) in enumerate(projections, 1):
        state[name + "0.weight"] = normals(len(convolutions) + number, (filters, channels, 1, 1), channels)
        add_norm(name + "1", filters)
    if bias:
        uniform = [((word + 0.5) / WORD * 2.0 - 1.0) * 0.125 for word in words(SEED, BIAS, 0, 10)]
        state["linear.bias"] = numpy.array(uniform).astype(numpy.float32)
    if final_norm:
        add_norm("bn_logits", 10)
    for number, name in enumerate(sorted(state)):
        if state[name].ndim == 1 or "shortcut" in name:
            flat = state[name].reshape(-1)
            for i in range(flat.size):
                word = philox((i, number, 0, WEIGHTS), (state_seed, 0))[0]
                flat[i] += numpy.float32(((word >> 16) - 32768) * 2.0**-18)
    return state


def make_images():
    """Stripes that differ from image to image, and noise; the bytes normalised in float32 as section 10 says."""
    images = numpy.zeros((IMAGES, 3, 32, 32), numpy.float32)
    for n in range(IMAGES):
        state = n + 1
        for c in range(3):
            for i in range(32):
                for j in range(32):
                    state = (state * 1664525 + 1013904223) % WORD
                    byte = ((i * (3 + n) + j * (1 + 2 * n) + 37 * c * (1 + n)) & 127) + (state >> 25)
                    images[n, c, i, j] = ((numpy.float32(byte) / numpy.float32(255)) - numpy.float32(MEAN[c])) / numpy.float32(DEVIATION[c])
    return images


def make_labels():
    return [3 * n % 10 for n in range(IMAGES)]


def batch_norm(variant, state, running, name, y):
    _, _, _, epsilon, unbiased, _, _ = VARIANTS[variant]
    variance, mean = torch.var_mean(y.detach(), [i for i in range(y.ndim) if i != 1], correction=1 if unbiased else 0)
    for suffix, batch in (("running_mean", mean), ("running_var", variance)):
        running[f"{name}.{suffix}"] = torch.lerp(state[f"{name}.{suffix}"], batch, 0.1)
    return F.batch_norm(y, None, None, state[name + ".weight"], state[name + ".bias"], True, 0.0, epsilon)


def forward(variant, state, x):
    """Logits (what the loss sees), the running statistics after the step, and the least |input| of a ReLU."""
    shortcut, _, final_norm, _, _, _, _ = VARIANTS[variant]
    running, smallest = {}, []

    def relu(u):
        smallest.append(u.detach().abs().min().item())
        return F.relu(u)

    a = relu(batch_norm(variant, state, running, "bn1", F.conv2d(x, state["conv1.weight"], padding=1)))
    for stage in (1, 2, 3):
        for block in range((DEPTH - 2) // 6):
            name, stride = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(a, state[name + "conv1.weight"], stride=stride, padding=1)
            y = F.conv2d(relu(batch_norm(variant, state, running, name + "bn1", y)), state[name + "conv2.weight"], padding=1)
            u = batch_norm(variant, state, running, name + "bn2", y)
            if stride == 2 and shortcut == "projection":
                a = F.conv2d(a, state[name + "shortcut.0.weight"], stride=2)
            elif stride == 2 and shortcut == "projection-bn":
                a = batch_norm(variant, state, running, name + "shortcut.1", F.conv2d(a, state[name + "shortcut.0.weight"], stride=2))
            elif stride == 2:
                extra = a.shape[1]
                before = extra // 2 if shortcut == "pad-both" else 0
                a = F.pad(a[:, :, ::2, ::2], (0, 0, 0, 0, before, extra - before))
            a = relu(u + a)
    z = F.linear(F.adaptive_avg_pool2d(a, 1).flatten(1), state["linear.weight"], state.get("linear.bias"))
    if final_norm:
        z = batch_norm(variant, state, running, "bn_logits", z)
    return z, running, min(smallest)


def train(variant, initial, dtype):
    state = {name: torch.tensor(value, dtype=dtype, requires_grad="running" not in name) for name, value in initial.items()}
    x, labels = torch.tensor(make_images(), dtype=dtype), torch.tensor(make_labels())
    parameters = {name: value for name, value in state.items() if value.requires_grad}
    optimizer = torch.optim.SGD(parameters.values(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=DECAY)
    losses = []
    for step in range(2):
        optimizer.zero_grad()
        logits, running, least = forward(variant, state, x)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            smallest, first_logits = least, logits.detach().numpy().copy()
            first = {name: value.grad.detach().numpy().copy() for name, value in parameters.items()}
            first.update({name: value.numpy().copy() for name, value in running.items()})
        optimizer.step()
    change = {name: value.detach().numpy() - initial[name] for name, value in parameters.items()}
    return losses, first_logits, smallest, first, change


def bits_hash(state):
    value = 0
    for name in sorted(state):
        for word in state[name].reshape(-1).view(numpy.uint32).tolist():
            value = (value * 1664525 + word + 1013904223) % WORD
    return value


def numbers(values):
    return ", ".join(float(value).hex() for value in values)


torch.use_deterministic_algorithms(True)
print(f"/* Made by pytorch_step.py with PyTorch {torch.__version__}, in float64; the fields are those of struct golden in check/unit/test_step.c. */")
for variant in VARIANTS:
    initial = make_state(variant)
    losses, logits, smallest, first, change = train(variant, initial, torch.float64)
    losses32, _, _, first32, _ = train(variant, initial, torch.float32)
    worst = max(abs(first32[name] - first[name]).max() / abs(first[name]).max() for name in change)
    print(f"/* PyTorch in float32: loss off by {abs(losses32[0] - losses[0]):.1e}, a gradient by at most {worst:.1e} of its largest element. */")
    print(f'{{ .variant = "{variant}", .state_hash = 0x{bits_hash(initial):08x}u, .losses = {{ {numbers(losses)} }}, .smallest = {smallest:.3g},')
    print("  .logits = {")
    for row in logits:
        print(f"      {{ {numbers(row)} }},")
    print("  },\n  .tensors = {")
    for name in sorted(initial):
        flat = first[name].reshape(-1)
        at = [flat.size * (2 * j + 1) // (2 * SAMPLES) for j in range(SAMPLES)]
        norms = (numpy.linalg.norm(flat), numpy.linalg.norm(change[name]) if name in change else 0.0)
        print(f'      {{ "{name}", {numbers(norms)}, {{ {numbers(flat[at])} }} }},')
    print("  } },")
