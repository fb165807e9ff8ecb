/* What a record claims: which repetitions of a run give the same bits. */
#ifndef SELFSAME_CLAIMS_H
#define SELFSAME_CLAIMS_H

#include <stdbool.h>

enum { CLAIMS_MAX = 6 };
struct claims {
    const char *list[CLAIMS_MAX + 1]; /* NULL after the last */
};

/* What the engines that compute the arithmetic can show. any_device: there are engines for more than one kind of
 * device. ranks: several ranks compute this run. */
void claims_list(struct claims *claims, bool exact, bool any_device, bool ranks);
/* A run that ranks have computed once keeps that claim. earlier: the claims of its record so far, or NULL. */
void claims_keep_ranks(struct claims *claims, const char *const *earlier);

#endif
