/* The cuDNN engine's memory, laid out before anything is allocated, so that the prediction is exact. */
#include <stdlib.h>

#include "trainer/cudnn/engine_state.h"

/* ---- packed weights ---------------------------------------------------------------------------------------------- */

uint32_t cudnn_layout_weights(const struct network *network, enum cudnn_precision precision,
                              struct cudnn_weight_place *weights, size_t *packed)
{
    uint32_t count = 0;
    *packed = 0;
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const struct tensor *tensor = &network->tensors[t];
        if (tensor->rank != 4)
            continue;
        const uint32_t C = tensor->shape[1], channels = C == 3 ? cudnn_input_channels(precision) : C;
        const struct cudnn_weight_place place = {
            (uint32_t)tensor->offset,           (uint32_t)*packed, tensor->shape[0], C, channels,
            tensor->shape[2] * tensor->shape[3]
        };
        if (weights != NULL)
            weights[count] = place;
        count++;
        *packed += (size_t)place.K * place.channels * place.taps;
    }
    return count;
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* A step keeps the outputs of all convolutions and of some blocks. On the way back the others, the activations within
 * blocks and the masks are made again, which reads y once more. */

static size_t stage_numbers(uint32_t stage)
{
    return (size_t)16 * 32 * 32 >> stage;
}

/* Blocks of a stage from one kept output to the next. Up to five blocks a stage all are kept; of more, two. */
static uint32_t segment_blocks(const struct network *network)
{
    const uint32_t blocks = network->block_count / CUDNN_STAGES;
    return blocks <= 5 ? 1 : blocks / 2;
}

/* The place of block output b within its segment; 0: it is kept. */
static uint32_t turn_of(const struct network *network, uint32_t b)
{
    const uint32_t segment = segment_blocks(network);
    if (b == 0)
        return segment == 1 ? 0 : 1; /* layer 0's: it is made again from y alone */
    return (b - 1) % (network->block_count / CUDNN_STAGES) % segment;
}

static uint32_t stage_of_output(const struct network *network, uint32_t b)
{
    return b == 0 ? 0 : (b - 1) / (network->block_count / CUDNN_STAGES);
}

/* What the layers of a stage need for a moment, and the outputs that are not kept, in pieces of `numbers`. */
static void lay_out_scratch(struct engine *engine, uint32_t stage, size_t numbers, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct network *network = engine->session.sizes.network;
    const size_t bytes = numbers * cudnn_activation_bytes(engine->precision);
    struct scratch *scratch = &layout->scratch[stage];
    for (int i = 0; i < GRADIENTS; i++)
        scratch->gradients[i] = arena_take(arena, bytes);
    scratch->inner = arena_take(arena, bytes);
    scratch->mask = arena_take(arena, numbers);
    for (uint32_t turn = 1; turn < segment_blocks(network); turn++) {
        void *output = arena_take(arena, bytes);
        for (uint32_t b = 0; b <= network->block_count; b++)
            if (stage_of_output(network, b) == stage && turn_of(network, b) == turn)
                layout->outputs[b] = output;
    }
}

/* While a stage is at hand, the outputs of the next stage's convolutions are not: forward they are not there yet, and
 * backward they are done with. So a stage of a deep network has its scratch there. The next stage's first block is at
 * hand together with what this stage leaves, so its two layers are spared.
 * Stages with no such room share one piece, laid out for the largest of them: what passes from one to the other then
 * has the same place in both. */
static void lay_out_scratches(struct engine *engine, struct arena *arena)
{
    const struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const uint32_t layers = 2 * (sizes->network->block_count / CUDNN_STAGES); /* of a stage, layer 0 apart */
    const size_t bytes = cudnn_activation_bytes(engine->precision);
    bool lent[CUDNN_STAGES] = { false };
    size_t shared_numbers = 0;
    for (uint32_t stage = 0; stage < CUDNN_STAGES; stage++) {
        const size_t numbers = sizes->batch * stage_numbers(stage);
        struct arena count = { .memory = NULL, .alignment = arena->alignment };
        lay_out_scratch(engine, stage, numbers, &count);
        lent[stage] =
            stage + 1 < CUDNN_STAGES && count.bytes <= (layers - 2) * sizes->batch * stage_numbers(stage + 1) * bytes;
        if (lent[stage]) {
            struct arena room = { .memory = layout->y[(stage + 1) * layers + 3], .alignment = arena->alignment };
            lay_out_scratch(engine, stage, numbers, &room);
        } else if (numbers > shared_numbers) {
            shared_numbers = numbers;
        }
    }
    struct arena shared = { .memory = NULL, .alignment = arena->alignment };
    lay_out_scratch(engine, CUDNN_STAGES - 1, shared_numbers, &shared);
    void *memory = arena_take(arena, shared.bytes);
    for (uint32_t stage = 0; stage < CUDNN_STAGES; stage++) {
        if (lent[stage])
            continue;
        shared = (struct arena){ .memory = memory, .alignment = arena->alignment };
        lay_out_scratch(engine, stage, shared_numbers, &shared);
    }
}

