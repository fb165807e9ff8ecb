/* The state of the scalar backend, and how work reaches the team. */
#ifndef SELFSAME_REFERENCE_STATE_H
#define SELFSAME_REFERENCE_STATE_H

#include <stdlib.h>
#include <string.h>

#include "trainer/cpu/backend.h"
#include "trainer/cpu/reference.h"
#include "trainer/cpu/team.h"

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
    uint32_t threads, batch; /* batch: images of the largest step; 0 with inference */
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

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static struct conv2d shape_of(const struct conv_layer *layer)
{
    return (struct conv2d){ .C = layer->channels, .K = layer->filters, .H = layer->side, .stride = layer->stride };
}

static size_t input_floats(const struct conv_layer *layer)
{
    return (size_t)layer->channels * layer->side * layer->side;
}

static size_t output_floats(const struct conv_layer *layer)
{
    uint32_t P = layer->side / layer->stride;
    return (size_t)layer->filters * P * P;
}

/* The number of a projection with batch norm, by the block's second convolution. */
static uint32_t projection_of(const struct conv_layer *layer)
{
    return layer->filters == FEATURES ? 1 : 0;
}

/* Whether the layer is computed by tiles. */
static bool is_winograd(const struct backend *r, const struct conv_layer *layer)
{
    return r->recipe.arithmetic == ARITHMETIC_EXACT_2 && layer->stride == 1 && layer->channels > 3;
}

/* The groups of a weight gradient, and the floats of each for a filter and a channel. */
static uint32_t groups_of(const struct backend *r, const struct conv_layer *layer, uint32_t images)
{
    if (is_winograd(r, layer))
        return (images + exact_winograd_group_images(layer->side) - 1) / exact_winograd_group_images(layer->side);
    return exact_group_count(layer->side / layer->stride, images);
}

static size_t points_of(const struct backend *r, const struct conv_layer *layer)
{
    return is_winograd(r, layer) ? EXACT_WINOGRAD_POINTS : 9;
}

static void lay_out(struct backend *r, struct arena *arena)
{
    const struct network *network = r->network;
    const size_t batch = r->batch;
    r->a = arena_take(arena, (network->conv_count + 1) * sizeof *r->a);
    r->y = arena_take(arena, network->conv_count * sizeof *r->y);
    r->filters = arena_take(arena, network->conv_count * sizeof *r->filters);
    r->workers = arena_take(arena, r->threads * sizeof *r->workers);
    r->norm = arena_take(arena, (size_t)network->conv_count * FEATURES * sizeof *r->norm);
    r->digests = arena_take(arena, network->tensor_count * sizeof *r->digests);
    r->finite = arena_take(arena, network->tensor_count * sizeof *r->finite);
    r->column = arena_take(arena, batch * sizeof *r->column);
    r->values = arena_floats(arena, network->value_count);
    r->momentum = arena_floats(arena, network->value_count);
    r->gradients = arena_floats(arena, network->value_count);
    r->d = arena_floats(arena, batch * IMAGE_FLOATS_MAX);
    r->residual = arena_floats(arena, batch * IMAGE_FLOATS_MAX);
    r->dy = arena_floats(arena, batch * IMAGE_FLOATS_MAX);
    r->sums = arena_floats(arena, batch * 2 * FEATURES);
    r->pool = arena_floats(arena, batch * FEATURES);
    r->dpool = arena_floats(arena, batch * FEATURES);
    r->z = arena_floats(arena, batch * CLASSES);
    r->dz = arena_floats(arena, batch * CLASSES);
    size_t parts = 0;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        float *input = arena_floats(arena, batch * input_floats(layer)),
              *output = arena_floats(arena, batch * output_floats(layer));
        if (arena->memory != NULL) {
            r->a[l] = input;
            r->y[l] = output;
        }
        if (is_winograd(r, layer)) {
            float *filters = arena_floats(arena, (size_t)layer->filters * layer->channels * EXACT_WINOGRAD_POINTS);
            if (arena->memory != NULL)
                r->filters[l] = filters;
        }
        if (layer->projection_gamma >= 0) {
            float *projected = arena_floats(arena, batch * output_floats(layer));
            r->projection_y[projection_of(layer)] = projected;
            if (projection_of(layer) == 0) /* the larger */
                r->projection_dy = arena_floats(arena, batch * output_floats(layer));
        }
        size_t needed = groups_of(r, layer, r->batch) * layer->filters * layer->channels * points_of(r, layer);
        parts = needed > parts ? needed : parts;
    }
    float *last = arena_floats(arena, batch * output_floats(&network->convs[network->conv_count - 1]));
    if (arena->memory != NULL)
        r->a[network->conv_count] = last;
    r->parts = arena_floats(arena, parts);
    for (uint32_t thread = 0; thread < r->threads; thread++) {
        struct worker worker = { .scratch = arena_floats(arena, REFERENCE_SCRATCH_FLOATS),
                                 .shortcut = arena_floats(arena, IMAGE_FLOATS_MAX),
                                 .eval_y = arena_floats(arena, IMAGE_FLOATS_MAX) };
        for (int i = 0; i < 3; i++)
            worker.eval_a[i] = arena_floats(arena, IMAGE_FLOATS_MAX);
        if (arena->memory != NULL)
            r->workers[thread] = worker;
    }
}

