/* selfsame train: for each manifest and seed, connects the manifest, the data, an engine and a record, one run after
 * the other or several at a time. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/build_info.h"
#include "base/file.h"
#include "base/float_environment.h"
#include "base/hash.h"
#include "base/machine.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/train_run.h"
#include "commands/with_ranks.h"
#include "experiments/manifest.h"
#include "trainer/engine.h"
#include "trainer/schedule.h"

/* ---- going on later ---------------------------------------------------------------------------------------------- */

/* The command line that continues the stopped runs, from the folder in which the program was started. whole: to the
 * end, without --epochs. */
static void print_resume_line(const struct arguments *arguments, bool ranks, bool whole)
{
    char *text = NULL;
    size_t size;
    FILE *line = open_memstream(&text, &size);
    if (line == NULL)
        return;
    arguments_write_line(line, arguments, (const char *const[]){ "resume", whole ? "epochs" : NULL, NULL }, "resume");
    if (fclose(line) == 0)
        text_line(stderr, "selfsame train: to go on%s: %s", ranks ? ", with any number of ranks" : "", text);
    free(text);
}

/* Whether one of the runs has begun. Before that there is nothing to go on with, and the error says what to do. */
static bool have_begun(const struct train_run *runs, size_t count, const struct arguments *arguments)
{
    char folder[FILE_PATH_BYTES];
    struct error ignored;
    for (size_t i = 0; i < count; i++) {
        if (file_path(folder, &ignored, "%s/%s", record_runs_folder(arguments_text(arguments, "runs")), runs[i].name) ==
                STATUS_OK &&
            file_is_folder(folder))
            return true;
    }
    return false;
}

/* What to do next, where something is left to do: after a stop the same again, after --epochs the rest. */
static void print_next(const struct train_run *runs, size_t count, const struct train_session *session,
                       enum status status)
{
    const struct arguments *arguments = session->arguments;
    const bool ranks = session->ranks != NULL;
    if (status == STATUS_INTERRUPTED || status == STATUS_ENVIRONMENT) {
        if (have_begun(runs, count, arguments))
            print_resume_line(arguments, ranks, false);
    } else if (status == STATUS_OK && count > 0) {
        const struct manifest *last = runs[count - 1].manifest;
        const uint64_t all = schedule_epochs(&last->recipe.training, last->training_images),
                       epochs = train_run_epochs(arguments, last);
        if (epochs < all) {
            text_line(stderr, "selfsame train: %" PRIu64 " of the manifest's %" PRIu64 " epochs are done", epochs, all);
            print_resume_line(arguments, ranks, true);
        }
    }
}

/* ---- the runs of a call ------------------------------------------------------------------------------------------ */

/* Runs, and the threads that take one after the other. */
struct queue {
    struct train_session *session;
    struct train_run *runs;
    size_t count, next;
    size_t failed;      /* runs that ended with an error, a stop left aside */
    enum status status; /* the first error's; STATUS_INTERRUPTED where there is none and a signal came */
    struct error error;
};

/* NULL after the last one, or if no more are to begin. */
static struct train_run *take(struct queue *queue)
{
    struct train_run *run = NULL;
    pthread_mutex_lock(&queue->session->lock);
    const bool alone = queue->session->together == 1;
    if (queue->next < queue->count && !(alone && queue->status != STATUS_OK) && !train_stop_requested(queue->session))
        run = &queue->runs[queue->next++];
    pthread_mutex_unlock(&queue->session->lock);
    return run;
}

/* Of several runs at a time, one that fails leaves the others alone: its error is printed here. */
static void note(struct queue *queue, const struct train_run *run, enum status status, const struct error *error)
{
    if (status == STATUS_OK)
        return;
    struct train_session *session = queue->session;
    pthread_mutex_lock(&session->lock);
    if (queue->status == STATUS_OK || (queue->status == STATUS_INTERRUPTED && status != STATUS_INTERRUPTED)) {
        queue->status = status;
        queue->error = *error;
    }
    queue->failed += status != STATUS_INTERRUPTED;
    if (session->together > 1) {
        progress_clear(&session->progress);
        text_line(stderr, "selfsame train: %s: %s", run->name, error->message);
    }
    pthread_mutex_unlock(&session->lock);
}

