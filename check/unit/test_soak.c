/* The soak: its answers are the reference's, and a fault that is planted on one core, in one instruction set or in one
 * lane of its vectors is found and named. The faults are in tables of operations around the engine cpu's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/machine.h"
#include "fetch/data/embedded.h"
#include "trainer/soak.h"

static struct soak_data data;

static int make_images(void **state)
{
    struct error error;
    (void)state;
    return embedded_make(&data.training, SOAK_TRAINING_IMAGES, &data.validation, SOAK_VALIDATION_IMAGES, &error) ==
                   STATUS_OK
               ? 0
               : -1;
}

static int free_images(void **state)
{
    (void)state;
    dataset_free(&data.training);
    dataset_free(&data.validation);
    return 0;
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static const struct soak_engine reference = { .operations = &engine_cpu, .isa = "scalar" };

/* The reference gives the answers that are compiled in; of the largest network the fastest set does, because the
 * reference needs seconds. */
static void test_answers(void **state)
{
    (void)state;
    for (enum arithmetic a = ARITHMETIC_EXACT_1; a <= ARITHMETIC_EXACT_2; a++) {
        for (size_t i = 0; i < SOAK_NETWORKS; i++) {
            const struct soak_engine engine = { .operations = &engine_cpu,
                                                .isa = i + 1 < SOAK_NETWORKS ? "scalar" : NULL,
                                                .arithmetic = a };
            char what[SOAK_WHAT_BYTES] = "";
            struct error error = { .message = "" };
            const enum status status =
                soak_network_check(&engine, &soak_networks[i], 1, &data, &reference, -1, never, NULL, what, &error);
            if (status != STATUS_OK)
                fail_msg("%s %s", what, error.message);
        }
    }
}

static void test_working_sets_grow(void **state)
{
    const struct soak_engine engine = { .operations = &engine_cpu };
    size_t last = 0;
    (void)state;
    for (size_t i = 0; i < SOAK_NETWORKS; i++) {
        const size_t bytes = soak_network_bytes(&engine, &soak_networks[i], 1);
        assert_true(bytes > last);
        last = bytes;
    }
}

/* ---- planted faults ---------------------------------------------------------------------------------------------- */

enum { ANY = -1 };

/* Where the fault is, and what it does. */
static struct {
    int core;        /* the core that computes wrongly, or ANY */
    const char *isa; /* the instruction set, or NULL for any */
    int lane;        /* of the vectors, or ANY: none of them */
    int64_t step;    /* of the networks, or ANY: none of them */
    const char *tensor;
    bool evaluation;
} fault;

struct engine { /* around the engine cpu's */
    struct engine *real;
    const struct network *network;
    char isa[16];
};

static bool faulty(const struct engine *engine)
{
    return (fault.core == ANY || sched_getcpu() == fault.core) &&
           (fault.isa == NULL || strcmp(fault.isa, engine->isa) == 0);
}

static enum status fault_open(struct engine **out, const struct recipe *recipe, const struct network *network,
                              const struct dataset *training, const struct dataset *validation,
                              const struct engine_options *options, struct error *error)
{
    struct engine *engine = calloc(1, sizeof *engine);
    assert_non_null(engine);
    snprintf(engine->isa, sizeof engine->isa, "%s", options->isa);
    engine->network = network;
    const enum status status = engine_cpu.open(&engine->real, recipe, network, training, validation, options, error);
    if (status != STATUS_OK)
        free(engine);
    else
        *out = engine;
    return status;
}

static enum status fault_set_state(struct engine *engine, const float *values, const float *momentum,
                                   struct error *error)
{
    return engine_cpu.set_state(engine->real, values, momentum, error);
}

static enum status fault_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    return engine_cpu.get_state(engine->real, values, momentum, error);
}

