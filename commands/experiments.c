/* selfsame experiments: the manifests that there are, what each reproduces, and what it costs here. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "experiments/manifest.h"
#include "experiments/settings_places.h"
#include "results/environment.h"
#include "results/record.h"
#include "results/run_group.h"
#include "trainer/engine.h"
#include "trainer/schedule.h"

/* A run of this machine or of another, from its record's head. */
struct known_run {
    char name[RUN_NAME_BYTES], arithmetic[32], experiment[DIGEST_HEX_BYTES];
    uint64_t seed, depth, images, peak_memory_bytes;
    bool finished, here;      /* here: trained on this machine */
    double seconds_per_epoch; /* the median; NaN before the first epoch, and for other machines */
};

struct job {
    struct known_run *runs;
    size_t run_count;
    struct table *table;
    bool text;
};

/* ---- the runs that there are ------------------------------------------------------------------------------------- */

static double median_seconds(const struct record *record)
{
    char path[FILE_PATH_BYTES];
    struct metrics_lines lines;
    struct error error;
    if (file_path(path, &error, "%s/%s", record->path, METRICS_FILE) != STATUS_OK ||
        metrics_read(path, &lines, &error) != STATUS_OK)
        return NAN;
    const double median = run_group_seconds(lines.rows, lines.epochs);
    metrics_free(&lines);
    return median;
}

static void add_known(struct job *job, const struct record *record, const char *host)
{
    const struct record_facts *facts = &record->facts;
    struct known_run *run = &job->runs[job->run_count++];
    *run = (struct known_run){ .seed = facts->seed,
                               .depth = facts->depth,
                               .images = facts->training_images,
                               .peak_memory_bytes = facts->peak_memory_bytes,
                               .finished =
                                   record_state(record) == RUN_FINISHED && facts->result.epochs == facts->epochs_wanted,
                               .here = host[0] != '\0' && strcmp(facts->host_name, host) == 0,
                               .seconds_per_epoch = NAN };
    snprintf(run->name, sizeof run->name, "%s", record->name);
    snprintf(run->arithmetic, sizeof run->arithmetic, "%s", facts->arithmetic);
    snprintf(run->experiment, sizeof run->experiment, "%s", facts->experiment_sha256);
    if (run->here)
        run->seconds_per_epoch = median_seconds(record);
}

static enum status find_runs(struct job *job, const char *runs, struct error *error)
{
    struct environment environment;
    char **names;
    size_t count;
    enum status status = record_list(runs, &names, &count, error);
    if (status != STATUS_OK)
        return status;
    environment_read(&environment);
    job->runs = calloc(count + 1, sizeof *job->runs);
    if (job->runs == NULL)
        status = error_out_of_memory(error, "%zu runs", count);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        char path[FILE_PATH_BYTES];
        struct record *record;
        struct error problem;
        if (file_path(path, &problem, "%s/%s", runs, names[i]) != STATUS_OK ||
            record_open_head(&record, runs, path, &problem) != STATUS_OK) {
            text_line(stderr, "selfsame experiments: left out: %s", problem.message);
            continue;
        }
        add_known(job, record, environment.host);
        record_close(record);
    }
    record_list_free(names, count);
    return status;
}

/* ---- one manifest ------------------------------------------------------------------------------------------------ */

struct cost {
    double seconds, bytes;        /* of one run; NaN: not known */
    const struct known_run *from; /* whose epochs were timed; NULL: nobody's */
    bool seconds_guessed, bytes_guessed;
    size_t runs, finished; /* of this manifest's seeds, wherever they were trained */
};

static bool is_of(const struct known_run *run, const struct manifest *manifest)
{
    char hex[DIGEST_HEX_BYTES];
    manifest_experiment_digest(manifest, run->seed, hex);
    return strcmp(hex, run->experiment) == 0;
}

/* What a run's epochs cost: its images times its layers. All convolutions of a 6n+2 network but the first have as many
 * multiply-adds, so this is true to 1 or 2 %. */
static double work(uint64_t images, uint64_t depth)
{
    return (double)images * ((double)depth - 2.0);
}

