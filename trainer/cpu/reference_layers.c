/* The operations of reference.h: ARITHMETIC.md sections 2 to 6 in plain loops, in the page's order. */
#include <string.h>

#include "base/bytes.h"
#include "trainer/cpu/reference.h"
#include "trainer/network.h"

enum { CLASSES = NETWORK_CLASSES, FEATURES = NETWORK_FEATURES, POOL_PIXELS = 64, SIDE_MAX = 32 };

/* Chains run over blocks of this many channels. */
static uint32_t block_of(uint32_t channels)
{
    return channels < EXACT_CHANNEL_BLOCK ? channels : EXACT_CHANNEL_BLOCK;
}

/* An image (channels, side, side) within a border of one +0: (channels, side+2, side+2). */
static void pad(const float *image, uint32_t channels, uint32_t side, float *padded)
{
    const size_t width = side + 2;
    memset(padded, 0, channels * width * width * sizeof *padded);
    for (uint32_t c = 0; c < channels; c++)
        for (uint32_t h = 0; h < side; h++)
            memcpy(padded + (c * width + h + 1) * width + 1, image + ((size_t)c * side + h) * side,
                   side * sizeof *image);
}

/* ---- 3x3 convolution --------------------------------------------------------------------------------------------- */

/* Inlined with constant P and stride, so that a row of chains stays in registers. */
static inline __attribute__((always_inline)) void forward_rows(const struct conv2d *d, const float *padded,
                                                               const float *w, float *y, const uint32_t P,
                                                               const uint32_t stride)
{
    const size_t width = d->H + 2;
    const uint32_t block = block_of(d->C);
    for (uint32_t k = 0; k < d->K; k++) {
        for (uint32_t p = 0; p < P; p++) {
            float acc[SIDE_MAX] = { 0.0f };
            for (uint32_t base = 0; base < d->C; base += block) {
                for (uint32_t r = 0; r < 3; r++) {
                    for (uint32_t c = base; c < base + block; c++) {
                        for (uint32_t s = 0; s < 3; s++) {
                            const float *x = padded + (c * width + stride * p + r) * width + s;
                            const float tap = w[((size_t)(k * d->C + c) * 3 + r) * 3 + s];
                            for (uint32_t q = 0; q < P; q++)
                                acc[q] = fmaf(x[stride * q], tap, acc[q]);
                        }
                    }
                }
            }
            memcpy(y + ((size_t)k * P + p) * P, acc, P * sizeof *y);
        }
    }
}

void conv2d_forward(const struct conv2d *d, const float *x, const float *w, float *y, float *scratch)
{
    pad(x, d->C, d->H, scratch);
    if (d->stride == 2 && d->H == 32)
        forward_rows(d, scratch, w, y, 16, 2);
    else if (d->stride == 2)
        forward_rows(d, scratch, w, y, 8, 2);
    else if (d->H == 32)
        forward_rows(d, scratch, w, y, 32, 1);
    else if (d->H == 16)
        forward_rows(d, scratch, w, y, 16, 1);
    else
        forward_rows(d, scratch, w, y, 8, 1);
}

/* Stride 1, H = P; r and s are the page's r' and s'. */
static inline __attribute__((always_inline)) void backward_rows(const struct conv2d *d, const float *padded,
                                                                const float *w, float *dx, const uint32_t H)
{
    const size_t width = H + 2;
    const uint32_t block = block_of(d->K);
    for (uint32_t c = 0; c < d->C; c++) {
        for (uint32_t h = 0; h < H; h++) {
            float acc[SIDE_MAX] = { 0.0f };
            for (uint32_t base = 0; base < d->K; base += block) {
                for (uint32_t r = 0; r < 3; r++) {
                    for (uint32_t k = base; k < base + block; k++) {
                        for (uint32_t s = 0; s < 3; s++) {
                            const float *dy = padded + (k * width + h + r) * width + s;
                            const float tap = w[((size_t)(k * d->C + c) * 3 + 2 - r) * 3 + 2 - s];
                            for (uint32_t i = 0; i < H; i++)
                                acc[i] = fmaf(dy[i], tap, acc[i]);
                        }
                    }
                }
            }
            memcpy(dx + ((size_t)c * H + h) * H, acc, H * sizeof *dx);
        }
    }
}

