#include "trainer/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/random.h"

enum status network_check_depth(uint32_t depth, struct error *error)
{
    if (depth >= 8 && (depth - 2) % 6 == 0)
        return STATUS_OK;
    if (depth < 8)
        return error_set(error, STATUS_INPUT, "%u is not 6n+2 with n >= 1; the smallest depth is 8", depth);
    uint32_t below = depth - (depth - 2) % 6;
    return error_set(error, STATUS_INPUT, "%u is not 6n+2; the nearest depths are %u and %u", depth, below, below + 6);
}

/* Adds a tensor; offsets follow once all names are known and sorted. */
static uint32_t add_tensor(struct network *network, const char *prefix, const char *suffix, enum tensor_role role,
                           uint32_t rank, const uint32_t *shape)
{
    struct tensor *tensor = &network->tensors[network->tensor_count];
    memset(tensor, 0, sizeof *tensor);
    snprintf(tensor->name, sizeof tensor->name, "%s.%s", prefix, suffix);
    tensor->role = role;
    tensor->rank = rank;
    tensor->count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        tensor->shape[i] = shape[i];
        tensor->count *= shape[i];
    }
    return network->tensor_count++;
}

static uint32_t add_vector(struct network *network, const char *prefix, const char *suffix, enum tensor_role role,
                           uint32_t length)
{
    return add_tensor(network, prefix, suffix, role, 1, &length);
}

enum { BLOCK_BYTES = 32, PREFIX_BYTES = 48 }; /* "layer3.4294967295." and what comes before a tensor's last dot */

static void add_conv(struct network *network, const char *block, const char *number, uint32_t channels,
                     uint32_t filters, uint32_t side, uint32_t stride)
{
    struct conv_layer *conv = &network->convs[network->conv_count++];
    char name[PREFIX_BYTES];
    *conv = (struct conv_layer){
        .channels = channels,
        .filters = filters,
        .side = side,
        .stride = stride,
        .projection = -1,
        .projection_gamma = -1,
        .projection_beta = -1,
        .projection_mean = -1,
        .projection_variance = -1,
    };
    snprintf(name, sizeof name, "%sconv%s", block, number);
    if (stride == 2 && network->model.shortcut == SHORTCUT_PAD_BOTH)
        conv->option_a_first = (filters - channels) / 2;
    conv->weight = add_tensor(network, name, "weight", TENSOR_PARAMETER, 4, (uint32_t[]){ filters, channels, 3, 3 });
    snprintf(name, sizeof name, "%sbn%s", block, number);
    conv->gamma = add_vector(network, name, "weight", TENSOR_PARAMETER, filters);
    conv->beta = add_vector(network, name, "bias", TENSOR_PARAMETER, filters);
    conv->running_mean = add_vector(network, name, "running_mean", TENSOR_RUNNING, filters);
    conv->running_variance = add_vector(network, name, "running_var", TENSOR_RUNNING, filters);
}

/* Of the block whose second convolution was added last. */
static void add_projection(struct network *network, const char *block, uint32_t channels, uint32_t filters)
{
    struct conv_layer *conv = &network->convs[network->conv_count - 1];
    char name[PREFIX_BYTES];
    const enum shortcut shortcut = network->model.shortcut;
    if (shortcut != SHORTCUT_PROJECTION && shortcut != SHORTCUT_PROJECTION_BN)
        return;
    snprintf(name, sizeof name, "%sshortcut.0", block);
    conv->projection =
        (int32_t)add_tensor(network, name, "weight", TENSOR_PARAMETER, 4, (uint32_t[]){ filters, channels, 1, 1 });
    if (shortcut == SHORTCUT_PROJECTION)
        return;
    snprintf(name, sizeof name, "%sshortcut.1", block);
    conv->projection_gamma = (int32_t)add_vector(network, name, "weight", TENSOR_PARAMETER, filters);
    conv->projection_beta = (int32_t)add_vector(network, name, "bias", TENSOR_PARAMETER, filters);
    conv->projection_mean = (int32_t)add_vector(network, name, "running_mean", TENSOR_RUNNING, filters);
    conv->projection_variance = (int32_t)add_vector(network, name, "running_var", TENSOR_RUNNING, filters);
}

