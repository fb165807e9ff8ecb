/* The CUDA engine against the scalar engine, bit for bit: steps, ledger, state, evaluation, over variants of the
 * network, odd batches and a resume that changes engine; and its messages when a call of the runtime fails. On the host
 * this runs on an imitation of CUDA (check/cuda_host/), which takes queued work in any order that is allowed. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <cuda_runtime_api.h>
#ifdef CUDA_HOST
#include "check/cuda_host/cuda_host.h"
#endif

#include "fetch/data/embedded.h"
#include "trainer/engine.h"
#include "trainer/proof.h"
#include "trainer/schedule.h"

enum { STEPS_MAX = 80, VALIDATION = 21 };

/* What an engine left. */
struct outcome {
    struct step_result results[STEPS_MAX];
    uint64_t heard, done;
    float *values, *momentum;
    uint8_t predictions[VALIDATION];
    double loss;
    enum status status;
    struct error error;
};

struct experiment {
    uint32_t depth, batch, images;
    enum shortcut shortcut;
    enum bias bias;
    bool final_norm, unbiased;
    enum momentum_form form;
    enum last_batch last;
    enum padding padding;
    enum normalization normalization;
    float rate;
};

static const struct experiment msra = { .depth = 8, .batch = 6, .images = 40, .final_norm = true, .rate = 0.1f };
static const struct experiment akamaster = { .depth = 8,
                                             .batch = 7,
                                             .images = 40,
                                             .shortcut = SHORTCUT_PAD_BOTH,
                                             .bias = BIAS_UNIFORM,
                                             .unbiased = true,
                                             .form = MOMENTUM_PYTORCH,
                                             .last = LAST_BATCH_SHORT,
                                             .padding = PADDING_ZERO,
                                             .normalization = NORMALIZE_CONSTANTS,
                                             .rate = 0.1f };
static const struct experiment paper = { .depth = 14,
                                         .batch = 5,
                                         .images = 32,
                                         .shortcut = SHORTCUT_PAD_END,
                                         .bias = BIAS_ZERO,
                                         .last = LAST_BATCH_SHORT,
                                         .padding = PADDING_ZERO,
                                         .normalization = NORMALIZE_PIXEL_MEAN,
                                         .rate = 0.05f };

static struct recipe recipe_of(const struct experiment *e)
{
    return (struct recipe){
        .model = { .depth = e->depth,
                   .shortcut = e->shortcut,
                   .linear_bias = e->bias,
                   .final_batch_norm = e->final_norm,
                   .batch_norm_epsilon = 1e-5,
                   .batch_norm_rate = 0.1,
                   .batch_norm_unbiased = e->unbiased,
                   .batch_norm_initial_variance = 1.0 },
        .input = { .padding_pixels = 4,
                   .padding = e->padding,
                   .normalization = e->normalization,
                   .mean = { 0.49, 0.48, 0.45 },
                   .deviation = { 0.25, 0.24, 0.26 },
                   .random_crop = true,
                   .random_flip = true },
        .training = { .batch_size = e->batch,
                      .last_batch = e->last,
                      .length = 20,
                      .momentum_form = e->form,
                      .momentum = 0.9,
                      .weight_decay = 1e-4,
                      .schedule = { .learning_rate = (double)e->rate,
                                    .drop_factor = 0.1,
                                    .drop_count = 1,
                                    .drops = { 1 } },
                      .seed = 3 },
    };
}

struct world {
    struct recipe recipe;
    struct network *network;
    struct dataset training, validation;
};

static void open_world(struct world *world, const struct experiment *e)
{
    struct error error;
    world->recipe = recipe_of(e);
    assert_int_equal(network_open(&world->network, &world->recipe.model, &error), STATUS_OK);
    assert_int_equal(embedded_make(&world->training, e->images, &world->validation, VALIDATION, &error), STATUS_OK);
}

static void close_world(struct world *world)
{
    network_close(world->network);
    dataset_free(&world->training);
    dataset_free(&world->validation);
}

/* As a listener: keeps results, and asks for a stop once it has heard `until` steps. */
struct hearing {
    struct outcome *outcome;
    uint64_t first, until;
};

