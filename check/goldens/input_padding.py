#!/usr/bin/env python3
"""Writes input_padding.h: crops of numpy.pad(mode="mean") images, as bytes.

usage: input_padding.py > input_padding.h       (needs numpy)

Each image comes from a 32-bit linear congruential generator that check/unit/test_input.c runs too. For each, and paddings of
1, 4 and 8 pixels: a polynomial hash of numpy's padded image, so that the file stays small. For the first image also the
top row at 4 pixels, corners included.
"""
import numpy

MULTIPLIER, INCREMENT = 1664525, 1013904223


def make_image(seed):
    """Random bytes; from seed 4 on of two neighbouring values only, so that ties in the means are common."""
    state, data = seed, []
    for _ in range(3 * 32 * 32):
        state = (state * MULTIPLIER + INCREMENT) % 2**32
        data.append(state >> 24 if seed < 4 else (state >> 31) + 7 * (seed - 4))
    return numpy.array(data, dtype=numpy.uint8).reshape(3, 32, 32)


def polynomial(array):
    value = 0
    for byte in array.tobytes():
        value = (value * MULTIPLIER + byte + 1) % 2**32
    return value


def ties(image):
    """Means that are exactly a half: over the columns, and over the rows of the image with its border."""
    padded = numpy.pad(image, ((0, 0), (1, 1), (0, 0)), mode="mean")
    return int((image.sum(1) % 32 == 16).sum() + (padded.sum(2) % 32 == 16).sum())


print(f"/* Made by input_padding.py with numpy {numpy.__version__}: {{seed, padding, hash of the padded image}}. */")
print("#ifdef INPUT_PADDING_HASHES")
total = 0
for seed in range(12):
    image = make_image(seed)
    total += ties(image)
    for padding in (1, 4, 8):
        padded = numpy.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode="mean")
        assert padded.dtype == numpy.uint8
        print("{ %d, %d, 0x%08xu }," % (seed, padding, polynomial(padded)))
print(f"#endif /* {total} of these means end in exactly a half */")
print("#ifdef INPUT_PADDING_ROW")
padded = numpy.pad(make_image(0), ((0, 0), (4, 4), (4, 4)), mode="mean")
print("/* seed 0, padding 4: the first row of each channel, corners included. */")
for plane in padded:
    print("{ " + ", ".join(str(byte) for byte in plane[0]) + " },")
print("#endif")
