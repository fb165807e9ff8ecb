/* The specified arithmetic in code: the formulas of ARITHMETIC.md whose roundings are easy to get wrong, each written
 * once. One header for C11 and for CUDA C++, for the scalar reference and every faster backend. If a formula is a
 * single operation (ReLU, u = fma(y, scale, shift), the mean over pixels, softmax's quotients), a backend may use its
 * own instructions. Section numbers are ARITHMETIC.md's. */
#ifndef SELFSAME_EXACT_H
#define SELFSAME_EXACT_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What compilers tell of their flags; configure looks for those of which they tell nothing. */
#if defined(__FAST_MATH__) || defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error "selfsame cannot be built with -ffast-math or a part of it: its results are defined to the last bit"
#endif
#if FLT_EVAL_METHOD != 0
#error "selfsame needs float arithmetic without extra precision: FLT_EVAL_METHOD 0; on 32-bit x86 -msse2 -mfpmath=sse"
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* The device's fma and conversions round as the host's; the rest is plain C, compiled there with -fmad=false. */
#ifdef __CUDACC__
#define EXACT static __host__ __device__ inline
#else
#define EXACT static inline
#endif

enum { EXACT_CHANNEL_BLOCK = 16 };

/* Output rows per chain of a weight gradient, by the side of the output, counted through the images of the batch:
 * half an image, 2 images or 4. Section 2. */
EXACT uint32_t exact_group_rows(uint32_t output_side)
{
    return output_side == 32 ? 16 : 32;
}

/* The groups of a batch; the last may have fewer rows. */
EXACT uint32_t exact_group_count(uint32_t output_side, uint32_t images)
{
    const uint32_t rows = exact_group_rows(output_side);
    return (images * output_side + rows - 1) / rows;
}

EXACT float exact_relu(float x)
{
    return x > 0.0f ? x : 0.0f;
}

EXACT int exact_finite(double x)
{
    return x - x == 0.0;
}

/* ---- section 1: what the compiler must not have changed ---------------------------------------------------------- */

/* NULL, or which rule of section 1 the code of this translation unit breaks: not every compiler tells the preprocessor
 * of a flag that does, so each unit that computes asks once, in the float environment it computes in. Operands are read
 * from memory, so that nothing folds. */
EXACT const char *exact_broken_rule(void)
{
    volatile float sources[8] = {
        1.0f + 0x1p-12f, -1.0f - 0x1p-11f, 0x1p-126f, 0x1p-149f, 1.0f, 0x1p-30f, -0.0f, 3.0f
    };
    volatile double wide[2] = { 1.0 + 0x1p-27, -1.0 - 0x1p-26 };
    float near = sources[0], minus = sources[1], normal = sources[2], smallest = sources[3], one = sources[4],
          small = sources[5];
    float zero = sources[6], three = sources[7];
    double near_wide = wide[0], minus_wide = wide[1];
    if (one + small != one || one - small != one)
        return "numbers are not rounded to nearest";
    if (near * near + minus != 0.0f || near_wide * near_wide + minus_wide != 0.0)
        return "a product and a sum are contracted to a fused multiply-add";
    if ((one + small) - one != 0.0f)
        return "sums are reordered";
    if (fmaf(near, near, minus) != 0x1p-24f || fma(near_wide, near_wide, minus_wide) != 0x1p-54)
        return "a fused multiply-add is not one operation";
    /* A comparison, too, would take a subnormal for zero. */
    if ((normal * 0.5f) * 0x1p+100f != 0x1p-27f || smallest * 0x1p+100f != 0x1p-49f)
        return "subnormal numbers are flushed to zero";
    float sum = zero + 0.0f;
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (bits != 0)
        return "the sign of zero is ignored";
    /* Many quotients by one divisor: where a reciprocal would pay. */
    const float quotients[6] = { 0x1.555556p-2f, 0x1.aaaaaap+0f, 0x1.2aaaaap+1f,
                                 0x1.6aaaaap+2f, 0x1.0aaaaap+3f, 0x1.2aaaaap+4f };
    volatile float numerators[6] = { 1.0f, 5.0f, 7.0f, 17.0f, 25.0f, 56.0f };
    for (int i = 0; i < 6; i++) {
        if (numerators[i] / three != quotients[i])
            return "quotients are taken by a reciprocal";
    }
    return sqrt((double)(one + one)) == 0x1.6a09e667f3bcdp+0 ? NULL : "a square root is not correctly rounded";
}

