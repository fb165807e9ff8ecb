#include "results/resume.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/lock.h"
#include "results/checkpoint.h"
#include "results/record_check.h"
#include "results/source_changes.h"
#include "trainer/digests.h"
#include "trainer/schedule.h"

static void say(const struct resume_options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct resume_options *options, const char *format, ...)
{
    char message[ERROR_MESSAGE_BYTES + 256];
    if (options->say == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    options->say(message);
}

static uint64_t epoch_begin(const struct resume_options *options, uint64_t epoch)
{
    return epoch == 0 ? 0 : schedule_epoch_end(options->training, options->images, epoch - 1);
}

void resume_free(struct resume_point *point)
{
    metrics_free(&point->metrics);
    ledger_free(&point->ledger);
}

/* Reads as much as a checkpoint of `step` needs: what was written after it is to be cut off anyway. */
static enum status read_history(const struct resume_options *options, uint64_t step, struct resume_point *point,
                                struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = file_path(path, error, "%s/%s", options->folder, METRICS_FILE);
    if (status == STATUS_OK)
        status = metrics_read(path, &point->metrics, error);
    if (status == STATUS_OK && point->metrics.torn > 0)
        say(options, "%s ends in an unfinished line of %zu bytes, which is dropped", path, point->metrics.torn);
    if (status == STATUS_OK)
        status = ledger_read(options->folder, (size_t)step, &point->ledger, error);
    if (status == STATUS_OK && point->ledger.torn > 0)
        say(options, "%s ends in an unfinished line of %zu bytes, which is dropped", point->ledger.path,
            point->ledger.torn);
    return status;
}

/* If fewer lines are left than the record says, an earlier checkpoint may still have all of its lines. */
static enum status check_lines(const struct resume_options *options, const struct metrics_lines *lines,
                               struct error *error)
{
    char hex[DIGEST_HEX_BYTES];
    if (options->metrics_sha256[0] == '\0' || options->epochs == 0 || lines->epochs < options->epochs)
        return STATUS_OK;
    sha256_hex(lines->text, lines->ends[options->epochs - 1], hex);
    if (strcmp(hex, options->metrics_sha256) == 0)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s: record.json and %s contradict each other: the SHA-256 of the first %" PRIu64
                     " lines is %s, not the record's metrics_sha256; put the right file back, or choose another name "
                     "with --name",
                     options->folder, METRICS_FILE, options->epochs, hex);
}

/* The steps after the last whole epoch, which no chain covers yet. */
static enum status check_steps(const struct resume_options *options, const struct checkpoint_place *place,
                               uint64_t step, const struct ledger_lines *ledger, struct error *error)
{
    uint8_t entry[DIGEST_STEP_BYTES], digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    struct sha256 sha256;
    if (place->steps_sha256[0] == '\0')
        return STATUS_OK;
    sha256_start(&sha256);
    for (uint64_t i = epoch_begin(options, place->epochs); i < step; i++) {
        const struct ledger_row *row = &ledger->rows[i];
        digest_step(entry, i, row->loss, row->errors, row->digest);
        sha256_add(&sha256, entry, sizeof entry);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
    if (strcmp(hex, place->steps_sha256) == 0)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s: %s and the checkpoint of step %" PRIu64 " contradict each other on the steps from %" PRIu64
                     " on",
                     options->folder, ledger_name(ledger), step, epoch_begin(options, place->epochs));
}

