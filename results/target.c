#include "results/target.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[TARGET_VERDICTS] = {
    [TARGET_MET] = "met",
    [TARGET_WITHIN_SPREAD] = "within-spread",
    [TARGET_MISSED] = "missed",
    [TARGET_UNFINISHED] = "unfinished",
    [TARGET_NOT_COMPARABLE] = "not-comparable",
};

const char *target_verdict_name(enum target_verdict verdict)
{
    return names[verdict];
}

bool target_reproduced(enum target_verdict verdict)
{
    return verdict == TARGET_MET || verdict == TARGET_WITHIN_SPREAD;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) say(struct judgement *j, const char *format, ...)
{
    const size_t used = strlen(j->because);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(j->because + used, sizeof j->because - used, format, arguments);
    va_end(arguments);
}

static void __attribute__((format(printf, 3, 4)))
settle(struct judgement *j, enum target_verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(j->detail, sizeof j->detail, format, arguments);
    va_end(arguments);
    j->verdict = verdict;
    snprintf(j->because, sizeof j->because, "%s", j->detail);
}

static void say_measured(const struct run_group *group, const struct manifest_target *target, struct judgement *j)
{
    static const char *const of[] = { [PROTOCOL_MEDIAN] = "the median", [PROTOCOL_BEST] = "the best" };
    if (group->count == 1)
        say(j, "%.2f %%", j->measured);
    else if (target->protocol == PROTOCOL_MEAN)
        say(j, "the mean of %zu runs, %.2f %% (sd %.2f, 95 %% interval %.2f to %.2f),", group->count, j->measured,
            j->sample.sd, j->interval.low, j->interval.high);
    else
        say(j, "%s of %zu runs, %.2f %% (mean %.2f, sd %.2f),", of[target->protocol], group->count, j->measured,
            j->sample.mean, j->sample.sd);
    say(j, " is %.2f points %s %.2f %%", fabs(j->difference), j->difference < 0.0 ? "below" : "above", target->value);
}

/* The validation images; of an imported run that does not say, those of its manifest. */
static uint64_t count_images(const struct record *record)
{
    const uint64_t images = record->metrics[record->epochs - 1].validation_images;
    return images != METRICS_MISSING ? images : record->facts.validation_images;
}

/* The wrong images after the last epoch. An imported run may have their share alone. */
static uint64_t count_errors(const struct record *record)
{
    const struct metrics_row *last = &record->metrics[record->epochs - 1];
    if (last->validation_errors != METRICS_MISSING)
        return last->validation_errors;
    return (uint64_t)llround(last->validation_error / 100.0 * (double)count_images(record));
}

/* A single run has no spread, but its test images are a sample, too. */
static void say_images(const struct run_group *group, struct judgement *j)
{
    if (group->count == 1 && isfinite(j->interval.low))
        say(j,
            ". One run says nothing about other seeds; from %" PRIu64 " images, its error is known to %.2f to %.2f %%",
            count_images(group->records[0]), j->interval.low, j->interval.high);
}

static void say_test(struct judgement *j)
{
    say(j, ". By chance, means lie so far apart with p = %.3g (t = %.2f, %.3g degrees of freedom)", j->test.p,
        fabs(j->test.t), j->test.freedom);
    if (j->verdict == TARGET_WITHIN_SPREAD)
        say(j, ". So few runs see a difference of %.2f points in 4 of 5 cases", j->sees);
    else if (j->verdict == TARGET_MISSED && j->test.p >= STATISTICS_LEVEL)
        say(j, ". But so few runs only see a difference of %.2f points, so that explains nothing: train more seeds",
            j->sees);
}