/* One output of the stride 2: the taps whose row and column exist, that is, whose place in dy is not a half. */
static float backward_strided(const struct conv2d *d, const float *padded, const float *w, uint32_t c, uint32_t row,
                              uint32_t column)
{
    const size_t width = d->H / 2 + 2;
    const uint32_t block = block_of(d->K);
    float acc = 0.0f;
    for (uint32_t base = 0; base < d->K; base += block) {
        for (uint32_t r = 0; r < 3; r++) {
            if ((row + r) % 2 == 0) /* row + r - 1 is odd */
                continue;
            for (uint32_t k = base; k < base + block; k++) {
                for (uint32_t s = 0; s < 3; s++) {
                    if ((column + s) % 2 == 0)
                        continue;
                    /* The border shifts by one: p + 1 = (row + r + 1) / 2. */
                    const float dy = padded[(k * width + (row + r + 1) / 2) * width + (column + s + 1) / 2];
                    acc = fmaf(dy, w[((size_t)(k * d->C + c) * 3 + 2 - r) * 3 + 2 - s], acc);
                }
            }
        }
    }
    return acc;
}

void conv2d_backward_data(const struct conv2d *d, const float *dy, const float *w, float *dx, float *scratch)
{
    pad(dy, d->K, d->H / d->stride, scratch);
    if (d->stride == 2) {
        for (uint32_t c = 0; c < d->C; c++)
            for (uint32_t row = 0; row < d->H; row++)
                for (uint32_t column = 0; column < d->H; column++)
                    dx[((size_t)c * d->H + row) * d->H + column] = backward_strided(d, scratch, w, c, row, column);
    } else if (d->H == 32) {
        backward_rows(d, scratch, w, dx, 32);
    } else if (d->H == 16) {
        backward_rows(d, scratch, w, dx, 16);
    } else {
        backward_rows(d, scratch, w, dx, 8);
    }
}

void conv2d_backward_weight(const struct conv2d *d, uint32_t begin, uint32_t end, const float *x, const float *dy,
                            float *part, float *scratch)
{
    const uint32_t P = d->H / d->stride, taps = d->C * 9;
    const size_t width = d->H + 2;
    float *padded = scratch, *patch = scratch + REFERENCE_PADDED_FLOATS;
    memset(part, 0, (size_t)d->K * taps * sizeof *part);
    for (uint32_t row = begin; row < end; row++) {
        const uint32_t n = row / P, p = row % P;
        if (row == begin || p == 0)
            pad(x + (size_t)n * d->C * d->H * d->H, d->C, d->H, padded);
        for (uint32_t q = 0; q < P; q++) {
            for (uint32_t i = 0; i < taps; i++) /* i = (c * 3 + r) * 3 + s, as in w */
                patch[i] = padded[(i / 9 * width + d->stride * p + i / 3 % 3) * width + d->stride * q + i % 3];
            for (uint32_t k = 0; k < d->K; k++) {
                const float g = dy[(((size_t)n * d->K + k) * P + p) * P + q];
                float *acc = part + (size_t)k * taps;
                for (uint32_t i = 0; i < taps; i++)
                    acc[i] = fmaf(g, patch[i], acc[i]);
            }
        }
    }
}

void group_tree(float *parts, uint32_t groups, size_t count, size_t begin, size_t end, float *dw)
{
    for (size_t i = begin; i < end; i++)
        dw[i] = exact_tree32(parts + i, groups, count);
}

/* ---- shortcuts --------------------------------------------------------------------------------------------------- */

/* Where pixel (p, q) of a subsampled plane lies in the array of planes of side H. */
static size_t subsampled(uint32_t plane, uint32_t H, uint32_t p, uint32_t q)
{
    return ((size_t)plane * H + 2 * p) * H + 2 * q;
}

void projection_forward(const struct conv2d *d, const float *x, const float *w, float *z)
{
    const uint32_t P = d->H / 2;
    for (uint32_t k = 0; k < d->K; k++) {
        for (uint32_t p = 0; p < P; p++) {
            for (uint32_t q = 0; q < P; q++) {
                float acc = 0.0f;
                for (uint32_t c = 0; c < d->C; c++)
                    acc = fmaf(x[subsampled(c, d->H, p, q)], w[k * d->C + c], acc);
                *z++ = acc;
            }
        }
    }
}

void projection_backward_data(const struct conv2d *d, const float *g, const float *w, float *dx)
{
    const uint32_t P = d->H / 2;
    for (uint32_t c = 0; c < d->C; c++) {
        for (uint32_t p = 0; p < P; p++) {
            for (uint32_t q = 0; q < P; q++) {
                float acc = 0.0f, *sum = &dx[subsampled(c, d->H, p, q)];
                for (uint32_t k = 0; k < d->K; k++)
                    acc = fmaf(g[((size_t)k * P + p) * P + q], w[k * d->C + c], acc);
                *sum = *sum + acc;
            }
        }
    }
}

