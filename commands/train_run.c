#include "commands/train_run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/build_changes.h"
#include "results/record.h"
#include "results/recorder.h"
#include "results/run_progress.h"
#include "trainer/schedule.h"
#include "trainer/train.h"

/* ---- a training -------------------------------------------------------------------------------------------------- */

bool train_leads(const struct train_session *session)
{
    return ranks_own(session->ranks) == 0;
}

bool train_stop_requested(struct train_session *session)
{
    bool stop = stop_requested(NULL);
    struct error ignored;
    return ranks_agree(session->ranks, STATUS_OK, &stop, &ignored) != STATUS_OK || stop;
}

struct job {
    const struct train_run *run;
    struct train_session *session;
    struct manifest manifest; /* with this one seed, and the test data that are used */
    const struct engine_operations *operations;
    const struct dataset *training, *validation;
    struct recipe recipe;
    char experiment_sha256[DIGEST_HEX_BYTES];
    uint64_t epochs;                 /* to stop after; 0: all */
    uint64_t counted;                /* of this run's work, what is in the session's */
    struct recorder *recorder;       /* NULL on ranks that do not lead */
    struct train_listener recording; /* the recorder's callbacks */
    bool stop;                       /* of any rank, after the last report */
};

/* Of the training data and the test data, with a blank between them. */
struct digests {
    char text[2 * DIGEST_HEX_BYTES];
};

/* How all ranks go on after what this one did. */
static enum status agree(struct job *job, enum status status, struct error *error)
{
    return ranks_agree(job->session->ranks, status, NULL, error);
}

static void tell(const char *message)
{
    text_line(stderr, "selfsame train: %s", message);
}

/* Adds to the session's work what this run has done. The share and the time left are those of all runs of the call;
 * evaluations are in them. Under the lock. */
static void count_work(struct job *job, uint64_t done)
{
    job->session->done += done - job->counted;
    job->counted = done;
}

static uint64_t work_done(const struct job *job, uint64_t step)
{
    const uint64_t epoch = step == 0 ? 0 : schedule_epoch_of(&job->recipe.training, job->training->count, step - 1);
    return run_work(&job->recipe, step, epoch * job->validation->count);
}

static void show_progress(struct job *job, uint64_t step, uint64_t count)
{
    struct train_session *session = job->session;
    char label[96], which[48] = "";
    pthread_mutex_lock(&session->lock);
    session->steps += count;
    count_work(job, work_done(job, step));
    if (session->together > 1) {
        snprintf(label, sizeof label, "%zu of %zu runs, %zu at a time", session->finished, session->runs,
                 session->together);
    } else {
        if (session->runs > 1)
            snprintf(which, sizeof which, "run %zu of %zu, ", job->run->number, session->runs);
        snprintf(label, sizeof label, "%sepoch %" PRIu64 " of %" PRIu64, which,
                 schedule_epoch_of(&job->recipe.training, job->training->count, step - 1) + 1,
                 train_run_epochs(session->arguments, &job->manifest));
    }
    progress_report(&session->progress, label, session->steps, session->done, session->work);
    pthread_mutex_unlock(&session->lock);
}

static enum status hear_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count,
                              struct error *error)
{
    struct job *job = context;
    enum status status = STATUS_OK;
    if (job->recorder != NULL) {
        status = job->recording.steps(job->recording.context, first, results, count, error);
        if (status == STATUS_OK)
            show_progress(job, first + count, count);
    }
    job->stop = stop_requested(NULL);
    return ranks_agree(job->session->ranks, status, &job->stop, error);
}

static bool hear_stop(void *context)
{
    const struct job *job = context;
    return job->session->ranks != NULL ? job->stop : stop_requested(NULL);
}

/* Where several runs print at a time, each line begins with its run's name. */
static void print_name(const struct train_session *session, const char *name)
{
    char shown[RUN_NAME_BYTES];
    if (session->name_width == 0)
        return;
    text_shorten(shown, sizeof shown, name, (size_t)session->name_width);
    printf("%-*s ", session->name_width, shown);
}

