/* Every backend gives the scalar reference's bits: outcomes, weights, running statistics, momentum, predictions and
 * losses, over odd batch sizes, all variants, both momentum forms, any number of threads, and inputs made for trouble
 * (check/support/backends.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fenv.h>
#ifdef HAVE_X86_64
#include <immintrin.h>
#endif
#include <stdio.h>
#include <unistd.h>

#include "check/support/backends.h"
#include "trainer/engine.h"
#include "trainer/exact.h"

enum { ENGINE_IMAGES = 20 };

static const enum arithmetic ARITHMETICS[] = { ARITHMETIC_EXACT_1, ARITHMETIC_EXACT_2 };
enum { EXACT_COUNT = sizeof ARITHMETICS / sizeof *ARITHMETICS };

/* The fused ones that this processor has. Where there is a faster one than the portable vector's, test_portable alone
 * tests that. */
static size_t others(const struct backend_operations *list[FUSED_BACKENDS_MAX])
{
    size_t count = fused_backends(list);
#ifdef HAVE_PORTABLE_VECTOR
    if (count > 1 && list[count - 1] == &backend_portable)
        count--;
#endif
    return count;
}

static void expect_equal(const struct trial *trial, const struct backend_operations *left, uint32_t left_threads,
                         const struct backend_operations *right, uint32_t right_threads)
{
    char text[1024];
    const char *difference = backends_difference(trial, left, left_threads, right, right_threads, text, sizeof text);
    if (difference != NULL)
        fail_msg("%s", difference);
}

/* In both arithmetics. */
static void expect_all_equal(const struct trial *given, uint32_t threads)
{
    const struct backend_operations *list[FUSED_BACKENDS_MAX];
    size_t count = others(list);
    if (count == 0)
        skip(); /* this processor has the references alone */
    for (size_t i = 0; i < EXACT_COUNT * count; i++) {
        struct trial trial = *given;
        trial.arithmetic = ARITHMETICS[i / count];
        expect_equal(&trial, reference_backend(), 2, list[i % count], threads);
    }
}

/* What a backend takes is what it said that it would, to the byte. */
static void expect_predicted(const struct backend_operations *operations, const struct trial *trial, uint32_t threads,
                             bool inference)
{
    struct error error;
    struct network *network;
    struct backend *backend;
    const struct recipe recipe = trial_recipe(trial);
    assert_int_equal(network_open(&network, &recipe.model, &error), STATUS_OK);
    assert_int_equal(operations->open(&backend, &recipe, network, threads, inference, NULL, &error), STATUS_OK);
    assert_int_equal(operations->predict_memory(&recipe, network, threads, inference),
                     operations->memory_bytes(backend));
    operations->close(backend);
    network_close(network);
}

static size_t resident_bytes(void)
{
    size_t pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu %zu", &pages, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Opening touches none of the memory: the threads do, each where it works, and so a machine with several memories
 * places it. */
static void test_untouched_memory(void **state)
{
    const struct trial trial = { .arithmetic = ARITHMETIC_EXACT_1, .depth = 8, .batch = 64, .steps = 1 };
    const struct recipe recipe = trial_recipe(&trial);
    const struct backend_operations *list[FUSED_BACKENDS_MAX + 1];
    size_t count = others(list);
    (void)state;
    list[count++] = reference_backend();
    for (size_t i = 0; i < count; i++) {
        struct error error;
        struct network *network;
        struct backend *backend;
        assert_int_equal(network_open(&network, &recipe.model, &error), STATUS_OK);
        const size_t before = resident_bytes();
        assert_int_equal(list[i]->open(&backend, &recipe, network, 2, false, NULL, &error), STATUS_OK);
        const size_t opened = resident_bytes(), bytes = list[i]->memory_bytes(backend);
        assert_true(bytes > 16 << 20);
        assert_true(opened < before + bytes / 8);
        list[i]->close(backend);
        network_close(network);
    }
}

static void test_predicted_memory(void **state)
{
    const struct backend_operations *list[FUSED_BACKENDS_MAX + 1];
    size_t count = others(list);
    (void)state;
    list[count++] = reference_backend();
    for (size_t i = 0; i < EXACT_COUNT * count; i++) {
        for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
            const struct trial trial = {
                .arithmetic = ARITHMETICS[i / count], .depth = 14, .variant = variant, .batch = 5, .steps = 1
            };
            expect_predicted(list[i % count], &trial, 1 + variant, variant % 2 == 1);
        }
    }
}

