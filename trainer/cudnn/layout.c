/* The cuDNN engine's memory, laid out before anything is allocated, so that the prediction is exact. */
#include <stdlib.h>

#include "trainer/cudnn/engine_state.h"

static size_t output_numbers(const struct conv_layer *layer)
{
    const uint32_t side = layer->side / layer->stride;
    return (size_t)layer->filters * side * side;
}

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

static void lay_out_activations(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t bytes = cudnn_activation_bytes(engine->precision);
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const size_t numbers = sizes->batch * output_numbers(&network->convs[l]);
        layout->y[l] = arena_take(arena, numbers * bytes);
        layout->outputs[l] = arena_take(arena, numbers * bytes);
        layout->masks[l] = arena_take(arena, numbers);
    }
}

/* An evaluation keeps a convolution's output, a block's input, its inner activation, and its output. */
static void lay_out_inference(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t bytes = sizes->batch * output_numbers(&network->convs[0]) * cudnn_activation_bytes(engine->precision);
    void *y = arena_take(arena, bytes), *inner = arena_take(arena, bytes);
    void *outputs[2] = { arena_take(arena, bytes), arena_take(arena, bytes) };
    for (uint32_t l = 0; l < network->conv_count; l++) {
        layout->y[l] = y;
        layout->outputs[l] = l % 2 == 1 ? inner : outputs[l / 2 % 2];
        layout->masks[l] = NULL;
    }
}

/* ---- everything -------------------------------------------------------------------------------------------------- */

static void lay_out_steps(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch, bytes = cudnn_activation_bytes(engine->precision);
    layout->packed_gradients = arena_take(arena, engine->packed * bytes);
    for (int i = 0; i < GRADIENTS; i++)
        layout->large[i] = arena_take(arena, batch * output_numbers(&network->convs[0]) * bytes);
    layout->mean = arena_floats(arena, (size_t)network->conv_count * GPU_FEATURES);
    layout->inverse = arena_floats(arena, (size_t)network->conv_count * GPU_FEATURES);
    layout->dpool = arena_floats(arena, batch * GPU_FEATURES);
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
    layout->z = arena_take(arena, batch * output_numbers(&network->convs[0]) / 2 * bytes);
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
    layout->outputs = calloc(network->conv_count, sizeof *layout->outputs);
    layout->masks = calloc(network->conv_count, sizeof *layout->masks);
    if (layout->y == NULL || layout->outputs == NULL || layout->masks == NULL)
        return error_out_of_memory(error, "the layout of depth %u", network->model.depth);
    return STATUS_OK;
}

void cudnn_layout_discard(struct engine *engine)
{
    const struct layout *layout = &engine->layout;
    free(layout->y);
    free(layout->outputs);
    free(layout->masks);
}