static void *train_runs(void *context)
{
    struct queue *queue = context;
    const struct float_environment saved = float_environment_enter();
    for (struct train_run *run; (run = take(queue)) != NULL;) {
        struct error error;
        note(queue, run, train_run_train(run, &error), &error);
    }
    float_environment_leave(saved);
    return NULL;
}

/* With this thread among them. Where the system gives fewer, those do all the work. */
static void train_together(struct queue *queue, pthread_t *threads)
{
    size_t started = 0;
    while (started + 1 < queue->session->together && pthread_create(&threads[started], NULL, train_runs, queue) == 0)
        started++;
    train_runs(queue);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static enum status train_all(struct queue *queue, struct error *error)
{
    struct train_session *session = queue->session;
    pthread_t *threads = calloc(session->together, sizeof *threads);
    if (threads == NULL)
        return error_out_of_memory(error, "%zu threads", session->together);
    if (train_leads(session))
        stop_watch("\nselfsame train: stopping with a checkpoint; Ctrl-C again ends it at once\n",
                   "\nselfsame train: ended at once; --resume goes on from the last checkpoint\n");
    else
        stop_watch(NULL, NULL);
    progress_open(&session->progress, "steps");
    train_together(queue, threads);
    free(threads);
    progress_clear(&session->progress);
    *error = queue->error;
    if (session->together > 1 && queue->failed > 0)
        return error_set(error, queue->status, "%zu of %zu runs ended with an error, and %zu are finished",
                         queue->failed, queue->count, session->finished);
    if ((session->together > 1 && queue->status == STATUS_INTERRUPTED) ||
        (queue->status == STATUS_OK && queue->next < queue->count))
        return error_set(error, STATUS_INTERRUPTED, "stopped on request; %zu of %zu runs are finished",
                         session->finished, queue->count);
    return queue->status;
}

static enum status describe_all(const struct queue *queue, struct error *error)
{
    enum status status = STATUS_OK;
    size_t bytes, most = 0;
    for (size_t i = 0; i < queue->count && status == STATUS_OK; i++) {
        status = train_run_describe(&queue->runs[i], &bytes, error);
        most = bytes > most ? bytes : most;
    }
    if (status == STATUS_OK && queue->session->together > 1)
        text_fact(stdout, 12, "together:   %zu at a time, at most %.1f MiB\n", queue->session->together,
                  (double)most * (double)queue->session->together / 1048576.0);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static size_t seeds_of(const struct manifest *manifest, const struct arguments *arguments)
{
    return arguments_text(arguments, "seed") != NULL ? 1 : manifest->seed_count;
}

/* The runs of a manifest: one for each seed, in that order. */
static enum status add_runs(struct queue *queue, const struct manifest *manifest, struct error *error)
{
    struct train_session *session = queue->session;
    const struct arguments *arguments = session->arguments;
    const struct engine_operations *operations;
    const size_t seeds = seeds_of(manifest, arguments);
    enum status status =
        engine_choose(arguments_text(arguments, "engine"), manifest->recipe.arithmetic, &operations, error);
    if (status == STATUS_OK)
        status = ranks_check_engine(session->ranks, operations, error);
    if (status != STATUS_OK)
        return status;
    struct train_run *runs = realloc(queue->runs, (queue->count + seeds) * sizeof *runs);
    if (runs == NULL)
        return error_out_of_memory(error, "%zu runs", queue->count + seeds);
    queue->runs = runs;
    for (size_t i = 0; i < seeds; i++) {
        struct train_run *run = &runs[queue->count++];
        *run = (struct train_run){ .session = session,
                                   .manifest = manifest,
                                   .seed = arguments_integer(arguments, "seed", manifest->seeds[i]),
                                   .number = queue->count,
                                   .operations = operations };
        if (arguments_text(arguments, "name") != NULL)
            snprintf(run->name, sizeof run->name, "%s", arguments_text(arguments, "name"));
        else
            train_run_default_name(manifest, run->seed, run->name);
        session->work += train_run_work(arguments, manifest);
    }
    return shared_data_expect(session->data, manifest, seeds, error);
}

/* A line of --mlflow, from its thread. */
static void tell_mlflow(void *context, const char *message)
{
    struct train_session *session = context;
    pthread_mutex_lock(&session->lock);
    progress_clear(&session->progress);
    text_line(stderr, "selfsame train: %s", message);
    pthread_mutex_unlock(&session->lock);
}

/* Of what the runs compute: their names, experiments and epochs. */
static enum status digest_runs(const struct queue *queue, char digest[DIGEST_HEX_BYTES], struct error *error)
{
    char *text = NULL;
    size_t size;
    FILE *list = open_memstream(&text, &size);
    if (list == NULL)
        return error_out_of_memory(error, "%zu runs", queue->count);
    for (size_t i = 0; i < queue->count; i++) {
        const struct train_run *run = &queue->runs[i];
        manifest_experiment_digest(run->manifest, run->seed, digest);
        fprintf(list, "%s %s %" PRIu64 "\n", run->name, digest,
                train_run_epochs(queue->session->arguments, run->manifest));
    }
    if (fclose(list) != 0)
        return error_out_of_memory(error, "%zu runs", queue->count);
    sha256_hex(text, size, digest);
    free(text);
    return STATUS_OK;
}

/* Ranks may read their manifests on different hosts. Their runs must be the same, by the same program. */
static enum status check_same_runs(const struct queue *queue, struct error *error)
{
    struct ranks *ranks = queue->session->ranks;
    char digest[DIGEST_HEX_BYTES];
    enum status status = ranks_agree(ranks, digest_runs(queue, digest, error), NULL, error);
    if (status == STATUS_OK)
        status = ranks_check_same(ranks, build_version, "another version of selfsame",
                                  "start the same program on every host", error);
    if (status == STATUS_OK)
        status = ranks_check_same(ranks, digest, "another manifest or other options",
                                  "give every rank the same command and the same files", error);
    return ranks_agree(ranks, status, NULL, error);
}

/* How many at a time, and what that asks of the runs. */
static enum status plan(struct queue *queue, struct error *error)
{
    struct train_session *session = queue->session;
    const char *name = arguments_text(session->arguments, "name");
    const uint64_t together = arguments_integer(session->arguments, "together", 1);
    const char *keep = arguments_text(session->arguments, "keep-checkpoints");
    if (keep != NULL && strcmp(keep, "all") != 0 &&
        (strlen(keep) > 6 || strspn(keep, "0123456789") != strlen(keep) || strtoull(keep, NULL, 10) == 0))
        return error_set(error, STATUS_INPUT, "--keep-checkpoints %s is neither all nor a number from 1 on", keep);
    session->runs = queue->count;
    session->together = together < queue->count ? (size_t)together : queue->count;
    if (session->ranks != NULL && session->together > 1)
        return error_set(error, STATUS_INPUT,
                         "--together %" PRIu64 ": ranks train one run at a time; leave it out, or start one process",
                         together);
    if (arguments_flag(session->arguments, "pin") && session->ranks != NULL && ranks_here(session->ranks) > 1 &&
        !machine_processors_bound())
        return error_set(error, STATUS_INPUT,
                         "--pin: the %" PRIu32 " ranks on this machine would keep their threads on the same "
                         "processors; have mpirun bind them, such as with --bind-to core, or leave out --pin",
                         ranks_here(session->ranks));
    if (session->together > 1 && arguments_flag(session->arguments, "pin"))
        return error_set(error, STATUS_INPUT,
                         "--pin and --together %zu: the runs' threads would be kept on the same processors; leave out "
                         "one of the two",
                         session->together);
    if (name != NULL && queue->count > 1)
        return error_set(error, STATUS_INPUT, "--name %s: there are %zu runs; name one at a time", name, queue->count);
    for (size_t i = 0; i < queue->count && session->together > 1; i++) {
        enum { NAME_WIDTH_MOST = 32 };
        const int length = (int)strlen(queue->runs[i].name),
                  width = length < NAME_WIDTH_MOST ? length : NAME_WIDTH_MOST;
        session->name_width = width > session->name_width ? width : session->name_width;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(queue->runs[i].name, queue->runs[j].name) == 0)
                return error_set(error, STATUS_INPUT, "two of the runs are called %s; name each run once",
                                 queue->runs[i].name);
        }
    }
    return STATUS_OK;
}

