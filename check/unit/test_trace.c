/* The trace of a step: the same lines on every backend and with any number of threads, in both arithmetics; the step it
 * computes is that of run_steps; and each change of what a step reads is named, so that no line's inputs are
 * incomplete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/support/backends.h"
#include "trainer/digests.h"
#include "trainer/engine.h"
#include "trainer/schedule.h"

enum { IMAGES = 48, BATCH = 5, ROOTS = 8 };

/* A step of a recipe, and what it begins with. */
struct scene {
    struct recipe recipe;
    struct network *network;
    struct dataset data, none;
    float *values, *momentum;
    uint64_t step;
};

static struct scene scene_open(enum arithmetic arithmetic, uint32_t variant, enum momentum_form momentum)
{
    const struct trial trial = {
        .arithmetic = arithmetic, .depth = 8, .variant = variant, .batch = BATCH, .momentum = momentum
    };
    struct scene scene = { .recipe = trial_recipe(&trial), .step = 3 };
    struct error error;
    scene.recipe.training.seed = 5;
    assert_int_equal(network_open(&scene.network, &scene.recipe.model, &error), STATUS_OK);
    assert_int_equal(embedded_make(&scene.data, IMAGES, &scene.none, 1, &error), STATUS_OK);
    scene.values = calloc(scene.network->value_count, sizeof *scene.values);
    scene.momentum = calloc(scene.network->value_count, sizeof *scene.momentum);
    assert_non_null(scene.values);
    assert_non_null(scene.momentum);
    trial_state(&trial, scene.network, scene.values, scene.momentum);
    return scene;
}

static void scene_close(struct scene *scene)
{
    network_close(scene->network);
    dataset_free(&scene->data);
    dataset_free(&scene->none);
    free(scene->values);
    free(scene->momentum);
}

static bool keep_result(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    (void)first;
    assert_int_equal(count, 1);
    memcpy(context, results, sizeof *results);
    return true;
}

/* The trace of the scene's step, after which the engine's state must be that of the same step untraced. */
static struct step_trace *trace_of(const struct scene *scene, const char *isa, uint32_t threads)
{
    const struct engine_options options = { .isa = isa, .threads = threads };
    const size_t bytes = scene->network->value_count * sizeof(float);
    struct step_trace *trace;
    struct step_result traced, untraced;
    struct engine *engine;
    struct error error;
    uint64_t done;
    assert_int_equal(engine_cpu.open(&engine, &scene->recipe, scene->network, &scene->data, NULL, &options, &error),
                     STATUS_OK);
    assert_int_equal(step_trace_open(&trace, scene->network, &scene->recipe,
                                     schedule_batch(&scene->recipe.training, IMAGES, scene->step), &error),
                     STATUS_OK);
    assert_int_equal(engine_cpu.set_state(engine, scene->values, scene->momentum, &error), STATUS_OK);
    assert_int_equal(engine_cpu.trace(engine, scene->step, trace, &traced, &error), STATUS_OK);
    float *after = malloc(2 * bytes), *expected = malloc(2 * bytes);
    assert_non_null(after);
    assert_non_null(expected);
    assert_int_equal(engine_cpu.get_state(engine, after, after + scene->network->value_count, &error), STATUS_OK);

    const struct step_listener listener = { .context = &untraced, .steps = keep_result };
    assert_int_equal(engine_cpu.set_state(engine, scene->values, scene->momentum, &error), STATUS_OK);
    assert_int_equal(engine_cpu.run_steps(engine, scene->step, scene->step + 1, &listener, &done, &error), STATUS_OK);
    assert_int_equal(engine_cpu.get_state(engine, expected, expected + scene->network->value_count, &error), STATUS_OK);
    assert_memory_equal(after, expected, 2 * bytes);
    assert_memory_equal(&traced.loss, &untraced.loss, sizeof traced.loss);
    assert_memory_equal(traced.digest, untraced.digest, sizeof traced.digest);
    assert_int_equal(traced.errors, untraced.errors);
    assert_int_equal(traced.images, untraced.images);
    assert_string_equal(trace->non_finite, "");
    free(after);
    free(expected);
    engine_cpu.close(engine);
    return trace;
}

/* The lines of two traces are the same, and the roots of their difference are these, up to a NULL. */
static void expect_roots(const struct step_trace *a, const struct step_trace *b, const char *const *names)
{
    uint32_t roots[ROOTS], differing, count = 0;
    assert_int_equal(a->list.count, b->list.count);
    assert_int_equal(trace_lines_part(&a->list, &b->list), a->list.count);
    while (names[count] != NULL)
        count++;
    const uint32_t found = trace_roots(&a->list, &b->list, roots, ROOTS, &differing);
    for (uint32_t i = 0; i < found && i < ROOTS; i++)
        assert_string_equal(a->list.lines[roots[i]].name, i < count ? names[i] : "no such root");
    assert_int_equal(found, count);
    assert_true(differing >= count);
}

static const char *const NOTHING[] = { NULL };
static const enum arithmetic ARITHMETICS[] = { ARITHMETIC_EXACT_1, ARITHMETIC_EXACT_2 };

