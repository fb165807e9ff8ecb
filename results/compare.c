#include "results/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "results/imported.h"
#include "results/run_group.h"

/* ---- verdicts ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum status status;
} verdicts[VERDICTS] = {
    [VERDICT_MALFORMED] = { "malformed", STATUS_INPUT },
    [VERDICT_SAME_DOCUMENT] = { "same-document", STATUS_OK },
    [VERDICT_WITHIN_SPREAD] = { "within-spread", STATUS_OK },
    [VERDICT_WITHIN_TOLERANCE] = { "within-tolerance", STATUS_OK },
    [VERDICT_NOT_COMPARABLE] = { "not-comparable", STATUS_INPUT },
    [VERDICT_OTHER_EXPERIMENT] = { "other-experiment", STATUS_NO },
    [VERDICT_DIFFERS] = { "differs", STATUS_NO },
    [VERDICT_INCOMPLETE] = { "incomplete", STATUS_OK },
    [VERDICT_IDENTICAL] = { "identical", STATUS_OK },
};

const char *verdict_name(enum verdict verdict)
{
    return verdicts[verdict].name;
}

enum status verdict_status(enum verdict verdict)
{
    return verdicts[verdict].status;
}

enum verdict verdict_worse(enum verdict a, enum verdict b)
{
    if (verdicts[a].status != verdicts[b].status)
        return verdicts[a].status > verdicts[b].status ? a : b;
    return a < b ? a : b;
}

static void judge(struct comparison *c, enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void judge(struct comparison *c, enum verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->sentence, sizeof c->sentence, format, arguments);
    va_end(arguments);
    c->verdict = verdict;
}

/* ---- tolerances -------------------------------------------------------------------------------------------------- */

bool tolerance_holds(const struct tolerance *tolerance, const struct metrics_row *a, const struct metrics_row *b)
{
    const double x = metrics_value(a, tolerance->metric), y = metrics_value(b, tolerance->metric);
    const double size = fabs(x) > fabs(y) ? fabs(x) : fabs(y);
    return fabs(x - y) <= tolerance->most + 1e-9 * (size > 1.0 ? size : 1.0);
}

static enum status parse_metric(const char *name, struct tolerance *tolerance, struct error *error)
{
    const char *words[32];
    size_t count = 0;
    for (size_t i = 0; i < metrics_column_count; i++) {
        const struct metrics_column *column = &metrics_columns[i];
        if (column->type == METRICS_DIGEST || count + 1 == sizeof words / sizeof *words)
            continue;
        if (strcmp(column->name, name) == 0) {
            tolerance->metric = column;
            return STATUS_OK;
        }
        words[count++] = column->name;
    }
    words[count] = NULL;
    const char *near = nearest_word(name, words);
    return error_set(error, STATUS_INPUT,
                     "--tolerance: there is no metric '%s'%s%s%s; %s has validation_error, "
                     "training_loss and others",
                     name, near != NULL ? ", did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "",
                     METRICS_FILE);
}

