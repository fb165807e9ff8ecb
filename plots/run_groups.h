/* Runs of one experiment that differ in the seed alone belong together. */
#ifndef SELFSAME_RUN_GROUPS_H
#define SELFSAME_RUN_GROUPS_H

#include "results/record.h"

/* The number of a run's group, from 0 and in the order of the groups' first runs, for each run. Returns how many groups
 * there are. */
size_t run_groups(const struct record *const *runs, size_t count, size_t *group_of);

/* Whether two runs of one group are one computation, made twice: it says nothing about the seeds. */
bool run_repeats(const struct record *a, const struct record *b);

#endif