static void print_heading(struct train_session *session)
{
    if (session->together > 1 && session->heading)
        return;
    print_name(session, "run");
    printf("%5s %9s %9s %7s %18s %8s  %s\n", "epoch", "rate", "loss", "error %", "validation error %", "images/s",
           "weights");
    session->heading = true;
}

static enum status record_epoch(struct job *job, const struct epoch_report *report, const struct training_state *state,
                                struct error *error)
{
    struct train_session *session = job->session;
    enum status status = job->recording.epoch(job->recording.context, report, state, error);
    if (status != STATUS_OK)
        return status;
    const struct metrics_row *row = recorder_last(job->recorder);
    pthread_mutex_lock(&session->lock);
    progress_clear(&session->progress);
    print_name(session, job->run->name);
    printf("%5" PRIu64 " %9g %9.6f %7.2f %18.2f %8.0f  %.16s\n", row->epoch + 1, row->learning_rate, row->training_loss,
           row->training_error, row->validation_error, row->images_per_second, row->weights_sha256);
    status = output_flush(error);
    pthread_mutex_unlock(&session->lock);
    train_mlflow_note(session->mlflow, recorder_path(job->recorder));
    return status;
}

static enum status hear_epoch(void *context, const struct epoch_report *report, const struct training_state *state,
                              struct error *error)
{
    struct job *job = context;
    return agree(job, job->recorder != NULL ? record_epoch(job, report, state, error) : STATUS_OK, error);
}

/* The SHA-256 of the data as they are known, or, `now`, as they are in memory. */
static struct digests digests_of(const struct job *job, bool now)
{
    struct dataset training = *job->training, validation = *job->validation;
    struct digests digests;
    if (now) {
        dataset_digest(&training);
        dataset_digest(&validation);
    }
    snprintf(digests.text, sizeof digests.text, "%s %s", training.sha256, validation.sha256);
    return digests;
}

/* Whether the data in memory are still what was read, on all ranks: every step of the training depends on them. Ranks
 * agree on whether they come here before they do. */
static enum status check_data(struct job *job, struct error *error)
{
    const struct digests before = digests_of(job, false), now = digests_of(job, true);
    const char *other = ranks_find_other(job->session->ranks, now.text, before.text);
    if (job->recorder != NULL)
        recorder_data_after(job->recorder, other != NULL ? other : before.text);
    if (other == NULL)
        return STATUS_OK;
    return error_set(error, STATUS_NO,
                     "%s: the data in memory changed during the training (%s has their SHA-256 before and after it); "
                     "test this machine's memory, and train the run again under another name",
                     job->recorder != NULL ? recorder_path(job->recorder) : job->run->name, RECORD_FILE);
}

static enum status hear_interruption(void *context, const struct training_state *state, struct error *error)
{
    struct job *job = context;
    enum status status = agree(job, STATUS_OK, error);
    if (status == STATUS_OK)
        status = agree(job, check_data(job, error), error);
    if (status == STATUS_OK && job->recorder != NULL)
        status = job->recording.interrupted(job->recording.context, state, error);
    return agree(job, status, error);
}

static void print_outcome(const struct job *job)
{
    const struct metrics_row *last = recorder_last(job->recorder);
    if (last == NULL)
        return;
    const char *mark = manifest_test_mark(&job->manifest, job->validation->sha256);
    printf("\nerror:   %.2f %% (%" PRIu64 " of %" PRIu64 ") after %" PRIu64 " epoch%s%s%s\nweights: %s\nchain:   %s\n",
           last->validation_error, last->validation_errors, last->validation_images, last->epoch + 1,
           last->epoch == 0 ? "" : "s", mark != NULL ? "; " : "", mark != NULL ? mark : "", last->weights_sha256,
           last->chain_sha256);
    text_line(stdout, "record:  %s", recorder_path(job->recorder));
}