/* ---- section 1: trees -------------------------------------------------------------------------------------------- */

/* T64 over v[0], v[stride], ..., in place; v[0] holds the sum afterwards. */
EXACT double exact_tree64(double *v, size_t count, size_t stride)
{
    if (count == 0)
        return 0.0;
    for (; count > 1; count = (count + 1) / 2) {
        for (size_t i = 0; i < count / 2; i++)
            v[i * stride] = v[2 * i * stride] + v[(2 * i + 1) * stride];
        if (count % 2)
            v[count / 2 * stride] = v[(count - 1) * stride] + 0.0;
    }
    return v[0];
}

EXACT float exact_tree32(float *v, size_t count, size_t stride)
{
    if (count == 0)
        return 0.0f;
    for (; count > 1; count = (count + 1) / 2) {
        for (size_t i = 0; i < count / 2; i++)
            v[i * stride] = v[2 * i * stride] + v[(2 * i + 1) * stride];
        if (count % 2)
            v[count / 2 * stride] = v[(count - 1) * stride] + 0.0f;
    }
    return v[0];
}

/* ---- section 2, exact-2: tiles
 * ------------------------------------------------------------------------------------ */

/* Winograd's F(4x4, 3x3) at the points 0, 5/8, -5/8, 3/2, -3/2 and infinity, one dimension at a time: `v` has its
 * numbers `stride` apart and is overwritten. Every constant is exact in binary32. */
enum { EXACT_WINOGRAD_TILE = 4, EXACT_WINOGRAD_INPUT = 6, EXACT_WINOGRAD_POINTS = 36 };

/* B: six inputs to six points. */
EXACT void exact_winograd_input(float *v, size_t stride)
{
    const float d0 = v[0], d1 = v[stride], d2 = v[2 * stride], d3 = v[3 * stride], d4 = v[4 * stride],
                d5 = v[5 * stride];
    const float e = fmaf(-2.25f, d2, d4), f = fmaf(-0.390625f, d2, d4);
    const float o = fmaf(-1.40625f, d1, 0.625f * d3), g = fmaf(-0.5859375f, d1, 1.5f * d3);
    v[0] = fmaf(0.87890625f, d0, fmaf(-2.640625f, d2, d4));
    v[stride] = e + o;
    v[2 * stride] = e - o;
    v[3 * stride] = f + g;
    v[4 * stride] = f - g;
    v[5 * stride] = fmaf(0.87890625f, d1, fmaf(-2.640625f, d3, d5));
}

/* G: three taps to six points. */
EXACT void exact_winograd_filter(float *v, size_t stride)
{
    const float w0 = v[0], w1 = v[stride], w2 = v[2 * stride];
    const float e = fmaf(0.390625f, w2, w0), f = fmaf(2.25f, w2, w0);
    v[0] = w0 / 0.87890625f;
    v[stride] = fmaf(0.625f, w1, e) / -1.45263671875f;
    v[2 * stride] = fmaf(-0.625f, w1, e) / -1.45263671875f;
    v[3 * stride] = fmaf(1.5f, w1, f) / 8.3671875f;
    v[4 * stride] = fmaf(-1.5f, w1, f) / 8.3671875f;
    v[5 * stride] = w2;
}

/* A: six points to four outputs. */
EXACT void exact_winograd_output(float *v, size_t stride)
{
    const float m0 = v[0], m5 = v[5 * stride];
    const float p = v[stride] + v[2 * stride], q = v[stride] - v[2 * stride];
    const float t = v[3 * stride] + v[4 * stride], u = v[3 * stride] - v[4 * stride];
    v[0] = (m0 + p) + t;
    v[stride] = fmaf(1.5f, u, 0.625f * q);
    v[2 * stride] = fmaf(2.25f, t, 0.390625f * p);
    v[3 * stride] = fmaf(3.375f, u, fmaf(0.244140625f, q, m5));
}

