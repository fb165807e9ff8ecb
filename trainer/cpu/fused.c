/* The fused CPU backend, compiled once per instruction set (FUSED_VECTOR lanes): ARITHMETIC.md with tensors crossing memory as few times
 * as possible.
 *
 * A convolution's pass over an image makes its input row by row (the batch norm, ReLU and shortcut below it), convolves, and takes the sums for
 * its own batch norm as the outputs leave; the passes are separated only where the batch norm must see the whole batch. Kept for the
 * backward: y of every convolution (plain images) and the output of every block (padded images, which the next convolution and
 * the weight gradient read as they are). Passes hand out images, or groups of images, to a team of threads. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "trainer/cpu/backend.h"
#include "trainer/cpu/float_environment.h"
#include "trainer/cpu/fused_convolution.h"
#include "trainer/cpu/fused_head.h"
#include "trainer/cpu/fused_rows.h"
#include "trainer/cpu/team.h"
#include "trainer/exact.h"

/* ---- kernels by shape ------------------------------------------------------------------------------------------------------ */

#if FUSED_VECTOR == 16
#define TILE_NARROW 16, 1 /* pixels, vectors: 16 channels, rows of 32 pixels */
#define TILE_WIDE 8, 2    /* 32 and 64 channels */
enum { VECTORS_NARROW = 1, VECTORS_WIDE = 2, WEIGHT_CHANNELS = 8 };
#else
#define TILE_NARROW 8, 1
#define TILE_WIDE 8, 1
enum { VECTORS_NARROW = 1, VECTORS_WIDE = 1, WEIGHT_CHANNELS = 4 };
#endif

/* The six 3x3 convolutions that a network is made of. */
enum shape { SHAPE_FIRST, SHAPE_16, SHAPE_16_32, SHAPE_32, SHAPE_32_64, SHAPE_64, SHAPE_COUNT };

#define KERNEL static __attribute__((noinline)) void

#define FORWARD(NAME, ...)                                                                                                                 \
    KERNEL forward_##NAME(const float *x, const float *w, float *y, float *sums, const struct row_source *source,                         \
                          struct prefetch_list *soon)                                                                                      \
    {                                                                                                                                      \
        conv_forward(x, w, y, sums, source, soon, __VA_ARGS__);                                                                            \
    }
FORWARD(first, 3, 16, 32, 1, TILE_NARROW)
FORWARD(16, 16, 16, 32, 1, TILE_NARROW)
FORWARD(16_32, 16, 32, 32, 2, TILE_WIDE)
FORWARD(32, 32, 32, 16, 1, TILE_WIDE)
FORWARD(32_64, 32, 64, 16, 2, TILE_WIDE)
FORWARD(64, 64, 64, 8, 1, TILE_WIDE)

