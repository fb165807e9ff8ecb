/* Whole steps and evaluations of the engine cudnn without a GPU: on the imitation of CUDA and the stand-in of cuDNN and
 * cuBLAS, against the exact engine on the CPU, to float32's rounding. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "check/cuda_host/cuda_host.h"
#include "check/cudnn/defer.h"
#include "check/support/backends.h"
#include "trainer/engine.h"

enum { STEPS = 3, BATCH = 4, TRAINING = 7, VALIDATION = 6 }; /* steps of 4, 3 and 4 images; evaluations of 4 and 4 */

/* Largest difference allowed: of a loss, relative to it; of a tensor, its momentum included, relative to its largest
 * number. In float32, where sums of up to 4096 numbers round on the one side alone, 3.5e-6 and 1.2e-5 were found (msra
 * at depth 14); in bfloat16, where every activation rounds at 2^-9, 1.1e-2 of a loss (msra: its norm over the logits of
 * 3 images). */
static const double TOLERANCE = 1e-4;
static const double LOSS_TOLERANCE_BF16 = 0.05;

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

static struct recipe recipe_of(uint32_t depth, uint32_t variant, enum precision precision)
{
    const struct trial trial = {
        .depth = depth, .variant = variant, .batch = BATCH, .momentum = variant == 0 ? MOMENTUM_NEON : MOMENTUM_PYTORCH
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

/* Of the losses, the evaluation's included. */
static double loss_difference(const struct run *exact, const struct run *fast)
{
    double worst = fabs(fast->loss / exact->loss - 1.0);
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(fast->results[i].images, exact->results[i].images);
        worst = fmax(worst, fabs((double)fast->results[i].loss / (double)exact->results[i].loss - 1.0));
    }
    return worst;
}

static double tensor_difference(const struct network *network, const struct run *exact, const struct run *fast)
{
    double worst = 0.0;
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        worst = fmax(worst, difference(&network->tensors[t], fast->values, exact->values));
        if (network->tensors[t].role == TENSOR_PARAMETER)
            worst = fmax(worst, difference(&network->tensors[t], fast->momentum, exact->momentum));
    }
    return worst;
}

struct comparison {
    uint32_t depth, variant; /* of VARIANTS */
    enum precision precision;
};

static void agrees(void **state)
{
    const struct comparison *comparison = *state;
    const struct recipe recipe = recipe_of(comparison->depth, comparison->variant, comparison->precision);
    const bool narrow = comparison->precision == PRECISION_BF16;
    struct network *network;
    struct error error;
    expect_ok(network_open(&network, &recipe.model, &error), &error);
    struct run exact = run_engine(&engine_cpu, &recipe, network), fast = run_engine(&engine_cudnn, &recipe, network);
    const double loss = loss_difference(&exact, &fast), tensor = tensor_difference(network, &exact, &fast);
    print_message("losses within %.1e, tensors within %.1e\n", loss, tensor);
    assert_true(loss <= (narrow ? LOSS_TOLERANCE_BF16 : TOLERANCE));
    assert_true(narrow ? loss > TOLERANCE : tensor <= TOLERANCE);
    if (!narrow)
        assert_memory_equal(fast.predictions, exact.predictions, VALIDATION);
    run_free(&exact);
    run_free(&fast);
    network_close(network);
}

/* Whatever order the device takes what is queued in. */
static void repeats(void **state)
{
    (void)state;
    const struct recipe recipe = recipe_of(8, 2, PRECISION_BF16);
    struct network *network;
    struct error error;
    expect_ok(network_open(&network, &recipe.model, &error), &error);
    struct run first = run_engine(&engine_cudnn, &recipe, network);
    cuda_host_seed(17);
    struct run second = run_engine(&engine_cudnn, &recipe, network);
    cuda_host_seed(0);
    for (int i = 0; i < STEPS; i++) {
        assert_memory_equal(&first.results[i].loss, &second.results[i].loss, sizeof first.results[i].loss);
        assert_memory_equal(first.results[i].digest, second.results[i].digest, sizeof first.results[i].digest);
    }
    assert_memory_equal(first.values, second.values, network->value_count * sizeof *first.values);
    assert_memory_equal(first.momentum, second.momentum, network->value_count * sizeof *first.momentum);
    assert_memory_equal(first.predictions, second.predictions, VALIDATION);
    run_free(&first);
    run_free(&second);
    network_close(network);
}

/* ---- an engine for what else there is ---------------------------------------------------------------------------- */

struct open_engine {
    struct recipe recipe;
    struct network *network;
    struct dataset training, validation;
    struct engine *engine;
    struct error error;
    enum status status;
};

