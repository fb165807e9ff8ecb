/* Which series of another tool is which metric of ours, and the rows of metrics.jsonl that follow from it.
 *
 * Nothing is guessed: a series belongs to a metric if you say so, or if its name is the metric's. A value that is not
 * there is missing. Errors are percentages unless you say that they are fractions. */
#ifndef SELFSAME_IMPORT_METRICS_H
#define SELFSAME_IMPORT_METRICS_H

#include "exchange/import_source.h"
#include "experiments/manifest.h"
#include "results/metrics.h"

/* What the user says. Any text may be NULL. */
struct import_choice {
    const char *const *columns; /* OURS=THEIRS, up to a NULL */
    const char *fractions;      /* names of ours whose values are fractions of 1, with commas between them */
    const char *percent;        /* the same, of which all values are percentages, even if none is above 1 */
    bool steps;                 /* the source counts training steps, not epochs */
    bool last;                  /* of several values for one epoch, the last counts */
    bool first_given;           /* whether it is said what the source calls the first epoch: */
    int64_t first;
};

/* STATUS_INPUT for a choice that is not well formed, naming the nearest name that exists. */
enum status import_choice_check(const struct import_choice *choice, struct error *error) MUST_USE;

/* What the user calls the column that counts: "epoch" or "step", or what --column says. */
const char *import_counter(const struct import_choice *choice);

/* Whether a series of this name may become a metric. */
bool import_wants(const struct import_choice *choice, const char *name);

/* The rows, from epoch 0 to the last one that has a value. `formulas` says how each metric follows from its series, for
 * the record. STATUS_INPUT names the place of a value that cannot be, the epochs that the manifest does not have, or
 * what the source has if nothing of it is a metric. */
struct import_rows {
    struct metrics_row *rows; /* [count] */
    size_t count;
    struct import_texts formulas;
    bool has_error; /* whether there is any validation error */
};
enum status import_rows_make(struct import_source *source, const struct import_choice *choice,
                             const struct manifest *manifest, struct import_rows *rows, struct error *error) MUST_USE;
void import_rows_free(struct import_rows *rows);

#endif