#define BACKWARD(NAME, RESIDUAL, ...)                                                                                                      \
    KERNEL backward_##NAME(const float *dy, const float *w, const struct gradient_sink *sink, struct prefetch_list *soon)                 \
    {                                                                                                                                      \
        conv_backward_data(dy, w, sink, soon, __VA_ARGS__, RESIDUAL);                                                                      \
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

#define WEIGHT(NAME, ...)                                                                                                                  \
    KERNEL weight_##NAME(const struct group_images *group, float *gradient)                                                               \
    {                                                                                                                                      \
        conv_backward_weight(group, gradient, __VA_ARGS__, WEIGHT_CHANNELS);                                                               \
    }
WEIGHT(first, 3, 16, 32, 1)
WEIGHT(16, 16, 16, 32, 1)
WEIGHT(16_32, 16, 32, 32, 2)
WEIGHT(32, 32, 32, 16, 1)
WEIGHT(32_64, 32, 64, 16, 2)
WEIGHT(64, 64, 64, 8, 1)

static const struct kernels {
    void (*forward)(const float *x, const float *w, float *y, float *sums, const struct row_source *source, struct prefetch_list *soon);
    /* of a block's second convolution, and of its first */
    void (*backward)(const float *dy, const float *w, const struct gradient_sink *sink, struct prefetch_list *soon);
    void (*backward_residual)(const float *dy, const float *w, const struct gradient_sink *sink, struct prefetch_list *soon);
    void (*weight)(const struct group_images *group, float *gradient);
    uint32_t forward_vectors, backward_vectors; /* vectors of output channels per tile: the packing of the weights */
} kernels[SHAPE_COUNT] = {
    [SHAPE_FIRST] = { forward_first, NULL, NULL, weight_first, VECTORS_NARROW, 0 },
    [SHAPE_16] = { forward_16, backward_16, backward_16_residual, weight_16, VECTORS_NARROW, VECTORS_NARROW },
    [SHAPE_16_32] = { forward_16_32, NULL, backward_16_32, weight_16_32, VECTORS_WIDE, VECTORS_NARROW },
    [SHAPE_32] = { forward_32, backward_32, backward_32_residual, weight_32, VECTORS_WIDE, VECTORS_WIDE },
    [SHAPE_32_64] = { forward_32_64, NULL, backward_32_64, weight_32_64, VECTORS_WIDE, VECTORS_WIDE },
    [SHAPE_64] = { forward_64, backward_64, backward_64_residual, weight_64, VECTORS_WIDE, VECTORS_WIDE },
};

/* ---- the state ----------------------------------------------------------------------------------------------------------------- */

enum { STAGES = 3, SUMS_STRIDE = 2 * FEATURES, GROUP_IMAGES_MAX = 4, PIECE_FLOATS = 4096, REDUCE_FLOATS = 64 };

struct conv {
    uint32_t C, K, side, stride, out_side, group; /* group: images per chain of the weight gradient */
    enum shape shape;
    float *y;                                     /* [batch] plain images */
    float *forward, *backward;                    /* packed weights */
    float *projection_forward, *projection_backward;
    float *scale, *shift, *mean32, *B, *C_constant; /* [64] each */
    struct exact_norm norm[FEATURES];
};

/* What one thread works in. */
struct worker {
    float *input;                                    /* [34][34][4], GROUP 1 */
    float *x[STAGES], *dy[STAGES];                   /* padded images of a group */
    float *strided, *rows;                           /* scratch of a stride-2 backward */
    float *eval_y[2], *eval_a[STAGES][2], *eval_sums; /* inference: one image */
    uint64_t digest[2];                               /* of the pieces it updated */
    size_t culprit;                                   /* the first piece of them that is not finite, or piece_count */
};

/* A run of elements of one tensor, the unit of the update. */
struct piece {
    uint32_t tensor;
    size_t begin, end; /* in the state's arrays */
};

struct backend {
    struct recipe recipe;
    const struct network *network;
    uint32_t threads, batch;
    float *values, *momentum, *gradients; /* [value_count] */
    struct conv *convs;
    float **a;                            /* a[b]: block b's input, padded images; a[block_count]: the last block's output */
    float *G0, *G1, *G2;                  /* gradients, plain images of the largest layer they meet */
    float *sums;                          /* [batch][SUMS_STRIDE] */
    float *parts;                         /* weight gradients of all groups of a layer */
    float *projection_parts;
    uint32_t *images;
    struct head head;
    struct exact_norm logits_norm[CLASSES]; /* from the running statistics, during an evaluation */
    struct worker *workers;
    struct team *team;
    struct piece *pieces;
    size_t piece_count;
    void **allocations;
    size_t allocation_count, allocation_capacity, allocated_bytes;
};

static uint32_t stage_of_side(uint32_t side)
{
    return side == 32 ? 0 : side == 16 ? 1 : 2;
}

static size_t plain_floats(uint32_t channels, uint32_t side)
{
    return (size_t)channels * side * side;
}

static size_t padded_floats(uint32_t channels, uint32_t side)
{
    return (size_t)channels * (side + 2) * (side + 2);
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

/* Zeroed, 64-byte aligned memory that close frees; NULL without memory, which open notices once at its end. Large pieces ask for huge pages. */
static float *allocate(struct backend *f, size_t floats)
{
    enum { HUGE_BYTES = 2 << 20 };
    size_t bytes = (floats * sizeof(float) + 63) / 64 * 64;
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

static bool allocate_conv(struct backend *f, struct conv *conv, bool projection)
{
    size_t weights = (size_t)conv->K * conv->C * 9;
    float *constants = allocate(f, 5 * FEATURES);
    conv->y = allocate(f, f->batch * plain_floats(conv->K, conv->out_side));
    conv->forward = allocate(f, weights);
    conv->backward = allocate(f, weights);
    if (constants == NULL || conv->y == NULL || conv->forward == NULL || conv->backward == NULL)
        return false;
    conv->scale = constants;
    conv->shift = constants + FEATURES;
    conv->mean32 = constants + 2 * FEATURES;
    conv->B = constants + 3 * FEATURES;
    conv->C_constant = constants + 4 * FEATURES;
    if (projection) {
        size_t count = (size_t)conv->K * conv->K / 2;
        conv->projection_forward = allocate(f, count);
        conv->projection_backward = allocate(f, count);
        return conv->projection_forward != NULL && conv->projection_backward != NULL;
    }
    return true;
}

static bool allocate_worker(struct backend *f, struct worker *worker)
{
    bool good = (worker->input = allocate(f, 34 * 34 * 4)) != NULL;
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        size_t group_floats = exact_group_images(32u >> stage) * stage_padded(stage);
        good = good && (worker->x[stage] = allocate(f, group_floats)) != NULL;
        good = good && (worker->dy[stage] = allocate(f, group_floats)) != NULL;
        for (int i = 0; i < 2; i++)
            good = good && (worker->eval_a[stage][i] = allocate(f, stage_padded(stage))) != NULL;
    }
    for (int i = 0; i < 2; i++)
        good = good && (worker->eval_y[i] = allocate(f, plain_floats(16, 32))) != NULL;
    good = good && (worker->eval_sums = allocate(f, SUMS_STRIDE)) != NULL;
    good = good && (worker->strided = allocate(f, plain_floats(16, 16))) != NULL;
    return good && (worker->rows = allocate(f, 2 * 32 * 16)) != NULL;
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
    f->images = calloc(f->batch, sizeof *f->images);
    f->head.column = calloc(f->batch, sizeof *f->head.column);
    if (f->allocations == NULL || f->convs == NULL || f->a == NULL || f->workers == NULL || f->images == NULL ||
        f->head.column == NULL || !make_pieces(f))
        return false;
    size_t parts = 0;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        struct conv *conv = &f->convs[l];
        conv->C = layer->channels;
        conv->K = layer->filters;
        conv->side = layer->side;
        conv->stride = layer->stride;
        conv->out_side = layer->side / layer->stride;
        conv->group = exact_group_images(conv->out_side);
        conv->shape = shape_of(layer);
        if (!allocate_conv(f, conv, layer->projection >= 0))
            return false;
        size_t groups = (f->batch + conv->group - 1) / conv->group;
        if (groups * conv->C * conv->K * 9 > parts)
            parts = groups * conv->C * conv->K * 9;
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
    good = good && (f->projection_parts = allocate(f, (size_t)f->batch * 64 * 32)) != NULL;
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

static enum status fused_open(struct backend **out, const struct recipe *recipe, const struct network *network, uint32_t threads,
                              struct error *error)
{
    *out = NULL;
    struct backend *f = calloc(1, sizeof *f);
    if (f != NULL) {
        f->recipe = *recipe;
        f->network = network;
        f->threads = threads;
        f->batch = recipe->training.batch_size;
        if (allocate_all(f)) {
            enum status status = team_open(&f->team, threads, error);
            if (status == STATUS_OK)
                *out = f;
            else
                fused_close(f);
            return status;
        }
    }
    size_t bytes = f == NULL ? 0 : f->allocated_bytes;
    fused_close(f);
    return error_set(error, STATUS_ENVIRONMENT, "out of memory after %zu MiB for depth %u at batch %u; a smaller batch_size needs less",
                     bytes >> 20, network->model.depth, recipe->training.batch_size);
}

/* ---- packing ------------------------------------------------------------------------------------------------------------------- */

/* [groups of G][C/16][r][c of 16][s][G] from w[k][c][r][s]; with flip the roles of k and c change and the taps are mirrored. */
static void pack(const float *w, float *packed, uint32_t C, uint32_t K, uint32_t G, bool flip)
{
    uint32_t outputs = flip ? C : K, inputs = flip ? K : C, inner = inputs < BLOCK ? inputs : BLOCK;
    for (uint32_t first = 0; first < outputs; first += G)
        for (uint32_t base = 0; base < inputs; base += inner)
            for (uint32_t r = 0; r < 3; r++)
                for (uint32_t i = base; i < base + inner; i++)
                    for (uint32_t s = 0; s < 3; s++)
                        for (uint32_t o = first; o < first + G; o++)
                            *packed++ = flip ? w[((size_t)(i * C + o) * 3 + 2 - r) * 3 + 2 - s] : w[((size_t)(o * C + i) * 3 + r) * 3 + s];
}

static void pack_conv(struct backend *f, uint32_t l)
{
    const struct conv_layer *layer = &f->network->convs[l];
    struct conv *conv = &f->convs[l];
    const float *w = f->values + f->network->tensors[layer->weight].offset;
    pack(w, conv->forward, conv->C, conv->K, kernels[conv->shape].forward_vectors * LANES, false);
    if (l > 0)
        pack(w, conv->backward, conv->C, conv->K, kernels[conv->shape].backward_vectors * LANES, true);
    if (layer->projection < 0)
        return;
    const float *projection = f->values + f->network->tensors[layer->projection].offset;
    uint32_t K = conv->K, C = K / 2;
    for (uint32_t k = 0; k < K; k++) {
        for (uint32_t c = 0; c < C; c++) {
            conv->projection_forward[(size_t)(k / LANES * C + c) * LANES + k % LANES] = projection[k * C + c];
            conv->projection_backward[(size_t)(c / LANES * K + k) * LANES + c % LANES] = projection[k * C + c];
        }
    }
}

/* ---- work for the team: one call handles one item of a pass -------------------------------------------------------------------- */

struct pass {
    struct backend *f;
    const struct backend_batch *batch;
    uint32_t l;                        /* convolution */
    struct gradient_route {
        const float *in;               /* gradient of the batch norm's output */
        const float *residual;         /* of the block's output, for a first convolution */
        float *out;                    /* of the layer below */
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

/* ---- forward ----------------------------------------------------------------------------------------------------------------- */

static float *y_of(const struct backend *f, const struct worker *eval, uint32_t l, uint32_t n)
{
    const struct conv *conv = &f->convs[l];
    return eval != NULL ? eval->eval_y[l % 2] : conv->y + n * plain_floats(conv->K, conv->out_side);
}

static float *a_of(const struct backend *f, const struct worker *eval, uint32_t b, uint32_t n)
{
    uint32_t stage = stage_of_activation(f, b);
    return eval != NULL ? eval->eval_a[stage][b % 2] : f->a[b] + n * stage_padded(stage);
}

/* How activation a[b] is made: the first layer's norm and ReLU, or block b-1's join. */
static struct row_source join_source(const struct backend *f, const struct worker *eval, uint32_t b, uint32_t n)
{
    const uint32_t l = 2 * b;
    const struct conv *conv = &f->convs[l];
    struct row_source source = { .load = row_norm, .side = conv->out_side, .channels = conv->K, .y = y_of(f, eval, l, n),
                                 .scale = conv->scale, .shift = conv->shift, .out = a_of(f, eval, b, n) };
    if (b == 0)
        return source;
    source.shortcut = a_of(f, eval, b - 1, n);
    if (f->convs[l - 1].stride == 1) {
        source.load = row_join_identity;
    } else if (f->recipe.model.shortcut == SHORTCUT_PROJECTION) {
        source.load = row_join_projection;
        source.projection = conv->projection_forward;
    } else {
        source.load = row_join_option_a;
        source.option_a_first = f->recipe.model.shortcut == SHORTCUT_PAD_BOTH ? conv->K / 4 : 0;
    }
    return source;
}

static struct row_source norm_source(const struct backend *f, const struct worker *eval, uint32_t l, uint32_t n, float *out)
{
    const struct conv *conv = &f->convs[l];
    return (struct row_source){ .load = row_norm, .side = conv->out_side, .channels = conv->K, .y = y_of(f, eval, l, n),
                                .scale = conv->scale, .shift = conv->shift, .out = out };
}

static void load_input(struct worker *worker, const struct backend_batch *batch, uint32_t n)
{
    enum { ROW = 34 * 4, PIXEL = 4, CHANNEL = 1 };
    float *inner = worker->input + ROW + PIXEL;
    if (batch->samples != NULL)
        input_load(batch->input, batch->data->images + (size_t)batch->samples[n].image * DATASET_IMAGE_BYTES, &batch->samples[n], inner,
                   CHANNEL, ROW, PIXEL);
    else
        input_load_plain(batch->input, batch->data->images + (size_t)(batch->first + n) * DATASET_IMAGE_BYTES, inner, CHANNEL, ROW, PIXEL);
}

/* What forward_image(l, n) reads and writes. */
static void forward_soon(const struct backend *f, uint32_t l, uint32_t n, struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    if (l > 0)
        prefetch_add(soon, y_of(f, NULL, l - 1, n), plain_floats(conv->C, conv->side));
    if (l % 2 == 1) {
        uint32_t b = (l - 1) / 2;
        if (b > 0)
            prefetch_add(soon, a_of(f, NULL, b - 1, n), stage_padded(stage_of_activation(f, b - 1)));
        prefetch_add(soon, a_of(f, NULL, b, n), stage_padded(stage_of_activation(f, b)));
    }
    prefetch_add(soon, y_of(f, NULL, l, n), plain_floats(conv->K, conv->out_side));
}

/* Convolution l of image n of the batch; with `eval` in one image's buffers. */
static void forward_image(const struct backend *f, struct worker *worker, const struct backend_batch *batch, uint32_t l, uint32_t n,
                          struct worker *eval, struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    struct row_source source = { .load = NULL };
    const float *x;
    if (l == 0) {
        load_input(worker, batch, n);
        x = worker->input;
    } else if (l % 2 == 1) {
        source = join_source(f, eval, (l - 1) / 2, n);
        x = source.out;
    } else {
        source = norm_source(f, eval, l - 1, n, worker->x[stage_of_side(conv->side)]);
        x = source.out;
    }
    kernels[conv->shape].forward(x, conv->forward, y_of(f, eval, l, n), eval != NULL ? eval->eval_sums : f->sums + (size_t)n * SUMS_STRIDE,
                                 &source, soon);
}

/* Makes the last block's output of image n and pools it. */
static void pool_image(const struct backend *f, struct worker *eval, uint32_t n, float *pool)
{
    struct row_source source = join_source(f, eval, f->network->block_count, n);
    float pixels[64][BLOCK] __attribute__((aligned(64)));
    for (uint32_t h = 0; h < 8; h++)
        source_row(&source, h);
    for (uint32_t block = 0; block < FEATURES / BLOCK; block++) {
        for (uint32_t lane = 0; lane < BLOCK; lane += LANES) {
            for (uint32_t h = 0; h < 8; h++) {
                for (uint32_t w = 0; w < 8; w++)
                    vec_store(pixels[h * 8 + w] + lane, vec_load(source.out + padded_at(block, h, 8) + w * BLOCK + lane));
            }
        }
        tree_rows(&pixels[0][0], 64, BLOCK);
        for (uint32_t i = 0; i < BLOCK; i++)
            pool[block * BLOCK + i] = pixels[0][i] * 0x1p-6f;
    }
}

/* Says what went wrong, "<before><name><after>"; later calls of the same step keep the first. */
static void blame(struct backend_outcome *outcome, const char *before, const char *name, const char *after)
{
    if (outcome->non_finite[0] == '\0')
        snprintf(outcome->non_finite, sizeof outcome->non_finite, "%s%s%s", before, name, after);
}

static void set_norm(struct conv *conv, uint32_t k, const struct exact_norm *norm)
{
    conv->norm[k] = *norm;
    conv->scale[k] = norm->scale;
    conv->shift[k] = norm->shift;
    conv->mean32[k] = norm->mean32;
}

/* The batch norm of convolution l from the images' sums; running statistics follow. */
static void finish_forward(struct backend *f, uint32_t l, uint32_t N, struct backend_outcome *outcome)
{
    const struct model_config *model = &f->recipe.model;
    const struct conv_layer *layer = &f->network->convs[l];
    const struct tensor *tensors = f->network->tensors;
    struct conv *conv = &f->convs[l];
    double sums[SUMS_STRIDE], M = (double)N * conv->out_side * conv->out_side;
    tree_over_images(f->sums, N, SUMS_STRIDE, 2 * conv->K, sums);
    float *running_mean = f->values + tensors[layer->running_mean].offset;
    float *running_variance = f->values + tensors[layer->running_variance].offset;
    for (uint32_t k = 0; k < conv->K; k++) {
        struct exact_norm norm = exact_norm_from_sums(sums[k], sums[conv->K + k], M, model->batch_norm_epsilon,
                                                      f->values[tensors[layer->gamma].offset + k], f->values[tensors[layer->beta].offset + k]);
        if (!exact_norm_finite(&norm))
            blame(outcome, "the output of ", tensors[layer->weight].name, ", or its batch norm");
        set_norm(conv, k, &norm);
        double variance = model->batch_norm_unbiased ? exact_unbiased(norm.variance, M) : norm.variance;
        running_mean[k] = exact_running(running_mean[k], norm.mean, model->batch_norm_rate);
        running_variance[k] = exact_running(running_variance[k], variance, model->batch_norm_rate);
    }
}

static void forward_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    struct prefetch_list soon = { .count = 0 };
    if (after != item)
        forward_soon(pass->f, pass->l, after, &soon);
    forward_image(pass->f, worker, pass->batch, pass->l, item, NULL, &soon);
}

/* Directions alternate, so that what a pass leaves in the caches is what the next one begins with. */
static void forward_pass(struct backend *f, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    for (uint32_t l = 0; l < f->network->conv_count; l++) {
        run_pass((struct pass){ .f = f, .batch = batch, .l = l, .item = forward_item }, batch->count, l % 2 == 1);
        finish_forward(f, l, batch->count, outcome);
    }
}

/* ---- head ---------------------------------------------------------------------------------------------------------------------- */

static float *tensor_at(float *array, const struct network *network, int32_t tensor)
{
    return tensor < 0 ? NULL : array + network->tensors[tensor].offset;
}

static struct head_state head_state(struct backend *f)
{
    const struct network *network = f->network;
    const struct model_config *model = &f->recipe.model;
    return (struct head_state){
        .weight = tensor_at(f->values, network, (int32_t)network->linear_weight),
        .bias = tensor_at(f->values, network, network->linear_bias),
        .gamma = tensor_at(f->values, network, network->logits_gamma),
        .beta = tensor_at(f->values, network, network->logits_beta),
        .running_mean = tensor_at(f->values, network, network->logits_mean),
        .running_variance = tensor_at(f->values, network, network->logits_variance),
        .dweight = tensor_at(f->gradients, network, (int32_t)network->linear_weight),
        .dbias = tensor_at(f->gradients, network, network->linear_bias),
        .dgamma = tensor_at(f->gradients, network, network->logits_gamma),
        .dbeta = tensor_at(f->gradients, network, network->logits_beta),
        .epsilon = model->batch_norm_epsilon,
        .rate = model->batch_norm_rate,
        .unbiased = model->batch_norm_unbiased,
    };
}

/* The last block's gradient of image n: the pooled one, masked, and its sums. */
static void unpool_image(const struct backend *f, uint32_t n)
{
    const struct conv *conv = &f->convs[f->network->conv_count - 1];
    const float *a = a_of(f, NULL, f->network->block_count, n), *y = y_of(f, NULL, f->network->conv_count - 1, n);
    const float *d = f->head.dpool + (size_t)n * FEATURES;
    float *g = f->G0 + n * plain_floats(FEATURES, 8);
    float sums[8][SUMS_STRIDE] __attribute__((aligned(64)));
    for (uint32_t c = 0; c < FEATURES; c += LANES) {
        vec gradient = vec_load(d + c), mean = vec_load(conv->mean32 + c);
        for (uint32_t h = 0; h < 8; h++) {
            vec first[8], second[8];
            UNROLL for (uint32_t w = 0; w < 8; w++) {
                size_t at = plain_at(c / BLOCK, h, 8) + w * BLOCK + c % BLOCK;
                vec mask = vec_load(a + padded_at(c / BLOCK, h, 8) + w * BLOCK + c % BLOCK);
                first[w] = vec_where_positive(mask, gradient);
                second[w] = vec_mul(first[w], vec_sub(vec_load(y + at), mean));
                vec_store(g + at, first[w]);
            }
            vec_store(sums[h] + c, vec_tree(first, 8, 1));
            vec_store(sums[h] + FEATURES + c, vec_tree(second, 8, 1));
        }
    }
    tree_rows(&sums[0][0], 8, SUMS_STRIDE);
    copy_sums(f->sums + (size_t)n * SUMS_STRIDE, sums[0], SUMS_STRIDE);
}

static void logits_item(const struct pass *pass, struct worker *worker, uint32_t n, uint32_t after)
{
    struct backend *f = pass->f;
    struct head_state state = head_state(f);
    (void)worker, (void)after;
    pool_image(f, NULL, n, f->head.pool + (size_t)n * FEATURES);
    head_logits(f->head.pool + (size_t)n * FEATURES, state.weight, state.bias, f->head.z + (size_t)n * CLASSES);
}

static void unpool_item(const struct pass *pass, struct worker *worker, uint32_t n, uint32_t after)
{
    (void)worker, (void)after;
    unpool_image(pass->f, n);
}

static void head_pass(struct backend *f, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    struct head_state state = head_state(f);
    uint32_t N = batch->count;
    run_pass((struct pass){ .f = f, .item = logits_item }, N, false);
    for (uint32_t n = 0; n < N; n++)
        f->images[n] = batch->samples != NULL ? batch->samples[n].image : batch->first + n;
    bool norm_finite;
    outcome->loss = head_train(&f->head, &state, batch->data->labels, f->images, N, &outcome->errors, &norm_finite);
    if (!norm_finite)
        blame(outcome, "the batch norm over ", "the logits", "");
    if (!exact_finite((double)outcome->loss))
        blame(outcome, "", "the loss", "");
    run_pass((struct pass){ .f = f, .item = unpool_item }, N, true);
}

/* ---- backward ------------------------------------------------------------------------------------------------------------------ */

static void finish_backward(struct backend *f, uint32_t l, uint32_t N, struct backend_outcome *outcome)
{
    const struct conv_layer *layer = &f->network->convs[l];
    const struct tensor *tensors = f->network->tensors;
    struct conv *conv = &f->convs[l];
    double sums[SUMS_STRIDE], M = (double)N * conv->out_side * conv->out_side;
    tree_over_images(f->sums, N, SUMS_STRIDE, 2 * conv->K, sums);
    for (uint32_t k = 0; k < conv->K; k++) {
        struct exact_norm_gradient gradient = exact_norm_backward(&conv->norm[k], sums[k], sums[conv->K + k], M);
        if (!exact_finite(sums[k]) || !exact_finite(sums[conv->K + k]))
            blame(outcome, "the gradient of the output of ", tensors[layer->weight].name, "");
        f->gradients[tensors[layer->gamma].offset + k] = gradient.dgamma;
        f->gradients[tensors[layer->beta].offset + k] = gradient.dbeta;
        conv->B[k] = gradient.B;
        conv->C_constant[k] = gradient.C;
    }
}

/* The projection's share of one group: its weight gradient's chains into part [c][K] and, per image, the data gradient. */
static void projection_weight(const float *const *x, const float *const *g, uint32_t images, uint32_t C, uint32_t P, float *part)
{
    const uint32_t K = 2 * C;
    for (uint32_t k = 0; k < K; k += LANES) {
        for (uint32_t c = 0; c < C; c += 8) {
            vec acc[8];
            UNROLL for (int i = 0; i < 8; i++)
                acc[i] = vec_zero();
            for (uint32_t n = 0; n < images; n++) {
                for (uint32_t p = 0; p < P; p++) {
                    const float *gradient = g[n] + plain_at(k / BLOCK, p, P) + k % BLOCK;
                    const float *pixel = x[n] + padded_at(c / BLOCK, 2 * p, 2 * P) + c % BLOCK;
                    for (uint32_t q = 0; q < P; q++) {
                        vec d = vec_load(gradient + q * BLOCK);
                        UNROLL for (int i = 0; i < 8; i++)
                            acc[i] = vec_fma(d, vec_set(pixel[2 * q * BLOCK + i]), acc[i]);
                    }
                }
            }
            UNROLL for (int i = 0; i < 8; i++)
                vec_store(part + (size_t)(c + i) * K + k, acc[i]);
        }
    }
}

static void projection_data(const float *g, const float *packed, uint32_t C, uint32_t P, float *strided)
{
    const uint32_t K = 2 * C;
    for (uint32_t c = 0; c < C; c += LANES, packed += (size_t)K * LANES) {
        for (uint32_t p = 0; p < P; p++) {
            for (uint32_t q = 0; q < P; q += 8) {
                vec acc[8];
                UNROLL for (int i = 0; i < 8; i++)
                    acc[i] = vec_zero();
                for (uint32_t k = 0; k < K; k++) {
                    const float *gradient = g + plain_at(k / BLOCK, p, P) + q * BLOCK + k % BLOCK;
                    vec w = vec_load(packed + (size_t)k * LANES);
                    UNROLL for (int i = 0; i < 8; i++)
                        acc[i] = vec_fma(vec_set(gradient[i * BLOCK]), w, acc[i]);
                }
                UNROLL for (int i = 0; i < 8; i++)
                    vec_store(strided + plain_at(c / BLOCK, p, P) + (q + i) * BLOCK + c % BLOCK, acc[i]);
            }
        }
    }
}

/* Option A: the gradients of the channels that were copied. */
static void option_a_data(const float *g, uint32_t first, uint32_t C, uint32_t P, float *strided)
{
    for (uint32_t c = 0; c < C; c++) {
        uint32_t k = c + first;
        for (uint32_t p = 0; p < P; p++) {
            for (uint32_t q = 0; q < P; q++)
                strided[plain_at(c / BLOCK, p, P) + q * BLOCK + c % BLOCK] = g[plain_at(k / BLOCK, p, P) + q * BLOCK + k % BLOCK];
        }
    }
}

/* What backward_group(l, group) reads and writes. */
static void backward_soon(const struct backend *f, uint32_t l, uint32_t begin, uint32_t count, const struct gradient_route *route,
                          struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    const size_t plain_in = plain_floats(conv->C, conv->side), plain_out = plain_floats(conv->K, conv->out_side);
    prefetch_add(soon, y_of(f, NULL, l, begin), count * plain_out);
    prefetch_add(soon, route->in + begin * plain_out, count * plain_out);
    if (l == 0)
        return;
    prefetch_add(soon, y_of(f, NULL, l - 1, begin), count * plain_in);
    if (l % 2 == 1)
        prefetch_add(soon, a_of(f, NULL, (l - 1) / 2, begin), count * stage_padded(stage_of_side(conv->side)));
    prefetch_add(soon, route->out + begin * plain_in, count * plain_in); /* at stride 1 the residual, too */
}

static void backward_group(struct backend *f, struct worker *worker, const struct backend_batch *batch, uint32_t l, uint32_t group,
                           const struct gradient_route *route, struct prefetch_list *soon)
{
    const struct conv *conv = &f->convs[l];
    const uint32_t begin = group * conv->group, count = batch->count - begin < conv->group ? batch->count - begin : conv->group;
    const uint32_t stage = stage_of_side(conv->side), out_stage = stage_of_side(conv->out_side), b = (l - 1) / 2;
    const size_t plain_in = plain_floats(conv->C, conv->side), plain_out = plain_floats(conv->K, conv->out_side);
    struct row_source x_sources[GROUP_IMAGES_MAX], dy_sources[GROUP_IMAGES_MAX];
    struct group_images images = { .count = count, .x_source = x_sources, .dy_source = dy_sources, .dy = worker->dy[out_stage],
                                   .dy_stride = stage_padded(out_stage), .x_stride = stage_padded(stage), .soon = soon };
    if (l == 0)
        images.x = worker->input;
    else
        images.x = l % 2 == 1 ? a_of(f, NULL, b, begin) : worker->x[stage];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = begin + i;
        dy_sources[i] = (struct row_source){ .load = row_gradient, .side = conv->out_side, .channels = conv->K, .y = y_of(f, NULL, l, n),
                                             .g = route->in + n * plain_out, .scale = conv->scale, .B = conv->B, .C = conv->C_constant,
                                             .out = worker->dy[out_stage] + i * stage_padded(out_stage) };
        if (l == 0)
            load_input(worker, batch, n);
        if (l > 0 && l % 2 == 0)
            x_sources[i] = norm_source(f, NULL, l - 1, n, worker->x[stage] + i * stage_padded(stage));
        else
            x_sources[i] = (struct row_source){ .load = NULL };
    }
    kernels[conv->shape].weight(&images, f->parts + (size_t)group * conv->C * conv->K * 9);
    if (l == 0)
        return;
    const struct conv *below = &f->convs[l - 1];
    struct gradient_sink sink = { .scale = below->scale, .shift = below->shift, .mean = below->mean32, .rows = worker->rows,
                                  .strided = worker->strided };
    const float *shortcut_x[GROUP_IMAGES_MAX], *shortcut_g[GROUP_IMAGES_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = begin + i;
        const float *dy = images.dy + i * images.dy_stride;
        sink.y = y_of(f, NULL, l - 1, n);
        sink.out = route->out + n * plain_in;
        sink.sums = f->sums + (size_t)n * SUMS_STRIDE;
        if (l % 2 == 0) {
            kernels[conv->shape].backward(dy, conv->backward, &sink, soon);
            continue;
        }
        sink.activation = a_of(f, NULL, b, n);
        if (conv->stride == 1) {
            sink.residual = route->residual + n * plain_in;
        } else {
            shortcut_x[i] = sink.activation;
            shortcut_g[i] = route->residual + n * plain_out;
            if (f->recipe.model.shortcut == SHORTCUT_PROJECTION)
                projection_data(shortcut_g[i], f->convs[l + 1].projection_backward, conv->C, conv->out_side, worker->strided);
            else
                option_a_data(shortcut_g[i], f->recipe.model.shortcut == SHORTCUT_PAD_BOTH ? conv->K / 4 : 0, conv->C, conv->out_side,
                              worker->strided);
        }
        kernels[conv->shape].backward_residual(dy, conv->backward, &sink, soon);
    }
    if (conv->stride == 2 && f->recipe.model.shortcut == SHORTCUT_PROJECTION)
        projection_weight(shortcut_x, shortcut_g, count, conv->C, conv->out_side, f->projection_parts + (size_t)group * conv->C * conv->K);
}

/* T32 over the groups of `width` floats at part + group * stride; the root lands in out. */
static void tree_over_groups(const float *part, uint32_t groups, size_t stride, uint32_t width, float *out)
{
    float level[32][REDUCE_FLOATS] __attribute__((aligned(64)));
    uint32_t leaves = 1, depth = 0;
    while (leaves < groups) {
        leaves *= 2;
        depth++;
    }
    for (uint32_t n = 0; n < leaves; n++) {
        vec sum[REDUCE_FLOATS / LANES];
        for (uint32_t i = 0; i < width; i += LANES)
            sum[i / LANES] = n < groups ? vec_load(part + n * stride + i) : vec_zero();
        uint32_t at = 0;
        for (; n >> at & 1; at++) {
            for (uint32_t i = 0; i < width; i += LANES)
                sum[i / LANES] = vec_add(vec_load(level[at] + i), sum[i / LANES]);
        }
        for (uint32_t i = 0; i < width; i += LANES)
            vec_store(level[at] + i, sum[i / LANES]);
    }
    memcpy(out, level[depth], width * sizeof *out);
}

static uint32_t group_count(const struct conv *conv, uint32_t images)
{
    return (images + conv->group - 1) / conv->group;
}

/* Sums one run of a layer's weight gradient over the groups and puts it where the network keeps the tensor. */
static void reduce_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    struct backend *f = pass->f;
    const struct conv *conv = &f->convs[pass->l];
    const uint32_t count = conv->K * conv->C * 9, inner = conv->C < BLOCK ? conv->C : BLOCK, blocks = conv->C / inner;
    const uint32_t begin = item * REDUCE_FLOATS, width = count - begin < REDUCE_FLOATS ? count - begin : REDUCE_FLOATS;
    float *gradient = f->gradients + f->network->tensors[f->network->convs[pass->l].weight].offset;
    float sum[REDUCE_FLOATS];
    (void)worker, (void)after;
    tree_over_groups(f->parts + begin, group_count(conv, pass->batch->count), count, width, sum);
    for (uint32_t i = 0; i < width; i += LANES) {
        uint32_t v = (begin + i) / LANES, s = v % 3, c = v / 3 % inner, r = v / 3 / inner % 3;
        uint32_t channel = v / 9 / inner % blocks * inner + c, k = v / 9 / inner / blocks * LANES;
        for (uint32_t lane = 0; lane < LANES; lane++)
            gradient[((size_t)((k + lane) * conv->C + channel) * 3 + r) * 3 + s] = sum[i + lane];
    }
}

static void reduce_projection(struct backend *f, uint32_t l, uint32_t groups)
{
    const struct conv *conv = &f->convs[l]; /* the block's first convolution: same channels, filters and groups */
    const uint32_t count = conv->K * conv->C;
    float *gradient = f->gradients + f->network->tensors[f->network->convs[l + 1].projection].offset;
    for (uint32_t begin = 0; begin < count; begin += REDUCE_FLOATS) {
        float sum[REDUCE_FLOATS];
        tree_over_groups(f->projection_parts + begin, groups, count, REDUCE_FLOATS, sum);
        for (uint32_t i = 0; i < REDUCE_FLOATS; i++)
            gradient[(begin + i) % conv->K * conv->C + (begin + i) / conv->K] = sum[i];
    }
}

/* G0 carries the gradient of a block's output down; G1 that between its two convolutions. At stride 1 the new G0 overwrites the old in
 * place, pixel by pixel; at stride 2 it is another shape and goes to G2. */
static void backward_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    struct prefetch_list soon = { .count = 0 };
    const uint32_t group = pass->f->convs[pass->l].group, begin = after * group, left = pass->batch->count - begin;
    if (after != item)
        backward_soon(pass->f, pass->l, begin, left < group ? left : group, &pass->route, &soon);
    backward_group(pass->f, worker, pass->batch, pass->l, item, &pass->route, &soon);
}

static void backward_pass(struct backend *f, const struct backend_batch *batch, struct backend_outcome *outcome)
{
    for (uint32_t l = f->network->conv_count; l-- > 0;) {
        const struct conv *conv = &f->convs[l];
        finish_backward(f, l, batch->count, outcome);
        struct pass pass = { .f = f, .batch = batch, .l = l, .item = backward_item, .route = { .in = f->G0, .out = f->G1 } };
        if (l % 2 == 1)
            pass.route = (struct gradient_route){ .in = f->G1, .residual = f->G0, .out = conv->stride == 1 ? f->G0 : f->G2 };
        uint32_t groups = group_count(conv, batch->count);
        run_pass(pass, groups, l % 2 == 1);
        pass.item = reduce_item;
        run_pass(pass, (conv->K * conv->C * 9 + REDUCE_FLOATS - 1) / REDUCE_FLOATS, false);
        if (conv->stride == 2) {
            if (f->recipe.model.shortcut == SHORTCUT_PROJECTION)
                reduce_projection(f, l, groups);
            float *swap = f->G0;
            f->G0 = f->G2;
            f->G2 = swap;
        }
    }
}

/* ---- update --------------------------------------------------------------------------------------------------------------------- */

/* Updates a run of elements and adds it to the ledger digest while it is in the cache. Returns the largest magnitude's bits. */
static uint32_t update_piece(struct backend *f, const struct piece *piece, float lr, uint64_t digest[2])
{
    const struct training_config *training = &f->recipe.training;
    const float momentum = (float)training->momentum, decay = (float)training->weight_decay;
    float *w = f->values + piece->begin, *v = f->momentum + piece->begin, *g = f->gradients + piece->begin;
    const size_t count = piece->end - piece->begin;
    if (f->network->tensors[piece->tensor].role == TENSOR_PARAMETER) {
        if (training->momentum_form == MOMENTUM_NEON) {
#pragma omp simd
            for (size_t i = 0; i < count; i++)
                exact_update_neon(&w[i], &v[i], g[i], lr, momentum, decay);
        } else {
#pragma omp simd
            for (size_t i = 0; i < count; i++)
                exact_update_pytorch(&w[i], &v[i], g[i], lr, momentum, decay);
        }
    }
    uint64_t first = 0, second = 0;
    uint32_t largest = 0;
    const uint32_t offset = (uint32_t)piece->begin;
#pragma omp simd reduction(+ : first, second) reduction(max : largest)
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
        union {
            float number;
            uint32_t bits;
        } element = { .number = w[i] };
        uint64_t term[2] = { 0, 0 };
        exact_ledger_add(term, offset + i, element.bits);
        first += term[0];
        second += term[1];
        uint32_t magnitude = element.bits & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
    }
    digest[0] += first;
    digest[1] += second;
    return largest;
}

