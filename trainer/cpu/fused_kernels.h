/* The six 3x3 convolutions that a network is made of, each kernel compiled for its shape, and the table of them. */
#ifndef SELFSAME_FUSED_KERNELS_H
#define SELFSAME_FUSED_KERNELS_H

#include "trainer/cpu/fused_convolution.h"

#if FUSED_VECTOR == 16
#define TILE_NARROW 16, 1 /* pixels, vectors: 16 channels, rows of 32 pixels */
#define TILE_WIDE 8, 2    /* 32 and 64 channels */
enum { VECTORS_NARROW = 1, VECTORS_WIDE = 2, WEIGHT_CHANNELS = 8 };
#else
#define TILE_NARROW 8, 1
#define TILE_WIDE 8, 1
enum { VECTORS_NARROW = 1, VECTORS_WIDE = 1, WEIGHT_CHANNELS = 4 };
#endif

enum shape { SHAPE_FIRST, SHAPE_16, SHAPE_16_32, SHAPE_32, SHAPE_32_64, SHAPE_64, SHAPE_COUNT };

#define KERNEL static __attribute__((noinline)) void

#define FORWARD(NAME, ...)                                                                                        \
    KERNEL forward_##NAME(const float *x, const float *w, float *y, float *sums, const struct row_source *source, \
                          struct prefetch_list *soon)                                                             \
    {                                                                                                             \
        conv_forward(x, w, y, sums, source, soon, __VA_ARGS__);                                                   \
    }
FORWARD(first, 3, 16, 32, 1, TILE_NARROW)
FORWARD(16, 16, 16, 32, 1, TILE_NARROW)
FORWARD(16_32, 16, 32, 32, 2, TILE_WIDE)
FORWARD(32, 32, 32, 16, 1, TILE_WIDE)
FORWARD(32_64, 32, 64, 16, 2, TILE_WIDE)
FORWARD(64, 64, 64, 8, 1, TILE_WIDE)

#define BACKWARD(NAME, RESIDUAL, ...)                                                         \
    KERNEL backward_##NAME(const float *dy, const float *w, const struct gradient_sink *sink, \
                           struct prefetch_list *soon)                                        \
    {                                                                                         \
        conv_backward_data(dy, w, sink, soon, __VA_ARGS__, RESIDUAL);                         \
    }
BACKWARD(16, RESIDUAL_NONE, 16, 32, TILE_NARROW)
BACKWARD(32, RESIDUAL_NONE, 32, 16, TILE_WIDE)
BACKWARD(64, RESIDUAL_NONE, 64, 8, TILE_WIDE)
BACKWARD(16_residual, RESIDUAL_PLAIN, 16, 32, TILE_NARROW)
BACKWARD(32_residual, RESIDUAL_PLAIN, 32, 16, TILE_WIDE)
BACKWARD(64_residual, RESIDUAL_PLAIN, 64, 8, TILE_WIDE)

KERNEL backward_16_32(const float *dy, const float *w, const struct gradient_sink *sink, struct prefetch_list *soon)
{
    (void)soon; /* two layers of a network: not worth it */
    conv_backward_data_strided(dy, w, sink, 16, 32, 8, VECTORS_NARROW, 8);
}

KERNEL backward_32_64(const float *dy, const float *w, const struct gradient_sink *sink, struct prefetch_list *soon)
{
    (void)soon; /* two layers of a network: not worth it */
    conv_backward_data_strided(dy, w, sink, 32, 16, 8, VECTORS_WIDE, 8);
}

#define WEIGHT(NAME, ...)                                                   \
    KERNEL weight_##NAME(const struct unit_images *unit, float *gradient)   \
    {                                                                       \
        conv_backward_weight(unit, gradient, __VA_ARGS__, WEIGHT_CHANNELS); \
    }
WEIGHT(first, 3, 16, 32, 1)
WEIGHT(16, 16, 16, 32, 1)
WEIGHT(16_32, 16, 32, 32, 2)
WEIGHT(32, 32, 32, 16, 1)
WEIGHT(32_64, 32, 64, 16, 2)
WEIGHT(64, 64, 64, 8, 1)

static const struct kernels {
    void (*forward)(const float *x, const float *w, float *y, float *sums, const struct row_source *source,
                    struct prefetch_list *soon);
    /* of a block's second convolution, and of its first */
    void (*backward)(const float *dy, const float *w, const struct gradient_sink *sink, struct prefetch_list *soon);
    void (*backward_residual)(const float *dy, const float *w, const struct gradient_sink *sink,
                              struct prefetch_list *soon);
    void (*weight)(const struct unit_images *unit, float *gradient);
    uint32_t forward_vectors, backward_vectors; /* vectors of output channels per tile: the packing of the weights */
} kernels[SHAPE_COUNT] = {
    [SHAPE_FIRST] = { forward_first, NULL, NULL, weight_first, VECTORS_NARROW, 0 },
    [SHAPE_16] = { forward_16, backward_16, backward_16_residual, weight_16, VECTORS_NARROW, VECTORS_NARROW },
    [SHAPE_16_32] = { forward_16_32, NULL, backward_16_32, weight_16_32, VECTORS_WIDE, VECTORS_NARROW },
    [SHAPE_32] = { forward_32, backward_32, backward_32_residual, weight_32, VECTORS_WIDE, VECTORS_WIDE },
    [SHAPE_32_64] = { forward_32_64, NULL, backward_32_64, weight_32_64, VECTORS_WIDE, VECTORS_WIDE },
    [SHAPE_64] = { forward_64, backward_64, backward_64_residual, weight_64, VECTORS_WIDE, VECTORS_WIDE },
};

#endif
