/* selfsame sweep: many manifests with many seeds, as processes here or as an array of Slurm. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "commands/number_list.h"
#include "commands/sweep.h"
#include "commands/table.h"
#include "commands/train_run.h"
#include "results/record.h"

enum { SEEDS_MAX = 10000 };

/* A link to the program's file. Without a path of its own, as when the file was replaced, it can still be started. */
#define RUNNING_PROGRAM "/proc/self/exe"

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

bool sweep_task_is_finished(const struct sweep *sweep, const struct sweep_task *task)
{
    return train_run_is_finished(sweep->runs, task->name, task->experiment_sha256,
                                 arguments_integer(sweep->arguments, "epochs", 0));
}

static enum status add_tasks(struct sweep *sweep, const char *path, const struct manifest *manifest,
                             const struct number_list *seeds, struct error *error)
{
    const size_t count = sweep->task_count + seeds->count;
    struct sweep_task *tasks = realloc(sweep->tasks, count * sizeof *tasks);
    if (tasks == NULL)
        return error_out_of_memory(error, "%zu tasks", count);
    sweep->tasks = tasks;
    for (size_t i = 0; i < seeds->count; i++) {
        struct sweep_task *task = &tasks[sweep->task_count];
        *task = (struct sweep_task){ .path = path, .manifest = manifest, .seed = seeds->numbers[i] };
        train_run_default_name(manifest, task->seed, task->name);
        manifest_experiment_digest(manifest, task->seed, task->experiment_sha256);
        for (size_t j = 0; j < sweep->task_count; j++) {
            if (strcmp(tasks[j].name, task->name) == 0)
                return error_set(error, STATUS_INPUT,
                                 "two runs are called %s, of %s and of %s; name each manifest once, and give "
                                 "different manifests different names",
                                 task->name, tasks[j].path, path);
        }
        sweep->task_count++;
    }
    return STATUS_OK;
}

static enum status make_tasks(struct sweep *sweep, struct error *error)
{
    const struct arguments *arguments = sweep->arguments;
    const char *text = arguments_text(arguments, "seeds");
    static const struct number_bounds bounds = { .high = INT64_MAX, .count = SEEDS_MAX, .what = "seeds" };
    struct number_list given = { .numbers = NULL };
    enum status status = STATUS_OK;
    if (text != NULL)
        status = number_list_parse(&given, "seeds", text, &bounds, error);
    sweep->manifests = calloc(arguments->before_dashes, sizeof *sweep->manifests);
    if (status == STATUS_OK && sweep->manifests == NULL)
        status = error_out_of_memory(error, "%zu manifests", arguments->before_dashes);
    for (size_t i = 0; status == STATUS_OK && i < arguments->before_dashes; i++) {
        struct manifest *manifest = &sweep->manifests[i];
        status = train_run_read_manifest(arguments->operands[i], arguments, manifest, error);
        if (status != STATUS_OK)
            break;
        sweep->manifest_count++;
        const struct number_list own = { .numbers = manifest->seeds, .count = manifest->seed_count };
        status = add_tasks(sweep, arguments->operands[i], manifest, text != NULL ? &given : &own, error);
    }
    number_list_free(&given);
    return status;
}

static void free_tasks(struct sweep *sweep)
{
    for (size_t i = 0; i < sweep->manifest_count; i++)
        manifest_free(&sweep->manifests[i]);
    free(sweep->manifests);
    free(sweep->tasks);
}

/* ---- a task's training ------------------------------------------------------------------------------------------- */

void sweep_program(char path[FILE_PATH_BYTES])
{
    char *found = realpath(RUNNING_PROGRAM, NULL);
    snprintf(path, FILE_PATH_BYTES, "%s", found != NULL ? found : RUNNING_PROGRAM);
    free(found);
}

void sweep_train_words(const struct sweep *sweep, const struct sweep_task *task, uint32_t threads,
                       struct sweep_words *words)
{
    /* What sweep and train have in common. */
    static const struct {
        const char *name, *word;
        bool flag;
    } common[] = { { "arithmetic", "--arithmetic", false },
                   { "engine", "--engine", false },
                   { "threads", "--threads", false },
                   { "pin", "--pin", true },
                   { "isa", "--isa", false },
                   { "epochs", "--epochs", false },
                   { "data", "--data", false },
                   { "any-test-data", "--any-test-data", true },
                   { "runs", "--runs", false },
                   { "keep-checkpoints", "--keep-checkpoints", false } };
    size_t count = 0;
    snprintf(words->seed, sizeof words->seed, "%" PRIu64, task->seed);
    snprintf(words->threads, sizeof words->threads, "%" PRIu32, threads);
    const char *const first[] = { program_invocation_name, "train", "--resume", "--seed", words->seed };
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        words->list[count++] = (char *)first[i];
    if (threads > 0 && arguments_text(sweep->arguments, "threads") == NULL) {
        words->list[count++] = (char *)"--threads";
        words->list[count++] = words->threads;
    }
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) {
        const char *value = arguments_text(sweep->arguments, common[i].name);
        if (value == NULL)
            continue;
        words->list[count++] = (char *)common[i].word;
        if (!common[i].flag)
            words->list[count++] = (char *)value;
    }
    words->list[count++] = (char *)"--";
    words->list[count++] = (char *)task->path;
    words->list[count] = NULL;
}

