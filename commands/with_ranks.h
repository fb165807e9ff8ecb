/* What commands that take ranks have in common. Only rank 0 prints. */
#ifndef SELFSAME_WITH_RANKS_H
#define SELFSAME_WITH_RANKS_H

#include "ranks/ranks.h"
#include "trainer/engine.h"

/* STATUS_INPUT if there are ranks, and the engine computes in one process. */
enum status ranks_check_engine(const struct ranks *ranks, const struct engine_operations *operations,
                               struct error *error) MUST_USE;

/* Leaves the ranks at the end of a command. With ranks, rank 0 prints the error here, and no rank does later: a
 * launcher that was told to stop may not wait for more. If the other ranks have not heard of the error, they wait for
 * this one, and are ended. Returns the status. */
enum status ranks_leave(struct ranks *ranks, const char *command, enum status status, struct error *error);

#endif