/* With the initial state, if it opens. */
static void open_one(struct open_engine *one, float learning_rate, bool inference)
{
    const struct engine_options options = { .inference = inference };
    one->recipe = recipe_of(8, 2, PRECISION_FP32);
    one->recipe.training.schedule.learning_rate = (double)learning_rate;
    expect_ok(network_open(&one->network, &one->recipe.model, &one->error), &one->error);
    fill(&one->training, TRAINING, 1);
    fill(&one->validation, VALIDATION, 2);
    one->engine = NULL;
    one->status = engine_cudnn.open(&one->engine, &one->recipe, one->network, &one->training, &one->validation,
                                    &options, &one->error);
    if (one->status != STATUS_OK)
        return;
    float *values = calloc(one->network->value_count, sizeof *values);
    float *momentum = calloc(one->network->value_count, sizeof *momentum);
    assert_non_null(values);
    assert_non_null(momentum);
    network_initialize(one->network, 7, values);
    expect_ok(engine_cudnn.set_state(one->engine, values, momentum, &one->error), &one->error);
    free(values);
    free(momentum);
}

static void close_one(struct open_engine *one)
{
    engine_cudnn.close(one->engine);
    network_close(one->network);
    dataset_free(&one->training);
    dataset_free(&one->validation);
}

static enum status run_one(struct open_engine *one, uint64_t *done)
{
    struct run run;
    const struct step_listener listener = { &run, keep_results };
    return engine_cudnn.run_steps(one->engine, 0, STEPS, &listener, done, &one->error);
}

static void says(const struct error *error, const char *text)
{
    if (strstr(error->message, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error->message, text);
}

/* ---- what an engine tells, and how it fails ---------------------------------------------------------------------- */

static void tells(void **state)
{
    (void)state;
    struct open_engine one;
    open_one(&one, 0.01f, false);
    expect_ok(one.status, &one.error);
    const char *const *facts = engine_cudnn.facts(one.engine);
    size_t plans = 0, count = 0;
    bool cudnn = false, precision = false;
    for (; facts[count] != NULL; count++) {
        plans += strncmp(facts[count], "plan, ", 6) == 0;
        cudnn = cudnn || strcmp(facts[count], "cuDNN: 9.19.0") == 0;
        precision = precision || strcmp(facts[count], "precision: fp32") == 0;
    }
    assert_true(cudnn && precision);
    assert_true(plans > 0 && plans < count);
    assert_non_null(strstr(engine_cudnn.describe(one.engine), "cuDNN 9.19.0, fp32, channels-last"));
    close_one(&one);
}

static void profiles(void **state)
{
    (void)state;
    struct open_engine one;
    double step_s[2], forward_s[16] = { 0 }, backward_s[16] = { 0 };
    struct engine_profile profile = { .step_s = step_s, .forward_s = forward_s, .backward_s = backward_s };
    open_one(&one, 0.01f, false);
    expect_ok(one.status, &one.error);
    assert_true(one.network->conv_count <= 16);
    expect_ok(engine_cudnn.profile(one.engine, 0, 2, &profile, &one.error), &one.error);
    close_one(&one);
}

/* Half of the memory that the replication of 2016 took, in every precision. */
static void fits(void **state)
{
    (void)state;
    static const struct {
        uint32_t depth;
        size_t mebibytes;
    } most[] = { { 20, 260 }, { 110, 638 } };
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        for (enum precision precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++) {
            const struct engine_options options = { .inference = false };
            struct recipe recipe = recipe_of(most[i].depth, 0, precision);
            struct network *network;
            struct error error;
            recipe.training.batch_size = 128;
            expect_ok(network_open(&network, &recipe.model, &error), &error);
            const size_t bytes = engine_cudnn.predict_memory(&recipe, network, 128, VALIDATION, &options);
            print_message("depth %u, precision %d: %.1f MiB\n", most[i].depth, (int)precision,
                          (double)bytes / (1 << 20));
            assert_in_range(bytes, 1, most[i].mebibytes << 20);
            network_close(network);
        }
    }
}

/* Opened for evaluations alone it takes less, predicts that, and finds what it finds otherwise. */
static void evaluates(void **state)
{
    (void)state;
    const struct engine_options options = { .inference = true };
    struct open_engine one, other;
    uint8_t predictions[2][VALIDATION];
    double losses[2];
    open_one(&one, 0.01f, true);
    expect_ok(one.status, &one.error);
    open_one(&other, 0.01f, false);
    expect_ok(other.status, &other.error);
    assert_int_equal(engine_cudnn.memory_bytes(one.engine),
                     engine_cudnn.predict_memory(&one.recipe, one.network, TRAINING, VALIDATION, &options));
    assert_true(engine_cudnn.memory_bytes(one.engine) < engine_cudnn.memory_bytes(other.engine));
    expect_ok(engine_cudnn.evaluate(one.engine, predictions[0], &losses[0], &one.error), &one.error);
    expect_ok(engine_cudnn.evaluate(other.engine, predictions[1], &losses[1], &other.error), &other.error);
    assert_memory_equal(predictions[0], predictions[1], VALIDATION);
    assert_true(fabs(losses[0] - losses[1]) <= 1e-12 * losses[1]);
    close_one(&one);
    close_one(&other);
}

