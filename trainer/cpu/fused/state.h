/* The state of the fused backend: its buffers, its packed weights, and how work reaches the team. It keeps for the
 * backward pass: y of every convolution (plain images), and the output of every block (padded images, which the next
 * convolution and the weight gradient read directly). */
#ifndef SELFSAME_STATE_H
#define SELFSAME_STATE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "trainer/cpu/backend.h"
#include "trainer/cpu/fused/head.h"
#include "trainer/cpu/fused/images.h"
#include "trainer/cpu/fused/kernels.h"
#include "trainer/cpu/fused/packing.h"
#include "trainer/cpu/team.h"

enum { STAGES = 3, PIECE_FLOATS = 4096, REDUCE_FLOATS = 64, POINT_REDUCE_FLOATS = 32 };

struct conv {
    uint32_t C, K, side, stride, out_side;
    const struct kernels *kernels;
    float *y;              /* [batch] plain images */
    float *forward, *data; /* packed weights */
    float *projection_forward, *projection_data;
    float *scale, *shift, *mean32, *slope, *constant; /* [64] each: exact.h */
    struct exact_norm norm[FEATURES];
    struct conv *projection; /* the block's 1x1 shortcut where a batch norm follows it: y and the norm alone; or NULL */
};

/* What one thread works in. */
struct worker {
    float *input;                  /* the first layer's padded image, [34][34][4]: its units are of one image */
    float *x[STAGES], *dy[STAGES]; /* padded images of a unit */
    float *points;                 /* WINOGRAD_SCRATCH_FLOATS */
    float *strided;                /* of a unit: the shortcut's data gradient with stride 2 */
    float *projection_dy;          /* of a unit, where a batch norm follows the projection: plain images */
    /* Inference: the images of one item, and the first one's number. */
    float *eval_y[2], *eval_a[STAGES][2], *eval_sums;
    uint32_t eval_first;
    uint64_t digest[2]; /* of the pieces it updated */
    size_t culprit;     /* the first piece of them that is not finite, or piece_count */
};

/* A run of elements of one tensor, the unit of the update. */
struct piece {
    uint32_t tensor;
    size_t begin, end; /* in the state's arrays */
};

struct backend {
    struct recipe recipe;
    const struct network *network;
    uint32_t threads;
    uint32_t batch, whole; /* images of the largest step: this process's share, and those of all; 0 with inference */
    struct shares *shares; /* of several ranks; NULL: this process computes whole batches */
    float *values, *momentum, *gradients; /* [value_count] */
    struct conv *convs, projections[STAGES - 1];
    float **a;               /* a[b]: block b's input, padded images; a[block_count]: the last block's output */
    float *G0, *G1, *G2;     /* gradients, plain images of the largest layer they meet */
    float *sums;             /* [batch][SUMS_STRIDE] */
    float *parts;            /* weight gradients of all units of a layer */
    float *projection_parts; /* the same for its 1x1 shortcut */
    uint32_t *images;
    struct head head;
    struct exact_norm logits_norm[CLASSES]; /* from the running statistics, during an evaluation */
    struct worker *workers;
    struct team *team;
    struct backend_profile *profile; /* NULL: nobody asks */
    struct piece *pieces;
    size_t piece_count;
    void *memory; /* the arena, of that many bytes */
    size_t memory_bytes;
};

static uint32_t stage_of_side(uint32_t side)
{
    return side == 32 ? 0 : side == 16 ? 1 : 2;
}

/* The stage's padded image: 16, 32, 64 channels at 32, 16, 8. */
static size_t stage_padded(uint32_t stage)
{
    return padded_floats(16u << stage, 32u >> stage);
}

static uint32_t stage_of_activation(const struct backend *f, uint32_t b)
{
    uint32_t per_stage = f->network->block_count / 3;
    return b == 0 ? 0 : (b - 1) / per_stage;
}

/* The output and the norm's constants of a convolution. */
static void lay_out_norm(struct backend *f, struct conv *conv, struct arena *arena)
{
    float **const constants[] = { &conv->scale, &conv->shift, &conv->mean32, &conv->slope, &conv->constant };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        *constants[i] = arena_floats(arena, FEATURES);
    conv->y = arena_floats(arena, f->batch * plain_floats(conv->K, conv->out_side));
}

