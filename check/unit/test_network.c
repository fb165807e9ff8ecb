/* Networks: the published numbers of parameters, PyTorch's names in their order, shapes, refused depths, and what the
 * weights start from. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/network.h"
#include "trainer/random.h"

static const struct model_config MSRA = { .shortcut = SHORTCUT_PROJECTION,
                                          .linear_bias = BIAS_NONE,
                                          .final_batch_norm = true };
static const struct model_config PAPER = { .shortcut = SHORTCUT_PAD_END,
                                           .linear_bias = BIAS_ZERO,
                                           .batch_norm_initial_variance = 1.0 };
static const struct model_config AKAMASTER = { .shortcut = SHORTCUT_PAD_BOTH,
                                               .linear_bias = BIAS_UNIFORM,
                                               .batch_norm_initial_variance = 1.0 };

static struct network *open_network(const struct model_config *variant, uint32_t depth)
{
    struct error error;
    struct network *network;
    struct model_config model = *variant;
    model.depth = depth;
    assert_int_equal(network_open(&network, &model, &error), STATUS_OK);
    return network;
}

static float *initialize(const struct network *network, uint64_t seed)
{
    float *values = malloc(network->value_count * sizeof *values);
    assert_non_null(values);
    network_initialize(network, seed, values);
    return values;
}

static const struct tensor *tensor_of(const struct network *network, const char *name)
{
    int32_t index = network_find(network, name);
    if (index < 0)
        fail_msg("there is no tensor %s", name);
    return &network->tensors[index];
}

/* source   option A: akamaster's table (0.27M, 0.46M, 0.85M, 1.7M) and He et al., table 6; msra: those less 10 biases,
 *          plus 16 x 32 + 32 x 64 for the projections and 10 + 10 for the logits' norm. */
static void test_parameter_counts(void **state)
{
    static const struct {
        uint32_t depth;
        size_t msra, option_a;
    } counts[] = { { 20, 272292, 269722 }, { 32, 466724, 464154 }, { 56, 855588, 853018 }, { 110, 1730532, 1727962 } };
    const struct model_config *variants[] = { &MSRA, &PAPER, &AKAMASTER };
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        assert_int_equal(counts[i].msra - counts[i].option_a, 16 * 32 + 32 * 64 + 10 + 10 - 10);
        for (size_t variant = 0; variant < 3; variant++) {
            struct network *network = open_network(variants[variant], counts[i].depth);
            assert_int_equal(network->parameter_count, variant == 0 ? counts[i].msra : counts[i].option_a);
            assert_int_equal(network->conv_count, counts[i].depth - 1);
            assert_int_equal(network->block_count, (counts[i].depth - 2) / 2);
            network_close(network);
        }
    }
}

/* Every name of the smallest networks, written out: the order is bytewise, so bn before conv, and linear last. */
static void test_names(void **state)
{
#define NORM(name) name ".bias", name ".running_mean", name ".running_var", name ".weight"
#define BLOCK(name) NORM(name ".bn1"), NORM(name ".bn2"), name ".conv1.weight", name ".conv2.weight"
    static const char *const msra[] = { NORM("bn1"),       NORM("bn_logits"),
                                        "conv1.weight",    BLOCK("layer1.0"),
                                        BLOCK("layer2.0"), "layer2.0.shortcut.0.weight",
                                        BLOCK("layer3.0"), "layer3.0.shortcut.0.weight",
                                        "linear.weight" };
    static const char *const option_a[] = { NORM("bn1"),       "conv1.weight", BLOCK("layer1.0"), BLOCK("layer2.0"),
                                            BLOCK("layer3.0"), "linear.bias",  "linear.weight" };
    const struct {
        const struct model_config *model;
        const char *const *names;
        size_t count;
    } cases[] = { { &MSRA, msra, sizeof msra / sizeof *msra },
                  { &PAPER, option_a, sizeof option_a / sizeof *option_a },
                  { &AKAMASTER, option_a, sizeof option_a / sizeof *option_a } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct network *network = open_network(cases[i].model, 8);
        assert_int_equal(network->tensor_count, cases[i].count);
        for (uint32_t t = 0; t < network->tensor_count; t++)
            assert_string_equal(network->tensors[t].name, cases[i].names[t]);
        network_close(network);
    }
}

/* Depth 110 has blocks of two digits: layer1.10 comes before layer1.2. Tensors follow each other without a gap. */
static void test_order_and_offsets(void **state)
{
    struct network *network = open_network(&MSRA, 110);
    size_t offset = 0, parameters = 0;
    (void)state;
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const struct tensor *tensor = &network->tensors[t];
        size_t count = 1;
        for (uint32_t i = 0; i < tensor->rank; i++)
            count *= tensor->shape[i];
        assert_true(t == 0 || strcmp(network->tensors[t - 1].name, tensor->name) < 0);
        assert_int_equal(network_find(network, tensor->name), t);
        assert_int_equal(tensor->count, count);
        assert_int_equal(tensor->offset, offset);
        assert_int_equal(tensor->role == TENSOR_RUNNING, strstr(tensor->name, ".running_") != NULL);
        offset += count;
        parameters += tensor->role == TENSOR_PARAMETER ? count : 0;
    }
    assert_int_equal(network->value_count, offset);
    assert_int_equal(network->parameter_count, parameters);
    assert_true(network_find(network, "layer1.10.conv1.weight") < network_find(network, "layer1.2.conv1.weight"));
    assert_int_equal(network_find(network, "layer1.18.conv1.weight"), -1);
    assert_int_equal(network_find(network, ""), -1);
    network_close(network);
}

