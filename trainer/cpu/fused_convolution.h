/* The fused 3x3 convolution kernels: ARITHMETIC.md section 2 on blocked layouts, all shapes constant after inlining.
 *
 * layouts  padded image: [C/16][H+2][H+2][16] with a border of zeros (the first layer's input: [34][34][4], 3 channels
 *          used); plain image: [K/16][P][P][16]; packed weights, forward: [K/G][C/16][r][c of 16][s][G] with G = TK
 *          vectors of filters; packed weights, backward data: [C/G][K/16][r'][k of 16][s'][G], flipped: entry r',s' is
 *          w[k][c][2-r'][2-s']; weight gradient of one unit: [K/LANES][C/16][r][c of 16][s][LANES].
 * rows     inputs are made row by row just before they are read (struct row_source), so that they are still in the
 *          first-level cache; what the next image needs is prefetched meanwhile (struct prefetch_list).
 * tiles    TQ pixels of one output row by TK vectors of filters; s innermost lets one broadcast serve three taps. */
#ifndef SELFSAME_FUSED_CONVOLUTION_H
#define SELFSAME_FUSED_CONVOLUTION_H

#include <stdbool.h>

#include "trainer/cpu/vector.h"
#include "trainer/exact.h"

/* Makes row h of the padded image that a convolution reads next. load == NULL: the image is there already. */
struct row_source {
    void (*load)(const struct row_source *source, uint32_t h);
    uint32_t side, channels;
    const float *y, *scale, *shift;    /* u = fma(y, scale, shift); y: plain image */
    const float *g, *slope, *constant; /* gradient rows: fma(g, scale, fma(slope, y, constant)) */
    const float *shortcut;             /* padded image of the shortcut's input */
    const float *projection;           /* packed [K/LANES][c][LANES] */
    uint32_t option_a_first;           /* option A: first channel that is not zero padding */
    float *out;                        /* padded image */
};

INLINE void source_row(const struct row_source *source, uint32_t h)
{
    if (source->load != NULL && h < source->side)
        source->load(source, h);
}