static bool hear(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    struct hearing *hearing = context;
    assert_int_equal(first, hearing->first + hearing->outcome->heard);
    for (uint64_t i = 0; i < count;
         i++) { /* field by field: whole results are compared, and between fields lies what lay there */
        struct step_result *kept = &hearing->outcome->results[hearing->outcome->heard++];
        memset(kept, 0, sizeof *kept);
        kept->loss = results[i].loss;
        kept->errors = results[i].errors;
        kept->images = results[i].images;
        memcpy(kept->digest, results[i].digest, sizeof kept->digest);
    }
    return hearing->outcome->heard < hearing->until;
}

/* Steps first .. last-1 from the state in `outcome`, which it leaves there; then an evaluation. */
static void run_on(const struct engine_operations *operations, const struct world *world, uint64_t first, uint64_t last,
                   uint64_t until, struct outcome *outcome)
{
    static const struct engine_options options = { .threads = 2, .isa = NULL };
    struct engine *engine = NULL;
    struct hearing hearing = { outcome, first, until };
    const struct step_listener listener = { &hearing, hear };
    outcome->heard = outcome->done = 0;
    outcome->status = operations->open(&engine, &world->recipe, world->network, &world->training, &world->validation,
                                       &options, &outcome->error);
    if (outcome->status != STATUS_OK)
        return;
    outcome->status = operations->set_state(engine, outcome->values, outcome->momentum, &outcome->error);
    if (outcome->status == STATUS_OK)
        outcome->status = operations->run_steps(engine, first, last, &listener, &outcome->done, &outcome->error);
    if (outcome->status == STATUS_OK)
        outcome->status = operations->evaluate(engine, outcome->predictions, &outcome->loss, &outcome->error);
    if (outcome->status == STATUS_OK)
        outcome->status = operations->get_state(engine, outcome->values, outcome->momentum, &outcome->error);
    if (operations->predict_memory != NULL)
        assert_int_equal(
            operations->predict_memory(&world->recipe, world->network, world->training.count, VALIDATION, &options),
            operations->memory_bytes(engine));
    operations->close(engine);
}

static struct outcome *begin(const struct world *world)
{
    struct outcome *outcome = calloc(1, sizeof *outcome);
    assert_non_null(outcome);
    outcome->values = calloc(world->network->value_count, sizeof(float));
    outcome->momentum = calloc(world->network->value_count, sizeof(float));
    assert_true(outcome->values != NULL && outcome->momentum != NULL);
    network_initialize(world->network, world->recipe.training.seed, outcome->values);
    return outcome;
}

static void end(struct outcome *outcome)
{
    free(outcome->values);
    free(outcome->momentum);
    free(outcome);
}

static void expect_same_state(const struct world *world, const struct outcome *expected, const struct outcome *found)
{
    for (uint32_t t = 0; t < world->network->tensor_count; t++) {
        const struct tensor *tensor = &world->network->tensors[t];
        if (memcmp(expected->values + tensor->offset, found->values + tensor->offset, tensor->count * sizeof(float)) !=
            0)
            fail_msg("%s is not the same", tensor->name);
        if (memcmp(expected->momentum + tensor->offset, found->momentum + tensor->offset,
                   tensor->count * sizeof(float)) != 0)
            fail_msg("the momentum of %s is not the same", tensor->name);
    }
}

static void expect_same(const struct world *world, const struct outcome *expected, const struct outcome *found)
{
    if (found->status != STATUS_OK)
        fail_msg("%s", found->error.message);
    assert_int_equal(found->done, expected->done);
    assert_int_equal(found->heard, found->done);
    for (uint64_t i = 0; i < expected->done; i++) {
        if (memcmp(&expected->results[i], &found->results[i], sizeof found->results[i]) != 0)
            fail_msg("step %u: loss %a and %a, errors %u and %u, images %u and %u, digest %" PRIx64 " and %" PRIx64,
                     (unsigned)i, (double)expected->results[i].loss, (double)found->results[i].loss,
                     expected->results[i].errors, found->results[i].errors, expected->results[i].images,
                     found->results[i].images, expected->results[i].digest[0], found->results[i].digest[0]);
    }
    expect_same_state(world, expected, found);
    assert_memory_equal(found->predictions, expected->predictions, VALIDATION);
    assert_memory_equal(&found->loss, &expected->loss, sizeof found->loss);
}

static void set_order(uint64_t seed)
{
#ifdef CUDA_HOST
    cuda_host_seed(seed);
#else
    (void)seed;
#endif
}

