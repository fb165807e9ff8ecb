/* The table of the six 3x3 convolutions that a network is made of, with each kernel compiled for its shape. */
#ifndef SELFSAME_KERNELS_H
#define SELFSAME_KERNELS_H

#include "trainer/cpu/fused/direct.h"
#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/packing.h"
#include "trainer/cpu/fused/vector.h"
#include "trainer/cpu/fused/winograd.h"
#include "trainer/recipe.h"

/* How each instruction set cuts the work. TILE_*: outputs of a strip, of a tile, and vectors of filters (of a strip at
 * most STRIP_MAX vectors); TILE_STRIDED has one. TILE_WEIGHT*: vectors of filters, input channels, pixels of a turn.
 * TILE_POINTS_*: at most so many tiles (or channels) by so many vectors of filters. *_TURN_FMAS: vector FMAs of an
 * inner loop's turn, which asks for memory once. */
#if FUSED_VECTOR == 16
#define TILE_NARROW 16, 16, 1 /* 16 channels */
#define TILE_WIDE 8, 8, 2     /* 32 and 64 */
#define TILE_STRIDED 32, 16
#define TILE_WEIGHT 1, 8, 2
#define TILE_WEIGHT_FIRST 1, 3, 2
#define TILE_POINTS_NARROW 16, 1
#define TILE_POINTS_WIDE 12, 2
enum { POINT_VECTORS_NARROW = 1, POINT_VECTORS_WIDE = 2 };
enum { VECTORS_NARROW = 1, VECTORS_WIDE = 2, TURN_FMAS = 48, WEIGHT_TURN_FMAS = 48, WEIGHT_FIRST_TURN_FMAS = 18 };
#elif FUSED_VECTOR == 4
#define TILE_NARROW 16, 8, 2 /* 16 chains, six taps and a broadcast of the 32 registers that these processors have */
#define TILE_WIDE 16, 8, 2
#define TILE_STRIDED 32, 16
#define TILE_WEIGHT 2, 4, 2 /* 24 chains, four vectors and a broadcast */
#define TILE_WEIGHT_FIRST 2, 3, 2
#define TILE_POINTS_NARROW 12, 2
#define TILE_POINTS_WIDE 12, 2
enum { POINT_VECTORS_NARROW = 2, POINT_VECTORS_WIDE = 2 };
enum { VECTORS_NARROW = 2, VECTORS_WIDE = 2, TURN_FMAS = 48, WEIGHT_TURN_FMAS = 48, WEIGHT_FIRST_TURN_FMAS = 36 };
#else
#define TILE_NARROW 32, 11, 1 /* 11 chains, three taps and a broadcast: 15 of the 16 registers */
#define TILE_WIDE 32, 11, 1
#define TILE_STRIDED 32, 11
#define TILE_WEIGHT 2, 2, 1 /* 12 chains, two vectors and a broadcast */
#define TILE_WEIGHT_FIRST 1, 3, 4
#define TILE_POINTS_NARROW 6, 2
#define TILE_POINTS_WIDE 6, 2
enum { POINT_VECTORS_NARROW = 2, POINT_VECTORS_WIDE = 2 };
enum { VECTORS_NARROW = 1, VECTORS_WIDE = 1, TURN_FMAS = 32, WEIGHT_TURN_FMAS = 12, WEIGHT_FIRST_TURN_FMAS = 36 };
#endif

enum { VECTORS_STRIDED = 1 };

/* The kernels' arrays have room for these. */
#define FITS_(TS, TQ, TK) ((TS) * (TK) <= STRIP_MAX && (TQ) * (TK) <= 16)
#define FITS(...) FITS_(__VA_ARGS__)
_Static_assert(FITS(TILE_NARROW) && FITS(TILE_WIDE) && FITS(TILE_STRIDED, 1), "a strip or a tile is too large");
#define FITS_WEIGHT_(KV, TC, TQ) (3 * (KV) * (TC) <= 24 && (KV) * (TQ) <= 4)
#define FITS_WEIGHT(...) FITS_WEIGHT_(__VA_ARGS__)
_Static_assert(FITS_WEIGHT(TILE_WEIGHT) && FITS_WEIGHT(TILE_WEIGHT_FIRST), "a weight gradient's tile is too large");
#define FITS_POINTS_(TT, TK) ((TT) * (TK) <= 24 && (TK) <= 2)
#define FITS_POINTS(...) FITS_POINTS_(__VA_ARGS__)
_Static_assert(FITS_POINTS(TILE_POINTS_NARROW) && FITS_POINTS(TILE_POINTS_WIDE), "a tile at the points is too large");

