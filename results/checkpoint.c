#include "results/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "fetch/weights/weights.h"
#include "results/record_data.h"
#include "trainer/schedule.h"

static const char MOMENTUM[] = "momentum.";
enum { KEEP_EVERY = 10, KEEP_LAST = 2 };

/* ---- names ------------------------------------------------------------------------------------------------------- */

#define NAME_FORMAT "step-%08" PRIu64 ".safetensors"

enum status checkpoint_path(const char *folder, uint64_t step, char *path, struct error *error)
{
    return file_path(path, error, "%s/%s/" NAME_FORMAT, folder, RECORD_CHECKPOINTS_FOLDER, step);
}

bool checkpoint_parse_name(const char *name, uint64_t *step)
{
    char same[64];
    const size_t begin = strcspn(name, "0123456789");
    errno = 0;
    *step = strtoull(name + begin, NULL, 10);
    snprintf(same, sizeof same, NAME_FORMAT, *step);
    return errno == 0 && strcmp(name, same) == 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* The weights, in the order of the network, which is that of names; then the momentum, whose names come after them
 * all. */
static size_t list_tensors(const struct network *network, const struct training_state *state,
                           struct safetensors_source *sources, char (*names)[2 * TENSOR_NAME_BYTES])
{
    size_t count = 0;
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        sources[count++] =
            (struct safetensors_source){ tensor->name, tensor->rank, tensor->shape, state->values + tensor->offset };
    }
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        if (tensor->role != TENSOR_PARAMETER)
            continue;
        snprintf(names[i], sizeof names[i], "%s%s", MOMENTUM, tensor->name);
        sources[count++] =
            (struct safetensors_source){ names[i], tensor->rank, tensor->shape, state->momentum + tensor->offset };
    }
    return count;
}

