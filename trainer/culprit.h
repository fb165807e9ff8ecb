/* What is not finite in a step, and how that is said: ARITHMETIC.md section 1. */
#ifndef SELFSAME_CULPRIT_H
#define SELFSAME_CULPRIT_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/common/error.h"

/* In the order in which a step looks. */
enum culprit { CULPRIT_FORWARD, CULPRIT_LOGITS, CULPRIT_LOSS, CULPRIT_BACKWARD, CULPRIT_UPDATE };

enum { CULPRIT_BYTES = 128 };

/* Words for it; name: the layer's weight or the tensor, or "". */
void culprit_describe(char *text, size_t size, enum culprit culprit, const char *name);
/* STATUS_NO, with what to do. */
enum status culprit_error(struct error *error, uint64_t step, const char *description);

#endif
