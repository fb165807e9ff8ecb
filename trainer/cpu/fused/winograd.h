/* The 3x3 convolution of exact-2, stride 1, by Winograd's F(4x4, 3x3): ARITHMETIC.md section 2b on blocked layouts. All
 * shapes are constant after inlining.
 *
 * A block of tiles of a few rows or images goes through three phases, between which it stays in the first- or
 * second-level cache: the inputs at the tiles' 36 points (V); at each point the product of V and the filters (M), which
 * is where nearly all FMAs are; the outputs from M, through strips like those of the direct kernels.
 *
 * layouts  V [point][tile][C], M [point][tile][K], packed filters [point][K/G][C][G] with G = TK vectors, a unit's
 *          weight gradient at the points [point][K/G][C][G]. A point's plane of V or M is a little longer than its
 *          numbers, so that the 36 planes do not fall into the same sets of a cache.
 * tiles    TT tiles (or channels, in a weight gradient) by TK vectors of filters are the chains that registers hold. */
#ifndef SELFSAME_WINOGRAD_H
#define SELFSAME_WINOGRAD_H

#include <stdbool.h>

#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/prefetch.h"
#include "trainer/cpu/fused/sinks.h"
#include "trainer/cpu/fused/vector.h"
#include "trainer/exact.h"

enum {
    TILE = EXACT_WINOGRAD_TILE,   /* outputs of a tile, down and across */
    INPUT = EXACT_WINOGRAD_INPUT, /* inputs, and points, down and across */
    POINTS = EXACT_WINOGRAD_POINTS,
    PLANE_PAD = 16,
    BLOCK_TILES_MAX = 16,                                                            /* at 64 channels, and at 32 */
    WINOGRAD_SCRATCH_FLOATS = 2 * POINTS * (BLOCK_TILES_MAX * FEATURES + PLANE_PAD), /* V and M */
    WINOGRAD_SUMS_FLOATS = 1024 / STRIP_MAX * 2 * BLOCK /* of an image's strips, the same at all stages or less */
};

/* ---- transforms of one dimension: exact.h's, on vectors that are `s` apart --------------------------------------- */

INLINE void input_transform(vec *v, int s)
{
    const vec d0 = v[0], d1 = v[s], d2 = v[2 * s], d3 = v[3 * s], d4 = v[4 * s], d5 = v[5 * s];
    const vec e = vec_fnma(vec_set(2.25f), d2, d4), f = vec_fnma(vec_set(0.390625f), d2, d4);
    const vec o = vec_fnma(vec_set(1.40625f), d1, vec_mul(vec_set(0.625f), d3));
    const vec g = vec_fnma(vec_set(0.5859375f), d1, vec_mul(vec_set(1.5f), d3));
    v[0] = vec_fma(vec_set(0.87890625f), d0, vec_fnma(vec_set(2.640625f), d2, d4));
    v[s] = vec_add(e, o);
    v[2 * s] = vec_sub(e, o);
    v[3 * s] = vec_add(f, g);
    v[4 * s] = vec_sub(f, g);
    v[5 * s] = vec_fma(vec_set(0.87890625f), d1, vec_fnma(vec_set(2.640625f), d3, d5));
}

INLINE void filter_transform(vec *v, int s)
{
    const vec w0 = v[0], w1 = v[s], w2 = v[2 * s];
    const vec e = vec_fma(vec_set(0.390625f), w2, w0), f = vec_fma(vec_set(2.25f), w2, w0);
    const vec a = vec_set(0.625f), b = vec_set(1.5f), over_a = vec_set(-1.45263671875f), over_b = vec_set(8.3671875f);
    v[0] = vec_div(w0, vec_set(0.87890625f));
    v[s] = vec_div(vec_fma(a, w1, e), over_a);
    v[2 * s] = vec_div(vec_fnma(a, w1, e), over_a);
    v[3 * s] = vec_div(vec_fma(b, w1, f), over_b);
    v[4 * s] = vec_div(vec_fnma(b, w1, f), over_b);
    v[5 * s] = w2;
}

