/* selfsame train: wires manifest, data, engine and record together, once for each manifest and seed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/progress.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/after.h"
#include "commands/command.h"
#include "experiments/manifest.h"
#include "fetch/data/load.h"
#include "results/record.h"
#include "results/recorder.h"
#include "trainer/engine.h"
#include "trainer/schedule.h"
#include "trainer/train.h"

/* ---- all trainings of a call, together --------------------------------------------------------------------------- */

struct session {
    const struct arguments *arguments;
    struct progress progress;
    size_t runs, run;           /* how many, and which one it is, from 1 */
    uint64_t work, work_before; /* of all runs, and of those before this one: see work_of */
    struct after_runs *after;   /* what --after runs, with the runs that are finished */
};

/* The work of a network's training so far, in a unit of its own, so that one share and one time left can be told for
 * networks of several depths. An image costs its network's layers, and one that is trained with 17 fifths of one that
 * is only classified: measured on the engine cpu, at all four depths. */
static uint64_t work_of(const struct recipe *recipe, uint64_t images, uint64_t classified)
{
    enum { TRAINED = 17, CLASSIFIED = 5 };
    return (recipe->model.depth - 2) * (TRAINED * images + CLASSIFIED * classified);
}

static uint64_t epochs_wanted(const struct recipe *recipe, uint32_t images, uint64_t limit)
{
    const uint64_t all = schedule_epochs(&recipe->training, images);
    return limit > 0 && limit < all ? limit : all;
}

static uint64_t work_of_run(const struct manifest *manifest, uint64_t limit)
{
    const struct training_config *training = &manifest->recipe.training;
    const uint64_t epochs = epochs_wanted(&manifest->recipe, manifest->training_images, limit);
    return work_of(&manifest->recipe,
                   schedule_epoch_end(training, manifest->training_images, epochs - 1) * training->batch_size,
                   epochs * manifest->test_images);
}

/* ---- one training ------------------------------------------------------------------------------------------------ */

/* A training: one manifest with one seed. */
struct job {
    const struct arguments *arguments;
    struct session *session;
    const struct manifest *manifest; /* with this one seed */
    const struct engine_operations *operations;
    const struct dataset *training, *validation; /* NULL for a dry run */
    struct recipe recipe;
    char name[256], experiment_sha256[DIGEST_HEX_BYTES];
    uint64_t epochs; /* to stop after; 0: all */
    struct recorder *recorder;
    struct train_listener recording; /* the recorder's callbacks */
};

static void tell(const char *message)
{
    text_line(stderr, "selfsame train: %s", message);
}

static enum status check_output(struct error *error)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return STATUS_OK;
    return errno != 0 ? error_set_errno(error, STATUS_ENVIRONMENT, "standard output cannot be written")
                      : error_set(error, STATUS_ENVIRONMENT, "standard output cannot be written");
}

/* The share and the time left are those of all runs of the call; evaluations are in them. */
static void show_progress(struct job *job, uint64_t step)
{
    struct session *session = job->session;
    const struct training_config *training = &job->recipe.training;
    const uint32_t images = job->training->count;
    const uint64_t epoch = schedule_epoch_of(training, images, step - 1),
                   done = work_of(&job->recipe, step * training->batch_size, epoch * job->validation->count);
    char label[96], which[48] = "";
    if (session->runs > 1)
        snprintf(which, sizeof which, "run %zu of %zu, ", session->run, session->runs);
    snprintf(label, sizeof label, "%sepoch %" PRIu64 " of %" PRIu64, which, epoch + 1,
             epochs_wanted(&job->recipe, images, job->epochs));
    progress_report(&session->progress, label, step, session->work_before + done, session->work);
}

static enum status hear_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count,
                              struct error *error)
{
    struct job *job = context;
    enum status status = job->recording.steps(job->recording.context, first, results, count, error);
    if (status == STATUS_OK)
        show_progress(job, first + count);
    return status;
}

