/* selfsame targets: runs against what their manifests say was published. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "experiments/manifest.h"
#include "results/published_run.h"
#include "results/table.h"

static const struct table_column columns[] = {
    { "run", false },       { "metric", false },   { "measured", true }, { "target", true },
    { "difference", true }, { "tolerance", true }, { "verdict", false }, { "source", false },
};

/* The metric's value so far, percent; only with at least one epoch. */
static double measured(const struct record *record, bool best)
{
    double value = record->metrics[record->epochs - 1].validation_error;
    for (size_t i = 0; best && i < record->epochs; i++)
        value = record->metrics[i].validation_error < value ? record->metrics[i].validation_error : value;
    return value;
}

/* Adds a line; false if the target is not met. */
static bool add_row(struct table *table, const struct record *record, const struct manifest_target *target)
{
    const bool whole = record->epochs > 0 && record->epochs == record->epochs_wanted;
    table_cell(table, "%s", record->name);
    table_cell(table, "%s", target->best ? "best error %" : "final error %");
    if (record->epochs == 0) {
        table_cell(table, "%s", "");
    } else {
        table_cell(table, "%.2f", measured(record, target->best));
    }
    table_cell(table, "%.2f", target->value);
    double difference = record->epochs == 0 ? INFINITY : measured(record, target->best) - target->value;
    if (record->epochs == 0)
        table_cell(table, "%s", "");
    else
        table_cell(table, "%.2f", difference);
    table_cell(table, "%.2f", target->tolerance);
    /* The difference of two-digit percentages: a hair more than the tolerance is its rounding. */
    const bool met = whole && fabs(difference) <= target->tolerance + 1e-9;
    if (whole)
        table_cell(table, "%s", met ? "met" : "missed");
    else
        table_cell(table, "unfinished: %zu of %" PRIu64 " epochs", record->epochs, record->epochs_wanted);
    table_cell(table, "%s", target->source);
    return met;
}

static enum status add_run(struct table *table, const char *runs, const char *run, size_t *targets, bool *met,
                           struct error *error)
{
    struct record *record;
    struct manifest manifest;
    enum status status = published_open(&record, runs, run, error);
    if (status != STATUS_OK)
        return status;
    status = manifest_read_text(record->manifest, strlen(record->manifest), record->path, &manifest, error);
    if (status == STATUS_OK) {
        for (size_t i = 0; i < manifest.target_count; i++)
            *met = add_row(table, record, &manifest.targets[i]) && *met;
        *targets += manifest.target_count;
        if (manifest.target_count == 0)
            fprintf(stderr, "selfsame targets: %s: its manifest %s states no targets\n", run, manifest.name);
        manifest_free(&manifest);
    }
    record_close(record);
    return status;
}

static enum status run_targets(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    enum status status = table != NULL ? STATUS_OK : error_out_of_memory(error, "a table");
    size_t targets = 0;
    bool met = true;
    for (size_t i = 0; status == STATUS_OK && i < arguments->operand_count; i++)
        status = add_run(table, runs, arguments->operands[i], &targets, &met, error);
    if (status == STATUS_OK)
        status = table_print(table, arguments_text(arguments, "format"), error);
    table_close(table);
    return status == STATUS_OK && (!met || targets == 0) ? STATUS_NO : status;
}

static const struct option_definition options[] = { OPTION_RUNS, OPTION_TABLE_FORMAT, OPTIONS_END };

const struct command targets_command = {
    .name = "targets",
    .operands = "RUN...",
    .summary = "hold runs against their manifests' published targets",
    .options = options,
    .description =
        "Prints for every target of the runs' manifests what was measured, what was published, the difference and "
        "whether it lies within the tolerance. "
        "Exit status 0: all targets are met; 1: one is missed, or a run is not finished, or there is no target at all.",
    .examples = "selfsame targets msra-resnet20-seed1\tdoes the published table hold?\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_targets,
};
