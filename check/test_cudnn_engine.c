/* Whole steps and evaluations of the engine cudnn without a GPU: on the imitation of CUDA and the stand-in of cuDNN and
 * cuBLAS, against the exact engine on the CPU, to float32's rounding. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "check/backends.h"
#include "check/cudnn/defer.h"
#include "trainer/engine.h"

enum { STEPS = 3, BATCH = 4, TRAINING = 7, VALIDATION = 6 }; /* steps of 4, 3 and 4 images; evaluations of 4 and 4 */

/* Sums of up to 4096 numbers in float32 on the one side and float64 on the other, over 3 steps. */
static const double TOLERANCE = 1e-4;

static void *fake;

static int load_fake(void **state)
{
    (void)state;
    union {
        void *object;
        void (*defer)(fake_enqueue *);
    } symbol;
    setenv("SELFSAME_CUDNN_LIBRARY", CUDNN_FAKE, 1);
    setenv("SELFSAME_CUBLAS_LIBRARY", CUDNN_FAKE, 1);
    fake = dlopen(CUDNN_FAKE, RTLD_NOW | RTLD_LOCAL);
    if (fake == NULL || (symbol.object = dlsym(fake, "fake_defer")) == NULL) {
        print_error("%s\n", dlerror());
        return -1;
    }
    symbol.defer(defer_to_stream);
    return 0;
}

static int close_fake(void **state)
{
    (void)state;
    return dlclose(fake);
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

struct run {
    struct step_result results[STEPS];
    uint8_t predictions[VALIDATION];
    double loss;
    float *values, *momentum;
};

static bool keep_results(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    struct run *run = context;
    for (uint64_t i = 0; i < count; i++)
        run->results[first + i] = results[i];
    return true;
}

static void expect_ok(enum status status, const struct error *error)
{
    if (status != STATUS_OK)
        fail_msg("%s", error->message);
}

static void fill(struct dataset *data, uint32_t count, uint32_t random)
{
    struct error error;
    expect_ok(dataset_allocate(data, count, &error), &error);
    for (size_t i = 0; i < (size_t)count * DATASET_IMAGE_BYTES; i++) {
        random = random * 1664525u + 1013904223u;
        data->images[i] = (uint8_t)(random >> 24);
    }
    for (uint32_t n = 0; n < count; n++)
        data->labels[n] = (uint8_t)(3 * n % 10);
}

/* The caller frees values and momentum. */
static struct run run_engine(const struct engine_operations *operations, const struct recipe *recipe,
                             const struct network *network)
{
    struct run run = { .loss = 0.0 };
    struct dataset training, validation;
    struct engine *engine;
    struct error error;
    uint64_t done;
    fill(&training, TRAINING, 1);
    fill(&validation, VALIDATION, 2);
    run.values = calloc(network->value_count, sizeof *run.values);
    run.momentum = calloc(network->value_count, sizeof *run.momentum);
    assert_non_null(run.values);
    assert_non_null(run.momentum);
    network_initialize(network, 7, run.values);
    const struct engine_options options = { .threads = 1 };
    const struct step_listener listener = { &run, keep_results };
    expect_ok(operations->open(&engine, recipe, network, &training, &validation, &options, &error), &error);
    if (operations->predict_memory != NULL)
        assert_int_equal(operations->predict_memory(recipe, network, TRAINING, VALIDATION, &options),
                         operations->memory_bytes(engine));
    expect_ok(operations->set_state(engine, run.values, run.momentum, &error), &error);
    expect_ok(operations->run_steps(engine, 0, STEPS, &listener, &done, &error), &error);
    assert_int_equal(done, STEPS);
    expect_ok(operations->evaluate(engine, run.predictions, &run.loss, &error), &error);
    expect_ok(operations->get_state(engine, run.values, run.momentum, &error), &error);
    operations->close(engine);
    dataset_free(&training);
    dataset_free(&validation);
    return run;
}

static void run_free(struct run *run)
{
    free(run->values);
    free(run->momentum);
}

static struct recipe recipe_of(uint32_t variant, enum precision precision)
{
    const struct trial trial = {
        .depth = 8, .variant = variant, .batch = BATCH, .momentum = variant == 0 ? MOMENTUM_NEON : MOMENTUM_PYTORCH
    };
    struct recipe recipe = trial_recipe(&trial);
    recipe.training.last_batch = LAST_BATCH_SHORT;
    recipe.training.length = 2;
    recipe.training.seed = 5;
    recipe.training.schedule.learning_rate = 0.01;
    recipe.precision = precision;
    return recipe;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* Largest difference of a tensor, of its largest number. */
static double difference(const struct tensor *tensor, const float *a, const float *b)
{
    double most = 0.0, largest = 0.0;
    for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        largest = fmax(largest, fabs((double)b[i]));
    }
    return largest > 0.0 ? most / largest : most;
}

static void expect_near(const struct network *network, const struct run *exact, const struct run *fast,
                        double tolerance)
{
    double worst = 0.0, worst_loss = 0.0;
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(fast->results[i].images, exact->results[i].images);
        worst_loss = fmax(worst_loss, fabs((double)fast->results[i].loss / (double)exact->results[i].loss - 1.0));
    }
    worst_loss = fmax(worst_loss, fabs(fast->loss / exact->loss - 1.0));
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const double values = difference(&network->tensors[t], fast->values, exact->values);
        if (!(values <= tolerance))
            print_error("%s: %g\n", network->tensors[t].name, values);
        worst = fmax(worst, values);
    }
    print_message("losses within %.1e, tensors within %.1e\n", worst_loss, worst);
    assert_true(worst_loss <= tolerance);
    assert_true(worst <= tolerance);
}

static void steps(void **state)
{
    const uint32_t variant = (uint32_t)(uintptr_t)*state;
    const struct recipe recipe = recipe_of(variant, PRECISION_FP32);
    struct network *network;
    struct error error;
    expect_ok(network_open(&network, &recipe.model, &error), &error);
    struct run exact = run_engine(&engine_cpu, &recipe, network), fast = run_engine(&engine_cudnn, &recipe, network);
    expect_near(network, &exact, &fast, TOLERANCE);
    assert_memory_equal(fast.predictions, exact.predictions, VALIDATION);
    run_free(&exact);
    run_free(&fast);
    network_close(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "msra", steps, NULL, NULL, (void *)0 },
        { "paper", steps, NULL, NULL, (void *)1 },
        { "akamaster", steps, NULL, NULL, (void *)2 },
    };
    return cmocka_run_group_tests(tests, load_fake, close_fake);
}
