/* selfsame targets: compares runs with the published results that their manifests name. results/target.c judges. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "plots/curve.h"
#include "results/target.h"

enum column {
    COLUMN_RUN,
    COLUMN_N,
    COLUMN_METRIC,
    COLUMN_MEASURED,
    COLUMN_SD,
    COLUMN_LOW,
    COLUMN_HIGH,
    COLUMN_TARGET,
    COLUMN_DIFFERENCE,
    COLUMN_TOLERANCE,
    COLUMN_P,
    COLUMN_VERDICT,
    COLUMN_JUDGED_BY,
    COLUMN_BECAUSE,
    COLUMN_SOURCE,
    COLUMNS
};

/* In the table for people there are those of a group only where there is one; the sentences are below the table. */
static const struct {
    struct table_column column;
    enum { ALWAYS, OF_GROUPS, FOR_SCRIPTS } shown;
} columns[COLUMNS] = {
    [COLUMN_RUN] = { { "run", false, 0 }, ALWAYS },
    [COLUMN_N] = { { "n", true, 2 }, OF_GROUPS },
    [COLUMN_METRIC] = { { "metric", false, 0 }, ALWAYS },
    [COLUMN_MEASURED] = { { "measured", true, 0 }, ALWAYS },
    [COLUMN_SD] = { { "sd", true, 1 }, OF_GROUPS },
    [COLUMN_LOW] = { { "low", true, 5 }, FOR_SCRIPTS },
    [COLUMN_HIGH] = { { "high", true, 5 }, FOR_SCRIPTS },
    [COLUMN_TARGET] = { { "target", true, 0 }, ALWAYS },
    [COLUMN_DIFFERENCE] = { { "difference", true, 3 }, ALWAYS },
    [COLUMN_TOLERANCE] = { { "tolerance", true, 1 }, ALWAYS },
    [COLUMN_P] = { { "p", true, 3 }, FOR_SCRIPTS },
    [COLUMN_VERDICT] = { { "verdict", false, 0 }, ALWAYS },
    [COLUMN_JUDGED_BY] = { { "judged_by", false, 4 }, FOR_SCRIPTS },
    [COLUMN_BECAUSE] = { { "because", false, 5 }, FOR_SCRIPTS },
    [COLUMN_SOURCE] = { { "source", false, 4 }, ALWAYS },
};

/* One line of the table, as it will be shown. */
struct line {
    char cells[COLUMNS][1024];
};

struct job {
    struct table *table;
    struct table_column headings[COLUMNS];
    enum column chosen[COLUMNS];
    size_t chosen_count;
    bool text;
    const struct manifest *other; /* --by: its targets instead of the runs' own; or NULL */
    struct line *sentences;       /* of `sentence_count` lines the name, the verdict and the reason */
    size_t sentence_count, targets;
    bool met;
};

static void __attribute__((format(printf, 3, 4))) put(struct line *line, enum column column, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line->cells[column], sizeof line->cells[column], format, arguments);
    va_end(arguments);
}

static void put_number(struct line *line, enum column column, int digits, double value)
{
    number_text(line->cells[column], sizeof line->cells[column], digits, value);
}

static void add_line(struct job *job, const struct line *line)
{
    for (size_t c = 0; c < job->chosen_count; c++)
        table_cell(job->table, "%s", line->cells[job->chosen[c]]);
}

/* ---- a group of runs --------------------------------------------------------------------------------------------- */

static enum status add_target(struct job *job, const struct run_group *group, const struct manifest *owner,
                              const struct manifest_target *target, struct error *error)
{
    static const char *const protocols[] = {
        [PROTOCOL_MEAN] = "", [PROTOCOL_MEDIAN] = "median ", [PROTOCOL_BEST] = "best run's "
    };
    struct judgement j;
    struct line line = { .cells = { "" } };
    enum status status = target_judge(group, owner, target, &j, error);
    if (status != STATUS_OK)
        return status;
    run_group_name(group, line.cells[COLUMN_RUN], sizeof line.cells[COLUMN_RUN]);
    put(&line, COLUMN_N, "%zu", group->count);
    put(&line, COLUMN_METRIC, "%s%s error %%", protocols[target->protocol], target->best ? "best" : "final");
    put_number(&line, COLUMN_MEASURED, 2, j.measured);
    put_number(&line, COLUMN_SD, 3, j.sample.sd);
    put_number(&line, COLUMN_LOW, 2, j.interval.low);
    put_number(&line, COLUMN_HIGH, 2, j.interval.high);
    put_number(&line, COLUMN_TARGET, 2, target->value);
    put_number(&line, COLUMN_DIFFERENCE, 2, j.difference);
    put_number(&line, COLUMN_TOLERANCE, 2, target->tolerance);
    if (isfinite(j.test.p))
        put(&line, COLUMN_P, "%.6g", j.test.p);
    put(&line, COLUMN_VERDICT, "%s%s%s", target_verdict_name(j.verdict), j.detail[0] != '\0' ? ": " : "", j.detail);
    put(&line, COLUMN_JUDGED_BY, "%s", owner->name);
    put(&line, COLUMN_BECAUSE, "%s", j.because);
    put(&line, COLUMN_SOURCE, "%s", target->source);
    add_line(job, &line);
    job->met = job->met && target_reproduced(j.verdict);
    job->targets++;
    if (j.detail[0] == '\0')
        job->sentences[job->sentence_count++] = line;
    return STATUS_OK;
}

