/* The cuDNN engine's memory, laid out before anything is allocated: what is predicted is what is taken. */
#include "trainer/cuda/carving.h"
#include "trainer/cudnn/engine_state.h"

static size_t output_numbers(const struct conv_layer *layer)
{
    const uint32_t side = layer->side / layer->stride;
    return (size_t)layer->filters * side * side;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

void cudnn_layout_tables(struct layout_sizes *sizes, struct cuda_piece *pieces, struct cudnn_weight_place *weights)
{
    const struct network *network = sizes->network;
    sizes->piece_count = sizes->weight_count = 0;
    sizes->packed = 0;
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const struct tensor *tensor = &network->tensors[t];
        struct cuda_piece piece = { .tensor = t, .running = tensor->role == TENSOR_RUNNING };
        for (size_t begin = 0; begin < tensor->count; begin += CUDA_PIECE, sizes->piece_count++) {
            piece.at = (uint32_t)(tensor->offset + begin);
            piece.within = (uint32_t)begin;
            piece.count = (uint32_t)(tensor->count - begin < CUDA_PIECE ? tensor->count - begin : CUDA_PIECE);
            if (pieces != NULL)
                pieces[sizes->piece_count] = piece;
        }
        if (tensor->rank != 4)
            continue;
        const uint32_t C = tensor->shape[1], channels = C == 3 ? cudnn_input_channels(sizes->precision) : C;
        const struct cudnn_weight_place place = {
            (uint32_t)tensor->offset,           (uint32_t)sizes->packed, tensor->shape[0], C, channels,
            tensor->shape[2] * tensor->shape[3]
        };
        if (weights != NULL)
            weights[sizes->weight_count] = place;
        sizes->weight_count++;
        sizes->packed += (size_t)place.K * place.channels * place.taps;
    }
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

static void lay_out_activations(struct layout *layout, struct carving *carving, const struct layout_sizes *sizes)
{
    const struct network *network = sizes->network;
    const size_t bytes = cudnn_activation_bytes(sizes->precision);
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const size_t numbers = sizes->batch * output_numbers(&network->convs[l]);
        layout->y[l] = carve(carving, numbers * bytes);
        layout->outputs[l] = carve(carving, numbers * bytes);
        layout->masks[l] = carve(carving, numbers);
    }
}

/* An evaluation keeps a convolution's output, a block's input, its inner activation, and its output. */
static void lay_out_inference(struct layout *layout, struct carving *carving, const struct layout_sizes *sizes)
{
    const struct network *network = sizes->network;
    const size_t bytes = sizes->batch * output_numbers(&network->convs[0]) * cudnn_activation_bytes(sizes->precision);
    void *y = carve(carving, bytes), *inner = carve(carving, bytes);
    void *outputs[2] = { carve(carving, bytes), carve(carving, bytes) };
    for (uint32_t l = 0; l < network->conv_count; l++) {
        layout->y[l] = y;
        layout->outputs[l] = l % 2 == 1 ? inner : outputs[l / 2 % 2];
        layout->masks[l] = NULL;
    }
}

/* ---- everything -------------------------------------------------------------------------------------------------- */

static void lay_out_steps(struct layout *layout, struct carving *carving, const struct layout_sizes *sizes)
{
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch, bytes = cudnn_activation_bytes(sizes->precision);
    layout->momentum = carve_floats(carving, network->value_count);
    layout->gradients = carve_floats(carving, network->value_count);
    layout->packed_gradients = carve(carving, sizes->packed * bytes);
    for (int i = 0; i < GRADIENTS; i++)
        layout->large[i] = carve(carving, batch * output_numbers(&network->convs[0]) * bytes);
    layout->mean = carve_floats(carving, (size_t)network->conv_count * CUDA_FEATURES);
    layout->inverse = carve_floats(carving, (size_t)network->conv_count * CUDA_FEATURES);
    layout->dz = carve_floats(carving, batch * CUDA_CLASSES);
    layout->dpool = carve_floats(carving, batch * CUDA_FEATURES);
    layout->head = carve(carving, batch * CUDA_HEAD_SCRATCH * sizeof *layout->head);
    layout->samples = carve(carving, batch * sizeof *layout->samples);
    layout->labels = carve(carving, batch);
    layout->plans = carve(carving, QUEUE_SLOTS * sizeof *layout->plans);
    layout->results = carve(carving, QUEUE_SLOTS * sizeof *layout->results);
    layout->current = carve(carving, sizeof *layout->current);
    layout->keys = carve(carving, sizes->training * sizeof *layout->keys);
    for (int i = 0; i < 2; i++)
        layout->orders[i] = carve(carving, sizes->training * sizeof *layout->orders[i]);
}

void cudnn_layout_make(struct layout *layout, const struct layout_sizes *sizes, void *memory)
{
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch, bytes = cudnn_activation_bytes(sizes->precision), layers = network->conv_count;
    struct carving carving = { .memory = memory };
    layout->values = carve_floats(&carving, network->value_count);
    layout->packed = carve(&carving, sizes->packed * bytes);
    layout->pieces = carve(&carving, sizes->piece_count * sizeof *layout->pieces);
    layout->places = carve(&carving, (layers + 1) * sizeof *layout->places);
    layout->weights = carve(&carving, sizes->weight_count * sizeof *layout->weights);
    layout->norms = carve(&carving, (layers + 1) * CUDA_FEATURES * sizeof *layout->norms);
    layout->scale = carve_floats(&carving, layers * CUDA_FEATURES);
    layout->shift = carve_floats(&carving, layers * CUDA_FEATURES);
    layout->byte_values = carve_floats(&carving, 3 * 256);
    layout->pixel_mean = sizes->pixel_mean ? carve_floats(&carving, DATASET_IMAGE_BYTES) : NULL;
    layout->x = carve_floats(&carving, batch * DATASET_IMAGE_BYTES);
    layout->input = carve(&carving, batch * DATASET_PIXELS * cudnn_input_channels(sizes->precision) * bytes);
    layout->z = carve(&carving, batch * output_numbers(&network->convs[0]) / 2 * bytes);
    layout->pool = carve_floats(&carving, batch * CUDA_FEATURES);
    layout->logits = carve_floats(&carving, batch * CUDA_CLASSES);
    layout->predictions = carve(&carving, sizes->validation);
    layout->losses = carve_floats(&carving, sizes->validation);
    layout->mean_loss = carve(&carving, sizeof *layout->mean_loss);
    layout->workspace = carve(&carving, CUDNN_WORKSPACE_BYTES);
    layout->blas_workspace = carve(&carving, CUBLAS_WORKSPACE_BYTES);
    if (sizes->steps) {
        lay_out_activations(layout, &carving, sizes);
        lay_out_steps(layout, &carving, sizes);
    } else {
        lay_out_inference(layout, &carving, sizes);
    }
    layout->bytes = carving.bytes;
}
