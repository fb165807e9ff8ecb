/* selfsame runs: lists the recorded runs. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "results/record.h"

static const struct table_column columns[] = {
    { "run", false, 0 },    { "manifest", false, 5 }, { "seed", true, 4 },     { "state", false, 0 },
    { "epochs", true, 0 },  { "of", true, 0 },        { "error", true, 0 },    { "best", true, 1 },
    { "engine", false, 6 }, { "weights", false, 2 },  { "started", false, 3 },
};

static void add_row(struct table *table, const struct record *record)
{
    char state[RECORD_STATE_BYTES];
    double best = 100.0;
    for (size_t i = 0; i < record->epochs; i++)
        best = record->metrics[i].validation_error < best ? record->metrics[i].validation_error : best;
    table_cell(table, "%s", record->name);
    table_cell(table, "%s", record->facts.manifest_name);
    table_cell(table, "%" PRIu64, record->facts.seed);
    table_cell(table, "%s", record_state_text(record, state));
    table_cell(table, "%zu", record->epochs);
    table_cell(table, "%" PRIu64, record->facts.epochs_wanted);
    if (record->epochs > 0) {
        table_cell(table, "%.2f", record->metrics[record->epochs - 1].validation_error);
        table_cell(table, "%.2f", best);
    } else {
        table_cell(table, "%s", "");
        table_cell(table, "%s", "");
    }
    table_cell(table, "%s", record->facts.engine_description);
    table_cell(table, "%.16s", record->epochs > 0 ? record->metrics[record->epochs - 1].weights_sha256 : "");
    table_cell(table, "%s", record->facts.time_started);
}

static enum status run_runs(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    char **names;
    size_t count;
    enum status status = record_list(runs, &names, &count, error);
    if (status != STATUS_OK)
        return status;
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    if (table == NULL)
        status = error_out_of_memory(error, "a table");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        char path[FILE_PATH_BYTES];
        struct record *record;
        struct error problem;
        if (file_path(path, &problem, "%s/%s", runs, names[i]) != STATUS_OK ||
            record_open(&record, runs, path, &problem) != STATUS_OK) {
            text_line(stderr, "selfsame runs: left out: %s", problem.message);
            continue;
        }
        const char *mark = manifest_test_mark(&record->manifest, record->facts.validation_data_sha256);
        if (mark != NULL)
            fprintf(stderr, "selfsame runs: %s: its errors were measured on other test data: %s\n", record->name, mark);
        add_row(table, record);
        record_close(record);
    }
    if (status == STATUS_OK)
        status = table_print(table, arguments_text(arguments, "format"), error);
    table_close(table);
    record_list_free(names, count);
    return status;
}

static const struct option_definition options[] = { OPTION_RUNS, OPTION_TABLE_FORMAT, OPTIONS_END };

const struct command runs_command = {
    .name = "runs",
    .operands = "",
    .summary = "list the runs that are recorded",
    .options = options,
    .description =
        "Lists the runs of the runs folder by the names of their folders. It prints the state, the epochs done and "
        "wanted, the validation error after the last epoch and the best so far, in percent, and the start of the "
        "weights digest.\n\n"
        "A run is running while a process holds its lock. Otherwise it is stopped (train --resume continues it), "
        "finished (finished 3 of 180 if you asked for 3 epochs), or failed.\n\n"
        "Damaged records are named on standard error and left out.",
    .examples = "selfsame runs --format csv > runs.csv\tfor a spreadsheet\n",
    .operands_min = 0,
    .operands_max = 0,
    .run = run_runs,
};
