/* The row loaders of the fused backend: each makes one row of a padded image from what is in memory (ARITHMETIC.md
 * sections 3 to 5), just before a convolution reads it. */
#ifndef SELFSAME_FUSED_ROWS_H
#define SELFSAME_FUSED_ROWS_H

#include "trainer/cpu/fused_convolution.h"

INLINE size_t plain_at(uint32_t block, uint32_t h, uint32_t side)
{
    return (size_t)(block * side + h) * side * BLOCK;
}

/* Row h, column 0 of the inner part of a padded image. */
INLINE size_t padded_at(uint32_t block, uint32_t h, uint32_t side)
{
    return ((size_t)(block * (side + 2) + h + 1) * (side + 2) + 1) * BLOCK;
}

/* relu(u): the second convolution's input, and the first block's. */
static void row_norm(const struct row_source *source, uint32_t h)
{
    const uint32_t side = source->side;
    for (uint32_t block = 0; block < source->channels / BLOCK; block++) {
        for (uint32_t lane = 0; lane < BLOCK; lane += LANES) {
            const float *y = source->y + plain_at(block, h, side) + lane;
            float *out = source->out + padded_at(block, h, side) + lane;
            vec scale = vec_load(source->scale + block * BLOCK + lane),
                shift = vec_load(source->shift + block * BLOCK + lane);
            for (uint32_t w = 0; w < side; w++)
                vec_store(out + w * BLOCK, vec_relu(vec_fma(vec_load(y + w * BLOCK), scale, shift)));
        }
    }
}

/* relu(u + z), z the identity shortcut: a block's output. */
static void row_join_identity(const struct row_source *source, uint32_t h)
{
    const uint32_t side = source->side;
    for (uint32_t block = 0; block < source->channels / BLOCK; block++) {
        for (uint32_t lane = 0; lane < BLOCK; lane += LANES) {
            const float *y = source->y + plain_at(block, h, side) + lane;
            const float *shortcut = source->shortcut + padded_at(block, h, side) + lane;
            float *out = source->out + padded_at(block, h, side) + lane;
            vec scale = vec_load(source->scale + block * BLOCK + lane),
                shift = vec_load(source->shift + block * BLOCK + lane);
            for (uint32_t w = 0; w < side; w++)
                vec_store(out + w * BLOCK, vec_relu(vec_add(vec_fma(vec_load(y + w * BLOCK), scale, shift),
                                                            vec_load(shortcut + w * BLOCK))));
        }
    }
}

/* relu(u + z), z the projection: chains over the shortcut's channels, eight pixels at a time. */
static void row_join_projection(const struct row_source *source, uint32_t h)
{
    const uint32_t side = source->side, C = source->channels / 2;
    const float *weight = source->projection;
    for (uint32_t k = 0; k < source->channels; k += LANES, weight += (size_t)C * LANES) {
        const float *y = source->y + plain_at(k / BLOCK, h, side) + k % BLOCK;
        float *out = source->out + padded_at(k / BLOCK, h, side) + k % BLOCK;
        vec scale = vec_load(source->scale + k), shift = vec_load(source->shift + k);
        for (uint32_t q = 0; q < side; q += 8) {
            vec acc[8];
            UNROLL
            for (int i = 0; i < 8; i++)
                acc[i] = vec_zero();
            for (uint32_t c = 0; c < C; c++) {
                const float *x = source->shortcut + padded_at(c / BLOCK, 2 * h, 2 * side) + 2 * q * BLOCK + c % BLOCK;
                vec w = vec_load(weight + (size_t)c * LANES);
                UNROLL
                for (int i = 0; i < 8; i++)
                    acc[i] = vec_fma(vec_set(x[2 * i * BLOCK]), w, acc[i]);
            }
            UNROLL
            for (int i = 0; i < 8; i++) {
                vec u = vec_fma(vec_load(y + (q + i) * BLOCK), scale, shift);
                vec_store(out + (q + i) * BLOCK, vec_relu(vec_add(u, acc[i])));
            }
        }
    }
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
        for (uint32_t lane = 0; lane < BLOCK; lane += LANES) {
            const float *y = source->y + plain_at(block, h, side) + lane,
                        *g = source->g + plain_at(block, h, side) + lane;
            float *out = source->out + padded_at(block, h, side) + lane;
            vec scale = vec_load(source->scale + block * BLOCK + lane);
            vec slope = vec_load(source->slope + block * BLOCK + lane),
                constant = vec_load(source->constant + block * BLOCK + lane);
            for (uint32_t w = 0; w < side; w++)
                vec_store(out + w * BLOCK,
                          vec_fma(vec_load(g + w * BLOCK), scale, vec_fma(slope, vec_load(y + w * BLOCK), constant)));
        }
    }
}

#endif