enum shape { SHAPE_FIRST, SHAPE_16, SHAPE_16_32, SHAPE_32, SHAPE_32_64, SHAPE_64, SHAPE_COUNT };

#define KERNEL static __attribute__((noinline)) void

#define FORWARD(NAME, ...)                                                    \
    KERNEL direct_forward_##NAME(const struct images *images, const float *w) \
    {                                                                         \
        direct_forward(images, w, __VA_ARGS__);                               \
    }
FORWARD(first, 3, 16, 32, 1, TILE_NARROW)
FORWARD(16, 16, 16, 32, 1, TILE_NARROW)
FORWARD(16_32, 16, 32, 32, 2, TILE_WIDE)
FORWARD(32, 32, 32, 16, 1, TILE_WIDE)
FORWARD(32_64, 32, 64, 16, 2, TILE_WIDE)
FORWARD(64, 64, 64, 8, 1, TILE_WIDE)

#define DATA(NAME, RESIDUAL, ...)                                          \
    KERNEL direct_data_##NAME(const struct images *images, const float *w) \
    {                                                                      \
        direct_data(images, w, __VA_ARGS__, RESIDUAL);                     \
    }
DATA(16, RESIDUAL_NONE, 16, 32, TILE_NARROW)
DATA(32, RESIDUAL_NONE, 32, 16, TILE_WIDE)
DATA(64, RESIDUAL_NONE, 64, 8, TILE_WIDE)
DATA(16_residual, RESIDUAL_PLAIN, 16, 32, TILE_NARROW)
DATA(32_residual, RESIDUAL_PLAIN, 32, 16, TILE_WIDE)
DATA(64_residual, RESIDUAL_PLAIN, 64, 8, TILE_WIDE)

KERNEL direct_data_16_32(const struct images *images, const float *w)
{
    direct_data_strided(images, w, 16, 32, TILE_STRIDED);
}

KERNEL direct_data_32_64(const struct images *images, const float *w)
{
    direct_data_strided(images, w, 32, 16, TILE_STRIDED);
}

/* A direct kernel takes a whole unit at once. */
#define WEIGHT(NAME, ...)                                                               \
    KERNEL direct_weight_##NAME(const struct images *unit, float *gradient, bool first) \
    {                                                                                   \
        (void)first;                                                                    \
        direct_weight(unit, gradient, __VA_ARGS__);                                     \
    }
WEIGHT(first, 3, 16, 32, 1, TILE_WEIGHT_FIRST)
WEIGHT(16, 16, 16, 32, 1, TILE_WEIGHT)
WEIGHT(16_32, 16, 32, 32, 2, TILE_WEIGHT)
WEIGHT(32, 32, 32, 16, 1, TILE_WEIGHT)
WEIGHT(32_64, 32, 64, 16, 2, TILE_WEIGHT)
WEIGHT(64, 64, 64, 8, 1, TILE_WEIGHT)

/* Images and rows of tiles of a block: what stays in the first-level cache at 16 channels, and gives enough tiles for
 * each reading of the filters at 32 and 64. */
#define BLOCK_16 1, 1
#define BLOCK_32 1, 4
#define BLOCK_64 4, 2

#define WINOGRAD(C, H, BLOCK, TILE)                                                        \
    KERNEL winograd_forward_##C(const struct images *images, const float *filters)         \
    {                                                                                      \
        winograd_forward(images, filters, C, H, BLOCK, TILE);                              \
    }                                                                                      \
    KERNEL winograd_data_##C(const struct images *images, const float *filters)            \
    {                                                                                      \
        winograd_data(images, filters, C, H, BLOCK, TILE, RESIDUAL_NONE);                  \
    }                                                                                      \
    KERNEL winograd_data_##C##_residual(const struct images *images, const float *filters) \
    {                                                                                      \
        winograd_data(images, filters, C, H, BLOCK, TILE, RESIDUAL_PLAIN);                 \
    }                                                                                      \
    KERNEL winograd_weight_##C(const struct images *images, float *gradient, bool first)   \
    {                                                                                      \
        winograd_weight(images, gradient, first, C, H, BLOCK, TILE);                       \
    }