static void expect_shape(const struct network *network, const char *name, uint32_t rank, const uint32_t *shape)
{
    const struct tensor *tensor = tensor_of(network, name);
    assert_int_equal(tensor->rank, rank);
    assert_memory_equal(tensor->shape, shape, rank * sizeof *shape);
}

static void test_shapes(void **state)
{
    struct network *network = open_network(&MSRA, 20);
    (void)state;
    expect_shape(network, "conv1.weight", 4, (uint32_t[]){ 16, 3, 3, 3 });
    expect_shape(network, "layer1.2.conv2.weight", 4, (uint32_t[]){ 16, 16, 3, 3 });
    expect_shape(network, "layer2.0.conv1.weight", 4, (uint32_t[]){ 32, 16, 3, 3 });
    expect_shape(network, "layer2.0.conv2.weight", 4, (uint32_t[]){ 32, 32, 3, 3 });
    expect_shape(network, "layer2.0.shortcut.0.weight", 4, (uint32_t[]){ 32, 16, 1, 1 });
    expect_shape(network, "layer3.0.conv1.weight", 4, (uint32_t[]){ 64, 32, 3, 3 });
    expect_shape(network, "layer3.0.shortcut.0.weight", 4, (uint32_t[]){ 64, 32, 1, 1 });
    expect_shape(network, "layer3.2.bn2.running_var", 1, (uint32_t[]){ 64 });
    expect_shape(network, "linear.weight", 2, (uint32_t[]){ 10, 64 });
    expect_shape(network, "bn_logits.weight", 1, (uint32_t[]){ 10 });
    for (uint32_t c = 0; c < network->conv_count; c++) {
        const struct conv_layer *conv = &network->convs[c];
        const bool changes = c == 7 || c == 13; /* the first convolution of stages 2 and 3, of six each */
        assert_int_equal(conv->stride, changes ? 2 : 1);
        assert_int_equal(conv->side / conv->stride, c < 7 ? 32 : c < 13 ? 16 : 8);
        assert_int_equal(conv->projection >= 0, c == 8 || c == 14);
    }
    network_close(network);
}

static void test_depths_refused(void **state)
{
    static const struct {
        uint32_t depth;
        const char *said;
    } refused[] = { { 0, "the smallest depth is 8" },
                    { 2, "the smallest depth is 8" },
                    { 7, "the smallest depth is 8" },
                    { 9, "the nearest depths are 8 and 14" },
                    { 18, "the nearest depths are 14 and 20" },
                    { 21, "the nearest depths are 20 and 26" },
                    { 109, "the nearest depths are 104 and 110" } };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct error error;
        struct network *network;
        struct model_config model = MSRA;
        model.depth = refused[i].depth;
        assert_int_equal(network_check_depth(refused[i].depth, &error), STATUS_INPUT);
        assert_non_null(strstr(error.message, refused[i].said));
        assert_int_equal(network_open(&network, &model, &error), STATUS_INPUT);
        assert_null(network);
    }
    for (uint32_t depth = 8; depth <= 1202; depth += 6) {
        struct error error;
        assert_int_equal(network_check_depth(depth, &error), STATUS_OK);
    }
}

/* The names of the layers whose weights are drawn, in the order of the forward pass, which numbers them: ARITHMETIC.md,
 * section 9. */
static void drawn_name(const struct network *network, uint32_t number, char name[TENSOR_NAME_BYTES])
{
    const uint32_t blocks = network->block_count / 3, block = (number - 1) / 2;
    if (number == 0)
        snprintf(name, TENSOR_NAME_BYTES, "conv1.weight");
    else if (number == network->conv_count)
        snprintf(name, TENSOR_NAME_BYTES, "linear.weight");
    else
        snprintf(name, TENSOR_NAME_BYTES, "layer%u.%u.conv%u.weight", 1 + block / blocks, block % blocks,
                 1 + (number - 1) % 2);
}

static double fan_in(const struct tensor *tensor)
{
    return tensor->rank == 2 ? 64.0 : 9.0 * tensor->shape[1];
}

