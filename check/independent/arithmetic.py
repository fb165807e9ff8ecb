"""Sections 1, 9 and 11 of trainer/ARITHMETIC.md: fma, sums, exp, log, normal deviates and random words.

numpy's + - * / and sqrt of float32 and float64 arrays are those of IEEE 754, each rounded once. It has no fma, so this
file makes one of them. A comment says why each is right.
"""

import math

import numpy as np

b32, b64 = np.float32, np.float64


# ---- fma ---------------------------------------------------------------------------------------------------------

def two_sum(a, b):
    """s = a + b rounded, and the error e = a + b - s, which is a binary64 (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def odd_sum(a, b):
    """a + b rounded to odd: where it is not a binary64, the one of its two neighbours with an odd last bit."""
    s, e = two_sum(a, b)
    s = np.array(s, b64)
    bits = s.view(np.int64)
    move = (e != 0) & (bits & 1 == 0)
    bits += np.where(move, np.where((e > 0) == (s > 0), 1, -1), 0)
    return s


def doubtful(wide, narrow, scratch=(None,) * 4):
    """Where rounding to binary64 and then to binary32 may differ from one rounding: only where `wide` lies halfway
    between two binary32. Everywhere else `wide` and the exact number are on the same side of every such midpoint, or
    equal, because midpoints are binary64 and rounding keeps order. A midpoint between normal binary32 ends in a 1 and
    28 zeros. At and just above the smallest normal number, and below it, everything but 0 counts as doubtful."""
    ends = np.bitwise_and(wide.view(np.uint64), np.uint64(0x1FFFFFFF), out=scratch[0])
    doubt = np.equal(ends, np.uint64(0x10000000), out=scratch[1])
    exponents = np.bitwise_and(narrow.view(np.uint32), np.uint32(0x7F800000), out=scratch[2])
    tiny = np.less_equal(exponents, np.uint32(0x00800000), out=scratch[3])
    if tiny.any():
        doubt |= tiny & (wide != 0)
    return doubt


def fma32(a, b, c):
    """a * b + c, rounded once to binary32. The product of two binary32 is a binary64. Where the sum's double rounding
    is doubtful, it is rounded to odd first: 53 bits rounded to odd and then to 24 or fewer are rounded once (Boldo and
    Melquiond 2008, theorem 1)."""
    product, c = np.broadcast_arrays(np.asarray(a, b64) * np.asarray(b, b64), np.asarray(c, b64))
    wide = np.array(product + c)
    with np.errstate(over="ignore"):
        narrow = wide.astype(b32)
    again = doubtful(wide, narrow) & np.isfinite(wide)
    if again.any():
        narrow[again] = odd_sum(product[again], c[again]).astype(b32)
    return narrow


class Chain:
    """Section 1's chains, one for each element: acc starts at +0, and add() is acc = fma(a, b, acc). Operands are
    binary32 widened to float64, and so is the accumulator. The same as fma32, in memory that is used again."""

    def __init__(self, shape):
        self.acc = np.zeros(shape)
        self.product, self.wide = np.empty(shape), np.empty(shape)
        self.narrow = np.empty(shape, b32)
        self.scratch = tuple(np.empty(shape, kind) for kind in (np.uint64, bool, np.uint32, bool))

    def add(self, a, b):
        np.multiply(a, b, out=self.product)
        np.add(self.product, self.acc, out=self.wide)
        self.narrow[...] = self.wide
        again = doubtful(self.wide, self.narrow, self.scratch)
        if again.any():
            self.narrow[again] = odd_sum(self.product[again], self.acc[again])
        self.acc[...] = self.narrow

    def value(self):
        return self.acc.astype(b32)


def two_product(a, b):
    """p = a * b rounded, and its error (Dekker, by Veltkamp's splitting), for products far from over- and underflow."""
    def split(x):
        t = x * 134217729.0
        high = t - (t - x)
        return high, x - high
    p = a * b
    ah, al = split(a)
    bh, bl = split(b)
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def fma64(a, b, c):
    """a * b + c, rounded once to binary64: Boldo and Melquiond 2008, figure 4. Without over- and underflow, which the
    operands of sections 9 and 11 never come near."""
    a, b, c = (np.asarray(x, b64) for x in np.broadcast_arrays(a, b, c))
    uh, ul = two_product(a, b)
    th, tl = two_sum(c, ul)
    vh, vl = two_sum(uh, th)
    return vh + odd_sum(tl, vl)


# ---- trees -------------------------------------------------------------------------------------------------------

def tree(values, axis=-1):
    """T32 or T64, by the type of the values."""
    values = np.moveaxis(values, axis, 0)
    count = 1
    while count < len(values):
        count *= 2
    filled = np.zeros((count,) + values.shape[1:], values.dtype)
    filled[:len(values)] = values
    while len(filled) > 1:
        filled = filled[0::2] + filled[1::2]
    return filled[0]


# ---- section 11 --------------------------------------------------------------------------------------------------

def log64(x):
    m, e = np.frexp(np.asarray(x, b64))
    m, e = m * 2, e - 1.0
    large = m > float.fromhex("0x1.6a09e667f3bcdp+0")
    m, e = np.where(large, m * 0.5, m), np.where(large, e + 1, e)
    z = (m - 1) / (m + 1)
    y = z * z
    s = np.full(np.shape(z), 1 / 21)
    for j in range(19, 0, -2):
        s = fma64(s, y, 1 / j)
    return fma64(e, float.fromhex("0x1.62e42fefa39efp-1"), (2 * z) * s)


def log32(x):
    return log64(x).astype(b32)


def exp32(x):
    x = np.asarray(x, b64)
    inside = np.clip(x, -104, 89)
    t = fma64(inside, float.fromhex("0x1.71547652b82fep+0"), float.fromhex("0x1.8p+52"))
    i = t - float.fromhex("0x1.8p+52")
    r = fma64(i, -float.fromhex("0x1.62e42fefa39efp-1"), inside)
    r = fma64(i, -float.fromhex("0x1.abc9e3b39803fp-56"), r)
    v = np.full(np.shape(x), 1 / math.factorial(13))
    for j in range(12, -1, -1):
        v = fma64(v, r, 1 / math.factorial(j))
    with np.errstate(over="ignore"):
        value = np.ldexp(v, i.astype(int)).astype(b32)
    return np.where(x < -104, b32(0), np.where(x > 89, b32(np.inf), value))


# ---- section 9 ---------------------------------------------------------------------------------------------------

SHUFFLE, AUGMENTATION, WEIGHTS, BIAS, EMBEDDED = 1, 2, 3, 4, 5
LOW = np.uint64(0xFFFFFFFF)


def block(seed, purpose, major, index):
    """Four words for each index: an array of shape (4,) + the shape of index."""
    index = np.asarray(index, np.uint64)
    major = np.asarray(major, np.uint64)
    c = np.broadcast_arrays(index & LOW, major & LOW, major >> np.uint64(32), np.uint64(purpose))
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        left, right = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = ((right >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), right & LOW,
             (left >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), left & LOW)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.array(c)


def words(seed, purpose, major, count):
    """The first words of blocks 0, 1, ... in a row."""
    return block(seed, purpose, major, np.arange((count + 3) // 4)).T.reshape(-1)[:count]


CENTRE_NUM = (3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3, 1.3731693765509461125e+4,
              4.5921953931549871457e+4, 6.7265770927008700853e+4, 3.3430575583588128105e+4, 2.5090809287301226727e+3)
CENTRE_DEN = (1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
              2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4, 5.2264952788528545610e+3)
TAIL_NUM = (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
            1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4)
TAIL_DEN = (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
            1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9)


def horner(coefficients, r):
    value = np.full(np.shape(r), coefficients[7])
    for coefficient in coefficients[6::-1]:
        value = fma64(value, r, coefficient)
    return value


def normal(word):
    p = (np.asarray(word, b64) + 0.5) * 2.0**-32
    q = p - 0.5
    r = 0.180625 - q * q
    centre = q * (horner(CENTRE_NUM, r) / horner(CENTRE_DEN, r))
    r = np.sqrt(-log64(np.where(q < 0, p, 1 - p))) - 1.6
    tail = horner(TAIL_NUM, r) / horner(TAIL_DEN, r)
    return np.where(np.abs(q) <= 0.425, centre, np.where(q < 0, -tail, tail))