static void print_heading(void)
{
    printf("%5s %9s %9s %7s %18s %8s  %s\n", "epoch", "rate", "loss", "error %", "validation error %", "images/s",
           "weights");
}

static enum status hear_epoch(void *context, const struct epoch_report *report, const struct training_state *state,
                              struct error *error)
{
    struct job *job = context;
    enum status status = job->recording.epoch(job->recording.context, report, state, error);
    if (status != STATUS_OK)
        return status;
    const struct metrics_row *row = recorder_last(job->recorder);
    progress_clear(&job->session->progress);
    printf("%5" PRIu64 " %9g %9.6f %7.2f %18.2f %8.0f  %.16s\n", row->epoch + 1, row->learning_rate, row->training_loss,
           row->training_error, row->validation_error, row->images_per_second, row->weights_sha256);
    return check_output(error);
}

static enum status hear_interruption(void *context, const struct training_state *state, struct error *error)
{
    struct job *job = context;
    return job->recording.interrupted(job->recording.context, state, error);
}

/* A word as a shell reads it back. */
static void add_word(FILE *line, const char *word)
{
    if (word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+,:=@%~")] == '\0') {
        fprintf(line, " %s", word);
        return;
    }
    fputs(" '", line);
    for (; *word != '\0'; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){ *word, '\0' }, line);
    fputc('\'', line);
}

/* The command line that goes on with what was stopped, for the folder in which the program was started. whole: to the
 * end, whatever --epochs was. */
static void print_resume_line(const struct arguments *arguments, bool whole)
{
    char *text = NULL;
    size_t size;
    FILE *line = open_memstream(&text, &size);
    if (line == NULL)
        return;
    add_word(line, program_invocation_name);
    fputs(" train", line);
    for (size_t i = 0; i < arguments->operand_count; i++)
        add_word(line, arguments->operands[i]);
    for (size_t i = 0; arguments->command->options[i].name != NULL; i++) {
        const struct option_definition *option = &arguments->command->options[i];
        if (option->type != OPTION_FLAG && arguments->texts[i] != NULL &&
            !(whole && strcmp(option->name, "epochs") == 0)) {
            fprintf(line, " --%s", option->name);
            add_word(line, arguments->texts[i]);
        }
    }
    fputs(" --resume", line);
    if (fclose(line) == 0)
        text_line(stderr, "selfsame train: to go on:%s", text);
    free(text);
}

static void print_outcome(const struct job *job)
{
    const struct metrics_row *last = recorder_last(job->recorder);
    if (last == NULL)
        return;
    const char *mark = manifest_test_mark(job->manifest, job->validation->sha256);
    printf("\nerror:   %.2f %% (%" PRIu64 " of %" PRIu64 ") after %" PRIu64 " epoch%s%s%s\nweights: %s\nchain:   %s\n",
           last->validation_error, last->validation_errors, last->validation_images, last->epoch + 1,
           last->epoch == 0 ? "" : "s", mark != NULL ? "; " : "", mark != NULL ? mark : "", last->weights_sha256,
           last->chain_sha256);
    text_line(stdout, "record:  %s", recorder_path(job->recorder));
}