static void lay_out_conv(struct backend *f, struct conv *conv, const struct conv_layer *layer, struct arena *arena)
{
    const size_t weights = (size_t)conv->K * conv->C * conv->kernels->points;
    conv->forward = arena_floats(arena, weights);
    conv->data = arena_floats(arena, weights);
    lay_out_norm(f, conv, arena);
    if (layer->projection >= 0) {
        const size_t count = (size_t)conv->K * conv->K / 2;
        conv->projection_forward = arena_floats(arena, count);
        conv->projection_data = arena_floats(arena, count);
    }
    if (conv->projection != NULL)
        lay_out_norm(f, conv->projection, arena);
}

static uint32_t unit_count(const struct conv *conv, uint32_t images)
{
    return (images + conv->kernels->unit_images - 1) / conv->kernels->unit_images;
}

static void lay_out_worker(struct backend *f, struct worker *worker, struct arena *arena)
{
    worker->input = arena_floats(arena, 34 * 34 * 4);
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        const size_t floats = IMAGES_MAX * stage_padded(stage);
        worker->x[stage] = arena_floats(arena, floats);
        worker->dy[stage] = arena_floats(arena, floats);
        for (int i = 0; i < 2; i++)
            worker->eval_a[stage][i] = arena_floats(arena, floats);
    }
    for (int i = 0; i < 2; i++)
        worker->eval_y[i] = arena_floats(arena, IMAGES_MAX * plain_floats(16, 32));
    worker->eval_sums = arena_floats(arena, IMAGES_MAX * SUMS_STRIDE);
    worker->points = arena_floats(arena, WINOGRAD_SCRATCH_FLOATS);
    if (f->recipe.model.shortcut == SHORTCUT_PROJECTION_BN)
        worker->projection_dy = arena_floats(arena, IMAGES_MAX * plain_floats(32, 16));
    worker->strided = arena_floats(arena, IMAGES_MAX * plain_floats(16, 16));
}

static enum shape shape_of(const struct conv_layer *layer)
{
    if (layer->channels == 3)
        return SHAPE_FIRST;
    if (layer->stride == 2)
        return layer->channels == 16 ? SHAPE_16_32 : SHAPE_32_64;
    return layer->channels == 16 ? SHAPE_16 : layer->channels == 32 ? SHAPE_32 : SHAPE_64;
}

static bool make_pieces(struct backend *f)
{
    const struct network *network = f->network;
    for (int pass = 0; pass < 2; pass++) {
        f->piece_count = 0;
        for (uint32_t i = 0; i < network->tensor_count; i++) {
            const struct tensor *tensor = &network->tensors[i];
            for (size_t begin = 0; begin < tensor->count; begin += PIECE_FLOATS) {
                size_t end = begin + PIECE_FLOATS < tensor->count ? begin + PIECE_FLOATS : tensor->count;
                if (pass == 1)
                    f->pieces[f->piece_count] = (struct piece){ i, tensor->offset + begin, tensor->offset + end };
                f->piece_count++;
            }
        }
        if (pass == 0 && (f->pieces = calloc(f->piece_count, sizeof *f->pieces)) == NULL)
            return false;
    }
    return true;
}

/* The arrays of structs, and what they hold but memory. */
static bool make_structs(struct backend *f)
{
    const struct network *network = f->network;
    f->convs = calloc(network->conv_count, sizeof *f->convs);
    f->a = calloc(network->block_count + 1, sizeof *f->a);
    f->workers = calloc(f->threads, sizeof *f->workers);
    if (f->convs == NULL || f->a == NULL || f->workers == NULL || !make_pieces(f))
        return false;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        struct conv *conv = &f->convs[l];
        conv->C = layer->channels;
        conv->K = layer->filters;
        conv->side = layer->side;
        conv->stride = layer->stride;
        conv->out_side = layer->side / layer->stride;
        conv->kernels = kernels_of(f->recipe.arithmetic, shape_of(layer));
        if (layer->projection_gamma >= 0) {
            conv->projection = &f->projections[conv->K == FEATURES ? 1 : 0];
            conv->projection->K = conv->K;
            conv->projection->out_side = conv->out_side;
        }
    }
    return true;
}