static void add_layers(struct network *network)
{
    const struct model_config *model = &network->model;
    uint32_t blocks = (model->depth - 2) / 6;
    add_conv(network, "", "1", 3, 16, 32, 1);
    for (uint32_t stage = 0; stage < 3; stage++) {
        for (uint32_t block = 0; block < blocks; block++) {
            char name[BLOCK_BYTES];
            bool changes = stage > 0 && block == 0;
            uint32_t filters = 16u << stage, side = 32u >> stage;
            uint32_t channels = changes ? filters / 2 : filters, stride = changes ? 2 : 1;
            snprintf(name, sizeof name, "layer%u.%u.", stage + 1, block);
            add_conv(network, name, "1", channels, filters, side * stride, stride);
            add_conv(network, name, "2", filters, filters, side, 1);
            if (changes)
                add_projection(network, name, channels, filters);
        }
    }
    network->block_count = 3 * blocks;
    network->linear_weight = (int32_t)add_tensor(network, "linear", "weight", TENSOR_PARAMETER, 2,
                                                 (uint32_t[]){ NETWORK_CLASSES, NETWORK_FEATURES });
    network->linear_bias = -1;
    if (model->linear_bias != BIAS_NONE)
        network->linear_bias = (int32_t)add_vector(network, "linear", "bias", TENSOR_PARAMETER, NETWORK_CLASSES);
    network->logits_gamma = network->logits_beta = network->logits_mean = network->logits_variance = -1;
    if (model->final_batch_norm) {
        network->logits_gamma = (int32_t)add_vector(network, "bn_logits", "weight", TENSOR_PARAMETER, NETWORK_CLASSES);
        network->logits_beta = (int32_t)add_vector(network, "bn_logits", "bias", TENSOR_PARAMETER, NETWORK_CLASSES);
        network->logits_mean =
            (int32_t)add_vector(network, "bn_logits", "running_mean", TENSOR_RUNNING, NETWORK_CLASSES);
        network->logits_variance =
            (int32_t)add_vector(network, "bn_logits", "running_var", TENSOR_RUNNING, NETWORK_CLASSES);
    }
}

struct named {
    char name[TENSOR_NAME_BYTES];
    uint32_t index;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* Sorts the tensors by name, gives them their offsets, and renumbers every reference to them. */
static enum status sort_tensors(struct network *network, struct error *error)
{
    uint32_t count = network->tensor_count;
    struct named *named = calloc(count, sizeof *named);
    struct tensor *sorted = calloc(count, sizeof *sorted);
    uint32_t *place = calloc(count, sizeof *place);
    if (named == NULL || sorted == NULL || place == NULL) {
        free(named);
        free(sorted);
        free(place);
        return error_out_of_memory(error, "a network of depth %u", network->model.depth);
    }
    for (uint32_t i = 0; i < count; i++) {
        memcpy(named[i].name, network->tensors[i].name, sizeof named[i].name);
        named[i].index = i;
    }
    qsort(named, count, sizeof *named, compare_names);
    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = network->tensors[named[i].index];
        sorted[i].offset = network->value_count;
        network->value_count += sorted[i].count;
        if (sorted[i].role == TENSOR_PARAMETER)
            network->parameter_count += sorted[i].count;
        place[named[i].index] = i;
    }
    memcpy(network->tensors, sorted, count * sizeof *sorted);
    for (uint32_t i = 0; i < network->conv_count; i++) {
        struct conv_layer *conv = &network->convs[i];
        conv->weight = place[conv->weight];
        conv->gamma = place[conv->gamma];
        conv->beta = place[conv->beta];
        conv->running_mean = place[conv->running_mean];
        conv->running_variance = place[conv->running_variance];
        int32_t *optional[] = { &conv->projection, &conv->projection_gamma, &conv->projection_beta,
                                &conv->projection_mean, &conv->projection_variance };
        for (size_t k = 0; k < sizeof optional / sizeof *optional; k++) {
            if (*optional[k] >= 0)
                *optional[k] = (int32_t)place[*optional[k]];
        }
    }
    network->linear_weight = (int32_t)place[network->linear_weight];
    int32_t *optional[] = { &network->linear_bias, &network->logits_gamma, &network->logits_beta, &network->logits_mean,
                            &network->logits_variance };
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        if (*optional[i] >= 0)
            *optional[i] = (int32_t)place[*optional[i]];
    }
    free(named);
    free(sorted);
    free(place);
    return STATUS_OK;
}

