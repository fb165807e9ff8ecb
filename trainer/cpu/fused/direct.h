/* The direct 3x3 convolution: ARITHMETIC.md section 2 on blocked layouts. All shapes are constant after inlining.
 *
 * layouts  packed weights, forward: [K/G][C/16][r][c of 16][s][G] with G = TK vectors of filters; packed weights,
 *          backward data: [C/G][K/16][r'][k of 16][s'][G], flipped: entry r',s' is w[k][c][2-r'][2-s']; weight gradient
 *          of one unit: [K/LANES][C/16][r][c of 16][s][LANES].
 * strips   an image is cut into strips of TS outputs in raster order: a part of a row, a row, or a few rows, in lines
 *          of L. So 32 outputs fall into tiles of 11, 11 and 10 at every side, where a row of 8 or 16 would leave
 *          registers idle.
 * tiles    TQ outputs of a strip by TK vectors of filters, the chains that registers hold while all inputs pass; s
 *          innermost lets one broadcast serve three taps. An FMA's result is there after four cycles, in which two
 *          pipes take eight more: with fewer than eight chains they wait, with eight they wait for every hiccup. */
#ifndef SELFSAME_DIRECT_H
#define SELFSAME_DIRECT_H

#include <stdbool.h>

#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/prefetch.h"
#include "trainer/cpu/fused/sinks.h"
#include "trainer/cpu/fused/vector.h"
#include "trainer/exact.h"

/* LINES_MAX: of a strip. WEIGHT_PIXELS: those of x that a weight gradient's chains pass over at a time; with dy's they
 * take half of a first-level cache of 32 KiB. */
enum { LINES_MAX = 4, WEIGHT_PIXELS = 128 };

/* ---- forward, and backward data with stride 1 -------------------------------------------------------------------- */

/* The three taps of one kernel row and one input channel, for `count` neighbouring outputs of a row, whose first reads
 * x: one broadcast serves up to three of them. */
INLINE void direct_taps(const float *x, const vec *taps, int PS, int S, int count, int TK, vec *acc)
{
    UNROLL
    for (int j = 0; j < (count - 1) * S + 3; j++) {
        vec broadcast = vec_set(x[j * PS]);
        UNROLL
        for (int s = 2; s >= 0; s--) {
            if (j - s >= 0 && (j - s) % S == 0 && (j - s) / S < count) {
                UNROLL
                for (int t = 0; t < TK; t++) {
                    int a = (j - s) / S * TK + t;
                    acc[a] = vec_fma(broadcast, taps[s * TK + t], acc[a]);
                }
            }
        }
    }
}

/* Chains for the outputs first .. first+count-1 of a strip, whose lines have L of them: x points at what the strip's
 * first output reads, of channel block 0. */
INLINE void direct_tile(const float *x, size_t block_stride, int row_stride, const float *w, int CB, int CI, int PS,
                        int S, int L, int first, int count, int TK, struct prefetch_list *soon, float *strip)
{
    size_t ahead_stride;
    const char *ahead = prefetch_take(soon, (size_t)CB * 3 * CI, &ahead_stride);
    vec acc[16];
    UNROLL
    for (int i = 0; i < count * TK; i++)
        acc[i] = vec_zero();
    for (int cb = 0; cb < CB; cb++) {
        for (int r = 0; r < 3; r++) {
            const float *row = x + cb * block_stride + r * row_stride;
            for (int c = 0; c < CI; c++, row++, w += 3 * TK * LANES, ahead += ahead_stride) {
                __builtin_prefetch(ahead, 0, 2);
                vec taps[3 * 2];
                UNROLL
                for (int i = 0; i < 3 * TK; i++)
                    taps[i] = vec_load(w + i * LANES);
                UNROLL
                for (int line = 0; line < LINES_MAX; line++) {
                    int begin = line * L > first ? line * L : first,
                        end = (line + 1) * L < first + count ? (line + 1) * L : first + count;
                    if (begin < end)
                        direct_taps(row + line * S * row_stride + begin % L * S * PS, taps, PS, S, end - begin, TK,
                                    acc + (begin - first) * TK);
                }
            }
        }
    }
    UNROLL
    for (int i = 0; i < count * TK; i++)
        vec_store(strip + (first * TK + i) * LANES, acc[i]);
}

/* All chains of a strip of TS outputs, in tiles of TQ and a smaller last one. */
INLINE void direct_strip(const float *x, size_t block_stride, int row_stride, const float *w, int CB, int CI, int PS,
                         int S, int L, int TS, int TQ, int TK, struct prefetch_list *soon, float *strip)
{
    UNROLL
    for (int first = 0; first < TS; first += TQ) {
        direct_tile(x, block_stride, row_stride, w, CB, CI, PS, S, L, first, first + TQ < TS ? TQ : TS - first, TK,
                    soon, strip);
        if (TQ < TS)
            LEAVE_IN_MEMORY(strip);
    }
}