/* Whether a checkpoint belongs to the history: its epochs and steps are there, and they end in its chain. */
static enum status check_history(const struct resume_options *options, const struct checkpoint_place *place,
                                 uint64_t step, const struct resume_point *point, struct error *error)
{
    const char *chain = options->experiment_sha256;
    if (point->ledger.steps < step || point->metrics.epochs < place->epochs)
        return error_set(
            error, STATUS_INPUT,
            "%s has %zu epochs and its ledger at least %zu steps, fewer than the checkpoint of step %" PRIu64 " needs",
            options->folder, point->metrics.epochs, point->ledger.steps, step);
    for (uint64_t epoch = 0; epoch < place->epochs; epoch++) {
        const struct metrics_row *row = &point->metrics.rows[epoch];
        const uint64_t end = schedule_epoch_end(options->training, options->images, epoch);
        if (row->end_step != end)
            return error_set(error, STATUS_INPUT,
                             "%s/%s:%" PRIu64 ": the epoch ends after %" PRIu64
                             " steps, but by the manifest after %" PRIu64,
                             options->folder, METRICS_FILE, epoch + 1, row->end_step, end);
        chain = row->chain_sha256;
    }
    if (step < epoch_begin(options, place->epochs) || step > epoch_begin(options, place->epochs + 1))
        return error_set(error, STATUS_INPUT,
                         "%s: the checkpoint of step %" PRIu64 " says that %" PRIu64 " epochs are done, but they end "
                         "at another step",
                         options->folder, step, place->epochs);
    enum status status = check_lines(options, &point->metrics, error);
    if (status == STATUS_OK)
        status = check_steps(options, place, step, &point->ledger, error);
    if (status == STATUS_OK)
        status = record_check_chain(options->folder, options->experiment_sha256, point->metrics.rows,
                                    (size_t)place->epochs, point->ledger.rows, point->ledger.steps, error);
    if (status == STATUS_OK && strcmp(chain, place->chain_sha256) != 0)
        status = error_set(error, STATUS_INPUT,
                           "%s/%s does not belong to the checkpoint of step %" PRIu64 ": their chains differ",
                           options->folder, METRICS_FILE, step);
    return status;
}

static enum status try_checkpoint(const struct resume_options *options, uint64_t step, struct training_state *state,
                                  struct resume_point *point, struct error *error)
{
    struct checkpoint_place place;
    enum status status =
        checkpoint_read(options->folder, step, options->network, options->experiment_sha256, &place, state, error);
    if (status == STATUS_OK)
        status = read_history(options, step, point, error);
    if (status == STATUS_OK)
        status = check_history(options, &place, step, point, error);
    if (status == STATUS_OK) {
        point->step = step;
        point->epochs = place.epochs;
        point->begin = epoch_begin(options, place.epochs);
        digest_from_hex(place.chain_sha256, point->chain);
    } else {
        resume_free(point);
    }
    return status;
}

enum status resume_find(const struct resume_options *options, struct training_state *state, struct resume_point *point,
                        struct error *error)
{
    uint64_t *steps;
    size_t count;
    *point = (struct resume_point){ .step = 0 };
    digest_from_hex(options->experiment_sha256, point->chain);
    enum status status = checkpoint_list(options->folder, &steps, &count, error);
    if (status != STATUS_OK)
        return status;
    /* After one epoch, it may be that its checkpoint was the first thing that could not be written. */
    if (count == 0 && options->epochs > 1)
        status = error_set(error, STATUS_INPUT,
                           "%s has %" PRIu64 " epochs, but no checkpoint to continue from (published runs have "
                           "none); choose another name with --name to run it from the start",
                           options->folder, options->epochs);
    else if (count == 0)
        say(options, "%s has no checkpoint yet, so it begins again with the first step", options->folder);
    for (size_t i = count; i-- > 0;) {
        status = try_checkpoint(options, steps[i], state, point, error);
        if (status == STATUS_OK)
            say(options, "resuming %s after epoch %" PRIu64 ", step %" PRIu64, options->folder, point->epochs,
                point->step);
        if (status != STATUS_INPUT)
            break;
        if (i > 0)
            say(options, "%s; continuing from the checkpoint before it", error->message);
        else
            error_prefix(
                error,
                "every checkpoint of %s is damaged, so it cannot be resumed; to start again, remove that folder; the "
                "last one that was tried",
                options->folder);
    }
    free(steps);
    return status;
}