static enum status begin(struct job *job, const struct engine *engine, uint64_t step, struct error *error)
{
    struct train_session *session = job->session;
    pthread_mutex_lock(&session->lock);
    progress_clear(&session->progress);
    text_line(stderr,
              "selfsame train: %s: depth %" PRIu32 ", %" PRIu32 " images, seed %" PRIu64 ", engine %s (%s), into %s",
              job->manifest.name, job->recipe.model.depth, job->training->count, job->recipe.training.seed,
              job->operations->name, job->operations->describe(engine), recorder_path(job->recorder));
    print_heading(session);
    enum status status = output_flush(error);
    count_work(job, work_done(job, step)); /* work before this call says nothing about the speed */
    progress_restart(&session->progress);
    pthread_mutex_unlock(&session->lock);
    return status;
}

static enum status end(struct job *job, struct error *error)
{
    struct train_session *session = job->session;
    pthread_mutex_lock(&session->lock);
    progress_clear(&session->progress);
    print_outcome(job);
    enum status status = output_flush(error);
    pthread_mutex_unlock(&session->lock);
    return status;
}

static enum status train_recorded(struct job *job, struct engine *engine, struct training_state *state,
                                  struct error *error)
{
    struct train_listener listener = { .context = job,
                                       .steps = hear_steps,
                                       .epoch = hear_epoch,
                                       .interrupted = hear_interruption,
                                       .stop_requested = hear_stop };
    enum status status = STATUS_OK;
    if (job->recorder != NULL) {
        job->recording = recorder_listener(job->recorder);
        status = begin(job, engine, state->step, error);
    }
    status = agree(job, status, error);
    if (status == STATUS_OK)
        status = train(job->operations, engine, &job->recipe, job->training->count, job->validation, job->epochs, state,
                       &listener, error);
    status = agree(job, status, error);
    if (status == STATUS_OK)
        status = agree(job, check_data(job, error), error);
    if (job->recorder == NULL)
        return status;
    struct error write_error;
    enum status written = recorder_finish(job->recorder, status, error->message, &write_error);
    if (status == STATUS_OK && written != STATUS_OK) {
        *error = write_error;
        return written;
    }
    return status == STATUS_OK ? end(job, error) : status;
}

/* A run is finished, in this call or before. */
static enum status finish(struct job *job, const struct recorder_options *options, struct error *error)
{
    struct train_session *session = job->session;
    pthread_mutex_lock(&session->lock);
    session->finished++;
    progress_clear(&session->progress);
    pthread_mutex_unlock(&session->lock);
    pthread_mutex_lock(&session->after_lock);
    enum status status =
        train_leads(session) ? after_run(session->after, options->runs, options->name, error) : STATUS_OK;
    pthread_mutex_unlock(&session->after_lock);
    return status;
}

/* --keep-checkpoints, which train_run_check has looked at; 0: not given. */
static uint64_t keep_every(const struct arguments *arguments)
{
    const char *given = arguments_text(arguments, "keep-checkpoints");
    if (given == NULL)
        return 0;
    return strcmp(given, "all") == 0 ? 1 : strtoull(given, NULL, 10);
}

/* Opens the run's record on rank 0, and gives all ranks the state from which it goes on. *done: nothing is left to
 * do. */