/* Flips a bit of a tensor's last number. */
static void flip(struct engine *engine, const char *tensor)
{
    const struct network *network = engine->network;
    const int32_t index = network_find(network, tensor);
    float *values = calloc(network->value_count, sizeof *values),
          *momentum = calloc(network->value_count, sizeof *momentum);
    struct error error;
    assert_true(index >= 0 && values != NULL && momentum != NULL);
    assert_int_equal(engine_cpu.get_state(engine->real, values, momentum, &error), STATUS_OK);
    float *at = values + network->tensors[index].offset + network->tensors[index].count - 1;
    *at = float_of_bits(float_bits(*at) ^ 1 << 20);
    assert_int_equal(engine_cpu.set_state(engine->real, values, momentum, &error), STATUS_OK);
    free(values);
    free(momentum);
}

static enum status fault_run_steps(struct engine *engine, uint64_t first, uint64_t last,
                                   const struct step_listener *listener, uint64_t *done, struct error *error)
{
    if ((int64_t)first == fault.step && faulty(engine))
        flip(engine, fault.tensor);
    return engine_cpu.run_steps(engine->real, first, last, listener, done, error);
}

static enum status fault_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    const enum status status = engine_cpu.evaluate(engine->real, predictions, loss, error);
    if (fault.evaluation && faulty(engine))
        *loss = nextafter(*loss, 0.0);
    return status;
}

static uint32_t fault_exercise(struct engine *engine, float *values, size_t count, uint32_t passes)
{
    if (fault.lane != ANY && faulty(engine) && count > 2048) {
        float *at = values + 2048 + fault.lane;
        *at = float_of_bits(float_bits(*at) ^ 1);
    }
    return engine_cpu.exercise(engine->real, values, count, passes);
}

static void fault_close(struct engine *engine)
{
    engine_cpu.close(engine->real);
    free(engine);
}

static struct engine_operations operations;

/* Soaks with the smallest network and the smallest vectors of each kind, on all cores, for one round at least. */
static struct soak_report *soak(const char *const *isas, struct soak_options *options, double seconds)
{
    static struct soak_report report;
    struct error error = { .message = "" };
    memset(options, 0, sizeof *options);
    soak_machine(options);
    for (int level = 0; level < SOAK_LEVELS; level++)
        options->vector_bytes[level] = 16384 << level;
    options->seconds = seconds;
    options->reference = reference;
    for (size_t i = 0; isas[i] != NULL; i++)
        options->engines[options->engine_count++] = (struct soak_engine){ .operations = &operations, .isa = isas[i] };
    const enum status status = soak_run(options, &data, &report, &error);
    if (status != STATUS_OK)
        fail_msg("%s", error.message);
    return &report;
}

/* The fastest instruction set here, and the scalar one. */
static const char *const *sets(void)
{
    static const char *found[3];
    struct soak_engine engine = { .operations = &engine_cpu };
    struct engine *opened;
    struct network *network;
    struct error error;
    for (size_t i = 0; engine_cpu.isa(i) != NULL && found[0] == NULL; i++) {
        engine.isa = engine_cpu.isa(i);
        if (soak_vector_open(&engine, &opened, &network, &data, &error) != STATUS_OK)
            continue;
        engine_cpu.close(opened);
        network_close(network);
        found[0] = engine.isa;
    }
    found[1] = strcmp(found[0], "scalar") != 0 ? "scalar" : NULL;
    return found;
}

static int no_fault(void **state)
{
    (void)state;
    memset(&fault, 0, sizeof fault);
    fault.core = fault.lane = ANY;
    fault.step = ANY;
    operations = engine_cpu;
    operations.open = fault_open;
    operations.set_state = fault_set_state;
    operations.get_state = fault_get_state;
    operations.run_steps = fault_run_steps;
    operations.evaluate = fault_evaluate;
    operations.exercise = fault_exercise;
    operations.predict_memory = NULL;
    operations.close = fault_close;
    return 0;
}

static void test_nothing_is_wrong(void **state)
{
    static struct soak_options options;
    (void)state;
    const struct soak_report *report = soak(sets(), &options, 2.0);
    assert_int_equal(report->all.wrong, 0);
    assert_int_equal(report->fault_count, 0);
    assert_false(report->stopped);
    uint64_t checks = report->together.checks;
    for (uint32_t i = 0; i < options.core_count; i++) {
        assert_true(report->cores[i].checks > 0);
        checks += report->cores[i].checks;
    }
    assert_int_equal(checks, report->all.checks);
    assert_true(report->all.checks > 0);
}

