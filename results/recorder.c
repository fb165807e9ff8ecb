#include "results/recorder.h"

#include <assert.h>
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "fetch/weights/weights.h"
#include "results/checkpoint.h"
#include "results/environment.h"
#include "results/ledger.h"
#include "results/record.h"
#include "trainer/digests.h"
#include "trainer/schedule.h"

enum { RECORD_FORMAT = 1, LINES_AT_ONCE = 64 };

struct recorder {
    const struct recorder_options *options;
    char path[FILE_PATH_BYTES];
    int lock;
    struct appender ledger, metrics;
    uint64_t epochs;             /* recorded */
    uint64_t epochs_before;      /* by the sessions before, as record.json says */
    uint8_t chain[DIGEST_BYTES]; /* after them */
    struct metrics_row last;     /* of them */
    double best_error;           /* lowest validation error of them, and where it was first */
    uint64_t best_epoch;
    uint8_t *entries; /* for the chain: the steps of the current epoch so far */
    size_t entry_count, entry_room;
    uint64_t step; /* next */
    enum record_state state;
    char failure[ERROR_MESSAGE_BYTES];
    char started[ENVIRONMENT_TIME_BYTES];
    double opened_s;       /* clock_seconds() at the start of this session */
    double seconds_before; /* wall time of the sessions before this one */
    uint64_t sessions;     /* this one included */
};

static void say(const struct recorder *recorder, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct recorder *recorder, const char *format, ...)
{
    char message[ERROR_MESSAGE_BYTES + 256];
    if (recorder->options->say == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    recorder->options->say(message);
}

static enum status inside(const struct recorder *recorder, const char *file, char path[FILE_PATH_BYTES],
                          struct error *error)
{
    return file_path(path, error, "%s/%s", recorder->path, file);
}

static uint64_t epoch_begin(const struct recorder *recorder, uint64_t epoch)
{
    const struct recorder_options *options = recorder->options;
    return epoch == 0 ? 0 : schedule_epoch_end(&options->recipe->training, options->training_images, epoch - 1);
}

/* ---- record.json ------------------------------------------------------------------------------------------------- */

static json_t *result_section(const struct recorder *recorder)
{
    const struct metrics_row *last = &recorder->last;
    if (recorder->epochs == 0)
        return json_object();
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:I, s:s, s:s}", "epochs",
                     (json_int_t)recorder->epochs, "steps", (json_int_t)last->end_step, "training_loss",
                     last->training_loss, "training_error", last->training_error, "validation_loss",
                     last->validation_loss, "validation_error", last->validation_error, "validation_errors",
                     (json_int_t)last->validation_errors, "validation_images", (json_int_t)last->validation_images,
                     "best_validation_error", recorder->best_error, "best_epoch", (json_int_t)recorder->best_epoch,
                     "weights_sha256", last->weights_sha256, "chain_sha256", last->chain_sha256);
}

/* Which repetitions give the same bits: what the engine's kind promises. */
static json_t *claims_section(bool exact)
{
    static const char *const all[] = { "RUN_TO_RUN", "THREADS", "ISA", "COMPILER", "DEVICE" };
    json_t *claims = json_array();
    for (size_t i = 0; i < (exact ? sizeof all / sizeof *all : 1); i++)
        json_array_append_new(claims, json_string(all[i]));
    return claims;
}

/* The texts up to a NULL; an empty list for NULL. */
static json_t *list_of(const char *const *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
        json_array_append_new(list, json_string(texts[i]));
    return list;
}

static json_t *engine_section(const struct recorder_options *options)
{
    json_t *engine = json_pack("{s:s, s:s, s:I}", "name", options->engine_name, "description",
                               options->engine_description, "memory_bytes", (json_int_t)options->engine_bytes);
    if (options->engine_facts != NULL)
        json_object_set_new(engine, "facts", list_of(options->engine_facts));
    return engine;
}