INLINE void direct_forward(const struct images *images, const float *w, int C, int K, int H, int S, int TS, int TQ,
                           int TK)
{
    const int CB = C >= BLOCK ? C / BLOCK : 1, CI = C >= BLOCK ? BLOCK : C, PS = C >= BLOCK ? BLOCK : 4, P = H / S,
              W = H + 2, L = P < TS ? P : TS, G = TK * LANES;
    float strip_sums[SUMS_FLOATS] __attribute__((aligned(64))), strip[STRIP_MAX * LANES] __attribute__((aligned(64)));
    for (uint32_t n = 0; n < images->count; n++) {
        const float *x = images->x + n * (size_t)W * W * PS * CB;
        float *y = images->y + n * (size_t)P * P * K;
        int made = 0; /* rows of x */
        for (int kg = 0; kg < K / G; kg++) {
            for (int at = 0; at < P * P; at += TS) {
                const int p = at / P, q = at % P;
                source_rows(&images->x_source[n], &made, (p + TS / L) * S + 1);
                direct_strip(x + ((size_t)p * S * W + q * S) * PS, (size_t)W * W * PS, W * PS,
                             w + (size_t)kg * CB * CI * 9 * G, CB, CI, PS, S, L, TS, TQ, TK, images->soon, strip);
                UNROLL
                for (int t = 0; t < TK; t++) {
                    const int k = kg * G + t * LANES;
                    float *to = strip_sums + (size_t)at / TS * 2 * K + k;
                    forward_strip(strip + t * LANES, G, TS, y + ((size_t)k / BLOCK * P * P + at) * BLOCK + k % BLOCK,
                                  to, to + K);
                }
            }
        }
        tree_rows(strip_sums, P * P / TS, 2 * K);
        copy_sums(images->sums + n * SUMS_STRIDE, strip_sums, 2 * K);
    }
}

/* Backward data, stride 1: C = K channels. */
INLINE void direct_data(const struct images *images, const float *w, int C, int H, int TS, int TQ, int TK,
                        enum residual residual)
{
    const int CB = C / BLOCK, W = H + 2, G = TK * LANES, L = H < TS ? H : TS;
    float strip_sums[SUMS_FLOATS] __attribute__((aligned(64))), strip[STRIP_MAX * LANES] __attribute__((aligned(64)));
    for (uint32_t n = 0; n < images->count; n++) {
        const struct gradient_sink *sink = &images->sink[n];
        const float *dy = images->dy + n * (size_t)C * W * W;
        for (int cg = 0; cg < C / G; cg++) {
            for (int at = 0; at < H * H; at += TS) {
                direct_strip(dy + ((size_t)(at / H) * W + at % H) * BLOCK, (size_t)W * W * BLOCK, W * BLOCK,
                             w + (size_t)cg * C * 9 * G, CB, BLOCK, BLOCK, 1, L, TS, TQ, TK, images->soon, strip);
                UNROLL
                for (int t = 0; t < TK; t++)
                    sink_strip(sink, strip + t * LANES, G, TS, cg * G + t * LANES, at, C, H,
                               strip_sums + (size_t)at / TS * 2 * C, residual);
            }
        }
        tree_rows(strip_sums, H * H / TS, 2 * C);
        copy_sums(sink->sums, strip_sums, 2 * C);
    }
}

/* ---- backward data, stride 2 ------------------------------------------------------------------------------------- */

/* Of one filter and one kernel row of a stride-2 backward: `count` neighbouring outputs of a row, of which the first is
 * in column `from` of its line. dy's column j, broadcast once, goes to the even output 2j by the tap s = 1, to the odd
 * ones 2j+1 by s = 0 and 2j-1 by s = 2; the odd chain's s = 0 comes first. */
INLINE void parity_taps(const float *dy, const vec *taps, int from, int count, vec *acc)
{
    UNROLL
    for (int j = from / 2; j <= (from + count) / 2; j++) {
        vec broadcast = vec_set(dy[j * BLOCK]);
        UNROLL
        for (int s = 2; s >= 0; s--) {
            int a = 2 * j + 1 - s - from;
            if (a >= 0 && a < count)
                acc[a] = vec_fma(broadcast, taps[s], acc[a]);
        }
    }
}

