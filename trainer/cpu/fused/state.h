/* What the fused backend holds: its buffers, packed weights, and the way work reaches the team. Kept for the backward:
 * y of every convolution (plain images) and the output of every block (padded images, which the next convolution and
 * the weight gradient read as they are). */
#ifndef SELFSAME_STATE_H
#define SELFSAME_STATE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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
    uint32_t threads, batch;              /* batch: images of the largest step; 0 with inference */
    float *values, *momentum, *gradients; /* [value_count] */
    struct conv *convs, projections[STAGES - 1];
    float **a;               /* a[b]: block b's input, padded images; a[block_count]: the last block's output */
    float *G0, *G1, *G2;     /* gradients, plain images of the largest layer they meet */
    float *sums;             /* [batch][SUMS_STRIDE] */
    float *parts;            /* weight gradients of all units of a layer */
    float *projection_parts; /* likewise, of its 1x1 shortcut */
    uint32_t *images;
    struct head head;
    struct exact_norm logits_norm[CLASSES]; /* from the running statistics, during an evaluation */
    struct worker *workers;
    struct team *team;
    struct backend_profile *profile; /* NULL: nobody asks */
    struct piece *pieces;
    size_t piece_count;
    void **allocations;
    size_t allocation_count, allocation_capacity, allocated_bytes;
    bool measuring; /* nothing is allocated: only its bytes are counted */
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

/* Zeroed, 64-byte aligned memory that close frees; NULL without memory, which open notices once at its end. Large
 * pieces ask for huge pages. While measuring, memory that must not be touched. */
static float *allocate(struct backend *f, size_t floats)
{
    enum { HUGE_BYTES = 2 << 20 };
    size_t bytes = floats > 0 ? (floats * sizeof(float) + 63) / 64 * 64 : 64;
    static float untouched[5 * FEATURES]; /* as long as the piece of which allocate_conv makes several */
    if (f->measuring) {
        f->allocated_bytes += bytes;
        return untouched;
    }
    if (f->allocation_count == f->allocation_capacity)
        return NULL;
    void *memory;
    if (posix_memalign(&memory, bytes >= HUGE_BYTES ? HUGE_BYTES : 64, bytes) != 0)
        return NULL;
    if (bytes >= HUGE_BYTES)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* only speed depends on it */
    memset(memory, 0, bytes);
    f->allocations[f->allocation_count++] = memory;
    f->allocated_bytes += bytes;
    return memory;
}

/* The output and the norm's constants of a convolution. */
static bool allocate_norm(struct backend *f, struct conv *conv)
{
    float *constants = allocate(f, 5 * FEATURES);
    conv->y = allocate(f, f->batch * plain_floats(conv->K, conv->out_side));
    if (constants == NULL || conv->y == NULL)
        return false;
    conv->scale = constants;
    conv->shift = constants + FEATURES;
    conv->mean32 = constants + 2 * FEATURES;
    conv->slope = constants + 3 * FEATURES;
    conv->constant = constants + 4 * FEATURES;
    return true;
}

static bool allocate_conv(struct backend *f, struct conv *conv, const struct conv_layer *layer)
{
    size_t weights = (size_t)conv->K * conv->C * conv->kernels->points;
    conv->forward = allocate(f, weights);
    conv->data = allocate(f, weights);
    if (conv->forward == NULL || conv->data == NULL || !allocate_norm(f, conv))
        return false;
    if (layer->projection >= 0) {
        size_t count = (size_t)conv->K * conv->K / 2;
        conv->projection_forward = allocate(f, count);
        conv->projection_data = allocate(f, count);
        if (conv->projection_forward == NULL || conv->projection_data == NULL)
            return false;
    }
    if (layer->projection_gamma >= 0) {
        conv->projection = &f->projections[conv->K == FEATURES ? 1 : 0];
        conv->projection->K = conv->K;
        conv->projection->out_side = conv->out_side;
        return allocate_norm(f, conv->projection);
    }
    return true;
}

static uint32_t unit_count(const struct conv *conv, uint32_t images)
{
    return (images + conv->kernels->unit_images - 1) / conv->kernels->unit_images;
}

static bool allocate_worker(struct backend *f, struct worker *worker)
{
    bool good = (worker->input = allocate(f, 34 * 34 * 4)) != NULL;
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        size_t floats = IMAGES_MAX * stage_padded(stage);
        good = good && (worker->x[stage] = allocate(f, floats)) != NULL;
        good = good && (worker->dy[stage] = allocate(f, floats)) != NULL;
        for (int i = 0; i < 2; i++)
            good = good && (worker->eval_a[stage][i] = allocate(f, floats)) != NULL;
    }
    for (int i = 0; i < 2; i++)
        good = good && (worker->eval_y[i] = allocate(f, IMAGES_MAX * plain_floats(16, 32))) != NULL;
    good = good && (worker->eval_sums = allocate(f, IMAGES_MAX * SUMS_STRIDE)) != NULL;
    good = good && (worker->points = allocate(f, WINOGRAD_SCRATCH_FLOATS)) != NULL;
    if (f->recipe.model.shortcut == SHORTCUT_PROJECTION_BN)
        good = good && (worker->projection_dy = allocate(f, IMAGES_MAX * plain_floats(32, 16))) != NULL;
    return good && (worker->strided = allocate(f, IMAGES_MAX * plain_floats(16, 16))) != NULL;
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