static json_t *make_record(const struct recorder *recorder)
{
    const struct recorder_options *options = recorder->options;
    const struct training_config *training = &options->recipe->training;
    char now[ENVIRONMENT_TIME_BYTES];
    environment_time(now);
    double seconds = clock_seconds() - recorder->opened_s;
    json_t *record = json_pack("{s:i, s:s, s:s, s:o}", "format", RECORD_FORMAT, "name", options->name, "state",
                               record_state_name(recorder->state), "result", result_section(recorder));
    json_t *identity = json_pack(
        "{s:{s:s, s:s}, s:{s:s, s:I, s:I, s:I}, s:{s:s, s:b, s:o}, s:{s:i, s:I}, s:{s:i, s:s}, s:{s:i, s:s}, s:o}",
        "manifest", "name", options->manifest_name, "sha256", options->manifest_sha256, "experiment", "sha256",
        options->experiment_sha256, "seed", (json_int_t)training->seed, "epochs",
        (json_int_t)schedule_epochs(training, options->training_images), "steps",
        (json_int_t)schedule_steps(training, options->training_images), "arithmetic", "version", options->arithmetic,
        "exact", (int)options->exact, "claims", claims_section(options->exact), "network", "depth",
        (int)options->recipe->model.depth, "parameters", (json_int_t)options->network->parameter_count, "training_data",
        "images", (int)options->training_images, "sha256", options->training_data_sha256, "validation_data", "images",
        (int)options->validation_images, "sha256", options->validation_data_sha256, "data_notes",
        list_of(options->notes));
    json_t *circumstances =
        json_pack("{s:o, s:o, s:o, s:{s:s, s:s, s:f, s:I}, s:I}", "engine", engine_section(options), "program",
                  environment_program(), "host", environment_host(), "time", "started", recorder->started, "updated",
                  now, "wall_seconds", recorder->seconds_before + seconds, "sessions", (json_int_t)recorder->sessions,
                  "peak_memory_bytes", (json_int_t)environment_peak_memory_bytes());
    int failed = record == NULL || identity == NULL || circumstances == NULL;
    if (!failed && recorder->failure[0] != '\0')
        failed |= json_object_set_new(record, "failure", json_string(recorder->failure));
    if (!failed)
        failed |= json_object_update(record, identity) | json_object_update(record, circumstances);
    json_decref(identity);
    json_decref(circumstances);
    if (failed) {
        json_decref(record);
        return NULL;
    }
    return record;
}

static enum status write_record(const struct recorder *recorder, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = inside(recorder, RECORD_FILE, path, error);
    if (status != STATUS_OK)
        return status;
    json_t *record = make_record(recorder);
    char *text = record != NULL ? json_dumps(record, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    if (text != NULL) {
        size_t bytes = strlen(text);
        text[bytes] = '\n'; /* in the place of the NUL */
        status = file_write(path, text, bytes + 1, error);
    } else {
        status = error_set(error, STATUS_ENVIRONMENT,
                           "cannot write down %s: a text in it is not UTF-8, or there is no memory", path);
    }
    free(text);
    json_decref(record);
    return status;
}

/* ---- while training ---------------------------------------------------------------------------------------------- */

static enum status record_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count,
                                struct error *error)
{
    struct recorder *recorder = context;
    char text[LINES_AT_ONCE * LEDGER_LINE_BYTES + 1];
    size_t lines = 0;
    assert(first == recorder->step);
    assert(recorder->entry_count + count <= recorder->entry_room);
    for (uint64_t i = 0; i < count; i++) {
        const struct step_result *result = &results[i];
        struct ledger_row row = { result->loss, result->errors, { result->digest[0], result->digest[1] } };
        digest_step(recorder->entries + recorder->entry_count++ * DIGEST_STEP_BYTES, first + i, row.loss, row.errors,
                    row.digest);
        if (!ledger_format(text + lines++ * LEDGER_LINE_BYTES, first + i, &row))
            return error_set(error, STATUS_INPUT,
                             "step %" PRIu64 " with %" PRIu32 " errors does not fit in the columns of %s", first + i,
                             row.errors, recorder->ledger.path);
        if (lines == LINES_AT_ONCE || i + 1 == count) {
            enum status status = append_write(&recorder->ledger, text, lines * LEDGER_LINE_BYTES, error);
            if (status != STATUS_OK)
                return status;
            lines = 0;
        }
    }
    recorder->step += count;
    return STATUS_OK;
}