static enum status open_record(struct job *job, const struct recorder_options *options, struct training_state *state,
                               bool *done, struct error *error)
{
    struct train_session *session = job->session;
    struct ranks *ranks = session->ranks;
    const size_t floats = options->network->value_count;
    enum status status = STATUS_OK;
    *done = false;
    if (train_leads(session)) {
        /* Of several runs that are resumed, some may have nothing left to do. */
        *done = options->resume && session->runs > 1 &&
                train_run_is_finished(options->runs, options->name, job->experiment_sha256, job->epochs);
        if (!*done)
            status = recorder_open(&job->recorder, options, state, error);
    }
    status = ranks_agree(ranks, status, done, error);
    if (status != STATUS_OK || *done)
        return status;
    struct training_state arrays = *state;
    ranks_send_all(ranks, state, sizeof *state);
    state->values = arrays.values;
    state->momentum = arrays.momentum;
    ranks_send_all(ranks, state->values, floats * sizeof *state->values);
    ranks_send_all(ranks, state->momentum, floats * sizeof *state->momentum);
    return STATUS_OK;
}

static enum status record_and_train(struct job *job, const struct network *network, struct engine *engine,
                                    struct training_state *state, struct error *error)
{
    const struct manifest *manifest = &job->manifest;
    const struct arguments *arguments = job->session->arguments;
    char other_test_data[160], folder[FILE_PATH_BYTES] = "";
    const char *notes[3] = { NULL };
    size_t note_count = 0;
    if (manifest->note[0] != '\0')
        notes[note_count++] = manifest->note;
    const char *mark = manifest_test_mark(manifest, job->validation->sha256);
    if (mark != NULL) {
        snprintf(other_test_data, sizeof other_test_data, "errors were measured on test data of SHA-256 %s, %s",
                 job->validation->sha256, mark);
        notes[note_count++] = other_test_data;
        if (train_leads(job->session))
            text_line(stderr, "selfsame train: %s", other_test_data);
    }
    struct recorder_options options = {
        .runs = record_runs_folder(arguments_text(arguments, "runs")),
        .name = job->run->name,
        .resume = arguments_flag(arguments, "resume"),
        .keep_every = keep_every(arguments),
        .manifest_name = manifest->name,
        .manifest_text = manifest->resolved,
        .manifest_sha256 = manifest->sha256,
        .experiment_sha256 = job->experiment_sha256,
        .arithmetic = arithmetic_version(job->recipe.arithmetic),
        .exact = job->operations->exact,
        .any_device = engine_any_device(job->recipe.arithmetic),
        .recipe = &job->recipe,
        .network = network,
        .training_images = job->training->count,
        .validation_images = job->validation->count,
        .training_data_sha256 = job->training->sha256,
        .validation_data_sha256 = job->validation->sha256,
        .notes = notes,
        .changes = &build_changes,
        .epochs = job->epochs,
        .engine_name = job->operations->name,
        .engine_description = job->operations->describe(engine),
        .engine_facts = job->operations->facts(engine),
        .engine_bytes = job->operations->memory_bytes(engine),
        .others = job->session->together > 1,
        .ranks = ranks_count(job->session->ranks),
        .ranks_description = ranks_describe(job->session->ranks),
        .pci_address = job->operations->pci_address != NULL ? job->operations->pci_address(engine) : NULL,
        .say = tell,
    };
    bool done;
    enum status status = open_record(job, &options, state, &done, error);
    if (status == STATUS_OK && done) {
        if (train_leads(job->session))
            text_line(stderr, "selfsame train: %s/%s is finished", options.runs, options.name);
        return finish(job, &options, error);
    }
    if (status == STATUS_OK)
        status = train_recorded(job, engine, state, error);
    if (job->recorder != NULL)
        snprintf(folder, sizeof folder, "%s", recorder_path(job->recorder));
    recorder_close(job->recorder);
    job->recorder = NULL;
    if (folder[0] != '\0')
        train_mlflow_note(job->session->mlflow, folder); /* its state, now that nobody trains it */
    return status == STATUS_OK ? finish(job, &options, error) : status;
}

/* Runs that are trained at a time share the processors; so do the ranks of a host, where the launcher has not given
 * each its own. */
