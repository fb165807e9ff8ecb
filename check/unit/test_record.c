/* Run records: what is written reads back; whatever interrupts a run, it ends with the files of one that was not. */
#include "check/support/simulated_training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "results/checkpoint.h"
#include "results/weights_check.h"

static void test_read_back(void **state)
{
    (void)state;
    struct record *record;
    struct error error;
    assert_int_equal(record_open(&record, runs_folder, "whole", &error), STATUS_OK);
    const struct record_facts *facts = &record->facts;
    assert_int_equal(facts->state, RECORD_FINISHED);
    assert_int_equal(record_state(record), RUN_FINISHED);
    assert_string_equal(record->name, "whole");
    assert_string_equal(facts->name, "whole");
    assert_string_equal(facts->manifest_name, "simulated");
    assert_string_equal(record->manifest_text, simulated_manifest.resolved);
    assert_string_equal(facts->experiment_sha256, simulated_experiment);
    assert_string_equal(facts->manifest_sha256, simulated_manifest.sha256);
    assert_string_equal(facts->arithmetic, "exact-1");
    assert_true(facts->exact);
    assert_int_equal(facts->seed, 7);
    assert_int_equal(facts->epochs_wanted, 14);
    assert_int_equal(facts->steps_wanted, 44); /* ceil(14 * 100 / 32) */
    assert_int_equal(record->epochs, 14);
    assert_int_equal(record->steps, 44);
    assert_int_equal(record->metrics[0].end_step, 4);
    assert_int_equal(record->metrics[1].end_step, 7);
    assert_true(record->metrics[4].learning_rate == (double)0.1f);
    assert_true(record->metrics[5].learning_rate == (double)(float)(0.1 * 0.1));
    assert_true(record->metrics[3].images_per_second == 64.0);
    struct training_state again = simulated_start();
    for (size_t i = 0; i < record->steps; i++) {
        struct step_result result;
        simulated_step(&again, &result);
        assert_memory_equal(&record->ledger[i].loss, &result.loss, sizeof result.loss);
        assert_int_equal(record->ledger[i].errors, result.errors);
        assert_memory_equal(record->ledger[i].digest, result.digest, sizeof result.digest);
    }
    assert_true(facts->result.best_validation_error == 0.0);
    assert_int_equal(facts->result.best_epoch, 1);
    assert_string_equal(facts->result.last.weights_sha256, record->metrics[13].weights_sha256);
    simulated_end(&again);
    record_close(record);
}

static void test_checkpoints_kept(void **state)
{
    (void)state;
    /* After 10 epochs, before the drop at the start of epoch 5, and the last two; ends are ceil(100 e / 32). */
    static const uint64_t expected[] = { 16, 32, 41, 44 };
    char folder[FILE_PATH_BYTES];
    uint64_t *steps;
    size_t count;
    struct error error;
    run_path(folder, "whole", ".");
    assert_int_equal(checkpoint_list(folder, &steps, &count, &error), STATUS_OK);
    assert_int_equal(count, 4);
    assert_memory_equal(steps, expected, sizeof expected);
    free(steps);
}