/* --task: this process becomes the training, so that a scheduler's signals reach it. */
static enum status run_task(const struct sweep *sweep, uint64_t number, struct error *error)
{
    if (number > sweep->task_count)
        return error_set(error, STATUS_INPUT, "--task %" PRIu64 ": there are %zu tasks; --dry-run lists them", number,
                         sweep->task_count);
    const struct sweep_task *task = &sweep->tasks[number - 1];
    if (sweep_task_is_finished(sweep, task)) {
        text_line(stderr, "selfsame sweep: %s/%s is finished", sweep->runs, task->name);
        return STATUS_OK;
    }
    char program[FILE_PATH_BYTES];
    struct sweep_words words;
    sweep_program(program);
    sweep_train_words(sweep, task, 0, &words);
    fflush(stdout);
    execv(program, words.list);
    return error_set_errno(error, STATUS_ENVIRONMENT, "cannot start selfsame train (%s)", program);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

char *sweep_command_line(const struct arguments *arguments, const char *const *without, const char *also)
{
    char *text = NULL;
    size_t size;
    FILE *line = open_memstream(&text, &size);
    if (line == NULL)
        return NULL;
    arguments_write_line(line, arguments, without, also);
    if (fclose(line) == 0)
        return text;
    free(text);
    return NULL;
}

static void print_next(const struct arguments *arguments)
{
    char *line = sweep_command_line(arguments, (const char *const[]){ NULL }, NULL);
    if (line != NULL)
        text_line(stderr, "selfsame sweep: to go on: %s", line);
    free(line);
}

static const struct table_column columns[] = {
    { "task", true, 0 }, { "run", false, 0 }, { "seed", true, 0 }, { "state", false, 0 }, { "manifest", false, 1 },
};

static enum status print_tasks(const struct sweep *sweep, struct error *error)
{
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    if (table == NULL)
        return error_out_of_memory(error, "a table");
    for (size_t i = 0; i < sweep->task_count; i++) {
        const struct sweep_task *task = &sweep->tasks[i];
        table_cell(table, "%zu", i + 1);
        table_cell(table, "%s", task->name);
        table_cell(table, "%" PRIu64, task->seed);
        table_cell(table, "%s", sweep_task_is_finished(sweep, task) ? "finished" : "to do");
        table_cell(table, "%s", task->path);
    }
    enum status status = table_print(table, arguments_text(sweep->arguments, "format"), error);
    table_close(table);
    return status;
}

/* What one option asks of the others. */
static enum status check_options(const struct arguments *arguments, struct error *error)
{
    const bool slurm = arguments_flag(arguments, "slurm");
    static const char *const ways[] = { "jobs", "slurm", "task", "summary" };
    const char *first = NULL;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (arguments_text(arguments, ways[i]) == NULL)
            continue;
        if (first != NULL)
            return error_set(error, STATUS_INPUT, "--%s and --%s exclude each other", first, ways[i]);
        first = ways[i];
    }
    if (arguments->before_dashes == 0)
        return error_set(error, STATUS_INPUT, "needs MANIFEST..., before the --; selfsame sweep --help says more");
    if (!slurm && arguments->before_dashes < arguments->operand_count)
        return error_set(error, STATUS_INPUT, "'%s' follows a --: options of sbatch need --slurm",
                         arguments->operands[arguments->before_dashes]);
    if (arguments_integer(arguments, "jobs", 1) > 1 && arguments_flag(arguments, "pin"))
        return error_set(error, STATUS_INPUT,
                         "--pin and --jobs %s: the processes' threads would be kept on the same processors; leave out "
                         "one of the two",
                         arguments_text(arguments, "jobs"));
    if (!slurm && arguments_text(arguments, "template") != NULL)
        return error_set(error, STATUS_INPUT, "--template needs --slurm");
    return STATUS_OK;
}

