/* selfsame table --group: a line for several runs; and what these lines share with those of single runs. */
#ifndef SELFSAME_TABLE_GROUPS_H
#define SELFSAME_TABLE_GROUPS_H

#include "base/error.h"
#include "results/record.h"

/* Sorted records: a line for each group of runs that differ in their seeds alone, or for each machine, engine and
 * depth. The format is table_print's. */
enum status table_print_seeds(struct record *const *records, size_t count, const char *format,
                              struct error *error) MUST_USE;
enum status table_print_machines(struct record *const *records, size_t count, const char *format,
                                 struct error *error) MUST_USE;

/* A manifest's first target for the error after the last epoch; NULL for none. */
const struct manifest_target *table_final_target(const struct manifest *manifest);
/* The final error that a family of manifests, "msra" or "paper", says was published for a run's depth; NaN where the
 * run is on other data or the family has no such depth. */
enum status table_published_error(const char *family, const struct record *record, double *value,
                                  struct error *error) MUST_USE;

#endif