/* The process is killed, or asked to stop, after each number of steps in turn. */
static void test_interrupted_anywhere(void **state)
{
    (void)state;
    for (uint64_t stop = 0; stop < 44; stop++) {
        char name[32];
        struct error error = { STATUS_OK, "" };
        snprintf(name, sizeof name, "stopped-%u", (unsigned)stop);
        struct recorder_options options = simulated_options(name, false);
        assert_int_equal(simulated_session(&options, simulated_epochs(), stop, stop % 2, &error), STATUS_INTERRUPTED);
        options.resume = true;
        uint64_t again = stop + 9;
        if (again < 44)
            assert_int_equal(simulated_session(&options, simulated_epochs(), again, stop % 3, &error),
                             STATUS_INTERRUPTED);
        if (resume_to_end(name, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        assert_same_run("whole", name);
    }
}

static void append_text(const char *name, const char *file, const char *text, size_t bytes)
{
    char path[FILE_PATH_BYTES];
    run_path(path, name, file);
    FILE *stream = fopen(path, "a");
    assert_non_null(stream);
    assert_int_equal(fwrite(text, 1, bytes, stream), bytes);
    assert_int_equal(fclose(stream), 0);
}

static void test_torn_lines(void **state)
{
    (void)state;
    struct error error;
    struct record *record;
    stop_run("torn", 20, true);
    append_text("torn", METRICS_FILE, "{\"epoch\": 6, \"end", 17);
    append_text("torn", LEDGER_FILE, "        21  1.2345\0\0\0\0", 22);
    char path[FILE_PATH_BYTES];
    run_path(path, "torn", RECORD_CHECKPOINTS_FOLDER "/step-00000099.safetensors.Xyz123.tmp");
    assert_int_equal(file_write(path, "half", 4, &error), STATUS_OK);
    assert_int_equal(record_open(&record, runs_folder, "torn", &error), STATUS_OK);
    assert_int_equal(record->facts.state, RECORD_RUNNING);
    assert_int_equal(record_state(record), RUN_STOPPED);
    assert_int_equal(record->metrics_lines.torn, 17);
    assert_int_equal(record->ledger_lines.torn, 22);
    assert_int_equal(record->steps, 21);
    record_close(record);
    assert_int_equal(resume_to_end("torn", &error), STATUS_OK);
    assert_true(was_said("unfinished line of 17 bytes"));
    assert_true(was_said("unfinished line of 22 bytes"));
    assert_same_run("whole", "torn");
}

static void flip_byte(const char *name, const char *file, long place)
{
    char path[FILE_PATH_BYTES];
    run_path(path, name, file);
    FILE *stream = fopen(path, "r+");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, place, place < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(stream);
    assert_int_equal(fseek(stream, -1, SEEK_CUR), 0);
    fputc(byte ^ 1, stream);
    assert_int_equal(fclose(stream), 0);
}

/* Puts another digit in the place of one. */
static void change_digit(const char *name, const char *file, long place)
{
    char path[FILE_PATH_BYTES];
    run_path(path, name, file);
    FILE *stream = fopen(path, "r+");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, place, SEEK_SET), 0);
    int digit = fgetc(stream);
    assert_int_equal(fseek(stream, place, SEEK_SET), 0);
    fputc(digit == '0' ? '1' : '0', stream);
    assert_int_equal(fclose(stream), 0);
}

static void truncate_file(const char *name, const char *file, off_t bytes)
{
    char path[FILE_PATH_BYTES];
    run_path(path, name, file);
    assert_int_equal(truncate(path, bytes), 0);
}