static void lay_out_activations(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const uint32_t layers = 2 * (network->block_count / CUDNN_STAGES);
    const size_t bytes = sizes->batch * cudnn_activation_bytes(engine->precision);
    for (uint32_t l = 0, next = 0; l < network->conv_count; l = next) {
        const uint32_t stage = cudnn_stage_of(&network->convs[l]);
        next = (stage + 1) * layers + 1;
        char *all = arena_take(arena, (next - l) * stage_numbers(stage) * bytes); /* in one piece, to be lent */
        for (uint32_t i = l; i < next; i++)
            layout->y[i] = all == NULL ? NULL : all + (i - l) * stage_numbers(stage) * bytes;
    }
    for (uint32_t b = 0; b <= network->block_count; b++) {
        layout->kept[b] = turn_of(network, b) == 0;
        if (layout->kept[b])
            layout->outputs[b] = arena_take(arena, stage_numbers(stage_of_output(network, b)) * bytes);
    }
    lay_out_scratches(engine, arena);
}

/* An evaluation keeps a convolution's output, a block's input, its inner activation, and its output. */
static void lay_out_inference(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t bytes = sizes->batch * stage_numbers(0) * cudnn_activation_bytes(engine->precision);
    void *y = arena_take(arena, bytes), *inner = arena_take(arena, bytes);
    void *outputs[2] = { arena_take(arena, bytes), arena_take(arena, bytes) };
    for (uint32_t l = 0; l < network->conv_count; l++)
        layout->y[l] = y;
    for (uint32_t stage = 0; stage < CUDNN_STAGES; stage++)
        layout->scratch[stage].inner = inner;
    for (uint32_t b = 0; b <= network->block_count; b++)
        layout->outputs[b] = outputs[b % 2];
}

/* ---- everything -------------------------------------------------------------------------------------------------- */

static void lay_out_steps(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    layout->packed_gradients = arena_take(arena, engine->packed * cudnn_activation_bytes(engine->precision));
    layout->mean = arena_floats(arena, (size_t)sizes->network->conv_count * GPU_FEATURES);
    layout->inverse = arena_floats(arena, (size_t)sizes->network->conv_count * GPU_FEATURES);
    layout->dpool = arena_floats(arena, (size_t)sizes->batch * GPU_FEATURES);
}

void cudnn_layout_make(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch, bytes = cudnn_activation_bytes(engine->precision), layers = network->conv_count;
    gpu_session_lay_out(&engine->session, arena);
    layout->packed = arena_take(arena, engine->packed * bytes);
    layout->weights = arena_take(arena, engine->weight_count * sizeof *layout->weights);
    layout->scale = arena_floats(arena, layers * GPU_FEATURES);
    layout->shift = arena_floats(arena, layers * GPU_FEATURES);
    layout->input = arena_take(arena, batch * DATASET_PIXELS * cudnn_input_channels(engine->precision) * bytes);
    layout->z = arena_take(arena, batch * stage_numbers(1) * bytes);
    layout->workspace = arena_take(arena, CUDNN_WORKSPACE_BYTES);
    layout->blas_workspace = arena_take(arena, CUBLAS_WORKSPACE_BYTES);
    if (sizes->steps) {
        lay_out_activations(engine, arena);
        lay_out_steps(engine, arena);
    } else {
        lay_out_inference(engine, arena);
    }
}

/* ---- host arrays ------------------------------------------------------------------------------------------------- */

static enum cudnn_precision precision_of(const struct recipe *recipe)
{
    switch (recipe->precision) {
    case PRECISION_TF32:
        return CUDNN_PRECISION_TF32;
    case PRECISION_BF16:
        return CUDNN_PRECISION_BF16;
    default:
        return CUDNN_PRECISION_FP32;
    }
}

enum status cudnn_layout_prepare(struct engine *engine, struct error *error)
{
    struct layout *layout = &engine->layout;
    const struct network *network = engine->session.network;
    engine->precision = precision_of(&engine->session.recipe);
    engine->weight_count = cudnn_layout_weights(network, engine->precision, NULL, &engine->packed);
    layout->y = calloc(network->conv_count, sizeof *layout->y);
    layout->outputs = calloc((size_t)network->block_count + 1, sizeof *layout->outputs);
    layout->kept = calloc((size_t)network->block_count + 1, sizeof *layout->kept);
    if (layout->y == NULL || layout->outputs == NULL || layout->kept == NULL)
        return error_out_of_memory(error, "the layout of depth %u", network->model.depth);
    return STATUS_OK;
}

void cudnn_layout_discard(struct engine *engine)
{
    const struct layout *layout = &engine->layout;
    free(layout->y);
    free(layout->outputs);
    free(layout->kept);
}
