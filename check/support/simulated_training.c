#include "check/support/simulated_training.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/pack.h"
#include "trainer/schedule.h"

char runs_folder[] = "/tmp/test_record.XXXXXX";
const char simulated_text[] = "name: simulated\n"
                              "dataset: {kind: embedded, training_images: 100, test_images: 10,\n"
                              "  train_sha256: " DIGEST_A ", test_sha256: " DIGEST_B ",\n"
                              "  padding: {mode: mean}, normalization: {kind: channel-mean}}\n"
                              "model: {depth: 8, shortcut: projection, linear_bias: none}\n"
                              "training: {epochs: 14, batch_size: 32, last_batch: continue, seed: 7,\n"
                              "  optimizer: {form: neon}, schedule: {learning_rate: 0.1, drop_epochs: [5]}}\n";
struct manifest simulated_manifest;
char simulated_experiment[DIGEST_HEX_BYTES];
struct network *simulated_network;
static char said[4][ERROR_MESSAGE_BYTES + 256];
static size_t said_count;

void hear(const char *message)
{
    snprintf(said[said_count++ % 4], sizeof said[0], "%s", message);
}

bool was_said(const char *part)
{
    for (size_t i = 0; i < 4; i++)
        if (strstr(said[i], part) != NULL)
            return true;
    return false;
}

struct recorder_options simulated_options(const char *name, bool resume)
{
    memset(said, 0, sizeof said);
    return (struct recorder_options){
        .runs = runs_folder,
        .name = name,
        .resume = resume,
        .manifest_name = "simulated",
        .manifest_text = simulated_manifest.resolved,
        .manifest_sha256 = simulated_manifest.sha256,
        .experiment_sha256 = simulated_experiment,
        .arithmetic = "exact-1",
        .exact = true,
        .recipe = &simulated_recipe,
        .network = simulated_network,
        .training_images = SIMULATED_IMAGES,
        .validation_images = 10,
        .training_data_sha256 = DIGEST_A,
        .validation_data_sha256 = DIGEST_B,
        .engine_name = "simulated",
        .engine_description = "none",
        .say = hear,
    };
}

struct training_state simulated_start(void)
{
    struct training_state state = { .values = calloc(simulated_network->value_count, sizeof(float)),
                                    .momentum = calloc(simulated_network->value_count, sizeof(float)) };
    assert_non_null(state.values);
    assert_non_null(state.momentum);
    network_initialize(simulated_network, simulated_recipe.training.seed, state.values);
    return state;
}

void simulated_end(struct training_state *state)
{
    free(state->values);
    free(state->momentum);
}

void simulated_step(struct training_state *state, struct step_result *result)
{
    uint64_t sum = state->step;
    for (uint32_t t = 0; t < simulated_network->tensor_count; t++) {
        const struct tensor *tensor = &simulated_network->tensors[t];
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i += 7) {
            if (tensor->role == TENSOR_PARAMETER)
                state->momentum[i] = 0.9f * state->momentum[i] + 0.01f * (float)(state->step % 5);
            state->values[i] = 0.99f * state->values[i] + state->momentum[i] + 0.001f;
            uint32_t bits;
            memcpy(&bits, &state->values[i], sizeof bits);
            sum = sum * 0x9e3779b97f4a7c15 + bits;
        }
    }
    *result = (struct step_result){
        .loss = (float)(sum >> 40) / 1e7f, .errors = (uint32_t)(sum >> 32) % 33, .images = 32, .digest = { sum, ~sum }
    };
    state->loss_sum += (double)result->loss * 32.0;
    state->error_sum += result->errors;
    state->image_sum += 32;
    state->step++;
}

