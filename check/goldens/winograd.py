#!/usr/bin/env python3
"""Writes winograd.h: what the tiles of exact-2 give for small inputs, by exact rational arithmetic.

Written from section 2b of trainer/ARITHMETIC.md alone. Every operation is carried out on fractions and then rounded
once to binary32, half to even, subnormals kept; no floating-point operation of this machine takes part.
usage: winograd.py > winograd.h (half a minute)
"""
import hashlib
import struct
from fractions import Fraction as F


class Number:
    """A binary32: a rational, and the sign that a zero has."""

    def __init__(self, value, negative=None):
        self.value = value
        self.negative = value < 0 if negative is None else negative


def rounded(value, zero_negative=False):
    """To binary32; an exact zero has the sign that is given."""
    if value == 0:
        return Number(F(0), zero_negative)
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < F(2) ** exponent:
        exponent -= 1
    unit = F(2) ** (max(exponent, -126) - 23)
    quotient, rest = divmod(magnitude / unit, 1)
    quotient = int(quotient)
    if rest > F(1, 2) or rest == F(1, 2) and quotient % 2 == 1:
        quotient += 1
    result = quotient * unit
    assert result < F(2) ** 128
    return Number(-result if value < 0 else result, value < 0)


def constant(numerator, denominator=1):
    return rounded(F(numerator, denominator))


def fma(a, b, c):
    product_negative = a.negative != b.negative
    exact = a.value * b.value + c.value
    both_zero = a.value * b.value == 0 and c.value == 0
    return rounded(exact, both_zero and product_negative and c.negative)


ONE, MINUS_ONE, MINUS_ZERO = constant(1), constant(-1), Number(F(0), True)


def add(a, b):
    return fma(a, ONE, b)


def subtract(a, b):
    return fma(b, MINUS_ONE, a)


def multiply(a, b):
    return rounded(a.value * b.value, a.negative != b.negative)


def divide(a, b):
    return rounded(a.value / b.value, a.negative != b.negative)


def B(d):
    e = fma(constant(-9, 4), d[2], d[4])
    f = fma(constant(-25, 64), d[2], d[4])
    o = fma(constant(-45, 32), d[1], multiply(constant(5, 8), d[3]))
    g = fma(constant(-75, 128), d[1], multiply(constant(3, 2), d[3]))
    first = fma(constant(225, 256), d[0], fma(constant(-169, 64), d[2], d[4]))
    last = fma(constant(225, 256), d[1], fma(constant(-169, 64), d[3], d[5]))
    return [first, add(e, o), subtract(e, o), add(f, g), subtract(f, g), last]


def G(w):
    e = fma(constant(25, 64), w[2], w[0])
    f = fma(constant(9, 4), w[2], w[0])
    a, b = constant(-2975, 2048), constant(1071, 128)
    return [divide(w[0], constant(225, 256)),
            divide(fma(constant(5, 8), w[1], e), a), divide(fma(constant(-5, 8), w[1], e), a),
            divide(fma(constant(3, 2), w[1], f), b), divide(fma(constant(-3, 2), w[1], f), b), w[2]]


def pairs(m):
    return add(m[1], m[2]), subtract(m[1], m[2]), add(m[3], m[4]), subtract(m[3], m[4])


def A(m):
    p, q, t, u = pairs(m)
    return [add(add(m[0], p), t), fma(constant(3, 2), u, multiply(constant(5, 8), q)),
            fma(constant(9, 4), t, multiply(constant(25, 64), p)),
            fma(constant(27, 8), u, fma(constant(125, 512), q, m[5]))]


def Z(d):
    e = fma(constant(25, 64), d[2], d[0])
    f = fma(constant(9, 4), d[2], d[0])
    o = fma(constant(125, 512), d[3], multiply(constant(5, 8), d[1]))
    g = fma(constant(27, 8), d[3], multiply(constant(3, 2), d[1]))
    return [d[0], add(e, o), subtract(e, o), add(f, g), subtract(f, g), d[3]]


def H(m):
    p, q, t, u = pairs(m)
    c = constant(119, 32)
    first = fma(constant(25, 64), t, fma(constant(-9, 4), p, multiply(c, m[0])))
    second = fma(constant(-3, 2), q, multiply(constant(5, 8), u))
    third = fma(c, m[5], subtract(t, p))
    return [divide(first, constant(26775, 8192)), divide(second, constant(1785, 512)), divide(third, c)]


def square(transform, rows):
    """Down every column, then along every row of the result."""
    columns = [transform(list(column)) for column in zip(*rows)]
    return [transform(list(row)) for row in zip(*columns)]


# ---- inputs, the same as in check/unit/test_winograd.c --------------------------------------------------------------

