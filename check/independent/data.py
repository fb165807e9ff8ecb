"""Sections 9 and 10 of trainer/ARITHMETIC.md: the embedded data set, the order of images, and a batch's input."""

import functools
import hashlib

import numpy as np

from arithmetic import AUGMENTATION, EMBEDDED, SHUFFLE, b32, b64, block

EMBEDDED_SEED = 20151210
TEST_FIRST = 1 << 32


# ---- the embedded data set (section 10b) -------------------------------------------------------------------------

def quotient(a, b):
    """Integer division that truncates towards zero."""
    return np.sign(a) * (np.abs(a) // b)


def sine(i):
    quarter = (0, 25, 50, 74, 98, 121, 142, 162, 181, 198, 213, 226, 237, 245, 251, 255, 256)
    i %= 64
    if i >= 32:
        return -sine(i - 32)
    return quarter[min(i, 32 - i)]


class Stream:
    def __init__(self, image):
        self.image, self.taken = image, 0

    def words(self, count):
        first = self.taken // 4
        row = block(EMBEDDED_SEED, EMBEDDED, self.image, np.arange(first, (self.taken + count + 3) // 4)).T.reshape(-1)
        row = row[self.taken - 4 * first:][:count]
        self.taken += count
        return row

    def between(self, low, high):
        return low + (int(self.words(1)[0]) * (high - low + 1) >> 32)

    def signed(self, low, high):
        magnitude = self.between(low, high)
        return magnitude if self.between(0, 1) else -magnitude


def covers(shape, u, v):
    across, along = np.abs(u), np.abs(v)
    reach, squares = np.maximum(across, along), u * u + v * v
    return {
        "line": lambda: along <= 256,
        "stroke": lambda: (across <= 256) & (along <= 85),
        0: lambda: squares <= 215**2,
        1: lambda: (squares <= 240**2) & (squares >= 140**2),
        2: lambda: reach <= 185,
        3: lambda: (reach <= 205) & (reach >= 115),
        4: lambda: (v <= 128) & (443 * across <= 256 * (v + 256)),
        5: lambda: (reach <= 235) & ((across <= 70) | (along <= 70)),
        6: lambda: (across <= 220) & (along >= 75) & (along <= 190),
        7: lambda: (across - 145)**2 + v * v <= 105**2,
        8: lambda: (reach <= 210) & ((across <= 70) == (along <= 70)),
        9: lambda: (squares <= 240**2) & ((u - 110)**2 + v * v >= 190**2),
    }[shape]()


def draw(canvas, stream, shape, centre, radii, delta):
    x, y = stream.between(*centre), stream.between(*centre)
    radius, angle = stream.between(*radii), stream.between(0, 63)
    deltas = [delta() for _ in range(3)]
    scale = 65536 // radius
    row, column = np.mgrid[0:32, 0:32]
    covered = np.zeros((32, 32), np.int64)
    for i in range(4):
        dx, dy = 4 * column + 1 + 2 * (i % 2) - x, 4 * row + 1 + 2 * (i // 2) - y
        u = quotient((dx * sine(angle + 16) + dy * sine(angle)) * scale, 65536)
        v = quotient((dy * sine(angle + 16) - dx * sine(angle)) * scale, 65536)
        covered += covers(shape, u, v)
    for c in range(3):
        canvas[c] += quotient(deltas[c] * covered, 4)


def embedded_image(number, label):
    stream = Stream(number)
    canvas = np.zeros((3, 32, 32), np.int64)
    row, column = np.mgrid[0:32, 0:32]
    for c in range(3):
        base, down, right = stream.between(80, 175), stream.between(-32, 32), stream.between(-32, 32)
        canvas[c] = base + quotient(down * (2 * row - 32) + right * (2 * column - 32), 64)
    for _ in range(2):
        draw(canvas, stream, "line", (0, 128), (3, 12), lambda: stream.between(-24, 24))
    for _ in range(2):
        draw(canvas, stream, "stroke", (0, 128), (5, 14), lambda: stream.signed(27, 90))
    draw(canvas, stream, label, (56, 72), (36, 50), lambda: stream.signed(55, 90))
    word = stream.words(3072).astype(np.int64).reshape(3, 32, 32)
    noise = quotient(((word & 0xFFFF) + (word >> 16) - 65535) * 18, 65535)
    return np.clip(canvas + noise, 0, 255).astype(np.uint8)


class Dataset:
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def digest(self):
        records = np.concatenate([self.labels[:, None], self.images.reshape(len(self.labels), -1)], axis=1)
        return hashlib.sha256(records.astype(np.uint8).tobytes()).hexdigest()


@functools.lru_cache
def embedded(count, first=0):
    labels = np.arange(count, dtype=np.uint8) % 10
    return Dataset(np.array([embedded_image(first + i, int(labels[i])) for i in range(count)]), labels)


# ---- section 9: which images, and how they are cut ---------------------------------------------------------------

def order(seed, images, passes):
    return np.argsort(block(seed, SHUFFLE, passes, np.arange(images))[0], kind="stable")


def batch_images(experiment, images, step):
    """The pass and the image of each place in a step's batch."""
    batch = experiment["training.batch_size"]
    if experiment["training.last_batch"] == "continue":
        places = [divmod(step * batch + i, images) for i in range(batch)]
    else:
        per = -(-images // batch)
        first = step % per * batch
        places = [(step // per, place) for place in range(first, min(first + batch, images))]
    orders = {a: order(experiment.seed, images, a) for a in {a for a, _ in places}}
    return [(a, int(orders[a][place])) for a, place in places]


def augmentation(experiment, passes, image):
    """row, column, flip"""
    pad = experiment["dataset.padding.pixels"]
    x = [int(word) for word in block(experiment.seed, AUGMENTATION, passes, image)]
    row, column = (x[0] * (2 * pad + 1)) >> 32, (x[1] * (2 * pad + 1)) >> 32
    if not experiment.on("training.augmentation.crop"):
        row = column = pad
    return row, column, x[2] >> 31 if experiment.on("training.augmentation.flip") else 0


# ---- section 10: bytes to numbers --------------------------------------------------------------------------------

class Input:
    def __init__(self, experiment, training):
        self.experiment, self.data = experiment, training
        self.kind = experiment["dataset.normalization.kind"]
        self.mode, self.pad = experiment["dataset.padding.mode"], experiment["dataset.padding.pixels"]
        count = len(training.images)
        if self.kind == "channel-mean":
            sums = training.images.astype(np.int64).sum(axis=(0, 2, 3))
            self.mean = (sums / b64(count * 1024)).astype(b32)[:, None, None]
        elif self.kind == "pixel-mean":
            self.mean = (training.images.astype(np.int64).sum(axis=0) / b64(count)).astype(b32)
        else:
            self.mean, self.deviation = (np.array(experiment["dataset.normalization." + key], b64).astype(b32)
                                         [:, None, None] for key in ("mean", "deviation"))

    def normalise(self, image):
        x = image.astype(b32)
        if self.kind == "constants":
            return (x / b32(255) - self.mean) / self.deviation
        return x - self.mean

    def padded(self, image):
        pad = self.pad
        if self.mode == "zero":
            return np.pad(self.normalise(image), ((0, 0), (pad, pad), (pad, pad)))
        if self.mode == "zero-raw":
            return self.normalise(np.pad(image, ((0, 0), (pad, pad), (pad, pad))))
        for axis in (1, 2):  # the rows above and below, then the columns of the taller image
            mean = np.rint(image.astype(np.int64).sum(axis=axis, keepdims=True) / 32)
            border = np.repeat(mean, pad, axis=axis)
            image = np.concatenate([border, image, border], axis=axis)
        return self.normalise(image)

    def batch(self, step):
        """x (N, 3, 32, 32) and labels of a step."""
        x, labels = [], []
        for passes, image in batch_images(self.experiment, len(self.data.images), step):
            row, column, flip = augmentation(self.experiment, passes, image)
            crop = self.padded(self.data.images[image])[:, row:row + 32, column:column + 32]
            x.append(crop[:, :, ::-1] if flip else crop)
            labels.append(int(self.data.labels[image]))
        return np.array(x, b32), np.array(labels)