static void compare_engines(const struct experiment *e, uint64_t steps, uint64_t seed)
{
    struct world world;
    open_world(&world, e);
    struct outcome *cpu = begin(&world), *cuda = begin(&world);
    run_on(&engine_cpu, &world, 0, steps, UINT64_MAX, cpu);
    assert_int_equal(cpu->status, STATUS_OK);
    set_order(seed);
    run_on(&engine_cuda, &world, 0, steps, UINT64_MAX, cuda);
    expect_same(&world, cpu, cuda);
    end(cpu);
    end(cuda);
    close_world(&world);
}

/* Over the end of an epoch, so that batches run over into the next pass or come short. */
static void test_variants(void **state)
{
    (void)state;
    compare_engines(&msra, 9, 0);
    compare_engines(&akamaster, 8, 1);
    compare_engines(&paper, 4, 7);
}

static void test_orders(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++)
        compare_engines(&msra, 2, seed);
}

/* More series than are in flight at once. */
static void test_many_steps(void **state)
{
    const struct experiment small = { .depth = 8, .batch = 1, .images = 30, .final_norm = true, .rate = 0.001f };
    (void)state;
    compare_engines(&small, 70, 5);
}

/* Depth 38 has six blocks a stage, of which every other output is made again. */
static void test_remade_outputs(void **state)
{
    const struct experiment deep = { .depth = 38, .batch = 2, .images = 20, .final_norm = true, .rate = 0.1f };
    const struct experiment option_a = {
        .depth = 56, .batch = 1, .images = 20, .shortcut = SHORTCUT_PAD_BOTH, .rate = 0.1f
    };
    (void)state;
    compare_engines(&deep, 2, 3);
    compare_engines(&option_a, 1, 4);
}

/* A listener stops the steps. Steps that had begun are reported, and the other engine continues from there. */
static void test_stop_and_change(void **state)
{
    const struct experiment small = { .depth = 8, .batch = 2, .images = 30, .final_norm = true, .rate = 0.05f };
    struct world world;
    (void)state;
    open_world(&world, &small);
    struct outcome *whole = begin(&world), *parts = begin(&world);
    run_on(&engine_cpu, &world, 0, STEPS_MAX, UINT64_MAX, whole);
    run_on(&engine_cuda, &world, 0, STEPS_MAX, 1, parts);
    assert_int_equal(parts->status, STATUS_OK);
    assert_true(parts->done > 0 && parts->done < STEPS_MAX);
    const uint64_t stopped = parts->done;
    assert_memory_equal(parts->results, whole->results, stopped * sizeof *parts->results);
    run_on(&engine_cpu, &world, stopped, stopped + 2, UINT64_MAX, parts);
    assert_memory_equal(parts->results, whole->results + stopped, 2 * sizeof *parts->results);
    run_on(&engine_cuda, &world, stopped + 2, STEPS_MAX, UINT64_MAX, parts);
    assert_memory_equal(parts->results, whole->results + stopped + 2, parts->done * sizeof *parts->results);
    expect_same_state(&world, whole, parts);
    end(whole);
    end(parts);
    close_world(&world);
}

/* The same is named as on the CPU, with the same steps before it. */
static void test_not_finite(void **state)
{
    const struct experiment wild = { .depth = 8, .batch = 4, .images = 30, .rate = 1e30f };
    struct world world;
    (void)state;
    open_world(&world, &wild);
    struct outcome *cpu = begin(&world), *cuda = begin(&world);
    run_on(&engine_cpu, &world, 0, 10, UINT64_MAX, cpu);
    run_on(&engine_cuda, &world, 0, 10, UINT64_MAX, cuda);
    assert_int_equal(cpu->status, STATUS_NO);
    assert_int_equal(cuda->status, STATUS_NO);
    assert_int_equal(cuda->done, cpu->done);
    assert_memory_equal(cuda->results, cpu->results, cpu->done * sizeof *cpu->results);
    assert_string_equal(cuda->error.message, cpu->error.message);
    end(cpu);
    end(cuda);
    close_world(&world);
}

/* Every part of a step has its time, and they are those of real steps: TIMED of them, through three passes, and one
 * more for the parts. */