static void reference_close(struct backend *r)
{
    if (r == NULL)
        return;
    team_close(r->team);
    free(r->memory);
    free(r);
}

static enum status reference_open(struct backend **out, const struct recipe *recipe, const struct network *network,
                                  uint32_t threads, bool inference, struct error *error)
{
    *out = NULL;
    enum status status = backend_check_arithmetic("the scalar backend", error);
    if (status != STATUS_OK)
        return status;
    struct backend *r = calloc(1, sizeof *r);
    if (r == NULL)
        return error_out_of_memory(error, "the scalar backend");
    r->recipe = *recipe;
    r->network = network;
    r->threads = threads;
    r->batch = inference ? 0 : recipe->training.batch_size;
    struct arena arena = backend_arena();
    lay_out(r, &arena);
    status = backend_allocate(&arena, recipe, error);
    if (status == STATUS_OK) {
        r->memory = arena.memory;
        lay_out(r, &arena);
        r->memory_bytes = arena.bytes;
        status = team_open(&r->team, threads, error);
    }
    if (status == STATUS_OK)
        *out = r;
    else
        reference_close(r);
    return status;
}

static size_t reference_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t threads,
                                       bool inference)
{
    struct backend r = {
        .recipe = *recipe, .network = network, .threads = threads, .batch = inference ? 0 : recipe->training.batch_size
    };
    struct arena arena = backend_arena();
    lay_out(&r, &arena);
    return arena.bytes;
}

static void reference_set_state(struct backend *r, const float *values, const float *momentum)
{
    memcpy(r->values, values, r->network->value_count * sizeof *values);
    memcpy(r->momentum, momentum, r->network->value_count * sizeof *momentum);
}

static void reference_get_state(const struct backend *r, float *values, float *momentum)
{
    memcpy(values, r->values, r->network->value_count * sizeof *values);
    memcpy(momentum, r->momentum, r->network->value_count * sizeof *momentum);
}

/* ---- work for the team: one call of `item` handles one item of a pass -------------------------------------------- */

struct pass {
    struct backend *r;
    const struct backend_batch *batch;
    uint32_t l;
    float learning_rate;
    uint8_t *predictions;
    float *losses;
    void (*item)(const struct pass *pass, struct worker *worker, uint32_t item);
};

static void pass_work(void *context, uint32_t thread)
{
    const struct pass *pass = context;
    uint32_t victim = thread, item, after;
    while (team_take(pass->r->team, thread, &victim, &item, &after))
        pass->item(pass, &pass->r->workers[thread], item);
}

static void run_pass(struct pass pass, uint32_t items)
{
    team_share(pass.r->team, items, false);
    team_run(pass.r->team, pass_work, &pass);
}

static float *tensor_at(const struct backend *r, float *array, int32_t tensor)
{
    return tensor < 0 ? NULL : array + r->network->tensors[tensor].offset;
}

static float *value(const struct backend *r, int64_t tensor)
{
    return tensor_at(r, r->values, (int32_t)tensor);
}

static float *gradient(const struct backend *r, int64_t tensor)
{
    return tensor_at(r, r->gradients, (int32_t)tensor);
}

#endif
