#include "results/compare_groups.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void __attribute__((format(printf, 3, 4)))
judge(struct groups_comparison *c, enum verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->sentence, sizeof c->sentence, format, arguments);
    va_end(arguments);
    c->verdict = verdict;
}

/* Runs that are on both sides, by their bits: false where there are some. */
static bool sides_are_apart(const struct run_group groups[2], struct groups_comparison *c)
{
    for (size_t i = 0; i < groups[0].count; i++) {
        for (size_t k = 0; k < groups[1].count; k++) {
            const struct record *a = groups[0].records[i], *b = groups[1].records[k];
            struct comparison pair;
            if (!run_group_is_same_run(a, b))
                continue;
            compare_records(a, b, NULL, 0, &pair);
            if (pair.verdict == VERDICT_SAME_DOCUMENT)
                judge(c, VERDICT_SAME_DOCUMENT, "%s and %s are one record and a copy of it", a->shown, b->shown);
            else
                judge(c, VERDICT_NOT_COMPARABLE,
                      "%s and %s have the same bits, so they are no two samples; compare them without --statistics",
                      a->shown, b->shown);
            return false;
        }
    }
    return true;
}

static bool are_whole(const struct run_group groups[2], struct groups_comparison *c)
{
    for (size_t i = 0; i < groups[0].count + groups[1].count; i++) {
        const struct record *record =
            i < groups[0].count ? groups[0].records[i] : groups[1].records[i - groups[0].count];
        if (!run_group_is_whole(record))
            judge(c, VERDICT_NOT_COMPARABLE, "%s is not finished: it has %zu of %" PRIu64 " epochs", record->shown,
                  record->epochs, record->facts.epochs_wanted);
        else if (isnan(run_group_error(record, false)))
            judge(c, VERDICT_NOT_COMPARABLE, "%s has no validation error for its last epoch", record->shown);
        else
            continue;
        return false;
    }
    return true;
}

static enum status measure(const struct run_group groups[2], struct groups_comparison *c, struct error *error)
{
    for (size_t side = 0; side < 2; side++) {
        double *errors = run_group_errors(&groups[side], false);
        if (errors == NULL)
            return error_out_of_memory(error, "the errors of %zu runs", groups[side].count);
        c->samples[side] = summary_of(errors, groups[side].count);
        c->intervals[side] = interval_of_mean(&c->samples[side], STATISTICS_CONFIDENCE);
        free(errors);
    }
    c->test = test_two_samples(&c->samples[0], &c->samples[1]);
    c->sd = pooled_sd(&c->samples[0], &c->samples[1]);
    c->tested = !isnan(c->test.p);
    c->sees = c->tested && c->sd > 0.0
                  ? test_sees(groups[0].count, groups[1].count, c->sd, STATISTICS_POWER, STATISTICS_LEVEL)
                  : 0.0;
    return STATUS_OK;
}

enum status compare_groups(const struct run_group groups[2], struct groups_comparison *c, struct error *error)
{
    const struct record *a = groups[0].records[0], *b = groups[1].records[0];
    memset(c, 0, sizeof *c);
    if (!sides_are_apart(groups, c) || !are_whole(groups, c))
        return STATUS_OK;
    enum status status = measure(groups, c, error);
    if (status != STATUS_OK)
        return status;
    const double apart = fabs(c->samples[0].mean - c->samples[1].mean);
    const bool known = validation_is_known(a, b);
    if (!known || strcmp(a->facts.validation_data_sha256, b->facts.validation_data_sha256) != 0) {
        judge(c, VERDICT_NOT_COMPARABLE,
              known ? "they were evaluated on different images"
                    : "it is not known on which images the imported runs were evaluated; import them with a manifest "
                      "that states test_sha256");
        c->tested = false;
    } else if (!c->tested) {
        judge(c, VERDICT_NOT_COMPARABLE,
              "one run on each side shows no spread; give several seeds of one side at least");
    } else if (!run_group_same_recipe(a, b)) {
        judge(c, VERDICT_OTHER_EXPERIMENT, "their recipes differ; the mean errors are %.2f points apart, p = %.3g",
              apart, c->test.p);
    } else if (c->test.p >= STATISTICS_LEVEL) {
        judge(c, VERDICT_WITHIN_SPREAD,
              "the mean errors are %.2f points apart, and seeds alone do that with p = %.3g; bits were not compared",
              apart, c->test.p);
    } else {
        judge(c, VERDICT_DIFFERS, "the mean errors are %.2f points apart, and seeds alone do that only with p = %.3g",
              apart, c->test.p);
    }
    return STATUS_OK;
}
