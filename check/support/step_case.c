#include "check/support/step_case.h"

#include <stdlib.h>

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    assert_non_null(memory);
    return memory;
}

void make_images(struct dataset *data)
{
    uint8_t *byte = data->images;
    for (uint32_t n = 0; n < data->count; n++) {
        uint32_t random = n + 1;
        data->labels[n] = (uint8_t)(3 * n % 10);
        for (uint32_t c = 0; c < 3; c++) {
            for (uint32_t i = 0; i < 32; i++) {
                for (uint32_t j = 0; j < 32; j++) {
                    random = random * 1664525u + 1013904223u;
                    *byte++ = (uint8_t)(((i * (3 + n) + j * (1 + 2 * n) + 37 * c * (1 + n)) & 127) + (random >> 25));
                }
            }
        }
    }
}

static const uint64_t state_seeds[VARIANT_COUNT] = { 19, 19, 19, 23 }; /* as in pytorch_step.py */

/* As make_state of pytorch_step.py: the initial state, with all but the 3x3 convolutions' and the linear weights moved
 * a little. */
static void make_state(const struct network *network, uint64_t seed, float *values)
{
    network_initialize(network, SEED, values);
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const struct tensor *tensor = &network->tensors[t];
        for (size_t i = 0; i < tensor->count && (tensor->rank == 1 || strstr(tensor->name, "shortcut") != NULL); i++) {
            uint32_t words[4];
            random_block(seed, RANDOM_WEIGHTS, t, (uint32_t)i, words);
            values[tensor->offset + i] += (float)((int32_t)(words[0] >> 16) - 32768) * 0x1p-18f;
        }
    }
}

struct step_case case_open(uint32_t variant, uint32_t depth, uint32_t N)
{
    const struct trial trial = { .depth = depth, .variant = variant, .batch = N };
    struct step_case c = { .recipe = trial_recipe(&trial), .N = N };
    struct error error;
    assert_int_equal(network_open(&c.network, &c.recipe.model, &error), STATUS_OK);
    assert_int_equal(dataset_allocate(&c.data, N, &error), STATUS_OK);
    make_images(&c.data);
    assert_int_equal(input_open(&c.input, &c.recipe.input, &c.data, &error), STATUS_OK);
    c.values = allocate(c.network->value_count, sizeof *c.values);
    make_state(c.network, state_seeds[variant], c.values);
    c.images = allocate((size_t)N * DATASET_IMAGE_BYTES, sizeof *c.images);
    for (uint32_t n = 0; n < N; n++)
        input_load_plain(c.input, c.data.images + (size_t)n * DATASET_IMAGE_BYTES,
                         c.images + (size_t)n * DATASET_IMAGE_BYTES, DATASET_PIXELS, DATASET_SIDE, 1);
    return c;
}

void case_close(struct step_case *c)
{
    network_close(c->network);
    dataset_free(&c->data);
    input_close(c->input);
    free(c->values);
    free(c->images);
}

void forward32_free(const struct step_case *c, struct forward32 *forward)
{
    for (uint32_t l = 0; l < c->network->conv_count; l++)
        free(forward->masks[l]);
    free(forward->masks);
    free(forward->logits);
}

static const float *value32(const struct step_case *c, int64_t tensor)
{
    return tensor < 0 ? NULL : c->values + c->network->tensors[tensor].offset;
}

/* The constants of a batch norm from all images' sums [N][2 K]. */
static void norm32(const struct step_case *c, uint32_t K, uint32_t pixels, const float *sums, int64_t gamma,
                   int64_t beta, struct exact_norm *norm)
{
    double *column = allocate(c->N, sizeof *column), tree[2];
    for (uint32_t k = 0; k < K; k++) {
        for (uint32_t which = 0; which < 2; which++) {
            for (uint32_t n = 0; n < c->N; n++)
                column[n] = (double)sums[(n * 2 + which) * K + k];
            tree[which] = exact_tree64(column, c->N, 1);
        }
        norm[k] = exact_norm_from_sums(tree[0], tree[1], (double)c->N * pixels, c->recipe.model.batch_norm_epsilon,
                                       value32(c, gamma)[k], value32(c, beta)[k]);
    }
    free(column);
}

