/* Stores the outputs of the kernels of both arithmetics. Strips of pixels in raster order go from scratch memory in the
 * first-level cache to the network's arrays, and are added to the sums for a batch norm. */
#ifndef SELFSAME_SINKS_H
#define SELFSAME_SINKS_H

#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/vector.h"

enum {
    STRIP_MAX = 32,                       /* outputs of a strip */
    SUMS_FLOATS = (1024 / 8) * 2 * BLOCK, /* of an image's strips, of 8 outputs or more, at any stage */
};

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

INLINE void copy_sums(float *to, const float *from, int width)
{
    for (int v = 0; v < width; v += LANES)
        vec_store(to + v, vec_load(from + v));
}

/* A strip's outputs leave for y; the trees of y and y*y over them land in sums and squares. */
INLINE void forward_strip(const float *strip, int stride, int TS, float *y, float *sums, float *squares)
{
    const int root = __builtin_ctz((unsigned)TS);
    vec first[TREE_LEVELS + 1], second[TREE_LEVELS + 1];
    UNROLL
    for (int i = 0; i < TS; i++) {
        vec value = vec_load(strip + i * stride);
        vec_store(y + i * BLOCK, value);
        vec_tree_add(first, (unsigned)i, value);
        vec_tree_add(second, (unsigned)i, vec_mul(value, value));
    }
    vec_store(sums, first[root]);
    vec_store(squares, second[root]);
}

/* A strip's data gradients leave: TS pixels of the image from `at` on. */
INLINE void sink_strip(const struct gradient_sink *sink, const float *strip, int stride, int TS, int c, int at, int C,
                       int H, float *sums, enum residual residual)
{
    const int root = __builtin_ctz((unsigned)TS), L = H < TS ? H : TS;
    const size_t plain = ((size_t)c / BLOCK * H * H + at) * BLOCK + c % BLOCK;
    const vec scale = vec_load(sink->scale + c), shift = vec_load(sink->shift + c), mean = vec_load(sink->mean + c);
    const float *y = sink->y + plain, *added = NULL, *mask = NULL;
    float *out = sink->out + plain;
    vec first[TREE_LEVELS + 1], second[TREE_LEVELS + 1];
    if (residual == RESIDUAL_PLAIN)
        added = sink->residual + plain;
    if (residual != RESIDUAL_NONE)
        mask =
            sink->activation + (((size_t)c / BLOCK * (H + 2) + at / H + 1) * (H + 2) + at % H + 1) * BLOCK + c % BLOCK;
    UNROLL
    for (int i = 0; i < TS; i++) {
        vec g = vec_load(strip + i * stride), value = vec_load(y + i * BLOCK);
        if (residual == RESIDUAL_PLAIN)
            g = vec_add(g, vec_load(added + i * BLOCK));
        g = vec_where_positive(residual == RESIDUAL_NONE ? vec_fma(value, scale, shift)
                                                         : vec_load(mask + (i / L * (H + 2) + i % L) * BLOCK),
                               g);
        vec_store(out + i * BLOCK, g);
        vec_tree_add(first, (unsigned)i, g);
        vec_tree_add(second, (unsigned)i, vec_mul(g, vec_sub(value, mean)));
    }
    vec_store(sums + c, first[root]);
    vec_store(sums + C + c, second[root]);
}

#endif
