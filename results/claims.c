#include "results/claims.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static const char RANKS[] = "RANKS";

static void add(struct claims *claims, const char *claim)
{
    size_t count = 0;
    while (claims->list[count] != NULL)
        count++;
    assert(count < CLAIMS_MAX);
    claims->list[count] = claim;
}

static bool is_in(const char *const *list, const char *claim)
{
    for (; list != NULL && *list != NULL; list++) {
        if (strcmp(*list, claim) == 0)
            return true;
    }
    return false;
}

void claims_list(struct claims *claims, bool exact, bool any_device, bool ranks)
{
    static const char *const of_exact[] = { "THREADS", "ISA", "COMPILER" };
    *claims = (struct claims){ { NULL } };
    add(claims, "RUN_TO_RUN");
    for (size_t i = 0; i < sizeof of_exact / sizeof *of_exact && exact; i++)
        add(claims, of_exact[i]);
    if (exact && any_device)
        add(claims, "DEVICE");
    if (exact && ranks)
        add(claims, RANKS);
}

void claims_keep_ranks(struct claims *claims, const char *const *earlier)
{
    if (is_in(earlier, RANKS) && !is_in(claims->list, RANKS))
        add(claims, RANKS);
}