static enum status run_train(const struct arguments *arguments, struct error *error)
{
    const struct data_options data = { .place = arguments_text(arguments, "data"),
                                       .any_test_data = arguments_flag(arguments, "any-test-data") };
    struct train_session session = { .arguments = arguments };
    struct queue queue = { .session = &session };
    const size_t count = arguments->operand_count;
    size_t read = 0;
    struct manifest *manifests = calloc(count, sizeof *manifests);
    if (manifests == NULL)
        return error_out_of_memory(error, "%zu manifests", count);
    pthread_mutex_init(&session.lock, NULL);
    pthread_mutex_init(&session.opening, NULL);
    pthread_mutex_init(&session.after_lock, NULL);
    enum status status = ranks_open(&session.ranks, error);
    if (status == STATUS_OK)
        status = shared_data_open(&session.data, &data, error);
    for (; read < count && status == STATUS_OK; read++) {
        status = train_run_read_manifest(arguments->operands[read], arguments, &manifests[read], error);
        if (status != STATUS_OK)
            break;
        status = add_runs(&queue, &manifests[read], error);
    }
    if (status == STATUS_OK)
        status = plan(&queue, error);
    if (status == STATUS_OK)
        status = after_open(&session.after, arguments_text(arguments, "after"), error);
    status = ranks_agree(session.ranks, status, NULL, error);
    if (status == STATUS_OK && session.ranks != NULL)
        status = check_same_runs(&queue, error);
    const bool leads = train_leads(&session);
    if (status == STATUS_OK && arguments_flag(arguments, "dry-run")) {
        status = leads ? describe_all(&queue, error) : STATUS_OK;
    } else if (status == STATUS_OK) {
        if (leads)
            status = train_mlflow_open(&session.mlflow, arguments_text(arguments, "mlflow"), queue.count, tell_mlflow,
                                       &session, error);
        status = ranks_agree(session.ranks, status, NULL, error);
        if (status == STATUS_OK)
            status = train_all(&queue, error);
        train_mlflow_close(session.mlflow);
        if (leads)
            print_next(queue.runs, queue.count, &session, status);
    }
    after_close(session.after);
    shared_data_close(session.data);
    pthread_mutex_destroy(&session.after_lock);
    pthread_mutex_destroy(&session.opening);
    pthread_mutex_destroy(&session.lock);
    free(queue.runs);
    for (size_t i = 0; i < read; i++)
        manifest_free(&manifests[i]);
    free(manifests);
    return ranks_leave(session.ranks, "train", status, error);
}

