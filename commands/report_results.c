/* What selfsame report says first: verdicts and results. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands/report.h"
#include "commands/report_page.h"
#include "results/compare.h"
#include "results/imported.h"
#include "results/labels.h"
#include "results/target.h"

/* ---- the lead ---------------------------------------------------------------------------------------------------- */

static void print_run_lead(FILE *page, const struct record *record)
{
    const struct record_facts *facts = &record->facts;
    const char *mark = manifest_test_mark(&record->manifest, facts->validation_data_sha256);
    char state[RECORD_STATE_BYTES];
    if (record->epochs == 0) {
        page_element(page, "p.lead", "ResNet-%" PRIu64 " on %s, seed %" PRIu64 ", arithmetic %s: %s, no epoch yet.",
                     facts->depth, manifest_data_name(&record->manifest), facts->seed, facts->arithmetic,
                     record_state_text(record, state));
        return;
    }
    const double error = record->metrics[record->epochs - 1].validation_error;
    char value[32] = "error missing";
    if (!isnan(error))
        snprintf(value, sizeof value, "error %.2f %%", error);
    page_element(page, "p.lead",
                 "ResNet-%" PRIu64 " on %s, seed %" PRIu64 ", %s%s: %s after epoch %zu of %" PRIu64 "%s%s.",
                 facts->depth, manifest_data_name(&record->manifest), facts->seed,
                 imported_is(record) ? "" : "arithmetic ", imported_arithmetic(record), value, record->epochs,
                 facts->epochs_wanted, mark != NULL ? ", " : "", mark != NULL ? mark : "");
    if (facts->failure[0] != '\0')
        page_element(page, "p", "The run failed: %s", facts->failure);
}

/* Tags and note of a run, which people wrote. A packed run has none. */
static enum status print_labels(FILE *page, const struct record *record, bool named, struct error *error)
{
    char *tags = NULL, *note = NULL;
    enum status status = tags_read(record->path, &tags, error);
    if (status == STATUS_OK)
        status = note_read(record->path, &note, error);
    if (status == STATUS_OK && tags[0] != '\0')
        page_element(page, "p", "%s%sTags: %s", named ? record->name : "", named ? ". " : "", tags);
    if (status == STATUS_OK && note[0] != '\0')
        page_element(page, "p", "%s%sNote: %s", named ? record->name : "", named ? ". " : "", note);
    free(tags);
    free(note);
    return status;
}

/* Whose run it is, before anything is said about it. */
static void print_origin(FILE *page, const struct record *record)
{
    char origin[IMPORTED_ORIGIN_BYTES];
    if (!imported_is(record))
        return;
    imported_origin(record, origin);
    page_element(page, "p",
                 "%s was not computed by selfsame. Its numbers were imported on %s: %s. The manifest says which "
                 "experiment it is said to be of, and nothing of it was checked.",
                 record->name, record->facts.imported.time, origin);
}

enum status report_lead(const struct report *report, struct error *error)
{
    enum status status = STATUS_OK;
    if (report->count == 1)
        print_run_lead(report->page, report->records[0]);
    for (size_t i = 0; i < report->count; i++)
        print_origin(report->page, report->records[i]);
    if (report->count == 1 && report->records[0]->manifest.description[0] != '\0')
        page_element(report->page, "p.quiet", "%s", report->records[0]->manifest.description);
    for (size_t i = 0; i < report->count && status == STATUS_OK; i++)
        status = print_labels(report->page, report->records[i], report->count > 1, error);
    return status;
}

/* ---- targets ----------------------------------------------------------------------------------------------------- */

static void number_cell(FILE *page, int digits, double value)
{
    if (isnan(value))
        fputs("<td></td>", page);
    else
        fprintf(page, "<td class=\"n\">%.*f</td>", digits, value);
}

static void text_cell(FILE *page, const char *text)
{
    fputs("<td>", page);
    page_text(page, "%s", text);
    fputs("</td>", page);
}

static void name_cell(FILE *page, const char *text)
{
    fputs("<th scope=\"row\">", page);
    page_text(page, "%s", text);
    fputs("</th>", page);
}

