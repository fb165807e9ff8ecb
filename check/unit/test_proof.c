/* The known digest with which selfsame doctor compares engines: it is the scalar reference's, and every fault that an
 * engine can have changes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fetch/data/embedded.h"
#include "trainer/proof.h"

static struct dataset training, validation;

static int make_images(void **state)
{
    struct error error;
    (void)state;
    return embedded_make(&training, PROOF_TRAINING_IMAGES, &validation, PROOF_VALIDATION_IMAGES, &error) == STATUS_OK
               ? 0
               : -1;
}

static int free_images(void **state)
{
    (void)state;
    dataset_free(&training);
    dataset_free(&validation);
    return 0;
}

static void prove(const struct engine_operations *operations, enum arithmetic arithmetic, const char *isa,
                  uint32_t threads, struct proof *proof)
{
    const struct engine_options options = { .threads = threads, .isa = isa };
    struct error error = { .message = "" };
    const enum status status = proof_run(operations, arithmetic, &options, &training, &validation, proof, &error);
    if (status != STATUS_OK)
        fail_msg("%s", error.message);
    assert_true(proof->opened);
    assert_true(strlen(proof->description) > 0);
}

static void test_reference_gives_known_digest(void **state)
{
    struct proof proof;
    (void)state;
    for (enum arithmetic a = ARITHMETIC_EXACT_1; a <= ARITHMETIC_EXACT_2; a++) {
        prove(&engine_cpu, a, "scalar", 1, &proof);
        assert_string_equal(proof.digest, proof_known_digest(a));
    }
}

/* The best that the processor has, and more threads than images. */
static void test_threads_and_sets_do_not_show(void **state)
{
    struct proof proof;
    (void)state;
    for (uint32_t threads = 1; threads <= 33; threads += 16) {
        prove(&engine_cpu, ARITHMETIC_EXACT_1, NULL, threads, &proof);
        assert_string_equal(proof.digest, proof_known_digest(ARITHMETIC_EXACT_1));
        prove(&engine_cpu, ARITHMETIC_EXACT_2, NULL, threads, &proof);
        assert_string_equal(proof.digest, proof_known_digest(ARITHMETIC_EXACT_2));
    }
}

/* ---- an engine with a fault: the CPU's, but for one bit ---------------------------------------------------------- */

enum fault {
    FAULT_NONE,
    FAULT_LOSS,
    FAULT_ERRORS,
    FAULT_LEDGER,
    FAULT_WEIGHT,
    FAULT_MOMENTUM,
    FAULT_CLASS,
    FAULT_EVALUATION
};
static enum fault fault;

static void flip(void *value)
{
    *(uint8_t *)value ^= 1;
}

struct relay {
    const struct step_listener *listener;
    uint64_t last;
};

static bool relay_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    const struct relay *relay = context;
    bool wanted = true;
    for (uint64_t i = 0; i < count; i++) {
        struct step_result result = results[i];
        if (first + i == relay->last && fault == FAULT_LOSS)
            flip(&result.loss);
        if (first + i == relay->last && fault == FAULT_ERRORS)
            result.errors ^= 1;
        if (first + i == relay->last && fault == FAULT_LEDGER)
            result.digest[1] ^= 1;
        wanted = relay->listener->steps(relay->listener->context, first + i, &result, 1) && wanted;
    }
    return wanted;
}

static enum status faulty_run_steps(struct engine *engine, uint64_t first, uint64_t last,
                                    const struct step_listener *listener, uint64_t *done, struct error *error)
{
    struct relay relay = { .listener = listener, .last = last - 1 };
    const struct step_listener between = { .context = &relay, .steps = relay_steps };
    return engine_cpu.run_steps(engine, first, last, &between, done, error);
}

static enum status faulty_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    const enum status status = engine_cpu.get_state(engine, values, momentum, error);
    if (fault == FAULT_WEIGHT)
        flip(&values[1000]);
    if (fault == FAULT_MOMENTUM)
        flip(&momentum[1000]);
    return status;
}

static enum status faulty_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    const enum status status = engine_cpu.evaluate(engine, predictions, loss, error);
    if (fault == FAULT_CLASS)
        flip(&predictions[PROOF_VALIDATION_IMAGES - 1]);
    if (fault == FAULT_EVALUATION)
        flip(loss);
    return status;
}

static void test_every_fault_shows(void **state)
{
    struct engine_operations faulty = engine_cpu;
    struct proof proof;
    (void)state;
    faulty.run_steps = faulty_run_steps;
    faulty.get_state = faulty_get_state;
    faulty.evaluate = faulty_evaluate;
    for (fault = FAULT_NONE; fault <= FAULT_EVALUATION; fault++) {
        prove(&faulty, ARITHMETIC_EXACT_1, NULL, 2, &proof);
        if (fault == FAULT_NONE)
            assert_string_equal(proof.digest, proof_known_digest(ARITHMETIC_EXACT_1));
        else
            assert_string_not_equal(proof.digest, proof_known_digest(ARITHMETIC_EXACT_1));
    }
}

/* ---- engines that fail ------------------------------------------------------------------------------------------- */

static enum status no_device(struct engine **engine, const struct recipe *recipe, const struct network *network,
                             const struct dataset *training_data, const struct dataset *validation_data,
                             const struct engine_options *options, struct error *error)
{
    (void)recipe, (void)network, (void)training_data, (void)validation_data, (void)options;
    *engine = NULL;
    return error_set(error, STATUS_ENVIRONMENT, "there is no device");
}

static enum status loses(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    (void)engine, (void)predictions, (void)loss;
    return error_set(error, STATUS_ENVIRONMENT, "lost the device");
}

static void test_failures_are_told_apart(void **state)
{
    struct engine_operations absent = engine_cpu, lost = engine_cpu;
    const struct engine_options options = { .threads = 1 };
    struct proof proof;
    struct error error;
    (void)state;
    absent.open = no_device;
    assert_int_equal(proof_run(&absent, ARITHMETIC_EXACT_1, &options, &training, &validation, &proof, &error),
                     STATUS_ENVIRONMENT);
    assert_string_equal(error.message, "there is no device");
    assert_false(proof.opened);
    assert_string_equal(proof.digest, "");
    lost.evaluate = loses;
    assert_int_equal(proof_run(&lost, ARITHMETIC_EXACT_1, &options, &training, &validation, &proof, &error),
                     STATUS_ENVIRONMENT);
    assert_string_equal(error.message, "lost the device");
    assert_true(proof.opened);
    assert_string_equal(proof.digest, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_gives_known_digest),
        cmocka_unit_test(test_threads_and_sets_do_not_show),
        cmocka_unit_test(test_every_fault_shows),
        cmocka_unit_test(test_failures_are_told_apart),
    };
    return cmocka_run_group_tests(tests, make_images, free_images);
}
