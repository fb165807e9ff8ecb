#include "results/recorder.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/append.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/nvml.h"
#include "base/text.h"
#include "fetch/weights/weights.h"
#include "results/checkpoint.h"
#include "results/claims.h"
#include "results/environment.h"
#include "results/imported.h"
#include "results/ledger.h"
#include "results/record.h"
#include "results/resume.h"
#include "trainer/digests.h"
#include "trainer/schedule.h"

enum { LINES_AT_ONCE = 64 };

struct recorder {
    const struct recorder_options *options;
    char path[FILE_PATH_BYTES];
    struct lock lock;
    struct appender ledger, metrics;
    struct record_facts facts; /* what record.json says; its texts are the options' and those of the next two */
    struct environment environment;
    struct claims claims;
    char started[ENVIRONMENT_TIME_BYTES], failure[ERROR_MESSAGE_BYTES];
    uint8_t chain[DIGEST_BYTES]; /* after the epochs that are recorded */
    char *metrics_text;          /* of them, for their digest */
    size_t metrics_bytes;
    uint8_t *entries; /* for the chain: the steps of the current epoch so far */
    size_t entry_count, entry_room;
    uint64_t step;         /* next */
    double opened_s;       /* clock_seconds() at the start of this session, and its like: */
    double cpu_at_open;    /* of the process, which may have trained other runs before */
    double seconds_before; /* wall time of the sessions before this one; the same of: */
    double cpu_before, joules_before;
    bool cpu_known;               /* of all sessions */
    struct machine_energy energy; /* of this session; the same of the card: */
    struct nvml *card;
    double card_joules_before;
    struct nvml_card card_facts;
};

static enum status inside(const struct recorder *recorder, const char *file, char path[FILE_PATH_BYTES],
                          struct error *error)
{
    return file_path(path, error, "%s/%s", recorder->path, file);
}

/* ---- record.json ------------------------------------------------------------------------------------------------- */

/* What the options say. */
static void describe_run(struct recorder *recorder)
{
    const struct recorder_options *options = recorder->options;
    const struct training_config *training = &options->recipe->training;
    struct record_facts *facts = &recorder->facts;
    *facts = (struct record_facts){
        .format = RECORD_FORMAT,
        .name = options->name,
        .state = RECORD_RUNNING,
        .failure = recorder->failure,
        .manifest_name = options->manifest_name,
        .seed = training->seed,
        .epochs_wanted = schedule_epochs(training, options->training_images),
        .steps_wanted = schedule_steps(training, options->training_images),
        .arithmetic = options->arithmetic,
        .exact = options->exact,
        .claims = recorder->claims.list,
        .depth = options->recipe->model.depth,
        .parameters = options->network->parameter_count,
        .training_images = options->training_images,
        .validation_images = options->validation_images,
        .data_notes = options->notes,
        .engine_name = options->engine_name,
        .engine_description = options->engine_description,
        .engine_memory_bytes = options->engine_bytes,
        .engine_facts = options->engine_facts,
        .ranks = options->ranks > 1 ? options->ranks : 0,
        .ranks_description = options->ranks_description,
        .time_started = recorder->started,
        .sessions = 1,
    };
    snprintf(facts->manifest_sha256, DIGEST_HEX_BYTES, "%s", options->manifest_sha256);
    snprintf(facts->experiment_sha256, DIGEST_HEX_BYTES, "%s", options->experiment_sha256);
    snprintf(facts->training_data_sha256, DIGEST_HEX_BYTES, "%s", options->training_data_sha256);
    snprintf(facts->validation_data_sha256, DIGEST_HEX_BYTES, "%s", options->validation_data_sha256);
    claims_list(&recorder->claims, options->exact, options->any_device, options->ranks > 1);
    environment_read(&recorder->environment);
    environment_describe(&recorder->environment, facts);
    if (options->changes != NULL && options->changes->bytes > 0) {
        facts->source_changes_bytes = options->changes->bytes;
        snprintf(facts->source_changes_sha256, DIGEST_HEX_BYTES, "%s", options->changes->sha256);
    }
    if (options->pci_address != NULL)
        recorder->card = nvml_open(options->pci_address, &recorder->card_facts);
    facts->gpu_driver = recorder->card_facts.driver;
    facts->gpu_uuid = recorder->card_facts.uuid;
    facts->gpu_vbios = recorder->card_facts.vbios;
    facts->gpu_power_limit_watts = recorder->card_facts.power_limit_watts;
    facts->gpu_clock_mhz = recorder->card_facts.clock_mhz;
    environment_time(recorder->started);
}