/* 22 ends epoch 6 and 19 epoch 5; 16 is kept for the drop. */
static void test_damaged_checkpoints(void **state)
{
    (void)state;
    struct error error;
    for (int stopped = 0; stopped < 2; stopped++) {
        const char *name = stopped ? "stopped" : "damaged";
        stop_run(name, 23, true);
        flip_byte(name, RECORD_CHECKPOINTS_FOLDER "/step-00000022.safetensors", -1000);
        truncate_file(name, RECORD_CHECKPOINTS_FOLDER "/step-00000019.safetensors", 5000);
    }
    /* Stopped again before these steps, inside an epoch, the run is whole: nothing damaged is left. */
    struct record *record;
    struct weights_found found;
    struct recorder_options options = simulated_options("stopped", true);
    assert_int_equal(simulated_session(&options, simulated_epochs(), 17, false, &error), STATUS_INTERRUPTED);
    if (record_open_whole(&record, runs_folder, "stopped", &found, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    record_close(record);
    assert_int_equal(resume_to_end("stopped", &error), STATUS_OK);
    assert_same_run("whole", "stopped");
    assert_int_equal(resume_to_end("damaged", &error), STATUS_OK);
    assert_true(was_said("step-00000022.safetensors is damaged"));
    assert_true(was_said("step-00000019.safetensors is damaged") || was_said("step-00000019.safetensors is truncated"));
    assert_true(was_said("continuing from the checkpoint before it"));
    assert_same_run("whole", "damaged");
}

static void test_all_checkpoints_damaged(void **state)
{
    (void)state;
    struct error error;
    char names[32][64], path[128];
    stop_run("hopeless", 12, false);
    size_t count = list_folder("hopeless", RECORD_CHECKPOINTS_FOLDER, names);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", RECORD_CHECKPOINTS_FOLDER, names[i]);
        flip_byte("hopeless", path, 2000);
    }
    assert_int_equal(resume_to_end("hopeless", &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "step-00000007.safetensors is damaged"));
    assert_non_null(strstr(error.message, "to start again, remove that folder"));
}

/* A checkpoint that was copied from another run, and one under another step's name. */
static void test_foreign_checkpoints(void **state)
{
    (void)state;
    struct error error;
    char from[FILE_PATH_BYTES], to[FILE_PATH_BYTES], *file;
    size_t bytes;
    struct recorder_options options = simulated_options("other", false);
    options.experiment_sha256 = DIGEST_B;
    assert_int_equal(simulated_session(&options, simulated_epochs(), 12, true, &error), STATUS_INTERRUPTED);
    stop_run("mixed", 12, true);
    run_path(from, "other", RECORD_CHECKPOINTS_FOLDER "/step-00000010.safetensors");
    run_path(to, "mixed", RECORD_CHECKPOINTS_FOLDER "/step-00000010.safetensors");
    assert_int_equal(file_read(from, 1 << 28, &file, &bytes, &error), STATUS_OK);
    assert_int_equal(file_write(to, file, bytes, &error), STATUS_OK);
    free(file);
    run_path(from, "mixed", RECORD_CHECKPOINTS_FOLDER "/step-00000007.safetensors");
    run_path(to, "mixed", RECORD_CHECKPOINTS_FOLDER "/step-00000011.safetensors");
    assert_int_equal(file_read(from, 1 << 28, &file, &bytes, &error), STATUS_OK);
    assert_int_equal(file_write(to, file, bytes, &error), STATUS_OK);
    free(file);
    assert_int_equal(resume_to_end("mixed", &error), STATUS_OK);
    assert_true(was_said("step-00000010.safetensors belongs to another experiment"));
    assert_true(was_said("step-00000011.safetensors is the checkpoint of step 7"));
    assert_same_run("whole", "mixed");
}

static void test_damaged_history(void **state)
{
    (void)state;
    struct error error;
    struct record *record;
    stop_run("history", 23, true);
    char path[FILE_PATH_BYTES], *ledger;
    size_t bytes;
    run_path(path, "history", LEDGER_FILE);
    assert_int_equal(file_read(path, 1 << 20, &ledger, &bytes, &error), STATUS_OK);
    change_digit("history", LEDGER_FILE, 2 * LEDGER_LINE_BYTES - 3);
    assert_int_equal(resume_to_end("history", &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "the chain of epoch 0"));
    assert_int_equal(record_open(&record, runs_folder, "history", &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "metrics.jsonl and ledger.txt contradict each other"));
    assert_int_equal(file_write(path, ledger, bytes, &error), STATUS_OK);
    free(ledger);
    flip_byte("history", LEDGER_FILE, 2 * LEDGER_LINE_BYTES + 11);
    assert_int_equal(record_open(&record, runs_folder, "history", &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "ledger.txt:3: this is not the line of step 1"));
    flip_byte("history", LEDGER_FILE, 2 * LEDGER_LINE_BYTES + 11);
    truncate_file("history", LEDGER_FILE, 18 * LEDGER_LINE_BYTES);
    assert_int_equal(resume_to_end("history", &error), STATUS_OK); /* from the checkpoint of step 16 */
    assert_same_run("whole", "history");
}

static void test_damaged_metrics(void **state)
{
    (void)state;
    static const struct {
        const char *text, *complaint;
    } lines[] = {
        { "{\"epoch\": 0}\n", "metrics.jsonl:1: \"end_step\" is missing" },
        { "not json\n", "metrics.jsonl:1: " },
        { "{\"epoch\": \"0\"}\n", "metrics.jsonl:1: \"epoch\" is not a whole number" },
        { "{\"epoch\": 0, \"epoch\": 0}\n", "metrics.jsonl:1: duplicate" },
    };
    struct metrics_lines read;
    char path[FILE_PATH_BYTES];
    struct error error;
    snprintf(path, sizeof path, "%s/metrics.jsonl", runs_folder);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(file_write(path, lines[i].text, strlen(lines[i].text), &error), STATUS_OK);
        assert_int_equal(metrics_read(path, &read, &error), STATUS_INPUT);
        if (strstr(error.message, lines[i].complaint) == NULL)
            fail_msg("%s: %s", lines[i].text, error.message);
    }
}