/* Groups that are not full, trees that are not powers of two, one image alone. */
static void test_batch_sizes(void **state)
{
    static const uint32_t sizes[][2] = { { 1, 1 }, { 2, 1 }, { 3, 2 },  { 5, 3 },
                                         { 7, 7 }, { 8, 5 }, { 16, 9 }, { 33, 17 } };
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
            const struct trial trial = { .depth = 8,
                                         .variant = variant,
                                         .batch = sizes[i][0],
                                         .last = sizes[i][1],
                                         .steps = 2,
                                         .momentum = i % 2 == 0 ? MOMENTUM_NEON : MOMENTUM_PYTORCH };
            expect_all_equal(&trial, 1 + (uint32_t)(i + variant) % 5);
        }
    }
}

/* Where exact-2's blocks of images and groups of 64 tiles begin and end: 4 and 16 images. */
static void test_batch_sizes_by_tiles(void **state)
{
    static const uint32_t sizes[][2] = { { 4, 4 }, { 15, 13 }, { 17, 16 }, { 31, 18 }, { 64, 1 }, { 130, 127 } };
    const struct backend_operations *list[FUSED_BACKENDS_MAX];
    size_t count = others(list);
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct trial trial = {
            .arithmetic = ARITHMETIC_EXACT_2, .depth = 8, .batch = sizes[i][0], .last = sizes[i][1], .steps = 2
        };
        for (size_t j = 0; j < count; j++)
            expect_equal(&trial, reference_backend(), 2, list[j], 1 + (uint32_t)i % 3);
    }
}

static void test_depths(void **state)
{
    (void)state;
    for (uint32_t depth = 14; depth <= 26; depth += 6) {
        for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
            const struct trial trial = { .depth = depth, .variant = variant, .batch = 6, .last = 5, .steps = 3 };
            expect_all_equal(&trial, 3);
        }
    }
}

/* The published depths in exact-2, each with several numbers of threads. `make check-deep` has every batch size. */
static void test_published_depths(void **state)
{
    static const struct {
        uint32_t depth, batch;
    } cases[] = { { 20, 18 }, { 32, 9 }, { 56, 5 }, { 110, 3 } };
    static const uint32_t threads[] = { 1, 2, 3, 5 };
    const struct backend_operations *list[FUSED_BACKENDS_MAX];
    size_t count = others(list);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct trial trial = { .arithmetic = ARITHMETIC_EXACT_2,
                                     .depth = cases[i].depth,
                                     .batch = cases[i].batch,
                                     .last = cases[i].batch,
                                     .steps = 1 };
        for (size_t j = 0; j < count; j++) {
            expect_equal(&trial, reference_backend(), 2, list[j], threads[i]);
            for (size_t k = 0; k < sizeof threads / sizeof *threads; k++)
                if (k != i)
                    expect_equal(&trial, list[j], threads[i], list[j], threads[k]);
        }
    }
}

static void test_threads(void **state)
{
    const struct backend_operations *list[FUSED_BACKENDS_MAX];
    size_t count = others(list);
    struct trial trial = { .depth = 14, .batch = 13, .last = 11, .steps = 3 };
    (void)state;
    for (uint32_t threads = 1; threads <= 16; threads = threads < 8 ? threads + 1 : threads * 2) {
        for (size_t i = 0; i < count; i++)
            expect_equal(&trial, list[i], 1, list[i], threads);
        expect_equal(&trial, reference_backend(), 1, reference_backend(), threads);
    }
    trial.arithmetic = ARITHMETIC_EXACT_2;
    trial.batch = 37;
    for (uint32_t threads = 2; threads <= 5; threads++)
        for (size_t i = 0; i < count; i++)
            expect_equal(&trial, list[i], 1, list[i], threads);
    expect_equal(&trial, reference_backend(), 1, reference_backend(), 3);
}

/* Subnormal and huge numbers, signed zeros, shut ReLUs, no variance, and a training that becomes non-finite: then the
 * same thing is named. */
static void test_adversity(void **state)
{
    (void)state;
    for (uint32_t adversity = ADVERSITY_NONE; adversity < ADVERSITY_COUNT; adversity++) {
        for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
            const struct trial trial = { .depth = 8,
                                         .variant = variant,
                                         .batch = 6,
                                         .last = 5,
                                         .steps = 4,
                                         .momentum = variant == 1 ? MOMENTUM_PYTORCH : MOMENTUM_NEON,
                                         .adversity = (enum adversity)adversity };
            expect_all_equal(&trial, 2);
        }
    }
}

