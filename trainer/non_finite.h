/* Which number of a step is not finite, and the message about it: ARITHMETIC.md section 1. */
#ifndef SELFSAME_NON_FINITE_H
#define SELFSAME_NON_FINITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* In the order in which a step looks. */
enum non_finite { NON_FINITE_FORWARD, NON_FINITE_LOGITS, NON_FINITE_LOSS, NON_FINITE_BACKWARD, NON_FINITE_UPDATE };

enum { NON_FINITE_BYTES = 128 };

/* The message about it; name: the layer's weight or the tensor, or "". */
void non_finite_describe(char *text, size_t size, enum non_finite what, const char *name);
/* STATUS_NO, with what to do. The step counts from 0, and the message from 1. */
enum status non_finite_error(struct error *error, uint64_t step, const char *description);

#endif