enum status resume_unify(const struct resume_options *options, const struct resume_point *point,
                         uint64_t *metrics_bytes, uint64_t *ledger_bytes, struct error *error)
{
    char path[FILE_PATH_BYTES];
    *metrics_bytes = point->epochs > 0 ? point->metrics.ends[point->epochs - 1] : 0;
    *ledger_bytes = point->step > 0 ? (point->step + 1) * LEDGER_LINE_BYTES : 0;
    enum status status = file_path(path, error, "%s/%s", options->folder, METRICS_FILE);
    if (status == STATUS_OK && point->metrics.changed)
        status = file_write(path, point->metrics.text, (size_t)*metrics_bytes, error);
    if (status == STATUS_OK && point->ledger.changed)
        status = ledger_write(options->folder, point->ledger.rows, (size_t)point->step, error);
    return status;
}

/* ---- what is not resumed ----------------------------------------------------------------------------------------- */

enum status resume_check_memory(const char *folder, const struct record_facts *facts, struct error *error)
{
    const char *before, *after, *what = record_check_memory(facts, &before, &after);
    if (what == NULL)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "the run %s cannot go on: its %s data changed in memory while it was trained, from SHA-256 %s to "
                     "%s; test this machine's memory, and delete the run, or choose another name with --name",
                     folder, what, before, after);
}

enum status resume_check_test_data(const char *folder, const struct record_facts *facts, const char *sha256,
                                   struct error *error)
{
    if (strcmp(facts->validation_data_sha256, sha256) == 0)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "the run %s measures its errors on test data of SHA-256 %s, not %s; give the same data, or choose "
                     "another name with --name",
                     folder, facts->validation_data_sha256, sha256);
}

/* ---- nothing to resume ------------------------------------------------------------------------------------------ */

/* A run of which record.json is gone, but not what took time to compute. */
static enum status check_begun(const char *folder, struct error *error)
{
    char path[FILE_PATH_BYTES];
    uint64_t *steps, bytes = 0;
    size_t checkpoints;
    enum status status = checkpoint_list(folder, &steps, &checkpoints, error);
    if (status != STATUS_OK)
        return status;
    free(steps);
    status = file_path(path, error, "%s/%s", folder, LEDGER_FILE);
    if (status == STATUS_OK && file_exists(path))
        status = file_size(path, &bytes, error);
    if (status == STATUS_OK && (checkpoints > 0 || bytes > LEDGER_LINE_BYTES))
        status = error_set(error, STATUS_INPUT,
                           "%s holds steps of a run, but no %s; put that back, or choose another name with --name",
                           folder, RECORD_FILE);
    return status;
}

/* A process that was killed early leaves no more than these files. */
enum status resume_check_free(const char *folder, struct error *error)
{
    static const char *const ours[] = { ".",
                                        "..",
                                        RECORD_LOCK_FILE,
                                        RECORD_LOCK_FILE LOCK_OWNER_SUFFIX,
                                        RECORD_MANIFEST_FILE,
                                        SOURCE_CHANGES_FILE,
                                        RECORD_CHECKPOINTS_FOLDER,
                                        LEDGER_FILE,
                                        METRICS_FILE,
                                        RECORD_FILE };
    enum status status = check_begun(folder, error);
    if (status != STATUS_OK)
        return status;
    DIR *list = opendir(folder);
    if (list == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", folder);
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(list)) != NULL;) {
        size_t i = 0, length = file_temporary_of(entry->d_name);
        if (length == 0)
            length = strlen(entry->d_name);
        while (i < sizeof ours / sizeof *ours &&
               (strlen(ours[i]) != length || strncmp(entry->d_name, ours[i], length) != 0))
            i++;
        if (i == sizeof ours / sizeof *ours)
            status = error_set(error, STATUS_INPUT,
                               "%s exists but is not a run: it has no %s, and it contains %s; choose another name "
                               "with --name",
                               folder, RECORD_FILE, entry->d_name);
    }
    closedir(list);
    return status;
}