WINOGRAD(16, 32, BLOCK_16, TILE_POINTS_NARROW)
WINOGRAD(32, 16, BLOCK_32, TILE_POINTS_WIDE)
WINOGRAD(64, 8, BLOCK_64, TILE_POINTS_WIDE)

/* Turns of an image's inner loops. */
#define TURNS(C, K, P, TURN) ((P) * (P) * (K) / LANES * (C)*9 / (TURN))

/* What the passes need to know of a convolution's kernels. A unit is the images of a weight gradient's group, or the
 * one image that its groups are parts of; its partial sums are taken by one thread. */
struct kernels {
    void (*pack)(const float *w, float *packed, uint32_t C, uint32_t K, uint32_t G, bool flip);
    void (*forward)(const struct images *images, const float *w);
    /* of a block's second convolution, and of its first */
    void (*data)(const struct images *images, const float *w);
    void (*data_residual)(const struct images *images, const float *w);
    /* of the next images of a unit; `first`: they are its first ones */
    void (*weight)(const struct images *images, float *gradient, bool first);
    uint32_t points;                          /* floats of a filter and a channel in packed weights and partial sums */
    uint32_t forward_vectors, data_vectors;   /* vectors of output channels per tile: the packing of the weights */
    uint32_t forward_images, backward_images; /* that a call takes, at most IMAGES_MAX; the last has fewer */
    uint32_t unit_images;
    uint32_t forward_turns, backward_turns; /* in which an image's kernels ask for memory */
};

#define DIRECT .pack = pack_direct, .points = 9, .forward_images = 1
#define UNIT(IMAGES) .backward_images = (IMAGES), .unit_images = (IMAGES)

static const struct kernels direct_kernels[SHAPE_COUNT] = {
    [SHAPE_FIRST] = { DIRECT, UNIT(1), .forward = direct_forward_first, .weight = direct_weight_first,
                      .forward_vectors = VECTORS_NARROW, .forward_turns = TURNS(3, 16, 32, TURN_FMAS),
                      .backward_turns = TURNS(3, 16, 32, WEIGHT_FIRST_TURN_FMAS) },
    [SHAPE_16] = { DIRECT, UNIT(1), .forward = direct_forward_16, .data = direct_data_16,
                   .data_residual = direct_data_16_residual, .weight = direct_weight_16,
                   .forward_vectors = VECTORS_NARROW, .data_vectors = VECTORS_NARROW,
                   .forward_turns = TURNS(16, 16, 32, TURN_FMAS),
                   .backward_turns = TURNS(16, 16, 32, TURN_FMAS) + TURNS(16, 16, 32, WEIGHT_TURN_FMAS) },
    /* The data gradients with stride 2 do not ask for memory: two layers of a network. */
    [SHAPE_16_32] = { DIRECT, UNIT(2), .forward = direct_forward_16_32, .data_residual = direct_data_16_32,
                      .weight = direct_weight_16_32, .forward_vectors = VECTORS_WIDE, .data_vectors = VECTORS_STRIDED,
                      .forward_turns = TURNS(16, 32, 16, TURN_FMAS),
                      .backward_turns = TURNS(16, 32, 16, WEIGHT_TURN_FMAS) },
    [SHAPE_32] = { DIRECT, UNIT(2), .forward = direct_forward_32, .data = direct_data_32,
                   .data_residual = direct_data_32_residual, .weight = direct_weight_32,
                   .forward_vectors = VECTORS_WIDE, .data_vectors = VECTORS_WIDE,
                   .forward_turns = TURNS(32, 32, 16, TURN_FMAS),
                   .backward_turns = TURNS(32, 32, 16, TURN_FMAS) + TURNS(32, 32, 16, WEIGHT_TURN_FMAS) },
    [SHAPE_32_64] = { DIRECT, UNIT(4), .forward = direct_forward_32_64, .data_residual = direct_data_32_64,
                      .weight = direct_weight_32_64, .forward_vectors = VECTORS_WIDE, .data_vectors = VECTORS_STRIDED,
                      .forward_turns = TURNS(32, 64, 8, TURN_FMAS),
                      .backward_turns = TURNS(32, 64, 8, WEIGHT_TURN_FMAS) },
    [SHAPE_64] = { DIRECT, UNIT(4), .forward = direct_forward_64, .data = direct_data_64,
                   .data_residual = direct_data_64_residual, .weight = direct_weight_64,
                   .forward_vectors = VECTORS_WIDE, .data_vectors = VECTORS_WIDE,
                   .forward_turns = TURNS(64, 64, 8, TURN_FMAS),
                   .backward_turns = TURNS(64, 64, 8, TURN_FMAS) + TURNS(64, 64, 8, WEIGHT_TURN_FMAS) },
};

