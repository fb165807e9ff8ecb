/* selfsame sweep: what came of the tasks. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/sweep.h"
#include "commands/table.h"
#include "results/record.h"
#include "results/statistics.h"

static const struct table_column run_columns[] = {
    { "run", false, 0 },  { "state", false, 0 }, { "epochs", true, 0 },   { "of", true, 1 },
    { "error", true, 0 }, { "best", true, 2 },   { "weights", false, 3 },
};

static const struct table_column manifest_columns[] = {
    { "manifest", false, 0 }, { "arithmetic", false, 1 }, { "runs", true, 0 },   { "finished", true, 0 },
    { "mean", true, 0 },      { "sd", true, 0 },          { "lowest", true, 0 }, { "highest", true, 0 },
};

/* A task's record, or NULL if it has none, or has one that is damaged, which is said if `says`. */
static struct record *open_task(const struct sweep *sweep, const struct sweep_task *task, bool says, bool *damaged)
{
    char path[FILE_PATH_BYTES];
    struct record *record;
    struct error error;
    *damaged = false;
    if (file_path(path, &error, "%s/%s", sweep->runs, task->name) != STATUS_OK || !file_exists(path))
        return NULL;
    if (record_open(&record, sweep->runs, path, &error) == STATUS_OK)
        return record;
    if (says)
        text_line(stderr, "selfsame sweep: left out: %s", error.message);
    *damaged = true;
    return NULL;
}

static void add_run(struct table *table, const struct sweep *sweep, const struct sweep_task *task)
{
    char state[RECORD_STATE_BYTES];
    bool damaged;
    struct record *record = open_task(sweep, task, true, &damaged);
    table_cell(table, "%s", task->name);
    if (record == NULL) {
        table_cell(table, damaged ? "damaged" : "not begun");
        for (size_t i = 2; i < sizeof run_columns / sizeof *run_columns; i++)
            table_cell(table, "%s", "");
        return;
    }
    const struct record_facts *facts = &record->facts;
    const bool any = facts->result.epochs > 0;
    table_cell(table, "%s", record_state_text(record, state));
    table_cell(table, "%" PRIu64, facts->result.epochs);
    table_cell(table, "%" PRIu64, facts->epochs_wanted);
    table_cell_if(table, any, "%.2f", facts->result.last.validation_error);
    table_cell_if(table, any, "%.2f", facts->result.best_validation_error);
    table_cell(table, "%.16s", any ? facts->result.last.weights_sha256 : "");
    const char *mark = manifest_test_mark(task->manifest, facts->validation_data_sha256);
    if (mark != NULL)
        text_line(stderr, "selfsame sweep: %s: its errors were measured on other test data: %s", task->name, mark);
    record_close(record);
}

/* The errors of a manifest's finished runs, into values[tasks]. Returns how many there are. */
static size_t read_errors(const struct sweep *sweep, const struct manifest *manifest, bool says, double *values)
{
    bool damaged;
    size_t count = 0;
    for (size_t i = 0; i < sweep->task_count; i++) {
        const struct sweep_task *task = &sweep->tasks[i];
        if (task->manifest != manifest || !sweep_task_is_finished(sweep, task))
            continue;
        struct record *record = open_task(sweep, task, says, &damaged);
        if (record != NULL)
            values[count++] = record->facts.result.last.validation_error;
        record_close(record);
    }
    return count;
}

static enum status add_manifest(struct table *table, const struct sweep *sweep, const struct manifest *manifest,
                                bool says, struct error *error)
{
    struct summary sample = { .n = 0 };
    double lowest = INFINITY, highest = -INFINITY, *values = calloc(sweep->task_count + 1, sizeof *values);
    size_t runs = 0;
    if (values == NULL)
        return error_out_of_memory(error, "%zu errors", sweep->task_count);
    for (size_t i = 0; i < sweep->task_count; i++)
        runs += sweep->tasks[i].manifest == manifest;
    const size_t count = read_errors(sweep, manifest, says, values);
    if (count > 0)
        sample = summary_of(values, count);
    for (size_t i = 0; i < count; i++) {
        lowest = fmin(lowest, values[i]);
        highest = fmax(highest, values[i]);
    }
    free(values);
    table_cell(table, "%s", manifest->name);
    table_cell(table, "%s", arithmetic_version(manifest->recipe.arithmetic));
    table_cell(table, "%zu", runs);
    table_cell(table, "%zu", count);
    table_cell_if(table, count > 0, "%.2f", sample.mean);
    table_cell_if(table, count > 1, "%.3f", sample.sd);
    table_cell_if(table, count > 0, "%.2f", lowest);
    table_cell_if(table, count > 0, "%.2f", highest);
    return STATUS_OK;
}

enum status sweep_print_summary(const struct sweep *sweep, struct error *error)
{
    const char *format = arguments_text(sweep->arguments, "format");
    const bool text = format == NULL || strcmp(format, "table") == 0;
    struct table *runs = table_open(run_columns, sizeof run_columns / sizeof *run_columns),
                 *manifests = table_open(manifest_columns, sizeof manifest_columns / sizeof *manifest_columns);
    enum status status = runs != NULL && manifests != NULL ? STATUS_OK : error_out_of_memory(error, "a table");
    for (size_t i = 0; status == STATUS_OK && text && i < sweep->task_count; i++)
        add_run(runs, sweep, &sweep->tasks[i]);
    for (size_t i = 0; status == STATUS_OK && i < sweep->manifest_count; i++)
        status = add_manifest(manifests, sweep, &sweep->manifests[i], !text, error);
    if (status == STATUS_OK && text)
        status = table_print(runs, format, error);
    if (status == STATUS_OK && text)
        putchar('\n');
    if (status == STATUS_OK)
        status = table_print(manifests, format, error);
    table_close(manifests);
    table_close(runs);
    return status;
}
