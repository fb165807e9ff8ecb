/* What moves bits: the network, the input and the training recipe, as plain values. The manifest (experiments/) fills
 * these structs from its schema table; everything in trainer/ reads them and knows nothing of YAML.
 *
 * Numbers that a manifest writes in decimal are kept as the nearest binary64; where a binary32 is used,
 * trainer/ARITHMETIC.md says where it is rounded. */
#ifndef SELFSAME_RECIPE_H
#define SELFSAME_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- network ----------------------------------------------------------------------------------------------------- */

enum shortcut {
    SHORTCUT_PROJECTION,   /* where the shape changes: 1x1 convolution, stride 2, trained from the identity (msra) */
    SHORTCUT_PAD_END,      /* option A: subsample; the new channels, zero, come last (He et al.) */
    SHORTCUT_PAD_BOTH,     /* option A: half of the new, zero, channels come first and half last (akamaster) */
    SHORTCUT_PROJECTION_BN /* 1x1 convolution, stride 2, with a batch norm of its own (torchvision, chenyaofo) */
};

enum bias {
    BIAS_NONE,
    BIAS_ZERO,
    BIAS_UNIFORM
}; /* of the linear layer: absent; starts at 0; starts uniform in +-1/sqrt(64) */

struct model_config {
    uint32_t depth; /* 6n+2, n >= 1 */
    enum shortcut shortcut;
    enum bias linear_bias;
    bool final_batch_norm; /* batch norm over the logits */
    double batch_norm_epsilon;
    double batch_norm_rate;             /* a of running <- running + a (batch - running) */
    bool batch_norm_unbiased;           /* running variance takes the batch's times M/(M-1) */
    double batch_norm_initial_variance; /* running variance before the first step; the running mean starts at 0 */
};

/* ---- input ------------------------------------------------------------------------------------------------------- */

enum padding {
    PADDING_MEAN, /* border = mean of the row or column of the uint8 image (rows first, then columns), half to even */
    PADDING_ZERO, /* zeros after normalisation */
    PADDING_ZERO_RAW /* zeros before normalisation (a black border) */
};

enum normalization {
    NORMALIZE_CHANNEL_MEAN, /* x - the training set's mean of the channel */
    NORMALIZE_PIXEL_MEAN,   /* x - the training set's mean of the pixel */
    NORMALIZE_CONSTANTS     /* (x / 255 - mean[c]) / deviation[c] with the constants below */
};

struct input_config {
    uint32_t padding_pixels; /* 0..8 on each side; crops take (2 padding + 1)^2 positions */
    enum padding padding;
    enum normalization normalization;
    double mean[3], deviation[3]; /* NORMALIZE_CONSTANTS only, R, G, B */
    bool random_crop, random_flip;
};

/* ---- training ---------------------------------------------------------------------------------------------------- */

enum momentum_form {
    MOMENTUM_NEON,   /* v <- m v - lr (g + d w); w <- w + v */
    MOMENTUM_PYTORCH /* v <- m v + (g + d w);    w <- w - lr v */
};

enum last_batch {
    LAST_BATCH_CONTINUE, /* one stream over the epochs: filled up with the next pass's first images */
    LAST_BATCH_SHORT     /* a smaller last batch */
};

enum time_unit { UNIT_EPOCH, UNIT_STEP };

enum { SCHEDULE_DROPS_MAX = 16 };

struct schedule_config {
    double learning_rate;
    double drop_factor;
    enum time_unit drop_unit;
    uint32_t drop_count;
    uint64_t
        drops[SCHEDULE_DROPS_MAX]; /* strictly increasing; the rate drops at the start of that epoch or step, from 0 */
    enum time_unit warmup_unit;
    uint64_t warmup_length; /* 0: none */
    double warmup_learning_rate;
};

struct training_config {
    uint32_t batch_size;
    enum last_batch last_batch;
    enum time_unit length_unit;
    uint64_t length; /* epochs or steps in all */
    enum momentum_form momentum_form;
    double momentum, weight_decay;
    struct schedule_config schedule;
    uint64_t seed;
};

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

enum arithmetic {
    ARITHMETIC_EXACT_1, /* ARITHMETIC.md's, to the last bit: direct convolutions */
    ARITHMETIC_EXACT_2, /* exact, too, with 3x3 convolutions of stride 1 by tiles */
    ARITHMETIC_FAST     /* as a library computes it; repeats itself on one device and library version */
};
enum { ARITHMETIC_COUNT = ARITHMETIC_FAST + 1 };

/* The name of an arithmetic's version. Only bits of one version may be compared. */
static inline const char *arithmetic_version(enum arithmetic arithmetic)
{
    static const char *const versions[ARITHMETIC_COUNT] = { "exact-1", "exact-2", "fast" };
    return versions[arithmetic];
}

enum precision {
    PRECISION_FP32,
    PRECISION_TF32,
    PRECISION_BF16
}; /* of products, with ARITHMETIC_FAST; weights are float32 */

struct recipe {
    struct model_config model;
    struct input_config input;
    struct training_config training;
    enum arithmetic arithmetic;
    enum precision precision;
};

#endif