/* What an imported run does not have is null on the disk and missing in memory; a run of selfsame has all of it. */
static void test_missing_metrics(void **state)
{
    (void)state;
    struct metrics_row row;
    struct metrics_lines read;
    char path[FILE_PATH_BYTES], *line, *again;
    struct error error;
    snprintf(path, sizeof path, "%s/metrics.jsonl", runs_folder);
    metrics_clear(&row, 0);
    row.validation_error = 8.31;
    assert_int_equal(metrics_format(&row, &line, &error), STATUS_OK);
    assert_non_null(strstr(line, "\"validation_error\": 8.31"));
    assert_non_null(strstr(line, "\"end_step\": null"));
    assert_int_equal(file_write(path, line, strlen(line), &error), STATUS_OK);
    assert_int_equal(metrics_read(path, &read, &error), STATUS_OK);
    assert_int_equal(read.epochs, 1);
    assert_true(metrics_is_imported(&read.rows[0]));
    assert_true(read.rows[0].end_step == METRICS_MISSING);
    for (size_t i = 0; i < metrics_column_count; i++)
        assert_int_equal(isnan(metrics_value(&read.rows[0], &metrics_columns[i])) != 0,
                         strcmp(metrics_columns[i].name, "epoch") != 0 &&
                             strcmp(metrics_columns[i].name, "validation_error") != 0);
    assert_int_equal(metrics_format(&read.rows[0], &again, &error), STATUS_OK);
    assert_string_equal(line, again);
    metrics_free(&read);
    /* A digest of weights makes it a line of selfsame's. */
    char *null = strstr(line, "\"weights_sha256\": null"), *text;
    assert_non_null(null);
    assert_true(asprintf(&text, "%.*s\"weights_sha256\": \"%s\"%s", (int)(null - line), line, DIGEST_B,
                         null + strlen("\"weights_sha256\": null")) > 0);
    assert_int_equal(file_write(path, text, strlen(text), &error), STATUS_OK);
    free(text);
    assert_int_equal(metrics_read(path, &read, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "metrics.jsonl:1: \"end_step\" is not a whole number"));
    memcpy(row.weights_sha256, DIGEST_B, sizeof DIGEST_B);
    assert_int_equal(metrics_format(&row, &text, &error), STATUS_ENVIRONMENT);
    free(line);
    free(again);
}

static void test_refusals(void **state)
{
    (void)state;
    struct error error;
    char path[FILE_PATH_BYTES];
    struct recorder_options options = simulated_options("whole", false);
    expect_refusal(&options, STATUS_INPUT, "is finished, with 14 of 14 epochs");
    options.resume = true;
    expect_refusal(&options, STATUS_INPUT, "is finished, with 14 of 14 epochs");
    options.experiment_sha256 = DIGEST_B;
    expect_refusal(&options, STATUS_INPUT, simulated_experiment);
    expect_refusal(&options, STATUS_INPUT, DIGEST_B);
    stop_run("unfinished", 9, true);
    options = simulated_options("unfinished", false);
    expect_refusal(&options, STATUS_INPUT, "continue it with --resume");
    static const char *const names[] = { "", ".", "..", ".hidden", "a/b", "/a" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        options = simulated_options(names[i], false);
        expect_refusal(&options, STATUS_INPUT, "cannot be the name of a run");
    }
    snprintf(path, sizeof path, "%s/foreign", runs_folder);
    assert_int_equal(mkdir(path, 0777), 0);
    run_path(path, "foreign", "thesis.tex");
    assert_int_equal(file_write(path, "x", 1, &error), STATUS_OK);
    options = simulated_options("foreign", false);
    expect_refusal(&options, STATUS_INPUT, "contains thesis.tex");
    options = simulated_options("a", false);
    options.runs = path; /* a file */
    expect_refusal(&options, STATUS_ENVIRONMENT, "cannot make the folder");
    options.runs = "/proc/no-such-folder";
    expect_refusal(&options, STATUS_ENVIRONMENT, "cannot make the folder /proc/no-such-folder");
}

