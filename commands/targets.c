/* selfsame targets: runs against what their manifests say was published. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "results/record.h"

static const struct table_column columns[] = {
    { "run", false },       { "metric", false },   { "measured", true }, { "target", true },
    { "difference", true }, { "tolerance", true }, { "verdict", false }, { "source", false },
};

enum { PROGRESS_BYTES = RECORD_STATE_BYTES + 64 };

/* The metric's value so far, percent; only with at least one epoch. */
static double measured(const struct record *record, bool best)
{
    double value = record->metrics[record->epochs - 1].validation_error;
    for (size_t i = 0; best && i < record->epochs; i++)
        value = record->metrics[i].validation_error < value ? record->metrics[i].validation_error : value;
    return value;
}

/* How far an unfinished run is: "finished 3 of 180 epochs", "stopped after 3 of 180 epochs". */
static const char *progress_text(const struct record *record, char text[PROGRESS_BYTES])
{
    char state[RECORD_STATE_BYTES];
    if (record_state(record) == RUN_FINISHED)
        snprintf(text, PROGRESS_BYTES, "%s epochs", record_state_text(record, state));
    else
        snprintf(text, PROGRESS_BYTES, "%s after %zu of %" PRIu64 " epochs", record_state_text(record, state),
                 record->epochs, record->facts.epochs_wanted);
    return text;
}

/* Adds a line; false if the target is not met. `mark`: NULL, or what the test data were instead of the data set's. */
static bool add_row(struct table *table, const struct record *record, const struct manifest_target *target,
                    const char *mark)
{
    char text[PROGRESS_BYTES];
    const bool whole = record->epochs > 0 && record->epochs == record->facts.epochs_wanted;
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
    const bool met = mark == NULL && whole && fabs(difference) <= target->tolerance + 1e-9;
    if (mark != NULL)
        table_cell(table, "not comparable: %s", mark);
    else if (whole)
        table_cell(table, "%s", met ? "met" : "missed");
    else
        table_cell(table, "unfinished: %s", progress_text(record, text));
    table_cell(table, "%s", target->source);
    return met;
}

static enum status add_run(struct table *table, const char *runs, const char *run, size_t *targets, bool *met,
                           struct error *error)
{
    struct record *record;
    enum status status = record_open(&record, runs, run, error);
    if (status != STATUS_OK)
        return status;
    const struct manifest *manifest = &record->manifest;
    const char *mark = manifest_test_mark(manifest, record->facts.validation_data_sha256);
    for (size_t i = 0; i < manifest->target_count; i++)
        *met = add_row(table, record, &manifest->targets[i], mark) && *met;
    *targets += manifest->target_count;
    if (manifest->target_count == 0)
        text_line(stderr, "selfsame targets: %s: its manifest %s states no targets", run, manifest->name);
    record_close(record);
    return STATUS_OK;
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