static const struct option_definition train_options[] = {
    OPTION_ARITHMETIC,
    OPTION_ENGINE,
    OPTION_THREADS,
    OPTION_PIN,
    OPTION_ISA,
    OPTION_EPOCHS,
    { "seed", "N", OPTION_INTEGER, 0, INT64_MAX, NULL,
      "train with this seed; default: each seed of the manifest in turn" },
    OPTION_DATA,
    OPTION_ANY_TEST_DATA,
    OPTION_RUNS,
    { "name", "NAME", OPTION_TEXT, 0, 0, NULL,
      "the run's name; default: the manifest's name, -exact-2 if that is the arithmetic, then -seed and the seed" },
    { "resume", NULL, OPTION_FLAG, 0, 0, NULL,
      "continue a run that was stopped, from its newest checkpoint; begin the run if it does not exist" },
    OPTION_KEEP_CHECKPOINTS,
    { "together", "N", OPTION_INTEGER, 1, 64, NULL,
      "train N runs at a time, each with an engine of its own; default: one. The bits do not depend on it" },
    { "after", "COMMAND", OPTION_TEXT, 0, 0, NULL,
      "let the shell run COMMAND after each run, such as 'selfsame plot --name all'; the folders of the finished "
      "runs are added as arguments. If it fails, train says so and goes on" },
    { "mlflow", "URL", OPTION_TEXT, 0, 0, NULL,
      "send each run to this MLflow server after every epoch, as selfsame export does. A server that is away neither "
      "stops nor slows the training; it gets the rest later" },
    { "dry-run", NULL, OPTION_FLAG, 0, 0, NULL,
      "say what would be done, and how much memory the engine would take; read no data and write nothing" },
    OPTIONS_END,
};