static enum status run_sweep(const struct arguments *arguments, struct error *error)
{
    struct sweep sweep = { .arguments = arguments, .runs = record_runs_folder(arguments_text(arguments, "runs")) };
    enum status status = check_options(arguments, error);
    if (status == STATUS_OK)
        status = make_tasks(&sweep, error);
    if (status != STATUS_OK)
        goto out;
    if (arguments_flag(arguments, "slurm")) {
        status = sweep_submit(&sweep, error);
    } else if (arguments_flag(arguments, "dry-run")) {
        status = print_tasks(&sweep, error);
    } else if (arguments_text(arguments, "task") != NULL) {
        status = run_task(&sweep, arguments_integer(arguments, "task", 0), error);
    } else if (arguments_flag(arguments, "summary")) {
        status = sweep_print_summary(&sweep, error);
    } else {
        struct error problem;
        status = sweep_run_jobs(&sweep, (size_t)arguments_integer(arguments, "jobs", 1), error);
        enum status printed = sweep_print_summary(&sweep, &problem);
        if (status == STATUS_OK && printed != STATUS_OK) {
            *error = problem;
            status = printed;
        }
        if (status == STATUS_INTERRUPTED || status == STATUS_ENVIRONMENT)
            print_next(arguments);
    }
out:
    free_tasks(&sweep);
    return status;
}

static const struct option_definition options[] = {
    { "seeds", "LIST", OPTION_TEXT, 0, 0, NULL,
      "train every manifest with these seeds, such as 1-10 or 1,2,5-8; default: each manifest's own" },
    { "jobs", "N", OPTION_INTEGER, 1, 1024, NULL,
      "train here, N processes at a time, which share the processors; default: one" },
    { "slurm", NULL, OPTION_FLAG, 0, 0, NULL,
      "submit the tasks that are not finished to Slurm, as one array; what follows -- are options of sbatch" },
    { "template", "FILE", OPTION_TEXT, 0, 0, NULL,
      "the template of the array's script; default: sweep.sbatch in the experiments folder, which you can copy and "
      "change" },
    { "task", "N", OPTION_INTEGER, 1, UINT32_MAX, NULL,
      "train only task N of the list, from 1, in this process: what each task of an array does" },
    { "summary", NULL, OPTION_FLAG, 0, 0, NULL, "train nothing; print the table of what there is so far" },
    { "dry-run", NULL, OPTION_FLAG, 0, 0, NULL,
      "train nothing; print the list of tasks, or with --slurm the script that would be submitted" },
    OPTION_ARITHMETIC,
    OPTION_ENGINE,
    OPTION_THREADS,
    OPTION_PIN,
    OPTION_ISA,
    OPTION_EPOCHS,
    OPTION_DATA,
    OPTION_ANY_TEST_DATA,
    OPTION_KEEP_CHECKPOINTS,
    OPTION_RUNS,
    OPTION_TABLE_FORMAT,
    OPTIONS_END,
};

const struct command sweep_command = {
    .name = "sweep",
    .operands = "MANIFEST... [-- SBATCH_OPTION...]",
    .summary = "train many manifests with many seeds, here or on Slurm",
    .options = options,
    .description =
        "Makes one list of tasks, each manifest with each seed, and trains each task as selfsame train --resume does. "
        "A run is named and locked, and it goes on from its checkpoint. So you can give the same command again at any "
        "time: it trains what is not finished, and no step of a finished epoch twice.\n\n"
        "With --jobs N, N processes train here at a time. Each writes a log into the folder " SWEEP_FOLDER
        " of the runs folder; selfsame status shows how far the runs are. A task that fails leaves the others alone, "
        "and the exit status is that of the first that failed. If another process trains one of the runs, sweep waits "
        "for it. SIGINT (Ctrl-C), SIGTERM and SIGHUP stop all of them with checkpoints. If sweep itself is killed, its "
        "processes stop with checkpoints, too.\n\n"
        "With --slurm, sweep writes one script, " SWEEP_FOLDER "/array.sbatch in the runs folder, submits it with "
        "sbatch and ends. The runs folder must be one that all nodes share. A task that Slurm queues again goes on "
        "where it was, and a task that runs twice at a time refuses. The script comes from a template, in which you "
        "can load modules or start a container.\n\n"
        "At the end, and with --summary at any time, sweep prints every run, and for each manifest the mean and the "
        "sample standard deviation of the validation error after the last epoch, in percent. Only finished runs are "
        "in them. JSON and CSV have a row for each manifest.",
    .examples = "selfsame sweep msra/resnet20 msra/resnet32 --seeds 1-10 --jobs 2\ttwenty runs, two at a time\n"
                "selfsame sweep msra/resnet20 --seeds 1-10 --slurm -- --time=12:00:00 --cpus-per-task=8\tas an array\n"
                "selfsame sweep msra/resnet20 --seeds 1-10 --summary\twhat there is so far\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_sweep,
};