/* A line for the published curve, where the manifest names one: the share of the epochs that are near it. */
static enum status add_curve(struct job *job, const struct record *record, struct error *error)
{
    const struct manifest *manifest = &record->manifest;
    const bool whole = run_group_is_whole(record);
    struct line line = { .cells = { "" } };
    struct curve curve;
    struct curve_agreement agreement;
    if (manifest->curve_file == NULL)
        return STATUS_OK;
    enum status status = curve_read(manifest->curve_file, manifest->curve_column, &curve, error);
    if (status != STATUS_OK)
        return status;
    curve_compare(&curve, record, &agreement);
    curve_free(&curve);
    const double share = curve_share(&agreement);
    put(&line, COLUMN_RUN, "%s", record->name);
    put(&line, COLUMN_N, "1");
    put(&line, COLUMN_METRIC, "near curve %%");
    put_number(&line, COLUMN_TARGET, 2, CURVE_SHARE);
    if (agreement.compared > 0) {
        put_number(&line, COLUMN_MEASURED, 2, share);
        put_number(&line, COLUMN_DIFFERENCE, 2, share - CURVE_SHARE);
    }
    if (!whole)
        put(&line, COLUMN_VERDICT, "unfinished: %zu of %" PRIu64, record->epochs, record->facts.epochs_wanted);
    else if (!agreement.agrees && share >= CURVE_SHARE)
        put(&line, COLUMN_VERDICT, "missed: a drop of the learning rate does not show");
    else
        put(&line, COLUMN_VERDICT, "%s", agreement.agrees ? "met" : "missed");
    put(&line, COLUMN_JUDGED_BY, "%s", manifest->name);
    put(&line, COLUMN_SOURCE, "%s", manifest->curve_source);
    add_line(job, &line);
    job->met = job->met && whole && agreement.agrees;
    return STATUS_OK;
}

static enum status add_group(struct job *job, const struct run_group *group, struct error *error)
{
    const struct manifest *own = &group->records[0]->manifest, *owner = job->other != NULL ? job->other : own;
    struct line *more =
        realloc(job->sentences, (job->sentence_count + owner->target_count + 1) * sizeof *job->sentences);
    if (more == NULL)
        return error_out_of_memory(error, "%zu targets", owner->target_count);
    job->sentences = more;
    if (group->repeats > 0)
        text_line(stderr, "selfsame targets: %zu run%s left out: the weights have the same bits as another run's",
                  group->repeats, group->repeats == 1 ? " was" : "s were");
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < owner->target_count; i++)
        status = add_target(job, group, owner, &owner->targets[i], error);
    if (owner->target_count == 0)
        text_line(stderr, "selfsame targets: %s: its manifest %s has no targets", group->records[0]->shown, own->name);
    for (size_t i = 0; status == STATUS_OK && job->other == NULL && i < group->count; i++)
        status = add_curve(job, group->records[i], error);
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static void choose_columns(struct job *job, bool groups)
{
    for (enum column c = 0; c < COLUMNS; c++) {
        if (job->text && columns[c].shown != ALWAYS && (columns[c].shown == FOR_SCRIPTS || !groups))
            continue;
        job->headings[job->chosen_count] = columns[c].column;
        job->chosen[job->chosen_count++] = c;
    }
}

