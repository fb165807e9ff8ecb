"""Sections 0 and 5 to 9 of trainer/ARITHMETIC.md: the network, its first weights, a training step, an evaluation."""

import numpy as np

from arithmetic import BIAS, WEIGHTS, Chain, b32, b64, exp32, fma32, log32, normal, tree, words
from data import Input
from experiment import Refused
from layers import (Convolution, LogitsNorm, Norm, project, project_backward_data, project_backward_weight,
                    stored_norm)

STATISTICS = (".running_mean", ".running_var")


def relu(t):
    return np.where(t > 0, t, b32(0))


class Block:
    def __init__(self, stage, number):
        self.name = f"layer{stage}.{number}"
        self.filters = 16 << (stage - 1)
        self.stride = 2 if stage > 1 and number == 0 else 1
        self.channels = self.filters // self.stride
        self.side = 32 >> (stage - 1)


class Network:
    def __init__(self, experiment, training):
        self.experiment, self.epsilon = experiment, experiment["model.batch_norm.epsilon"]
        depth = experiment["model.depth"]
        if depth < 8 or depth % 6 != 2:
            raise Refused(f"no network has depth {depth}")
        self.shortcut = experiment["model.shortcut"]
        self.blocks = [Block(stage, number) for stage in (1, 2, 3) for number in range(depth // 6)]
        self.input, self.images = Input(experiment, training), len(training.images)
        self.tensors, self.step = dict(sorted(self.first_tensors().items())), 0
        self.momentum = {name: np.zeros_like(w) for name, w in self.tensors.items() if self.is_parameter(name)}

    # ---- sections 0 and 9 ----

    @staticmethod
    def is_parameter(name):
        return not name.endswith(STATISTICS)

    def first_tensors(self):
        experiment, tensors = self.experiment, {}

        def drawn(name, shape, fan_in, major):
            count = int(np.prod(shape))
            deviates = normal(words(experiment.seed, WEIGHTS, major, count))
            tensors[name] = (np.sqrt(2 / fan_in) * deviates).astype(b32).reshape(shape)

        def norm(name, size):
            initial = b32(experiment["model.batch_norm.initial_variance"])
            tensors[name + ".weight"], tensors[name + ".bias"] = np.ones(size, b32), np.zeros(size, b32)
            tensors[name + ".running_mean"] = np.zeros(size, b32)
            tensors[name + ".running_var"] = np.full(size, initial)

        linear = 2 * len(self.blocks) + 1
        drawn("conv1.weight", (16, 3, 3, 3), 9 * 3, 0)
        norm("bn1", 16)
        for i, b in enumerate(self.blocks):
            drawn(b.name + ".conv1.weight", (b.filters, b.channels, 3, 3), 9 * b.channels, 2 * i + 1)
            drawn(b.name + ".conv2.weight", (b.filters, b.filters, 3, 3), 9 * b.filters, 2 * i + 2)
            norm(b.name + ".bn1", b.filters)
            norm(b.name + ".bn2", b.filters)
            shape = (b.filters, b.channels, 1, 1)
            if b.stride == 2 and self.shortcut == "projection":
                tensors[b.name + ".shortcut.0.weight"] = np.eye(*shape[:2], dtype=b32).reshape(shape)
            if b.stride == 2 and self.shortcut == "projection-bn":
                drawn(b.name + ".shortcut.0.weight", shape, b.channels, linear + (1 if b.filters == 32 else 2))
                norm(b.name + ".shortcut.1", b.filters)
        drawn("linear.weight", (10, 64), 64, linear)
        if experiment["model.linear_bias"] == "zero":
            tensors["linear.bias"] = np.zeros(10, b32)
        if experiment["model.linear_bias"] == "uniform":
            word = words(experiment.seed, BIAS, 0, 10).astype(b64)
            tensors["linear.bias"] = ((((word + 0.5) * 2.0**-32) * 2 - 1) * 0.125).astype(b32)
        if experiment.on("model.final_batch_norm"):
            norm("bn_logits", 10)
        return tensors

    # ---- one layer ----

    def convolution(self, name, stride=1):
        return Convolution(self.experiment.version, stride, self.tensors[name + ".weight"])

    def norm(self, name, y):
        """In training: the norm, with its output. In evaluation there is no norm."""
        if not self.training:
            return None, stored_norm(self.tensors, name, y, self.epsilon)
        kind = Norm if y.ndim == 4 else LogitsNorm
        norm = kind(y, self.tensors[name + ".weight"], self.tensors[name + ".bias"], self.epsilon)
        self.norms[name] = norm
        return norm, norm.forward()

    def backward_norm(self, name, g):
        dy, self.gradients[name + ".weight"], self.gradients[name + ".bias"] = self.norms[name].backward(g)
        return dy

    # ---- forward: sections 5 and 6 ----

    def shortcut_forward(self, b, a):
        if b.stride == 1:
            return a
        if self.shortcut.startswith("projection"):
            z = project(a, self.tensors[b.name + ".shortcut.0.weight"])
            return z if self.shortcut == "projection" else self.norm(b.name + ".shortcut.1", z)[1]
        z = np.zeros((len(a), b.filters, b.side, b.side), b32)
        first = 0 if self.shortcut == "pad-end" else (b.filters - b.channels) // 2
        z[:, first:first + b.channels] = a[:, :, ::2, ::2]
        return z

    def forward(self, x, training):
        """u (N, 10); keeps in self.kept what the backward pass needs."""
        self.training, self.norms, self.kept = training, {}, {"input": x}
        u = self.norm("bn1", self.convolution("conv1").forward(x))[1]
        a = relu(u)
        self.kept["u"] = u
        for b in self.blocks:
            u1 = self.norm(b.name + ".bn1", self.convolution(b.name + ".conv1", b.stride).forward(a))[1]
            a1 = relu(u1)
            u2 = self.norm(b.name + ".bn2", self.convolution(b.name + ".conv2").forward(a1))[1]
            out = relu(u2 + self.shortcut_forward(b, a))
            self.kept[b.name] = (a, u1, a1, out)
            a = out
        pool = tree(a.reshape(len(a), 64, 64)) * b32(2.0**-6)
        chain, w = Chain((len(a), 10)), self.tensors["linear.weight"].astype(b64)
        for c in range(64):
            chain.add(pool[:, c, None].astype(b64), w[:, c])
        z = chain.value()
        if "linear.bias" in self.tensors:
            z = z + self.tensors["linear.bias"]
        self.kept["pool"] = pool
        return self.norm("bn_logits", z)[1] if "bn_logits.weight" in self.tensors else z

    @staticmethod
    def softmax(u, labels):
        """The losses, the errors, and du times N."""
        top = u.max(axis=1)
        e = exp32(u - top[:, None])
        total = e[:, 0]
        for k in range(1, 10):
            total = total + e[:, k]
        image = np.arange(len(u))
        losses = log32(total) - (u[image, labels] - top)
        f = e / total[:, None]
        f[image, labels] -= b32(1)
        return losses, int((u.argmax(axis=1) != labels).sum()), f

    # ---- backward: sections 4 to 6 ----

    def shortcut_backward(self, b, a, g, d0):
        """d0 + the shortcut's gradient"""
        if b.stride == 1:
            return d0 + g
        even = d0[:, :, ::2, ::2]
        if self.shortcut.startswith("projection"):
            if self.shortcut == "projection-bn":
                g = self.backward_norm(b.name + ".shortcut.1", g)
            name = b.name + ".shortcut.0.weight"
            self.gradients[name] = project_backward_weight(g, a)
            even += project_backward_data(g, self.tensors[name])
        else:
            first = 0 if self.shortcut == "pad-end" else (b.filters - b.channels) // 2
            even += g[:, first:first + b.channels]
        return d0

    def backward_convolution(self, name, stride, dy, x):
        """dx"""
        convolution = self.convolution(name, stride)
        self.gradients[name + ".weight"] = convolution.backward_weight(dy, x)
        return convolution.backward_data(dy) if name != "conv1" else None

    def backward(self, du):
        self.gradients = {}
        dz = self.backward_norm("bn_logits", du) if "bn_logits" in self.norms else du
        pool, w = self.kept["pool"], self.tensors["linear.weight"].astype(b64)
        if "linear.bias" in self.tensors:
            self.gradients["linear.bias"] = tree(dz.astype(b64), axis=0).astype(b32)
        products = dz[:, :, None] * pool[:, None, :]
        self.gradients["linear.weight"] = tree(products.astype(b64), axis=0).astype(b32)
        chain = Chain(pool.shape)
        for k in range(10):
            chain.add(dz[:, k, None].astype(b64), w[k])
        dout = np.broadcast_to((chain.value() * b32(2.0**-6))[:, :, None, None], pool.shape + (8, 8))
        for b in reversed(self.blocks):
            a, u1, a1, out = self.kept[b.name]
            g = np.where(out > 0, dout, b32(0))
            d1 = self.backward_convolution(b.name + ".conv2", 1, self.backward_norm(b.name + ".bn2", g), a1)
            g1 = np.where(u1 > 0, d1, b32(0))
            d0 = self.backward_convolution(b.name + ".conv1", b.stride, self.backward_norm(b.name + ".bn1", g1), a)
            dout = self.shortcut_backward(b, a, g, d0)
        dy = self.backward_norm("bn1", np.where(self.kept["u"] > 0, dout, b32(0)))
        self.backward_convolution("conv1", 1, dy, self.kept["input"])

    # ---- sections 4 (running statistics), 7 and 8 ----

    def update_statistics(self):
        rate = self.experiment["model.batch_norm.rate"]
        for name, norm in self.norms.items():
            variance = norm.variance
            if self.experiment.on("model.batch_norm.unbiased_variance") and norm.count > 1:
                variance = variance * (norm.count / (norm.count - 1))
            for statistic, batch in zip(STATISTICS, (norm.mean, variance)):
                old = self.tensors[name + statistic].astype(b64)
                self.tensors[name + statistic] = (old + rate * (batch - old)).astype(b32)

    def update(self, rate):
        momentum = b32(self.experiment["training.optimizer.momentum"])
        decay = b32(self.experiment["training.optimizer.weight_decay"])
        for name, g in self.gradients.items():
            w, v = self.tensors[name], self.momentum[name]
            g = fma32(decay, w, g)
            if self.experiment["training.optimizer.form"] == "neon":
                v = fma32(-rate, g, momentum * v)
                w = w + v
            else:
                v = fma32(momentum, v, g)
                w = fma32(-rate, v, w)
            self.tensors[name], self.momentum[name] = w, v

    def train_step(self):
        """loss, errors, and the images of the batch"""
        x, labels = self.input.batch(self.step)
        losses, errors, f = self.softmax(self.forward(x, True), labels)
        loss = (tree(losses.astype(b64)) / len(x)).astype(b32)
        self.backward(f / b32(len(x)))
        self.update_statistics()
        self.update(self.experiment.rate(self.step, self.images))
        self.step += 1
        if not np.isfinite(loss) or not all(np.isfinite(w).all() for w in self.tensors.values()):
            raise Refused(f"step {self.step - 1} is not finite")
        return loss, errors, len(x)

    def evaluate(self, test):
        """mean loss (b64), errors"""
        x = np.array([self.input.normalise(image) for image in test.images], b32)
        losses, errors, _ = self.softmax(self.forward(x, False), test.labels.astype(int))
        return tree(losses.astype(b64)) / len(x), errors