enum status checkpoint_write(const char *folder, const struct network *network, const struct checkpoint_place *place,
                             const struct training_state *state, struct error *error)
{
    char path[FILE_PATH_BYTES], step[24], epochs[24], loss_sum[40], error_sum[24], image_sum[24];
    enum status status = checkpoint_path(folder, state->step, path, error);
    if (status != STATUS_OK)
        return status;
    snprintf(step, sizeof step, "%" PRIu64, state->step);
    snprintf(epochs, sizeof epochs, "%" PRIu64, place->epochs);
    snprintf(loss_sum, sizeof loss_sum, "%a", state->loss_sum);
    snprintf(error_sum, sizeof error_sum, "%" PRIu64, state->error_sum);
    snprintf(image_sum, sizeof image_sum, "%" PRIu64, state->image_sum);
    const struct safetensors_pair metadata[] = {
        { "arithmetic", place->arithmetic },
        { "chain_sha256", place->chain_sha256 },
        { "epochs", epochs },
        { "error_sum", error_sum },
        { "experiment_sha256", place->experiment_sha256 },
        { "image_sum", image_sum },
        { "loss_sum", loss_sum },
        { "step", step },
        { "steps_sha256", place->steps_sha256 },
    };
    const size_t pairs = sizeof metadata / sizeof *metadata - (place->steps_sha256[0] == '\0');
    struct safetensors_source *sources = calloc(2 * (size_t)network->tensor_count, sizeof *sources);
    char(*names)[2 * TENSOR_NAME_BYTES] = calloc(network->tensor_count, sizeof *names);
    if (sources != NULL && names != NULL)
        status = safetensors_write(path, sources, list_tensors(network, state, sources, names), metadata, pairs, true,
                                   error);
    else
        status = error_out_of_memory(error, "the list of tensors of %s", path);
    free(sources);
    free(names);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum status read_number(const struct safetensors *file, const char *path, const char *key, uint64_t *number,
                               struct error *error)
{
    const char *text = safetensors_metadata(file, key);
    char *end = NULL;
    errno = 0;
    if (text != NULL && text[0] >= '0' && text[0] <= '9')
        *number = strtoull(text, &end, 10);
    if (end == NULL || *end != '\0' || errno != 0)
        return error_set(error, STATUS_INPUT, "%s: the metadata's \"%s\" is missing or not a number", path, key);
    return STATUS_OK;
}

static enum status read_text(const struct safetensors *file, const char *path, const char *key, char *text,
                             size_t bytes, struct error *error)
{
    const char *value = safetensors_metadata(file, key);
    if (value == NULL || strlen(value) >= bytes)
        return error_set(error, STATUS_INPUT, "%s: the metadata's \"%s\" is missing or too long", path, key);
    memcpy(text, value, strlen(value) + 1);
    return STATUS_OK;
}

static enum status read_place(const struct safetensors *file, const char *path, struct checkpoint_place *place,
                              struct training_state *state, struct error *error)
{
    char loss_sum[40];
    enum status status =
        read_text(file, path, "experiment_sha256", place->experiment_sha256, sizeof place->experiment_sha256, error);
    if (status == STATUS_OK)
        status = read_text(file, path, "arithmetic", place->arithmetic, sizeof place->arithmetic, error);
    if (status == STATUS_OK)
        status = read_text(file, path, "chain_sha256", place->chain_sha256, sizeof place->chain_sha256, error);
    place->steps_sha256[0] = '\0';
    if (status == STATUS_OK && safetensors_metadata(file, "steps_sha256") != NULL)
        status = read_text(file, path, "steps_sha256", place->steps_sha256, sizeof place->steps_sha256, error);
    if (status == STATUS_OK)
        status = read_number(file, path, "epochs", &place->epochs, error);
    if (status == STATUS_OK)
        status = read_number(file, path, "step", &state->step, error);
    if (status == STATUS_OK)
        status = read_number(file, path, "error_sum", &state->error_sum, error);
    if (status == STATUS_OK)
        status = read_number(file, path, "image_sum", &state->image_sum, error);
    if (status == STATUS_OK)
        status = read_text(file, path, "loss_sum", loss_sum, sizeof loss_sum, error);
    if (status == STATUS_OK)
        state->loss_sum = strtod(loss_sum, NULL);
    return status;
}

enum status checkpoint_read(const char *folder, uint64_t step, const struct network *network,
                            const char *experiment_sha256, struct checkpoint_place *place, struct training_state *state,
                            struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct safetensors file;
    enum status status = checkpoint_path(folder, step, path, error);
    if (status == STATUS_OK)
        status = safetensors_read(&file, path, error);
    if (status != STATUS_OK)
        return status;
    if (!file.sealed)
        status = error_set(error, STATUS_INPUT,
                           "%s is not a checkpoint of selfsame, or it is damaged: it has no "
                           "digest of its own",
                           path);
    if (status == STATUS_OK)
        status = read_place(&file, path, place, state, error);
    if (status == STATUS_OK && experiment_sha256 != NULL && strcmp(place->experiment_sha256, experiment_sha256) != 0)
        status = error_set(error, STATUS_INPUT, "%s belongs to another experiment, %s (arithmetic %s), not to %s", path,
                           place->experiment_sha256, place->arithmetic, experiment_sha256);
    if (status == STATUS_OK && state->step != step)
        status = error_set(error, STATUS_INPUT, "%s is the checkpoint of step %" PRIu64, path, state->step);
    if (status == STATUS_OK)
        status =
            weights_take(&file, path, "", 1u << TENSOR_PARAMETER | 1u << TENSOR_RUNNING, network, state->values, error);
    if (status == STATUS_OK) {
        memset(state->momentum, 0, network->value_count * sizeof *state->momentum);
        status = weights_take(&file, path, MOMENTUM, 1u << TENSOR_PARAMETER, network, state->momentum, error);
    }
    safetensors_free(&file);
    return status;
}

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

static int by_step(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum status checkpoint_list(const char *folder, uint64_t **steps, size_t *count, struct error *error)
{
    char path[FILE_PATH_BYTES];
    size_t room = 0;
    *steps = NULL;
    *count = 0;
    enum status status = file_path(path, error, "%s/%s", folder, RECORD_CHECKPOINTS_FOLDER);
    if (status != STATUS_OK || !file_exists(path))
        return status;
    DIR *list = opendir(path);
    if (list == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", path);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        uint64_t step;
        if (!checkpoint_parse_name(entry->d_name, &step))
            continue;
        if (*count == room) {
            room = 2 * room + 16;
            uint64_t *more = realloc(*steps, room * sizeof **steps);
            if (more == NULL) {
                closedir(list);
                free(*steps);
                *steps = NULL;
                return error_out_of_memory(error, "the list of checkpoints in %s", path);
            }
            *steps = more;
        }
        (*steps)[(*count)++] = step;
    }
    closedir(list);
    if (*count > 0)
        qsort(*steps, *count, sizeof **steps, by_step);
    return STATUS_OK;
}

/* Whether the learning rate drops at a step that the epoch after `step` covers: then this one is the last before the
 * drop. */
static int before_drop(const struct training_config *training, uint32_t images, uint64_t step, uint64_t epochs)
{
    const struct schedule_config *schedule = &training->schedule;
    for (uint32_t i = 0; i < schedule->drop_count; i++) {
        uint64_t drop = schedule_drop_step(training, images, i);
        if (step <= drop && drop < schedule_epoch_end(training, images, epochs))
            return 1;
    }
    return 0;
}

static enum status remove_checkpoint(const char *folder, uint64_t step, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = checkpoint_path(folder, step, path, error);
    return status == STATUS_OK ? file_remove(path, error) : status;
}

enum status checkpoint_cut(const char *folder, uint64_t step, struct error *error)
{
    uint64_t *steps;
    size_t count;
    enum status status = checkpoint_list(folder, &steps, &count, error);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (steps[i] > step)
            status = remove_checkpoint(folder, steps[i], error);
    }
    free(steps);
    return status;
}

enum status checkpoint_prune(const char *folder, const struct training_config *training, uint32_t images,
                             uint64_t epochs, uint64_t keep_every, struct error *error)
{
    uint64_t *steps, last = schedule_epoch_end(training, images, epochs - 1);
    const uint64_t every = keep_every > 0 ? keep_every : KEEP_EVERY;
    size_t count;
    enum status status = checkpoint_list(folder, &steps, &count, error);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        uint64_t done = schedule_epoch_of(training, images, steps[i]); /* whole epochs, where the step ends one */
        int ends_epoch = done > 0 && schedule_epoch_end(training, images, done - 1) == steps[i];
        if (steps[i] == last || (ends_epoch && (done + KEEP_LAST > epochs || done % every == 0 ||
                                                before_drop(training, images, steps[i], done))))
            continue;
        status = remove_checkpoint(folder, steps[i], error);
    }
    free(steps);
    return status;
}