static struct engine_options engine_options(const struct train_session *session)
{
    const struct arguments *arguments = session->arguments;
    uint32_t threads = (uint32_t)arguments_integer(arguments, "threads", 0);
    const uint32_t processors = machine_processors_usable();
    uint32_t sharers = (uint32_t)session->together;
    if (session->ranks != NULL)
        sharers = machine_processors_bound() ? 1 : ranks_here(session->ranks);
    if (threads == 0 && sharers > 1)
        threads = processors > sharers ? processors / sharers : 1;
    return (struct engine_options){ .threads = threads,
                                    .isa = arguments_text(arguments, "isa"),
                                    .pin = arguments_flag(arguments, "pin"),
                                    .ranks = session->ranks };
}

static enum status open_engine(struct job *job, const struct network *network, struct engine **engine,
                               struct error *error)
{
    const struct engine_options options = engine_options(job->session);
    pthread_mutex_lock(&job->session->opening);
    enum status status =
        job->operations->open(engine, &job->recipe, network, job->training, job->validation, &options, error);
    pthread_mutex_unlock(&job->session->opening);
    return status;
}

static void close_engine(struct job *job, struct engine *engine)
{
    pthread_mutex_lock(&job->session->opening);
    job->operations->close(engine);
    pthread_mutex_unlock(&job->session->opening);
}

/* Everything that a training computes with, before its first step. */
static enum status set_up(struct job *job, struct network **network, struct engine **engine,
                          struct training_state *state, struct error *error)
{
    enum status status = network_open(network, &job->recipe.model, error);
    if (status != STATUS_OK)
        return status;
    const size_t count = (*network)->value_count;
    state->values = calloc(count, sizeof *state->values);
    state->momentum = calloc(count, sizeof *state->momentum);
    if (state->values == NULL || state->momentum == NULL)
        return error_out_of_memory(error, "the %zu weights of depth %" PRIu32, count, job->recipe.model.depth);
    network_initialize(*network, job->recipe.training.seed, state->values);
    return open_engine(job, *network, engine, error);
}

/* Ranks exchange sums in the layout of the vectors that add them. */
static enum status check_same_isa(const struct job *job, const struct engine *engine, struct error *error)
{
    if (job->operations->used_isa == NULL)
        return STATUS_OK;
    return ranks_check_same(job->session->ranks, job->operations->used_isa(engine), "another instruction set",
                            "give all of them one that every host has, with --isa", error);
}

static enum status run_job(struct job *job, struct error *error)
{
    struct network *network = NULL;
    struct engine *engine = NULL;
    struct training_state state = { .step = 0 };
    enum status status = agree(job, set_up(job, &network, &engine, &state, error), error);
    assert(status != STATUS_OK || (job->training != NULL && job->validation != NULL));
    if (status == STATUS_OK)
        status = agree(job, check_same_isa(job, engine, error), error);
    if (status == STATUS_OK)
        status = agree(job, record_and_train(job, network, engine, &state, error), error);
    if (engine != NULL)
        close_engine(job, engine);
    free(state.values);
    free(state.momentum);
    network_close(network);
    return status;
}

/* The manifest that the record gets. It names the data that were used, so that it trains this run again. */
static enum status state_manifest(struct job *job, struct error *error)
{
    const struct train_run *run = job->run;
    struct manifest one;
    enum status status = manifest_with_seed(run->manifest, run->seed, &one, error);
    if (status != STATUS_OK)
        return status;
    if (job->validation == NULL || !arguments_flag(job->session->arguments, "any-test-data") ||
        strcmp(job->validation->sha256, one.test_sha256) == 0) {
        job->manifest = one;
        return STATUS_OK;
    }
    status = manifest_with_test_data(&one, job->validation->sha256, &job->manifest, error);
    manifest_free(&one);
    return status;
}

static enum status prepare(struct job *job, struct error *error)
{
    enum status status = state_manifest(job, error);
    if (status != STATUS_OK)
        return status;
    job->recipe = job->manifest.recipe;
    manifest_experiment_digest(&job->manifest, job->run->seed, job->experiment_sha256);
    return STATUS_OK;
}