static enum status train_recorded(struct job *job, struct engine *engine, struct training_state *state,
                                  struct error *error)
{
    struct train_listener listener = { .context = job,
                                       .steps = hear_steps,
                                       .epoch = hear_epoch,
                                       .interrupted = hear_interruption,
                                       .stop_requested = stop_requested };
    job->recording = recorder_listener(job->recorder);
    text_line(stderr,
              "selfsame train: %s: depth %" PRIu32 ", %" PRIu32 " images, seed %" PRIu64 ", engine %s (%s), into %s",
              job->manifest->name, job->recipe.model.depth, job->training->count, job->recipe.training.seed,
              job->operations->name, job->operations->describe(engine), recorder_path(job->recorder));
    print_heading();
    enum status status = check_output(error);
    progress_restart(&job->session->progress);
    if (status == STATUS_OK)
        status = train(job->operations, engine, &job->recipe, job->training->count, job->validation, job->epochs, state,
                       &listener, error);
    progress_clear(&job->session->progress);
    struct error write_error;
    enum status written = recorder_finish(job->recorder, status, error->message, &write_error);
    if (status == STATUS_OK && written != STATUS_OK) {
        *error = write_error;
        return written;
    }
    if (status == STATUS_OK) {
        print_outcome(job);
        status = check_output(error);
    }
    if (status == STATUS_INTERRUPTED || status == STATUS_ENVIRONMENT)
        print_resume_line(job->arguments, false);
    const uint64_t all = schedule_epochs(&job->recipe.training, job->training->count);
    if (status == STATUS_OK && job->epochs > 0 && job->epochs < all && job->session->run == job->session->runs) {
        text_line(stderr, "selfsame train: %" PRIu64 " of the manifest's %" PRIu64 " epochs are done", job->epochs,
                  all);
        print_resume_line(job->arguments, true);
    }
    return status;
}

/* Whether, of several runs that are being resumed, this one has nothing left to do. */
static bool is_done(const struct job *job, const struct recorder_options *options)
{
    char path[FILE_PATH_BYTES];
    struct record *record;
    struct error ignored;
    if (!options->resume || job->session->runs == 1 ||
        file_path(path, &ignored, "%s/%s", options->runs, options->name) != STATUS_OK ||
        record_open_head(&record, options->runs, path, &ignored) != STATUS_OK)
        return false;
    const struct record_facts *facts = &record->facts;
    bool is = facts->state == RECORD_FINISHED && strcmp(facts->experiment_sha256, job->experiment_sha256) == 0 &&
              facts->result.epochs >= (job->epochs != 0 ? job->epochs : facts->epochs_wanted);
    record_close(record);
    return is;
}

static enum status record_and_train(struct job *job, const struct network *network, struct engine *engine,
                                    struct training_state *state, struct error *error)
{
    const struct manifest *manifest = job->manifest;
    char other_test_data[160];
    const char *notes[3] = { NULL };
    size_t note_count = 0;
    if (manifest->note[0] != '\0')
        notes[note_count++] = manifest->note;
    const char *mark = manifest_test_mark(manifest, job->validation->sha256);
    if (mark != NULL) {
        snprintf(other_test_data, sizeof other_test_data, "errors were measured on test data of SHA-256 %s, %s",
                 job->validation->sha256, mark);
        notes[note_count++] = other_test_data;
        fprintf(stderr, "selfsame train: %s\n", other_test_data);
    }
    struct recorder_options options = {
        .runs = record_runs_folder(arguments_text(job->arguments, "runs")),
        .name = job->name,
        .resume = arguments_flag(job->arguments, "resume"),
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
        .epochs = job->epochs,
        .engine_name = job->operations->name,
        .engine_description = job->operations->describe(engine),
        .engine_facts = job->operations->facts(engine),
        .engine_bytes = job->operations->memory_bytes(engine),
        .say = tell,
    };
    if (is_done(job, &options)) {
        text_line(stderr, "selfsame train: %s/%s is finished", options.runs, options.name);
        return after_run(job->session->after, options.runs, options.name, error);
    }
    enum status status = recorder_open(&job->recorder, &options, state, error);
    if (status == STATUS_OK)
        status = train_recorded(job, engine, state, error);
    recorder_close(job->recorder);
    job->recorder = NULL;
    return status == STATUS_OK ? after_run(job->session->after, options.runs, options.name, error) : status;
}

static struct engine_options engine_options(const struct arguments *arguments)
{
    return (struct engine_options){ .threads = (uint32_t)arguments_integer(arguments, "threads", 0),
                                    .isa = arguments_text(arguments, "isa") };
}