static void update_item(const struct pass *pass, struct worker *worker, uint32_t item, uint32_t after)
{
    enum { INFINITY_BITS = 0x7f800000 };
    (void)after;
    if (update_piece(pass->f, &pass->f->pieces[item], pass->learning_rate, worker->digest) >= INFINITY_BITS && item < worker->culprit)
        worker->culprit = item;
}

static void update_pass(struct backend *f, float learning_rate, struct backend_outcome *outcome)
{
    size_t culprit = f->piece_count;
    for (uint32_t i = 0; i < f->threads; i++) {
        f->workers[i].digest[0] = f->workers[i].digest[1] = 0;
        f->workers[i].culprit = f->piece_count;
    }
    run_pass((struct pass){ .f = f, .learning_rate = learning_rate, .item = update_item }, (uint32_t)f->piece_count, false);
    for (uint32_t i = 0; i < f->threads; i++) {
        outcome->digest[0] += f->workers[i].digest[0];
        outcome->digest[1] += f->workers[i].digest[1];
        if (f->workers[i].culprit < culprit)
            culprit = f->workers[i].culprit;
    }
    if (culprit < f->piece_count)
        blame(outcome, "", f->network->tensors[f->pieces[culprit].tensor].name, " after the update");
    pack_all(f);
}

static void fused_step(struct backend *f, const struct backend_batch *batch, float learning_rate, struct backend_outcome *outcome)
{
    unsigned saved = float_environment_enter();
    memset(outcome, 0, sizeof *outcome);
    forward_pass(f, batch, outcome);
    head_pass(f, batch, outcome);
    backward_pass(f, batch, outcome);
    update_pass(f, learning_rate, outcome);
    float_environment_leave(saved);
}

