#include "fetch/weights/neon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/weights/ndarray.h"
#include "trainer/network.h"

enum { LEVELS_MAX = 16, LAYERS_MAX = 50000, ITEMS_MAX = 256, CONVS_MAX = 10000, FIRST_CHANNELS = 3, STATISTICS = 4 };

/* A layer with weights: arrays[0] alone of a convolution or linear layer, all four of a batch norm, in the order of the
 * names. */
struct layer {
    const struct pickle_value *value;
    bool norm;
    struct ndarray arrays[STATISTICS];
};

static const char *const statistic_names[STATISTICS] = { "gamma", "beta", "gmean", "gvar" };

struct reader {
    struct tensors *tensors;
    const char *path;
    struct layer *layers; /* in the model's order */
    size_t layer_count, layer_capacity, visits;
    struct network *network;
    struct error *error;
};

static enum status refuse(const struct reader *r, const struct pickle_value *value, const char *what)
{
    return error_set(r->error, STATUS_INPUT, "%s: byte %zu: %s", r->path, value->offset, what);
}

/* ---- the layers, in order ---------------------------------------------------------------------------------------- */

/* Bounds the search: a hostile file may show the same dict of millions of items as every layer. */
static const struct pickle_value *small_get(const struct pickle_value *dict, const char *key)
{
    return dict != NULL && dict->type == PICKLE_DICT && dict->list.count <= 2 * ITEMS_MAX ? pickle_get(dict, key)
                                                                                          : NULL;
}

