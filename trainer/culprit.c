#include "trainer/culprit.h"

#include <inttypes.h>
#include <stdio.h>

void culprit_describe(char *text, size_t size, enum culprit culprit, const char *name)
{
    static const struct {
        const char *before, *after;
    } texts[] = {
        [CULPRIT_FORWARD] = { "the output of ", ", or its batch norm" },
        [CULPRIT_LOGITS] = { "the batch norm over the logits", "" },
        [CULPRIT_LOSS] = { "the loss", "" },
        [CULPRIT_BACKWARD] = { "the gradient of the output of ", "" },
        [CULPRIT_UPDATE] = { "", " after the update" },
    };
    snprintf(text, size, "%s%s%s", texts[culprit].before, name, texts[culprit].after);
}

enum status culprit_error(struct error *error, uint64_t step, const char *description)
{
    return error_set(error, STATUS_NO,
                     "step %" PRIu64 ": a number that is not finite (NaN or infinity) in %s; the training diverged: a "
                     "lower learning rate or a warm-up is the usual cure",
                     step, description);
}