static struct job job_of(const struct train_run *run)
{
    return (struct job){ .run = run,
                         .session = run->session,
                         .operations = run->operations,
                         .epochs = arguments_integer(run->session->arguments, "epochs", 0) };
}

/* A manifest need not state the digests of all data. */
static enum status check_same_data(const struct job *job, struct error *error)
{
    return ranks_check_same(job->session->ranks, digests_of(job, false).text, "other images",
                            "give every rank the same data", error);
}

/* Rank 0 first: what it downloads, the others find in the store. */
static enum status take_data(struct job *job, struct error *error)
{
    struct train_session *session = job->session;
    const struct manifest *manifest = job->run->manifest;
    const bool leads = train_leads(session);
    enum status status = STATUS_OK;
    if (leads)
        status = shared_data_take(session->data, manifest, &job->training, &job->validation, error);
    status = agree(job, status, error);
    if (status == STATUS_OK && !leads)
        status = shared_data_take(session->data, manifest, &job->training, &job->validation, error);
    status = agree(job, status, error);
    return status == STATUS_OK ? agree(job, check_same_data(job, error), error) : status;
}

enum status train_run_train(struct train_run *run, struct error *error)
{
    struct train_session *session = run->session;
    struct job job = job_of(run);
    enum status status = take_data(&job, error);
    if (status == STATUS_OK)
        status = prepare(&job, error);
    if (status == STATUS_OK) {
        status = run_job(&job, error);
        manifest_free(&job.manifest);
    }
    pthread_mutex_lock(&session->lock);
    progress_clear(&session->progress);
    if (status != STATUS_INTERRUPTED)
        count_work(&job, train_run_work(session->arguments, run->manifest));
    pthread_mutex_unlock(&session->lock);
    shared_data_leave(session->data, run->manifest);
    return status;
}

/* What would be done, without data, engine or record. */
static enum status describe_job(const struct job *job, size_t *bytes, struct error *error)
{
    const struct manifest *manifest = &job->manifest;
    const struct train_session *session = job->session;
    const struct training_config *training = &job->recipe.training;
    const uint32_t images = manifest->training_images;
    const struct engine_options options = engine_options(session);
    const uint64_t all = schedule_epochs(training, images), epochs = job->epochs != 0 ? job->epochs : all;
    struct network *network = NULL;
    enum status status = network_open(&network, &job->recipe.model, error);
    if (status == STATUS_OK)
        status = engine_predict_memory(job->operations, &job->recipe, network, images, manifest->test_images, &options,
                                       bytes, error);
    if (status == STATUS_OK) {
        text_line(stdout, "run:        %s/%s", record_runs_folder(arguments_text(session->arguments, "runs")),
                  job->run->name);
        printf("experiment: %s\narithmetic: %s\n", job->experiment_sha256, arithmetic_version(job->recipe.arithmetic));
        text_fact(stdout, 12,
                  "training:   depth %" PRIu32 ", %zu parameters, %" PRIu64 " of %" PRIu64 " epochs, %" PRIu64
                  " steps of %" PRIu32 " images",
                  job->recipe.model.depth, network->parameter_count, epochs, all,
                  schedule_epoch_end(training, images, epochs - 1), training->batch_size);
        if (session->ranks != NULL)
            text_fact(stdout, 12, "ranks:      %s", ranks_describe(session->ranks));
        printf("engine:     %s, %.1f MiB (without the data sets)\n", job->operations->name, (double)*bytes / 1048576.0);
        status = output_flush(error);
    }
    network_close(network);
    return status;
}

enum status train_run_describe(const struct train_run *run, size_t *bytes, struct error *error)
{
    struct job job = job_of(run);
    *bytes = 0;
    enum status status = prepare(&job, error);
    if (status == STATUS_OK) {
        status = describe_job(&job, bytes, error);
        manifest_free(&job.manifest);
    }
    return status;
}
