/* selfsame status: how far the runs are, and whether their processes are still running. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/follow.h"
#include "commands/table.h"
#include "results/imported.h"
#include "results/record.h"
#include "results/run_progress.h"

/* What one look at the runs found. */
struct look {
    size_t running; /* a process is at them */
    size_t shown;
    size_t finished; /* and not shown, since nobody named them */
};

static const char *rate_text(double steps_per_s, char text[48])
{
    if (steps_per_s <= 0.0)
        snprintf(text, 48, "rate not known yet");
    else if (steps_per_s < 1.0)
        snprintf(text, 48, "%.1f s a step", 1.0 / steps_per_s);
    else
        snprintf(text, 48, "%.1f steps/s", steps_per_s);
    return text;
}

/* "missing" for what an imported run does not have. */
static const char *percent(double value, char text[24])
{
    if (isnan(value))
        return "missing";
    snprintf(text, 24, "%.2f %%", value);
    return text;
}

/* The newest validation errors, the last one first, and the best. */
static void print_errors(const struct record *record)
{
    enum { ERRORS_SHOWN = 5 };
    const size_t epochs = record->epochs;
    if (epochs == 0) {
        puts("  no epoch is complete yet");
        return;
    }
    const struct metrics_row *last = &record->metrics[epochs - 1];
    char validation[24], training[24], best[24];
    printf("  validation error %s, training error %s, best %s", percent(last->validation_error, validation),
           percent(last->training_error, training), percent(record->facts.result.best_validation_error, best));
    if (record->facts.result.best_epoch != METRICS_MISSING)
        printf(" after epoch %" PRIu64, record->facts.result.best_epoch + 1);
    putchar('\n');
    if (epochs < 2)
        return;
    fputs("  before that", stdout);
    for (size_t i = 1; i < epochs && i <= ERRORS_SHOWN; i++) {
        const double before = record->metrics[epochs - 1 - i].validation_error;
        if (isnan(before))
            printf("%s missing", i > 1 ? "," : "");
        else
            printf("%s %.2f", i > 1 ? "," : "", before);
    }
    puts(" %");
}

static void print_run(const struct record *record)
{
    char state[RECORD_STATE_BYTES], left[PROGRESS_TIME_BYTES], age[PROGRESS_TIME_BYTES], rate[48];
    const bool running = record_state(record) == RUN_RUNNING;
    struct run_progress progress;
    run_progress_read(record, &progress);
    const bool written = progress.age_s >= 0.0;
    text_fact(stdout, 2, "%s: %s%s%s%s", record->name, record_state_text(record, state),
              written ? ", last written " : "", written ? progress_time(progress.age_s, age) : "",
              written ? " ago" : "");
    printf("  epoch %" PRIu64 " of %" PRIu64, progress.epoch, record->facts.epochs_wanted);
    if (!imported_is(record) || progress.step > 0)
        printf(", step %" PRIu64 " of %" PRIu64, progress.step, record->facts.steps_wanted);
    if (record_state(record) != RUN_FINISHED && !imported_is(record))
        printf(", %s", rate_text(progress.steps_per_s, rate));
    if (progress.left_s >= 0.0 && !imported_is(record) && progress.step < record->facts.steps_wanted)
        printf(", %s %s", running ? "left" : "to do", progress_time(progress.left_s, left));
    putchar('\n');
    if (record->facts.ranks_description != NULL)
        text_line(stdout, "  %s", record->facts.ranks_description);
    print_errors(record);
    if (record_state(record) == RUN_FAILED)
        text_fact(stdout, 2, "  %s", record->facts.failure);
}

static const struct table_column columns[] = {
    { "run", false, 0 },       { "state", false, 0 },
    { "epoch", true, 0 },      { "epochs", true, 0 },
    { "of", true, 0 },         { "step", true, 0 },
    { "steps", true, 0 },      { "steps_per_s", true, 0 },
    { "left_s", true, 0 },     { "age_s", true, 0 },
    { "error", true, 0 },      { "training_error", true, 0 },
    { "best_error", true, 0 }, { "weights_sha256", false, 0 },
};

static void add_number(struct table *table, bool known, int digits, double value)
{
    if (known && !isnan(value))
        table_cell(table, "%.*f", digits, value);
    else
        table_cell(table, "%s", "");
}