/* What the shortcut of a block gives that changes the shape, for all images; layer l is the block's second. */
static void shortcut32(const struct step_case *c, uint32_t l, const float *block, float *z)
{
    const struct conv_layer *layer = &c->network->convs[l], *before = layer - 1;
    const struct conv2d d = {
        .C = before->channels, .K = before->filters, .H = before->side, .stride = before->stride
    };
    const uint32_t pixels = network64_pixels(layer), K = d.K;
    const size_t output = (size_t)K * pixels, input = (size_t)d.C * d.H * d.H;
    float *sums = allocate((size_t)c->N * 2 * K, sizeof *sums);
    float *scratch = allocate(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
    struct exact_norm norm[NETWORK_FEATURES];
    for (uint32_t n = 0; n < c->N; n++) {
        if (layer->projection >= 0)
            projection_forward(&d, block + n * input, value32(c, layer->projection), z + n * output);
        else
            option_a_forward(&d, before->option_a_first, block + n * input, z + n * output);
        batch_norm_sums(K, pixels, z + n * output, sums + n * 2 * K, scratch);
    }
    if (layer->projection_gamma >= 0) {
        norm32(c, K, pixels, sums, layer->projection_gamma, layer->projection_beta, norm);
        for (uint32_t n = 0; n < c->N; n++)
            batch_norm_forward(K, pixels, norm, z + n * output, z + n * output);
    }
    free(sums);
    free(scratch);
}

/* Layer l for the whole batch: a (N,C,H,H), and block, the input of the block that l ends; returns the output. */
static float *layer32(const struct step_case *c, uint32_t l, const float *a, const float *block)
{
    const struct conv_layer *layer = &c->network->convs[l];
    const struct conv2d d = { .C = layer->channels, .K = layer->filters, .H = layer->side, .stride = layer->stride };
    const uint32_t pixels = network64_pixels(layer), K = d.K;
    const size_t output = (size_t)K * pixels, input = (size_t)d.C * d.H * d.H, all = c->N * output;
    float *y = allocate(all, sizeof *y), *out = allocate(all, sizeof *out), *z = allocate(all, sizeof *z),
          *sums = allocate((size_t)c->N * 2 * K, sizeof *sums);
    float *scratch = allocate(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
    struct exact_norm norm[NETWORK_FEATURES];
    const bool winograd = c->recipe.arithmetic == ARITHMETIC_EXACT_2 && d.stride == 1 && d.C > 3;
    float *filters = winograd ? allocate((size_t)K * K * EXACT_WINOGRAD_POINTS, sizeof *filters) : NULL;
    if (winograd)
        winograd_filters(&d, value32(c, layer->weight), false, filters);
    for (uint32_t n = 0; n < c->N; n++) {
        if (winograd)
            winograd_forward(&d, a + n * input, filters, y + n * output, scratch);
        else
            conv2d_forward(&d, a + n * input, value32(c, layer->weight), y + n * output, scratch);
        batch_norm_sums(K, pixels, y + n * output, sums + n * 2 * K, scratch);
    }
    norm32(c, K, pixels, sums, layer->gamma, layer->beta, norm);
    for (uint32_t n = 0; n < c->N; n++)
        batch_norm_forward(K, pixels, norm, y + n * output, out + n * output);
    if (network64_second(l)) {
        if (layer[-1].stride == 1)
            memcpy(z, block, all * sizeof *z);
        else
            shortcut32(c, l, block, z);
        for (size_t i = 0; i < all; i++)
            out[i] = out[i] + z[i];
    }
    relu_forward(all, out);
    void *arrays[] = { y, z, sums, scratch, filters };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    return out;
}

/* From the last block's output to the logits and the loss. */
static void head32(const struct step_case *c, const float *a, struct forward32 *forward)
{
    const struct network *network = c->network;
    float pool[NETWORK_FEATURES], scratch[REFERENCE_PATCH_FLOATS], probabilities[NETWORK_CLASSES];
    double *column = allocate(c->N, sizeof *column);
    struct exact_norm norm[NETWORK_CLASSES];
    forward->logits = allocate((size_t)c->N * NETWORK_CLASSES, sizeof *forward->logits);
    for (uint32_t n = 0; n < c->N; n++) {
        pool_forward(a + (size_t)n * NETWORK_FEATURES * 64, pool, scratch);
        linear_forward(pool, value32(c, network->linear_weight), value32(c, network->linear_bias),
                       forward->logits + n * NETWORK_CLASSES);
    }
    for (uint32_t k = 0; k < NETWORK_CLASSES && network->logits_gamma >= 0; k++) {
        double mean, variance;
        logits_norm_statistics(c->N, k, forward->logits, &mean, &variance, column);
        norm[k] = exact_norm_constants(mean, variance, c->recipe.model.batch_norm_epsilon,
                                       value32(c, network->logits_gamma)[k], value32(c, network->logits_beta)[k]);
    }
    for (uint32_t n = 0; n < c->N; n++) {
        float *u = forward->logits + n * NETWORK_CLASSES;
        uint8_t prediction;
        if (network->logits_gamma >= 0)
            logits_norm_forward(norm, u, u);
        column[n] = (double)softmax_loss(u, c->data.labels[n], probabilities, &prediction);
    }
    forward->loss = (float)(exact_tree64(column, c->N, 1) / (double)c->N);
    free(column);
}

struct forward32 run_forward32(const struct step_case *c)
{
    const uint32_t layers = c->network->conv_count;
    struct forward32 forward = { .masks = allocate(layers, sizeof *forward.masks) };
    float *block = NULL, *a = allocate((size_t)c->N * DATASET_IMAGE_BYTES, sizeof *a);
    memcpy(a, c->images, (size_t)c->N * DATASET_IMAGE_BYTES * sizeof *a);
    for (uint32_t l = 0; l < layers; l++) {
        const size_t count = (size_t)c->N * c->network->convs[l].filters * network64_pixels(&c->network->convs[l]);
        float *out = layer32(c, l, a, network64_second(l) ? block : a);
        forward.masks[l] = allocate(count, 1);
        for (size_t i = 0; i < count; i++)
            forward.masks[l][i] = out[i] > 0.0f;
        if (network64_second(l))
            free(block);
        if (network64_second(l) || l == 0)
            free(a);
        else
            block = a;
        a = out;
    }
    head32(c, a, &forward);
    free(a);
    return forward;
}
