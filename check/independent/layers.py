"""Sections 2 to 4 of trainer/ARITHMETIC.md: convolutions, directly and by tiles, and batch norm.

Tensors are float32 arrays (N, channels, rows, columns). Inside a chain, operands are widened to float64.
"""

import numpy as np

from arithmetic import Chain, b32, b64, fma32, tree

# ---- section 2 ---------------------------------------------------------------------------------------------------

def blocks(count):
    return [range(first, min(first + 16, count)) for first in range(0, count, 16)]


def bordered(x, before=1, after=1):
    return np.pad(x.astype(b64), ((0, 0), (0, 0), (before, after), (before, after)))


def direct(x, w, stride=1):
    """y (N, K, P, P)"""
    filters, channels = w.shape[:2]
    side = x.shape[2] // stride
    wide = w.astype(b64)[..., None, None]
    y = np.empty((len(x), filters, side, side), b32)
    for n, image in enumerate(bordered(x)):
        chain = Chain(y.shape[1:])
        for some in blocks(channels):
            for r in range(3):
                for c in some:
                    for s in range(3):
                        chain.add(image[c, r:r + stride * side:stride, s:s + stride * side:stride], wide[:, c, r, s])
        y[n] = chain.value()
    return y


def mirrored(w):
    """w[c, k, 2 - r, 2 - s]: backward data is a convolution of dy by it."""
    return w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)


def direct_backward_data_2(dy, w):
    """dx (N, C, H, H) of stride 2: the rows and columns of each parity have their own taps."""
    filters, channels = w.shape[:2]
    side = dy.shape[2]
    wide = w.astype(b64)[..., None, None]
    dx = np.empty((len(dy), channels, 2 * side, 2 * side), b32)
    taps = {0: {1: 0}, 1: {0: 0, 2: 1}}  # of a parity: tap -> p - h div 2
    for n, image in enumerate(bordered(dy, 0, 1)):
        for row in (0, 1):
            for column in (0, 1):
                chain = Chain((channels, side, side))
                for some in blocks(filters):
                    for r, p in taps[row].items():
                        for k in some:
                            for s, q in taps[column].items():
                                chain.add(image[k, p:p + side, q:q + side], wide[k, :, 2 - r, 2 - s])
                dx[n, :, row::2, column::2] = chain.value()
    return dx


def windows(x, stride):
    """What every tap meets: (N, C, 9, P, P)."""
    side = x.shape[2] // stride
    wide = bordered(x)
    return np.stack([wide[:, :, r:r + stride * side:stride, s:s + stride * side:stride]
                     for r in range(3) for s in range(3)], axis=2)


def grouped(left, right, group):
    """T32 over groups of consecutive entries of the first axis, each with one chain of left * right over the group's
    entries, and in each over the second axis. left (entries, terms, K, 1, ...), right (entries, terms, 1, C, ...)."""
    sums = []
    whole = len(left) // group * group
    for first, last, size in ((0, whole, group), (whole, len(left), len(left) - whole)):
        if first < last:
            a, b = (v[first:last].reshape((-1, size) + v.shape[1:]) for v in (left, right))
            chain = Chain(np.broadcast_shapes(a[:, 0, 0].shape, b[:, 0, 0].shape))
            for entry in range(size):
                for term in range(a.shape[2]):
                    chain.add(a[:, entry, term], b[:, entry, term])
            sums.append(chain.value())
    return tree(np.concatenate(sums), axis=0)


def backward_weight(dy, x):
    """dw (K, C, taps), x (N, C, taps, P, P) being what the taps meet."""
    n, filters, side, _ = dy.shape
    left = dy.astype(b64).transpose(0, 2, 3, 1).reshape(n * side, side, filters, 1, 1)
    right = x.transpose(0, 3, 4, 1, 2).reshape(n * side, side, 1, x.shape[1], x.shape[2])
    return grouped(left, right, 16 if side == 32 else 32)


# ---- section 2b --------------------------------------------------------------------------------------------------

def F(a, b=1):
    return b32(a / b)  # every constant is exact


def transform_b(d):
    e, f = fma32(F(-9, 4), d[2], d[4]), fma32(F(-25, 64), d[2], d[4])
    o, g = fma32(F(-45, 32), d[1], F(5, 8) * d[3]), fma32(F(-75, 128), d[1], F(3, 2) * d[3])
    return [fma32(F(225, 256), d[0], fma32(F(-169, 64), d[2], d[4])), e + o, e - o, f + g, f - g,
            fma32(F(225, 256), d[1], fma32(F(-169, 64), d[3], d[5]))]


