/* Whole training steps of the scalar reference: against binary64 (check/support/float64_network.h) with the ReLUs of
 * the float32 run, and against PyTorch (check/goldens/pytorch_step.py). The binary64 network is itself held against
 * central differences and PyTorch. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/float_environment.h"
#include "check/support/backends.h"
#include "check/support/step_case.h"
#include "check/support/tolerance.h"

/* ---- tolerances -------------------------------------------------------------------------------------------------- */

enum quantity {
    STEP_LOSS,
    STEP_LOGITS,
    STEP_GRADIENT,
    STEP_RUNNING,
    STEP_VALUE,
    STEP_MOMENTUM,
    EVALUATION,
    DIFFERENCES,
    PYTORCH64_LOSS,
    PYTORCH64_TENSORS,
    PYTORCH_LOSS,
    PYTORCH_LOGITS,
    PYTORCH_TENSORS,
    PYTORCH_CHANGE,
    QUANTITIES
};

/* Largest difference, relative to the largest value of the tensor; that of a loss relative to it. */
static struct tolerance TOLERANCES[QUANTITIES] = {
    [STEP_LOSS] = { "float64: loss", 1e-6, "2.4e-7: what the logits are off, averaged", 0.0 },
    [STEP_LOGITS] = { "float64: logits", 1.2e-5,
                      "2.9e-6, msra's depth 20: its norm over 3 images multiplies the linear layer's error", 0.0 },
    [STEP_GRADIENT] = { "float64: gradients", 2.5e-5,
                        "6.6e-6, msra's depth 20, too; 3.1e-6 without that norm, and 2.0e-6 at depth 8", 0.0 },
    [STEP_RUNNING] = { "float64: running statistics", 2e-6, "5.1e-7: activations are off by as much", 0.0 },
    [STEP_VALUE] = { "float64: updated weights", 4e-6, "1.1e-6: the gradient's error, by the rate", 0.0 },
    [STEP_MOMENTUM] = { "float64: updated momentum", 3e-5,
                        "6.2e-6: the gradient's error, where old momentum cancels its largest elements", 0.0 },
    [EVALUATION] = { "float64: evaluation", 4e-7,
                     "2.0e-7, projection-bn; relative to the larger of loss and largest logit", 0.0 },
    [DIFFERENCES] = { "central differences", 1.2e-8, "2.9e-9: a step of 1e-5 squared, by the third derivative", 0.0 },
    [PYTORCH64_LOSS] = { "PyTorch, float64: loss", 2e-15, "3.3e-16: another order of binary64 sums", 0.0 },
    [PYTORCH64_TENSORS] = { "PyTorch, float64: tensors", 3e-14, "6.9e-15: the same", 0.0 },
    [PYTORCH_LOSS] = { "PyTorch: losses", 8e-7,
                       "1.8e-7, both steps; PyTorch's own float32 is off by 1.1e-7 in the first", 0.0 },
    [PYTORCH_LOGITS] = { "PyTorch: logits", 6e-6, "1.5e-6: msra's norm over 4 images", 0.0 },
    [PYTORCH_TENSORS] = { "PyTorch: tensors", 1.2e-5, "2.9e-6; PyTorch's own float32 is off by 3.4e-6", 0.0 },
    [PYTORCH_CHANGE] = { "PyTorch: change in two steps", 1.4e-5, "3.6e-6: gradients of two steps", 0.0 },
};

static void expect_error(enum quantity quantity, const char *where, double error)
{
    tolerance_expect(&TOLERANCES[quantity], where, error);
}