static enum status run_job(struct job *job, struct error *error)
{
    struct network *network = NULL;
    struct engine *engine = NULL;
    struct training_state state = { .step = 0 };
    const struct engine_options options = engine_options(job->arguments);
    enum status status = network_open(&network, &job->recipe.model, error);
    if (status != STATUS_OK)
        goto out;
    state.values = calloc(network->value_count, sizeof *state.values);
    state.momentum = calloc(network->value_count, sizeof *state.momentum);
    if (state.values == NULL || state.momentum == NULL) {
        status = error_out_of_memory(error, "the %zu weights of depth %" PRIu32, network->value_count,
                                     job->recipe.model.depth);
        goto out;
    }
    network_initialize(network, job->recipe.training.seed, state.values);
    status = job->operations->open(&engine, &job->recipe, network, job->training, job->validation, &options, error);
    if (status == STATUS_OK)
        status = record_and_train(job, network, engine, &state, error);
out:
    if (engine != NULL)
        job->operations->close(engine);
    free(state.values);
    free(state.momentum);
    network_close(network);
    return status;
}

/* What would be done, without data, engine or record. */
static enum status describe_job(const struct job *job, struct error *error)
{
    const struct manifest *manifest = job->manifest;
    const struct training_config *training = &job->recipe.training;
    const uint32_t images = manifest->training_images;
    const struct engine_options options = engine_options(job->arguments);
    const uint64_t all = schedule_epochs(training, images), epochs = job->epochs != 0 ? job->epochs : all;
    struct network *network = NULL;
    size_t bytes = 0;
    enum status status = network_open(&network, &job->recipe.model, error);
    if (status == STATUS_OK)
        status = engine_predict_memory(job->operations, &job->recipe, network, images, manifest->test_images, &options,
                                       &bytes, error);
    if (status == STATUS_OK) {
        text_line(stdout, "run:        %s/%s", record_runs_folder(arguments_text(job->arguments, "runs")), job->name);
        printf("experiment: %s\narithmetic: %s\n", job->experiment_sha256, arithmetic_version(job->recipe.arithmetic));
        printf("training:   depth %" PRIu32 ", %zu parameters, %" PRIu64 " of %" PRIu64 " epochs, %" PRIu64
               " steps of %" PRIu32 " images\n",
               job->recipe.model.depth, network->parameter_count, epochs, all,
               schedule_epoch_end(training, images, epochs - 1), training->batch_size);
        printf("engine:     %s, %.1f MiB (without the data sets)\n", job->operations->name, (double)bytes / 1048576.0);
        status = check_output(error);
    }
    network_close(network);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/* What stands in the way before any data is read. */
static enum status check_manifest(const struct manifest *manifest, const struct arguments *arguments,
                                  struct error *error)
{
    uint64_t epochs = arguments_integer(arguments, "epochs", 0),
             all = schedule_epochs(&manifest->recipe.training, manifest->training_images);
    if (epochs > all)
        return error_set(error, STATUS_INPUT, "--epochs %" PRIu64 ": the training of %s has %" PRIu64, epochs,
                         manifest->name, all);
    return STATUS_OK;
}

/* The manifest's name, `-exact-2` in that arithmetic (once, where the manifest's name ends with it), and the seed. */
static void name_run(const struct manifest *manifest, uint64_t seed, char *name, size_t size)
{
    static const char suffix[] = "-exact-2";
    const size_t length = strlen(manifest->name), tail = strlen(suffix);
    const bool named = length > tail && strcmp(manifest->name + length - tail, suffix) == 0;
    snprintf(name, size, "%.*s%s-seed%" PRIu64, (int)(named ? length - tail : length), manifest->name,
             manifest->recipe.arithmetic == ARITHMETIC_EXACT_2 ? suffix : "", seed);
}

/* Trains, or without data says what that would be. */
static enum status train_seed(const struct manifest *manifest, uint64_t seed,
                              const struct engine_operations *operations, const struct dataset *training,
                              const struct dataset *validation, struct session *session, struct error *error)
{
    const struct arguments *arguments = session->arguments;
    const char *name = arguments_text(arguments, "name");
    struct manifest one;
    enum status status = manifest_with_seed(manifest, seed, &one, error);
    if (status != STATUS_OK)
        return status;
    struct job job = { .arguments = arguments,
                       .session = session,
                       .manifest = &one,
                       .operations = operations,
                       .training = training,
                       .validation = validation,
                       .recipe = one.recipe,
                       .epochs = arguments_integer(arguments, "epochs", 0) };
    manifest_experiment_digest(&one, seed, job.experiment_sha256);
    if (name != NULL)
        snprintf(job.name, sizeof job.name, "%s", name);
    else
        name_run(&one, seed, job.name, sizeof job.name);
    session->run++;
    status = training != NULL ? run_job(&job, error) : describe_job(&job, error);
    session->work_before += work_of_run(&one, job.epochs);
    manifest_free(&one);
    return status;
}

static size_t seeds_of(const struct manifest *manifest, const struct arguments *arguments)
{
    return arguments_text(arguments, "seed") != NULL ? 1 : manifest->seed_count;
}

static enum status train_manifest(const struct manifest *manifest, struct session *session, struct error *error)
{
    const struct arguments *arguments = session->arguments;
    struct dataset training = { .count = 0 }, validation = { .count = 0 };
    const struct data_options data = { .place = arguments_text(arguments, "data"),
                                       .any_test_data = arguments_flag(arguments, "any-test-data") };
    const struct engine_operations *operations;
    struct manifest stating = { .name = NULL };
    const bool dry = arguments_flag(arguments, "dry-run"), one_seed = arguments_text(arguments, "seed") != NULL;
    const size_t seeds = seeds_of(manifest, arguments);
    enum status status =
        engine_choose(arguments_text(arguments, "engine"), manifest->recipe.arithmetic, &operations, error);
    if (status == STATUS_OK && !dry)
        status = data_load(manifest, &data, &training, &validation, error);
    /* The record's manifest names the data that were used, so that it trains this run again. */
    if (status == STATUS_OK && !dry && data.any_test_data && strcmp(validation.sha256, manifest->test_sha256) != 0) {
        status = manifest_with_test_data(manifest, validation.sha256, &stating, error);
        manifest = &stating;
    }
    for (size_t i = 0; i < seeds && status == STATUS_OK; i++) {
        uint64_t seed = one_seed ? arguments_integer(arguments, "seed", 0) : manifest->seeds[i];
        status =
            train_seed(manifest, seed, operations, dry ? NULL : &training, dry ? NULL : &validation, session, error);
    }
    dataset_free(&training);
    dataset_free(&validation);
    manifest_free(&stating);
    return status;
}

static enum status read_manifest(const char *path, const struct arguments *arguments, struct manifest *manifest,
                                 struct error *error)
{
    struct manifest given;
    enum arithmetic arithmetic;
    enum status status = manifest_read(path, &given, error);
    if (status != STATUS_OK)
        return status;
    arithmetic = arguments_arithmetic(arguments, given.recipe.arithmetic);
    status = manifest_with_arithmetic(&given, arithmetic, manifest, error);
    manifest_free(&given);
    return status;
}

static enum status run_train(const struct arguments *arguments, struct error *error)
{
    struct session session = { .arguments = arguments };
    size_t count = arguments->operand_count, read = 0;
    struct manifest *manifests = calloc(count, sizeof *manifests);
    if (manifests == NULL)
        return error_out_of_memory(error, "%zu manifests", count);
    enum status status = STATUS_OK;
    for (; read < count && status == STATUS_OK; read++) {
        const struct manifest *manifest = &manifests[read];
        status = read_manifest(arguments->operands[read], arguments, &manifests[read], error);
        if (status != STATUS_OK)
            break;
        status = check_manifest(manifest, arguments, error);
        session.runs += seeds_of(manifest, arguments);
        session.work +=
            seeds_of(manifest, arguments) * work_of_run(manifest, arguments_integer(arguments, "epochs", 0));
    }
    if (status == STATUS_OK && session.runs > 1 && arguments_text(arguments, "name") != NULL)
        status = error_set(error, STATUS_INPUT, "--name %s: there are %zu runs; name one at a time",
                           arguments_text(arguments, "name"), session.runs);
    if (status == STATUS_OK)
        status = after_open(&session.after, arguments_text(arguments, "after"), error);
    if (status == STATUS_OK) {
        stop_watch("\nselfsame train: stopping with a checkpoint; Ctrl-C again ends it at once\n",
                   "\nselfsame train: ended at once; --resume goes on from the last checkpoint\n");
        progress_open(&session.progress, "steps");
    }
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = train_manifest(&manifests[i], &session, error);
    after_close(session.after);
    for (size_t i = 0; i < read; i++)
        manifest_free(&manifests[i]);
    free(manifests);
    return status;
}

static const struct option_definition train_options[] = {
    OPTION_ARITHMETIC,
    OPTION_ENGINE,
    OPTION_THREADS,
    OPTION_ISA,
    { "epochs", "N", OPTION_INTEGER, 1, UINT32_MAX, NULL,
      "stop after N epochs in all, without moving their bits; default: all epochs of the manifest" },
    { "seed", "N", OPTION_INTEGER, 0, INT64_MAX, NULL,
      "train with this seed; default: each seed of the manifest in turn" },
    OPTION_DATA,
    OPTION_ANY_TEST_DATA,
    OPTION_RUNS,
    { "name", "NAME", OPTION_TEXT, 0, 0, NULL,
      "the run's name; default: the manifest's name, -exact-2 if that is the arithmetic, then -seed and the seed" },
    { "resume", NULL, OPTION_FLAG, 0, 0, NULL,
      "continue a run that was stopped, from its newest checkpoint; begin the run if it does not exist" },
    { "after", "COMMAND", OPTION_TEXT, 0, 0, NULL,
      "let the shell run COMMAND after each run, such as 'selfsame plot --name all'; the folders of the finished "
      "runs are added as arguments. If it fails, train says so and goes on" },
    { "dry-run", NULL, OPTION_FLAG, 0, 0, NULL,
      "say what would be done, and how much memory the engine would take; read no data and write nothing" },
    OPTIONS_END,
};

const struct command train_command = {
    .name = "train",
    .operands = "MANIFEST...",
    .summary = "train the networks of manifests, and record each run",
    .description = "Trains each manifest's network with each of its seeds, one after the other, and prints a line "
                   "for every epoch. A run is a folder under the runs folder. It has the resolved manifest, a record "
                   "of what computed it, a line for every epoch and every step, weights and checkpoints.\n\nWith "
                   "arithmetic: exact (which is exact-1), the same manifest and seed give the same bits. Weights, "
                   "losses and predictions do not depend on the engine (cpu or cuda), the instruction set or the "
                   "number of threads. You may resume a run on another engine. arithmetic: exact-2 promises the same "
                   "with other bits, in about half of the time; only the engine cpu computes it. With arithmetic: "
                   "fast, a run repeats its bits only on one graphics card and library version.\n\nSIGINT (Ctrl-C), "
                   "SIGTERM and SIGHUP stop it with a checkpoint. A second signal ends it at once, and the work "
                   "since the last epoch is lost. In both cases --resume continues the run, and it ends with the "
                   "bits of a run that was never stopped. If you name several runs, --resume skips those that are "
                   "finished.",
    .options = train_options,
    .examples =
        "selfsame train quick/resnet20\ta minute, without any download\nselfsame fetch msra/resnet20.yaml && "
        "selfsame train msra/resnet20.yaml\tthe replication of 2016, on CIFAR-10\nselfsame train msra/resnet20.yaml "
        "--data ~/cifar10 --resume\tcontinue after it was stopped\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_train,
};
