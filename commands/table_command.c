/* selfsame table: prints the table of the reproduction from records. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "commands/table_groups.h"
#include "experiments/manifest.h"
#include "plots/curve.h"
#include "results/imported.h"
#include "results/run_group.h"

/* ---- the columns ------------------------------------------------------------------------------------------------- */

enum column {
    COLUMN_RUN,
    COLUMN_DEPTH,
    COLUMN_ARITHMETIC,
    COLUMN_SEED,
    COLUMN_EPOCHS,
    COLUMN_OF,
    COLUMN_ERROR,
    COLUMN_2016,
    COLUMN_PAPER,
    COLUMN_VERDICT,
    COLUMN_CURVE,
    COLUMN_SECONDS,
    COLUMN_MEMORY,
    COLUMN_WEIGHTS,
    COLUMNS
};

/* What a column is called in JSON and CSV, on a terminal, and on a page. NULL: it is not shown there. */
static const struct {
    const char *key, *heading, *page;
    bool number;
    bool where_it_differs; /* people see it only where not all runs have the same */
    unsigned rank;         /* as in struct table_column */
} columns[COLUMNS] = {
    [COLUMN_RUN] = { "run", NULL, NULL, false, false, 0 },
    [COLUMN_DEPTH] = { "depth", "depth", "depth", true, false, 0 },
    [COLUMN_ARITHMETIC] = { "arithmetic", "arithmetic", "arithmetic", false, true, 0 },
    [COLUMN_SEED] = { "seed", "seed", "seed", true, true, 0 },
    [COLUMN_EPOCHS] = { "epochs", NULL, NULL, true, false, 0 },
    [COLUMN_OF] = { "of", NULL, NULL, true, false, 0 },
    [COLUMN_ERROR] = { "error", "error %", "our error, last epoch (%)", true, false, 0 },
    [COLUMN_2016] = { "error_2016", "2016 %", "2016 replication (%)", true, false, 0 },
    [COLUMN_PAPER] = { "error_paper", "paper %", "paper (%)", true, false, 0 },
    [COLUMN_VERDICT] = { "verdict", "verdict", "verdict", false, false, 0 },
    [COLUMN_CURVE] = { "near_curve", "curve", "epochs near the 2016 curve", false, false, 0 },
    [COLUMN_SECONDS] = { "seconds_per_epoch", "s/epoch", "seconds per epoch", true, false, 2 },
    [COLUMN_MEMORY] = { "memory_mib", "MiB", "memory (MiB)", true, false, 3 },
    [COLUMN_WEIGHTS] = { "weights", "weights", "weights digest", false, false, 1 },
};

enum format { FORMAT_TEXT, FORMAT_MARKDOWN, FORMAT_JSON, FORMAT_CSV, FORMATS };
static const char *const format_names[FORMATS] = { "text", "markdown", "json", "csv" };

static bool for_people(enum format format)
{
    return format == FORMAT_TEXT || format == FORMAT_MARKDOWN;
}

/* ---- what is in them --------------------------------------------------------------------------------------------- */

static void add_verdict(struct table *table, const struct record *record)
{
    const struct manifest_target *target = table_final_target(&record->manifest);
    if (!run_group_is_whole(record)) {
        table_cell(table, "unfinished: %zu of %" PRIu64, record->epochs, record->facts.epochs_wanted);
    } else if (target == NULL) {
        table_cell(table, "no target");
    } else {
        double difference = record->metrics[record->epochs - 1].validation_error - target->value;
        table_cell(table, "%s",
                   isnan(difference)                              ? "no error"
                   : fabs(difference) <= target->tolerance + 1e-9 ? "met"
                                                                  : "missed");
    }
}

/* The share of the epochs that are near the published curve, and which drop of the learning rate does not show. */
static enum status add_curve(struct table *table, const struct record *record, struct error *error)
{
    const struct manifest *manifest = &record->manifest;
    struct curve curve;
    struct curve_agreement agreement;
    if (manifest->curve_file == NULL) {
        table_cell(table, "%s", "");
        return STATUS_OK;
    }
    enum status status = curve_read(manifest->curve_file, manifest->curve_column, &curve, error);
    if (status != STATUS_OK)
        return status;
    curve_compare(&curve, record, &agreement);
    curve_free(&curve);
    const struct curve_drop *flat = NULL;
    for (size_t d = agreement.drop_count; d-- > 0;)
        flat = agreement.drops[d].agrees ? flat : &agreement.drops[d];
    if (agreement.compared == 0)
        table_cell(table, "%s", "");
    else if (flat != NULL)
        table_cell(table, "%.0f %%, no drop at %" PRIu64, floor(curve_share(&agreement)), flat->epoch);
    else
        table_cell(table, "%.0f %%", floor(curve_share(&agreement)));
    return STATUS_OK;
}

