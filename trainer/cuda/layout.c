/* The CUDA engine's memory, laid out before anything is allocated, so that the prediction is exact. */
#include <assert.h>
#include <stdlib.h>

#include "trainer/cuda/engine_state.h"

static uint32_t output_side(const struct conv_layer *layer)
{
    return layer->side / layer->stride;
}

static size_t output_floats(const struct conv_layer *layer)
{
    return (size_t)layer->filters * output_side(layer) * output_side(layer);
}

uint32_t layout_groups(const struct conv_layer *layer, uint32_t images)
{
    return exact_group_count(output_side(layer), images);
}

/* ---- packed weights ---------------------------------------------------------------------------------------------- */

void layout_packed(const struct network *network, uint32_t l, size_t *forward, size_t *backward)
{
    size_t at = 0;
    for (uint32_t i = 0; i <= l; i++) {
        const struct conv_layer *layer = &network->convs[i];
        const size_t count = (size_t)layer->filters * layer->channels * 9;
        *forward = at;
        at += count;
        *backward = layer->channels == 3 ? 0 : at; /* the first layer goes no further back */
        at += layer->channels == 3 ? 0 : count;
    }
}

static size_t packed_floats(const struct network *network)
{
    size_t count = 0;
    for (uint32_t l = 0; l < network->conv_count; l++)
        count += (size_t)network->convs[l].filters * network->convs[l].channels * 9 *
                 (network->convs[l].channels == 3 ? 1 : 2);
    return count;
}

/* The layer whose 3x3 weights a tensor is, or -1. */
static int64_t layer_of(const struct network *network, uint32_t tensor)
{
    for (uint32_t l = 0; l < network->conv_count; l++)
        if (network->convs[l].weight == tensor)
            return l;
    return -1;
}

void layout_pieces(const struct network *network, struct gpu_piece *pieces)
{
    const uint32_t count = gpu_session_pieces(network, pieces);
    for (uint32_t i = 0; i < count; i++) {
        const int64_t l = layer_of(network, pieces[i].tensor);
        if (l >= 0) {
            pieces[i].K = network->convs[l].filters;
            pieces[i].C = network->convs[l].channels;
            layout_packed(network, (uint32_t)l, &pieces[i].forward, &pieces[i].backward);
        }
    }
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* Blocks of a stage from one kept output to the next. Up to five blocks a stage all are kept; of more, three, and those
 * in between are made again on the way back: depth 110 then needs half of the memory that it took in 2016. */
static uint32_t segment_blocks(const struct network *network)
{
    const uint32_t blocks = network->block_count / 3;
    return blocks <= 5 ? 1 : blocks / 3;
}

static void lay_out_activations(struct layout *layout, struct arena *arena, const struct gpu_sizes *sizes)
{
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch;
    const uint32_t blocks = network->block_count / 3, segment = segment_blocks(network);
    assert(segment > 0);
    /* The rear y of the last stage are free while the first two stages are at hand, of which each output is at most
     * four times as large: they are one piece, which those outputs borrow. */
    const uint32_t rear = 4 * (segment - 1), front = network->conv_count - rear;
    const size_t last_floats = batch * output_floats(&network->convs[network->conv_count - 1]);
    for (uint32_t l = 0; l < front; l++)
        layout->y[l] = arena_floats(arena, batch * output_floats(&network->convs[l]));
    float *borrowed = NULL, *ring = NULL;
    if (segment > 1) {
        borrowed = arena_floats(arena, rear * last_floats);
        ring = arena_floats(arena, (segment - 1) * last_floats);
    }
    for (uint32_t l = front; l < network->conv_count; l++)
        layout->y[l] = arena->memory == NULL ? NULL : borrowed + (l - front) * last_floats;
    for (uint32_t b = 0; b <= network->block_count; b++) {
        const struct conv_layer *layer = &network->convs[2 * b]; /* whose output this is */
        const size_t floats = batch * output_floats(layer);
        const uint32_t within = b == 0 ? 0 : (b - 1) % blocks, turn = within % segment;
        layout->kept[b] = b == 0 || turn == 0 || b == network->block_count;
        if (layout->kept[b])
            layout->outputs[b] = arena_floats(arena, floats);
        else if (arena->memory == NULL)
            layout->outputs[b] = NULL;
        else if (output_side(layer) == 8)
            layout->outputs[b] = ring + (turn - 1) * last_floats;
        else
            layout->outputs[b] = borrowed + (turn - 1) * floats;
    }
}

/* An evaluation keeps two of each. */
static void lay_out_inference(struct layout *layout, struct arena *arena, const struct gpu_sizes *sizes)
{
    const struct network *network = sizes->network;
    const size_t floats = sizes->batch * output_floats(&network->convs[0]);
    float *two[4];
    for (int i = 0; i < 4; i++)
        two[i] = arena_floats(arena, floats);
    for (uint32_t l = 0; l < network->conv_count; l++)
        layout->y[l] = two[l % 2];
    for (uint32_t b = 0; b <= network->block_count; b++) {
        layout->outputs[b] = two[2 + b % 2];
        layout->kept[b] = true;
    }
}

/* ---- everything -------------------------------------------------------------------------------------------------- */

static size_t parts_floats(const struct network *network, uint32_t batch)
{
    size_t most = 0;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        const size_t floats = (size_t)layout_groups(layer, batch) * layer->filters * layer->channels * 9;
        most = floats > most ? floats : most;
    }
    return most;
}