def transform_g(w):
    e, f = fma32(F(25, 64), w[2], w[0]), fma32(F(9, 4), w[2], w[0])
    return [w[0] / F(225, 256),
            fma32(F(5, 8), w[1], e) / F(-2975, 2048), fma32(F(-5, 8), w[1], e) / F(-2975, 2048),
            fma32(F(3, 2), w[1], f) / F(1071, 128), fma32(F(-3, 2), w[1], f) / F(1071, 128), w[2]]


def transform_a(m):
    p, q, t, u = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [(m[0] + p) + t, fma32(F(3, 2), u, F(5, 8) * q), fma32(F(9, 4), t, F(25, 64) * p),
            fma32(F(27, 8), u, fma32(F(125, 512), q, m[5]))]


def transform_z(d):
    e, f = fma32(F(25, 64), d[2], d[0]), fma32(F(9, 4), d[2], d[0])
    o, g = fma32(F(125, 512), d[3], F(5, 8) * d[1]), fma32(F(27, 8), d[3], F(3, 2) * d[1])
    return [d[0], e + o, e - o, f + g, f - g, d[3]]


def transform_h(m):
    p, q, t, u = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [fma32(F(25, 64), t, fma32(F(-9, 4), p, F(119, 32) * m[0])) / F(26775, 8192),
            fma32(F(-3, 2), q, F(5, 8) * u) / F(1785, 512), fma32(F(119, 32), m[5], t - p) / F(119, 32)]


def in_both_dimensions(transform, square):
    """Down the columns of the last two axes, then along the rows of the result."""
    columns = np.stack(transform([square[..., i, :] for i in range(square.shape[-2])]), axis=-2)
    return np.stack(transform([columns[..., i] for i in range(square.shape[-1])]), axis=-1)


def tiles(x, size, border):
    """(N, C, tiles, size, size): squares at every fourth row and column, counted from the border."""
    padded = np.pad(x, ((0, 0), (0, 0), (border, border), (border, border)))
    side = x.shape[2] // 4
    return np.stack([padded[:, :, 4 * i:4 * i + size, 4 * j:4 * j + size] for i in range(side) for j in range(side)],
                    axis=2)