static void test_backends_agree(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
        for (size_t i = 0; i < 2; i++) {
            struct scene scene = scene_open(ARITHMETICS[i], variant, MOMENTUM_NEON);
            struct step_trace *expected = trace_of(&scene, "scalar", 1);
            for (size_t isa = 0; engine_cpu.isa(isa) != NULL; isa++) {
                for (uint32_t threads = 1; threads <= 3; threads++) {
                    struct engine *probe;
                    struct error error;
                    const struct engine_options options = { .isa = engine_cpu.isa(isa), .inference = true };
                    if (engine_cpu.open(&probe, &scene.recipe, scene.network, NULL, NULL, &options, &error) !=
                        STATUS_OK)
                        continue; /* not on this processor */
                    engine_cpu.close(probe);
                    struct step_trace *trace = trace_of(&scene, engine_cpu.isa(isa), threads);
                    expect_roots(expected, trace, NOTHING);
                    step_trace_close(trace);
                }
            }
            step_trace_close(expected);
            scene_close(&scene);
        }
    }
}

/* A value or momentum of every tensor in turn is changed. The trace must name it, and nothing else: a line whose inputs
 * were incomplete would be named, too. */
static void test_every_tensor_is_named(void **state)
{
    (void)state;
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
        struct scene scene =
            scene_open(ARITHMETIC_EXACT_1, variant, variant % 2 == 0 ? MOMENTUM_NEON : MOMENTUM_PYTORCH);
        struct step_trace *expected = trace_of(&scene, NULL, 1);
        for (uint32_t i = 0; i < scene.network->tensor_count; i++) {
            const struct tensor *tensor = &scene.network->tensors[i];
            for (int momentum = 0; momentum < (tensor->role == TENSOR_PARAMETER ? 2 : 1); momentum++) {
                float *element = (momentum ? scene.momentum : scene.values) + tensor->offset + tensor->count / 2;
                const float kept = *element;
                char name[TRACE_NAME_BYTES];
                snprintf(name, sizeof name, "before/%s%s", momentum ? "momentum/" : "", tensor->name);
                *element = kept + 0.25f;
                struct step_trace *trace = trace_of(&scene, NULL, 1);
                expect_roots(expected, trace, (const char *[]){ name, NULL });
                step_trace_close(trace);
                *element = kept;
            }
        }
        step_trace_close(expected);
        scene_close(&scene);
    }
}

static void test_batch_and_rate_are_named(void **state)
{
    (void)state;
    struct scene scene = scene_open(ARITHMETIC_EXACT_2, 0, MOMENTUM_PYTORCH);
    struct step_trace *expected = trace_of(&scene, NULL, 2), *trace;
    scene.recipe.training.schedule.learning_rate *= 1.5;
    trace = trace_of(&scene, NULL, 2);
    expect_roots(expected, trace, (const char *[]){ "batch/learning_rate", NULL });
    step_trace_close(trace);
    scene.recipe.training.schedule.learning_rate /= 1.5;
    scene.step++; /* of the same pass, with other images, or these at other places */
    trace = trace_of(&scene, NULL, 2);
    expect_roots(expected, trace, (const char *[]){ "batch/images", "batch/crops", NULL });
    step_trace_close(trace);
    step_trace_close(expected);
    scene_close(&scene);
}

/* Some digests, computed here from what the engine was given. */
static void test_digests(void **state)
{
    (void)state;
    struct scene scene = scene_open(ARITHMETIC_EXACT_1, 0, MOMENTUM_NEON);
    struct step_trace *trace = trace_of(&scene, NULL, 1);
    const struct trace_lines *list = &trace->list;
    for (uint32_t i = 0; i < scene.network->tensor_count; i++) {
        const struct tensor *tensor = &scene.network->tensors[i];
        uint8_t digest[DIGEST_BYTES];
        sha256_bytes(scene.values + tensor->offset, tensor->count * sizeof(float), digest);
        assert_memory_equal(list->lines[i].digest, digest, DIGEST_BYTES);
        assert_int_equal(list->lines[i].rank, tensor->rank);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        for (uint32_t k = 0; k < list->lines[i].input_count; k++)
            assert_true(list->inputs[list->lines[i].first_input + k] < i);
        for (uint32_t k = 0; k < i; k++)
            assert_string_not_equal(list->lines[i].name, list->lines[k].name);
    }
    step_trace_close(trace);
    scene_close(&scene);
}

/* A step that is not finite is traced, too, and every NaN counts the same. */
static void test_non_finite(void **state)
{
    (void)state;
    struct scene scene = scene_open(ARITHMETIC_EXACT_1, 0, MOMENTUM_NEON);
    struct step_trace *traces[2];
    struct step_result result;
    struct error error;
    const char *const isas[2] = { "scalar", NULL };
    scene.values[scene.network->tensors[scene.network->convs[3].gamma].offset] = NAN;
    for (int i = 0; i < 2; i++) {
        const struct engine_options options = { .isa = isas[i], .threads = 1 };
        struct engine *engine;
        assert_int_equal(engine_cpu.open(&engine, &scene.recipe, scene.network, &scene.data, NULL, &options, &error),
                         STATUS_OK);
        assert_int_equal(step_trace_open(&traces[i], scene.network, &scene.recipe, BATCH, &error), STATUS_OK);
        assert_int_equal(engine_cpu.set_state(engine, scene.values, scene.momentum, &error), STATUS_OK);
        assert_int_equal(engine_cpu.trace(engine, scene.step, traces[i], &result, &error), STATUS_OK);
        assert_non_null(strstr(traces[i]->non_finite, scene.network->tensors[scene.network->convs[3].weight].name));
        engine_cpu.close(engine);
    }
    expect_roots(traces[0], traces[1], NOTHING);
    step_trace_close(traces[0]);
    step_trace_close(traces[1]);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_every_tensor_is_named),
        cmocka_unit_test(test_batch_and_rate_are_named),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_non_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