enum status tolerance_parse(const char *text, struct tolerance *tolerance, struct error *error)
{
    static const char form[] = "=abs:";
    char name[64], *end;
    const char *equals = strstr(text, form);
    if (equals == NULL || (size_t)(equals - text) >= sizeof name)
        return error_set(error, STATUS_INPUT,
                         "--tolerance %s is not of the form METRIC=abs:X, such as validation_error=abs:0.3", text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    const char *number = equals + strlen(form);
    tolerance->most = strtod(number, &end);
    if (number[0] < '0' || number[0] > '9' || *end != '\0' || strpbrk(number, "xX") != NULL ||
        !isfinite(tolerance->most))
        return error_set(error, STATUS_INPUT, "--tolerance %s: '%s' is not a decimal number from 0 on", text, number);
    return parse_metric(name, tolerance, error);
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

static bool column_differs(const struct metrics_column *column, const struct metrics_row *a,
                           const struct metrics_row *b)
{
    const char *x = (const char *)a + column->offset, *y = (const char *)b + column->offset;
    return memcmp(x, y, column->type == METRICS_DIGEST ? DIGEST_HEX_BYTES : sizeof(double)) != 0;
}

static const char *epoch_difference(const struct metrics_row *a, const struct metrics_row *b, bool same_validation)
{
    for (size_t i = 0; i < metrics_column_count; i++) {
        const struct metrics_column *column = &metrics_columns[i];
        const bool exact =
            column->depends == METRICS_TRAINING || (column->depends == METRICS_VALIDATION && same_validation);
        if (exact && column_differs(column, a, b))
            return column->name;
    }
    return NULL;
}

/* Times that nobody measured are no evidence. */
static bool same_times(const struct metrics_row *a, const struct metrics_row *b)
{
    bool measured = false;
    for (size_t i = 0; i < metrics_column_count; i++) {
        const struct metrics_column *column = &metrics_columns[i];
        if (column->depends != METRICS_MACHINE)
            continue;
        if (column_differs(column, a, b))
            return false;
        measured = measured || !isnan(metrics_value(a, column));
    }
    return measured;
}

static uint64_t epoch_of(const struct record *record, uint64_t step)
{
    uint64_t epoch = 0;
    while (epoch < record->epochs && record->metrics[epoch].end_step <= step)
        epoch++;
    return epoch;
}

static void compare_steps(const struct record *first, const struct record *second, struct comparison *c)
{
    for (uint64_t step = 0; step < c->steps && !c->step_differs; step++) {
        c->step_what = ledger_difference(&first->ledger[step], &second->ledger[step]);
        c->step_differs = c->step_what != NULL;
        c->step = step;
    }
    c->epoch_of_step = c->step_differs ? epoch_of(first, c->step) : 0;
}

static void compare_epochs(const struct record *first, const struct record *second, struct comparison *c)
{
    for (uint64_t epoch = 0; epoch < c->epochs; epoch++) {
        const struct metrics_row *a = &first->metrics[epoch], *b = &second->metrics[epoch];
        const char *what = epoch_difference(a, b, c->same_validation);
        double difference = fabs(a->validation_error - b->validation_error);
        if (what != NULL && !c->epoch_differs) {
            c->epoch_differs = true;
            c->epoch = epoch;
            c->epoch_what = what;
        }
        if (difference > c->largest_error_difference) {
            c->largest_error_difference = difference;
            c->largest_error_epoch = epoch;
        }
        c->copied_epochs += c->copied_epochs == epoch && what == NULL && same_times(a, b);
    }
}

/* Whether two records are of one process, before there is an epoch whose times would show it. */
static bool same_process(const struct record_facts *a, const struct record_facts *b)
{
    return a->time_started != NULL && b->time_started != NULL && a->time_started[0] != '\0' &&
           strcmp(a->time_started, b->time_started) == 0 && strcmp(a->host_name, b->host_name) == 0 &&
           strcmp(a->name, b->name) == 0;
}

/* Whether nothing independent was computed. Of imported runs, what was read tells. */
static bool is_copy(const struct record *first, const struct record *second, const struct comparison *c)
{
    if (imported_is(first) && imported_is(second))
        return c->epochs > 0 && run_group_is_same_run(first, second);
    return c->epochs > 0 ? c->copied_epochs == c->epochs : same_process(&first->facts, &second->facts);
}

/* ---- the ladder -------------------------------------------------------------------------------------------------- */

static void judge_metrics(const struct tolerance *tolerances, size_t count, struct comparison *c)
{
    if (c->last_first == NULL) {
        judge(c, VERDICT_NOT_COMPARABLE, "they have no whole epoch in common, and so no metric");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (tolerances[i].metric->depends == METRICS_VALIDATION && !c->same_validation) {
            judge(c, VERDICT_NOT_COMPARABLE,
                  c->validation_known ? "%s was measured on different validation images"
                                      : "it is not known on which images %s was measured; import the run with a "
                                        "manifest that states test_sha256",
                  tolerances[i].metric->name);
            return;
        }
        if (isnan(metrics_value(c->last_first, tolerances[i].metric)) ||
            isnan(metrics_value(c->last_second, tolerances[i].metric))) {
            judge(c, VERDICT_NOT_COMPARABLE, "an imported run has no %s for this epoch", tolerances[i].metric->name);
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct metrics_column *metric = tolerances[i].metric;
        if (tolerance_holds(&tolerances[i], c->last_first, c->last_second))
            continue;
        judge(c, c->same_experiment ? VERDICT_DIFFERS : VERDICT_OTHER_EXPERIMENT,
              "%s differs by %.6g, more than the tolerance of %.6g", metric->name,
              fabs(metrics_value(c->last_first, metric) - metrics_value(c->last_second, metric)), tolerances[i].most);
        return;
    }
    judge(c, VERDICT_WITHIN_TOLERANCE,
          "every metric that you named agrees within its tolerance; bits were not asked "
          "for");
}

static void judge_difference(struct comparison *c)
{
    if (c->step_differs)
        judge(c, VERDICT_DIFFERS, "the bits part at step %" PRIu64 " (from 1), in epoch %" PRIu64 ": %s", c->step + 1,
              c->epoch_of_step + 1, c->step_what);
    else
        judge(c, VERDICT_DIFFERS, "all common steps agree, and epoch %" PRIu64 " (from 1) does not: %s", c->epoch + 1,
              c->epoch_what);
}

/* Where nothing differs. Weights are known by their SHA-256 after an epoch; a ledger's tail has no digest over it. */
static void judge_agreement(const struct record *first, struct comparison *c)
{
    const bool inside = c->epochs == 0 || first->metrics[c->epochs - 1].end_step != c->steps;
    if (c->steps == 0 && c->epochs == 0)
        judge(c, VERDICT_INCOMPLETE, "one of the runs has no step yet, so there is nothing to compare");
    else if (c->longer_first || c->longer_second)
        judge(c, VERDICT_INCOMPLETE, "all common steps and epochs agree, and one run ends earlier");
    else if (inside)
        judge(c, VERDICT_INCOMPLETE, "all steps and epochs agree, and both runs end inside an epoch");
    else if (c->copied_epochs > 0)
        judge(c, VERDICT_IDENTICAL,
              "every step, every epoch and the final weights agree; up to epoch %" PRIu64
              " one is a copy of the other, and %" PRIu64 " of %" PRIu64 " epochs are independent",
              c->copied_epochs, c->epochs - c->copied_epochs, c->epochs);
    else
        judge(c, VERDICT_IDENTICAL,
              "every step, every epoch and the final weights agree, from two independent records");
}

bool validation_is_known(const struct record *first, const struct record *second)
{
    return first->facts.validation_data_sha256[0] != '\0' && second->facts.validation_data_sha256[0] != '\0';
}

void compare_records(const struct record *first, const struct record *second, const struct tolerance *tolerances,
                     size_t count, struct comparison *c)
{
    memset(c, 0, sizeof *c);
    c->same_arithmetic = strcmp(first->facts.arithmetic, second->facts.arithmetic) == 0;
    c->same_experiment = strcmp(first->facts.experiment_sha256, second->facts.experiment_sha256) == 0;
    c->validation_known = validation_is_known(first, second);
    c->same_validation =
        c->validation_known && strcmp(first->facts.validation_data_sha256, second->facts.validation_data_sha256) == 0;
    c->epochs = first->epochs < second->epochs ? first->epochs : second->epochs;
    c->steps = first->steps < second->steps ? first->steps : second->steps;
    c->longer_first = first->steps > second->steps || first->epochs > second->epochs;
    c->longer_second = second->steps > first->steps || second->epochs > first->epochs;
    compare_steps(first, second, c);
    compare_epochs(first, second, c);
    if (run_group_is_whole(first) && run_group_is_whole(second)) {
        c->last_first = &first->metrics[first->epochs - 1];
        c->last_second = &second->metrics[second->epochs - 1];
    } else if (c->epochs > 0) {
        c->last_first = &first->metrics[c->epochs - 1];
        c->last_second = &second->metrics[c->epochs - 1];
    }

    const bool agree = c->same_arithmetic && c->same_experiment && !c->step_differs && !c->epoch_differs;
    if (agree && is_copy(first, second, c))
        judge(c, VERDICT_SAME_DOCUMENT, "one record and a copy of it: nothing independent was compared");
    else if (count > 0)
        judge_metrics(tolerances, count, c);
    else if (imported_is(first) || imported_is(second))
        judge(c, VERDICT_NOT_COMPARABLE,
              "%s was computed by another tool and imported (%.100s), so it has no bits to compare",
              imported_is(first) ? "the first run" : "the second run",
              imported_is(first) ? first->facts.imported.tool : second->facts.imported.tool);
    else if (!c->same_arithmetic)
        judge(c, VERDICT_NOT_COMPARABLE, "their arithmetics, %s and %s, never give the same bits",
              first->facts.arithmetic, second->facts.arithmetic);
    else if (!first->facts.exact || !second->facts.exact)
        judge(c, VERDICT_NOT_COMPARABLE, "%s arithmetic promises no bits", first->facts.arithmetic);
    else if (!c->same_experiment)
        judge(c, VERDICT_OTHER_EXPERIMENT, "their experiments differ, %.16s... and %.16s...",
              first->facts.experiment_sha256, second->facts.experiment_sha256);
    else if (!agree)
        judge_difference(c);
    else
        judge_agreement(first, c);
}