static void describe_epoch(const struct recorder *recorder, const struct epoch_report *report,
                           const uint8_t weights[DIGEST_BYTES], struct metrics_row *row)
{
    *row = (struct metrics_row){
        .epoch = report->epoch,
        .end_step = report->end_step,
        .learning_rate = (double)report->learning_rate,
        .training_loss = report->training_loss,
        .training_error = report->training_error,
        .validation_loss = report->validation_loss,
        .validation_error = report->validation_error,
        .validation_errors = report->validation_errors,
        .validation_images = report->validation_images,
        .training_seconds = report->training_seconds,
        .validation_seconds = report->validation_seconds,
        .images_per_second =
            report->training_seconds > 0.0 ? (double)report->trained_images / report->training_seconds : 0.0,
    };
    digest_to_hex(weights, row->weights_sha256);
    digest_to_hex(recorder->chain, row->chain_sha256);
}

/* An epoch counts from when its line is in metrics.jsonl. */
static void count_epoch(struct recorder *recorder, const struct metrics_row *row)
{
    recorder->last = *row;
    if (recorder->epochs == 0 || row->validation_error < recorder->best_error) {
        recorder->best_error = row->validation_error;
        recorder->best_epoch = row->epoch;
    }
    recorder->epochs++;
}

static enum status save_weights(const struct recorder *recorder, const struct training_state *state,
                                struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = inside(recorder, RECORD_WEIGHTS_FILE, path, error);
    return status == STATUS_OK ? weights_write(path, recorder->options->network, state->values, error) : status;
}

static enum status save_checkpoint(const struct recorder *recorder, const struct training_state *state,
                                   struct error *error)
{
    const struct recorder_options *options = recorder->options;
    struct checkpoint_place place = { .epochs = recorder->epochs };
    snprintf(place.experiment_sha256, sizeof place.experiment_sha256, "%s", options->experiment_sha256);
    snprintf(place.arithmetic, sizeof place.arithmetic, "%s", options->arithmetic);
    digest_to_hex(recorder->chain, place.chain_sha256);
    return checkpoint_write(recorder->path, options->network, &place, state, error);
}

static enum status record_epoch(void *context, const struct epoch_report *report, const struct training_state *state,
                                struct error *error)
{
    struct recorder *recorder = context;
    const struct recorder_options *options = recorder->options;
    struct metrics_row row;
    char *line = NULL;
    uint8_t weights[DIGEST_BYTES];
    assert(report->epoch == recorder->epochs && report->end_step == recorder->step);
    weights_digest(options->network, state->values, weights);
    digest_chain(recorder->chain, weights, recorder->entries, recorder->entry_count);
    recorder->entry_count = 0;
    describe_epoch(recorder, report, weights, &row);
    enum status status = append_sync(&recorder->ledger, error);
    if (status == STATUS_OK)
        status = save_weights(recorder, state, error);
    if (status == STATUS_OK)
        status = metrics_format(&row, &line, error);
    if (status == STATUS_OK)
        status = append_write(&recorder->metrics, line, strlen(line), error);
    free(line);
    if (status == STATUS_OK)
        status = append_sync(&recorder->metrics, error);
    if (status != STATUS_OK)
        return status;
    count_epoch(recorder, &row);
    status = save_checkpoint(recorder, state, error);
    if (status == STATUS_OK)
        status = checkpoint_prune(recorder->path, &options->recipe->training, options->training_images,
                                  recorder->epochs, error);
    if (status == STATUS_OK)
        status = write_record(recorder, error);
    return status;
}

static enum status record_interruption(void *context, const struct training_state *state, struct error *error)
{
    struct recorder *recorder = context;
    enum status status = append_sync(&recorder->ledger, error);
    return status == STATUS_OK ? save_checkpoint(recorder, state, error) : status;
}

