/* What others published about the networks on CIFAR-10: the targets of the manifests in experiments/, and
 * plots/published_results.tsv. */
#ifndef SELFSAME_PUBLISHED_H
#define SELFSAME_PUBLISHED_H

#include <stddef.h>

#include "base/error.h"

enum { PUBLISHED_TEXT_BYTES = 64 };

struct published_value {
    char source[PUBLISHED_TEXT_BYTES];
    double depth, value, spread; /* spread: a standard deviation, or NaN */
};

/* All values of a quantity, "error" or "seconds", each source's together and by rising depth. The caller frees. */
enum status published_read(const char *quantity, struct published_value **values, size_t *count,
                           struct error *error) MUST_USE;

#endif