static enum status add_cell(struct table *table, enum column column, enum format format, const struct record *record,
                            struct error *error)
{
    const struct record_facts *facts = &record->facts;
    const struct metrics_row *last = record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
    enum status status = STATUS_OK;
    double value = NAN;
    switch (column) {
    case COLUMN_RUN:
        table_cell(table, "%s", record->name);
        break;
    case COLUMN_DEPTH:
        table_cell(table, "%" PRIu64, facts->depth);
        break;
    case COLUMN_ARITHMETIC:
        table_cell(table, "%s", imported_arithmetic(record));
        break;
    case COLUMN_SEED:
        table_cell(table, "%" PRIu64, facts->seed);
        break;
    case COLUMN_EPOCHS:
        table_cell(table, "%zu", record->epochs);
        break;
    case COLUMN_OF:
        table_cell(table, "%" PRIu64, facts->epochs_wanted);
        break;
    case COLUMN_ERROR:
        table_number(table, 2, last != NULL ? last->validation_error : NAN);
        break;
    case COLUMN_2016:
        status = table_published_error("msra", record, &value, error);
        table_number(table, 2, value);
        break;
    case COLUMN_PAPER:
        status = table_published_error("paper", record, &value, error);
        table_number(table, 2, value);
        break;
    case COLUMN_VERDICT:
        add_verdict(table, record);
        break;
    case COLUMN_CURVE:
        status = add_curve(table, record, error);
        break;
    case COLUMN_SECONDS:
        value = run_group_seconds(record->metrics, record->epochs);
        table_number(table, value < 10.0 ? 1 : 0, value);
        break;
    case COLUMN_MEMORY:
        table_number(table, 0, facts->peak_memory_bytes > 0 ? (double)facts->peak_memory_bytes / 1048576.0 : NAN);
        break;
    case COLUMN_WEIGHTS:
        table_cell(table, "%.*s", for_people(format) ? 12 : 64, last != NULL ? last->weights_sha256 : "");
        break;
    case COLUMNS:
        break;
    }
    return status;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static bool all_the_same(enum column column, struct record *const *records, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct record *a = records[0], *b = records[i];
        if (column == COLUMN_SEED ? a->facts.seed != b->facts.seed
                                  : strcmp(imported_arithmetic(a), imported_arithmetic(b)) != 0)
            return false;
    }
    return true;
}

static size_t choose_columns(enum format format, struct record *const *records, size_t count,
                             enum column chosen[COLUMNS], struct table_column headings[COLUMNS])
{
    size_t kept = 0;
    for (enum column c = 0; c < COLUMNS; c++) {
        const char *heading = format == FORMAT_TEXT       ? columns[c].heading
                              : format == FORMAT_MARKDOWN ? columns[c].page
                                                          : columns[c].key;
        if (heading == NULL || (for_people(format) && columns[c].where_it_differs && all_the_same(c, records, count)))
            continue;
        headings[kept] = (struct table_column){ heading, columns[c].number, columns[c].rank };
        chosen[kept++] = c;
    }
    return kept;
}

enum { TIMES_BYTES = 256 };

/* A line of Markdown; on a terminal, as many lines as it takes. */
static void __attribute__((format(printf, 2, 3))) note(enum format format, const char *text_format, ...)
{
    char text[1024], escaped[1024];
    va_list arguments;
    va_start(arguments, text_format);
    vsnprintf(text, sizeof text, text_format, arguments);
    va_end(arguments);
    text_escape(escaped, sizeof escaped, TEXT_TERMINAL, text);
    text_wrap(stdout, escaped, 0, 0, format == FORMAT_TEXT ? text_columns(STDOUT_FILENO) : INT_MAX);
}

/* What timed a run. */
static void describe_times(const struct record *record, char text[TIMES_BYTES])
{
    const struct record_facts *facts = &record->facts;
    snprintf(text, TIMES_BYTES, "medians of %s on %s; %s",
             facts->sessions > 1 ? "several sessions, the last" : "one session", facts->engine_description,
             facts->host_cpu);
}

static bool times_described(const struct record *record, const char *text)
{
    char own[TIMES_BYTES];
    describe_times(record, own);
    return !imported_is(record) && strcmp(own, text) == 0;
}