/* As train() does: until `stop` steps are done, with or without a request to stop there; or the end of `epochs`. */
static enum status simulated_train(struct training_state *state, uint64_t epochs, uint64_t stop, bool request,
                                   const struct train_listener *listener, struct error *error)
{
    const struct training_config *training = &simulated_recipe.training;
    while (state->step < schedule_epoch_end(training, SIMULATED_IMAGES, epochs - 1)) {
        uint64_t epoch = schedule_epoch_of(training, SIMULATED_IMAGES, state->step), first = state->step;
        uint64_t end = schedule_epoch_end(training, SIMULATED_IMAGES, epoch);
        struct step_result results[SIMULATED_CHUNK];
        if (first >= stop) {
            enum status status = request ? listener->interrupted(listener->context, state, error) : STATUS_OK;
            return status == STATUS_OK ? error_set(error, STATUS_INTERRUPTED, "stopped") : status;
        }
        while (state->step < end && state->step - first < SIMULATED_CHUNK)
            simulated_step(state, &results[state->step - first]);
        enum status status = listener->steps(listener->context, first, results, state->step - first, error);
        if (status != STATUS_OK)
            return status;
        if (state->step < end)
            continue;
        struct epoch_report report = {
            .epoch = epoch,
            .end_step = end,
            .last = epoch + 1 == training->length,
            .learning_rate = schedule_learning_rate(training, SIMULATED_IMAGES, end - 1),
            .training_loss = state->loss_sum / (double)state->image_sum,
            .training_error = 100.0 * (double)state->error_sum / (double)state->image_sum,
            .validation_loss = (double)state->values[0],
            .validation_error = (double)((epoch * 7 + 3) % 10) * 10.0,
            .validation_errors = (uint32_t)((epoch * 7 + 3) % 10),
            .validation_images = 10,
            .training_seconds = 2.0,
            .validation_seconds = 1.0,
            .trained_images = 128,
        };
        state->loss_sum = 0.0;
        state->error_sum = state->image_sum = 0;
        status = listener->epoch(listener->context, &report, state, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status simulated_session(const struct recorder_options *options, uint64_t epochs, uint64_t stop, bool killed,
                              struct error *error)
{
    struct training_state state = simulated_start();
    struct recorder *recorder;
    struct error ignored;
    enum status status = recorder_open(&recorder, options, &state, error);
    if (status == STATUS_OK) {
        struct train_listener listener = recorder_listener(recorder);
        status = simulated_train(&state, epochs, stop, !killed, &listener, error);
        if (!killed) {
            enum status written =
                recorder_finish(recorder, status, error->message, status == STATUS_OK ? error : &ignored);
            if (status == STATUS_OK)
                status = written;
        }
        recorder_close(recorder);
    }
    simulated_end(&state);
    return status;
}

uint64_t simulated_epochs(void)
{
    return simulated_recipe.training.length;
}

enum status resume_to_end(const char *name, struct error *error)
{
    struct recorder_options options = simulated_options(name, true);
    return simulated_session(&options, simulated_epochs(), UINT64_MAX, false, error);
}

void stop_run(const char *name, uint64_t stop, bool killed)
{
    struct recorder_options options = simulated_options(name, false);
    struct error error;
    assert_int_equal(simulated_session(&options, simulated_epochs(), stop, killed, &error), STATUS_INTERRUPTED);
}

void expect_refusal(const struct recorder_options *options, enum status expected, const char *complaint)
{
    struct error error = { STATUS_OK, "" };
    struct training_state state = simulated_start();
    struct recorder *recorder;
    assert_int_equal(recorder_open(&recorder, options, &state, &error), expected);
    assert_null(recorder);
    if (strstr(error.message, complaint) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, complaint);
    simulated_end(&state);
}

void run_path(char path[FILE_PATH_BYTES], const char *name, const char *file)
{
    snprintf(path, FILE_PATH_BYTES, "%s/%s/%s", runs_folder, name, file);
}

void assert_same_file(const char *a, const char *b, const char *file)
{
    char path[FILE_PATH_BYTES], *text_a, *text_b;
    size_t bytes_a, bytes_b;
    struct error error;
    run_path(path, a, file);
    assert_int_equal(file_read(path, 1 << 28, &text_a, &bytes_a, &error), STATUS_OK);
    run_path(path, b, file);
    assert_int_equal(file_read(path, 1 << 28, &text_b, &bytes_b, &error), STATUS_OK);
    if (bytes_a != bytes_b || memcmp(text_a, text_b, bytes_a) != 0)
        fail_msg("%s of %s and %s differ", file, a, b);
    free(text_a);
    free(text_b);
}

size_t list_folder(const char *name, const char *file, char (*names)[64])
{
    char path[FILE_PATH_BYTES];
    size_t count = 0;
    run_path(path, name, file);
    DIR *list = opendir(path);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            assert_true(count < 32 && snprintf(names[count++], 64, "%s", entry->d_name) < 64);
    closedir(list);
    return count;
}

enum status pack_file(const char *folder, const char *path, bool checkpoints, struct error *error)
{
    struct draft draft;
    struct packed packed;
    enum status status = draft_open(&draft, path, error);
    if (status == STATUS_OK)
        status = pack_write(folder, &draft, checkpoints, NULL, &packed, error);
    if (status == STATUS_OK)
        status = draft_publish(&draft, error);
    draft_drop(&draft);
    return status;
}

void assert_same_run(const char *a, const char *b)
{
    char names[32][64], path[192];
    size_t count = list_folder(a, ".", names);
    assert_int_equal(list_folder(b, ".", names), count);
    assert_same_file(a, b, RECORD_MANIFEST_FILE);
    assert_same_file(a, b, METRICS_FILE);
    assert_same_file(a, b, LEDGER_FILE);
    assert_same_file(a, b, RECORD_WEIGHTS_FILE);
    assert_int_equal(list_folder(b, RECORD_CHECKPOINTS_FOLDER, names),
                     count = list_folder(a, RECORD_CHECKPOINTS_FOLDER, names));
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", RECORD_CHECKPOINTS_FOLDER, names[i]);
        assert_same_file(a, b, path);
    }
}

void remove_tree(const char *folder)
{
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char path[FILE_PATH_BYTES];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_true(snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < FILE_PATH_BYTES);
        if (file_is_folder(path))
            remove_tree(path);
        else
            unlink(path);
    }
    closedir(list);
    rmdir(folder);
}

int simulated_setup(void **state)
{
    struct error error;
    (void)state;
    if (mkdtemp(runs_folder) == NULL || manifest_read_text(simulated_text, strlen(simulated_text), "simulated",
                                                           &simulated_manifest, &error) != STATUS_OK)
        return -1;
    manifest_experiment_digest(&simulated_manifest, simulated_recipe.training.seed, simulated_experiment);
    if (network_open(&simulated_network, &simulated_recipe.model, &error) != STATUS_OK)
        return -1;
    struct recorder_options options = simulated_options("whole", false);
    return simulated_session(&options, simulated_recipe.training.length, UINT64_MAX, false, &error) == STATUS_OK ? 0
                                                                                                                 : -1;
}

int simulated_teardown(void **state)
{
    (void)state;
    network_close(simulated_network);
    manifest_free(&simulated_manifest);
    remove_tree(runs_folder);
    return 0;
}
