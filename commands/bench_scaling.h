/* selfsame bench --threads 1,2,4: the same steps with several numbers of threads. */
#ifndef SELFSAME_BENCH_SCALING_H
#define SELFSAME_BENCH_SCALING_H

#include <stdbool.h>

#include "commands/bench_measure.h"
#include "commands/number_list.h"

/* Measures each number in turn, with an engine of its own, and prints a table or JSON; m says what to measure.
 * STATUS_NO if the bits depend on the number of threads. */
enum status bench_scaling(const struct network *network, const struct recipe *recipe, struct engine_options options,
                          const struct dataset *noise, const struct measurement *m, const struct number_list *threads,
                          bool json, struct error *error) MUST_USE;

#endif