static int print_errors(void **state)
{
    (void)state;
    tolerance_print(TOLERANCES, QUANTITIES);
    return 0;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* What the reference leaves after one or more steps on the case's batch. The caller frees values and momentum. */
struct after {
    float *values, *momentum;
    struct backend_outcome outcomes[2];
};

static struct after run_steps(const struct step_case *c, const struct training_config *training, uint32_t steps,
                              const float *momentum)
{
    const struct backend_operations *operations = reference_backend();
    struct recipe recipe = c->recipe;
    struct backend *backend;
    struct error error;
    struct after after = { .values = allocate(c->network->value_count, sizeof *after.values),
                           .momentum = allocate(c->network->value_count, sizeof *after.momentum) };
    recipe.training = *training;
    assert_int_equal(operations->open(&backend, &recipe, c->network, 2, false, NULL, &error), STATUS_OK);
    operations->set_state(backend, c->values, momentum != NULL ? momentum : after.momentum);
    const struct backend_batch batch = { .count = c->N, .data = &c->data, .input = c->input };
    for (uint32_t step = 0; step < steps; step++) {
        operations->step(backend, &batch, (float)training->schedule.learning_rate, &after.outcomes[step]);
        assert_string_equal(after.outcomes[step].non_finite, "");
    }
    operations->get_state(backend, after.values, after.momentum);
    operations->close(backend);
    return after;
}

/* One step whose momentum afterwards is the gradient itself: PyTorch's form from no momentum, without decay. */
static struct after run_for_gradients(const struct step_case *c)
{
    struct training_config training = c->recipe.training;
    training.momentum_form = MOMENTUM_PYTORCH;
    training.weight_decay = 0.0;
    return run_steps(c, &training, 1, NULL);
}

static void after_free(struct after *after)
{
    free(after->values);
    free(after->momentum);
}

/* ---- against binary64 -------------------------------------------------------------------------------------------- */

static double *tensor64(const struct step_case *c, double *array, uint32_t t)
{
    return array + c->network->tensors[t].offset;
}

static double tensor_error(const struct step_case *c, uint32_t t, const float *ours, double *wide)
{
    return relative_error(c->network->tensors[t].count, ours + c->network->tensors[t].offset, tensor64(c, wide, t));
}

/* One step of either momentum form, with decay and from some momentum, against section 7 in binary64. */
static void expect_update(const struct step_case *c, enum momentum_form form, const double *gradients)
{
    struct training_config training = c->recipe.training;
    training.momentum_form = form;
    float *momentum = allocate(c->network->value_count, sizeof *momentum);
    for (size_t i = 0; i < c->network->value_count; i++) {
        uint32_t words[4];
        random_block(SEED, RANDOM_EMBEDDED, 0, (uint32_t)i, words);
        momentum[i] = (float)random_normal(words[0]) * 0.01f;
    }
    struct after after = run_steps(c, &training, 1, momentum);
    double *w = widened(c->values, c->network->value_count), *v = widened(momentum, c->network->value_count);
    const double rate = training.schedule.learning_rate;
    for (size_t i = 0; i < c->network->value_count; i++) {
        const double g = gradients[i] + training.weight_decay * w[i];
        v[i] = training.momentum * v[i] + (form == MOMENTUM_NEON ? -rate * g : g);
        w[i] += form == MOMENTUM_NEON ? v[i] : -rate * v[i];
    }
    for (uint32_t t = 0; t < c->network->tensor_count; t++) {
        if (c->network->tensors[t].role != TENSOR_PARAMETER)
            continue;
        expect_error(STEP_VALUE, c->network->tensors[t].name, tensor_error(c, t, after.values, w));
        expect_error(STEP_MOMENTUM, c->network->tensors[t].name, tensor_error(c, t, after.momentum, v));
    }
    after_free(&after);
    free(momentum);
    free(w);
    free(v);
}

static void whole_step(uint32_t variant, uint32_t depth, uint32_t N)
{
    struct step_case c = case_open(variant, depth, N);
    struct forward32 forward = run_forward32(&c);
    struct after after = run_for_gradients(&c);
    struct network64 wide;
    uint32_t worst = 0;
    double largest = 0.0;
    /* The masks are the backend's: its loss is this one, to the last bit. */
    assert_memory_equal(&forward.loss, &after.outcomes[0].loss, sizeof forward.loss);
    network64_open(&wide, c.network, N, c.values, c.images, c.data.labels);
    wide.masks = (const uint8_t *const *)forward.masks;
    network64_forward(&wide, 0);
    network64_backward(&wide);
    expect_error(STEP_LOSS, VARIANTS[variant], fabs((double)forward.loss - wide.loss) / wide.loss);
    expect_error(STEP_LOGITS, VARIANTS[variant], relative_error((size_t)N * NETWORK_CLASSES, forward.logits, wide.u));
    for (uint32_t t = 0; t < c.network->tensor_count; t++) {
        const struct tensor *tensor = &c.network->tensors[t];
        if (tensor->role == TENSOR_RUNNING) {
            expect_error(STEP_RUNNING, tensor->name, tensor_error(&c, t, after.values, wide.running));
            continue;
        }
        const double error = tensor_error(&c, t, after.momentum, wide.gradients);
        worst = error > largest ? t : worst;
        largest = fmax(largest, error);
        expect_error(STEP_GRADIENT, tensor->name, error);
    }
    print_message("%s, depth %u, batch %u: loss %.7f, gradients to %.2g (%s)\n", VARIANTS[variant], depth, N,
                  (double)forward.loss, largest, c.network->tensors[worst].name);
    expect_update(&c, MOMENTUM_NEON, wide.gradients);
    expect_update(&c, MOMENTUM_PYTORCH, wide.gradients);
    network64_close(&wide);
    forward32_free(&c, &forward);
    after_free(&after);
    case_close(&c);
}

/* Groups of weight gradients are partly full at every side. */
static void test_depth_8(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++)
        whole_step(variant, 8, 5);
}

