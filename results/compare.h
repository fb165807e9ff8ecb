/* Compares two runs by their records (the command only prints the answer), with one ladder of verdicts, bad to good.
 * The first verdict that holds is the answer. record_check.h and weights_check.h come first: a record that contradicts
 * itself never gets here.
 *
 * copies   Times are measured to the nanosecond, and every computation has its own. So if two runs have equal times for
 *          an epoch, it was computed once and copied, and proves nothing about a second machine. A record that is
 *          forged with other times is not found out. A signature says who vouches for it. Imported runs are copies if
 *          what was read had the same SHA-256. */
#ifndef SELFSAME_COMPARE_H
#define SELFSAME_COMPARE_H

#include "results/record.h"

enum verdict {
    VERDICT_MALFORMED,        /* a record's files cannot be read, or contradict each other; never of compare_records */
    VERDICT_SAME_DOCUMENT,    /* one record and a copy of it: nothing independent was compared */
    VERDICT_WITHIN_SPREAD,    /* the results of several runs agree as far as seeds explain; of compare_groups.h alone */
    VERDICT_WITHIN_TOLERANCE, /* the named metrics agree within their tolerances; bits were not compared */
    VERDICT_NOT_COMPARABLE,   /* bits were never promised to agree, or a named metric cannot be compared */
    VERDICT_OTHER_EXPERIMENT, /* the experiment digests differ */
    VERDICT_DIFFERS,          /* a step or an epoch has other bits, or a named metric is out of its tolerance */
    VERDICT_INCOMPLETE,       /* all common steps agree, but a run ends earlier, or inside an epoch */
    VERDICT_IDENTICAL,        /* every step, epoch and the final weights, from two independent records */
    VERDICTS
};

/* Such as "same-document". */
const char *verdict_name(enum verdict verdict);
/* STATUS_OK, STATUS_NO or STATUS_INPUT. */
enum status verdict_status(enum verdict verdict);
/* The more serious of two: by exit status, then by place in the ladder. */
enum verdict verdict_worse(enum verdict a, enum verdict b);

/* "METRIC=abs:X": a column of metrics.jsonl, and how far two runs may lie apart in it. */
struct tolerance {
    const struct metrics_column *metric;
    double most;
};
enum status tolerance_parse(const char *text, struct tolerance *tolerance, struct error *error) MUST_USE;

struct comparison {
    enum verdict verdict;
    char sentence[256]; /* what the verdict means here, without a full stop */
    bool same_arithmetic, same_experiment;
    bool validation_known;
    bool same_validation;             /* else what was measured on the validation images is not compared */
    uint64_t epochs, steps;           /* compared: what both have */
    bool longer_first, longer_second; /* one of the two has more */
    uint64_t copied_epochs;           /* from the first on: computed once and copied */
    bool step_differs, epoch_differs;
    uint64_t step;                   /* the first that differs, from 0 */
    uint64_t epoch_of_step;          /* the epoch it belongs to, from 0 */
    const char *step_what;           /* "loss", "errors", "weights after it" */
    uint64_t epoch;                  /* the first whose line differs, from 0 */
    const char *epoch_what;          /* the column */
    double largest_error_difference; /* validation error, percentage points */
    uint64_t largest_error_epoch;
    /* The lines that the metrics are compared in: the last ones of two complete runs, else the last that both have;
     * NULL where there is none. */
    const struct metrics_row *last_first, *last_second;
};

/* Whether both say on which images they were evaluated. An imported run may not. */
bool validation_is_known(const struct record *first, const struct record *second);

/* Without tolerances (count 0), bits are compared. */
void compare_records(const struct record *first, const struct record *second, const struct tolerance *tolerances,
                     size_t count, struct comparison *comparison);

/* Whether a metric of two lines agrees within the tolerance; not if it is missing in one. Numbers that were decimal
 * fractions are compared as such: up to 10^-9 more counts as rounding, or 10^-9 of the larger number if that is above
 * 1. */
bool tolerance_holds(const struct tolerance *tolerance, const struct metrics_row *a, const struct metrics_row *b);

#endif