static void test_weights_as_defined(void **state)
{
    const uint64_t seed = 0x123456789abcdef0;
    struct network *network = open_network(&MSRA, 26);
    float *values = initialize(network, seed);
    (void)state;
    for (uint32_t number = 0; number <= network->conv_count; number++) {
        char name[TENSOR_NAME_BYTES];
        drawn_name(network, number, name);
        const struct tensor *tensor = tensor_of(network, name);
        for (size_t i = 0; i < tensor->count; i++) {
            uint32_t words[4];
            random_block(seed, RANDOM_WEIGHTS, number, (uint32_t)(i / 4), words);
            const float expected = (float)(sqrt(2.0 / fan_in(tensor)) * random_normal(words[i % 4]));
            assert_memory_equal(&values[tensor->offset + i], &expected, sizeof expected);
        }
    }
    free(values);
    network_close(network);
}

/* Mean, variance and the share within one deviation of each layer's weights, each within five standard errors of a
 * normal distribution's; no layer goes with the one before it. */
static void test_weights_are_normal(void **state)
{
    const double within_one = 0.6826894921370859, errors = 5.0;
    struct network *network = open_network(&PAPER, 56);
    float *values = initialize(network, 1);
    const float *before = NULL;
    size_t count_before = 0;
    (void)state;
    for (uint32_t number = 0; number <= network->conv_count; number++) {
        char name[TENSOR_NAME_BYTES];
        drawn_name(network, number, name);
        const struct tensor *tensor = tensor_of(network, name);
        const float *weights = values + tensor->offset;
        const double n = (double)tensor->count, deviation = sqrt(2.0 / fan_in(tensor));
        double sum = 0.0, squares = 0.0, within = 0.0, products = 0.0;
        for (size_t i = 0; i < tensor->count; i++) {
            const double z = (double)weights[i] / deviation;
            sum += z;
            squares += z * z;
            within += fabs(z) < 1.0;
            if (i < count_before)
                products += z * (double)before[i] / deviation;
        }
        assert_true(fabs(sum / n) < errors / sqrt(n));
        assert_true(fabs(squares / n - 1.0) < errors * sqrt(2.0 / n));
        assert_true(fabs(within / n - within_one) < errors * sqrt(within_one * (1.0 - within_one) / n));
        /* In units of this layer's deviation the one before has at most twice the variance; conv1, of few channels, has
         * more. */
        if (number > 1)
            assert_true(fabs(products) < errors * sqrt(2.0 * n));
        before = weights;
        count_before = tensor->count;
    }
    free(values);
    network_close(network);
}

/* Everything else: norms are the identity, projections too, statistics and biases as the variant says. */
static void test_other_values(void **state)
{
    const struct model_config *variants[] = { &MSRA, &PAPER, &AKAMASTER };
    (void)state;
    for (size_t variant = 0; variant < 3; variant++) {
        struct network *network = open_network(variants[variant], 20);
        float *values = initialize(network, 3);
        uint32_t identities = 0;
        for (uint32_t t = 0; t < network->tensor_count; t++) {
            const struct tensor *tensor = &network->tensors[t];
            const float *v = values + tensor->offset;
            const bool gamma = tensor->rank == 1 && strstr(tensor->name, ".weight") != NULL;
            const bool variance = strstr(tensor->name, ".running_var") != NULL;
            const bool uniform = variant == 2 && strcmp(tensor->name, "linear.bias") == 0;
            for (size_t i = 0; i < tensor->count && tensor->rank == 1 && !uniform; i++)
                assert_true(v[i] == (gamma || (variance && variant != 0) ? 1.0f : 0.0f));
            for (size_t i = 0; i < tensor->count && uniform; i++)
                assert_true(fabsf(v[i]) < 0.125f && (i == 0 || v[i] != v[i - 1]));
            if (strstr(tensor->name, "shortcut") == NULL)
                continue;
            identities++;
            for (uint32_t k = 0; k < tensor->shape[0]; k++) {
                for (uint32_t c = 0; c < tensor->shape[1]; c++)
                    assert_true(v[k * tensor->shape[1] + c] == (k == c ? 1.0f : 0.0f));
            }
        }
        assert_int_equal(identities, variant == 0 ? 2 : 0);
        free(values);
        network_close(network);
    }
}

static void test_seeds_differ(void **state)
{
    struct network *network = open_network(&AKAMASTER, 8);
    float *values = initialize(network, 1), *again = initialize(network, 1), *low = initialize(network, 2),
          *high = initialize(network, 1 + (UINT64_C(1) << 32));
    const struct tensor *conv = tensor_of(network, "conv1.weight"), *bias = tensor_of(network, "linear.bias");
    const struct tensor *tensors[] = { conv, bias };
    (void)state;
    assert_memory_equal(values, again, network->value_count * sizeof *values);
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = tensors[t]->offset; i < tensors[t]->offset + tensors[t]->count; i++)
            assert_true(values[i] != low[i] && values[i] != high[i]);
    }
    free(values);
    free(again);
    free(low);
    free(high);
    network_close(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameter_counts),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_order_and_offsets),  cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_depths_refused),     cmocka_unit_test(test_weights_as_defined),
        cmocka_unit_test(test_weights_are_normal), cmocka_unit_test(test_other_values),
        cmocka_unit_test(test_seeds_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
