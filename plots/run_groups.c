#include "plots/run_groups.h"

#include <math.h>
#include <string.h>

static bool is_same_but_for_seed(const struct record *a, const struct record *b)
{
    return strcmp(a->manifest.experiment, b->manifest.experiment) == 0 &&
           strcmp(a->facts.arithmetic, b->facts.arithmetic) == 0 &&
           strcmp(a->facts.validation_data_sha256, b->facts.validation_data_sha256) == 0;
}

size_t run_groups(const struct record *const *runs, size_t count, size_t *group_of)
{
    size_t groups = 0;
    for (size_t i = 0; i < count; i++) {
        group_of[i] = groups;
        for (size_t k = 0; k < i; k++) {
            if (is_same_but_for_seed(runs[k], runs[i])) {
                group_of[i] = group_of[k];
                break;
            }
        }
        groups += group_of[i] == groups;
    }
    return groups;
}

struct spread spread_of(const double *values, size_t count)
{
    struct spread spread = { .count = count, .mean = 0.0, .least = INFINITY, .largest = -INFINITY };
    double squares = 0.0;
    for (size_t i = 0; i < count; i++) {
        spread.mean += values[i] / (double)count;
        spread.least = fmin(spread.least, values[i]);
        spread.largest = fmax(spread.largest, values[i]);
    }
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - spread.mean) * (values[i] - spread.mean);
    spread.deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : NAN;
    return spread;
}
