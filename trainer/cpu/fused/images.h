/* What the kernels of both arithmetics work on: a few neighbouring images of a batch, the source of each row of their
 * inputs (row_source), and the destination of their outputs.
 *
 * layouts  padded image: [C/16][H+2][H+2][16] with a border of zeros (the first layer's input: [34][34][4], 3 channels
 *          used); plain image: [K/16][P][P][16]. Images of one kind lie one behind the other. */
#ifndef SELFSAME_IMAGES_H
#define SELFSAME_IMAGES_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/cpu/fused/prefetch.h"
#include "trainer/cpu/fused/vector.h"
#include "trainer/network.h"

/* IMAGES_MAX: of one call. */
enum { FEATURES = NETWORK_FEATURES, CLASSES = NETWORK_CLASSES, SUMS_STRIDE = 2 * FEATURES, IMAGES_MAX = 4 };

INLINE size_t plain_floats(uint32_t channels, uint32_t side)
{
    return (size_t)channels * side * side;
}

INLINE size_t padded_floats(uint32_t channels, uint32_t side)
{
    return (size_t)channels * (side + 2) * (side + 2);
}

/* Row h, column 0 of a plain image's block of channels, and of the inner part of a padded one's. */
INLINE size_t plain_at(uint32_t block, uint32_t h, uint32_t side)
{
    return (size_t)(block * side + h) * side * BLOCK;
}

INLINE size_t padded_at(uint32_t block, uint32_t h, uint32_t side)
{
    return ((size_t)(block * (side + 2) + h + 1) * (side + 2) + 1) * BLOCK;
}

/* Makes row h of the padded image that a convolution reads next, so that it is still in the first-level cache then.
 * load == NULL: the image is there already. */
struct row_source {
    void (*load)(const struct row_source *source, uint32_t h);
    uint32_t side, channels;
    const float *y, *scale, *shift;                   /* u = fma(y, scale, shift); y: plain image */
    const float *g, *slope, *constant;                /* gradient rows: fma(g, scale, fma(slope, y, constant)) */
    const float *shortcut;                            /* padded image of the shortcut's input */
    const float *projection;                          /* packed [K/LANES][c][LANES] */
    const float *projection_scale, *projection_shift; /* row_join_projection_norm: of its batch norm */
    uint32_t option_a_first;                          /* option A: first channel that is not zero padding */
    float *out;                                       /* padded image */
};

/* Makes the rows from *made on to `until`, as far as the image has them. */
INLINE void source_rows(const struct row_source *source, int *made, int until)
{
    for (; *made < until; (*made)++)
        if (source->load != NULL && *made < (int)source->side)
            source->load(source, (uint32_t)*made);
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
    const float *strided;    /* stride 2: [C/16][H/2][H/2][16], added at even rows and columns before the mask */
};

/* What joins the data gradient and where its mask comes from; a constant of each kernel. Into a block's inside (its
 * second convolution's data gradient): nothing, and fma(y, scale, shift) > 0. Into a block's input: the shortcut's
 * gradient, and the activation's sign. */
enum residual { RESIDUAL_NONE, RESIDUAL_PLAIN, RESIDUAL_STRIDED };

/* One call's images. Forward reads x and leaves y and sums; backward weights reads x and dy; backward data reads dy,
 * whose rows are there then. */
struct images {
    uint32_t count;
    const float *x, *dy;                           /* padded images */
    const struct row_source *x_source, *dy_source; /* [count] */
    float *y;                                      /* plain images */
    float *sums;                      /* [count][SUMS_STRIDE], of an image [2][K]: the trees of y and y*y */
    const struct gradient_sink *sink; /* [count] */
    float *scratch;                   /* the Winograd kernels': WINOGRAD_SCRATCH_FLOATS */
    struct prefetch_list *soon;
};

#endif