INLINE void output_transform(vec *v, int s)
{
    const vec m0 = v[0], m5 = v[5 * s];
    const vec p = vec_add(v[s], v[2 * s]), q = vec_sub(v[s], v[2 * s]);
    const vec t = vec_add(v[3 * s], v[4 * s]), u = vec_sub(v[3 * s], v[4 * s]);
    v[0] = vec_add(vec_add(m0, p), t);
    v[s] = vec_fma(vec_set(1.5f), u, vec_mul(vec_set(0.625f), q));
    v[2 * s] = vec_fma(vec_set(2.25f), t, vec_mul(vec_set(0.390625f), p));
    v[3 * s] = vec_fma(vec_set(3.375f), u, vec_fma(vec_set(0.244140625f), q, m5));
}

INLINE void gradient_transform(vec *v, int s)
{
    const vec d0 = v[0], d1 = v[s], d2 = v[2 * s], d3 = v[3 * s];
    const vec e = vec_fma(vec_set(0.390625f), d2, d0), f = vec_fma(vec_set(2.25f), d2, d0);
    const vec o = vec_fma(vec_set(0.244140625f), d3, vec_mul(vec_set(0.625f), d1));
    const vec g = vec_fma(vec_set(3.375f), d3, vec_mul(vec_set(1.5f), d1));
    v[s] = vec_add(e, o);
    v[2 * s] = vec_sub(e, o);
    v[3 * s] = vec_add(f, g);
    v[4 * s] = vec_sub(f, g);
    v[5 * s] = d3;
}

INLINE void taps_transform(vec *v, int s)
{
    const vec m0 = v[0], m5 = v[5 * s], c = vec_set(3.71875f);
    const vec p = vec_add(v[s], v[2 * s]), q = vec_sub(v[s], v[2 * s]);
    const vec t = vec_add(v[3 * s], v[4 * s]), u = vec_sub(v[3 * s], v[4 * s]);
    const vec first = vec_fma(vec_set(0.390625f), t, vec_fnma(vec_set(2.25f), p, vec_mul(c, m0)));
    const vec second = vec_fnma(vec_set(1.5f), q, vec_mul(vec_set(0.625f), u));
    v[0] = vec_div(first, vec_set(3.2684326171875f));
    v[s] = vec_div(second, vec_set(3.486328125f));
    v[2 * s] = vec_div(vec_fma(c, m5, vec_sub(t, p)), c);
}

/* ---- tiles in and out -------------------------------------------------------------------------------------------- */

/* V of one row of tiles: x points at the padded image's row above it, column 0. Neighbouring tiles share two columns,
 * whose first transform is done once. */
INLINE void input_tiles(const float *x, float *V, size_t plane, int C, int H)
{
    const int W = H + 2;
    for (int c = 0; c < C; c += LANES) {
        const float *from = x + (size_t)(c / BLOCK) * W * W * BLOCK + c % BLOCK;
        float *to = V + c;
        vec square[POINTS];
        UNROLL
        for (int j = 0; j < 2; j++) {
            UNROLL
            for (int i = 0; i < INPUT; i++)
                square[i * INPUT + j] = vec_load(from + (i * W + j) * BLOCK);
            input_transform(square + j, INPUT);
        }
        for (int tile = 0; tile < H / TILE; tile++, from += TILE * BLOCK, to += C) {
            UNROLL
            for (int j = 2; j < INPUT; j++) {
                UNROLL
                for (int i = 0; i < INPUT; i++)
                    square[i * INPUT + j] = vec_load(from + (i * W + j) * BLOCK);
                input_transform(square + j, INPUT);
            }
            UNROLL
            for (int i = 0; i < INPUT; i++) {
                vec row[INPUT];
                UNROLL
                for (int j = 0; j < INPUT; j++)
                    row[j] = square[i * INPUT + j];
                square[i * INPUT] = row[TILE];
                square[i * INPUT + 1] = row[TILE + 1];
                input_transform(row, 1);
                UNROLL
                for (int j = 0; j < INPUT; j++)
                    vec_store(to + (size_t)(i * INPUT + j) * plane, row[j]);
            }
        }
    }
}