void projection_backward_weight(const struct conv2d *d, uint32_t begin, uint32_t end, const float *x, const float *g,
                                float *part)
{
    const uint32_t P = d->H / 2;
    for (uint32_t k = 0; k < d->K; k++) {
        for (uint32_t c = 0; c < d->C; c++) {
            float acc = 0.0f;
            for (uint32_t row = begin; row < end; row++) {
                const uint32_t n = row / P, p = row % P;
                for (uint32_t q = 0; q < P; q++)
                    acc =
                        fmaf(g[(((size_t)n * d->K + k) * P + p) * P + q], x[subsampled(n * d->C + c, d->H, p, q)], acc);
            }
            part[k * d->C + c] = acc;
        }
    }
}

void option_a_forward(const struct conv2d *d, uint32_t first, const float *x, float *z)
{
    const uint32_t P = d->H / 2;
    memset(z, 0, (size_t)d->K * P * P * sizeof *z);
    for (uint32_t c = 0; c < d->C; c++)
        for (uint32_t p = 0; p < P; p++)
            for (uint32_t q = 0; q < P; q++)
                z[((size_t)(c + first) * P + p) * P + q] = x[subsampled(c, d->H, p, q)];
}

void option_a_backward(const struct conv2d *d, uint32_t first, const float *g, float *dx)
{
    const uint32_t P = d->H / 2;
    for (uint32_t c = 0; c < d->C; c++) {
        for (uint32_t p = 0; p < P; p++) {
            for (uint32_t q = 0; q < P; q++) {
                float *sum = &dx[subsampled(c, d->H, p, q)];
                *sum = *sum + g[((size_t)(c + first) * P + p) * P + q];
            }
        }
    }
}

/* ---- batch norm, ReLU -------------------------------------------------------------------------------------------- */

void batch_norm_sums(uint32_t K, uint32_t pixels, const float *y, float *sums, float *scratch)
{
    for (uint32_t k = 0; k < K; k++, y += pixels) {
        memcpy(scratch, y, pixels * sizeof *y);
        sums[k] = exact_tree32(scratch, pixels, 1);
        for (uint32_t i = 0; i < pixels; i++)
            scratch[i] = y[i] * y[i];
        sums[K + k] = exact_tree32(scratch, pixels, 1);
    }
}

void batch_norm_forward(uint32_t K, uint32_t pixels, const struct exact_norm *norm, const float *y, float *u)
{
    for (uint32_t k = 0; k < K; k++, y += pixels, u += pixels)
        for (uint32_t i = 0; i < pixels; i++)
            u[i] = fmaf(y[i], norm[k].scale, norm[k].shift);
}

void batch_norm_backward_sums(uint32_t K, uint32_t pixels, const struct exact_norm *norm, const float *g,
                              const float *y, float *sums, float *scratch)
{
    for (uint32_t k = 0; k < K; k++, g += pixels, y += pixels) {
        memcpy(scratch, g, pixels * sizeof *g);
        sums[k] = exact_tree32(scratch, pixels, 1);
        for (uint32_t i = 0; i < pixels; i++)
            scratch[i] = g[i] * (y[i] - norm[k].mean32);
        sums[K + k] = exact_tree32(scratch, pixels, 1);
    }
}

void batch_norm_backward(uint32_t K, uint32_t pixels, const struct exact_norm *norm,
                         const struct exact_norm_gradient *gradient, const float *g, const float *y, float *dy)
{
    for (uint32_t k = 0; k < K; k++, g += pixels, y += pixels, dy += pixels)
        for (uint32_t i = 0; i < pixels; i++)
            dy[i] = fmaf(g[i], norm[k].scale, fmaf(gradient[k].slope, y[i], gradient[k].constant));
}

void relu_forward(size_t count, float *u)
{
    for (size_t i = 0; i < count; i++)
        u[i] = exact_relu(u[i]);
}

