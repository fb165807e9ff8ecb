/* Runs of one experiment that differ in the seed alone belong together. */
#ifndef SELFSAME_RUN_GROUPS_H
#define SELFSAME_RUN_GROUPS_H

#include "results/record.h"

/* The number of a run's group, from 0 and in the order of the groups' first runs, for each run. Returns how many groups
 * there are. */
size_t run_groups(const struct record *const *runs, size_t count, size_t *group_of);

/* Mean, standard deviation (NaN for one value), least and largest of values. */
struct spread {
    size_t count;
    double mean, deviation, least, largest;
};
struct spread spread_of(const double *values, size_t count);

#endif
