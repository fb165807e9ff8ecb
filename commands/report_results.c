/* What selfsame report says first: verdicts and results. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands/report.h"
#include "commands/report_page.h"
#include "plots/run_groups.h"
#include "results/compare.h"
#include "results/labels.h"
#include "results/statistics.h"

/* ---- the lead ---------------------------------------------------------------------------------------------------- */

static const char *data_of(const struct record *record)
{
    return record->manifest.dataset_kind == DATASET_CIFAR10 ? "CIFAR-10" : "the embedded data set";
}

static void print_run_lead(FILE *page, const struct record *record)
{
    const struct record_facts *facts = &record->facts;
    const char *mark = manifest_test_mark(&record->manifest, facts->validation_data_sha256);
    char state[RECORD_STATE_BYTES];
    if (record->epochs == 0) {
        page_element(page, "p.lead", "ResNet-%" PRIu64 " on %s, seed %" PRIu64 ", arithmetic %s: %s, no epoch yet.",
                     facts->depth, data_of(record), facts->seed, facts->arithmetic, record_state_text(record, state));
        return;
    }
    page_element(page, "p.lead",
                 "ResNet-%" PRIu64 " on %s, seed %" PRIu64 ", arithmetic %s: error %.2f %% after epoch %zu of %" PRIu64
                 "%s%s.",
                 facts->depth, data_of(record), facts->seed, facts->arithmetic,
                 record->metrics[record->epochs - 1].validation_error, record->epochs, facts->epochs_wanted,
                 mark != NULL ? ", " : "", mark != NULL ? mark : "");
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

enum status report_lead(const struct report *report, struct error *error)
{
    enum status status = STATUS_OK;
    if (report->count == 1)
        print_run_lead(report->page, report->records[0]);
    if (report->count == 1 && report->records[0]->manifest.description[0] != '\0')
        page_element(report->page, "p.quiet", "%s", report->records[0]->manifest.description);
    for (size_t i = 0; i < report->count && status == STATUS_OK; i++)
        status = print_labels(report->page, report->records[i], report->count > 1, error);
    return status;
}

/* ---- targets ----------------------------------------------------------------------------------------------------- */

static double measured(const struct record *record, bool best)
{
    double value = record->metrics[record->epochs - 1].validation_error;
    for (size_t e = 0; best && e < record->epochs; e++)
        value = fmin(value, record->metrics[e].validation_error);
    return value;
}

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

static void print_target(FILE *page, const struct record *record, const struct manifest_target *target)
{
    const char *mark = manifest_test_mark(&record->manifest, record->facts.validation_data_sha256);
    const bool whole = record->epochs > 0 && record->epochs == record->facts.epochs_wanted;
    const double value = record->epochs > 0 ? measured(record, target->best) : NAN;
    page_row_begin(page);
    name_cell(page, record->name);
    fputs("<td>", page);
    if (mark != NULL)
        page_verdict(page, PAGE_OPEN, "not comparable: %s", mark);
    else if (!whole)
        page_verdict(page, PAGE_OPEN, "unfinished: %zu of %" PRIu64, record->epochs, record->facts.epochs_wanted);
    else if (fabs(value - target->value) <= target->tolerance + 1e-9) /* a hair: both have two digits */
        page_verdict(page, PAGE_GOOD, "met");
    else
        page_verdict(page, PAGE_BAD, "missed");
    fputs("</td>", page);
    text_cell(page, target->best ? "best error" : "final error");
    number_cell(page, 2, value);
    number_cell(page, 2, target->value);
    number_cell(page, 2, target->tolerance);
    text_cell(page, target->source);
    page_row_end(page);
}

static void print_targets(const struct report *report)
{
    FILE *page = report->page;
    size_t targets = 0;
    for (size_t i = 0; i < report->count; i++)
        targets += report->records[i]->manifest.target_count;
    if (targets == 0) {
        page_element(page, "p", "%s no target, so no published result decides about %s.",
                     report->count == 1 ? "The manifest names" : "The manifests name",
                     report->count == 1 ? "this run" : "these runs");
        return;
    }
    page_table_begin(page, "Targets of the manifests, in percent of the test images");
    page_table_headings(page, "run|verdict|metric|#measured|#published|#tolerance|source");
    for (size_t i = 0; i < report->count; i++) {
        const struct record *record = report->records[i];
        for (size_t t = 0; t < record->manifest.target_count; t++)
            print_target(page, record, &record->manifest.targets[t]);
    }
    page_table_end(page);
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

void report_verdict(const struct report *report)
{
    page_element(report->page, "h2", "Verdict");
    if (report->count > 1)
        page_element(report->page, "h3", "Targets");
    print_targets(report);
    if (report->count > 1)
        print_bits(report);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static double mean_seconds(const struct record *record)
{
    double sum = 0.0;
    for (size_t e = 0; e < record->epochs; e++)
        sum += record->metrics[e].training_seconds + record->metrics[e].validation_seconds;
    return record->epochs > 0 ? sum / (double)record->epochs : NAN;
}

static void print_run(FILE *page, const struct record *record)
{
    const struct metrics_row *last = record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
    char state[RECORD_STATE_BYTES];
    page_row_begin(page);
    name_cell(page, record->name);
    text_cell(page, record_state_text(record, state));
    fprintf(page, "<td class=\"n\">%" PRIu64 "</td>", record->facts.depth);
    text_cell(page, record->facts.arithmetic);
    fprintf(page, "<td class=\"n\">%" PRIu64 "</td><td class=\"n\">%zu</td>", record->facts.seed, record->epochs);
    number_cell(page, 2, last != NULL ? last->validation_error : NAN);
    number_cell(page, 2, last != NULL ? measured(record, true) : NAN);
    number_cell(page, 2, last != NULL ? last->training_error : NAN);
    number_cell(page, 4, last != NULL ? last->validation_loss : NAN);
    number_cell(page, 4, last != NULL ? last->training_loss : NAN);
    number_cell(page, 1, mean_seconds(record));
    fputs("<td><code>", page);
    page_text(page, "%.12s", last != NULL ? last->weights_sha256 : "");
    fputs("</code></td>", page);
    page_row_end(page);
}

static void print_group(FILE *page, const struct record *record, double *values, size_t count)
{
    const struct sample sample = sample_of(values, count);
    const struct interval interval = interval_of_mean(&sample, STATISTICS_LEVEL);
    double least = values[0], largest = values[0];
    for (size_t i = 1; i < count; i++) {
        least = fmin(least, values[i]);
        largest = fmax(largest, values[i]);
    }
    page_row_begin(page);
    name_cell(page, record->facts.manifest_name);
    text_cell(page, record->facts.arithmetic);
    fprintf(page, "<td class=\"n\">%zu</td>", count);
    number_cell(page, 3, sample.mean);
    number_cell(page, 3, sample.sd);
    fputs("<td class=\"n\">", page);
    if (count > 1)
        fprintf(page, "%.3f to %.3f", interval.low, interval.high);
    fputs("</td>", page);
    number_cell(page, 2, least);
    number_cell(page, 2, largest);
    page_row_end(page);
}

/* Finished runs that differ in the seed alone, as mean and deviation. A run that was computed twice counts once. */
static enum status print_seeds(const struct report *report, struct error *error)
{
    const struct record *const *records = (const struct record *const *)report->records;
    size_t *group_of = calloc(report->count, sizeof *group_of);
    double *values = calloc(report->count, sizeof *values);
    enum status status = group_of != NULL && values != NULL ? STATUS_OK : error_out_of_memory(error, "the results");
    const size_t groups = status == STATUS_OK ? run_groups(records, report->count, group_of) : report->count;
    bool begun = false;
    for (size_t g = 0; g < groups && groups < report->count; g++) {
        const struct record *first = NULL;
        size_t used = 0;
        for (size_t i = 0; i < report->count; i++) {
            const struct record *record = records[i];
            if (group_of[i] != g || record->epochs == 0 || record->epochs < record->facts.epochs_wanted)
                continue;
            first = first != NULL ? first : record;
            bool again = false;
            for (size_t k = 0; k < i; k++)
                again |= group_of[k] == g && run_repeats(records[k], record);
            if (!again)
                values[used++] = record->metrics[record->epochs - 1].validation_error;
        }
        if (used < 2)
            continue;
        if (!begun) {
            page_table_begin(report->page, "Final error over seeds, in percent of the test images: finished runs that "
                                           "differ in the seed alone, each seed once");
            page_table_headings(report->page,
                                "experiment|arithmetic|#seeds|#mean|#sd|#95 % interval of the mean|#least|#largest");
            begun = true;
        }
        print_group(report->page, first, values, used);
    }
    if (begun)
        page_table_end(report->page);
    free(group_of);
    free(values);
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