/* The published spread also says what would be too good. */
static void say_reference(const struct run_group *group, const struct manifest_target *target, struct judgement *j)
{
    const struct summary reference = { target->n, target->value, target->sd };
    if (!summary_has_spread(&reference) || target->protocol != PROTOCOL_MEAN)
        return;
    const double lowest = reference_lowest(&reference, group->count, STATISTICS_LEVEL);
    if (j->sample.mean < lowest)
        say(j, ". That is below %.2f %%, and so too good for chance (one-sided, 5 %%)", lowest);
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static bool is_comparable(const struct run_group *group, const struct manifest *owner,
                          const struct manifest_target *target, struct judgement *j)
{
    const struct record *first = group->records[0];
    const char *mark = manifest_test_mark(&first->manifest, first->facts.validation_data_sha256);
    if (mark == NULL)
        mark = manifest_test_mark(owner, first->facts.validation_data_sha256);
    if (mark != NULL)
        settle(j, TARGET_NOT_COMPARABLE, "%s", mark);
    else if (first->facts.validation_data_sha256[0] == '\0') /* of an imported run */
        settle(j, TARGET_NOT_COMPARABLE, "on images that nobody names");
    else if (first->facts.depth != owner->recipe.model.depth)
        settle(j, TARGET_NOT_COMPARABLE, "depth %" PRIu64 " by a target for depth %" PRIu32, first->facts.depth,
               owner->recipe.model.depth);
    else if (target->protocol == PROTOCOL_BEST && group->count > target->n)
        settle(j, TARGET_NOT_COMPARABLE, "the best of %zu runs by the best of %" PRIu64, group->count, target->n);
    return j->detail[0] == '\0';
}

static bool is_finished(const struct run_group *group, const struct manifest_target *target, struct judgement *j)
{
    size_t whole = 0;
    for (size_t i = 0; i < group->count; i++)
        whole += run_group_is_whole(group->records[i]);
    if (group->count == 1 && whole == 0)
        settle(j, TARGET_UNFINISHED, "%zu of %" PRIu64, group->records[0]->epochs,
               group->records[0]->facts.epochs_wanted);
    else if (whole < group->count)
        settle(j, TARGET_UNFINISHED, "%zu of %zu runs", whole, group->count);
    else if (target->protocol == PROTOCOL_BEST && group->count < target->n)
        settle(j, TARGET_UNFINISHED, "%zu of %" PRIu64 " runs", group->count, target->n);
    else if (isnan(j->measured))
        settle(j, TARGET_NOT_COMPARABLE, "no validation error%s", target->best ? "" : " for the last epoch");
    return j->detail[0] == '\0';
}

static void measure(const struct run_group *group, const struct manifest_target *target, double *errors,
                    struct judgement *j)
{
    const struct record *first = group->records[0];
    j->sample = summary_of(errors, group->count);
    if (group->count > 1)
        j->interval = interval_of_mean(&j->sample, STATISTICS_CONFIDENCE);
    else if (first->epochs > 0 && !target->best && !isnan(errors[0]))
        j->interval = interval_wilson(count_errors(first), count_images(first), STATISTICS_CONFIDENCE);
    const double median = sample_median(errors, group->count); /* sorts them: the best is the first */
    j->measured = target->protocol == PROTOCOL_MEAN     ? j->sample.mean
                  : target->protocol == PROTOCOL_MEDIAN ? median
                                                        : errors[0];
    for (size_t i = 0; i < group->count; i++) {
        if (isnan(errors[i]))
            j->measured = NAN;
    }
    j->difference = j->measured - target->value;
}

enum status target_judge(const struct run_group *group, const struct manifest *owner,
                         const struct manifest_target *target, struct judgement *j, struct error *error)
{
    double *errors = run_group_errors(group, target->best);
    *j = (struct judgement){ .interval = { NAN, NAN }, .test = { NAN, NAN, NAN, NAN, NAN }, .sees = NAN };
    if (errors == NULL)
        return error_out_of_memory(error, "the errors of %zu runs", group->count);
    measure(group, target, errors, j);
    free(errors);
    if (!is_comparable(group, owner, target, j) || !is_finished(group, target, j))
        return STATUS_OK;

    const struct summary published = { target->n, target->value, target->sd };
    if (target->protocol == PROTOCOL_MEAN)
        j->test = test_two_samples(&j->sample, &published);
    if (isfinite(j->test.t) && j->test.error > 0.0)
        j->sees =
            test_sees(group->count, target->n, pooled_sd(&j->sample, &published), STATISTICS_POWER, STATISTICS_LEVEL);
    say_measured(group, target, j);
    /* The difference of two-digit percentages: a hair more than the tolerance is its rounding. */
    const bool met = fabs(j->difference) <= target->tolerance + 1e-9;
    say(j, met ? "; %.2f are allowed" : ", more than the %.2f that are allowed", target->tolerance);
    const bool explained = j->test.p >= STATISTICS_LEVEL && j->sees <= TARGET_WEAK * target->tolerance;
    j->verdict = met ? TARGET_MET : explained ? TARGET_WITHIN_SPREAD : TARGET_MISSED;
    if (isfinite(j->test.p) && isfinite(j->test.t))
        say_test(j);
    else if (!met && target->protocol == PROTOCOL_MEAN && !isfinite(j->test.p))
        say(j, ". No spread is known, so nothing can be said about chance: train more seeds");
    say_reference(group, target, j);
    say_images(group, j);
    return STATUS_OK;
}
