/* What is not resumed, however its files agree: runs whose epochs end at other steps than the manifest's, whose data
 * changed in memory, or whose errors would be measured on other images than before. */
#include "check/support/forged_record.h"
#include "check/support/simulated_training.h"

#include <string.h>

#include "results/checkpoint.h"

/* Epochs that end early, in metrics, ledger, chain and checkpoint alike: more steps would belong to the epoch that goes
 * on than an epoch has, and than there is room for. */
static void test_forged_epoch_ends(void **state)
{
    (void)state;
    static const uint64_t ends[] = { 1, 2 };
    enum { STEP = 10 };
    struct error error;
    struct record *record;
    struct checkpoint_place place;
    struct training_state training = simulated_start();
    char folder[FILE_PATH_BYTES];
    stop_run("forged", STEP, false);
    snprintf(folder, sizeof folder, "%s/forged", runs_folder);
    assert_int_equal(record_open(&record, runs_folder, "forged", &error), STATUS_OK);
    assert_int_equal(checkpoint_read(folder, STEP, simulated_network, NULL, &place, &training, &error), STATUS_OK);
    for (uint64_t step = 0; step <= STEP; step++) {
        char path[FILE_PATH_BYTES];
        assert_int_equal(checkpoint_path(folder, step, path, &error), STATUS_OK);
        assert_int_equal(file_remove(path, &error), STATUS_OK);
    }
    forge_epoch_ends(record, "forged", ends, 2, place.chain_sha256);
    record_close(record);
    place.epochs = 2;
    place.steps_sha256[0] = '\0';
    assert_int_equal(checkpoint_write(folder, simulated_network, &place, &training, &error), STATUS_OK);
    simulated_end(&training);
    assert_int_equal(resume_to_end("forged", &error), STATUS_INPUT);
    if (strstr(error.message, "metrics.jsonl:1: the epoch ends after 1 steps, but by the manifest after 4") == NULL)
        fail_msg("%s", error.message);
}

/* Data that changed in memory make every checkpoint worthless, and nothing computes on from one. */
static void test_changed_memory(void **state)
{
    (void)state;
    static const struct {
        const char *name, *digests, *complaint;
    } cases[] = {
        { "good", DIGEST_A " " DIGEST_B, NULL },
        { "bad-training", DIGEST_B " " DIGEST_B, "its training data changed in memory" },
        { "bad-test", DIGEST_A " " DIGEST_A, "its validation data changed in memory" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error;
        struct recorder *recorder;
        struct training_state training = simulated_start();
        struct recorder_options options = simulated_options(cases[i].name, false);
        assert_int_equal(recorder_open(&recorder, &options, &training, &error), STATUS_OK);
        recorder_data_after(recorder, cases[i].digests);
        assert_int_equal(recorder_finish(recorder, STATUS_NO, "the data in memory changed", &error), STATUS_OK);
        recorder_close(recorder);
        simulated_end(&training);
        for (int resume = 0; resume < 2 && cases[i].complaint != NULL; resume++) {
            options.resume = resume;
            expect_refusal(&options, STATUS_INPUT, cases[i].complaint);
        }
        if (cases[i].complaint == NULL)
            assert_int_equal(resume_to_end(cases[i].name, &error), STATUS_OK);
    }
}

/* The errors of one run are those on one set of images, whether it has an epoch yet or not. */
static void test_other_test_data(void **state)
{
    (void)state;
    struct error error;
    stop_run("epochs", 9, true);
    stop_run("steps", 1, true);
    for (int steps = 0; steps < 2; steps++) {
        const char *name = steps ? "steps" : "epochs";
        struct recorder_options options = simulated_options(name, true);
        options.validation_data_sha256 = DIGEST_A;
        expect_refusal(&options, STATUS_INPUT,
                       "measures its errors on test data of SHA-256 " DIGEST_B ", not " DIGEST_A);
        assert_int_equal(resume_to_end(name, &error), STATUS_OK);
        assert_same_run("whole", name);
    }
}

static void test_checkpoint_names(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "step-1.safetensors",
                                       "step-0000000a.safetensors",
                                       "step-000000012.safetensors",
                                       "step- 0000012.safetensors",
                                       "step--0000012.safetensors",
                                       "step-+0000012.safetensors",
                                       "step-00000012.safetensors ",
                                       "step-00000012.safetensorsx",
                                       "step-00000012",
                                       "xstep-00000012.safetensors",
                                       "step-99999999999999999999.safetensors" };
    uint64_t step;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(checkpoint_parse_name(bad[i], &step));
    assert_true(checkpoint_parse_name("step-00000012.safetensors", &step) && step == 12);
    assert_true(checkpoint_parse_name("step-123456789.safetensors", &step) && step == 123456789);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forged_epoch_ends),
        cmocka_unit_test(test_changed_memory),
        cmocka_unit_test(test_other_test_data),
        cmocka_unit_test(test_checkpoint_names),
    };
    return cmocka_run_group_tests(tests, simulated_setup, simulated_teardown);
}