/* What becomes non-finite is named, whether forward, in the head, backward or in the update; on every backend. */
static void test_non_finite_is_named(void **state)
{
    enum { MSRA, PAPER };
    static const struct {
        enum adversity adversity;
        uint32_t variant, steps; /* steps: of which the last is not finite */
        const char *culprit;
    } cases[] = {
        { ADVERSITY_DIVERGING, MSRA, 2, "the output of conv1.weight, or its batch norm" },
        { ADVERSITY_GAMMA, PAPER, 1, "the gradient of the output of layer3.0.conv1.weight" },
        { ADVERSITY_LINEAR, PAPER, 1, "the loss" },
        { ADVERSITY_LINEAR, MSRA, 1, "the batch norm over the logits" },
        { ADVERSITY_RATE, PAPER, 1, "bn1.weight after the update" },
        { ADVERSITY_RATE, MSRA, 1, "bn1.weight after the update" },
    };
    const struct backend_operations *list[FUSED_BACKENDS_MAX + 1];
    size_t count = others(list);
    list[count++] = reference_backend();
    (void)state;
    for (size_t i = 0; i < EXACT_COUNT * (sizeof cases / sizeof *cases); i++) {
        const struct trial trial = { .arithmetic = ARITHMETICS[i % EXACT_COUNT],
                                     .depth = 8,
                                     .variant = cases[i / EXACT_COUNT].variant,
                                     .batch = 6,
                                     .last = 6,
                                     .steps = 8,
                                     .adversity = cases[i / EXACT_COUNT].adversity };
        const struct recipe recipe = trial_recipe(&trial);
        struct error error;
        struct network *network;
        struct dataset data, none;
        assert_int_equal(network_open(&network, &recipe.model, &error), STATUS_OK);
        assert_int_equal(embedded_make(&data, trial.batch + TRIAL_IMAGES, &none, 1, &error), STATUS_OK);
        for (size_t j = 0; j < count; j++) {
            struct outcome outcome;
            assert_int_equal(trial_run(&trial, network, &data, list[j], 2, &outcome, &error), STATUS_OK);
            assert_int_equal(outcome.steps, cases[i / EXACT_COUNT].steps);
            assert_string_equal(outcome.by_step[outcome.steps - 1].non_finite, cases[i / EXACT_COUNT].culprit);
            outcome_free(&outcome);
        }
        dataset_free(&data);
        dataset_free(&none);
        network_close(network);
    }
}

#ifdef HAVE_X86_64
/* As a library built with -ffast-math does. Returns what _mm_setcsr restores. */
static unsigned flush_subnormals(void)
{
    enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x40 };
    unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return saved;
}
#endif

static bool keep_results(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    memcpy((struct step_result *)context + first, results, count * sizeof *results);
    return true;
}

/* Runs an evaluation and two steps of the engine, or with `inference` the evaluation alone; with `hostile` from a
 * thread that rounds upwards and flushes subnormals. Returns the bytes that the engine held. */
static size_t run_engine(bool inference, bool hostile, struct step_result results[2], uint8_t *predictions,
                         double *loss)
{
    const struct trial trial = { .depth = 8, .batch = 6, .adversity = ADVERSITY_SUBNORMAL };
    struct recipe recipe = trial_recipe(&trial);
    const struct engine_options options = { .threads = 2, .inference = inference };
    struct error error;
    struct network *network;
    struct dataset training, validation;
    struct engine *engine;
    uint64_t done;
    recipe.training.last_batch = LAST_BATCH_CONTINUE;
    assert_int_equal(network_open(&network, &recipe.model, &error), STATUS_OK);
    assert_int_equal(embedded_make(&training, TRIAL_IMAGES, &validation, ENGINE_IMAGES, &error), STATUS_OK);
    float *values = calloc(network->value_count, sizeof *values),
          *momentum = calloc(network->value_count, sizeof *momentum);
    assert_true(values != NULL && momentum != NULL);
    trial_state(&trial, network, values, momentum);
    const int rounding = fegetround();
#ifdef HAVE_X86_64
    const unsigned control = hostile ? flush_subnormals() : 0;
#endif
    if (hostile)
        fesetround(FE_UPWARD);
    assert_int_equal(engine_cpu.open(&engine, &recipe, network, &training, &validation, &options, &error), STATUS_OK);
    assert_int_equal(engine_cpu.set_state(engine, values, momentum, &error), STATUS_OK);
    assert_int_equal(engine_cpu.evaluate(engine, predictions, loss, &error), STATUS_OK);
    const struct step_listener listener = { .context = results, .steps = keep_results };
    if (!inference)
        assert_int_equal(engine_cpu.run_steps(engine, 0, 2, &listener, &done, &error), STATUS_OK);
    size_t bytes = engine_cpu.memory_bytes(engine);
    engine_cpu.close(engine);
    if (hostile) {
        const int left_rounding = fegetround();
        fesetround(rounding);
#ifdef HAVE_X86_64
        const char *volatile left = exact_broken_rule(); /* volatile: asked before the environment is put back */
        _mm_setcsr(control);
        assert_string_equal(left, "subnormal numbers are flushed to zero");
#endif
        assert_int_equal(left_rounding, FE_UPWARD);
    }
    free(values);
    free(momentum);
    dataset_free(&training);
    dataset_free(&validation);
    network_close(network);
    return bytes;
}