/* The time from a run of this manifest here, or else estimated from the run here whose depth is nearest. */
static struct cost cost_of(const struct job *job, const struct manifest *manifest)
{
    const uint64_t depth = manifest->recipe.model.depth;
    const double epochs = (double)schedule_epochs(&manifest->recipe.training, manifest->training_images);
    struct cost cost = { .seconds = NAN, .bytes = NAN };
    for (size_t i = 0; i < job->run_count; i++) {
        const struct known_run *run = &job->runs[i];
        const bool own = is_of(run, manifest);
        cost.runs += own;
        cost.finished += own && run->finished;
        if (!run->here || isnan(run->seconds_per_epoch) ||
            strcmp(run->arithmetic, arithmetic_version(manifest->recipe.arithmetic)) != 0)
            continue;
        const double ratio = work(manifest->training_images, depth) / work(run->images, run->depth);
        if (cost.from != NULL && (!own || !cost.seconds_guessed) &&
            fabs(log(ratio)) >=
                fabs(log(work(manifest->training_images, depth) / work(cost.from->images, cost.from->depth))))
            continue;
        cost.from = run;
        cost.seconds_guessed = !own;
        cost.seconds = run->seconds_per_epoch * (own ? 1.0 : ratio) * epochs;
        if (own && run->peak_memory_bytes > 0)
            cost.bytes = (double)run->peak_memory_bytes;
    }
    return cost;
}

/* What the engine will allocate, and the data. */
static void predict_memory(const struct manifest *manifest, struct cost *cost)
{
    const struct engine_operations *operations;
    struct network *network;
    struct error error;
    size_t bytes = 0;
    if (!isnan(cost->bytes) || engine_choose(NULL, manifest->recipe.arithmetic, &operations, &error) != STATUS_OK ||
        operations->predict_memory == NULL || network_open(&network, &manifest->recipe.model, &error) != STATUS_OK)
        return;
    const struct engine_options options = { .threads = 0 };
    if (engine_predict_memory(operations, &manifest->recipe, network, manifest->training_images, manifest->test_images,
                              &options, &bytes, &error) == STATUS_OK &&
        bytes > 0) {
        cost->bytes = (double)bytes + (double)DATASET_RECORD_BYTES *
                                          ((double)manifest->training_images + (double)manifest->test_images);
        cost->bytes_guessed = true;
    }
    network_close(network);
}

static void duration(char *text, size_t size, double seconds)
{
    if (seconds < 90.0)
        snprintf(text, size, "%.0f s", seconds);
    else if (seconds < 90.0 * 60.0)
        snprintf(text, size, "%.0f min", seconds / 60.0);
    else if (seconds < 48.0 * 3600.0)
        snprintf(text, size, "%.1f h", seconds / 3600.0);
    else
        snprintf(text, size, "%.1f days", seconds / 86400.0);
}

static const struct table_column people_columns[] = {
    { "manifest", false, 0 }, { "time", true, 0 }, { "MiB", true, 1 }, { "run", false, 0 }, { "reproduces", false, 0 },
};
static const struct table_column script_columns[] = {
    { "manifest", false, 0 },   { "name", false, 0 },         { "reproduces", false, 0 },  { "depth", true, 0 },
    { "arithmetic", false, 0 }, { "epochs", true, 0 },        { "target", true, 0 },       { "tolerance", true, 0 },
    { "seconds", true, 0 },     { "seconds_from", false, 0 }, { "seconds_are", false, 0 }, { "memory_mib", true, 0 },
    { "memory_is", false, 0 },  { "runs", true, 0 },          { "finished", true, 0 },
};

static void add_text_row(struct table *table, const char *path, const struct manifest *manifest,
                         const struct cost *cost)
{
    const struct manifest_target *target = manifest->target_count > 0 ? &manifest->targets[0] : NULL;
    char time[32];
    duration(time, sizeof time, cost->seconds);
    table_cell(table, "%s", path);
    table_cell_if(table, !isnan(cost->seconds), "%s%s", cost->seconds_guessed ? "~ " : "", time);
    table_cell_if(table, !isnan(cost->bytes), "%s%.0f", cost->bytes_guessed ? "~ " : "", cost->bytes / 1048576.0);
    if (cost->runs == cost->finished)
        table_cell_if(table, cost->runs > 0, "%zu", cost->runs);
    else
        table_cell(table, "%zu of %zu", cost->finished, cost->runs);
    if (target != NULL)
        table_cell(table, "%s: %.2f %% +- %.2f", manifest->description, target->value, target->tolerance);
    else
        table_cell(table, "%s", manifest->description);
}

