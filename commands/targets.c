/* selfsame targets: compares runs with the published results that their manifests name. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "plots/curve.h"
#include "results/record.h"

static const struct table_column columns[] = {
    { "run", false, 0 },       { "metric", false, 0 },   { "measured", true, 0 }, { "target", true, 0 },
    { "difference", true, 2 }, { "tolerance", true, 1 }, { "verdict", false, 0 }, { "source", false, 3 },
};

/* The metric's value so far, percent; only with at least one epoch. */
static double measured(const struct record *record, bool best)
{
    double value = record->metrics[record->epochs - 1].validation_error;
    for (size_t i = 0; best && i < record->epochs; i++)
        value = record->metrics[i].validation_error < value ? record->metrics[i].validation_error : value;
    return value;
}

static void unfinished(struct table *table, const struct record *record)
{
    table_cell(table, "unfinished: %zu of %" PRIu64, record->epochs, record->facts.epochs_wanted);
}

/* Adds a line; false if the target is not met. `mark`: NULL, or what the test data were instead of the data set's. */
static bool add_row(struct table *table, const struct record *record, const struct manifest_target *target,
                    const char *mark)
{
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
        unfinished(table, record);
    table_cell(table, "%s", target->source);
    return met;
}

/* A line for the published curve, where the manifest names one: the share of the epochs that are near it. */
static enum status add_curve(struct table *table, const struct record *record, bool *met, struct error *error)
{
    const struct manifest *manifest = &record->manifest;
    const bool whole = record->epochs > 0 && record->epochs == record->facts.epochs_wanted;
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
    table_cell(table, "%s", record->name);
    table_cell(table, "near curve %%");
    if (agreement.compared > 0) {
        table_cell(table, "%.2f", share);
        table_cell(table, "%.2f", CURVE_SHARE);
        table_cell(table, "%.2f", share - CURVE_SHARE);
    } else {
        table_cell(table, "%s", "");
        table_cell(table, "%.2f", CURVE_SHARE);
        table_cell(table, "%s", "");
    }
    table_cell(table, "%s", "");
    if (!whole)
        unfinished(table, record);
    else if (!agreement.agrees && share >= CURVE_SHARE)
        table_cell(table, "missed: a drop of the learning rate does not show");
    else
        table_cell(table, "%s", agreement.agrees ? "met" : "missed");
    table_cell(table, "%s", manifest->curve_source);
    *met = *met && whole && agreement.agrees;
    return STATUS_OK;
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
        text_line(stderr, "selfsame targets: %s: its manifest %s has no targets", run, manifest->name);
    status = add_curve(table, record, met, error);
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
    .summary = "compare runs with the published targets of their manifests",
    .options = options,
    .description =
        "Prints a line for every target of the runs' manifests: what was measured, what was published, the "
        "difference, and whether it is within the tolerance. If the manifest names a published curve, one more line "
        "says which share of the epochs is near it. selfsame table --help says how that is measured.\n\n"
        "The exit status is 0 if all targets are met. It is 1 if one is missed, if a run is not finished, or if "
        "there is no target at all.",
    .examples = "selfsame targets msra-resnet20-seed1\tdoes the published table hold?\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_targets,
};