/* ---- evaluation ------------------------------------------------------------------------------------------------------------------- */

static void running_norms(struct backend *f)
{
    const struct tensor *tensors = f->network->tensors;
    for (uint32_t l = 0; l < f->network->conv_count; l++) {
        const struct conv_layer *layer = &f->network->convs[l];
        for (uint32_t k = 0; k < layer->filters; k++) {
            struct exact_norm norm = exact_norm_constants(
                (double)f->values[tensors[layer->running_mean].offset + k], (double)f->values[tensors[layer->running_variance].offset + k],
                f->recipe.model.batch_norm_epsilon, f->values[tensors[layer->gamma].offset + k], f->values[tensors[layer->beta].offset + k]);
            set_norm(&f->convs[l], k, &norm);
        }
    }
}

/* All layers of one image in a thread's own buffers, which fit the second-level cache. */
static void evaluate_item(const struct pass *pass, struct worker *worker, uint32_t n, uint32_t after)
{
    struct backend *f = pass->f;
    const struct backend_batch *batch = pass->batch;
    struct head_state state = head_state(f);
    float pool[FEATURES], u[CLASSES], exponential[CLASSES], sum;
    struct prefetch_list soon = { .count = 0 }; /* all of it is in the cache */
    (void)after;
    for (uint32_t l = 0; l < f->network->conv_count; l++)
        forward_image(f, worker, batch, l, n, worker, &soon);
    pool_image(f, worker, n, pool);
    head_logits(pool, state.weight, state.bias, u);
    for (int k = 0; k < CLASSES && state.gamma != NULL; k++)
        u[k] = fmaf(u[k], f->logits_norm[k].scale, f->logits_norm[k].shift);
    uint32_t image = batch->samples != NULL ? batch->samples[n].image : batch->first + n;
    pass->losses[n] = head_softmax(u, batch->data->labels[image], exponential, &sum, &pass->predictions[n]);
}