struct train_listener recorder_listener(struct recorder *recorder)
{
    return (struct train_listener){
        .context = recorder, .steps = record_steps, .epoch = record_epoch, .interrupted = record_interruption
    };
}

enum status recorder_finish(struct recorder *recorder, enum status outcome, const char *message, struct error *error)
{
    recorder->state = outcome == STATUS_OK   ? RECORD_FINISHED
                      : outcome == STATUS_NO ? RECORD_FAILED
                                             : RECORD_INTERRUPTED;
    recorder->failure[0] = '\0';
    if (outcome != STATUS_OK && outcome != STATUS_INTERRUPTED)
        snprintf(recorder->failure, sizeof recorder->failure, "%s", message);
    return write_record(recorder, error);
}

const char *recorder_path(const struct recorder *recorder)
{
    return recorder->path;
}

const struct metrics_row *recorder_last(const struct recorder *recorder)
{
    return recorder->epochs > 0 ? &recorder->last : NULL;
}

/* ---- resuming ---------------------------------------------------------------------------------------------------- */

/* What metrics.jsonl and ledger.txt hold; and how much of them belongs to a checkpoint. */
struct history {
    struct metrics_row *metrics;
    uint64_t *ends;
    size_t epochs;
    struct ledger_row *ledger;
    size_t steps;
};

static void history_free(struct history *history)
{
    free(history->metrics);
    free(history->ends);
    free(history->ledger);
    *history = (struct history){ .metrics = NULL };
}

/* Reads as much as a checkpoint of `step` needs: what was written after it may be damaged and is to be cut off
 * anyway. */
static enum status history_read(const struct recorder *recorder, uint64_t step, struct history *history,
                                struct error *error)
{
    char path[FILE_PATH_BYTES];
    size_t torn;
    enum status status = inside(recorder, METRICS_FILE, path, error);
    if (status == STATUS_OK)
        status = metrics_read(path, &history->metrics, &history->epochs, &history->ends, &torn, error);
    if (status == STATUS_OK && torn > 0)
        say(recorder, "%s ends in an unfinished line of %zu bytes, which is dropped", path, torn);
    if (status == STATUS_OK)
        status = inside(recorder, LEDGER_FILE, path, error);
    if (status == STATUS_OK)
        status = ledger_read(path, (size_t)step, &history->ledger, &history->steps, &torn, error);
    if (status == STATUS_OK && torn > 0)
        say(recorder, "%s ends in an unfinished line of %zu bytes, which is dropped", path, torn);
    return status;
}

/* Whether a checkpoint's place is one in the history: its epochs and steps are there, and their chain ends in its. */
static enum status history_check(const struct recorder *recorder, const struct history *history,
                                 const struct checkpoint_place *place, uint64_t step, struct error *error)
{
    const char *chain = recorder->options->experiment_sha256;
    if (history->steps < step || history->epochs < place->epochs)
        return error_set(
            error, STATUS_INPUT,
            "%s has %zu epochs and its ledger at least %zu steps, fewer than the checkpoint of step %" PRIu64 " needs",
            recorder->path, history->epochs, history->steps, step);
    if (place->epochs > 0) {
        chain = history->metrics[place->epochs - 1].chain_sha256;
        if (history->metrics[place->epochs - 1].end_step > step)
            return error_set(error, STATUS_INPUT,
                             "%s/%s does not agree with the checkpoint of step %" PRIu64 " on where epoch %" PRIu64
                             " ends",
                             recorder->path, METRICS_FILE, step, place->epochs - 1);
    }
    if (step < epoch_begin(recorder, place->epochs) || step > epoch_begin(recorder, place->epochs + 1))
        return error_set(error, STATUS_INPUT,
                         "%s: the checkpoint of step %" PRIu64 " says that %" PRIu64 " epochs are done, which that "
                         "step is not after",
                         recorder->path, step, place->epochs);
    enum status status = record_check_chain(recorder->path, recorder->options->experiment_sha256, history->metrics,
                                            place->epochs, history->ledger, history->steps, error);
    if (status == STATUS_OK && strcmp(chain, place->chain_sha256) != 0)
        status = error_set(error, STATUS_INPUT,
                           "%s/%s is not that of the checkpoint of step %" PRIu64 ": their chains differ",
                           recorder->path, METRICS_FILE, step);
    return status;
}