/* Chains for the outputs first .. first+count-1 of the rows of parity ROW of a strip; the lines of outputs have H of
 * them. dy points at the strip's first pixel. */
INLINE void parity_tile(const float *dy, const float *w, int KB, int ROW, int H, int first, int count, float *strip)
{
    const int row_stride = (H / 2 + 2) * BLOCK;
    vec acc[16];
    UNROLL
    for (int i = 0; i < count; i++)
        acc[i] = vec_zero();
    for (int kb = 0; kb < KB; kb++) {
        for (int r = ROW == 0 ? 1 : 0; r < 3; r += 2) {
            const float *x = dy + (size_t)kb * (H / 2 + 2) * row_stride + (r == 2 ? row_stride : 0);
            const float *weight = w + (size_t)(kb * 3 + r) * BLOCK * 3 * LANES;
            for (int k = 0; k < BLOCK; k++, x++, weight += 3 * LANES) {
                vec taps[3];
                UNROLL
                for (int s = 0; s < 3; s++)
                    taps[s] = vec_load(weight + s * LANES);
                UNROLL
                for (int line = 0; line < LINES_MAX; line++) {
                    int begin = line * H > first ? line * H : first,
                        end = (line + 1) * H < first + count ? (line + 1) * H : first + count;
                    if (begin < end)
                        parity_taps(x + line * row_stride, taps, begin % H, end - begin, acc + begin - first);
                }
            }
        }
    }
    UNROLL
    for (int i = 0; i < count; i++) {
        int line = (first + i) / H * 2 + ROW;
        vec_store(strip + (line * H + (first + i) % H) * LANES, acc[i]);
    }
    LEAVE_IN_MEMORY(strip);
}

/* Backward data, stride 2: C channels and side H from dy of K = 2C filters and side H/2. A strip is 2 * TS outputs:
 * those of either row parity make up TS. */
INLINE void direct_data_strided(const struct images *images, const float *weights, int C, int H, int TS, int TQ)
{
    const int K = 2 * C, KB = K / BLOCK, P = H / 2, W = P + 2;
    float strip_sums[SUMS_FLOATS] __attribute__((aligned(64))),
        strip[2 * STRIP_MAX * LANES] __attribute__((aligned(64)));
    for (uint32_t n = 0; n < images->count; n++) {
        const struct gradient_sink *sink = &images->sink[n];
        const float *dy = images->dy + n * (size_t)K * W * W, *w = weights;
        for (int c = 0; c < C; c += LANES, w += (size_t)K * 9 * LANES) {
            for (int i = 0; i < P; i += TS / H) {
                const float *first_dy = dy + ((size_t)(i + 1) * W + 1) * BLOCK;
                UNROLL
                for (int first = 0; first < TS; first += TQ) {
                    const int count = first + TQ < TS ? TQ : TS - first;
                    parity_tile(first_dy, w, KB, 0, H, first, count, strip);
                    parity_tile(first_dy, w, KB, 1, H, first, count, strip);
                }
                const float *strided = sink->strided + ((size_t)(c / BLOCK * P + i) * P) * BLOCK + c % BLOCK;
                for (int j = 0; j < TS / 2; j++) {
                    float *even = strip + (j / P * 2 * H + j % P * 2) * LANES;
                    vec_store(even, vec_add(vec_load(even), vec_load(strided + j * BLOCK)));
                }
                for (int at = 0; at < 2 * TS; at += TS)
                    sink_strip(sink, strip + at * LANES, LANES, TS, c, 2 * i * H + at, C, H,
                               strip_sums + (size_t)(2 * i * H + at) / TS * 2 * C, RESIDUAL_STRIDED);
            }
        }
        tree_rows(strip_sums, H * H / TS, 2 * C);
        copy_sums(sink->sums, strip_sums, 2 * C);
    }
}

/* ---- backward weights -------------------------------------------------------------------------------------------- */

/* Carries on, in `chains`, the chains of KV vectors of filters by TC input channels by the three columns s of one
 * kernel row over `rows` rows of an image, pixels in raster order: dw[s] sums dy[q] x[S q + s] over q, x counted with
 * its border. A turn takes TQ pixels, so that one broadcast of x serves up to three of them; in each chain q rises by
 * one each time. */