static void fused_evaluate(struct backend *f, const struct backend_batch *batch, uint8_t *predictions, float *losses)
{
    unsigned saved = float_environment_enter();
    struct head_state state = head_state(f);
    running_norms(f);
    for (int k = 0; k < CLASSES && state.gamma != NULL; k++)
        f->logits_norm[k] = exact_norm_constants((double)state.running_mean[k], (double)state.running_variance[k], state.epsilon,
                                                 state.gamma[k], state.beta[k]);
    run_pass((struct pass){ .f = f, .batch = batch, .predictions = predictions, .losses = losses, .item = evaluate_item }, batch->count, false);
    float_environment_leave(saved);
}

static size_t fused_memory_bytes(const struct backend *f)
{
    return f->allocated_bytes;
}

#if FUSED_VECTOR == 16
static bool fused_supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
}

const struct backend_operations backend_avx512 = {
    .isa = "avx512", .variant = "AVX-512, fused",
#else
static bool fused_supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const struct backend_operations backend_avx2 = {
    .isa = "avx2", .variant = "AVX2 and FMA, fused",
#endif
    .supported = fused_supported, .open = fused_open, .set_state = fused_set_state, .get_state = fused_get_state, .step = fused_step,
    .evaluate = fused_evaluate, .memory_bytes = fused_memory_bytes, .close = fused_close,
};