/* Another manifest digest alone, as after a changed mirror, does not block a resume. */
static void test_changed_manifest(void **state)
{
    (void)state;
    struct error error;
    struct record *record;
    stop_run("mirror", 9, true);
    struct recorder_options options = simulated_options("mirror", true);
    char text[4096], sha256[DIGEST_HEX_BYTES];
    snprintf(text, sizeof text, "%s", simulated_manifest.resolved);
    char *place = strstr(text, "description: ''");
    assert_non_null(place);
    memcpy(place, "description: xx", strlen("description: xx"));
    sha256_hex(text, strlen(text), sha256);
    options.manifest_sha256 = sha256;
    options.manifest_text = text;
    assert_int_equal(simulated_session(&options, simulated_epochs(), UINT64_MAX, false, &error), STATUS_OK);
    assert_int_equal(record_open(&record, runs_folder, "mirror", &error), STATUS_OK);
    assert_string_equal(record->manifest_text, text);
    assert_string_equal(record->facts.manifest_sha256, sha256);
    assert_int_equal(record->facts.sessions, 2);
    record_close(record);
    assert_same_file("whole", "mirror", LEDGER_FILE);
}

/* --epochs stops early; the run is finished then, and goes on when more are asked for. */
static void test_more_epochs(void **state)
{
    (void)state;
    struct error error;
    struct recorder_options options = simulated_options("early", false);
    options.epochs = 3;
    assert_int_equal(simulated_session(&options, 3, UINT64_MAX, false, &error), STATUS_OK);
    options.resume = true;
    expect_refusal(&options, STATUS_INPUT, "is finished, with 3 of 14 epochs");
    options.epochs = 0;
    options.resume = false;
    expect_refusal(&options, STATUS_INPUT, "--resume");
    assert_int_equal(resume_to_end("early", &error), STATUS_OK);
    assert_same_run("whole", "early");
}

/* A non-finite number ends a run as failed, with the reason. */
static void test_failed(void **state)
{
    (void)state;
    struct error error;
    struct record *record;
    struct recorder *recorder;
    struct training_state training = simulated_start();
    struct recorder_options options = simulated_options("failed", false);
    assert_int_equal(recorder_open(&recorder, &options, &training, &error), STATUS_OK);
    assert_int_equal(recorder_finish(recorder, STATUS_NO, "step 3: conv1.weight is not finite", &error), STATUS_OK);
    recorder_close(recorder);
    simulated_end(&training);
    assert_int_equal(record_open(&record, runs_folder, "failed", &error), STATUS_OK);
    assert_int_equal(record_state(record), RUN_FAILED);
    assert_string_equal(record->facts.failure, "step 3: conv1.weight is not finite");
    record_close(record);
}

static void test_lock(void **state)
{
    (void)state;
    struct error error;
    int ready[2], go[2], result;
    char byte = 0, holder[64];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct recorder_options options = simulated_options("locked", false);
        struct training_state training = simulated_start();
        struct recorder *recorder;
        int good = recorder_open(&recorder, &options, &training, &error) == STATUS_OK &&
                   write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1;
        _exit(good ? 0 : 1); /* as if killed: nothing is released by hand */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct recorder_options options = simulated_options("locked", true);
    snprintf(holder, sizeof holder, "is in use by process %ld", (long)child);
    expect_refusal(&options, STATUS_ENVIRONMENT, holder);
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    if (resume_to_end("locked", &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_same_run("whole", "locked");
}

static void test_list(void **state)
{
    (void)state;
    char **names, nowhere[FILE_PATH_BYTES];
    size_t count, found = 0;
    struct error error;
    struct record *record;
    assert_int_equal(record_list(runs_folder, &names, &count, &error), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        found += strcmp(names[i], "whole") == 0;
        assert_string_not_equal(names[i], "foreign");
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
    }
    assert_int_equal(found, 1);
    record_list_free(names, count);
    snprintf(nowhere, sizeof nowhere, "%s/nowhere", runs_folder);
    assert_int_equal(record_list(nowhere, &names, &count, &error), STATUS_OK);
    assert_int_equal(count, 0);
    assert_int_equal(record_open(&record, runs_folder, "nobody", &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "there is no run \"nobody\""));
    assert_int_equal(record_open(&record, runs_folder, nowhere, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "is not a run"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_checkpoints_kept),
        cmocka_unit_test(test_interrupted_anywhere),
        cmocka_unit_test(test_torn_lines),
        cmocka_unit_test(test_damaged_checkpoints),
        cmocka_unit_test(test_all_checkpoints_damaged),
        cmocka_unit_test(test_foreign_checkpoints),
        cmocka_unit_test(test_damaged_history),
        cmocka_unit_test(test_damaged_metrics),
        cmocka_unit_test(test_missing_metrics),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_changed_manifest),
        cmocka_unit_test(test_more_epochs),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, simulated_setup, simulated_teardown);
}
