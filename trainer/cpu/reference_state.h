/* What the scalar backend holds, and how its parts call each other: reference_backend.c opens, updates and evaluates,
 * reference.c has the passes of a step, and reference_trace.c traces one. */
#ifndef SELFSAME_REFERENCE_STATE_H
#define SELFSAME_REFERENCE_STATE_H

#include "trainer/cpu/backend.h"
#include "trainer/cpu/reference.h"
#include "trainer/cpu/team.h"

#ifdef REFERENCE_FMA
#define reference_run reference_run_fma
#define reference_forward reference_forward_fma
#define reference_head reference_head_fma
#define reference_backward reference_backward_fma
#define reference_load_image reference_load_image_fma
#define reference_make_filters reference_make_filters_fma
#define reference_activate reference_activate_fma
#define reference_convolve reference_convolve_fma
#define reference_project reference_project_fma
#define reference_activate_layer reference_activate_layer_fma
#define reference_activation_gradient reference_activation_gradient_fma
#define reference_backward_norm reference_backward_norm_fma
#define reference_backward_projection_norm reference_backward_projection_norm_fma
#define reference_backward_convolution reference_backward_convolution_fma
#define reference_update reference_update_fma
#define reference_trace reference_trace_fma
#endif

enum { FEATURES = NETWORK_FEATURES, CLASSES = NETWORK_CLASSES, IMAGE_FLOATS_MAX = 16 * 32 * 32, PROJECTIONS = 2 };

/* What one thread works in. */
struct worker {
    float *scratch;            /* REFERENCE_SCRATCH_FLOATS */
    float *shortcut;           /* one image */
    float *eval_a[3], *eval_y; /* evaluation: one image each */
};

struct backend {
    struct recipe recipe;
    const struct network *network;
    uint32_t threads;
    uint32_t batch, whole; /* images of the largest step: this process's share, and those of all; 0 with inference */
    struct shares *shares; /* of several ranks; NULL: this process computes whole batches */
    struct team *team;
    struct worker *workers;
    struct backend_profile *profile;      /* NULL: nobody asks */
    float *values, *momentum, *gradients; /* [value_count] */
    float **a, **y;          /* a[l] (batch,C,H,H), y[l] (batch,K,P,P); a[conv_count] the last block's output */
    struct exact_norm *norm; /* [conv_count][64] */
    struct exact_norm logits_norm[CLASSES];
    struct exact_norm_gradient norm_gradient[FEATURES]; /* of the layer at hand */
    float *d;                                           /* the gradient of a[l+1], then of a[l] */
    /* Of shortcut projection-bn, by projection_of: the projection's output, its norm, and the output's gradient. */
    float *projection_y[PROJECTIONS], *projection_dy;
    struct exact_norm projection_norm[PROJECTIONS][FEATURES];
    struct exact_norm_gradient projection_gradient[FEATURES];
    float *residual; /* the gradient of a block's sum */
    float *dy;
    float *sums;            /* [batch][2 * 64] of a batch norm, forward or backward */
    float *parts;           /* weight gradients of all groups */
    float **filters;        /* [conv_count]: a winograd layer's, at its tiles' points; else NULL */
    float *pool, *dpool;    /* [batch][64] */
    float *z, *dz;          /* [batch][10]; dz holds the probabilities before */
    double *column;         /* [batch] */
    uint64_t (*digests)[2]; /* [tensors] */
    bool *finite;           /* [tensors] */
    void *memory;
    size_t memory_bytes;
};

/* ---- a layer ----------------------------------------------------------------------------------------------------- */

static inline struct conv2d shape_of(const struct conv_layer *layer)
{
    return (struct conv2d){ .C = layer->channels, .K = layer->filters, .H = layer->side, .stride = layer->stride };
}

static inline size_t input_floats(const struct conv_layer *layer)
{
    return (size_t)layer->channels * layer->side * layer->side;
}

static inline size_t output_floats(const struct conv_layer *layer)
{
    uint32_t P = layer->side / layer->stride;
    return (size_t)layer->filters * P * P;
}

/* The number of a projection with batch norm, by the block's second convolution. */
static inline uint32_t projection_of(const struct conv_layer *layer)
{
    return layer->filters == FEATURES ? 1 : 0;
}

/* The number of a weight gradient among those that ranks share: of layer l, and of the projection of a block's second
 * layer. */