const struct command train_command = {
    .name = "train",
    .operands = "MANIFEST...",
    .summary = "train the networks of manifests, and record each run",
    .description =
        "Trains each manifest's network with each of its seeds, one after the other, and prints a line for every "
        "epoch. A run is a folder under the runs folder. It has the resolved manifest, a record of what computed it, "
        "a line for every epoch and every step, weights and checkpoints.\n\n"
        "With arithmetic: exact (which is exact-1), the same manifest and seed give the same bits. Weights, losses "
        "and predictions do not depend on the engine (cpu or cuda), the instruction set or the number of threads. "
        "You may resume a run on another engine. arithmetic: exact-2 promises the same with other bits, in about "
        "half of the time; only the engine cpu computes it. With arithmetic: fast, a run repeats its bits only on "
        "one graphics card and library version.\n\n"
        "SIGINT (Ctrl-C), SIGTERM and SIGHUP stop it with a checkpoint. A second signal ends it at once, and the "
        "work since the last epoch is lost. In both cases --resume continues the run, and it ends with the bits of a "
        "run that was never stopped. If you name several runs, --resume skips those that are finished.\n\n"
        "If mpirun, mpiexec or srun starts the program several times, these processes (ranks) train one run together "
        "on the engine cpu, each with --threads threads. The bits are those of one process. Rank 0 alone prints and "
        "writes. The default of --threads is all processors that the launcher gave to a rank; ranks of one host that "
        "may use all of its processors divide them. If a rank ends, all do, and --resume continues the run with any "
        "number of ranks. Open MPI gives ranks a second to stop; if a step takes longer, set "
        "OMPI_MCA_odls_base_sigkill_timeout to more seconds, or the work since the last epoch is lost. "
        "SELFSAME_MPI_MODULE names another module for MPI than the launcher's.\n\n"
        "A small network leaves much of a large graphics card idle: --together trains several runs on it at a time. "
        "On a CPU they share the processors. A run that fails leaves the others alone. The exit status is that of "
        "the first run that failed.",
    .options = train_options,
    .examples =
        "selfsame train quick/resnet20\ta minute, without any download\n"
        "selfsame fetch msra/resnet20.yaml && selfsame train msra/resnet20.yaml\tthe replication of 2016, on "
        "CIFAR-10\n"
        "selfsame train msra/resnet20.yaml --data ~/cifar10 --resume\tcontinue after it was stopped\n"
        "selfsame train msra/resnet20.yaml msra/resnet32.yaml --engine cuda --together 2\ttwo runs on one card\n"
        "mpirun -n 4 selfsame train msra/resnet20.yaml\tone run, by four processes\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_train,
};
