/* The cuDNN engine's memory, laid out before anything is allocated: what is predicted is what is taken. */
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

static void lay_out_activations(struct engine *engine, struct carving *carving)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t bytes = cudnn_activation_bytes(engine->precision);
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const size_t numbers = sizes->batch * output_numbers(&network->convs[l]);
        layout->y[l] = carve(carving, numbers * bytes);
        layout->outputs[l] = carve(carving, numbers * bytes);
        layout->masks[l] = carve(carving, numbers);
    }
}

/* An evaluation keeps a convolution's output, a block's input, its inner activation, and its output. */
static void lay_out_inference(struct engine *engine, struct carving *carving)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t bytes = sizes->batch * output_numbers(&network->convs[0]) * cudnn_activation_bytes(engine->precision);
    void *y = carve(carving, bytes), *inner = carve(carving, bytes);
    void *outputs[2] = { carve(carving, bytes), carve(carving, bytes) };
    for (uint32_t l = 0; l < network->conv_count; l++) {
        layout->y[l] = y;
        layout->outputs[l] = l % 2 == 1 ? inner : outputs[l / 2 % 2];
        layout->masks[l] = NULL;
    }
}

/* ---- everything -------------------------------------------------------------------------------------------------- */

static void lay_out_steps(struct engine *engine, struct carving *carving)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch, bytes = cudnn_activation_bytes(engine->precision);
    layout->packed_gradients = carve(carving, engine->packed * bytes);
    for (int i = 0; i < GRADIENTS; i++)
        layout->large[i] = carve(carving, batch * output_numbers(&network->convs[0]) * bytes);
    layout->mean = carve_floats(carving, (size_t)network->conv_count * GPU_FEATURES);
    layout->inverse = carve_floats(carving, (size_t)network->conv_count * GPU_FEATURES);
    layout->dpool = carve_floats(carving, batch * GPU_FEATURES);
}

size_t cudnn_layout_make(struct engine *engine, void *memory)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch, bytes = cudnn_activation_bytes(engine->precision), layers = network->conv_count;
    struct carving carving = { .memory = memory };
    gpu_session_carve(&engine->session, &carving);
    layout->packed = carve(&carving, engine->packed * bytes);
    layout->weights = carve(&carving, engine->weight_count * sizeof *layout->weights);
    layout->scale = carve_floats(&carving, layers * GPU_FEATURES);
    layout->shift = carve_floats(&carving, layers * GPU_FEATURES);
    layout->input = carve(&carving, batch * DATASET_PIXELS * cudnn_input_channels(engine->precision) * bytes);
    layout->z = carve(&carving, batch * output_numbers(&network->convs[0]) / 2 * bytes);
    layout->workspace = carve(&carving, CUDNN_WORKSPACE_BYTES);
    layout->blas_workspace = carve(&carving, CUBLAS_WORKSPACE_BYTES);
    if (sizes->steps) {
        lay_out_activations(engine, &carving);
        lay_out_steps(engine, &carving);
    } else {
        lay_out_inference(engine, &carving);
    }
    return carving.bytes;
}

/* ---- host arrays ------------------------------------------------------------------------------------------------- */

enum status cudnn_layout_allocate(struct layout *layout, const struct network *network, struct error *error)
{
    layout->y = calloc(network->conv_count, sizeof *layout->y);
    layout->outputs = calloc(network->conv_count, sizeof *layout->outputs);
    layout->masks = calloc(network->conv_count, sizeof *layout->masks);
    if (layout->y == NULL || layout->outputs == NULL || layout->masks == NULL)
        return error_out_of_memory(error, "the layout of depth %u", network->model.depth);
    return STATUS_OK;
}

void cudnn_layout_free(struct layout *layout)
{
    free(layout->y);
    free(layout->outputs);
    free(layout->masks);
}
