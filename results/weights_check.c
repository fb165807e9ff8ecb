#include "results/weights_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fetch/weights/weights.h"
#include "results/checkpoint.h"
#include "results/source_changes.h"
#include "trainer/digests.h"

static void digest_of(const struct network *network, const float *values, char hex[DIGEST_HEX_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    weights_digest(network, values, digest);
    digest_to_hex(digest, hex);
}

enum status weights_check(const struct record *record, const char *path, const struct network *network,
                          const float *values, uint64_t *epoch, struct error *error)
{
    char hex[DIGEST_HEX_BYTES];
    /* A process that trains the run replaces these weights as it goes, so that they may be any epoch's. */
    const bool finished = record->facts.state == RECORD_FINISHED, last = !record->locked;
    digest_of(network, values, hex);
    for (size_t i = record->epochs; i-- > 0;) {
        if (strcmp(record->metrics[i].weights_sha256, hex) == 0) {
            if (epoch != NULL)
                *epoch = i;
            return STATUS_OK;
        }
        if (last)
            break;
    }
    return error_set(error, STATUS_INPUT,
                     "%s and %s/%s contradict each other: the digest of these weights, %s, is not that of %s; the "
                     "weights were changed or damaged%s",
                     path, record->path, METRICS_FILE, hex, last ? "the last epoch" : "any epoch",
                     finished ? "" : ", or the run was killed while it wrote them; then train --resume repairs them");
}

/* A checkpoint at an epoch's end has that epoch's weights. Inside an epoch, only its seal shows that it is whole. */
static enum status check_checkpoint(const struct record *record, const char *path, uint64_t step,
                                    const struct network *network, const float *values, struct error *error)
{
    char hex[DIGEST_HEX_BYTES];
    for (size_t i = 0; i < record->epochs; i++) {
        if (record->metrics[i].end_step != step)
            continue;
        digest_of(network, values, hex);
        if (strcmp(record->metrics[i].weights_sha256, hex) != 0)
            return error_set(error, STATUS_INPUT,
                             "%s and %s/%s contradict each other: the digest of the checkpoint's weights is %s, but "
                             "the line of epoch %zu (from 0) says %s",
                             path, record->path, METRICS_FILE, hex, i, record->metrics[i].weights_sha256);
        return STATUS_OK;
    }
    return STATUS_OK;
}

/* ---- weights that are used --------------------------------------------------------------------------------------- */

/* The step of a path that ends in checkpoints/step-N.safetensors. */
static bool parse_checkpoint(const char *path, size_t *folder_length, uint64_t *step)
{
    static const char folder[] = RECORD_CHECKPOINTS_FOLDER "/";
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    if (!checkpoint_parse_name(name, step) || (size_t)(name - path) < strlen(folder) ||
        strncmp(name - strlen(folder), folder, strlen(folder)) != 0)
        return false;
    *folder_length = (size_t)(name - path) - strlen(folder);
    return true;
}

enum status weights_check_used(const char *path, const struct network *network, const float *values,
                               struct error *error)
{
    enum { TRIES = 3 };
    static const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    size_t length = (size_t)(name - path);
    char folder[FILE_PATH_BYTES], file[FILE_PATH_BYTES];
    uint64_t step = 0;
    const bool checkpoint = parse_checkpoint(path, &length, &step);
    if (!checkpoint && strcmp(name, RECORD_WEIGHTS_FILE) != 0)
        return STATUS_OK;
    enum status status = file_path(folder, error, "./%.*s", (int)length, path);
    if (status == STATUS_OK && path[0] == '/')
        status = file_path(folder, error, "%.*s", (int)length, path);
    if (status == STATUS_OK)
        status = file_path(file, error, "%s/%s", folder, RECORD_FILE);
    if (status != STATUS_OK || !file_exists(file))
        return status;
    for (int i = 1;; i++) {
        struct record *record;
        status = record_open(&record, NULL, folder, error);
        if (status != STATUS_OK)
            return status;
        status = checkpoint ? check_checkpoint(record, path, step, network, values, error)
                            : weights_check(record, path, network, values, NULL, error);
        const bool locked = record->locked;
        record_close(record);
        /* A process that trains the run writes the weights before the epoch's line. */
        if (status != STATUS_INPUT || !locked || i == TRIES)
            return status;
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static enum status check_weights_file(const struct record *record, const struct network *network, float *values,
                                      struct weights_found *found, struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct safetensors file;
    enum status status = file_path(path, error, "%s/%s", record->path, RECORD_WEIGHTS_FILE);
    if (status != STATUS_OK || !file_exists(path))
        return status;
    status = safetensors_read(&file, path, error);
    if (status != STATUS_OK)
        return status;
    status = weights_take(&file, path, "", 1u << TENSOR_PARAMETER | 1u << TENSOR_RUNNING, network, values, error);
    safetensors_free(&file);
    if (status == STATUS_OK)
        status = weights_check(record, path, network, values, &found->epoch, error);
    found->weights = status == STATUS_OK;
    return status;
}

static enum status check_checkpoints(const struct record *record, const struct network *network,
                                     struct training_state *state, struct weights_found *found, struct error *error)
{
    uint64_t *steps;
    enum status status = checkpoint_list(record->path, &steps, &found->checkpoints, error);
    for (size_t i = 0; i < found->checkpoints && status == STATUS_OK; i++) {
        char path[FILE_PATH_BYTES];
        struct checkpoint_place place = { .epochs = 0 };
        status = checkpoint_path(record->path, steps[i], path, error);
        if (status == STATUS_OK)
            status =
                checkpoint_read(record->path, steps[i], network, record->facts.experiment_sha256, &place, state, error);
        if (status == STATUS_OK)
            status = check_checkpoint(record, path, steps[i], network, state->values, error);
        const char *chain = record->facts.experiment_sha256;
        if (status == STATUS_OK && place.epochs > 0 && place.epochs <= record->epochs)
            chain = record->metrics[place.epochs - 1].chain_sha256;
        if (status == STATUS_OK && (place.epochs > record->epochs || strcmp(chain, place.chain_sha256) != 0))
            status = error_set(error, STATUS_INPUT,
                               "%s and %s/%s contradict each other: the checkpoint belongs to other epochs", path,
                               record->path, METRICS_FILE);
    }
    free(steps);
    return status;
}

enum status weights_check_all(const struct record *record, struct weights_found *found, struct error *error)
{
    struct network *network = NULL;
    struct training_state state = { .step = 0 };
    *found = (struct weights_found){ .weights = false };
    enum status status = network_open(&network, &record->manifest.recipe.model, error);
    if (status != STATUS_OK)
        return status;
    state.values = calloc(network->value_count, sizeof *state.values);
    state.momentum = calloc(network->value_count, sizeof *state.momentum);
    if (state.values == NULL || state.momentum == NULL)
        status = error_out_of_memory(error, "the weights of %s", record->path);
    if (status == STATUS_OK)
        status = check_weights_file(record, network, state.values, found, error);
    if (status == STATUS_OK)
        status = check_checkpoints(record, network, &state, found, error);
    free(state.values);
    free(state.momentum);
    network_close(network);
    return status;
}

enum status record_open_whole(struct record **record, const char *runs, const char *run, struct weights_found *found,
                              struct error *error)
{
    enum { TRIES = 3 };
    static const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
    for (int i = 1;; i++) {
        enum status status = record_open(record, runs, run, error);
        if (status != STATUS_OK)
            return status;
        status = weights_check_all(*record, found, error);
        if (status == STATUS_OK)
            status = source_changes_check(*record, &found->source_changes, error);
        if (status == STATUS_OK)
            return status;
        const bool locked = (*record)->locked;
        if ((*record)->scratch.path[0] != '\0')
            error_replace(error, (*record)->path, (*record)->shown);
        record_close(*record);
        *record = NULL;
        if (status != STATUS_INPUT || !locked || i == TRIES)
            return status;
        (void)nanosleep(&pause, NULL);
    }
}