static void test_depth_20(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++)
        whole_step(variant, 20, 3);
}

/* Inference by section 8: each image's loss and class. The running variances are made positive, as they are after
 * training. */
static void test_evaluation(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
        enum { IMAGES = 5 };
        struct step_case c = case_open(variant, 8, IMAGES);
        struct network64 wide;
        struct backend *backend;
        struct error error;
        uint8_t predictions[IMAGES];
        float losses[IMAGES], *momentum = allocate(c.network->value_count, sizeof *momentum);
        for (uint32_t t = 0; t < c.network->tensor_count; t++) {
            const struct tensor *tensor = &c.network->tensors[t];
            float *value = c.values + tensor->offset;
            for (size_t i = 0; i < tensor->count && strstr(tensor->name, "running_var") != NULL; i++)
                value[i] = 0.5f + fabsf(value[i]);
        }
        assert_int_equal(reference_backend()->open(&backend, &c.recipe, c.network, 2, false, NULL, &error), STATUS_OK);
        reference_backend()->set_state(backend, c.values, momentum);
        const struct backend_batch batch = { .count = IMAGES, .data = &c.data, .input = c.input };
        reference_backend()->evaluate(backend, &batch, predictions, losses);
        reference_backend()->close(backend);
        network64_open(&wide, c.network, IMAGES, c.values, c.images, c.data.labels);
        wide.evaluating = true;
        network64_forward(&wide, 0);
        for (uint32_t n = 0; n < IMAGES; n++) {
            const double *u = wide.u + n * NETWORK_CLASSES;
            double probabilities[NETWORK_CLASSES];
            const double loss = softmax64_loss(u, c.data.labels[n], probabilities);
            expect_error(EVALUATION, VARIANTS[variant],
                         fabs((double)losses[n] - loss) / fmax(loss, fabs(u[predictions[n]])));
            for (uint32_t k = 0; k < NETWORK_CLASSES; k++)
                assert_true(u[k] <= u[predictions[n]]);
        }
        network64_close(&wide);
        free(momentum);
        case_close(&c);
    }
}

/* ---- binary64 against central differences ------------------------------------------------------------------------ */

/* One element of a vector, two of larger tensors, that move nothing before layer `first`. The ReLUs stay as they were,
 * so that the loss is smooth. */