static enum status print_target(FILE *page, const struct run_group *group, const struct manifest_target *target,
                                struct error *error)
{
    static const enum page_colour colours[TARGET_VERDICTS] = { [TARGET_MET] = PAGE_GOOD,
                                                               [TARGET_WITHIN_SPREAD] = PAGE_GOOD,
                                                               [TARGET_MISSED] = PAGE_BAD,
                                                               [TARGET_UNFINISHED] = PAGE_OPEN,
                                                               [TARGET_NOT_COMPARABLE] = PAGE_OPEN };
    char name[RUN_NAME_BYTES + 32];
    struct judgement judgement;
    enum status status = target_judge(group, &group->records[0]->manifest, target, &judgement, error);
    if (status != STATUS_OK)
        return status;
    run_group_name(group, name, sizeof name);
    page_row_begin(page);
    name_cell(page, name);
    fputs("<td>", page);
    page_verdict(page, colours[judgement.verdict], "%s", target_verdict_name(judgement.verdict));
    page_text(page, "%s%s", judgement.detail[0] != '\0' ? ": " : "", judgement.detail);
    fputs("</td>", page);
    text_cell(page, target->best ? "best error" : "final error");
    number_cell(page, 2, judgement.measured);
    number_cell(page, 2, target->value);
    number_cell(page, 2, target->tolerance);
    fputs("<td class=\"long reason\">", page);
    page_text(page, "%s", judgement.because);
    fputs("</td>", page);
    text_cell(page, target->source);
    page_row_end(page);
    return STATUS_OK;
}

/* Runs that differ in the seed alone are judged together, as selfsame targets does. */
static enum status print_targets(const struct report *report, struct error *error)
{
    FILE *page = report->page;
    struct run_group *groups = NULL;
    size_t count = 0, targets = 0;
    enum status status = run_groups_make(report->records, report->count, true, &groups, &count, error);
    for (size_t g = 0; g < count && status == STATUS_OK; g++)
        targets += groups[g].records[0]->manifest.target_count;
    if (status == STATUS_OK && targets == 0)
        page_element(page, "p", "%s no target, so no published result decides about %s.",
                     report->count == 1 ? "The manifest names" : "The manifests name",
                     report->count == 1 ? "this run" : "these runs");
    if (status == STATUS_OK && targets > 0) {
        page_table_begin(page, "Targets of the manifests, in percent of the test images");
        page_table_headings(page, "run|verdict|metric|#measured|#published|#tolerance|why|source");
        for (size_t g = 0; g < count && status == STATUS_OK; g++) {
            const struct manifest *manifest = &groups[g].records[0]->manifest;
            for (size_t t = 0; t < manifest->target_count && status == STATUS_OK; t++)
                status = print_target(page, &groups[g], &manifest->targets[t], error);
        }
        page_table_end(page);
    }
    run_groups_free(groups, count);
    return status;
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

static bool same_experiment(const struct record *a, const struct record *b)
{
    return strcmp(a->facts.experiment_sha256, b->facts.experiment_sha256) == 0;
}

/* The first run of the same experiment before run i; NULL: none. */
static const struct record *earlier(const struct report *report, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (same_experiment(report->records[k], report->records[i]))
            return report->records[k];
    }
    return NULL;
}

static void print_comparison(FILE *page, const struct record *first, const struct record *record)
{
    struct comparison comparison;
    compare_records(first, record, NULL, 0, &comparison);
    page_row_begin(page);
    name_cell(page, record->name);
    text_cell(page, first->name);
    fputs("<td>", page);
    page_verdict(page,
                 comparison.verdict == VERDICT_IDENTICAL           ? PAGE_GOOD
                 : verdict_status(comparison.verdict) == STATUS_NO ? PAGE_BAD
                                                                   : PAGE_OPEN,
                 "%s", verdict_name(comparison.verdict));
    fputs("</td>", page);
    text_cell(page, comparison.sentence);
    fprintf(page, "<td class=\"n\">%" PRIu64 "</td>", comparison.steps);
    page_row_end(page);
}

static void print_bits(const struct report *report)
{
    FILE *page = report->page;
    size_t pairs = 0;
    for (size_t i = 1; i < report->count; i++)
        pairs += earlier(report, i) != NULL;
    page_element(page, "h3", "Bits");
    if (pairs == 0) {
        page_element(page, "p",
                     "No two of these runs are of one experiment and one seed, so their bits are not "
                     "compared.");
        return;
    }
    page_table_begin(page, "Runs of one experiment and seed, each held against the first of them");
    page_table_headings(page, "run|against|verdict|in words|#steps compared");
    for (size_t i = 1; i < report->count; i++) {
        if (earlier(report, i) != NULL)
            print_comparison(page, earlier(report, i), report->records[i]);
    }
    page_table_end(page);
}