void relu_backward(size_t count, const float *a, const float *d, float *g)
{
    for (size_t i = 0; i < count; i++)
        g[i] = a[i] > 0.0f ? d[i] : 0.0f;
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

void pool_forward(const float *a, float *pool, float *scratch)
{
    for (uint32_t c = 0; c < FEATURES; c++) {
        memcpy(scratch, a + c * POOL_PIXELS, POOL_PIXELS * sizeof *a);
        pool[c] = exact_tree32(scratch, POOL_PIXELS, 1) * 0x1p-6f;
    }
}

void pool_backward(const float *dpool, float *d)
{
    for (uint32_t c = 0; c < FEATURES; c++)
        for (uint32_t i = 0; i < POOL_PIXELS; i++)
            d[c * POOL_PIXELS + i] = dpool[c] * 0x1p-6f;
}

void linear_forward(const float *pool, const float *w, const float *bias, float *z)
{
    for (uint32_t k = 0; k < CLASSES; k++) {
        float acc = 0.0f;
        for (uint32_t c = 0; c < FEATURES; c++)
            acc = fmaf(pool[c], w[k * FEATURES + c], acc);
        z[k] = bias == NULL ? acc : acc + bias[k];
    }
}

void linear_backward(uint32_t N, const float *pool, const float *w, const float *dz, float *dw, float *dbias,
                     float *dpool, double *column)
{
    for (uint32_t k = 0; k < CLASSES; k++) {
        for (uint32_t c = 0; c < FEATURES; c++) {
            for (uint32_t n = 0; n < N; n++)
                column[n] = (double)(dz[n * CLASSES + k] * pool[n * FEATURES + c]);
            dw[k * FEATURES + c] = (float)exact_tree64(column, N, 1);
        }
    }
    for (uint32_t k = 0; k < CLASSES && dbias != NULL; k++) {
        for (uint32_t n = 0; n < N; n++)
            column[n] = (double)dz[n * CLASSES + k];
        dbias[k] = (float)exact_tree64(column, N, 1);
    }
    for (uint32_t n = 0; n < N; n++) {
        for (uint32_t c = 0; c < FEATURES; c++) {
            float acc = 0.0f;
            for (uint32_t k = 0; k < CLASSES; k++)
                acc = fmaf(dz[n * CLASSES + k], w[k * FEATURES + c], acc);
            dpool[n * FEATURES + c] = acc;
        }
    }
}

void logits_norm_statistics(uint32_t N, uint32_t k, const float *z, double *mean, double *variance, double *column)
{
    for (uint32_t n = 0; n < N; n++)
        column[n] = (double)z[n * CLASSES + k];
    *mean = exact_tree64(column, N, 1) / (double)N;
    for (uint32_t n = 0; n < N; n++) {
        double e = (double)z[n * CLASSES + k] - *mean;
        column[n] = e * e;
    }
    *variance = exact_tree64(column, N, 1) / (double)N;
}

void logits_norm_forward(const struct exact_norm *norm, const float *z, float *u)
{
    for (uint32_t k = 0; k < CLASSES; k++)
        u[k] = fmaf(z[k], norm[k].scale, norm[k].shift);
}

struct exact_norm_gradient logits_norm_backward(uint32_t N, uint32_t k, const struct exact_norm *norm, const float *z,
                                                float *dz, double *column)
{
    for (uint32_t n = 0; n < N; n++)
        column[n] = (double)dz[n * CLASSES + k];
    double G1 = exact_tree64(column, N, 1);
    for (uint32_t n = 0; n < N; n++)
        column[n] = (double)dz[n * CLASSES + k] * ((double)z[n * CLASSES + k] - norm->mean);
    double G2 = exact_tree64(column, N, 1);
    struct exact_norm_gradient gradient = exact_norm_backward(norm, G1, G2, (double)N);
    for (uint32_t n = 0; n < N; n++) {
        float *d = &dz[n * CLASSES + k];
        *d = fmaf(*d, norm->scale, fmaf(gradient.slope, z[n * CLASSES + k], gradient.constant));
    }
    return gradient;
}

float softmax_loss(const float *u, uint32_t label, float *f, uint8_t *prediction)
{
    float e[CLASSES], largest = u[0];
    *prediction = 0;
    for (uint8_t k = 1; k < CLASSES; k++) {
        if (u[k] > largest) {
            largest = u[k];
            *prediction = k;
        }
    }
    float sum = 0.0f;
    for (uint32_t k = 0; k < CLASSES; k++) {
        e[k] = exact_expf(u[k] - largest);
        sum = k == 0 ? e[0] : sum + e[k];
    }
    for (uint32_t k = 0; k < CLASSES; k++)
        f[k] = e[k] / sum;
    return exact_logf(sum) - (u[label] - largest);
}

void softmax_backward(uint32_t N, uint32_t label, const float *f, float *du)
{
    for (uint32_t k = 0; k < CLASSES; k++)
        du[k] = (k == label ? f[k] - 1.0f : f[k]) / (float)N;
}

/* ---- ledger ------------------------------------------------------------------------------------------------------ */

void ledger_digest(size_t count, const float *values, size_t first, uint64_t digest[2])
{
    for (size_t i = 0; i < count; i++)
        exact_ledger_add(digest, (uint32_t)(first + i), float_bits(values[i]));
}
