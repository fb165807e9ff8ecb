/* The row loaders of the fused backend: each makes one row of a padded image from what is in memory (ARITHMETIC.md
 * sections 3 to 5), just before a convolution reads it. */
#ifndef SELFSAME_ROWS_H
#define SELFSAME_ROWS_H

#include <stdbool.h>

#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/vector.h"

/* PARTS: vectors of a pixel's block. A loader makes whole pixels, which are a line of the cache. PIXELS: eight
 * chains of a 1x1 convolution at a time. */
enum { PARTS = BLOCK / LANES, PIXELS = 8 / PARTS };

INLINE void load_parts(const float *from, vec *parts)
{
    UNROLL
    for (int i = 0; i < PARTS; i++)
        parts[i] = vec_load(from + i * LANES);
}

/* relu(u): the second convolution's input, and the first block's. */
static void row_norm(const struct row_source *source, uint32_t h)
{
    const uint32_t side = source->side;
    for (uint32_t block = 0; block < source->channels / BLOCK; block++) {
        const float *y = source->y + plain_at(block, h, side);
        float *out = source->out + padded_at(block, h, side);
        vec scale[PARTS], shift[PARTS];
        load_parts(source->scale + block * BLOCK, scale);
        load_parts(source->shift + block * BLOCK, shift);
        UNROLL_4
        for (uint32_t w = 0; w < side * BLOCK; w += BLOCK) {
            UNROLL
            for (int i = 0; i < PARTS; i++)
                vec_store(out + w + i * LANES, vec_relu(vec_fma(vec_load(y + w + i * LANES), scale[i], shift[i])));
        }
    }
}

/* relu(u + z), z the identity shortcut: a block's output. */
static void row_join_identity(const struct row_source *source, uint32_t h)
{
    const uint32_t side = source->side;
    for (uint32_t block = 0; block < source->channels / BLOCK; block++) {
        const float *y = source->y + plain_at(block, h, side);
        const float *shortcut = source->shortcut + padded_at(block, h, side);
        float *out = source->out + padded_at(block, h, side);
        vec scale[PARTS], shift[PARTS];
        load_parts(source->scale + block * BLOCK, scale);
        load_parts(source->shift + block * BLOCK, shift);
        UNROLL_4
        for (uint32_t w = 0; w < side * BLOCK; w += BLOCK) {
            UNROLL
            for (int i = 0; i < PARTS; i++) {
                vec u = vec_fma(vec_load(y + w + i * LANES), scale[i], shift[i]);
                vec_store(out + w + i * LANES, vec_relu(vec_add(u, vec_load(shortcut + w + i * LANES))));
            }
        }
    }
}

/* A 1x1 convolution's chains for a block of outputs at PIXELS pixels that are `pixel` floats apart: over `count`
 * inputs, a block of them side by side and the blocks `block` floats apart. weight: [PARTS][count][LANES]. */
INLINE void point_chains(const float *x, size_t pixel, size_t block, const float *weight, uint32_t count, vec *acc)
{
    UNROLL
    for (int i = 0; i < PIXELS * PARTS; i++)
        acc[i] = vec_zero();
    for (uint32_t first = 0; first < count; first += BLOCK, x += block) {
        for (uint32_t c = 0; c < BLOCK; c++, weight += LANES) {
            vec w[PARTS];
            UNROLL
            for (int t = 0; t < PARTS; t++)
                w[t] = vec_load(weight + (size_t)t * count * LANES);
            UNROLL
            for (int i = 0; i < PIXELS; i++) {
                vec broadcast = vec_set(x[i * pixel + c]);
                UNROLL
                for (int t = 0; t < PARTS; t++)
                    acc[i * PARTS + t] = vec_fma(broadcast, w[t], acc[i * PARTS + t]);
            }
        }
    }
}

