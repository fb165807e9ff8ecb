/* Two runs compared: identical, or where they part. Compares the epochs and steps that both have. */
#ifndef SELFSAME_COMPARE_H
#define SELFSAME_COMPARE_H

#include "results/record.h"

struct comparison {
    bool same_arithmetic, same_experiment;
    bool same_validation;             /* else what was measured on the validation images is not compared */
    uint64_t epochs, steps;           /* compared: what both have */
    bool longer_first, longer_second; /* one of the two has more */
    bool identical;                   /* no difference in what was compared, the experiment included */
    bool incomplete;                  /* no difference, but one of the two has more; or there is nothing to compare */
    bool step_differs, epoch_differs;
    uint64_t step;                   /* the first that differs, from 0 */
    uint64_t epoch_of_step;          /* the epoch it belongs to, from 0 */
    const char *step_what;           /* "loss", "errors", "weights after it" */
    uint64_t epoch;                  /* the first whose line differs, from 0 */
    const char *epoch_what;          /* the column */
    double largest_error_difference; /* validation error, percentage points */
    uint64_t largest_error_epoch;
};

/* Compares what is exact in the two records. */
void compare_records(const struct record *first, const struct record *second, struct comparison *comparison);

#endif