/* Z of one row of tiles: dy points at the padded image's first row of it, column 1. */
INLINE void gradient_tiles(const float *dy, float *Z, size_t plane, int K, int H)
{
    const int W = H + 2;
    for (int k = 0; k < K; k += LANES) {
        const float *from = dy + (size_t)(k / BLOCK) * W * W * BLOCK + k % BLOCK;
        float *to = Z + k;
        for (int tile = 0; tile < H / TILE; tile++, from += TILE * BLOCK, to += K) {
            vec square[POINTS];
            UNROLL
            for (int j = 0; j < TILE; j++) {
                UNROLL
                for (int i = 0; i < TILE; i++)
                    square[i * INPUT + j] = vec_load(from + (i * W + j) * BLOCK);
                gradient_transform(square + j, INPUT);
            }
            UNROLL
            for (int i = 0; i < INPUT; i++) {
                gradient_transform(square + i * INPUT, 1);
                UNROLL
                for (int j = 0; j < INPUT; j++)
                    vec_store(to + (size_t)(i * INPUT + j) * plane, square[i * INPUT + j]);
            }
        }
    }
}

/* The outputs of one row of tiles and one vector of filters, in raster order, from M. */
INLINE void output_tiles(const float *M, float *strip, size_t plane, int K, int H)
{
    for (int tile = 0; tile < H / TILE; tile++, M += K, strip += TILE * LANES) {
        vec square[POINTS];
        UNROLL
        for (int j = 0; j < INPUT; j++) {
            UNROLL
            for (int i = 0; i < INPUT; i++)
                square[i * INPUT + j] = vec_load(M + (size_t)(i * INPUT + j) * plane);
            output_transform(square + j, INPUT);
        }
        UNROLL
        for (int i = 0; i < TILE; i++) {
            output_transform(square + i * INPUT, 1);
            UNROLL
            for (int j = 0; j < TILE; j++)
                vec_store(strip + (i * H + j) * LANES, square[i * INPUT + j]);
        }
    }
}

/* ---- products at the points -------------------------------------------------------------------------------------- */

/* Inner turns between two requests for memory: more of them, and the requests cost less; fewer, and a pass over few
 * channels has enough. */
#define ASK_EVERY(C) ((C) == 16 ? 2 : 4)

/* The chains over C channels of TT tiles and TK vectors of filters at one point. Returns where to ask for memory
 * next. */
INLINE const char *point_tile(const float *V, const float *filters, float *M, int C, int K, int TT, int TK,
                              const char *ahead, size_t ahead_stride)
{
    vec acc[24];
    UNROLL
    for (int i = 0; i < TT * TK; i++)
        acc[i] = vec_zero();
    UNROLL_16
    for (int c = 0; c < C; c++, filters += TK * LANES, V++) {
        if (c % ASK_EVERY(C) == 0) {
            __builtin_prefetch(ahead, 0, 2);
            ahead += ahead_stride;
        }
        vec filter[2];
        UNROLL
        for (int k = 0; k < TK; k++)
            filter[k] = vec_load(filters + k * LANES);
        UNROLL
        for (int t = 0; t < TT; t++) {
            vec broadcast = vec_set(V[t * C]);
            UNROLL
            for (int k = 0; k < TK; k++)
                acc[t * TK + k] = vec_fma(broadcast, filter[k], acc[t * TK + k]);
        }
    }
    UNROLL
    for (int t = 0; t < TT; t++) {
        UNROLL
        for (int k = 0; k < TK; k++)
            vec_store(M + t * K + k * LANES, acc[t * TK + k]);
    }
    return ahead;
}

/* How `count` tiles (or channels) are shared out, MAX at most at a time: into so many parts, `big` of them one larger
 * than the others. */
#define PARTS_OF(COUNT, MAX) (((COUNT) + (MAX)-1) / (MAX))

/* M [point][T][K] from V [point][T][C]. M may be V where one group has all filters. */
INLINE void point_products(const float *V, const float *filters, float *M, size_t plane, int T, int C, int K, int MAX,
                           int TK, struct prefetch_list *soon)
{
    const int G = TK * LANES, parts = PARTS_OF(T, MAX), small = T / parts, big = T - small * parts;
    for (int point = 0; point < POINTS; point++) {
        for (int k = 0; k < K; k += G, filters += C * G) {
            size_t ahead_stride;
            const char *ahead = prefetch_take(soon, (size_t)parts * C / ASK_EVERY(C), &ahead_stride);
            const float *v = V + point * plane;
            float *m = M + point * plane + k;
            for (int i = 0; i < big; i++, v += (small + 1) * C, m += (small + 1) * K)
                ahead = point_tile(v, filters, m, C, K, small + 1, TK, ahead, ahead_stride);
            for (int i = big; i < parts; i++, v += small * C, m += small * K)
                ahead = point_tile(v, filters, m, C, K, small, TK, ahead, ahead_stride);
        }
    }
}