/* relu(u + z), z the projection: chains over the shortcut's channels; with `norm` its batch norm follows. */
INLINE void join_projection(const struct row_source *source, uint32_t h, bool norm)
{
    const uint32_t side = source->side, C = source->channels / 2;
    for (uint32_t block = 0; block < source->channels / BLOCK; block++) {
        const float *y = source->y + plain_at(block, h, side);
        float *out = source->out + padded_at(block, h, side);
        vec scale[PARTS], shift[PARTS], z_scale[PARTS], z_shift[PARTS];
        load_parts(source->scale + block * BLOCK, scale);
        load_parts(source->shift + block * BLOCK, shift);
        if (norm) {
            load_parts(source->projection_scale + block * BLOCK, z_scale);
            load_parts(source->projection_shift + block * BLOCK, z_shift);
        }
        for (uint32_t q = 0; q < side; q += PIXELS) {
            vec z[PIXELS * PARTS];
            point_chains(source->shortcut + padded_at(0, 2 * h, 2 * side) + 2 * q * BLOCK, 2 * BLOCK,
                         padded_at(1, 0, 2 * side) - padded_at(0, 0, 2 * side),
                         source->projection + (size_t)block * BLOCK * C, C, z);
            UNROLL
            for (int i = 0; i < PIXELS * PARTS; i++) {
                const size_t at = q * BLOCK + (size_t)i * LANES;
                vec u = vec_fma(vec_load(y + at), scale[i % PARTS], shift[i % PARTS]);
                if (norm)
                    z[i] = vec_fma(z[i], z_scale[i % PARTS], z_shift[i % PARTS]);
                vec_store(out + at, vec_relu(vec_add(u, z[i])));
            }
        }
    }
}

static void row_join_projection(const struct row_source *source, uint32_t h)
{
    join_projection(source, h, false);
}

static void row_join_projection_norm(const struct row_source *source, uint32_t h)
{
    join_projection(source, h, true);
}

/* relu(u + z), z option A: the shortcut's pixels (2h, 2w) for the channels from option_a_first on, nothing for the
 * others. */
static void row_join_option_a(const struct row_source *source, uint32_t h)
{
    const uint32_t side = source->side, C = source->channels / 2, first = source->option_a_first;
    for (uint32_t block = 0; block < source->channels / BLOCK; block++) {
        const float *y = source->y + plain_at(block, h, side);
        float *out = source->out + padded_at(block, h, side);
        for (uint32_t w = 0; w < side; w++) {
            float z[BLOCK] __attribute__((aligned(64)));
            for (uint32_t lane = 0; lane < BLOCK; lane++) {
                uint32_t c = block * BLOCK + lane - first; /* wraps below `first`: not a channel either */
                z[lane] =
                    c < C ? source->shortcut[padded_at(c / BLOCK, 2 * h, 2 * side) + 2 * w * BLOCK + c % BLOCK] : 0.0f;
            }
            for (uint32_t lane = 0; lane < BLOCK; lane += LANES) {
                vec scale = vec_load(source->scale + block * BLOCK + lane),
                    shift = vec_load(source->shift + block * BLOCK + lane);
                vec u = vec_fma(vec_load(y + w * BLOCK + lane), scale, shift);
                vec_store(out + w * BLOCK + lane, vec_relu(vec_add(u, vec_load(z + lane))));
            }
        }
    }
}

/* fma(g, scale, fma(slope, y, constant)): the gradient of a convolution's output. */
static void row_gradient(const struct row_source *source, uint32_t h)
{
    const uint32_t side = source->side;
    for (uint32_t block = 0; block < source->channels / BLOCK; block++) {
        const float *y = source->y + plain_at(block, h, side), *g = source->g + plain_at(block, h, side);
        float *out = source->out + padded_at(block, h, side);
        vec scale[PARTS], slope[PARTS], constant[PARTS];
        load_parts(source->scale + block * BLOCK, scale);
        load_parts(source->slope + block * BLOCK, slope);
        load_parts(source->constant + block * BLOCK, constant);
        UNROLL_4
        for (uint32_t w = 0; w < side * BLOCK; w += BLOCK) {
            UNROLL
            for (int i = 0; i < PARTS; i++) {
                vec rest = vec_fma(slope[i], vec_load(y + w + i * LANES), constant[i]);
                vec_store(out + w + i * LANES, vec_fma(vec_load(g + w + i * LANES), scale[i], rest));
            }
        }
    }
}

#endif