/* A core whose vectors are wrong in one lane: no other core, and no other instruction set, is blamed. */
static void test_one_core_and_lane(void **state)
{
    static struct soak_options options;
    const char *const *isas = sets();
    (void)state;
    soak_machine(&options);
    fault.core = (int)options.cores[options.core_count - 1];
    fault.isa = isas[0];
    fault.lane = strcmp(isas[0], "scalar") == 0 ? 0 : 5;
    const struct soak_report *report = soak(isas, &options, 2.0);
    assert_true(report->fault_count > 0);
    assert_true(report->all.wrong > 0);
    for (size_t i = 0; i < report->fault_count; i++) {
        char expected[64];
        assert_int_equal(report->faults[i].core, fault.core);
        assert_int_equal(report->faults[i].engine, 0);
        snprintf(expected, sizeof expected, "number %d, lane %d of", 2048 + fault.lane, fault.lane);
        if (strstr(report->faults[i].what, expected) == NULL)
            fail_msg("%s: no %s", report->faults[i].what, expected);
    }
    for (uint32_t i = 0; i + 1 < options.core_count; i++)
        assert_int_equal(report->cores[i].wrong, 0);
    assert_int_equal(report->cores[options.core_count - 1].wrong, report->all.wrong);
    assert_int_equal(report->engines[0].wrong, report->all.wrong);
}

/* One check of a network that has a fault: what it says. */
static void check_network(const char *isa, const char *expected)
{
    const struct soak_engine engine = { .operations = &operations, .isa = isa };
    char what[SOAK_WHAT_BYTES] = "";
    struct error error;
    assert_int_equal(
        soak_network_check(&engine, &soak_networks[0], 1, &data, &reference, -1, never, NULL, what, &error),
        expected != NULL ? STATUS_NO : STATUS_OK);
    if (expected != NULL && strstr(what, expected) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", what, expected);
}

/* A wrong weight shows in the sums of the layer that uses it; a wrong beta in the next layer's; a wrong weight of the
 * last layer in nothing but itself and what follows backward. */
static void test_names_step_and_tensor(void **state)
{
    (void)state;
    for (size_t i = 0; sets()[i] != NULL; i++) {
        const char *isa = sets()[i];
        fault.step = ANY;
        check_network(isa, NULL);
        fault.step = 0;
        fault.tensor = "layer2.0.conv1.weight";
        check_network(isa, "network of 1 image, step 0, first wrong: layer2.0.bn1.running_mean");
        fault.step = 1;
        fault.tensor = "conv1.weight";
        check_network(isa, "step 1, first wrong: bn1.running_mean");
        fault.tensor = "linear.weight";
        check_network(isa, "step 1, first wrong: linear.");
        fault.isa = "none of these";
        check_network(isa, NULL);
        fault.isa = NULL;
    }
}

static void test_evaluation(void **state)
{
    (void)state;
    fault.evaluation = true;
    check_network("scalar", "the loss of the evaluation");
}

static bool at_once(void *context)
{
    (void)context;
    return true;
}

static void test_stops(void **state)
{
    static struct soak_options options;
    static struct soak_report report;
    struct error error;
    (void)state;
    soak_machine(&options);
    options.seconds = 1e6;
    options.reference = reference;
    options.engines[options.engine_count++] = (struct soak_engine){ .operations = &operations, .isa = sets()[0] };
    options.stop = at_once;
    assert_int_equal(soak_run(&options, &data, &report, &error), STATUS_OK);
    assert_true(report.stopped);
    assert_int_equal(report.rounds, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_working_sets_grow),
        cmocka_unit_test_setup(test_nothing_is_wrong, no_fault),
        cmocka_unit_test_setup(test_one_core_and_lane, no_fault),
        cmocka_unit_test_setup(test_names_step_and_tensor, no_fault),
        cmocka_unit_test_setup(test_evaluation, no_fault),
        cmocka_unit_test_setup(test_stops, no_fault),
    };
    return cmocka_run_group_tests(tests, make_images, free_images);
}