/* Z, A transposed: four gradients of outputs to six points. */
EXACT void exact_winograd_gradient(float *v, size_t stride)
{
    const float d0 = v[0], d1 = v[stride], d2 = v[2 * stride], d3 = v[3 * stride];
    const float e = fmaf(0.390625f, d2, d0), f = fmaf(2.25f, d2, d0);
    const float o = fmaf(0.244140625f, d3, 0.625f * d1), g = fmaf(3.375f, d3, 1.5f * d1);
    v[stride] = e + o;
    v[2 * stride] = e - o;
    v[3 * stride] = f + g;
    v[4 * stride] = f - g;
    v[5 * stride] = d3;
}

/* H, G transposed: six points to the gradients of three taps. */
EXACT void exact_winograd_taps(float *v, size_t stride)
{
    const float m0 = v[0], m5 = v[5 * stride];
    const float p = v[stride] + v[2 * stride], q = v[stride] - v[2 * stride];
    const float t = v[3 * stride] + v[4 * stride], u = v[3 * stride] - v[4 * stride];
    v[0] = fmaf(0.390625f, t, fmaf(-2.25f, p, 3.71875f * m0)) / 3.2684326171875f;
    v[stride] = fmaf(-1.5f, q, 0.625f * u) / 3.486328125f;
    v[2 * stride] = fmaf(3.71875f, m5, t - p) / 3.71875f;
}

/* The images whose tiles make up a weight gradient's group of 64, by the side of the output. */
EXACT uint32_t exact_winograd_group_images(uint32_t side)
{
    return 1024 / (side * side);
}

/* ---- section 4: batch norm --------------------------------------------------------------------------------------- */

/* What the passes over a channel need, from its statistics. */
struct exact_norm {
    double mean, variance, inverse;
    float scale, shift, mean32;
};

EXACT struct exact_norm exact_norm_constants(double mean, double variance, double epsilon, float gamma, float beta)
{
    struct exact_norm norm;
    norm.mean = mean;
    norm.variance = variance;
    norm.inverse = 1.0 / sqrt(variance + epsilon);
    norm.scale = (float)((double)gamma * norm.inverse);
    norm.shift = (float)((double)beta - mean * (double)norm.scale);
    norm.mean32 = (float)mean;
    return norm;
}

/* From the sums over M numbers; a NaN in a sum stays one, for the check. */
EXACT struct exact_norm exact_norm_from_sums(double sum, double sum_of_squares, double M, double epsilon, float gamma,
                                             float beta)
{
    double mean = sum / M;
    double variance = sum_of_squares / M - mean * mean;
    if (variance <= 0.0)
        variance = 0.0;
    return exact_norm_constants(mean, variance, epsilon, gamma, beta);
}

EXACT int exact_norm_finite(const struct exact_norm *norm)
{
    return exact_finite(norm->mean) && exact_finite(norm->variance) && exact_finite((double)norm->scale) &&
           exact_finite((double)norm->shift);
}

EXACT float exact_running(float running, double batch, double rate)
{
    return (float)((double)running + rate * (batch - (double)running));
}

EXACT double exact_unbiased(double variance, double M)
{
    return M > 1.0 ? variance * (M / (M - 1.0)) : variance;
}

struct exact_norm_gradient {
    float dgamma, dbeta, slope, constant; /* dy = fma(g, scale, fma(slope, y, constant)) */
};

EXACT struct exact_norm_gradient exact_norm_backward(const struct exact_norm *norm, double G1, double G2, double M)
{
    struct exact_norm_gradient gradient;
    double scale = (double)norm->scale;
    gradient.dbeta = (float)G1;
    gradient.dgamma = (float)(G2 * norm->inverse);
    gradient.slope = (float)-((((scale * norm->inverse) * norm->inverse) * G2) / M);
    gradient.constant = (float)(-((scale * G1) / M) - (double)gradient.slope * norm->mean);
    return gradient;
}

/* ---- section 7: the update --------------------------------------------------------------------------------------- */

EXACT void exact_update_neon(float *w, float *v, float g, float lr, float momentum, float decay)
{
    g = fmaf(decay, *w, g);
    *v = fmaf(-lr, g, momentum * *v);
    *w = *w + *v;
}

EXACT void exact_update_pytorch(float *w, float *v, float g, float lr, float momentum, float decay)
{
    g = fmaf(decay, *w, g);
    *v = fmaf(momentum, *v, g);
    *w = fmaf(-lr, *v, *w);
}

/* ---- section 10: the mean of a border's pixel -------------------------------------------------------------------- */

