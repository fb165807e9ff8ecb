/* selfsame compare: prints whether runs have the same bits, or where they begin to differ. results/compare.c
 * decides. */
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/compare_differences.h"
#include "commands/compare_statistics.h"
#include "commands/compare_traces.h"
#include "commands/table.h"
#include "results/compare.h"
#include "results/imported.h"
#include "results/weights_check.h"

/* One of the runs, held against the first that is not malformed. */
struct compared {
    const char *operand;
    struct record *record; /* NULL: malformed */
    struct comparison comparison;
    const struct compared *original;   /* of which it is a copy, where that is not the first; or NULL */
    char message[ERROR_MESSAGE_BYTES]; /* what is malformed */
};

struct job {
    struct compared *runs;
    size_t count;
    struct compared *first; /* what the others are held against */
    struct tolerance tolerances[16];
    size_t tolerance_count;
    bool all, traces; /* --all, --trace */
};

static const char *path_of(const struct compared *run)
{
    return run->record != NULL ? run->record->shown : run->operand;
}

/* ---- reading and comparing --------------------------------------------------------------------------------------- */

static enum status parse_tolerances(const struct arguments *arguments, struct job *job, struct error *error)
{
    const char *const *texts = arguments_list(arguments, "tolerance");
    enum { MOST = sizeof job->tolerances / sizeof *job->tolerances };
    for (; texts != NULL && *texts != NULL; texts++) {
        if (job->tolerance_count == MOST)
            return error_set(error, STATUS_INPUT, "--tolerance: at most %d of them", MOST);
        enum status status = tolerance_parse(*texts, &job->tolerances[job->tolerance_count++], error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* A missing run is a mistake of the user. A run that contradicts itself gets a verdict. */
static enum status open_runs(struct job *job, const char *runs, struct error *error)
{
    for (size_t i = 0; i < job->count; i++) {
        struct compared *run = &job->runs[i];
        struct weights_found found;
        char folder[FILE_PATH_BYTES];
        enum status status = find_run(runs, run->operand, folder, error);
        if (status != STATUS_OK)
            return status;
        status = record_open_whole(&run->record, runs, run->operand, &found, error);
        if (status != STATUS_OK && status != STATUS_INPUT)
            return status;
        if (status == STATUS_OK && job->first == NULL)
            job->first = run;
        if (status != STATUS_OK) {
            run->comparison.verdict = VERDICT_MALFORMED;
            snprintf(run->comparison.sentence, sizeof run->comparison.sentence,
                     "its files cannot be read, or contradict each other");
            memcpy(run->message, error->message, sizeof run->message);
        }
    }
    return STATUS_OK;
}

/* Copies are looked for among all runs: two copies of one record that agree with a third were computed twice, not three
 * times. */
static void compare_all(struct job *job)
{
    if (job->first == NULL)
        return; /* all are malformed */
    for (size_t i = 0; i < job->count; i++) {
        struct compared *run = &job->runs[i];
        if (run->record == NULL || run == job->first)
            continue;
        compare_records(job->first->record, run->record, job->tolerances, job->tolerance_count, &run->comparison);
        for (size_t k = 0; k < i && run->comparison.verdict == VERDICT_IDENTICAL; k++) {
            struct comparison copy;
            if (job->runs[k].record == NULL || &job->runs[k] == job->first)
                continue;
            compare_records(job->runs[k].record, run->record, NULL, 0, &copy);
            if (copy.verdict != VERDICT_SAME_DOCUMENT)
                continue;
            run->comparison.verdict = VERDICT_SAME_DOCUMENT;
            run->original = &job->runs[k];
            snprintf(run->comparison.sentence, sizeof run->comparison.sentence, "%s", copy.sentence);
        }
    }
}

static enum verdict worst(const struct job *job)
{
    enum verdict verdict = VERDICT_IDENTICAL;
    for (size_t i = 0; i < job->count; i++) {
        if (&job->runs[i] != job->first)
            verdict = verdict_worse(verdict, job->runs[i].comparison.verdict);
    }
    return verdict;
}

/* ---- one comparison ---------------------------------------------------------------------------------------------- */

static void print_extent(const struct job *job, const struct compared *run)
{
    const struct comparison *c = &run->comparison;
    char more[FILE_PATH_BYTES + 128] = "";
    if (c->longer_first || c->longer_second) {
        const struct record *longer = c->longer_first ? job->first->record : run->record;
        snprintf(more, sizeof more, "; %s goes on to %zu epochs, %zu steps", longer->shown, longer->epochs,
                 longer->steps);
    }
    text_fact(stdout, 4, "  compared: %" PRIu64 " epoch%s, %" PRIu64 " steps%s", c->epochs, c->epochs == 1 ? "" : "s",
              c->steps, more);
}

/* What was found, apart from the verdict. */
static void print_findings(const struct job *job, const struct compared *run)
{
    const struct comparison *c = &run->comparison;
    print_extent(job, run);
    if (c->step_differs)
        text_fact(stdout, 4, "  first difference: epoch %" PRIu64 ", step %" PRIu64 " (from 1): %s",
                  c->epoch_of_step + 1, c->step + 1, c->step_what);
    if (c->epoch_differs)
        text_fact(stdout, 4, "  first epoch that differs: %" PRIu64 ": %s", c->epoch + 1, c->epoch_what);
    else if (c->step_differs && c->epochs > 0)
        printf("  no whole epoch differs yet\n");
    if (c->epoch_differs)
        printf("  largest difference of validation error: %.2f points, epoch %" PRIu64 "\n",
               c->largest_error_difference, c->largest_error_epoch + 1);
    if (c->verdict == VERDICT_DIFFERS && c->step_differs && !job->traces)
        printf("  to name the tensor: compare these two with --trace\n");
    if (!c->step_differs && !c->epoch_differs && c->same_experiment && c->epochs > 0 && !imported_is(run->record))
        text_fact(stdout, 4, "  weights after epoch %" PRIu64 ": %s", c->epochs,
                  run->record->metrics[c->epochs - 1].weights_sha256);
    if (!c->same_validation)
        text_fact(stdout, 4, "  validation images: %s, so losses and errors on them are not compared",
                  c->validation_known ? "they differ" : "it is not known whether they are the same");
}

static enum status print_comparison(const struct job *job, const struct compared *run, struct error *error)
{
    const struct comparison *c = &run->comparison;
    text_fact(stdout, 2, "%s: %s", verdict_name(c->verdict), c->sentence);
    if (run->record == NULL) {
        text_fact(stdout, 2, "  %s", run->message);
        return STATUS_OK;
    }
    assert(job->first != NULL); /* this one, or one before it */
    text_fact(stdout, 2, "  %s and %s", run->original != NULL ? path_of(run->original) : path_of(job->first),
              path_of(run));
    print_findings(job, run);
    enum status status = STATUS_OK;
    if (!c->same_experiment || job->all)
        status = show_settings(job->first->record, run->record, job->all, NULL, error);
    if (status == STATUS_OK && (c->step_differs || c->epoch_differs || job->tolerance_count > 0 || job->all))
        status = show_metrics(c, job->all, NULL, error);
    if (status == STATUS_OK && c->verdict != VERDICT_SAME_DOCUMENT)
        status = show_circumstances(job->first->record, run->record, job->all, NULL, error);
    return status;
}

static enum status to_json(const struct job *job, const struct compared *run, json_t *list, struct error *error)
{
    const struct comparison *c = &run->comparison;
    json_t *json =
        json_pack("{s:o, s:o, s:s, s:o, s:b}", "first",
                  json_text(job->first != NULL ? path_of(run->original != NULL ? run->original : job->first) : ""),
                  "second", json_text(path_of(run)), "verdict", verdict_name(c->verdict), "sentence",
                  json_text(c->sentence), "identical", c->verdict == VERDICT_IDENTICAL);
    if (json == NULL || json_array_append_new(list, json) != 0)
        return error_out_of_memory(error, "what is printed");
    if (run->record == NULL) {
        json_object_set_new(json, "malformed", json_text(run->message));
        return STATUS_OK;
    }
    assert(job->first != NULL);
    json_object_set_new(json, "same_experiment", json_boolean(c->same_experiment));
    json_object_set_new(json, "same_arithmetic", json_boolean(c->same_arithmetic));
    json_object_set_new(json, "same_validation_images", json_boolean(c->same_validation));
    json_object_set_new(json, "epochs_compared", json_integer((json_int_t)c->epochs));
    json_object_set_new(json, "steps_compared", json_integer((json_int_t)c->steps));
    json_object_set_new(json, "epochs_copied", json_integer((json_int_t)c->copied_epochs));
    if (c->step_differs)
        json_object_set_new(json, "first_step",
                            json_pack("{s:I, s:I, s:s}", "step", (json_int_t)c->step, "epoch",
                                      (json_int_t)c->epoch_of_step, "what", c->step_what));
    if (c->epoch_differs)
        json_object_set_new(json, "first_epoch",
                            json_pack("{s:I, s:s}", "epoch", (json_int_t)c->epoch, "what", c->epoch_what));
    json_object_set_new(json, "largest_validation_error_difference", json_number(c->largest_error_difference));
    enum status status = show_settings(job->first->record, run->record, job->all, json, error);
    if (status == STATUS_OK)
        status = show_metrics(c, job->all, json, error);
    return status == STATUS_OK ? show_circumstances(job->first->record, run->record, job->all, json, error) : status;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* A row for each run. */
static enum status print_table(const struct job *job, const char *format, struct error *error)
{
    static const struct table_column columns[] = {
        { "run", false, 0 },
        { "verdict", false, 0 },
        { "epochs", true, 1 },
        { "steps", true, 2 },
        { "first_step", true, 0 },
        { "validation_error", true, 1 },
        { "weights_sha256", false, 3 },
    };
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    if (table == NULL)
        return error_out_of_memory(error, "the table");
    for (size_t i = 0; i < job->count; i++) {
        const struct compared *run = &job->runs[i];
        const struct record *record = run->record;
        const struct comparison *c = &run->comparison;
        table_cell(table, "%s", path_of(run));
        table_cell(table, "%s", run == job->first ? "first" : verdict_name(c->verdict));
        table_cell_if(table, record != NULL, "%zu", record != NULL ? record->epochs : 0);
        table_cell_if(table, record != NULL, "%zu", record != NULL ? record->steps : 0);
        table_cell_if(table, run != job->first && c->step_differs, "%" PRIu64, c->step + 1);
        const struct metrics_row *last =
            record != NULL && record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
        table_number(table, 2, last != NULL ? last->validation_error : NAN);
        table_cell(table, "%.16s", last != NULL ? last->weights_sha256 : "");
    }
    enum status status = table_print(table, format, error);
    table_close(table);
    return status;
}

/* Of several comparisons the verdict of all, a table, and then those that do not simply agree. */
static enum status print_text(const struct job *job, struct error *error)
{
    const enum verdict verdict = worst(job);
    size_t agree = 0;
    enum status status = STATUS_OK;
    if (job->count == 2 && job->first != NULL)
        return print_comparison(job, job->first == job->runs ? &job->runs[1] : &job->runs[0], error);
    for (size_t i = 0; i < job->count; i++)
        agree += &job->runs[i] == job->first || job->runs[i].comparison.verdict == VERDICT_IDENTICAL;
    text_line(stdout, "%s: %zu of %zu runs are independent and identical", verdict_name(verdict), agree > 1 ? agree : 0,
              job->count);
    status = print_table(job, NULL, error);
    for (size_t i = 0; i < job->count && status == STATUS_OK; i++) {
        if (&job->runs[i] == job->first || (job->runs[i].comparison.verdict == VERDICT_IDENTICAL && !job->all))
            continue;
        text_line(stdout, "%s", "");
        status = print_comparison(job, &job->runs[i], error);
    }
    return status;
}

static enum status print_json(const struct job *job, struct error *error)
{
    json_t *list = json_array();
    enum status status = list != NULL ? STATUS_OK : error_out_of_memory(error, "what is printed");
    for (size_t i = 0; i < job->count && status == STATUS_OK; i++) {
        if (&job->runs[i] != job->first)
            status = to_json(job, &job->runs[i], list, error);
    }
    if (status == STATUS_OK)
        return json_print(list, error);
    json_decref(list);
    return status;
}

static enum status print_job(const struct job *job, const char *format, struct error *error)
{
    if (format != NULL && strcmp(format, "json") == 0)
        return print_json(job, error);
    if (format != NULL && strcmp(format, "text") != 0)
        return print_table(job, format, error);
    return print_text(job, error);
}

/* The exit status, and for one of 2 what to do. */
static enum status conclude(const struct job *job, struct error *error)
{
    const struct compared *told = NULL;
    for (size_t i = 0; i < job->count; i++) {
        const struct compared *run = &job->runs[i];
        if (run == job->first || run->record != NULL)
            continue;
        if (told != NULL)
            text_line(stderr, "selfsame compare: %s", told->message);
        told = run;
    }
    if (told != NULL)
        return error_set(error, STATUS_INPUT, "%s", told->message);
    for (size_t i = 0; i < job->count; i++) {
        const struct compared *run = &job->runs[i];
        if (run == job->first || run->comparison.verdict != VERDICT_NOT_COMPARABLE)
            continue;
        assert(job->first != NULL);
        return error_set(error, STATUS_INPUT, "%s is not comparable with %s: %s%s", path_of(run), path_of(job->first),
                         run->comparison.sentence,
                         job->tolerance_count > 0 ? ""
                                                  : "; compare the results with --tolerance validation_error=abs:X");
    }
    return verdict_status(worst(job));
}

/* What --trace adds to a comparison of two runs. */
static enum status trace_difference(const struct job *job, const struct arguments *arguments, struct error *error)
{
    const struct compared *other = job->first == job->runs ? &job->runs[1] : &job->runs[0];
    const struct comparison *c = &other->comparison;
    if (job->first == NULL || c->verdict != VERDICT_DIFFERS || !c->step_differs)
        return STATUS_OK; /* no step to trace */
    return compare_runs_at(job->first->record, other->record, c->step, arguments, error);
}

static enum status run_compare(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    struct job job = { .count = arguments->operand_count,
                       .all = arguments_flag(arguments, "all"),
                       .traces = arguments_flag(arguments, "trace") };
    if (compare_has_traces(arguments))
        return compare_traces(arguments, error);
    enum status status = compare_check_trace(arguments, error);
    if (status == STATUS_OK)
        status = parse_tolerances(arguments, &job, error);
    if (status != STATUS_OK)
        return status;
    if (arguments_flag(arguments, "statistics")) {
        if (job.tolerance_count > 0 || job.all || job.traces)
            return error_set(error, STATUS_INPUT, "--statistics compares no bits: it cannot be given together with %s",
                             job.all      ? "--all"
                             : job.traces ? "--trace"
                                          : "--tolerance");
        return compare_statistics(arguments, error);
    }
    if (arguments_text(arguments, "points") != NULL)
        return error_set(error, STATUS_INPUT, "--points belongs to --statistics");
    job.runs = calloc(job.count, sizeof *job.runs);
    if (job.runs == NULL)
        return error_out_of_memory(error, "%zu runs", job.count);
    for (size_t i = 0; i < job.count; i++)
        job.runs[i].operand = arguments->operands[i];
    status = open_runs(&job, runs, error);
    if (status == STATUS_OK) {
        compare_all(&job);
        status = print_job(&job, arguments_text(arguments, "format"), error);
    }
    if (status == STATUS_OK && job.traces)
        status = trace_difference(&job, arguments, error);
    if (status == STATUS_OK)
        status = conclude(&job, error);
    for (size_t i = 0; i < job.count; i++)
        record_close(job.runs[i].record);
    free(job.runs);
    return status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "tolerance", "METRIC=abs:X", OPTION_LIST, 0, 0, NULL,
      "ask for a result instead of bits: METRIC, such as validation_error, may differ by X. You may give it again" },
    { "statistics", NULL, OPTION_FLAG, 0, 0, NULL,
      "compare two groups of runs by their mean validation errors instead of bits" },
    { "points", "X", OPTION_TEXT, 0, 0, NULL,
      "with --statistics: say how many runs it takes to see X percentage points; default: 0.3" },
    { "all", NULL, OPTION_FLAG, 0, 0, NULL, "also show what does not differ, and times" },
    { "trace", NULL, OPTION_FLAG, 0, 0, NULL,
      "compute the first step that differs again, from a checkpoint of each run, and name the tensor" },
    OPTION_DATA,
    OPTION_ENGINE,
    OPTION_THREADS,
    OPTION_ISA,
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|table|csv|json",
      "text, a table with a row for each run, the same as csv, or json; steps and epochs count from 1, in json from 0; "
      "default: text" },
    OPTIONS_END,
};

const struct command compare_command = {
    .name = "compare",
    .operands = "RUN RUN...",
    .summary = "say whether runs are identical, or where they begin to differ",
    .options = options,
    .description =
        "Compares the first run with each of the others, from their records alone. The first word of the output is "
        "the verdict. It is the first of these that holds:\n\n"
        "malformed: a file of a record cannot be read, or two contradict each other. Exit status 2.\n\n"
        "same-document: one is a copy of the other. They agree, but nothing independent was compared. Copies have "
        "the same times; a record that was forged with other times is not found out. Exit status 0.\n\n"
        "within-spread: only with --statistics, below. Exit status 0.\n\n"
        "within-tolerance: only with --tolerance. Every metric that you named agrees after the last epoch. Exit "
        "status 0.\n\n"
        "not-comparable: the arithmetics differ, or promise no bits (fast), and you gave no --tolerance. Exit status "
        "2.\n\n"
        "other-experiment: the experiment digests differ. It lists the keys, those of the data first. Exit status "
        "1.\n\n"
        "differs: it names the first step and the first epoch with other bits. With --tolerance: a metric differs by "
        "more. Exit status 1.\n\n"
        "incomplete: all common steps agree, but one run ends earlier, or inside an epoch. Exit status 0.\n\n"
        "identical: every step, every epoch and the final weights agree, from two independent records. Exit status "
        "0.\n\n"
        "Every file of every record is checked first, weights and checkpoints included. Steps are compared by loss, "
        "errors and weights digest, epochs by losses, errors, weights and chain. Times are not compared. Losses and "
        "errors on validation images are compared only where these are the same. After the verdict comes only what "
        "differs: keys of the manifests that move bits, results, engines, programs and hosts. A default that neither "
        "manifest changes is no difference.\n\n"
        "--trace: if two runs differ, it computes the first step that differs again, from the last checkpoint of each "
        "run before it, as selfsame trace does. If the two come out differently, it names the first tensor whose "
        "inputs agree and whose value does not. If they come out the same, at least one of the runs did not compute "
        "what its manifest says. It names that run: trace the step on that run's machine.\n\n"
        "A and B may also be two files of selfsame trace. It names the first tensor whose inputs agree and whose "
        "value does not: that tensor was computed otherwise, and all else follows from it. Exit status 0: all tensors "
        "agree. 1: some differ. 2: a file is malformed, or the traces are of other steps or arithmetics.\n\n"
        "With several runs, the exit status is that of the worst verdict: 2 before 1 before 0.\n\n"
        "--statistics is for runs whose bits were never promised to agree: other seeds, another arithmetic, fast "
        "arithmetic. It compares two sides by their mean validation errors after the last epoch. Put the word vs "
        "between the sides; without it, the sides are the two recipes or arithmetics that the runs have. The verdict "
        "is "
        "within-spread if a two-sided t test (Welch's) at a level of 5 % cannot tell the means apart, and differs if "
        "it can. It is other-experiment if the recipes differ, and not-comparable if a run is not finished, a run is "
        "on both sides, or neither side has two runs. It also says which difference so many runs see, and how many "
        "runs would see --points. A side of few runs sees little: within-spread is no proof that two means are "
        "equal.\n\n"
        "A RUN is a run's folder, its name in the runs folder, published/... for a run that comes with the program, "
        "or what selfsame pack wrote: a file, or its https URL.",
    .examples =
        "selfsame compare quick-resnet20-seed1 published/quick/quick-resnet20-seed1\tdid I get the published bits?\n"
        "selfsame compare --statistics runs/a-seed* vs runs/b-seed*\tdo two groups of seeds agree?\n"
        "selfsame compare mine theirs --trace --data FOLDER\twhich tensor differs first?\n"
        "selfsame compare mine-step778.trace theirs-step778.trace\tthe same, from two files\n"
        "selfsame compare mine theirs --tolerance validation_error=abs:0.3\tdid I get the result?\n",
    .operands_min = 2,
    .operands_max = SIZE_MAX,
    .run = run_compare,
};