static void test_profile(void **state)
{
    enum { TIMED = 13 };
    const struct engine_options options = { .threads = 0 };
    double step_s[TIMED] = { 0.0 }, layers[2][64] = { { 0.0 } };
    struct engine_profile profile = { .step_s = step_s, .forward_s = layers[0], .backward_s = layers[1] };
    struct world world;
    struct engine *engine;
    struct error error;
    (void)state;
    open_world(&world, &akamaster);
    struct outcome *outcome = begin(&world), *cpu = begin(&world);
    run_on(&engine_cpu, &world, 0, TIMED + 1, UINT64_MAX, cpu);
    assert_int_equal(
        engine_cuda.open(&engine, &world.recipe, world.network, &world.training, &world.validation, &options, &error),
        STATUS_OK);
    assert_int_equal(engine_cuda.set_state(engine, outcome->values, outcome->momentum, &error), STATUS_OK);
    assert_int_equal(engine_cuda.profile(engine, 0, TIMED, &profile, &error), STATUS_OK);
    for (uint32_t l = 0; l < world.network->conv_count; l++)
        assert_true(layers[0][l] > 0.0 && layers[1][l] > 0.0);
    for (int i = 0; i < TIMED; i++)
        assert_true(step_s[i] > 0.0);
    assert_true(profile.head_s > 0.0 && profile.update_s > 0.0);
    assert_true(engine_cuda.peak_flops(engine) > 0.0);
    assert_int_equal(engine_cuda.get_state(engine, outcome->values, outcome->momentum, &error), STATUS_OK);
    expect_same_state(&world, cpu, outcome);
    engine_cuda.close(engine);
    end(cpu);
    end(outcome);
    close_world(&world);
}

#ifdef CUDA_HOST
static void expect_failure(const struct world *world, const char *failure, const char *const *words)
{
    struct outcome *outcome = begin(world);
    cuda_host_reset();
    cuda_host_fail(failure);
    run_on(&engine_cuda, world, 0, 4, UINT64_MAX, outcome);
    cuda_host_fail(NULL);
    assert_int_equal(outcome->status, STATUS_ENVIRONMENT);
    for (; *words != NULL; words++)
        if (strstr(outcome->error.message, *words) == NULL)
            fail_msg("%s: '%s' does not say '%s'", failure, outcome->error.message, *words);
    end(outcome);
}

static void test_failures(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, &msra);
    expect_failure(&world, "cudaGetDeviceCount:1:cudaErrorNoDevice", (const char *[]){ "no", "GPU", NULL });
    expect_failure(&world, "cudaGetDeviceCount:1:cudaErrorInsufficientDriver", (const char *[]){ "driver", NULL });
    expect_failure(&world, "cudaGraphLaunch:3:cudaErrorECCUncorrectable",
                   (const char *[]){ "cudaGraphLaunch", "cudaErrorECCUncorrectable", "checkpoint", NULL });
    expect_failure(&world, "cudaEventSynchronize:1:cudaErrorLaunchFailure",
                   (const char *[]){ "cudaEventSynchronize", "cudaErrorLaunchFailure", "checkpoint", NULL });
    expect_failure(&world, "cudaMemcpyAsync:2:cudaErrorIllegalAddress", (const char *[]){ "cudaMemcpyAsync", NULL });
    expect_failure(&world, "cudaMalloc:1:cudaErrorMemoryAllocation", (const char *[]){ "cudaMalloc", "memory", NULL });
    expect_failure(&world, "cudaGraphInstantiate:1:cudaErrorMemoryAllocation",
                   (const char *[]){ "cudaGraphInstantiate", NULL });
    cuda_host_reset();
    close_world(&world);
}

/* Too little memory is an error before anything is trained. */
static void test_too_little_memory(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, &msra);
    cuda_host_reset();
    cuda_host_memory(3 << 20);
    struct outcome *outcome = begin(&world);
    run_on(&engine_cuda, &world, 0, 1, UINT64_MAX, outcome);
    assert_int_equal(outcome->status, STATUS_ENVIRONMENT);
    assert_non_null(strstr(outcome->error.message, "batch 6 at depth 8"));
    assert_int_equal(cuda_host_objects(), 0);
    cuda_host_reset();
    end(outcome);
    close_world(&world);
}
#endif

