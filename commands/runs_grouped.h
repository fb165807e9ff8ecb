/* selfsame runs --group seed: mean, spread and interval over the seeds. */
#ifndef SELFSAME_RUNS_GROUPED_H
#define SELFSAME_RUNS_GROUPED_H

#include "results/run_index.h"

/* Prints a row for all runs that differ in the seed alone and have as many epochs. `where` and `format` may be NULL. */
enum status print_grouped_runs(struct run_index *index, const char *where, const char *format,
                               struct error *error) MUST_USE;

#endif