static enum status try_checkpoint(const struct recorder *recorder, uint64_t step, struct checkpoint_place *place,
                                  struct training_state *state, struct history *history, struct error *error)
{
    const struct recorder_options *options = recorder->options;
    enum status status =
        checkpoint_read(recorder->path, step, options->network, options->experiment_sha256, place, state, error);
    if (status == STATUS_OK)
        status = history_read(recorder, step, history, error);
    if (status == STATUS_OK)
        status = history_check(recorder, history, place, step, error);
    if (status != STATUS_OK)
        history_free(history);
    return status;
}

/* Sets the recorder to where the checkpoint stands. */
static void take_history(struct recorder *recorder, const struct checkpoint_place *place, uint64_t step,
                         const struct history *history)
{
    recorder->step = step;
    digest_from_hex(place->chain_sha256, recorder->chain);
    for (size_t epoch = 0; epoch < place->epochs; epoch++)
        count_epoch(recorder, &history->metrics[epoch]);
    for (uint64_t i = epoch_begin(recorder, place->epochs); i < step; i++)
        digest_step(recorder->entries + recorder->entry_count++ * DIGEST_STEP_BYTES, i, history->ledger[i].loss,
                    history->ledger[i].errors, history->ledger[i].digest);
}

/* Finds the newest good checkpoint; *keep_* are the bytes of the metrics and the ledger that belong to it. */
static enum status resume(struct recorder *recorder, struct training_state *state, uint64_t *keep_metrics,
                          uint64_t *keep_ledger, struct error *error)
{
    uint64_t *steps;
    size_t count;
    enum status status = checkpoint_list(recorder->path, &steps, &count, error);
    if (status != STATUS_OK)
        return status;
    /* After one epoch, it may be that its checkpoint was the first thing that could not be written. */
    if (count == 0 && recorder->epochs_before > 1) {
        free(steps);
        return error_set(error, STATUS_INPUT,
                         "%s has %" PRIu64 " epochs, but no checkpoint to go on from (published runs come without); "
                         "choose another name with --name to run it from the start",
                         recorder->path, recorder->epochs_before);
    }
    if (count == 0)
        say(recorder, "%s has no checkpoint yet and begins again with the first step", recorder->path);
    for (size_t i = count; i-- > 0;) {
        struct checkpoint_place place;
        struct history history = { .metrics = NULL };
        status = try_checkpoint(recorder, steps[i], &place, state, &history, error);
        if (status == STATUS_OK) {
            take_history(recorder, &place, steps[i], &history);
            *keep_metrics = place.epochs > 0 ? history.ends[place.epochs - 1] : 0;
            *keep_ledger = (steps[i] + 1) * LEDGER_LINE_BYTES;
            history_free(&history);
            say(recorder, "resuming %s after epoch %" PRIu64 ", step %" PRIu64, recorder->path, place.epochs, steps[i]);
            break;
        }
        if (status != STATUS_INPUT)
            break;
        if (i > 0)
            say(recorder, "%s; going on from the checkpoint before it", error->message);
        else
            error_prefix(
                error,
                "no checkpoint of %s is good, so it cannot be resumed; to start over, remove that folder; the last one "
                "tried",
                recorder->path);
    }
    free(steps);
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum status check_name(const char *name, struct error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name);
    if (length == 0 || length > 200 || strspn(name, letters) != length || name[0] == '.' || name[0] == '-')
        return error_set(
            error, STATUS_INPUT,
            "this cannot name a run: %.200s; a name has letters, digits, '.', '_' and '-', at most 200, and "
            "begins with none of the last three but '_'",
            name);
    return STATUS_OK;
}

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