enum status network_open(struct network **out, const struct model_config *model, struct error *error)
{
    *out = NULL;
    enum status status = network_check_depth(model->depth, error);
    if (status != STATUS_OK)
        return status;
    struct network *network = calloc(1, sizeof *network);
    size_t convs = model->depth - 1;
    if (network != NULL) {
        network->model = *model;
        network->convs = calloc(convs, sizeof *network->convs);
        network->tensors = calloc(5 * convs + 16, sizeof *network->tensors);
    }
    if (network == NULL || network->convs == NULL || network->tensors == NULL) {
        network_close(network);
        return error_out_of_memory(error, "a network of depth %u", model->depth);
    }
    add_layers(network);
    status = sort_tensors(network, error);
    if (status != STATUS_OK)
        network_close(network);
    else
        *out = network;
    return status;
}

void network_close(struct network *network)
{
    if (network == NULL)
        return;
    free(network->convs);
    free(network->tensors);
    free(network);
}

int32_t network_find(const struct network *network, const char *name)
{
    uint32_t low = 0, high = network->tensor_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = strcmp(name, network->tensors[middle].name);
        if (order == 0)
            return (int32_t)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

static void fill(const struct network *network, int32_t tensor, float *values, float value)
{
    if (tensor < 0)
        return;
    for (size_t i = 0; i < network->tensors[tensor].count; i++)
        values[network->tensors[tensor].offset + i] = value;
}

/* ARITHMETIC.md section 9: normal deviates for the layer numbered `major`. */
static void fill_normal(const struct tensor *tensor, uint64_t seed, uint64_t major, double fan_in, float *values)
{
    double deviation = sqrt(2.0 / fan_in);
    for (size_t i = 0; i < tensor->count; i += 4) {
        uint32_t words[4];
        random_block(seed, RANDOM_WEIGHTS, major, (uint32_t)(i / 4), words);
        for (size_t j = 0; j < 4 && i + j < tensor->count; j++)
            values[tensor->offset + i + j] = (float)(deviation * random_normal(words[j]));
    }
}

/* A projection without a batch norm begins as the identity: of K filters, the first C copy the inputs. One with a batch
 * norm begins at random, and its number follows that of the linear layer. */
static void initialize_projection(const struct network *network, const struct conv_layer *conv, uint64_t seed,
                                  float *values)
{
    const struct tensor *tensor = &network->tensors[conv->projection];
    const uint32_t channels = tensor->shape[1];
    if (conv->projection_gamma < 0) {
        for (uint32_t c = 0; c < channels; c++)
            values[tensor->offset + (size_t)c * channels + c] = 1.0f;
        return;
    }
    fill_normal(tensor, seed, network->conv_count + (conv->filters == NETWORK_FEATURES ? 2 : 1), channels, values);
    fill(network, conv->projection_gamma, values, 1.0f);
    fill(network, conv->projection_variance, values, (float)network->model.batch_norm_initial_variance);
}

void network_initialize(const struct network *network, uint64_t seed, float *values)
{
    const struct tensor *tensors = network->tensors;
    memset(values, 0, network->value_count * sizeof *values);
    for (uint32_t i = 0; i < network->conv_count; i++) {
        const struct conv_layer *conv = &network->convs[i];
        fill_normal(&tensors[conv->weight], seed, i, 9.0 * conv->channels, values);
        fill(network, (int32_t)conv->gamma, values, 1.0f);
        fill(network, (int32_t)conv->running_variance, values, (float)network->model.batch_norm_initial_variance);
        if (conv->projection >= 0)
            initialize_projection(network, conv, seed, values);
    }
    fill_normal(&tensors[network->linear_weight], seed, network->conv_count, NETWORK_FEATURES, values);
    if (network->model.linear_bias == BIAS_UNIFORM) {
        for (uint32_t k = 0; k < NETWORK_CLASSES; k++) {
            uint32_t words[4];
            random_block(seed, RANDOM_BIAS, 0, k / 4, words);
            double unit = ((double)words[k % 4] + 0.5) * 0x1p-32;
            values[tensors[network->linear_bias].offset + k] = (float)((unit * 2.0 - 1.0) * 0.125);
        }
    }
    fill(network, network->logits_gamma, values, 1.0f);
    fill(network, network->logits_variance, values, (float)network->model.batch_norm_initial_variance);
}
