/* The parts of selfsame compare that are about the traces of a step. */
#ifndef SELFSAME_COMPARE_TRACES_H
#define SELFSAME_COMPARE_TRACES_H

#include "commands/command.h"
#include "results/record.h"

/* Whether one of the operands is a trace. Then compare_traces compares them, and prints the answer. */
bool compare_has_traces(const struct arguments *arguments);
enum status compare_traces(const struct arguments *arguments, struct error *error) MUST_USE;

/* STATUS_INPUT for options that do not go with --trace, or only with it. */
enum status compare_check_trace(const struct arguments *arguments, struct error *error) MUST_USE;
/* --trace: computes a step (from 0) of two runs again, and prints the first tensor that differs; or, if none does,
 * which of the two records says otherwise. */
enum status compare_runs_at(const struct record *first, const struct record *second, uint64_t step,
                            const struct arguments *arguments, struct error *error) MUST_USE;

#endif