INLINE void weight_tile(const float *x, const float *dy, int rows, int H, int S, int PS, int KV, int TC, int TQ,
                        bool fresh, float *chains, size_t filters_stride, struct prefetch_list *soon)
{
    const int P = H / S;
    size_t ahead_stride;
    const char *ahead = prefetch_take(soon, (size_t)rows * P / TQ, &ahead_stride);
    vec acc[24];
    UNROLL
    for (int v = 0; v < KV; v++) {
        UNROLL
        for (int i = 0; i < 3 * TC; i++)
            acc[v * 3 * TC + i] = fresh ? vec_zero() : vec_load(chains + v * filters_stride + i * LANES);
    }
    for (int p = 0; p < rows; p++, x += S * (H + 2) * PS, dy += (P + 2) * BLOCK) {
        const float *xq = x, *dyq = dy;
        for (int q = 0; q < P; q += TQ, xq += TQ * S * PS, dyq += TQ * BLOCK, ahead += ahead_stride) {
            LOAD_AGAIN;
            __builtin_prefetch(ahead, 0, 2);
            vec d[4];
            UNROLL
            for (int i = 0; i < TQ * KV; i++)
                d[i] = vec_load(dyq + i / KV * BLOCK + i % KV * LANES);
            UNROLL
            for (int j = 0; j < (TQ - 1) * S + 3; j++) {
                UNROLL
                for (int c = 0; c < TC; c++) {
                    vec broadcast = vec_set(xq[j * PS + c]);
                    UNROLL
                    for (int s = 2; s >= 0; s--) {
                        if (j - s >= 0 && (j - s) % S == 0 && (j - s) / S < TQ) {
                            UNROLL
                            for (int v = 0; v < KV; v++) {
                                int a = (v * TC + c) * 3 + s;
                                acc[a] = vec_fma(broadcast, d[(j - s) / S * KV + v], acc[a]);
                            }
                        }
                    }
                }
            }
        }
    }
    UNROLL
    for (int v = 0; v < KV; v++) {
        UNROLL
        for (int i = 0; i < 3 * TC; i++)
            vec_store(chains + v * filters_stride + i * LANES, acc[v * 3 * TC + i]);
    }
}

/* Backward weights of one unit, K*C*9 packed floats: its one group's, or the sum of the two groups that an image of
 * side 32 is cut into, which are neighbours in section 2's tree. The chains of KV vectors of filters and a block of
 * channels take a few rows at a time, so that rows and chains stay in the first-level cache; the first ones to pass
 * make the rows. */
INLINE void direct_weight(const struct images *unit, float *gradient, int C, int K, int H, int S, int KV, int TC,
                          int TQ)
{
    const int CI = C >= BLOCK ? BLOCK : C, CB = C >= BLOCK ? C / BLOCK : 1, PS = C >= BLOCK ? BLOCK : 4, P = H / S;
    const int group_rows = (int)exact_group_rows((uint32_t)P),
              rows = WEIGHT_PIXELS / S / P < P ? WEIGHT_PIXELS / S / P : P;
    const size_t x_floats = (size_t)CB * PS * (H + 2) * (H + 2), dy_floats = (size_t)K * (P + 2) * (P + 2),
                 filters_stride = (size_t)LANES * C * 9;
    float second[BLOCK * BLOCK * 9] __attribute__((aligned(64))); /* the other group of an image of side 32 */
    for (int k = 0; k < K; k += KV * LANES) {
        for (int cb = 0; cb < CB; cb++) {
            const size_t at = (size_t)k * C * 9 + (size_t)cb * CI * 9 * LANES;
            for (uint32_t n = 0; n < unit->count; n++) {
                const float *x = unit->x + n * x_floats + (size_t)cb * (H + 2) * (H + 2) * PS,
                            *dy = unit->dy + n * dy_floats + ((size_t)(k / BLOCK * (P + 2) + 1) * (P + 2) + 1) * BLOCK +
                                  k % BLOCK;
                int x_made = 0, dy_made = 0; /* rows */
                for (int begin = 0; begin < P; begin += rows) {
                    if (k == 0 && cb == 0) {
                        source_rows(&unit->dy_source[n], &dy_made, begin + rows);
                        source_rows(&unit->x_source[n], &x_made, (begin + rows) * S + 2 - S);
                    }
                    const bool fresh = n == 0 && begin % group_rows == 0;
                    float *chains = (begin < group_rows ? gradient : second) + at;
                    for (int r = 0; r < 3; r++)
                        for (int c = 0; c < CI; c += TC, chains += TC * 3 * LANES)
                            weight_tile(x + (size_t)(begin * S + r) * (H + 2) * PS + c, dy + begin * (P + 2) * BLOCK,
                                        rows, H, S, PS, KV, TC, TQ, fresh, chains, filters_stride, unit->soon);
                }
            }
        }
    }
    if (group_rows < P)
        for (int i = 0; i < K * C * 9; i += LANES)
            vec_store(gradient + i, vec_add(vec_load(gradient + i), vec_load(second + i)));
}

#endif