static void diverges(void **state)
{
    (void)state;
    struct open_engine one;
    uint64_t done;
    open_one(&one, 1e30f, false);
    expect_ok(one.status, &one.error);
    assert_int_equal(run_one(&one, &done), STATUS_NO);
    assert_true(done < STEPS);
    says(&one.error, "not finite");
    close_one(&one);
}

static void loses_the_device(void **state)
{
    (void)state;
    struct open_engine one;
    uint64_t done;
    open_one(&one, 0.01f, false);
    expect_ok(one.status, &one.error);
    cuda_host_fail("cudaGraphLaunch:2:cudaErrorECCUncorrectable");
    assert_int_equal(run_one(&one, &done), STATUS_ENVIRONMENT);
    assert_int_equal(done, 0);
    says(&one.error, "cudaGraphLaunch");
    close_one(&one);
    cuda_host_fail(NULL);
    cuda_host_reset();
}

static void refuses(void **state)
{
    (void)state;
    struct open_engine one;
    cuda_host_memory((size_t)24 << 20);
    open_one(&one, 0.01f, false);
    assert_int_equal(one.status, STATUS_ENVIRONMENT);
    says(&one.error, "batch 4 at depth 8");
    says(&one.error, "or --engine cpu (with --arithmetic exact-1 if the arithmetic is fast)");
    close_one(&one);
    cuda_host_reset();
    cuda_host_shared(65536);
    open_one(&one, 0.01f, false);
    assert_int_equal(one.status, STATUS_ENVIRONMENT);
    says(&one.error, "compute capability 8.0");
    close_one(&one);
    cuda_host_reset();
    setenv("SELFSAME_CUDNN_LIBRARY", "/nowhere/libcudnn.so.9", 1);
    open_one(&one, 0.01f, false);
    setenv("SELFSAME_CUDNN_LIBRARY", CUDNN_FAKE, 1);
    assert_int_equal(one.status, STATUS_ENVIRONMENT);
    says(&one.error, "SELFSAME_CUDNN_LIBRARY");
    close_one(&one);
    setenv("FAKE_CUDNN_VERSION", "90100", 1);
    open_one(&one, 0.01f, false);
    unsetenv("FAKE_CUDNN_VERSION");
    assert_int_equal(one.status, STATUS_ENVIRONMENT);
    says(&one.error, "cuDNN 90100 is too old, 9.8 or later is needed; install NVIDIA's package");
    close_one(&one);
    open_one(&one, 0.01f, false);
    assert_int_equal(one.status, STATUS_OK);
    close_one(&one);
    assert_int_equal(cuda_host_objects(), 0);
}

int main(void)
{
    static struct comparison comparisons[] = {
        { 8, 0, PRECISION_FP32 },  { 8, 1, PRECISION_FP32 },  { 8, 2, PRECISION_FP32 },
        { 14, 0, PRECISION_FP32 }, { 8, 0, PRECISION_BF16 },  { 8, 2, PRECISION_BF16 },
        { 38, 2, PRECISION_FP32 }, { 56, 2, PRECISION_FP32 }, { 56, 2, PRECISION_BF16 },
    };
    const struct CMUnitTest tests[] = {
        { "msra", agrees, NULL, NULL, &comparisons[0] },
        { "paper", agrees, NULL, NULL, &comparisons[1] },
        { "akamaster", agrees, NULL, NULL, &comparisons[2] },
        { "msra, depth 14", agrees, NULL, NULL, &comparisons[3] },
        { "msra, bf16", agrees, NULL, NULL, &comparisons[4] },
        { "akamaster, bf16", agrees, NULL, NULL, &comparisons[5] },
        { "outputs made again", agrees, NULL, NULL, &comparisons[6] },
        { "and in the memory of other layers", agrees, NULL, NULL, &comparisons[7] },
        { "and in bf16", agrees, NULL, NULL, &comparisons[8] },
        cmocka_unit_test(fits),
        cmocka_unit_test(repeats),
        cmocka_unit_test(tells),
        cmocka_unit_test(profiles),
        cmocka_unit_test(evaluates),
        cmocka_unit_test(diverges),
        cmocka_unit_test(loses_the_device),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, load_fake, close_fake);
}