/* Whether a folder without a record.json is free for a new run: one that a process was killed over has not more than
 * these. */
static enum status check_free(const char *folder, struct error *error)
{
    static const char *const ours[] = {
        ".", "..", ".lock", RECORD_MANIFEST_FILE, RECORD_CHECKPOINTS_FOLDER, LEDGER_FILE, METRICS_FILE, RECORD_FILE
    };
    enum status status = STATUS_OK;
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
                               "%s exists and is no run: it has no %s, but holds %s; choose another name with --name",
                               folder, RECORD_FILE, entry->d_name);
    }
    closedir(list);
    return status == STATUS_OK ? check_begun(folder, error) : status;
}

/* Whether a run that exists may be gone on with; takes what its record.json says of the sessions before. */
static enum status check_existing(struct recorder *recorder, struct error *error)
{
    const struct recorder_options *options = recorder->options;
    struct record *record;
    enum status status = record_open_head(&record, options->runs, recorder->path, error);
    if (status != STATUS_OK)
        return status;
    const json_t *result = json_object_get(record->fields, "result"), *times = json_object_get(record->fields, "time");
    uint64_t done = (uint64_t)json_integer_value(json_object_get(result, "epochs"));
    recorder->epochs_before = done;
    uint64_t wanted =
        options->epochs > 0 && options->epochs < record->epochs_wanted ? options->epochs : record->epochs_wanted;
    if (strcmp(record->experiment_sha256, options->experiment_sha256) != 0)
        status = error_set(error, STATUS_INPUT,
                           "the run %s is of another experiment: %s (manifest %s, arithmetic %s), not %s (manifest %s, "
                           "arithmetic %s); choose another name with --name, or another runs folder with --runs",
                           recorder->path, record->experiment_sha256, record->manifest_name, record->arithmetic,
                           options->experiment_sha256, options->manifest_name, options->arithmetic);
    else if (record->state == RECORD_FINISHED && done >= wanted)
        status = error_set(error, STATUS_INPUT,
                           "the run %s is finished, with %" PRIu64 " of %" PRIu64 " epochs, and is left alone; choose "
                           "another name with --name to run it again",
                           recorder->path, done, record->epochs_wanted);
    else if (!options->resume)
        status = error_set(error, STATUS_INPUT,
                           "the run %s exists and has %" PRIu64 " of %" PRIu64 " epochs; go on with it by --resume, or "
                           "choose another name with --name",
                           recorder->path, done, wanted);
    if (status == STATUS_OK) {
        const char *started = json_string_value(json_object_get(times, "started"));
        snprintf(recorder->started, sizeof recorder->started, "%s", started != NULL ? started : "");
        recorder->seconds_before = json_number_value(json_object_get(times, "wall_seconds"));
        recorder->sessions += (uint64_t)json_integer_value(json_object_get(times, "sessions"));
    }
    record_close(record);
    return status;
}

static enum status open_files(struct recorder *recorder, uint64_t keep_metrics, uint64_t keep_ledger,
                              struct error *error)
{
    char path[FILE_PATH_BYTES];
    const struct recorder_options *options = recorder->options;
    enum status status = inside(recorder, RECORD_MANIFEST_FILE, path, error);
    if (status == STATUS_OK)
        status = file_write(path, options->manifest_text, strlen(options->manifest_text), error);
    if (status == STATUS_OK)
        status = inside(recorder, METRICS_FILE, path, error);
    if (status == STATUS_OK)
        status = append_open(&recorder->metrics, path, keep_metrics, error);
    if (status == STATUS_OK)
        status = inside(recorder, LEDGER_FILE, path, error);
    if (status == STATUS_OK)
        status = append_open(&recorder->ledger, path, keep_ledger, error);
    if (status == STATUS_OK && recorder->ledger.bytes == 0) {
        char heading[LEDGER_LINE_BYTES + 1];
        ledger_heading(heading);
        status = append_write(&recorder->ledger, heading, LEDGER_LINE_BYTES, error);
    }
    return status == STATUS_OK ? write_record(recorder, error) : status;
}

