#!/usr/bin/env python3
"""Writes random_normal.h: words and their exact normal deviates, rounded to binary64, from mpmath at 40 digits.

usage: random_normal.py > random_normal.h       (needs mpmath)

Newton's method on mpmath's own normal CDF: nothing in common with the rational approximation under test.
"""
import random
from mpmath import mp, mpf, npdf, erfc, sqrt

mp.dps = 40


def deviate(word):
    p = (mpf(word) + mpf("0.5")) / 2**32
    lower = min(p, 1 - p)
    x = -sqrt(-2 * mp.log(lower)) if lower < mpf("0.1") else mpf(0)
    for _ in range(200):
        step = (erfc(-x / sqrt(2)) / 2 - lower) / npdf(x)
        x -= step
        if abs(step) < mpf(10) ** -34:
            break
    else:
        raise ArithmeticError(word)
    return x if p < 1 - p else -x


# The ends, the middle, both sides of |p - 1/2| = 0.425, and words spread over all scales of the tail.
edges = [0, 1, 2, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
for border in (int(0.075 * 2**32), int(0.925 * 2**32)):
    edges += range(border - 2, border + 3)
generator = random.Random(20)
words = sorted(set(edges + [generator.getrandbits(32) for _ in range(150)]
                   + [generator.getrandbits(bits) for bits in range(1, 30) for _ in range(2)]))
print("/* Made by random_normal.py: {word, the standard normal deviate at (word + 0.5) / 2^32, correctly rounded}. */")
for word in words:
    print("{ 0x%08xu, %s }," % (word, float(deviate(word)).hex()))
