/* Every backend gives the scalar reference's bits: outcomes, weights, running statistics, momentum, predictions and losses, over odd batch
 * sizes, all variants, both momentum forms, any number of threads, and inputs made for trouble (check/backends.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "check/backends.h"

/* What each backend is held against: the reference, in plain loops. On processors with FMA instructions its build for them, which
 * test_plain_reference holds against the plain one in turn. */
static const struct backend_operations *reference(void)
{
#ifdef HAVE_X86_64
    if (backend_reference_fma.supported())
        return &backend_reference_fma;
#endif
    return &backend_reference_plain;
}

/* The others that this processor has. */
static size_t others(const struct backend_operations *list[2])
{
    size_t count = 0;
#ifdef HAVE_X86_64
    if (backend_avx2.supported())
        list[count++] = &backend_avx2;
    if (backend_avx512.supported())
        list[count++] = &backend_avx512;
#else
    (void)list;
#endif
    return count;
}

static void expect_equal(const struct trial *trial, const struct backend_operations *left, uint32_t left_threads,
                         const struct backend_operations *right, uint32_t right_threads)
{
    struct error error;
    struct network *network;
    struct dataset data, none;
    struct trace expected, trace;
    char text[512];
    const struct recipe recipe = trial_recipe(trial);
    assert_int_equal(network_open(&network, &recipe.model, &error), STATUS_OK);
    assert_int_equal(embedded_make(&data, trial->batch + TRIAL_IMAGES, &none, 1, &error), STATUS_OK);
    assert_int_equal(trial_run(trial, network, &data, left, left_threads, &expected, &error), STATUS_OK);
    assert_int_equal(trial_run(trial, network, &data, right, right_threads, &trace, &error), STATUS_OK);
    const char *difference = trace_difference(trial, network, &expected, &trace, text, sizeof text);
    if (difference != NULL)
        fail_msg("depth %u, %s, batch %u, last %u, %s, %s with %u threads against %s: %s", trial->depth, VARIANTS[trial->variant], trial->batch,
                 trial->last, ADVERSITIES[trial->adversity], right->variant, right_threads, left->variant, difference);
    trace_free(&expected);
    trace_free(&trace);
    dataset_free(&data);
    dataset_free(&none);
    network_close(network);
}

static void expect_all_equal(const struct trial *trial, uint32_t threads)
{
    const struct backend_operations *list[2];
    size_t count = others(list);
    if (count == 0)
        skip(); /* this processor has the references alone */
    for (size_t i = 0; i < count; i++)
        expect_equal(trial, reference(), 2, list[i], threads);
}

/* Groups that are not full, trees that are not powers of two, one image alone. */
static void test_batch_sizes(void **state)
{
    static const uint32_t sizes[][2] = { { 1, 1 }, { 2, 1 }, { 3, 2 }, { 5, 3 }, { 7, 7 }, { 8, 5 }, { 16, 9 }, { 33, 17 } };
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
            const struct trial trial = { .depth = 8, .variant = variant, .batch = sizes[i][0], .last = sizes[i][1], .steps = 2,
                                         .momentum = i % 2 == 0 ? MOMENTUM_NEON : MOMENTUM_PYTORCH };
            expect_all_equal(&trial, 1 + (uint32_t)(i + variant) % 5);
        }
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

static void test_threads(void **state)
{
    const struct backend_operations *list[2];
    size_t count = others(list);
    const struct trial trial = { .depth = 14, .batch = 13, .last = 11, .steps = 3 };
    (void)state;
    for (uint32_t threads = 1; threads <= 16; threads = threads < 8 ? threads + 1 : threads * 2) {
        for (size_t i = 0; i < count; i++)
            expect_equal(&trial, list[i], 1, list[i], threads);
        expect_equal(&trial, reference(), 1, reference(), threads);
    }
}

/* Subnormal and huge numbers, signed zeros, shut ReLUs, no variance, and a training that becomes non-finite: then the same thing is named. */
static void test_adversity(void **state)
{
    (void)state;
    for (uint32_t adversity = ADVERSITY_NONE; adversity < ADVERSITY_COUNT; adversity++) {
        for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
            const struct trial trial = { .depth = 8, .variant = variant, .batch = 6, .last = 5, .steps = 4,
                                         .momentum = variant == 1 ? MOMENTUM_PYTORCH : MOMENTUM_NEON, .adversity = (enum adversity)adversity };
            expect_all_equal(&trial, 2);
        }
    }
}

/* The diverging trial does end with a non-finite number, and says what. */
static void test_non_finite_is_named(void **state)
{
    struct error error;
    struct network *network;
    struct dataset data, none;
    struct trace trace;
    const struct trial trial = { .depth = 8, .batch = 6, .last = 6, .steps = 8, .adversity = ADVERSITY_DIVERGING };
    const struct recipe recipe = trial_recipe(&trial);
    (void)state;
    assert_int_equal(network_open(&network, &recipe.model, &error), STATUS_OK);
    assert_int_equal(embedded_make(&data, trial.batch + TRIAL_IMAGES, &none, 1, &error), STATUS_OK);
    assert_int_equal(trial_run(&trial, network, &data, reference(), 2, &trace, &error), STATUS_OK);
    assert_true(trace.outcomes[trace.steps - 1].non_finite[0] != '\0');
    trace_free(&trace);
    dataset_free(&data);
    dataset_free(&none);
    network_close(network);
}

/* The reference without FMA instructions: slow, so small. */
static void test_plain_reference(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
        const struct trial trial = { .depth = 8, .variant = variant, .batch = 2, .last = 1, .steps = 2 };
        expect_equal(&trial, reference(), 2, &backend_reference_plain, 2);
    }
    const struct trial subnormal = { .depth = 8, .batch = 2, .last = 2, .steps = 2, .adversity = ADVERSITY_SUBNORMAL };
    expect_equal(&subnormal, reference(), 2, &backend_reference_plain, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_sizes), cmocka_unit_test(test_depths),          cmocka_unit_test(test_threads),
        cmocka_unit_test(test_adversity),   cmocka_unit_test(test_non_finite_is_named), cmocka_unit_test(test_plain_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