/* Carries on, in `sums`, the chains over T tiles of TC channels and TK vectors of filters at one point. */
INLINE const char *weight_point_tile(const float *V, const float *Z, float *sums, int T, int C, int K, int TC, int TK,
                                     bool first, const char *ahead, size_t ahead_stride)
{
    vec acc[24];
    UNROLL
    for (int i = 0; i < TC * TK; i++)
        acc[i] = first ? vec_zero() : vec_load(sums + i * LANES);
    for (int tile = 0; tile < T; tile += 4) {
        UNROLL
        for (int t = 0; t < 4; t++, V += C, Z += K) {
            if (t % ASK_EVERY(C) == 0) {
                __builtin_prefetch(ahead, 0, 2);
                ahead += ahead_stride;
            }
            if (C == 64) /* the sums of a layer of 64 channels do not fit the second-level cache */
                __builtin_prefetch(sums + TC * TK * LANES + (tile + t) * 16, 1, 3);
            vec gradient[2];
            UNROLL
            for (int k = 0; k < TK; k++)
                gradient[k] = vec_load(Z + k * LANES);
            UNROLL
            for (int c = 0; c < TC; c++) {
                vec broadcast = vec_set(V[c]);
                UNROLL
                for (int k = 0; k < TK; k++)
                    acc[c * TK + k] = vec_fma(broadcast, gradient[k], acc[c * TK + k]);
            }
        }
    }
    UNROLL
    for (int i = 0; i < TC * TK; i++)
        vec_store(sums + i * LANES, acc[i]);
    return ahead;
}

/* sums [point][K/G][C][G] go on over T tiles, a multiple of 4. */
INLINE void weight_point_products(const float *V, const float *Z, float *sums, size_t plane, int T, int C, int K,
                                  int MAX, int TK, bool first, struct prefetch_list *soon)
{
    const int G = TK * LANES, parts = PARTS_OF(C, MAX), small = C / parts, big = C - small * parts;
    for (int point = 0; point < POINTS; point++) {
        for (int k = 0; k < K; k += G) {
            size_t ahead_stride;
            const char *ahead = prefetch_take(soon, (size_t)parts * T / ASK_EVERY(C), &ahead_stride);
            const float *v = V + point * plane, *z = Z + point * plane + k;
            for (int i = 0; i < big; i++, v += small + 1, sums += (small + 1) * G)
                ahead = weight_point_tile(v, z, sums, T, C, K, small + 1, TK, first, ahead, ahead_stride);
            for (int i = big; i < parts; i++, v += small, sums += small * G)
                ahead = weight_point_tile(v, z, sums, T, C, K, small, TK, first, ahead, ahead_stride);
        }
    }
}

/* ---- whole convolutions of C = K channels, side H: up to IMAGES images by ROWS rows of tiles at a time
 * ------------ */

/* With fewer images than IMAGES, the other products are still computed, from old contents of V, and never read. */
INLINE void winograd_forward(const struct images *images, const float *filters, int C, int H, int IMAGES, int ROWS,
                             int MAX, int TK)
{
    const int W = H + 2, across = H / TILE, T = IMAGES * ROWS * across;
    const size_t plane = (size_t)T * C + PLANE_PAD;
    float *V = images->scratch, *M = C == TK * LANES ? V : V + POINTS * plane;
    float sums[IMAGES_MAX][WINOGRAD_SUMS_FLOATS] __attribute__((aligned(64))),
        strip[TILE * 32 * LANES] __attribute__((aligned(64)));
    int made[IMAGES_MAX] = { 0 };
    for (int first = 0; first < across; first += ROWS) {
        for (int n = 0; n < (int)images->count; n++) {
            for (int row = first; row < first + ROWS; row++) {
                source_rows(&images->x_source[n], &made[n], (row + 1) * TILE + 1);
                input_tiles(images->x + ((size_t)n * C / BLOCK * W * W + row * TILE * W) * BLOCK,
                            V + (size_t)(n * ROWS + row - first) * across * C, plane, C, H);
            }
        }
        point_products(V, filters, M, plane, T, C, C, MAX, TK, images->soon);
        for (int n = 0; n < (int)images->count; n++) {
            for (int row = first; row < first + ROWS; row++) {
                for (int k = 0; k < C; k += LANES) {
                    const int begin = row * TILE * H;
                    output_tiles(M + (size_t)(n * ROWS + row - first) * across * C + k, strip, plane, C, H);
                    for (int at = 0; at < TILE * H; at += STRIP_MAX) {
                        float *to = sums[n] + (begin + at) / STRIP_MAX * 2 * C + k;
                        forward_strip(strip + at * LANES, LANES, STRIP_MAX,
                                      images->y + (((size_t)n * C + k) / BLOCK * H * H + begin + at) * BLOCK +
                                          k % BLOCK,
                                      to, to + C);
                    }
                }
            }
        }
    }
    for (int n = 0; n < (int)images->count; n++) {
        tree_rows(sums[n], H * H / STRIP_MAX, 2 * C);
        copy_sums(images->sums + n * SUMS_STRIDE, sums[n], 2 * C);
    }
}

