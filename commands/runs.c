/* selfsame runs: lists the recorded runs. */
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/progress.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "commands/runs_grouped.h"
#include "fetch/store.h"
#include "results/run_index.h"

/* ---- the index --------------------------------------------------------------------------------------------------- */

struct reading {
    struct progress progress;
    double begun_s;
};

/* Said only where it takes long. */
static void report_reading(void *context, size_t done, size_t total)
{
    struct reading *reading = context;
    if (clock_seconds() - reading->begun_s > 1.0)
        progress_report(&reading->progress, "reading the runs", done, done, total);
}

static void print_problem(void *context, const char *problem)
{
    (void)context;
    text_line(stderr, "selfsame runs: left out: %s", problem);
}

/* Without a place for its file, the index does without. */
static enum status open_index(struct run_index **index, const char *runs, struct error *error)
{
    struct reading reading = { .begun_s = clock_seconds() };
    struct store store;
    struct error ignored;
    const bool has_store = store_open(&store, NULL, &ignored) == STATUS_OK;
    progress_open(&reading.progress, "runs");
    enum status status = run_index_open(index, runs, has_store ? store.folder : NULL, report_reading, &reading, error);
    progress_clear(&reading.progress);
    return status == STATUS_OK ? run_index_problems(*index, print_problem, NULL, error) : status;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

struct listing {
    struct table *table;
    const struct run_query *query;
};

static void add_cell(struct table *table, const struct run_column *column, const struct run_value *value)
{
    if (!value->present)
        table_text(table, "", 0);
    else if (column->type == RUN_COLUMN_INTEGER)
        table_integer(table, value->integer);
    else if (column->type == RUN_COLUMN_REAL)
        table_number(table, (int)column->digits, value->real);
    else
        table_text(table, value->text, column->type == RUN_COLUMN_DIGEST ? column->digits : SIZE_MAX);
}

static void add_row(void *context, const char *run, const char *mark, const struct run_value *values)
{
    const struct listing *listing = context;
    if (mark != NULL)
        text_line(stderr, "selfsame runs: %s: its errors were measured on other test data: %s", run, mark);
    for (size_t i = 0; i < listing->query->column_count; i++)
        add_cell(listing->table, listing->query->columns[i], &values[i]);
}

static enum status list_runs(struct run_index *index, const struct run_query *query, bool chosen, const char *format,
                             struct error *error)
{
    struct table_column columns[QUERY_COLUMNS_MAX];
    for (size_t i = 0; i < query->column_count; i++) {
        const enum run_column_type type = query->columns[i]->type;
        columns[i] = (struct table_column){ .name = query->headings[i],
                                            .number = type == RUN_COLUMN_INTEGER || type == RUN_COLUMN_REAL,
                                            .rank = chosen ? 0 : query->columns[i]->rank };
    }
    struct listing listing = { .table = table_open(columns, query->column_count), .query = query };
    if (listing.table == NULL)
        return error_out_of_memory(error, "a table");
    enum status status = run_index_select(index, query, add_row, &listing, error);
    if (status == STATUS_OK)
        status = table_print(listing.table, format, error);
    table_close(listing.table);
    return status;
}

/* The table of groups has columns and an order of its own. */
static enum status check_group(const struct arguments *arguments, struct error *error)
{
    static const char *const others[] = { "columns", "sort" };
    for (size_t i = 0; i < 2; i++) {
        if (arguments_text(arguments, "group") != NULL && arguments_text(arguments, others[i]) != NULL)
            return error_set(error, STATUS_INPUT, "--group has its own columns and order; leave out --%s", others[i]);
    }
    return STATUS_OK;
}

static enum status run_runs(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs")),
               *columns = arguments_text(arguments, "columns"), *where = arguments_text(arguments, "where"),
               *format = arguments_text(arguments, "format");
    struct run_index *index = NULL;
    struct run_query query;
    enum status status = run_query_parse(&query, where, arguments_text(arguments, "sort"), columns, error);
    if (status == STATUS_OK)
        status = check_group(arguments, error);
    if (status == STATUS_OK)
        status = open_index(&index, runs, error);
    if (status == STATUS_OK && arguments_text(arguments, "group") != NULL)
        status = print_grouped_runs(index, where, format, error);
    else if (status == STATUS_OK)
        status = list_runs(index, &query, columns != NULL, format, error);
    run_index_close(index);
    run_query_free(&query);
    return status;
}

static const struct option_definition options[] = {
    { "where", "EXPRESSION", OPTION_TEXT, 0, 0, NULL,
      "list only the runs for which the expression is true, such as \"depth = 20 and error < 8.5\"" },
    { "sort", "COLUMN[:desc],...", OPTION_TEXT, 0, 0, NULL,
      "sort by these columns; runs without the value come last; default: run" },
    { "columns", "COLUMN,...", OPTION_TEXT, 0, 0, NULL, "show these columns; all shows all of them" },
    { "group", "seed", OPTION_CHOICE, 0, 0, "seed",
      "print a row for all runs that differ in the seed alone: mean, deviation and 95 % interval of the error" },
    OPTION_RUNS,
    OPTION_TABLE_FORMAT,
    OPTIONS_END,
};

const struct command runs_command = {
    .name = "runs",
    .operands = "",
    .summary = "list, filter and sort the runs that are recorded",
    .options = options,
    .description =
        "Lists the runs of the runs folder by the names of their folders. It prints the state, the epochs done and "
        "wanted, the validation error after the last epoch and the best so far, in percent, and the start of the "
        "weights digest.\n\n"
        "A run is running while a process holds its lock. Otherwise it is stopped (train --resume continues it), "
        "finished (finished 3 of 180 if you asked for 3 epochs), or failed.\n\n"
        "The columns are run (or name), manifest, seed, state, epochs (epoch), of, error (val_error), best "
        "(best_error), engine, weights, started; and depth, parameters, arithmetic, train_error, loss (train_loss), "
        "val_loss, steps (step), experiment, recipe, data, test_data, experiment_sha256, weights_sha256, failure, "
        "version, compiler, host, cpu, updated, wall_seconds, sessions, images_per_s, peak_memory, path, tags (tag), "
        "note. Errors are in percent, and losses are means over an epoch. The recipe is the same for runs that differ "
        "in the seed alone.\n\n"
        "An expression compares a column with a value: =, !=, <, <=, >, >=, and for texts also like (% stands for any "
        "text, _ for a character), contains, not like and not contains. Texts are in single or double quotes; a "
        "doubled quote is one. A digest is compared by its first digits. tag = 'paper' is true if one of the tags is "
        "paper. Join comparisons with and, or, not and parentheses. A comparison with a value that a run does not "
        "have is false.\n\n"
        "--group seed puts runs together that have the same recipe and as many epochs. It prints how many runs there "
        "are, n, and of their errors the mean, the standard deviation (n - 1) and the 95 % interval of the mean by "
        "Student's t. Runs of one seed with the same weights are one computation, and count once in n.\n\n"
        "What was read is kept in an index in the store's folder (selfsame help fetch), so that only runs whose files "
        "changed are read again. You may delete the index at any time.\n\n"
        "Damaged records are named on standard error and left out.",
    .examples = "selfsame runs --where \"depth = 20 and error < 8.5 and tag = 'paper'\" --sort error\n"
                "selfsame runs --where \"state = 'stopped'\" --columns run,epochs,of,updated\n"
                "selfsame runs --group seed --where \"depth = 20\"\n"
                "selfsame runs --format csv > runs.csv\tfor a spreadsheet\n",
    .operands_min = 0,
    .operands_max = 0,
    .run = run_runs,
};