/* sum / 32, half to even. */
EXACT uint32_t exact_mean_of_32(uint32_t sum)
{
    return (sum + 15 + (sum >> 5 & 1)) >> 5;
}

/* ---- section 11: exp and log ------------------------------------------------------------------------------------- */

/* For 0, normal x > 0, infinity and NaN; not for a subnormal binary64, which no binary32 becomes. */
EXACT double exact_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (!(x > 0.0))
        return x == 0.0 ? -(double)INFINITY : (double)NAN;
    if (!exact_finite(x))
        return x;
    double e = (double)((int)(bits >> 52) - 1023);
    bits = (bits & 0xfffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m = m * 0.5;
        e = e + 1.0;
    }
    double z = (m - 1.0) / (m + 1.0), y = z * z, s = 1.0 / 21.0;
    s = fma(s, y, 1.0 / 19.0);
    s = fma(s, y, 1.0 / 17.0);
    s = fma(s, y, 1.0 / 15.0);
    s = fma(s, y, 1.0 / 13.0);
    s = fma(s, y, 1.0 / 11.0);
    s = fma(s, y, 1.0 / 9.0);
    s = fma(s, y, 1.0 / 7.0);
    s = fma(s, y, 1.0 / 5.0);
    s = fma(s, y, 1.0 / 3.0);
    s = fma(s, y, 1.0);
    return fma(e, 0x1.62e42fefa39efp-1, (2.0 * z) * s);
}

EXACT float exact_logf(float x)
{
    return (float)exact_log((double)x);
}

EXACT float exact_expf(float x)
{
    if (x < -104.0f)
        return 0.0f;
    if (x > 89.0f)
        return INFINITY;
    if (x != x)
        return x;
    double t = fma((double)x, 0x1.71547652b82fep+0, 0x1.8p+52);
    double n = t - 0x1.8p+52;
    double r = fma(n, -0x1.62e42fefa39efp-1, (double)x);
    r = fma(n, -0x1.abc9e3b39803fp-56, r);
    double p = 1.0 / 6227020800.0;
    p = fma(p, r, 1.0 / 479001600.0);
    p = fma(p, r, 1.0 / 39916800.0);
    p = fma(p, r, 1.0 / 3628800.0);
    p = fma(p, r, 1.0 / 362880.0);
    p = fma(p, r, 1.0 / 40320.0);
    p = fma(p, r, 1.0 / 5040.0);
    p = fma(p, r, 1.0 / 720.0);
    p = fma(p, r, 1.0 / 120.0);
    p = fma(p, r, 1.0 / 24.0);
    p = fma(p, r, 1.0 / 6.0);
    p = fma(p, r, 0.5);
    p = fma(p, r, 1.0);
    p = fma(p, r, 1.0);
    uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return (float)(p * power);
}

/* ---- section 13: the ledger digest ------------------------------------------------------------------------------- */

#define EXACT_LEDGER_FINALIZE_1 0x21f0aaadu
#define EXACT_LEDGER_FINALIZE_2 0x735a2d97u
#define EXACT_LEDGER_POSITION_MUL 0x9e3779b1u
#define EXACT_LEDGER_POSITION_ADD 0x7f4a7c15u
#define EXACT_LEDGER_KEY0_MUL 0x85ebca77u
#define EXACT_LEDGER_KEY0_ADD 0xc2b2ae3du
#define EXACT_LEDGER_KEY1_MUL 0xc2b2ae35u
#define EXACT_LEDGER_KEY1_ADD 0x27d4eb2fu

/* Adds element i with the bits w to the two sums. */
EXACT void exact_ledger_add(uint64_t digest[2], uint32_t i, uint32_t w)
{
    uint32_t x = w ^ (i * EXACT_LEDGER_POSITION_MUL + EXACT_LEDGER_POSITION_ADD);
    x ^= x >> 16;
    x *= EXACT_LEDGER_FINALIZE_1;
    x ^= x >> 15;
    x *= EXACT_LEDGER_FINALIZE_2;
    x ^= x >> 15;
    digest[0] += (uint64_t)x * ((i * EXACT_LEDGER_KEY0_MUL + EXACT_LEDGER_KEY0_ADD) | 1u);
    digest[1] += (uint64_t)x * ((i * EXACT_LEDGER_KEY1_MUL + EXACT_LEDGER_KEY1_ADD) | 1u);
}

#endif