static void lay_out_steps(struct layout *layout, struct arena *arena, const struct gpu_sizes *sizes)
{
    const struct network *network = sizes->network;
    const size_t batch = sizes->batch, image = output_floats(&network->convs[0]);
    layout->g = arena_floats(arena, batch * image);
    layout->inner = arena_floats(arena, batch * image);
    layout->spread = layout->z; /* one is for the way forward, the other for the way back */
    layout->parts = arena_floats(arena, parts_floats(network, sizes->batch));
    layout->sums = arena_floats(arena, batch * GPU_UNITS * 2 * GPU_FEATURES);
    layout->arrived = arena_take(arena, (size_t)network->conv_count * GPU_ARRIVALS * sizeof *layout->arrived);
    layout->norm_gradients = arena_take(arena, 2 * GPU_FEATURES * sizeof *layout->norm_gradients);
}

void layout_make(struct engine *engine, struct arena *arena)
{
    struct layout *layout = &engine->layout;
    const struct gpu_sizes *sizes = &engine->session.sizes;
    const struct network *network = sizes->network;
    gpu_session_lay_out(&engine->session, arena);
    layout->packed = arena_floats(arena, packed_floats(network));
    layout->z = arena_floats(arena, sizes->batch * output_floats(&network->convs[0]) / 2);
    if (sizes->steps) {
        lay_out_activations(layout, arena, sizes);
        lay_out_steps(layout, arena, sizes);
    } else {
        lay_out_inference(layout, arena, sizes);
    }
}

/* ---- host arrays ------------------------------------------------------------------------------------------------- */

enum status layout_prepare(struct engine *engine, struct error *error)
{
    struct layout *layout = &engine->layout;
    const struct network *network = engine->session.network;
    layout->y = calloc(network->conv_count, sizeof *layout->y);
    layout->outputs = calloc((size_t)network->block_count + 1, sizeof *layout->outputs);
    layout->kept = calloc((size_t)network->block_count + 1, sizeof *layout->kept);
    if (layout->y == NULL || layout->outputs == NULL || layout->kept == NULL)
        return error_out_of_memory(error, "the layout of depth %u", network->model.depth);
    return STATUS_OK;
}

void layout_discard(struct engine *engine)
{
    const struct layout *layout = &engine->layout;
    free(layout->y);
    free(layout->outputs);
    free(layout->kept);
}