/* An engine for inference holds less and gives the same; a batch of 6 images does not limit an evaluation. */
static void test_inference(void **state)
{
    struct step_result results[2];
    uint8_t trained[ENGINE_IMAGES], inferred[ENGINE_IMAGES];
    double trained_loss, inferred_loss;
    (void)state;
    size_t bytes = run_engine(false, false, results, trained, &trained_loss);
    assert_true(run_engine(true, false, results, inferred, &inferred_loss) < bytes);
    assert_memory_equal(inferred, trained, sizeof trained);
    assert_memory_equal(&inferred_loss, &trained_loss, sizeof trained_loss);
}

/* The caller's float environment is not the engine's, and is the caller's again afterwards. */
static void test_float_environment(void **state)
{
    struct step_result usual[2], hostile[2];
    uint8_t usual_predictions[ENGINE_IMAGES], hostile_predictions[ENGINE_IMAGES];
    double usual_loss, hostile_loss;
    (void)state;
    memset(usual, 0, sizeof usual);
    memset(hostile, 0, sizeof hostile);
    run_engine(false, false, usual, usual_predictions, &usual_loss);
    run_engine(false, true, hostile, hostile_predictions, &hostile_loss);
    assert_memory_equal(hostile, usual, sizeof usual);
    assert_memory_equal(hostile_predictions, usual_predictions, sizeof usual_predictions);
    assert_memory_equal(&hostile_loss, &usual_loss, sizeof usual_loss);
}

/* The build asks itself, and would say so. */
static void test_broken_rule(void **state)
{
    (void)state;
    assert_null(exact_broken_rule());
#ifdef HAVE_X86_64
    unsigned saved = flush_subnormals();
    const char *volatile rule = exact_broken_rule(); /* volatile: as above */
    struct error error;
    volatile enum status status = backend_check_arithmetic("the test", &error);
    _mm_setcsr(saved);
    assert_string_equal(rule, "subnormal numbers are flushed to zero");
    assert_int_equal(status, STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "in the code of the test, subnormal numbers are flushed to zero"));
#endif
}

/* The reference without FMA instructions: slow, so small. */
static void test_plain_reference(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
        struct trial trial = { .depth = 8, .variant = variant, .batch = 2, .last = 1, .steps = 2 };
        expect_equal(&trial, reference_backend(), 2, &backend_reference_plain, 2);
        trial.arithmetic = ARITHMETIC_EXACT_2;
        expect_equal(&trial, reference_backend(), 2, &backend_reference_plain, 2);
    }
    const struct trial subnormal = { .depth = 8, .batch = 2, .last = 2, .steps = 2, .adversity = ADVERSITY_SUBNORMAL };
    expect_equal(&subnormal, reference_backend(), 2, &backend_reference_plain, 2);
}

/* An argument runs the tests that it names, as cmocka's patterns do. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_predicted_memory),
        cmocka_unit_test(test_untouched_memory),
        cmocka_unit_test(test_batch_sizes),
        cmocka_unit_test(test_batch_sizes_by_tiles),
        cmocka_unit_test(test_depths),
        cmocka_unit_test(test_published_depths),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_adversity),
        cmocka_unit_test(test_non_finite_is_named),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_float_environment),
        cmocka_unit_test(test_broken_rule),
        cmocka_unit_test(test_plain_reference),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
