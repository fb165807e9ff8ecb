/* Ranks without MPI: threads of a test, with a module that copies between them. */
#ifndef SELFSAME_THREADED_RANKS_H
#define SELFSAME_THREADED_RANKS_H

#include <stdint.h>

#include "ranks/ranks.h"

enum { THREADED_RANKS_MAX = 16 };

/* Calls work once on each of `count` threads, with the ranks that they are, and waits for all. The process ends where
 * two ranks do not agree on the bytes of an exchange. */
void threaded_ranks_run(uint32_t count, void (*work)(void *context, struct ranks *ranks), void *context);

#endif