/* Turns in which an image's forward (or data) kernel and its weight kernel ask for memory. */
#define POINT_TURNS_(C, H, IMAGES, ROWS, MAX, TK)                                                           \
    (POINTS * ((C) / ((TK)*LANES)) * PARTS_OF((IMAGES) * (ROWS) * (H) / TILE, MAX) * ((C) / ASK_EVERY(C)) * \
     ((H) / TILE / (ROWS)) / (IMAGES))
#define POINT_TURNS(...) POINT_TURNS_(__VA_ARGS__)
#define WEIGHT_POINT_TURNS_(C, H, IMAGES, ROWS, MAX, TK) \
    (POINTS * ((C) / ((TK)*LANES)) * PARTS_OF(C, MAX) * ((H) / TILE) * ((H) / TILE) / ASK_EVERY(C))
#define WEIGHT_POINT_TURNS(...) WEIGHT_POINT_TURNS_(__VA_ARGS__)

/* Those that exact-2 has of its own. */
static const struct kernels winograd_kernels[SHAPE_COUNT] = {
    [SHAPE_16] = { .pack = pack_winograd,
                   .points = POINTS,
                   .forward_images = 1,
                   .backward_images = 1,
                   .unit_images = 1,
                   .forward = winograd_forward_16,
                   .data = winograd_data_16,
                   .data_residual = winograd_data_16_residual,
                   .weight = winograd_weight_16,
                   .forward_vectors = POINT_VECTORS_NARROW,
                   .data_vectors = POINT_VECTORS_NARROW,
                   .forward_turns = POINT_TURNS(16, 32, BLOCK_16, TILE_POINTS_NARROW),
                   .backward_turns = POINT_TURNS(16, 32, BLOCK_16, TILE_POINTS_NARROW) +
                                     WEIGHT_POINT_TURNS(16, 32, BLOCK_16, TILE_POINTS_NARROW) },
    [SHAPE_32] = { .pack = pack_winograd,
                   .points = POINTS,
                   .forward_images = 1,
                   .backward_images = 1,
                   .unit_images = 4,
                   .forward = winograd_forward_32,
                   .data = winograd_data_32,
                   .data_residual = winograd_data_32_residual,
                   .weight = winograd_weight_32,
                   .forward_vectors = POINT_VECTORS_WIDE,
                   .data_vectors = POINT_VECTORS_WIDE,
                   .forward_turns = POINT_TURNS(32, 16, BLOCK_32, TILE_POINTS_WIDE),
                   .backward_turns = POINT_TURNS(32, 16, BLOCK_32, TILE_POINTS_WIDE) +
                                     WEIGHT_POINT_TURNS(32, 16, BLOCK_32, TILE_POINTS_WIDE) },
    [SHAPE_64] = { .pack = pack_winograd,
                   .points = POINTS,
                   .forward_images = 4,
                   .backward_images = 4,
                   .unit_images = 16,
                   .forward = winograd_forward_64,
                   .data = winograd_data_64,
                   .data_residual = winograd_data_64_residual,
                   .weight = winograd_weight_64,
                   .forward_vectors = POINT_VECTORS_WIDE,
                   .data_vectors = POINT_VECTORS_WIDE,
                   .forward_turns = POINT_TURNS(64, 8, BLOCK_64, TILE_POINTS_WIDE),
                   .backward_turns = POINT_TURNS(64, 8, BLOCK_64, TILE_POINTS_WIDE) +
                                     WEIGHT_POINT_TURNS(64, 8, BLOCK_64, TILE_POINTS_WIDE) },
};

/* The kernels of a layer of this shape. */
static const struct kernels *kernels_of(enum arithmetic arithmetic, enum shape shape)
{
    if (arithmetic == ARITHMETIC_EXACT_2 && winograd_kernels[shape].forward != NULL)
        return &winograd_kernels[shape];
    return &direct_kernels[shape];
}

#endif