/* Half of the 2016 trainer's memory at batch 128, which was 521, 636, 860 and 1277 MiB. */
static void test_memory(void **state)
{
    static const struct {
        uint32_t depth;
        double mib;
    } limits[] = { { 20, 260 }, { 32, 318 }, { 56, 430 }, { 110, 638 } };
    const struct engine_options options = { .threads = 0 };
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct experiment full = { .depth = limits[i].depth, .batch = 128, .final_norm = true };
        const struct recipe recipe = recipe_of(&full);
        struct network *network;
        struct error error;
        assert_int_equal(network_open(&network, &recipe.model, &error), STATUS_OK);
        const double mib = (double)engine_cuda.predict_memory(&recipe, network, 50000, 10000, &options) / 1048576.0;
        print_message("depth %u: %.1f MiB\n", limits[i].depth, mib);
        assert_true(mib <= limits[i].mib);
        network_close(network);
    }
}

static struct step_trace *trace_of(const struct engine_operations *operations, const struct world *world, uint64_t step,
                                   struct outcome *state)
{
    const struct engine_options options = { .threads = 2 };
    const uint32_t images = schedule_batch(&world->recipe.training, world->training.count, step);
    struct step_trace *trace;
    struct engine *engine;
    struct error error;
    assert_int_equal(
        operations->open(&engine, &world->recipe, world->network, &world->training, NULL, &options, &error), STATUS_OK);
    assert_int_equal(step_trace_open(&trace, world->network, &world->recipe, images, &error), STATUS_OK);
    assert_int_equal(operations->set_state(engine, state->values, state->momentum, &error), STATUS_OK);
    assert_int_equal(operations->trace(engine, step, trace, &state->results[0], &error), STATUS_OK);
    assert_int_equal(operations->get_state(engine, state->values, state->momentum, &error), STATUS_OK);
    operations->close(engine);
    return trace;
}

/* Two traced steps; the second one's state is what the first left. */
static void expect_same_traces(const struct experiment *e, uint64_t step)
{
    struct world world;
    open_world(&world, e);
    struct outcome *expected = begin(&world), *found = begin(&world);
    for (uint64_t at = step; at < step + 2; at++) {
        struct step_trace *cpu = trace_of(&engine_cpu, &world, at, expected),
                          *cuda = trace_of(&engine_cuda, &world, at, found);
        uint32_t root = 0, differing;
        assert_int_equal(trace_lines_part(&cpu->list, &cuda->list), cpu->list.count);
        if (trace_roots(&cpu->list, &cuda->list, &root, 1, &differing) > 0)
            fail_msg("step %" PRIu64 ": %u tensors differ, the first is %s", at, differing, cpu->list.lines[root].name);
        assert_memory_equal(expected->results[0].digest, found->results[0].digest, sizeof found->results[0].digest);
        assert_true(expected->results[0].loss == found->results[0].loss);
        assert_int_equal(expected->results[0].errors, found->results[0].errors);
        assert_string_equal(cpu->non_finite, cuda->non_finite);
        expect_same_state(&world, expected, found);
        step_trace_close(cpu);
        step_trace_close(cuda);
    }
    end(expected);
    end(found);
    close_world(&world);
}

static void test_traces(void **state)
{
    static const struct experiment remade = { .depth = 38, .batch = 1, .images = 8, .rate = 0.05f };
    (void)state;
    expect_same_traces(&msra, 0);
    expect_same_traces(&akamaster, 4); /* the last batch of a pass is shorter */
    expect_same_traces(&remade, 2);
}

/* What selfsame doctor asks of it. */
static void test_proof(void **state)
{
    const struct engine_options options = { .threads = 0 };
    struct dataset training, validation;
    struct proof proof;
    struct error error = { .message = "" };
    (void)state;
    assert_int_equal(embedded_make(&training, PROOF_TRAINING_IMAGES, &validation, PROOF_VALIDATION_IMAGES, &error),
                     STATUS_OK);
    if (proof_run(&engine_cuda, ARITHMETIC_EXACT_1, &options, &training, &validation, &proof, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_string_equal(proof.digest, proof_known_digest(ARITHMETIC_EXACT_1));
    dataset_free(&training);
    dataset_free(&validation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),          cmocka_unit_test(test_orders),
        cmocka_unit_test(test_variants),        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_many_steps),      cmocka_unit_test(test_remade_outputs),
        cmocka_unit_test(test_stop_and_change), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_profile),         cmocka_unit_test(test_traces),
#ifdef CUDA_HOST
        cmocka_unit_test(test_failures),        cmocka_unit_test(test_too_little_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