static void print_sentences(const struct job *job)
{
    const int width = text_columns(STDOUT_FILENO);
    char text[4 * sizeof job->sentences->cells[0] + 16], escaped[sizeof text];
    for (size_t i = 0; i < job->sentence_count; i++) {
        const struct line *line = &job->sentences[i];
        snprintf(text, sizeof text, "%s, %s: %s: %s.", line->cells[COLUMN_RUN], line->cells[COLUMN_METRIC],
                 line->cells[COLUMN_VERDICT], line->cells[COLUMN_BECAUSE]);
        text_escape(escaped, sizeof escaped, TEXT_TERMINAL, text);
        printf("%s", i == 0 ? "\n" : "");
        text_wrap(stdout, escaped, 2, 0, width);
    }
    if (job->other != NULL)
        text_fact(stdout, 0, "These are the targets of %s, not those of the runs' own manifests.", job->other->name);
}

static enum status judge(struct job *job, const struct arguments *arguments, struct record *const *records,
                         struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    struct run_group *groups;
    size_t count;
    bool several = false;
    enum status status = run_groups_make(records, arguments->operand_count, job->other == NULL, &groups, &count, error);
    for (size_t g = 0; g < count; g++)
        several = several || groups[g].count > 1;
    job->text = format == NULL || strcmp(format, "table") == 0;
    choose_columns(job, several);
    if (status == STATUS_OK) {
        job->table = table_open(job->headings, job->chosen_count);
        status = job->table != NULL ? STATUS_OK : error_out_of_memory(error, "a table");
    }
    for (size_t g = 0; status == STATUS_OK && g < count; g++)
        status = add_group(job, &groups[g], error);
    if (status == STATUS_OK)
        status = table_print(job->table, format, error);
    if (status == STATUS_OK && job->text)
        print_sentences(job);
    run_groups_free(groups, count);
    return status;
}

static enum status run_targets(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs")), *by = arguments_text(arguments, "by");
    const size_t count = arguments->operand_count;
    struct record **records = NULL;
    struct manifest other;
    struct job job = { .met = true };
    enum status status = by != NULL ? manifest_read(by, &other, error) : STATUS_OK;
    job.other = status == STATUS_OK && by != NULL ? &other : NULL;
    if (status == STATUS_OK)
        status = records_open(&records, runs, arguments->operands, count, error);
    if (status == STATUS_OK)
        status = judge(&job, arguments, records, error);
    records_close(records, count);
    if (job.other != NULL)
        manifest_free(&other);
    table_close(job.table);
    free(job.sentences);
    return status == STATUS_OK && (!job.met || job.targets == 0) ? STATUS_NO : status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "by", "MANIFEST", OPTION_TEXT, 0, 0, NULL,
      "judge by the targets of this manifest instead of the runs' own; the output says so" },
    OPTION_TABLE_FORMAT,
    OPTIONS_END,
};

const struct command targets_command = {
    .name = "targets",
    .operands = "RUN...",
    .summary = "compare runs with the published targets of their manifests",
    .options = options,
    .description =
        "Judges runs by every target of their manifests. Runs that differ only in their seeds are judged together, by "
        "their mean. Below the table, a sentence for each target has the numbers that decided. Runs whose weights have "
        "the same bits are one computation, and count once.\n\n"
        "The verdict is one of these:\n\n"
        "met: the difference is within the target's tolerance.\n\n"
        "within-spread: it is larger, but a t test at a level of 5 % cannot tell the two means apart. One of the two "
        "spreads must be known: that of several runs here, or the target's own (n and sd in the manifest). A target "
        "that does not state its n is a single run. The sentence says which difference such a test would see. If that "
        "is "
        "more than five times the tolerance, there are too few runs, and the target is missed.\n\n"
        "missed: neither. Exit status 1.\n\n"
        "unfinished: a run is not done, or there are fewer runs than the best of n needs. Exit status 1.\n\n"
        "not-comparable: the runs were measured on other images, have another depth, or are more than the best of n "
        "allows. Exit status 1.\n\n"
        "A target's protocol says what its value is of n runs: the mean, the median or the best. Only means get a t "
        "test. If the target states its spread, a mean can also be too good: below the bound of MLPerf's one-sided "
        "test for reference convergence points. The sentence says so.\n\n"
        "If the manifest names a published curve, one more line for each run says which share of the epochs is near "
        "it. selfsame table --help says how that is measured.\n\n"
        "A run's manifest is part of its record, so its targets cannot be moved after the run. The exit status is 0 if "
        "all targets are met or within the spread, and 1 otherwise, or if there is no target at all.",
    .examples = "selfsame targets msra-resnet20-seed1\tdoes the published table hold?\n"
                "selfsame targets runs/msra-resnet20-seed*\tfor the mean of several seeds\n"
                "selfsame targets msra-resnet20-seed1 --by paper/resnet20.yaml\tby the paper's numbers\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_targets,
};