static bool allocate_all(struct backend *f)
{
    const struct network *network = f->network;
    f->allocation_capacity = 16 + (size_t)network->conv_count * 6 + network->block_count + f->threads * 24;
    f->allocations = calloc(f->allocation_capacity, sizeof *f->allocations);
    f->convs = calloc(network->conv_count, sizeof *f->convs);
    f->a = calloc(network->block_count + 1, sizeof *f->a);
    f->workers = calloc(f->threads, sizeof *f->workers);
    f->images = calloc(f->batch + (size_t)1, sizeof *f->images); /* + 1: with no batch NULL would look like no memory */
    f->head.column = calloc(f->batch + (size_t)1, sizeof *f->head.column);
    if (f->allocations == NULL || f->convs == NULL || f->a == NULL || f->workers == NULL || f->images == NULL ||
        f->head.column == NULL || !make_pieces(f))
        return false;
    size_t parts = 0, projection_parts = 0;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        struct conv *conv = &f->convs[l];
        conv->C = layer->channels;
        conv->K = layer->filters;
        conv->side = layer->side;
        conv->stride = layer->stride;
        conv->out_side = layer->side / layer->stride;
        conv->kernels = kernels_of(f->recipe.arithmetic, shape_of(layer));
        if (!allocate_conv(f, conv, layer))
            return false;
        size_t weights = (size_t)unit_count(conv, f->batch) * conv->C * conv->K,
               floats = weights * conv->kernels->points;
        parts = floats > parts ? floats : parts;
        if (conv->stride == 2 && network->convs[l + 1].projection >= 0 && weights > projection_parts)
            projection_parts = weights;
    }
    for (uint32_t b = 0; b <= network->block_count; b++) {
        if ((f->a[b] = allocate(f, f->batch * stage_padded(stage_of_activation(f, b)))) == NULL)
            return false;
    }
    for (uint32_t i = 0; i < f->threads; i++) {
        if (!allocate_worker(f, &f->workers[i]))
            return false;
    }
    bool good = (f->values = allocate(f, network->value_count)) != NULL;
    good = good && (f->momentum = allocate(f, network->value_count)) != NULL;
    good = good && (f->gradients = allocate(f, network->value_count)) != NULL;
    good = good && (f->G0 = allocate(f, f->batch * plain_floats(16, 32))) != NULL;
    good = good && (f->G1 = allocate(f, f->batch * plain_floats(16, 32))) != NULL;
    good = good && (f->G2 = allocate(f, f->batch * plain_floats(16, 32))) != NULL;
    good = good && (f->sums = allocate(f, (size_t)f->batch * SUMS_STRIDE)) != NULL;
    good = good && (f->parts = allocate(f, parts)) != NULL;
    good = good && (f->projection_parts = allocate(f, projection_parts)) != NULL;
    good = good && (f->head.pool = allocate(f, (size_t)f->batch * FEATURES)) != NULL;
    good = good && (f->head.dpool = allocate(f, (size_t)f->batch * FEATURES)) != NULL;
    good = good && (f->head.product = allocate(f, (size_t)f->batch * FEATURES)) != NULL;
    good = good && (f->head.z = allocate(f, (size_t)f->batch * CLASSES)) != NULL;
    return good && (f->head.dz = allocate(f, (size_t)f->batch * CLASSES)) != NULL;
}

static void fused_close(struct backend *f)
{
    if (f == NULL)
        return;
    team_close(f->team);
    for (size_t i = 0; i < f->allocation_count; i++)
        free(f->allocations[i]);
    free(f->allocations);
    free(f->convs);
    free(f->a);
    free(f->workers);
    free(f->images);
    free(f->head.column);
    free(f->pieces);
    free(f);
}

static enum status fused_open(struct backend **out, const struct recipe *recipe, const struct network *network,
                              uint32_t threads, bool inference, struct error *error)
{
    *out = NULL;
    enum status status = backend_check_arithmetic("the fused backend", error);
    if (status != STATUS_OK)
        return status;
    struct backend *f = calloc(1, sizeof *f);
    if (f != NULL) {
        f->recipe = *recipe;
        f->network = network;
        f->threads = threads;
        f->batch = inference ? 0 : recipe->training.batch_size;
        if (allocate_all(f)) {
            status = team_open(&f->team, threads, error);
            if (status == STATUS_OK)
                *out = f;
            else
                fused_close(f);
            return status;
        }
    }
    size_t bytes = f == NULL ? 0 : f->allocated_bytes;
    fused_close(f);
    return error_out_of_memory(error, "depth %u at batch %u, after %zu MiB; a smaller batch_size needs less",
                               network->model.depth, recipe->training.batch_size, bytes >> 20);
}

static size_t fused_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t threads,
                                   bool inference)
{
    struct backend *f = calloc(1, sizeof *f);
    if (f == NULL)
        return 0;
    f->recipe = *recipe;
    f->network = network;
    f->threads = threads;
    f->batch = inference ? 0 : recipe->training.batch_size;
    f->measuring = true;
    const size_t bytes = allocate_all(f) ? f->allocated_bytes : 0;
    fused_close(f);
    return bytes;
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