enum status report_verdict(const struct report *report, struct error *error)
{
    page_element(report->page, "h2", "Verdict");
    if (report->count > 1)
        page_element(report->page, "h3", "Targets");
    enum status status = print_targets(report, error);
    if (status == STATUS_OK && report->count > 1)
        print_bits(report);
    return status;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void print_run(FILE *page, const struct record *record)
{
    const struct metrics_row *last = record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
    char state[RECORD_STATE_BYTES];
    page_row_begin(page);
    name_cell(page, record->name);
    text_cell(page, record_state_text(record, state));
    fprintf(page, "<td class=\"n\">%" PRIu64 "</td>", record->facts.depth);
    text_cell(page, imported_arithmetic(record));
    fprintf(page, "<td class=\"n\">%" PRIu64 "</td><td class=\"n\">%zu</td>", record->facts.seed, record->epochs);
    number_cell(page, 2, last != NULL ? last->validation_error : NAN);
    number_cell(page, 2, run_group_error(record, true));
    number_cell(page, 2, last != NULL ? last->training_error : NAN);
    number_cell(page, 4, last != NULL ? last->validation_loss : NAN);
    number_cell(page, 4, last != NULL ? last->training_loss : NAN);
    number_cell(page, 1, run_group_seconds(record->metrics, record->epochs));
    fputs("<td><code>", page);
    page_text(page, "%.12s", last != NULL ? last->weights_sha256 : "");
    fputs("</code></td>", page);
    page_row_end(page);
}

static enum status print_group(FILE *page, const struct run_group *group, struct error *error)
{
    double *values = run_group_errors(group, false);
    if (values == NULL)
        return error_out_of_memory(error, "the results");
    const struct summary sample = summary_of(values, group->count);
    const struct interval interval = interval_of_mean(&sample, STATISTICS_CONFIDENCE);
    double least = values[0], largest = values[0];
    for (size_t i = 1; i < group->count; i++) {
        least = fmin(least, values[i]);
        largest = fmax(largest, values[i]);
    }
    free(values);
    page_row_begin(page);
    name_cell(page, group->records[0]->facts.manifest_name);
    text_cell(page, imported_arithmetic(group->records[0]));
    fprintf(page, "<td class=\"n\">%zu</td>", group->count);
    number_cell(page, 3, sample.mean);
    number_cell(page, 3, sample.sd);
    fprintf(page, "<td class=\"n\">%.3f to %.3f</td>", interval.low, interval.high);
    number_cell(page, 2, least);
    number_cell(page, 2, largest);
    page_row_end(page);
    return STATUS_OK;
}

/* Finished runs that differ in the seed alone, as mean and deviation. A run that was computed twice counts once. */
static enum status print_seeds(const struct report *report, struct error *error)
{
    struct record **whole = calloc(report->count, sizeof *whole);
    struct run_group *groups = NULL;
    size_t wholes = 0, count = 0;
    bool begun = false;
    if (whole == NULL)
        return error_out_of_memory(error, "the results");
    for (size_t i = 0; i < report->count; i++) {
        if (run_group_is_whole(report->records[i]) && !isnan(run_group_error(report->records[i], false)))
            whole[wholes++] = report->records[i];
    }
    enum status status = wholes > 0 ? run_groups_make(whole, wholes, false, &groups, &count, error) : STATUS_OK;
    for (size_t g = 0; g < count && status == STATUS_OK; g++) {
        if (groups[g].count < 2)
            continue;
        if (!begun) {
            page_table_begin(report->page, "Final error over seeds, in percent of the test images: finished runs that "
                                           "differ in the seed alone, each computation once");
            page_table_headings(report->page,
                                "experiment|arithmetic|#seeds|#mean|#sd|#95 % interval of the mean|#least|#largest");
            begun = true;
        }
        status = print_group(report->page, &groups[g], error);
    }
    if (begun)
        page_table_end(report->page);
    run_groups_free(groups, count);
    free(whole);
    return status;
}

enum status report_results(const struct report *report, struct error *error)
{
    FILE *page = report->page;
    page_element(page, "h2", "Results");
    enum status status = print_seeds(report, error);
    page_table_begin(page, "Every run: errors in percent, after the last epoch and the best of all epochs");
    page_table_headings(page, "run|state|#depth|arithmetic|#seed|#epochs|#error|#best|#training error|#loss|#training "
                              "loss|#seconds per epoch|weights digest");
    for (size_t i = 0; i < report->count; i++)
        print_run(page, report->records[i]);
    page_table_end(page);
    return status;
}