static inline uint32_t gradient_of(uint32_t l)
{
    return l;
}

static inline uint32_t projection_gradient_of(const struct backend *r, const struct conv_layer *layer)
{
    return r->network->conv_count + projection_of(layer);
}

/* Whether the layer is computed by tiles. */
static inline bool is_winograd(const struct backend *r, const struct conv_layer *layer)
{
    return r->recipe.arithmetic == ARITHMETIC_EXACT_2 && layer->stride == 1 && layer->channels > 3;
}

/* The groups of a weight gradient, and the floats of each for a filter and a channel. */
static inline uint32_t groups_of(const struct backend *r, const struct conv_layer *layer, uint32_t images)
{
    if (is_winograd(r, layer))
        return (images + exact_winograd_group_images(layer->side) - 1) / exact_winograd_group_images(layer->side);
    return exact_group_count(layer->side / layer->stride, images);
}

static inline size_t points_of(const struct backend *r, const struct conv_layer *layer)
{
    return is_winograd(r, layer) ? EXACT_WINOGRAD_POINTS : 9;
}

static inline float *tensor_at(const struct backend *r, float *array, int32_t tensor)
{
    return tensor < 0 ? NULL : array + r->network->tensors[tensor].offset;
}

static inline float *value(const struct backend *r, int64_t tensor)
{
    return tensor_at(r, r->values, (int32_t)tensor);
}

static inline float *gradient(const struct backend *r, int64_t tensor)
{
    return tensor_at(r, r->gradients, (int32_t)tensor);
}

/* ---- work for the team: one call of `item` handles one item of a pass -------------------------------------------- */

struct pass {
    struct backend *r;
    const struct backend_batch *batch;
    uint32_t l, groups; /* groups: whose partial sums a tree adds */
    float learning_rate;
    uint8_t *predictions;
    float *losses;
    void (*item)(const struct pass *pass, struct worker *worker, uint32_t item);
};

void reference_run(struct pass pass, uint32_t items);

/* ---- what a step and an evaluation are made of: reference.c ------------------------------------------------------ */

void reference_forward(struct backend *r, const struct backend_batch *batch, struct backend_outcome *outcome);
/* From the last block's output to the loss, and back to the gradient of that output. */
void reference_head(struct backend *r, const struct backend_batch *batch, struct backend_outcome *outcome);
void reference_backward(struct backend *r, const struct backend_batch *batch, struct backend_outcome *outcome);
void reference_update(struct backend *r, float learning_rate, struct backend_outcome *outcome);

/* The parts of a layer's forward pass: the convolution with its norm's constants; of a block's second convolution, the
 * projection with those of its norm, if it has one; batch norm, shortcut and ReLU. */
void reference_convolve(struct backend *r, const struct backend_batch *batch, uint32_t l,
                        struct backend_outcome *outcome);
void reference_project(struct backend *r, uint32_t N, uint32_t l, struct backend_outcome *outcome);
void reference_activate_layer(struct backend *r, uint32_t N, uint32_t l);
/* And of its backward pass: ReLU and norm; the projection's norm; the gradients of weights and input. */
void reference_backward_norm(struct backend *r, uint32_t N, uint32_t l, struct backend_outcome *outcome);
void reference_backward_projection_norm(struct backend *r, uint32_t N, uint32_t l, struct backend_outcome *outcome);
void reference_backward_convolution(struct backend *r, const struct backend_batch *batch, uint32_t l);
/* The gradient of layer l's batch norm's output. That of a block's sum is kept for the shortcut. */
float *reference_activation_gradient(const struct backend *r, uint32_t l);

/* backend_operations.trace: reference_trace.c. */
void reference_trace(struct backend *r, const struct backend_batch *batch, float learning_rate,
                     struct step_trace *trace, struct backend_outcome *outcome);

void reference_load_image(const struct backend_batch *batch, uint32_t n, float *x);
/* The filters of layer l at the points of tiles, where it is computed by them. */
void reference_make_filters(struct backend *r, uint32_t l, bool mirrored);
/* From layer l's convolution to its output: batch norm, shortcut, ReLU; block is the block's input. */
void reference_activate(const struct backend *r, struct worker *worker, uint32_t l, const float *y, const float *block,
                        float *out);

#endif