static void lay_out(struct backend *f, struct arena *arena)
{
    const struct network *network = f->network;
    size_t parts = 0, projection_parts = 0;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        struct conv *conv = &f->convs[l];
        lay_out_conv(f, conv, &network->convs[l], arena);
        const size_t weights = (size_t)unit_count(conv, f->batch) * conv->C * conv->K,
                     floats = weights * conv->kernels->points;
        parts = floats > parts ? floats : parts;
        if (conv->stride == 2 && network->convs[l + 1].projection >= 0 && weights > projection_parts)
            projection_parts = weights;
    }
    for (uint32_t b = 0; b <= network->block_count; b++)
        f->a[b] = arena_floats(arena, f->batch * stage_padded(stage_of_activation(f, b)));
    for (uint32_t i = 0; i < f->threads; i++)
        lay_out_worker(f, &f->workers[i], arena);
    f->values = arena_floats(arena, network->value_count);
    f->momentum = arena_floats(arena, network->value_count);
    f->gradients = arena_floats(arena, network->value_count);
    f->G0 = arena_floats(arena, f->batch * plain_floats(16, 32));
    f->G1 = arena_floats(arena, f->batch * plain_floats(16, 32));
    f->G2 = arena_floats(arena, f->batch * plain_floats(16, 32));
    f->sums = arena_floats(arena, (size_t)f->batch * SUMS_STRIDE);
    f->parts = arena_floats(arena, parts);
    f->projection_parts = arena_floats(arena, projection_parts);
    f->images = arena_take(arena, f->whole * sizeof *f->images);
    f->head.pool = arena_floats(arena, (size_t)f->whole * FEATURES);
    f->head.dpool = arena_floats(arena, (size_t)f->whole * FEATURES);
    f->head.product = arena_floats(arena, (size_t)f->whole * FEATURES);
    f->head.z = arena_floats(arena, (size_t)f->whole * CLASSES);
    f->head.dz = arena_floats(arena, (size_t)f->whole * CLASSES);
    f->head.column = arena_take(arena, f->whole * sizeof *f->head.column);
}

/* The number of a weight gradient among those that ranks share: of convolution l, and of the projection in the block
 * whose second convolution is l. */
static uint32_t gradient_of(uint32_t l)
{
    return l;
}

static uint32_t projection_gradient_of(const struct backend *f, uint32_t l)
{
    return f->network->conv_count + (f->convs[l].K == FEATURES ? 1 : 0);
}

static void declare_gradients(struct backend *f)
{
    const struct network *network = f->network;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv *conv = &f->convs[l];
        shares_declare(f->shares, conv->kernels->unit_images, 1, (size_t)conv->C * conv->K * conv->kernels->points);
    }
    for (uint32_t l = 1; l < network->conv_count; l++) {
        const struct conv *first = &f->convs[l - 1];
        if (network->convs[l].projection >= 0)
            shares_declare(f->shares, first->kernels->unit_images, 1, (size_t)first->C * first->K);
    }
}

static void fused_close(struct backend *f)
{
    if (f == NULL)
        return;
    team_close(f->team);
    backend_free(f->memory, f->memory_bytes);
    free(f->convs);
    free(f->a);
    free(f->workers);
    free(f->pieces);
    free(f);
}

/* A backend without memory or threads; NULL where there is not even memory for that. */
static struct backend *make(const struct recipe *recipe, const struct network *network, uint32_t threads,
                            bool inference, struct shares *shares)
{
    struct backend *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->recipe = *recipe;
    f->network = network;
    f->threads = threads;
    f->shares = shares;
    f->whole = inference ? 0 : recipe->training.batch_size;
    f->batch = shares != NULL ? shares_most(shares) : f->whole;
    if (make_structs(f))
        return f;
    fused_close(f);
    return NULL;
}

