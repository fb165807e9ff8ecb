#include "trainer/non_finite.h"

#include <inttypes.h>
#include <stdio.h>

void non_finite_describe(char *text, size_t size, enum non_finite what, const char *name)
{
    static const struct {
        const char *before, *after;
    } texts[] = {
        [NON_FINITE_FORWARD] = { "the output of ", ", or its batch norm" },
        [NON_FINITE_LOGITS] = { "the batch norm over the logits", "" },
        [NON_FINITE_LOSS] = { "the loss", "" },
        [NON_FINITE_BACKWARD] = { "the gradient of the output of ", "" },
        [NON_FINITE_UPDATE] = { "", " after the update" },
    };
    snprintf(text, size, "%s%s%s", texts[what].before, name, texts[what].after);
}

enum status non_finite_error(struct error *error, uint64_t step, const char *description)
{
    return error_set(error, STATUS_NO,
                     "step %" PRIu64 " (from 1): a number that is not finite (NaN or infinity) in %s; the training "
                     "diverged: a lower learning rate or a warm-up is the usual cure",
                     step + 1, description);
}