static void add_script_row(struct table *table, const char *path, const struct manifest *manifest,
                           const struct cost *cost)
{
    const struct manifest_target *target = manifest->target_count > 0 ? &manifest->targets[0] : NULL;
    const bool timed = !isnan(cost->seconds), sized = !isnan(cost->bytes);
    table_cell(table, "%s", path);
    table_cell(table, "%s", manifest->name);
    table_cell(table, "%s", manifest->description);
    table_cell(table, "%" PRIu32, manifest->recipe.model.depth);
    table_cell(table, "%s", arithmetic_version(manifest->recipe.arithmetic));
    table_cell(table, "%" PRIu64, schedule_epochs(&manifest->recipe.training, manifest->training_images));
    table_cell_if(table, target != NULL, "%.2f", target != NULL ? target->value : 0.0);
    table_cell_if(table, target != NULL, "%.2f", target != NULL ? target->tolerance : 0.0);
    table_cell_if(table, timed, "%.1f", cost->seconds);
    table_cell_if(table, timed, "%s", timed ? cost->from->name : "");
    table_cell_if(table, timed, "%s", cost->seconds_guessed ? "estimated" : "measured");
    table_cell_if(table, sized, "%.1f", cost->bytes / 1048576.0);
    table_cell_if(table, sized, "%s", cost->bytes_guessed ? "estimated" : "measured");
    table_cell(table, "%zu", cost->runs);
    table_cell(table, "%zu", cost->finished);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* Whether the user asked for it: by its path, its folder, or the beginning of either. */
static bool is_wanted(const struct arguments *arguments, const char *path)
{
    for (size_t i = 0; i < arguments->operand_count; i++) {
        if (strncmp(path, arguments->operands[i], strlen(arguments->operands[i])) == 0)
            return true;
    }
    return arguments->operand_count == 0;
}

static size_t add_manifests(struct job *job, const struct arguments *arguments, const struct names *names,
                            bool *guessed, bool *unknown)
{
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++) {
        struct manifest manifest;
        struct error error;
        bool there;
        /* A file that is there to be inherited from is no whole manifest. */
        if (!is_wanted(arguments, names->list[i]) ||
            manifest_read_installed(names->list[i], &manifest, &there, &error) != STATUS_OK || !there)
            continue;
        struct cost cost = cost_of(job, &manifest);
        predict_memory(&manifest, &cost);
        if (job->text)
            add_text_row(job->table, names->list[i], &manifest, &cost);
        else
            add_script_row(job->table, names->list[i], &manifest, &cost);
        *guessed = *guessed || cost.seconds_guessed || cost.bytes_guessed;
        *unknown = *unknown || isnan(cost.seconds);
        manifest_free(&manifest);
        count++;
    }
    return count;
}

static enum status run_experiments(const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    struct job job = { .text = format == NULL || strcmp(format, "table") == 0 };
    struct names names;
    bool guessed = false, unknown = false;
    enum status status = settings_names(&names, error);
    if (status != STATUS_OK)
        return status;
    status = find_runs(&job, record_runs_folder(arguments_text(arguments, "runs")), error);
    if (status == STATUS_OK) {
        job.table = job.text ? table_open(people_columns, sizeof people_columns / sizeof *people_columns)
                             : table_open(script_columns, sizeof script_columns / sizeof *script_columns);
        if (job.table == NULL)
            status = error_out_of_memory(error, "a table");
    }
    if (status == STATUS_OK && add_manifests(&job, arguments, &names, &guessed, &unknown) == 0)
        status = error_set(error, STATUS_INPUT, "there is no such manifest in %s",
                           settings_folder() != NULL ? settings_folder() : "any experiments folder");
    if (status == STATUS_OK)
        status = table_print(job.table, format, error);
    if (status == STATUS_OK && job.text && guessed)
        printf("~ is an estimate: the time in proportion to a run here, the memory by\n"
               "what the engine will allocate.\n");
    if (status == STATUS_OK && job.text && unknown)
        printf("No time: no run of that arithmetic here. selfsame bench MANIFEST times a step.\n");
    table_close(job.table);
    free(job.runs);
    names_free(&names);
    return status;
}

static const struct option_definition options[] = { OPTION_RUNS, OPTION_TABLE_FORMAT, OPTIONS_END };

const struct command experiments_command = {
    .name = "experiments",
    .operands = "[NAME...]",
    .summary = "list the manifests that there are, and what they cost here",
    .options = options,
    .description =
        "Lists the manifests of the experiments folder, or those whose paths begin with NAME: what each reproduces, "
        "its first target, the time and memory of one run here, and how many of its runs are in the runs folder (\"1 "
        "of 2\": one of two is finished). Files that only others inherit from are left out.\n\n"
        "The time is that of this machine's own runs: the median epoch of a run of the same manifest, times its "
        "epochs. If there is none, it is an estimate, marked with ~, from the run here whose work is nearest. Work is "
        "the number of images times the number of layers. Runs of another arithmetic say nothing about the time, so "
        "it may be unknown; then selfsame bench MANIFEST times a step.\n\n"
        "The memory is the peak of such a run. If there is none, it is an estimate: what the engine will allocate, "
        "and the data.",
    .examples = "selfsame experiments\tall of them\n"
                "selfsame experiments msra quick\tof two folders\n",
    .operands_min = 0,
    .operands_max = SIZE_MAX,
    .run = run_experiments,
};