/* What timed the run i and all others that were timed in the same way, unless an earlier one said it. */
static void note_times(enum format format, struct record *const *records, size_t count, size_t i)
{
    char about[TIMES_BYTES], names[512] = "";
    size_t same = 0, imported = 0, used = 0;
    describe_times(records[i], about);
    for (size_t j = 0; j < count; j++) {
        imported += imported_is(records[j]);
        if (!times_described(records[j], about))
            continue;
        if (j < i)
            return;
        if (used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", same > 0 ? ", " : "", records[j]->name);
        same++;
    }
    if (used >= sizeof names)
        memcpy(names + sizeof names - 4, "...", 4);
    if (same + imported == count)
        note(format, "Times are %s.", about);
    else
        note(format, "Times of %s are %s.", names, about);
}

/* The lines below the table: the machines of its times, and notes on the data. */
static void print_notes(enum format format, struct record *const *records, size_t count)
{
    printf("%s", format == FORMAT_MARKDOWN ? "\n" : "");
    const bool same_arithmetic = count > 0 && all_the_same(COLUMN_ARITHMETIC, records, count);
    if (count > 0 && all_the_same(COLUMN_SEED, records, count))
        text_line(stdout, "Seed %" PRIu64 "%s%s.", records[0]->facts.seed, same_arithmetic ? ", arithmetic " : "",
                  same_arithmetic ? imported_arithmetic(records[0]) : "");
    for (size_t i = 0; i < count; i++) {
        const struct record_facts *facts = &records[i]->facts;
        if (imported_is(records[i])) {
            char origin[IMPORTED_ORIGIN_BYTES];
            imported_origin(records[i], origin);
            note(format, "%s: imported, not computed by selfsame: %s.", records[i]->name, origin);
            continue;
        }
        note_times(format, records, count, i);
        for (size_t n = 0; facts->data_notes != NULL && facts->data_notes[n] != NULL; n++)
            note(format, "%s: %s.", records[i]->name, facts->data_notes[n]);
    }
}

static enum status print_runs(enum format format, struct record *const *records, size_t count, struct error *error)
{
    enum column chosen[COLUMNS];
    struct table_column headings[COLUMNS];
    const size_t kept = choose_columns(format, records, count, chosen, headings);
    struct table *table = table_open(headings, kept);
    enum status status = table != NULL ? STATUS_OK : error_out_of_memory(error, "a table");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        for (size_t c = 0; status == STATUS_OK && c < kept; c++)
            status = add_cell(table, chosen[c], format, records[i], error);
    }
    if (status == STATUS_OK)
        status = table_print(table, format == FORMAT_TEXT ? "table" : format_names[format], error);
    if (status == STATUS_OK && for_people(format))
        print_notes(format, records, count);
    table_close(table);
    return status;
}

static int compare_records(const void *a, const void *b)
{
    const struct record_facts *x = &(*(struct record *const *)a)->facts, *y = &(*(struct record *const *)b)->facts;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    const int arithmetic = strcmp(x->arithmetic, y->arithmetic);
    if (arithmetic != 0)
        return arithmetic;
    return (x->seed > y->seed) - (x->seed < y->seed);
}

static enum status run_table(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs")),
               *name = arguments_text(arguments, "format"), *group = arguments_text(arguments, "group");
    const size_t count = arguments->operand_count;
    struct record **records;
    enum format format = FORMAT_TEXT;
    while (name != NULL && strcmp(name, format_names[format]) != 0)
        format++; /* it is one of them: the option's table has checked that */
    enum status status = records_open(&records, runs, arguments->operands, count, error);
    if (status == STATUS_OK) {
        qsort(records, count, sizeof *records, compare_records);
        status = group == NULL ? print_runs(format, records, count, error)
                 : strcmp(group, "seed") == 0
                     ? table_print_seeds(records, count, format == FORMAT_TEXT ? "table" : name, error)
                     : table_print_machines(records, count, format == FORMAT_TEXT ? "table" : name, error);
    }
    records_close(records, count);
    return status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|markdown|json|csv",
      "text, markdown (as in README.md), json or csv; default: text" },
    { "group", "WHAT", OPTION_CHOICE, 0, 0, "seed|machine",
      "seed: a line for all runs that differ only in their seeds, with mean, standard deviation and interval; machine: "
      "a line for each machine and depth, with the times" },
    OPTIONS_END,
};

const struct command table_command = {
    .name = "table",
    .operands = "RUN...",
    .summary = "print the table of the reproduction from records",
    .options = options,
    .description =
        "Prints a line for each run, by depth. It has the validation error after the last epoch, and what the "
        "replication of 2016 and the paper published for that depth (from experiments/msra and experiments/paper). "
        "It has the verdict on the run's own target, the median seconds per epoch, the peak memory of the process, "
        "and the digest of the weights.\n\n"
        "If the manifest names a published curve, the column \"curve\" says which share of the epochs is near it. "
        "Epoch e is near it if its error lies between the least and the largest published error of the epochs e-1 to "
        "e+1, with a margin on either side. The margin is 3 points before the first drop of the learning rate, and 1 "
        "point after it. Each drop must show in the run by at least half of its published size; if it does not, the "
        "column names it.\n\n"
        "--group seed judges each group as selfsame targets does. Runs whose weights have the same bits count once. "
        "--group machine has the median time of an epoch over the runs of one machine, one engine and one depth.\n\n"
        "If arithmetic or seed differ between the runs, they are columns. Otherwise they are below the table. JSON "
        "and CSV have all columns, and the digests in full.",
    .examples = "selfsame table msra-resnet20-seed1 msra-resnet32-seed1\ttwo depths\n"
                "selfsame table --format markdown results/published/msra-*\tfor a page\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_table,
};