static enum status fused_open(struct backend **out, const struct recipe *recipe, const struct network *network,
                              uint32_t threads, bool inference, struct shares *shares, struct error *error)
{
    *out = NULL;
    enum status status = backend_check_arithmetic("the fused backend", error);
    if (status != STATUS_OK)
        return status;
    struct backend *f = make(recipe, network, threads, inference, shares);
    if (f == NULL)
        return error_out_of_memory(error, "the fused backend");
    if (shares != NULL)
        declare_gradients(f);
    struct arena arena = backend_arena();
    lay_out(f, &arena);
    status = backend_allocate(&arena, recipe, error);
    if (status == STATUS_OK) {
        f->memory = arena.memory;
        lay_out(f, &arena);
        f->memory_bytes = arena.bytes;
        status = team_open(&f->team, threads, error);
    }
    if (status == STATUS_OK)
        *out = f;
    else
        fused_close(f);
    return status;
}

static size_t fused_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t threads,
                                   bool inference)
{
    struct backend *f = make(recipe, network, threads, inference, NULL);
    struct arena arena = backend_arena();
    if (f != NULL)
        lay_out(f, &arena);
    fused_close(f);
    return arena.bytes;
}

static void pack_conv(struct backend *f, uint32_t l)
{
    const struct conv_layer *layer = &f->network->convs[l];
    struct conv *conv = &f->convs[l];
    const float *w = f->values + f->network->tensors[layer->weight].offset;
    conv->kernels->pack(w, conv->forward, conv->C, conv->K, conv->kernels->forward_vectors * LANES, false);
    if (l > 0)
        conv->kernels->pack(w, conv->data, conv->C, conv->K, conv->kernels->data_vectors * LANES, true);
    if (layer->projection < 0)
        return;
    const float *projection = f->values + f->network->tensors[layer->projection].offset;
    uint32_t K = conv->K, C = K / 2;
    for (uint32_t k = 0; k < K; k++) {
        for (uint32_t c = 0; c < C; c++) {
            conv->projection_forward[(size_t)(k / LANES * C + c) * LANES + k % LANES] = projection[k * C + c];
            conv->projection_data[(size_t)(c / LANES * K + k) * LANES + c % LANES] = projection[k * C + c];
        }
    }
}

/* ---- work for the team: one call handles one item of a pass ------------------------------------------------------ */

struct pass {
    struct backend *f;
    const struct backend_batch *batch;
    uint32_t l; /* convolution */
    struct gradient_route {
        const float *in;       /* gradient of the batch norm's output */
        const float *residual; /* of the block's output, for a first convolution */
        float *out;            /* of the layer below */
    } route;
    uint32_t units; /* whose partial sums a tree adds */
    float learning_rate;
    uint8_t *predictions;
    float *losses;
    void (*item)(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after);
};

static void pass_work(void *context, uint32_t thread)
{
    const struct pass *pass = context;
    uint32_t victim = thread, item, after;
    while (team_take(pass->f->team, thread, &victim, &item, &after))
        pass->item(pass, &pass->f->workers[thread], item, after);
}

/* Adds the time since `began` to a profile's entry; called only where there is a profile. */
static void profile_add(double *entry, double began)
{
    *entry += clock_seconds() - began;
}

static void run_pass(struct pass pass, uint32_t items, bool down)
{
    team_share(pass.f->team, items, down);
    team_run(pass.f->team, pass_work, &pass);
}

static void pack_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    (void)worker, (void)after;
    pack_conv(pass->f, item);
}

static void pack_all(struct backend *f)
{
    run_pass((struct pass){ .f = f, .item = pack_item }, f->network->conv_count, false);
}

static void fused_set_state(struct backend *f, const float *values, const float *momentum)
{
    memcpy(f->values, values, f->network->value_count * sizeof *values);
    memcpy(f->momentum, momentum, f->network->value_count * sizeof *momentum);
    pack_all(f);
}

static void fused_get_state(const struct backend *f, float *values, float *momentum)
{
    memcpy(values, f->values, f->network->value_count * sizeof *values);
    memcpy(momentum, f->momentum, f->network->value_count * sizeof *momentum);
}

#endif