INLINE void winograd_data(const struct images *images, const float *filters, int C, int H, int IMAGES, int ROWS,
                          int MAX, int TK, enum residual residual)
{
    const int W = H + 2, across = H / TILE, T = IMAGES * ROWS * across;
    const size_t plane = (size_t)T * C + PLANE_PAD;
    float *V = images->scratch, *M = C == TK * LANES ? V : V + POINTS * plane;
    float sums[IMAGES_MAX][WINOGRAD_SUMS_FLOATS] __attribute__((aligned(64))),
        strip[TILE * 32 * LANES] __attribute__((aligned(64)));
    for (int first = 0; first < across; first += ROWS) {
        for (int n = 0; n < (int)images->count; n++)
            for (int row = first; row < first + ROWS; row++)
                input_tiles(images->dy + ((size_t)n * C / BLOCK * W * W + row * TILE * W) * BLOCK,
                            V + (size_t)(n * ROWS + row - first) * across * C, plane, C, H);
        point_products(V, filters, M, plane, T, C, C, MAX, TK, images->soon);
        for (int n = 0; n < (int)images->count; n++) {
            for (int row = first; row < first + ROWS; row++) {
                for (int c = 0; c < C; c += LANES) {
                    output_tiles(M + (size_t)(n * ROWS + row - first) * across * C + c, strip, plane, C, H);
                    for (int at = row * TILE * H, i = 0; i < TILE * H; i += STRIP_MAX)
                        sink_strip(&images->sink[n], strip + i * LANES, LANES, STRIP_MAX, c, at + i, C, H,
                                   sums[n] + (at + i) / STRIP_MAX * 2 * C, residual);
                }
            }
        }
    }
    for (int n = 0; n < (int)images->count; n++) {
        tree_rows(sums[n], H * H / STRIP_MAX, 2 * C);
        copy_sums(images->sink[n].sums, sums[n], 2 * C);
    }
}

INLINE void winograd_weight(const struct images *images, float *sums, bool first_images, int C, int H, int IMAGES,
                            int ROWS, int MAX, int TK)
{
    const int W = H + 2, across = H / TILE, T = (IMAGES > 1 ? (int)images->count : 1) * ROWS * across;
    const size_t plane = (size_t)IMAGES * ROWS * across * C + PLANE_PAD;
    float *V = images->scratch, *Z = V + POINTS * plane;
    int x_made[IMAGES_MAX] = { 0 }, dy_made[IMAGES_MAX] = { 0 };
    for (int first = 0; first < across; first += ROWS) {
        for (int n = 0; n < (int)images->count; n++) {
            for (int row = first; row < first + ROWS; row++) {
                const size_t image = (size_t)n * C / BLOCK * W * W, tile = (size_t)(n * ROWS + row - first) * across;
                source_rows(&images->x_source[n], &x_made[n], (row + 1) * TILE + 1);
                source_rows(&images->dy_source[n], &dy_made[n], (row + 1) * TILE);
                input_tiles(images->x + (image + row * TILE * W) * BLOCK, V + tile * C, plane, C, H);
                gradient_tiles(images->dy + (image + (row * TILE + 1) * W + 1) * BLOCK, Z + tile * C, plane, C, H);
            }
        }
        weight_point_products(V, Z, sums, plane, T, C, C, MAX, TK, first_images && first == 0, images->soon);
    }
}

#endif