def numbers(seed, count):
    """Multiples of 2^-22 between -2 and 2 from a linear congruential generator."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2 ** 32
        out.append(rounded(F((state >> 8) - 2 ** 23, 2 ** 22)))
    return out


def transform_inputs(count):
    """Usual numbers, numbers near the smallest, zeros of both signs, and sizes that differ by 2^24."""
    usual = numbers(1, 3 * count)
    tiny = [rounded(n.value * F(2) ** -140) for n in usual[count:2 * count]]
    mixed = [rounded(n.value * F(2) ** (24 if i % 2 else 0)) for i, n in enumerate(usual[2 * count:])]
    zeros = [Number(F(0), i % 3 == 0) for i in range(count)]
    return [usual[:count], tiny, mixed, zeros]


def bits(number):
    packed = struct.pack('<f', float(number.value))
    word = struct.unpack('<I', packed)[0]
    return word | (0x80000000 if number.negative else 0)


# ---- one layer: C = K = 16, 17 images -------------------------------------------------------------------------------

CHANNELS, IMAGES = 16, 17


def at(array, side, n, c, row, column):
    if not (0 <= row < side and 0 <= column < side):
        return Number(F(0), False)
    return array[((n * CHANNELS + c) * side + row) * side + column]


def points_of_inputs(array, side, n, c, i, j):
    return square(B, [[at(array, side, n, c, 4 * i - 1 + a, 4 * j - 1 + b) for b in range(6)] for a in range(6)])


def chain(pairs_of_factors):
    acc = Number(F(0), False)
    for a, b in pairs_of_factors:
        acc = fma(a, b, acc)
    return acc


def convolve(array, side, filters, images):
    out = [None] * (images * CHANNELS * side * side)
    for n in range(images):
        for i in range(side // 4):
            for j in range(side // 4):
                V = [points_of_inputs(array, side, n, c, i, j) for c in range(CHANNELS)]
                for k in range(CHANNELS):
                    M = [[chain((V[c][a][b], filters[k][c][a][b]) for c in range(CHANNELS)) for b in range(6)]
                         for a in range(6)]
                    Y = square(A, M)
                    for a in range(4):
                        for b in range(4):
                            out[((n * CHANNELS + k) * side + 4 * i + a) * side + 4 * j + b] = Y[a][b]
    return out


def tree(values):
    size = 1
    while size < len(values):
        size *= 2
    values = values + [Number(F(0), False)] * (size - len(values))
    while len(values) > 1:
        values = [add(values[i], values[i + 1]) for i in range(0, len(values), 2)]
    return values[0]


def weight_gradient(x, dy, side, some):
    """dw of the filters and channels in `some`."""
    tiles = [(n, i, j) for n in range(IMAGES) for i in range(side // 4) for j in range(side // 4)]
    V, Zs = {}, {}
    for k, c in some:
        for n, i, j in tiles:
            if (n, i, j, c) not in V:
                V[n, i, j, c] = points_of_inputs(x, side, n, c, i, j)
            if (n, i, j, k) not in Zs:
                Zs[n, i, j, k] = square(Z, [[at(dy, side, n, k, 4 * i + a, 4 * j + b) for b in range(4)]
                                            for a in range(4)])
    out = []
    for k, c in some:
        roots = [[None] * 6 for _ in range(6)]
        for a in range(6):
            for b in range(6):
                groups = [tiles[g:g + 64] for g in range(0, len(tiles), 64)]
                roots[a][b] = tree([chain((V[n, i, j, c][a][b], Zs[n, i, j, k][a][b]) for n, i, j in group)
                                    for group in groups])
        out += [tap for row in square(H, roots) for tap in row]
    return out


def digest(values):
    return hashlib.sha256(b''.join(struct.pack('<I', bits(v)) for v in values)).hexdigest()


def digest_of_many(transform, count):
    """Of 100 rows of usual numbers: each rounding shows in some."""
    usual = numbers(7, 100 * count)
    return digest([v for i in range(0, len(usual), count) for v in transform(usual[i:i + count])])


def main():
    print('/* Made by winograd.py; see there. */')
    for name, transform, count in (('input', B, 6), ('filter', G, 3), ('output', A, 6), ('gradient', Z, 4),
                                   ('taps', H, 6)):
        rows = [[bits(v) for v in transform(row)] for row in transform_inputs(count)]
        print(f'static const uint32_t GOLDEN_{name.upper()}[4][{len(rows[0])}] = {{')
        for row in rows:
            print('    { ' + ', '.join(f'0x{w:08x}' for w in row) + ' },')
        print('};')
        print(f'static const char GOLDEN_MANY_{name.upper()}[] = "{digest_of_many(transform, count)}";')
    weights = numbers(2, CHANNELS * CHANNELS * 9)
    x, dy = (numbers(seed, IMAGES * CHANNELS * 8 * 8) for seed in (3, 4))
    tap = lambda k, c, r, s: weights[((k * CHANNELS + c) * 3 + r) * 3 + s]
    forward = [[square(G, [[tap(k, c, r, s) for s in range(3)] for r in range(3)]) for c in range(CHANNELS)]
               for k in range(CHANNELS)]
    backward = [[square(G, [[tap(k, c, 2 - r, 2 - s) for s in range(3)] for r in range(3)]) for k in range(CHANNELS)]
                for c in range(CHANNELS)]
    some = [(k, c) for k in (0, 7) for c in (0, 5, 15)]
    wide_x, wide_dy = (numbers(seed, IMAGES * CHANNELS * 16 * 16) for seed in (5, 6))
    print(f'''\
/* SHA-256 over the binary32, lowest byte first: of one image at side 8, and of dw, the filters 0 and 7 with the
 * channels 0, 5 and 15, from a group of 16 images and one of 1. At side 16 there are five groups, of 4 images and of 1,
 * and dw is that of filter 7 with channel 5. */
static const char GOLDEN_Y[] = "{digest(convolve(x, 8, forward, 1))}";
static const char GOLDEN_DX[] = "{digest(convolve(dy, 8, backward, 1))}";
static const char GOLDEN_DW[] = "{digest(weight_gradient(x, dy, 8, some))}";
static const char GOLDEN_DW_16[] = "{digest(weight_gradient(wide_x, wide_dy, 16, [(7, 5)]))}";''')


main()