static enum status write_record(struct recorder *recorder, struct error *error)
{
    char path[FILE_PATH_BYTES], now[ENVIRONMENT_TIME_BYTES];
    struct record_facts *facts = &recorder->facts;
    environment_time(now);
    facts->time_updated = now;
    facts->wall_seconds = recorder->seconds_before + clock_seconds() - recorder->opened_s;
    if (recorder->cpu_known)
        facts->cpu_seconds = recorder->cpu_before + environment_cpu_seconds() - recorder->cpu_at_open;
    machine_energy_update(&recorder->energy);
    facts->package_joules = recorder->joules_before + recorder->energy.joules;
    facts->gpu_joules = recorder->card_joules_before + nvml_joules(recorder->card);
    facts->peak_memory_bytes = environment_peak_memory_bytes();
    if (facts->result.epochs > 0)
        sha256_hex(recorder->metrics_text, recorder->metrics_bytes, facts->result.metrics_sha256);
    enum status status = inside(recorder, RECORD_FILE, path, error);
    return status == STATUS_OK ? record_json_write(path, facts, error) : status;
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
        const struct ledger_row row = ledger_row_of(result);
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
static enum status append_epoch(struct recorder *recorder, const struct metrics_row *row, struct error *error)
{
    char *line = NULL, *text;
    enum status status = metrics_format(row, &line, error);
    if (status != STATUS_OK)
        return status;
    const size_t bytes = strlen(line);
    text = realloc(recorder->metrics_text, recorder->metrics_bytes + bytes);
    if (text == NULL) {
        status = error_out_of_memory(error, "the lines of %s", recorder->metrics.path);
        goto out;
    }
    recorder->metrics_text = text;
    status = append_write(&recorder->metrics, line, bytes, error);
    if (status == STATUS_OK)
        status = append_sync(&recorder->metrics, error);
    if (status != STATUS_OK)
        goto out;
    memcpy(text + recorder->metrics_bytes, line, bytes);
    recorder->metrics_bytes += bytes;
    record_json_add_epoch(&recorder->facts, row);
out:
    free(line);
    return status;
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
    struct checkpoint_place place = { .epochs = recorder->facts.result.epochs };
    snprintf(place.experiment_sha256, sizeof place.experiment_sha256, "%s", options->experiment_sha256);
    snprintf(place.arithmetic, sizeof place.arithmetic, "%s", options->arithmetic);
    digest_to_hex(recorder->chain, place.chain_sha256);
    if (recorder->entry_count > 0)
        sha256_hex(recorder->entries, recorder->entry_count * DIGEST_STEP_BYTES, place.steps_sha256);
    return checkpoint_write(recorder->path, options->network, &place, state, error);
}

static enum status record_epoch(void *context, const struct epoch_report *report, const struct training_state *state,
                                struct error *error)
{
    struct recorder *recorder = context;
    const struct recorder_options *options = recorder->options;
    struct metrics_row row;
    uint8_t weights[DIGEST_BYTES];
    assert(report->epoch == recorder->facts.result.epochs && report->end_step == recorder->step);
    weights_digest(options->network, state->values, weights);
    digest_chain(recorder->chain, weights, recorder->entries, recorder->entry_count);
    recorder->entry_count = 0;
    describe_epoch(recorder, report, weights, &row);
    enum status status = append_sync(&recorder->ledger, error);
    if (status == STATUS_OK)
        status = save_weights(recorder, state, error);
    if (status == STATUS_OK)
        status = append_epoch(recorder, &row, error);
    if (status == STATUS_OK)
        status = save_checkpoint(recorder, state, error);
    if (status == STATUS_OK)
        status = checkpoint_prune(recorder->path, &options->recipe->training, options->training_images,
                                  recorder->facts.result.epochs, options->keep_every, error);
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

void recorder_data_after(struct recorder *recorder, const char *digests)
{
    (void)sscanf(digests, "%64s %64s", recorder->facts.training_data_after_sha256,
                 recorder->facts.validation_data_after_sha256);
}

/* The program's file, and the run's manifest, as they are now. */
static void digest_files(struct recorder *recorder)
{
    struct record_facts *facts = &recorder->facts;
    char path[FILE_PATH_BYTES];
    struct error ignored;
    environment_program_sha256(facts->program_after_sha256);
    if (inside(recorder, RECORD_MANIFEST_FILE, path, &ignored) != STATUS_OK ||
        file_sha256(path, facts->manifest_after_sha256, &ignored) != STATUS_OK)
        facts->manifest_after_sha256[0] = '\0';
}

enum status recorder_finish(struct recorder *recorder, enum status outcome, const char *message, struct error *error)
{
    recorder->facts.state = outcome == STATUS_OK   ? RECORD_FINISHED
                            : outcome == STATUS_NO ? RECORD_FAILED
                                                   : RECORD_INTERRUPTED;
    recorder->failure[0] = '\0';
    digest_files(recorder);
    if (outcome != STATUS_OK && outcome != STATUS_INTERRUPTED)
        (void)text_escape(recorder->failure, sizeof recorder->failure, TEXT_TERMINAL, message);
    return write_record(recorder, error);
}

const char *recorder_path(const struct recorder *recorder)
{
    return recorder->path;
}

const struct metrics_row *recorder_last(const struct recorder *recorder)
{
    return recorder->facts.result.epochs > 0 ? &recorder->facts.result.last : NULL;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Whether a run that exists may be continued. Keeps what its record.json says about earlier sessions. *done: its
 * epochs, and the digest of their lines. */
static enum status check_existing(struct recorder *recorder, uint64_t *done, char metrics_sha256[DIGEST_HEX_BYTES],
                                  struct error *error)
{
    const struct recorder_options *options = recorder->options;
    struct record *record;
    enum status status = record_open_head(&record, options->runs, recorder->path, error);
    if (status != STATUS_OK)
        return status;
    const struct record_facts *facts = &record->facts;
    const uint64_t all = facts->epochs_wanted,
                   wanted = options->epochs > 0 && options->epochs < all ? options->epochs : all;
    *done = facts->result.epochs;
    memcpy(metrics_sha256, facts->result.metrics_sha256, DIGEST_HEX_BYTES);
    if (imported_is(record))
        status = imported_refuse(record, "continue; choose another name with --name", error);
    else if (strcmp(facts->experiment_sha256, options->experiment_sha256) != 0)
        status = error_set(error, STATUS_INPUT,
                           "the run %s belongs to another experiment: %s (manifest %s, arithmetic %s), not %s "
                           "(manifest %s, arithmetic %s); choose another name with --name, or another runs folder "
                           "with --runs",
                           recorder->path, facts->experiment_sha256, facts->manifest_name, facts->arithmetic,
                           options->experiment_sha256, options->manifest_name, options->arithmetic);
    else if (facts->state == RECORD_FINISHED && *done >= wanted)
        status = error_set(error, STATUS_INPUT,
                           "the run %s is finished, with %" PRIu64 " of %" PRIu64 " epochs, and is left alone; choose "
                           "another name with --name to run it again",
                           recorder->path, *done, all);
    else
        status = resume_check_memory(recorder->path, facts, error);
    if (status == STATUS_OK && !options->resume)
        status = error_set(error, STATUS_INPUT,
                           "the run %s exists and has %" PRIu64 " of %" PRIu64 " epochs; continue it with --resume, "
                           "or choose another name with --name",
                           recorder->path, *done, wanted);
    if (status == STATUS_OK)
        status = resume_check_test_data(recorder->path, facts, options->validation_data_sha256, error);
    if (status == STATUS_OK) {
        snprintf(recorder->started, sizeof recorder->started, "%s", facts->time_started);
        recorder->seconds_before = facts->wall_seconds;
        recorder->cpu_before = facts->cpu_seconds;
        recorder->cpu_known = recorder->cpu_known && facts->cpu_seconds > 0.0;
        recorder->joules_before = facts->package_joules;
        recorder->card_joules_before = facts->gpu_joules;
        recorder->facts.sessions += facts->sessions;
        claims_keep_ranks(&recorder->claims, facts->claims);
    }
    record_close(record);
    return status;
}

/* Sets the recorder to a point. */
static enum status take_point(struct recorder *recorder, const struct resume_point *point, struct error *error)
{
    recorder->step = point->step;
    memcpy(recorder->chain, point->chain, sizeof recorder->chain);
    for (uint64_t epoch = 0; epoch < point->epochs; epoch++)
        record_json_add_epoch(&recorder->facts, &point->metrics.rows[epoch]);
    assert(point->step - point->begin <= recorder->entry_room);
    for (uint64_t i = point->begin; i < point->step; i++)
        digest_step(recorder->entries + recorder->entry_count++ * DIGEST_STEP_BYTES, i, point->ledger.rows[i].loss,
                    point->ledger.rows[i].errors, point->ledger.rows[i].digest);
    if (point->epochs == 0)
        return STATUS_OK;
    recorder->metrics_bytes = point->metrics.ends[point->epochs - 1];
    recorder->metrics_text = malloc(recorder->metrics_bytes);
    if (recorder->metrics_text == NULL)
        return error_out_of_memory(error, "the lines of %s", recorder->metrics.path);
    memcpy(recorder->metrics_text, point->metrics.text, recorder->metrics_bytes);
    return STATUS_OK;
}

/* The process may have ended between writing a checkpoint and removing those that it makes superfluous; and where the
 * newest checkpoint is not good, the weights are of an epoch that is about to be cut off. */
static enum status mend_weights(const struct recorder *recorder, const struct training_state *state,
                                struct error *error)
{
    const struct recorder_options *options = recorder->options;
    const struct training_config *training = &options->recipe->training;
    const uint64_t epochs = recorder->facts.result.epochs;
    if (epochs == 0 || schedule_epoch_end(training, options->training_images, epochs - 1) != recorder->step)
        return STATUS_OK;
    enum status status =
        checkpoint_prune(recorder->path, training, options->training_images, epochs, options->keep_every, error);
    return status == STATUS_OK ? save_weights(recorder, state, error) : status;
}

/* Opens what is appended to, each file cut to so many bytes. */
static enum status open_files(struct recorder *recorder, uint64_t keep_metrics, uint64_t keep_ledger,
                              struct error *error)
{
    char path[FILE_PATH_BYTES];
    const struct recorder_options *options = recorder->options;
    enum status status = inside(recorder, RECORD_MANIFEST_FILE, path, error);
    if (status == STATUS_OK)
        status = file_write(path, options->manifest_text, strlen(options->manifest_text), error);
    if (status == STATUS_OK)
        status = source_changes_write(options->changes, recorder->path, error);
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
    return status;
}

/* The record is written before anything is cut off, so that it never names epochs that are no longer there. */
static enum status resume(struct recorder *recorder, uint64_t epochs, const char *metrics_sha256,
                          struct training_state *state, struct error *error)
{
    const struct recorder_options *options = recorder->options;
    const struct resume_options resume_options = {
        .folder = recorder->path,
        .experiment_sha256 = options->experiment_sha256,
        .network = options->network,
        .training = &options->recipe->training,
        .images = options->training_images,
        .epochs = epochs,
        .metrics_sha256 = metrics_sha256,
        .say = options->say,
    };
    struct resume_point point;
    uint64_t keep_metrics, keep_ledger;
    enum status status = resume_find(&resume_options, state, &point, error);
    if (status != STATUS_OK)
        return status;
    status = take_point(recorder, &point, error);
    if (status == STATUS_OK)
        status = write_record(recorder, error);
    if (status == STATUS_OK)
        status = checkpoint_cut(recorder->path, point.step, error); /* they were tried, and were not good */
    if (status == STATUS_OK)
        status = mend_weights(recorder, state, error);
    if (status == STATUS_OK)
        status = resume_unify(&resume_options, &point, &keep_metrics, &keep_ledger, error);
    if (status == STATUS_OK)
        status = open_files(recorder, keep_metrics, keep_ledger, error);
    resume_free(&point);
    return status;
}

/* The record comes last: without it there is no run yet. */
static enum status begin(struct recorder *recorder, struct error *error)
{
    enum status status = open_files(recorder, 0, 0, error);
    return status == STATUS_OK ? write_record(recorder, error) : status;
}

static enum status lock_run(struct recorder *recorder, struct error *error)
{
    char path[FILE_PATH_BYTES], holder[LOCK_HOLDER_BYTES], message[2 * FILE_PATH_BYTES + 256];
    bool taken;
    enum status status = inside(recorder, RECORD_LOCK_FILE, path, error);
    if (status == STATUS_OK)
        status = lock_try(&recorder->lock, path, &taken, holder, error);
    if (status == STATUS_OK && !taken)
        status = error_set(error, STATUS_ENVIRONMENT, "%s is in use by %s; wait for it to end, or stop it",
                           recorder->path, holder);
    if (status == STATUS_OK && recorder->lock.owner[0] != '\0' && recorder->options->say != NULL) {
        snprintf(message, sizeof message,
                 "the file system of %s has no locks; %s, which names this process, keeps others away instead",
                 recorder->path, recorder->lock.owner);
        recorder->options->say(message);
    }
    return status;
}

static enum status open_run(struct recorder *recorder, struct training_state *state, struct error *error)
{
    const struct recorder_options *options = recorder->options;
    char path[FILE_PATH_BYTES], metrics_sha256[DIGEST_HEX_BYTES];
    uint64_t epochs = 0;
    enum status status = find_run_check_name(options->name, error);
    if (status == STATUS_OK)
        status = file_path(recorder->path, error, "%s/%s", options->runs, options->name);
    if (status == STATUS_OK)
        status = inside(recorder, RECORD_FILE, path, error);
    /* A folder that is not a run is not changed; not even a lock is put into it. */
    if (status == STATUS_OK && file_is_folder(recorder->path) && !file_exists(path))
        status = resume_check_free(recorder->path, error);
    if (status == STATUS_OK)
        status = file_make_folders(recorder->path, error);
    if (status == STATUS_OK)
        status = file_check_folder(recorder->path, true, error);
    if (status == STATUS_OK)
        status = lock_run(recorder, error);
    if (status != STATUS_OK)
        return status;
    const bool exists = file_exists(path);
    status =
        exists ? check_existing(recorder, &epochs, metrics_sha256, error) : resume_check_free(recorder->path, error);
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
    if (status != STATUS_OK)
        return status;
    return exists ? resume(recorder, epochs, metrics_sha256, state, error) : begin(recorder, error);
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
    made->lock.descriptor = made->ledger.descriptor = made->metrics.descriptor = -1;
    made->opened_s = clock_seconds();
    made->cpu_at_open = environment_cpu_seconds();
    made->cpu_known = !options->others;
    machine_energy_open(&made->energy, MACHINE_POWERCAP);
    describe_run(made);
    /* An epoch of a continuous stream may have a step more than images / batch, rounded up. */
    made->entry_room = options->training_images / batch + 2;
    made->entries = malloc(made->entry_room * DIGEST_STEP_BYTES);
    enum status status = STATUS_OK;
    if (made->entries == NULL)
        status = error_out_of_memory(error, "the run's record");
    else if (!digest_from_hex(options->experiment_sha256, made->chain))
        status = error_set(error, STATUS_INPUT, "\"%s\" is not an experiment digest", options->experiment_sha256);
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
    nvml_close(recorder->card);
    lock_release(&recorder->lock);
    free(recorder->metrics_text);
    free(recorder->entries);
    free(recorder);
}