static enum status open_run(struct recorder *recorder, struct training_state *state, struct error *error)
{
    const struct recorder_options *options = recorder->options;
    char path[FILE_PATH_BYTES];
    uint64_t keep_metrics = 0, keep_ledger = 0;
    enum status status = check_name(options->name, error);
    if (status == STATUS_OK)
        status = file_path(recorder->path, error, "%s/%s", options->runs, options->name);
    if (status == STATUS_OK)
        status = inside(recorder, RECORD_FILE, path, error);
    /* A folder of somebody else's is left as it is, without even a lock in it. */
    if (status == STATUS_OK && file_is_folder(recorder->path) && !file_exists(path))
        status = check_free(recorder->path, error);
    if (status == STATUS_OK)
        status = file_make_folders(recorder->path, error);
    if (status == STATUS_OK)
        status = file_check_folder(recorder->path, true, error);
    if (status == STATUS_OK)
        status = file_lock(recorder->path, &recorder->lock, error);
    if (status != STATUS_OK)
        return status;
    bool exists = file_exists(path);
    status = exists ? check_existing(recorder, error) : check_free(recorder->path, error);
    if (status == STATUS_OK)
        status = file_sweep(recorder->path, error);
    if (status == STATUS_OK)
        status = inside(recorder, RECORD_CHECKPOINTS_FOLDER, path, error);
    if (status == STATUS_OK)
        status = file_make_folders(path, error);
    if (status == STATUS_OK)
        status = file_check_folder(path, false, error);
    if (status == STATUS_OK)
        status = file_sweep(path, error);
    if (status == STATUS_OK && exists)
        status = resume(recorder, state, &keep_metrics, &keep_ledger, error);
    /* The process may have ended between writing a checkpoint and removing those that it makes superfluous; and where
     * the newest checkpoint is not good, the weights are of an epoch that is about to be cut off. */
    if (status == STATUS_OK && recorder->epochs > 0 && epoch_begin(recorder, recorder->epochs) == recorder->step) {
        status = checkpoint_prune(recorder->path, &options->recipe->training, options->training_images,
                                  recorder->epochs, error);
        if (status == STATUS_OK)
            status = save_weights(recorder, state, error);
    }
    return status == STATUS_OK ? open_files(recorder, keep_metrics, keep_ledger, error) : status;
}

enum status recorder_open(struct recorder **recorder, const struct recorder_options *options,
                          struct training_state *state, struct error *error)
{
    uint32_t batch = options->recipe->training.batch_size;
    struct recorder *made = calloc(1, sizeof *made);
    *recorder = made;
    if (made == NULL)
        return error_out_of_memory(error, "the run's record");
    made->options = options;
    made->lock = made->ledger.descriptor = made->metrics.descriptor = -1;
    made->state = RECORD_RUNNING;
    made->sessions = 1;
    environment_time(made->started);
    made->opened_s = clock_seconds();
    /* An epoch of a continuous stream may have a step more than images / batch, rounded up. */
    made->entry_room = options->training_images / batch + 2;
    made->entries = malloc(made->entry_room * DIGEST_STEP_BYTES);
    enum status status = STATUS_OK;
    if (made->entries == NULL)
        status = error_out_of_memory(error, "the run's record");
    else if (!digest_from_hex(options->experiment_sha256, made->chain))
        status = error_set(error, STATUS_INPUT, "\"%s\" is no experiment digest", options->experiment_sha256);
    if (status == STATUS_OK)
        status = open_run(made, state, error);
    if (status != STATUS_OK) {
        recorder_close(made);
        *recorder = NULL;
    }
    return status;
}

void recorder_close(struct recorder *recorder)
{
    if (recorder == NULL)
        return;
    append_close(&recorder->ledger);
    append_close(&recorder->metrics);
    file_unlock(recorder->lock);
    free(recorder->entries);
    free(recorder);
}
