/* Runs that differ in their seeds alone: the samples that statistics are made of. */
#ifndef SELFSAME_RUN_GROUP_H
#define SELFSAME_RUN_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "results/record.h"

/* Runs of one recipe in one arithmetic, all of selfsame or all imported, evaluated on the same images, in the order
 * they were given. */
struct run_group {
    const struct record **records; /* [count]; they belong to the caller */
    size_t count;
    size_t repeats; /* runs that were left out: their weights have the same bits as those of one that is here */
};

/* Sorts records into groups, in the order of their first runs. With `by_targets`, runs whose manifests state other
 * targets are another group. The caller frees with run_groups_free, also after an error. */
enum status run_groups_make(struct record *const *records, size_t count, bool by_targets, struct run_group **groups,
                            size_t *group_count, struct error *error) MUST_USE;
void run_groups_free(struct run_group *groups, size_t count);

/* Whether two runs follow one recipe: everything that moves bits is equal, except for the arithmetic and the seed. */
bool run_group_same_recipe(const struct record *a, const struct record *b);

/* Whether two runs are one computation: their final weights have the same bits. Imported runs have no weights; two of
 * them are one computation if they were read from the same bytes. */
bool run_group_is_same_run(const struct record *a, const struct record *b);

bool run_group_is_whole(const struct record *record);
/* The validation error after the last epoch so far, or the least of all epochs, percent; NaN before the first, or if an
 * imported run does not have it. */
double run_group_error(const struct record *record, bool best);
/* The errors of all runs; the caller frees. NULL without memory. */
double *run_group_errors(const struct run_group *group, bool best);
/* The median over the epochs of training and validation together, seconds: a machine that was busy for a while does not
 * move it. NaN without an epoch, or without memory. Epochs in which a run was resumed are too short, and few. */
double run_group_seconds(const struct metrics_row *rows, size_t epochs);
/* What people call it: a run's name, "msra-resnet20, 5 runs", and of imported runs that they are. */
void run_group_name(const struct run_group *group, char *name, size_t size);

#endif