def winograd(x, w):
    n, channels, side, _ = x.shape
    u = in_both_dimensions(transform_g, w).astype(b64)
    v = in_both_dimensions(transform_b, tiles(x, 6, 1)).astype(b64)
    y = np.empty((n, len(w), side, side), b32)
    for image in range(n):
        chain = Chain((len(w),) + v.shape[2:])
        for c in range(channels):
            chain.add(v[image, c], u[:, c, None])
        out = in_both_dimensions(transform_a, chain.value()).reshape(len(w), side // 4, side // 4, 4, 4)
        y[image] = out.transpose(0, 1, 3, 2, 4).reshape(len(w), side, side)
    return y


def winograd_backward_weight(dy, x):
    n, channels, side, _ = x.shape
    v = in_both_dimensions(transform_b, tiles(x, 6, 1)).astype(b64)
    z = in_both_dimensions(transform_z, tiles(dy, 4, 0)).astype(b64)
    count = n * v.shape[2]
    left = z.transpose(0, 2, 1, 3, 4).reshape(count, 1, dy.shape[1], 1, 6, 6)
    right = v.transpose(0, 2, 1, 3, 4).reshape(count, 1, 1, channels, 6, 6)
    return in_both_dimensions(transform_h, grouped(left, right, 64))


class Convolution:
    """3x3, in one of the two versions."""

    def __init__(self, version, stride, w):
        self.w, self.stride = w, stride
        self.tiled = version == "exact-2" and stride == 1 and w.shape[0] == w.shape[1]

    def forward(self, x):
        return winograd(x, self.w) if self.tiled else direct(x, self.w, self.stride)

    def backward_data(self, dy):
        if self.tiled:
            return winograd(dy, mirrored(self.w))
        return direct(dy, mirrored(self.w)) if self.stride == 1 else direct_backward_data_2(dy, self.w)

    def backward_weight(self, dy, x):
        if self.tiled:
            return winograd_backward_weight(dy, x)
        return backward_weight(dy, windows(x, self.stride)).reshape(self.w.shape)


# ---- section 3: a projection -------------------------------------------------------------------------------------

def project(x, w):
    chain = Chain((len(x), len(w), x.shape[2] // 2, x.shape[3] // 2))
    for c in range(w.shape[1]):
        chain.add(x[:, c, None, ::2, ::2].astype(b64), w[:, c, 0, 0].astype(b64)[:, None, None])
    return chain.value()


def project_backward_data(g, w):
    """For the even rows and columns: (N, C, P, P)."""
    chain = Chain((len(g), w.shape[1]) + g.shape[2:])
    for k in range(w.shape[0]):
        chain.add(g[:, k, None].astype(b64), w[k, :, 0, 0].astype(b64)[:, None, None])
    return chain.value()


def project_backward_weight(g, x):
    return backward_weight(g, x[:, :, None, ::2, ::2].astype(b64))[..., None]


# ---- section 4 ---------------------------------------------------------------------------------------------------

def per_channel(v):
    return v[:, None, None]


def image_sums(values):
    """T32 over an image's pixels in raster order, then T64 over the images."""
    return tree(tree(values.reshape(values.shape[:2] + (-1,))).astype(b64), axis=0)


class Norm:
    """Section 4's, with the constants of one batch."""

    def __init__(self, y, gamma, beta, epsilon):
        self.y, self.count = y, y.shape[0] * y.shape[2] * y.shape[3]
        self.mean = image_sums(y) / self.count
        self.variance = image_sums(y * y) / self.count - self.mean * self.mean
        self.variance = np.where(self.variance <= 0, 0.0, self.variance)
        self.finish(gamma, beta, epsilon)

    def finish(self, gamma, beta, epsilon):
        self.inverse = 1 / np.sqrt(self.variance + epsilon)
        self.scale = (gamma.astype(b64) * self.inverse).astype(b32)
        self.shift = (beta.astype(b64) - self.mean * self.scale.astype(b64)).astype(b32)

    def forward(self):
        return fma32(self.y, per_channel(self.scale), per_channel(self.shift))

    def constants(self, g1, g2):
        """dgamma, dbeta, slope, constant"""
        scale = self.scale.astype(b64)
        slope = (-((((scale * self.inverse) * self.inverse) * g2) / self.count)).astype(b32)
        constant = (-((scale * g1) / self.count) - slope.astype(b64) * self.mean).astype(b32)
        return (g2 * self.inverse).astype(b32), g1.astype(b32), slope, constant

    def backward(self, g):
        """dy, dgamma, dbeta"""
        g1 = image_sums(g)
        g2 = image_sums(g * (self.y - per_channel(self.mean.astype(b32))))
        dgamma, dbeta, slope, constant = self.constants(g1, g2)
        inner = fma32(per_channel(slope), self.y, per_channel(constant))
        return fma32(g, per_channel(self.scale), inner), dgamma, dbeta


class LogitsNorm(Norm):
    """Section 6's, of z (N, 10)."""

    def __init__(self, z, gamma, beta, epsilon):
        self.y, self.count = z, len(z)
        self.mean = tree(z.astype(b64), axis=0) / self.count
        e = z.astype(b64) - self.mean
        self.variance = tree(e * e, axis=0) / self.count
        self.finish(gamma, beta, epsilon)

    def forward(self):
        return fma32(self.y, self.scale, self.shift)

    def backward(self, du):
        wide = du.astype(b64)
        g1 = tree(wide, axis=0)
        g2 = tree(wide * (self.y.astype(b64) - self.mean), axis=0)
        dgamma, dbeta, slope, constant = self.constants(g1, g2)
        return fma32(du, self.scale, fma32(slope, self.y, constant)), dgamma, dbeta


def stored_norm(tensors, name, y, epsilon):
    """Section 8: by the running statistics."""
    inverse = 1 / np.sqrt(tensors[name + ".running_var"].astype(b64) + epsilon)
    scale = (tensors[name + ".weight"].astype(b64) * inverse).astype(b32)
    shift = (tensors[name + ".bias"].astype(b64) - tensors[name + ".running_mean"].astype(b64)
             * scale.astype(b64)).astype(b32)
    if y.ndim == 4:
        scale, shift = per_channel(scale), per_channel(shift)
    return fma32(y, scale, shift)
