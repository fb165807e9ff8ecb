/* compare --statistics: two groups of runs instead of bits. */
#ifndef SELFSAME_COMPARE_STATISTICS_H
#define SELFSAME_COMPARE_STATISTICS_H

#include "commands/command.h"

enum status compare_statistics(const struct arguments *arguments, struct error *error) MUST_USE;

#endif