static void expect_differences(struct step_case *c, struct network64 *wide, int64_t tensor, uint32_t first)
{
    const double h = 1e-5;
    if (tensor < 0)
        return;
    const size_t count = c->network->tensors[tensor].count;
    double largest = 0.0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(network64_gradient(wide, tensor)[i]));
    for (size_t at = count / 3; at < count; at += c->network->tensors[tensor].rank == 1 ? count : (count + 1) / 2) {
        double *element = &network64_value(wide, tensor)[at], saved = *element, loss[2];
        for (int side = 0; side < 2; side++) {
            *element = saved + (side == 0 ? h : -h);
            network64_forward(wide, first);
            loss[side] = wide->loss;
        }
        *element = saved;
        const double difference = (loss[0] - loss[1]) / (2.0 * h);
        expect_error(DIFFERENCES, c->network->tensors[tensor].name,
                     fabs(difference - network64_gradient(wide, tensor)[at]) / largest);
    }
}

static void test_central_differences(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
        struct step_case c = case_open(variant, 8, 3);
        const struct network *network = c.network;
        struct network64 wide;
        network64_open(&wide, network, c.N, c.values, c.images, c.data.labels);
        network64_forward(&wide, 0);
        network64_backward(&wide);
        wide.masks = (const uint8_t *const *)wide.passed;
        expect_differences(&c, &wide, network->linear_weight, network->conv_count);
        expect_differences(&c, &wide, network->linear_bias, network->conv_count);
        expect_differences(&c, &wide, network->logits_gamma, network->conv_count);
        expect_differences(&c, &wide, network->logits_beta, network->conv_count);
        /* From the last layer: what lies before the one that is tried is then never stale. */
        for (uint32_t l = network->conv_count; l-- > 0;) {
            expect_differences(&c, &wide, network->convs[l].projection_beta, l);
            expect_differences(&c, &wide, network->convs[l].projection_gamma, l);
            expect_differences(&c, &wide, network->convs[l].projection, l);
            expect_differences(&c, &wide, network->convs[l].beta, l);
            expect_differences(&c, &wide, network->convs[l].gamma, l);
            expect_differences(&c, &wide, network->convs[l].weight, l);
        }
        network64_close(&wide);
        case_close(&c);
    }
}

/* ---- against PyTorch --------------------------------------------------------------------------------------------- */

enum { GOLDEN_IMAGES = 4, GOLDEN_SAMPLES = 3, GOLDEN_TENSORS_MAX = 48 };

struct golden_tensor {
    const char *name;
    double norm;                    /* of the gradient in the first step, or of the running statistic after it */
    double change;                  /* norm of the parameter's change over both steps */
    double samples[GOLDEN_SAMPLES]; /* elements at count (2 j + 1) / 6 of the tensor of `norm` */
};

static const struct golden {
    const char *variant;
    uint32_t state_hash;
    double losses[2];
    double smallest; /* |input| of a ReLU in the first step */
    double logits[GOLDEN_IMAGES][NETWORK_CLASSES];
    struct golden_tensor tensors[GOLDEN_TENSORS_MAX];
} GOLDENS[] = {
#include "check/goldens/pytorch_step.h"
};

/* Over the bits of all values. */
static uint32_t state_hash(const struct step_case *c)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < c->network->value_count; i++)
        hash = hash * 1664525u + float_bits(c->values[i]) + 1013904223u;
    return hash;
}

static double norm_of(size_t count, const double *values)
{
    double squares = 0.0;
    for (size_t i = 0; i < count; i++)
        squares += values[i] * values[i];
    return sqrt(squares);
}

/* The norm relative to itself, elements relative to the largest. */
static void expect_tensor(enum quantity quantity, const struct golden_tensor *golden, size_t count,
                          const double *values)
{
    double largest = 0.0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(values[i]));
    expect_error(quantity, golden->name, fabs(norm_of(count, values) - golden->norm) / golden->norm);
    for (size_t j = 0; j < GOLDEN_SAMPLES; j++)
        expect_error(quantity, golden->name,
                     fabs(values[count * (2 * j + 1) / (2 * GOLDEN_SAMPLES)] - golden->samples[j]) / largest);
}