static enum status add_layer(struct reader *r, const struct pickle_value *value, const struct pickle_value *params)
{
    if (r->layer_count == r->layer_capacity) {
        size_t capacity = r->layer_capacity == 0 ? 64 : 2 * r->layer_capacity;
        struct layer *layers = realloc(r->layers, capacity * sizeof *layers);
        if (layers == NULL)
            return error_out_of_memory(r->error, "the layers of %s", r->path);
        r->layers = layers;
        r->layer_capacity = capacity;
    }
    struct layer *layer = &r->layers[r->layer_count++];
    const struct pickle_value *weights = ndarray_is(params) ? params : small_get(params, "W");
    *layer = (struct layer){ .value = value, .norm = weights == NULL };
    if (weights != NULL)
        return ndarray_read(&layer->arrays[0], r->path, weights, r->error);
    for (int i = 0; i < STATISTICS; i++) {
        const struct pickle_value *statistic = small_get(params, statistic_names[i]);
        if (statistic == NULL)
            return refuse(r, params, "the params of a layer are not W, and not gamma, beta, gmean and gvar");
        enum status status = ndarray_read(&layer->arrays[i], r->path, statistic, r->error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status walk(struct reader *r, const struct pickle_value *value, int level)
{
    const struct pickle_value *params = small_get(value, "params"),
                              *layers = small_get(small_get(value, "config"), "layers");
    if (level == LEVELS_MAX || ++r->visits > LAYERS_MAX)
        return refuse(r, value, "too many layers, or containers that are too deep");
    enum status status = STATUS_OK;
    if (params != NULL && params->type != PICKLE_NONE)
        status = add_layer(r, value, params);
    if (layers != NULL && layers->type != PICKLE_LIST)
        return refuse(r, layers, "the layers of a container are not a list");
    for (size_t i = 0; layers != NULL && status == STATUS_OK && i < layers->list.count; i++)
        status = walk(r, layers->list.items[i], level + 1);
    return status;
}

/* ---- the network that they make ---------------------------------------------------------------------------------- */

enum kind { KIND_NORM, KIND_CONV, KIND_PROJECTION, KIND_LINEAR };

/* By the shape of W alone: (9 C, K), (C, 2 C) or (10, 64). */
static enum kind kind_of(const struct layer *layer)
{
    const uint64_t *shape = layer->arrays[0].shape;
    if (layer->norm)
        return KIND_NORM;
    if (layer->arrays[0].rank == 2 && shape[0] == NETWORK_CLASSES && shape[1] == NETWORK_FEATURES)
        return KIND_LINEAR;
    return layer->arrays[0].rank == 2 && (shape[0] == 16 || shape[0] == 32) && shape[1] == 2 * shape[0]
               ? KIND_PROJECTION
               : KIND_CONV;
}

static enum status open_network(struct reader *r)
{
    size_t counts[4] = { 0 };
    for (size_t i = 0; i < r->layer_count; i++)
        counts[kind_of(&r->layers[i])]++;
    if (counts[KIND_LINEAR] != 1 || counts[KIND_CONV] < 7 || counts[KIND_CONV] > CONVS_MAX ||
        counts[KIND_CONV] % 6 != 1 || counts[KIND_PROJECTION] != 2 || counts[KIND_NORM] != counts[KIND_CONV] + 1)
        return error_set(r->error, STATUS_INPUT,
                         "%s is a model of neon, but not of the 2016 replication: it has %zu convolutions, %zu "
                         "projections, %zu batch norms and %zu linear layers; 6n+1, 2, 6n+2 and 1 are expected",
                         r->path, counts[KIND_CONV], counts[KIND_PROJECTION], counts[KIND_NORM], counts[KIND_LINEAR]);
    struct model_config model = { .depth = (uint32_t)counts[KIND_CONV] + 1,
                                  .shortcut = SHORTCUT_PROJECTION,
                                  .linear_bias = BIAS_NONE,
                                  .final_batch_norm = true,
                                  .batch_norm_epsilon = 1e-3,
                                  .batch_norm_rate = 0.1 };
    return network_open(&r->network, &model, r->error);
}

/* ---- values into our order --------------------------------------------------------------------------------------- */

/* How a tensor of ours is read out of an array: ours[...] = array[place(...)]. */
enum layout { LAYOUT_SAME, LAYOUT_CONV, LAYOUT_FIRST_CONV };

/* The place in a row-major (C R S, K) array of the number that is at `i` in our (K, C, R, S). */
static size_t conv_place(const struct tensor *tensor, enum layout layout, size_t i)
{
    size_t filters = tensor->shape[0], channels = tensor->shape[1], area = (size_t)tensor->shape[2] * tensor->shape[3];
    size_t s = i % area, c = i / area % channels, k = i / area / channels;
    if (layout == LAYOUT_FIRST_CONV)
        c = FIRST_CHANNELS - 1 - c;
    return (c * area + s) * filters + k;
}

static enum status add_tensor(const struct reader *r, const struct layer *layer, const struct ndarray *array,
                              uint32_t index, enum layout layout)
{
    const struct tensor *tensor = &r->network->tensors[index];
    uint64_t shape[4], rows = layout == LAYOUT_SAME ? tensor->shape[0] : tensor->count / tensor->shape[0],
                       columns = tensor->count / rows;
    size_t element = element_bytes(array->element);
    struct named_tensor *added;
    for (uint32_t i = 0; i < tensor->rank; i++)
        shape[i] = tensor->shape[i];
    if (array->rank != 2 || array->shape[0] != rows || array->shape[1] != columns || !element_is_real(array->element))
        return error_set(r->error, STATUS_INPUT,
                         "%s: byte %zu: a layer's array of %s, %" PRIu64 " x %" PRIu64 ", is at the place of %s, "
                         "which needs %" PRIu64 " x %" PRIu64 " real numbers",
                         r->path, layer->value->offset, element_name(array->element),
                         array->rank > 0 ? array->shape[0] : 1, array->rank > 1 ? array->shape[1] : 1, tensor->name,
                         rows, columns);
    enum status status = tensors_add(r->tensors, r->path, tensor->name, strlen(tensor->name), array->element,
                                     tensor->rank, shape, &added, r->error);
    for (size_t i = 0; status == STATUS_OK && i < tensor->count; i++) {
        size_t place = layout == LAYOUT_SAME ? i : conv_place(tensor, layout, i);
        if (array->fortran)
            place = place % columns * rows + place / columns;
        element_to_float(array->element, array->data + place * element, 1, &added->values[i], &added->rounding);
    }
    return status;
}

static enum status add_norm(const struct reader *r, const struct layer *layer, const uint32_t indices[STATISTICS])
{
    enum status status = STATUS_OK;
    for (int i = 0; i < STATISTICS && status == STATUS_OK; i++)
        status = add_tensor(r, layer, &layer->arrays[i], indices[i], LAYOUT_SAME);
    return status;
}

/* One batch norm belongs to each convolution before it, and the last to the linear layer. */
static enum status add_tensors(const struct reader *r)
{
    const struct network *n = r->network;
    uint32_t convs = 0, norms = 0, projections = 0, linears = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < r->layer_count; i++) {
        const struct layer *layer = &r->layers[i];
        switch (kind_of(layer)) {
        case KIND_CONV:
            status = convs == norms ? add_tensor(r, layer, &layer->arrays[0], n->convs[convs].weight,
                                                 convs == 0 ? LAYOUT_FIRST_CONV : LAYOUT_CONV)
                                    : refuse(r, layer->value, "a convolution follows one without its batch norm");
            convs++;
            break;
        case KIND_NORM:
            if (norms < convs && norms < n->conv_count) {
                const struct conv_layer *conv = &n->convs[norms];
                status = add_norm(r, layer,
                                  (uint32_t[]){ conv->gamma, conv->beta, conv->running_mean, conv->running_variance });
            } else if (norms == n->conv_count && linears == 1) {
                status = add_norm(r, layer,
                                  (uint32_t[]){ (uint32_t)n->logits_gamma, (uint32_t)n->logits_beta,
                                                (uint32_t)n->logits_mean, (uint32_t)n->logits_variance });
            } else {
                status = refuse(r, layer->value, "a batch norm follows no layer that it could belong to");
            }
            norms++;
            break;
        case KIND_PROJECTION: { /* that of 16 channels opens the second stage, that of 32 the third */
            size_t stage = layer->arrays[0].shape[0] == 16 ? 1 : 2;
            const struct conv_layer *conv = &n->convs[2 + 2 * stage * (n->block_count / 3)];
            status = (projections & 1u << stage) == 0
                         ? add_tensor(r, layer, &layer->arrays[0], (uint32_t)conv->projection, LAYOUT_CONV)
                         : refuse(r, layer->value, "a second projection of the same shape");
            projections |= 1u << stage;
            break;
        }
        case KIND_LINEAR:
            status = add_tensor(r, layer, &layer->arrays[0], n->linear_weight, LAYOUT_SAME);
            linears++;
            break;
        }
    }
    return status;
}

bool neon_is(const struct pickle_value *root)
{
    return pickle_get(pickle_get(pickle_get(root, "model"), "config"), "layers") != NULL;
}

enum status neon_read(struct tensors *tensors, const char *path, const struct pickle_value *root, struct error *error)
{
    struct reader r = { .tensors = tensors, .path = path, .error = error };
    tensors_claim_items(tensors, pickle_dict(root));
    enum status status = walk(&r, pickle_get(root, "model"), 0);
    if (status == STATUS_OK)
        status = open_network(&r);
    if (status == STATUS_OK)
        status = add_tensors(&r);
    network_close(r.network);
    free(r.layers);
    return status;
}