/* Chains for TQ neighbouring outputs of one row: x points at padded row p*S, column q*S, of channel block 0. */
INLINE void conv_tile(const float *x, size_t block_stride, size_t row_stride, const float *w, int CB, int CI, int PS,
                      int S, int TQ, int TK, struct prefetch_list *soon, vec *acc)
{
    size_t ahead_stride;
    const char *ahead = prefetch_take(soon, (size_t)CB * 3 * CI, &ahead_stride);
    UNROLL
    for (int i = 0; i < TQ * TK; i++)
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
                for (int j = 0; j < (TQ - 1) * S + 3; j++) {
                    vec broadcast = vec_set(row[j * PS]);
                    UNROLL
                    for (int s = 2; s >= 0; s--) {
                        if (j - s >= 0 && (j - s) % S == 0 && (j - s) / S < TQ) {
                            UNROLL
                            for (int t = 0; t < TK; t++) {
                                int a = (j - s) / S * TK + t;
                                acc[a] = vec_fma(broadcast, taps[s * TK + t], acc[a]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/* Finishes the aligned tree over `count` (a power of two) rows of `width` partial sums, in place; the root lands in row
 * 0. */
INLINE void tree_rows(float *sums, int count, int width)
{
    for (int half = count / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            for (int v = 0; v < width; v += LANES)
                vec_store(sums + i * width + v,
                          vec_add(vec_load(sums + 2 * i * width + v), vec_load(sums + (2 * i + 1) * width + v)));
}

enum {
    SUMS_FLOATS = (1024 / 8) * 2 * BLOCK
}; /* pixels / 8 tiles, two sums, K channels: the same for all three stages or less */

INLINE void copy_sums(float *to, const float *from, int width)
{
    for (int v = 0; v < width; v += LANES)
        vec_store(to + v, vec_load(from + v));
}

/* Forward: one image. sums: [2][K], the pixel trees of y and y*y. */
INLINE void conv_forward(const float *x, const float *w, float *y, float *sums, const struct row_source *source,
                         struct prefetch_list *soon, int C, int K, int H, int S, int TQ, int TK)
{
    const int CB = C >= BLOCK ? C / BLOCK : 1, CI = C >= BLOCK ? BLOCK : C, PS = C >= BLOCK ? BLOCK : 4, P = H / S,
              W = H + 2;
    const int G = TK * LANES, tiles_per_row = P / TQ;
    float tile_sums[SUMS_FLOATS] __attribute__((aligned(64)));
    for (int kg = 0; kg < K / G; kg++) {
        if (kg == 0)
            source_row(source, 0);
        for (int p = 0; p < P; p++) {
            if (kg == 0) {
                UNROLL
                for (int i = 1; i <= S; i++)
                    source_row(source, (uint32_t)(p * S + i));
            }
            for (int q = 0; q < P; q += TQ) {
                vec acc[16];
                conv_tile(x + ((size_t)p * S * W + q * S) * PS, (size_t)W * W * PS, (size_t)W * PS,
                          w + (size_t)kg * CB * CI * 9 * G, CB, CI, PS, S, TQ, TK, soon, acc);
                float *tile = tile_sums + (size_t)(p * tiles_per_row + q / TQ) * 2 * K;
                UNROLL
                for (int t = 0; t < TK; t++) {
                    int k = kg * G + t * LANES;
                    vec square[16];
                    UNROLL
                    for (int i = 0; i < TQ; i++) {
                        vec_store(y + ((size_t)(k / BLOCK * P + p) * P + q + i) * BLOCK + k % BLOCK, acc[i * TK + t]);
                        square[i] = vec_mul(acc[i * TK + t], acc[i * TK + t]);
                    }
                    vec_store(tile + k, vec_tree(acc + t, TQ, TK));
                    vec_store(tile + K + k, vec_tree(square, TQ, 1));
                }
            }
        }
    }
    tree_rows(tile_sums, P * P / TQ, 2 * K);
    copy_sums(sums, tile_sums, 2 * K);
}

/* What happens to a data gradient as it leaves the convolution: the residual is added, ReLU's mask applied, and the
 * sums for the batch norm below are taken. */
struct gradient_sink {
    const float *y, *scale, *shift,
        *mean;               /* of the layer below, whose output's gradient this becomes; y: plain image */
    const float *activation; /* padded image whose sign is the mask; not read with RESIDUAL_NONE */
    const float *residual;   /* RESIDUAL_PLAIN: plain image added before the mask; may be `out` itself */
    float *out;              /* plain image */
    float *sums;             /* [2][C]: the pixel trees of g and g * (y - mean) */
    float *rows;             /* stride 2: scratch of 2 rows, [C/16][2][H][16] */
    const float *strided;    /* stride 2: [C/16][H/2][H/2][16], added at even rows and columns before the mask */
};

/* What joins the data gradient and where its mask comes from; a constant of each kernel. Into a block's inside (its
 * second convolution's data gradient): nothing, and fma(y, scale, shift) > 0. Into a block's input: the shortcut's
 * gradient, and the activation's sign. */
enum residual { RESIDUAL_NONE, RESIDUAL_PLAIN, RESIDUAL_STRIDED };

INLINE void sink_tile(const struct gradient_sink *sink, const vec *d, int stride, int c, int h, int w, int C, int H,
                      int TQ, float *tile, enum residual residual)
{
    size_t at = ((size_t)(c / BLOCK * H + h) * H + w) * BLOCK + c % BLOCK;
    size_t padded = ((size_t)(c / BLOCK * (H + 2) + h + 1) * (H + 2) + w + 1) * BLOCK + c % BLOCK;
    vec scale = vec_load(sink->scale + c), shift = vec_load(sink->shift + c), mean = vec_load(sink->mean + c);
    vec first[16], second[16];
    UNROLL
    for (int i = 0; i < TQ; i++) {
        vec y = vec_load(sink->y + at + i * BLOCK), g = d[i * stride];
        if (residual == RESIDUAL_NONE) {
            g = vec_where_positive(vec_fma(y, scale, shift), g);
        } else {
            if (residual == RESIDUAL_PLAIN)
                g = vec_add(g, vec_load(sink->residual + at + i * BLOCK));
            g = vec_where_positive(vec_load(sink->activation + padded + i * BLOCK), g);
        }
        vec_store(sink->out + at + i * BLOCK, g);
        first[i] = g;
        second[i] = vec_mul(g, vec_sub(y, mean));
    }
    vec_store(tile + c, vec_tree(first, TQ, 1));
    vec_store(tile + C + c, vec_tree(second, TQ, 1));
}

/* Backward data, stride 1: one image; dy is padded, C = K channels. */
INLINE void conv_backward_data(const float *dy, const float *w, const struct gradient_sink *sink,
                               struct prefetch_list *soon, int C, int H, int TQ, int TK, enum residual residual)
{
    const int CB = C / BLOCK, W = H + 2, G = TK * LANES;
    float tile_sums[SUMS_FLOATS] __attribute__((aligned(64)));
    for (int cg = 0; cg < C / G; cg++) {
        for (int h = 0; h < H; h++) {
            for (int q = 0; q < H; q += TQ) {
                vec acc[16];
                conv_tile(dy + ((size_t)h * W + q) * BLOCK, (size_t)W * W * BLOCK, (size_t)W * BLOCK,
                          w + (size_t)cg * C * 9 * G, CB, BLOCK, BLOCK, 1, TQ, TK, soon, acc);
                UNROLL
                for (int t = 0; t < TK; t++)
                    sink_tile(sink, acc + t, TK, cg * G + t * LANES, h, q, C, H, TQ,
                              tile_sums + (size_t)(h * H + q) / TQ * 2 * C, residual);
            }
        }
    }
    tree_rows(tile_sums, H * H / TQ, 2 * C);
    copy_sums(sink->sums, tile_sums, 2 * C);
}

/* Chains for the outputs (2i + ROW, 2(j..j+TQ) + COLUMN) of a stride-2 backward: dy points at padded row i+1, column
 * j+1. */
INLINE void parity_tile(const float *dy, size_t block_stride, size_t row_stride, const float *w, int KB, int ROW,
                        int COLUMN, int TQ, int TK, vec *acc)
{
    UNROLL
    for (int i = 0; i < TQ * TK; i++)
        acc[i] = vec_zero();
    for (int kb = 0; kb < KB; kb++) {
        UNROLL
        for (int r = 0; r < 3; r++) {
            if (ROW == 0 ? r != 1 : r == 1)
                continue;
            const float *x = dy + kb * block_stride + (r == 2 ? row_stride : 0);
            const float *taps = w + (size_t)(kb * 3 + r) * BLOCK * 3 * TK * LANES;
            for (int k = 0; k < BLOCK; k++, x++, taps += 3 * TK * LANES) {
                UNROLL
                for (int s = 0; s < 3; s++) {
                    if (COLUMN == 0 ? s != 1 : s == 1)
                        continue;
                    UNROLL
                    for (int j = 0; j < TQ; j++) {
                        vec broadcast = vec_set(x[(j + (s == 2)) * BLOCK]);
                        UNROLL
                        for (int t = 0; t < TK; t++)
                            acc[j * TK + t] =
                                vec_fma(broadcast, vec_load(taps + (s * TK + t) * LANES), acc[j * TK + t]);
                    }
                }
            }
        }
    }
}

/* Backward data, stride 2: one image of C channels and side H from dy of K = 2C filters and side H/2, padded. */
INLINE void conv_backward_data_strided(const float *dy, const float *w, const struct gradient_sink *sink, int C, int H,
                                       int TQ, int TK, int EQ)
{
    const int K = 2 * C, KB = K / BLOCK, P = H / 2, W = P + 2, G = TK * LANES;
    float tile_sums[SUMS_FLOATS] __attribute__((aligned(64)));
    for (int cg = 0; cg < C / G; cg++) {
        for (int i = 0; i < P; i++) {
            for (int q = 0; q < P; q += TQ) {
                UNROLL
                for (int row = 0; row < 2; row++) {
                    UNROLL
                    for (int column = 0; column < 2; column++) {
                        vec acc[16];
                        parity_tile(dy + ((size_t)(i + 1) * W + q + 1) * BLOCK, (size_t)W * W * BLOCK,
                                    (size_t)W * BLOCK, w + (size_t)cg * K * 9 * G, KB, row, column, TQ, TK, acc);
                        UNROLL
                        for (int t = 0; t < TK; t++) {
                            int c = cg * G + t * LANES;
                            const float *strided =
                                sink->strided + ((size_t)(c / BLOCK * P + i) * P + q) * BLOCK + c % BLOCK;
                            UNROLL
                            for (int j = 0; j < TQ; j++) {
                                vec d = acc[j * TK + t];
                                if (row == 0 && column == 0)
                                    d = vec_add(d, vec_load(strided + j * BLOCK));
                                vec_store(sink->rows +
                                              ((size_t)(c / BLOCK * 2 + row) * H + 2 * (q + j) + column) * BLOCK +
                                              c % BLOCK,
                                          d);
                            }
                        }
                    }
                }
            }
            for (int c = cg * G; c < (cg + 1) * G; c += LANES) {
                for (int row = 0; row < 2; row++) {
                    for (int q = 0; q < H; q += EQ) {
                        vec d[16];
                        UNROLL
                        for (int j = 0; j < EQ; j++)
                            d[j] =
                                vec_load(sink->rows + ((size_t)(c / BLOCK * 2 + row) * H + q + j) * BLOCK + c % BLOCK);
                        sink_tile(sink, d, 1, c, 2 * i + row, q, C, H, EQ,
                                  tile_sums + (size_t)((2 * i + row) * H + q) / EQ * 2 * C, RESIDUAL_STRIDED);
                    }
                }
            }
        }
    }
    tree_rows(tile_sums, H * H / EQ, 2 * C);
    copy_sums(sink->sums, tile_sums, 2 * C);
}

/* The images of one unit of work (whole groups of section 2), as backward-weights reads them: x and dy padded, `count`
 * of them. */
struct unit_images {
    const float *x, *dy;
    size_t x_stride, dy_stride;
    uint32_t count;
    const struct row_source *x_source, *dy_source; /* [count] */
    struct prefetch_list *soon;
};

/* Chains for TC input channels by the three columns s of one kernel row, over rows begin .. begin+rows-1 of each of the
 * unit's images, pixels in raster order. dw[s] sums dy[q] x[S q + s] over q, x counted with its border. So column j of
 * x, broadcast once, meets these columns of dy, each for another s:
 *
 *   S = 1   j = 0: d0          1: d1 d0       2 .. P-1: d[j] d[j-1] d[j-2]     P: d[P-1] d[P-2]    P+1: d[P-1]
 *           with s = 0            0  1                   0    1      2             1      2             2
 *   S = 2   j even: d[j/2] with s = 0 and d[j/2 - 1] with s = 2, those that exist; j odd: d[(j-1)/2] with s = 1
 *
 * In each of the three chains q still rises by one each time, which is the order of section 2; the first tile makes the
 * rows as it goes. */
INLINE void weight_tile(const float *x, const float *dy, const struct unit_images *unit, int begin, int rows, int H,
                        int S, int PS, int TC, bool first, vec *acc)
{
    const int P = H / S;
    size_t ahead_stride;
    const char *ahead = prefetch_take(unit->soon, (size_t)unit->count * rows * (S == 1 ? P - 2 : P), &ahead_stride);
    const size_t x_row = (size_t)(H + 2) * PS, dy_row = (size_t)(P + 2) * BLOCK;
    UNROLL
    for (int i = 0; i < 3 * TC; i++)
        acc[i] = vec_zero();
    for (uint32_t n = 0; n < unit->count; n++) {
        for (int p = begin; p < begin + rows; p++) {
            const float *xr = x + n * unit->x_stride + (size_t)p * S * x_row,
                        *dr = dy + n * unit->dy_stride + (size_t)p * dy_row;
            if (first) {
                source_row(&unit->dy_source[n], (uint32_t)p);
                UNROLL
                for (int i = 0; i < S; i++)
                    source_row(&unit->x_source[n], (uint32_t)(p * S + i));
            }
            /* Column j of x meets dy's columns j-2, j-1, j (stride 1), or as they fall (stride 2). */
#define WEIGHT_STEP(LOW, HIGH)                                             \
    do {                                                                   \
        vec d[3];                                                          \
        UNROLL                                                             \
        for (int s = LOW; s <= HIGH; s++)                                  \
            d[s] = vec_load(dr - s * BLOCK);                               \
        UNROLL                                                             \
        for (int c = 0; c < TC; c++) {                                     \
            vec broadcast = vec_set(xr[c]);                                \
            UNROLL                                                         \
            for (int s = LOW; s <= HIGH; s++)                              \
                acc[c * 3 + s] = vec_fma(broadcast, d[s], acc[c * 3 + s]); \
        }                                                                  \
        xr += PS;                                                          \
        dr += BLOCK;                                                       \
    } while (0)
            if (S == 1) {
                WEIGHT_STEP(0, 0);
                WEIGHT_STEP(0, 1);
                for (int j = 2; j < H; j++) {
                    __builtin_prefetch(ahead, 0, 2);
                    ahead += ahead_stride;
                    WEIGHT_STEP(0, 2);
                }
                WEIGHT_STEP(1, 2);
                WEIGHT_STEP(2, 2);
            } else {
                vec d = vec_load(dr), before = d;
                UNROLL
                for (int c = 0; c < TC; c++)
                    acc[c * 3] = vec_fma(vec_set(xr[c]), d, acc[c * 3]);
                for (int q = 0; q < P; q++) {
                    __builtin_prefetch(ahead, 0, 2);
                    ahead += ahead_stride;
                    UNROLL
                    for (int c = 0; c < TC; c++)
                        acc[c * 3 + 1] = vec_fma(vec_set(xr[PS + c]), d, acc[c * 3 + 1]);
                    xr += 2 * PS;
                    dr += BLOCK;
                    before = d;
                    d = vec_load(dr);
                    if (q + 1 < P) {
                        UNROLL
                        for (int c = 0; c < TC; c++) {
                            vec broadcast = vec_set(xr[c]);
                            acc[c * 3 + 2] = vec_fma(broadcast, before, acc[c * 3 + 2]);
                            acc[c * 3] = vec_fma(broadcast, d, acc[c * 3]);
                        }
                    } else {
                        UNROLL
                        for (int c = 0; c < TC; c++)
                            acc[c * 3 + 2] = vec_fma(vec_set(xr[c]), before, acc[c * 3 + 2]);
                    }
                }
            }
#undef WEIGHT_STEP
        }
    }
}

/* Backward weights of one unit, K*C*9 packed floats: its one group's, or the sum of the two groups that an image of
 * side 32 is cut into, which are neighbours in section 2's tree. */
INLINE void conv_backward_weight(const struct unit_images *unit, float *gradient, int C, int K, int H, int S, int TC)
{
    const int CI = C >= BLOCK ? BLOCK : C, CB = C >= BLOCK ? C / BLOCK : 1, PS = C >= BLOCK ? BLOCK : 4, P = H / S;
    const int tile_channels = TC < CI ? TC : CI, group_rows = (int)exact_group_rows((uint32_t)P),
              rows = group_rows < P ? group_rows : P;
    bool first = true;
    for (int kv = 0; kv < K / LANES; kv++) {
        int k = kv * LANES;
        const float *dy = unit->dy + ((size_t)(k / BLOCK * (P + 2) + 1) * (P + 2) + 1) * BLOCK + k % BLOCK;
        for (int cb = 0; cb < CB; cb++) {
            for (int r = 0; r < 3; r++) {
                for (int c = 0; c < CI; c += tile_channels) {
                    vec acc[24];
                    const float *x = unit->x + ((size_t)(cb * (H + 2) + r) * (H + 2)) * PS + c;
                    for (int begin = 0; begin < P; begin += rows) {
                        if (first)
                            weight_tile(x, dy, unit, begin, rows, H, S, PS, tile_channels, true, acc);
                        else
                            weight_tile(x, dy, unit, begin, rows, H, S, PS, tile_channels, false, acc);
                        UNROLL
                        for (int i = 0; i < 3 * tile_channels; i++)
                            vec_store(gradient + i * LANES,
                                      begin == 0 ? acc[i] : vec_add(vec_load(gradient + i * LANES), acc[i]));
                    }
                    first = false;
                    gradient += 3 * tile_channels * LANES;
                }
            }
        }
    }
}

#endif