/* Two steps in one of the forms, which mean the same while the rate does not change. */
static void expect_golden_steps(const struct step_case *c, enum momentum_form form, const struct golden *golden)
{
    struct training_config training = c->recipe.training;
    training.momentum_form = form;
    struct after after = run_steps(c, &training, 2, NULL);
    for (int step = 0; step < 2; step++)
        expect_error(PYTORCH_LOSS, golden->variant,
                     fabs((double)after.outcomes[step].loss - golden->losses[step]) / golden->losses[step]);
    for (uint32_t t = 0; t < c->network->tensor_count; t++) {
        const struct tensor *tensor = &c->network->tensors[t];
        double *change = widened(after.values + tensor->offset, tensor->count);
        for (size_t i = 0; i < tensor->count; i++)
            change[i] -= (double)c->values[tensor->offset + i];
        if (tensor->role == TENSOR_PARAMETER)
            expect_error(PYTORCH_CHANGE, tensor->name,
                         fabs(norm_of(tensor->count, change) - golden->tensors[t].change) / golden->tensors[t].change);
        free(change);
    }
    after_free(&after);
}

static void test_pytorch(void **state)
{
    (void)state;
    assert_int_equal(sizeof GOLDENS / sizeof *GOLDENS, VARIANT_COUNT);
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
        const struct golden *golden = &GOLDENS[variant];
        struct step_case c = case_open(variant, 8, GOLDEN_IMAGES);
        struct network64 wide;
        assert_string_equal(golden->variant, VARIANTS[variant]);
        assert_int_equal(state_hash(&c), golden->state_hash);
        network64_open(&wide, c.network, c.N, c.values, c.images, c.data.labels);
        network64_forward(&wide, 0);
        network64_backward(&wide);
        struct forward32 forward = run_forward32(&c);
        struct after after = run_for_gradients(&c);
        for (uint32_t l = 0; l < c.network->conv_count; l++)
            assert_memory_equal(forward.masks[l], wide.passed[l], network64_output(&wide, l));
        expect_error(PYTORCH64_LOSS, golden->variant, fabs(wide.loss - golden->losses[0]) / golden->losses[0]);
        expect_error(PYTORCH_LOGITS, golden->variant,
                     relative_error(GOLDEN_IMAGES * NETWORK_CLASSES, forward.logits, golden->logits[0]));
        assert_true(c.network->tensor_count <= GOLDEN_TENSORS_MAX);
        for (uint32_t t = 0; t < c.network->tensor_count; t++) {
            const struct tensor *tensor = &c.network->tensors[t];
            const bool running = tensor->role == TENSOR_RUNNING;
            double *ours = widened((running ? after.values : after.momentum) + tensor->offset, tensor->count);
            assert_non_null(golden->tensors[t].name);
            assert_string_equal(golden->tensors[t].name, tensor->name);
            expect_tensor(PYTORCH64_TENSORS, &golden->tensors[t], tensor->count,
                          tensor64(&c, running ? wide.running : wide.gradients, t));
            expect_tensor(PYTORCH_TENSORS, &golden->tensors[t], tensor->count, ours);
            free(ours);
        }
        expect_golden_steps(&c, MOMENTUM_NEON, golden);
        expect_golden_steps(&c, MOMENTUM_PYTORCH, golden);
        network64_close(&wide);
        forward32_free(&c, &forward);
        after_free(&after);
        case_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_central_differences),
        cmocka_unit_test(test_pytorch),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_depth_8),
        cmocka_unit_test(test_depth_20),
    };
    (void)float_environment_enter(); /* as the engine does */
    return cmocka_run_group_tests(tests, NULL, print_errors);
}