static void add_row(struct table *table, const struct record *record)
{
    char state[RECORD_STATE_BYTES];
    struct run_progress progress;
    const struct metrics_row *last = record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
    run_progress_read(record, &progress);
    table_cell(table, "%s", record->name);
    table_cell(table, "%s", record_state_text(record, state));
    table_cell(table, "%" PRIu64, progress.epoch);
    table_cell(table, "%zu", record->epochs);
    table_cell(table, "%" PRIu64, record->facts.epochs_wanted);
    table_cell(table, "%" PRIu64, progress.step);
    table_cell(table, "%" PRIu64, record->facts.steps_wanted);
    add_number(table, progress.steps_per_s > 0.0, 3, progress.steps_per_s);
    add_number(table, progress.left_s >= 0.0, 0, progress.left_s);
    add_number(table, progress.age_s >= 0.0, 0, progress.age_s);
    add_number(table, last != NULL, 2, last != NULL ? last->validation_error : 0.0);
    add_number(table, last != NULL, 2, last != NULL ? last->training_error : 0.0);
    add_number(table, last != NULL, 2, record->facts.result.best_validation_error);
    table_cell(table, "%s", last != NULL ? last->weights_sha256 : "");
}

/* Shows one run, in the table or, where that is NULL, at once. */
static enum status show_run(const char *runs, const char *run, bool named, struct table *table, struct look *look,
                            struct error *error)
{
    struct record *record;
    enum status status = record_open(&record, runs, run, error);
    if (status != STATUS_OK)
        return status;
    const enum run_state state = record_state(record);
    look->running += state == RUN_RUNNING;
    if (!named && (state == RUN_FINISHED || state == RUN_IMPORTED)) {
        look->finished++;
    } else {
        look->shown++;
        if (table != NULL)
            add_row(table, record);
        else
            print_run(record);
    }
    record_close(record);
    return STATUS_OK;
}

/* Those that are not finished, of the runs folder. A process may be writing the files just now, and others may be
 * damaged: these are named and left out. */
static enum status show_all(const char *runs, struct table *table, struct look *look, struct error *error)
{
    char **names;
    size_t count;
    enum status status = record_list(runs, &names, &count, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        char path[FILE_PATH_BYTES];
        struct error problem;
        if (file_path(path, &problem, "%s/%s", runs, names[i]) != STATUS_OK ||
            show_run(runs, path, false, table, look, &problem) != STATUS_OK)
            text_line(stderr, "selfsame status: left out: %s", problem.message);
    }
    record_list_free(names, count);
    return STATUS_OK;
}

static enum status look_at(const struct arguments *arguments, struct look *look, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs")),
               *format = arguments_text(arguments, "format");
    const bool text = format == NULL || strcmp(format, "text") == 0;
    struct table *table = text ? NULL : table_open(columns, sizeof columns / sizeof *columns);
    enum status status = text || table != NULL ? STATUS_OK : error_out_of_memory(error, "a table");
    *look = (struct look){ .shown = 0 };
    if (status == STATUS_OK && arguments->operand_count == 0)
        status = show_all(runs, table, look, error);
    for (size_t i = 0; status == STATUS_OK && i < arguments->operand_count; i++)
        status = show_run(runs, arguments->operands[i], true, table, look, error);
    if (status == STATUS_OK && !text)
        status = table_print(table, format, error);
    if (status == STATUS_OK && text && look->shown == 0)
        text_fact(stdout, 2, "no run in %s is running or stopped", runs);
    if (status == STATUS_OK && text && look->finished > 0)
        printf("%zu finished: selfsame runs lists them\n", look->finished);
    table_close(table);
    return status;
}

static enum status run_status(const struct arguments *arguments, struct error *error)
{
    const bool follow = arguments_flag(arguments, "follow"), terminal = isatty(STDOUT_FILENO) == 1;
    struct look look;
    if (follow)
        stop_watch(NULL, NULL);
    for (bool first = true;; first = false) {
        if (follow && terminal)
            fputs("\033[H\033[2J\033[3J", stdout); /* home, and clear */
        else if (!first)
            putchar('\n');
        enum status status = look_at(arguments, &look, error);
        if (status == STATUS_OK)
            status = output_flush(error);
        if (status != STATUS_OK || !follow || look.running == 0)
            return status;
        if (!follow_wait())
            return STATUS_INTERRUPTED;
    }
}

static const struct option_definition options[] = {
    OPTION_FOLLOW("look again every two seconds, until no process trains any of the runs"),
    OPTION_RUNS,
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|json|csv", "text, json or csv; default: text" },
    OPTIONS_END,
};

const struct command status_command = {
    .name = "status",
    .operands = "[RUN]...",
    .summary = "say how far runs are, and whether they are still running",
    .options = options,
    .description =
        "Shows the state of each run, its epoch and step, its rate, the time left and the newest errors. Without "
        "RUN, it shows the runs of the runs folder that are not finished.\n\n"
        "A run is running while a process holds its lock, whatever its record says. If it was interrupted or killed, "
        "it is stopped, and train --resume continues it. The rate is that of the current epoch.\n\n"
        "--follow ends when no process trains any of the runs, or when you press Ctrl-C.",
    .examples = "selfsame status --follow\ta live view\n"
                "selfsame status msra-resnet20-seed1 --format json\tfor a script\n",
    .operands_min = 0,
    .operands_max = SIZE_MAX,
    .run = run_status,
};
