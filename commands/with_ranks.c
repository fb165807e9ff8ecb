#include "commands/with_ranks.h"

#include <stdio.h>

#include "base/text.h"

enum status ranks_check_engine(const struct ranks *ranks, const struct engine_operations *operations,
                               struct error *error)
{
    if (ranks == NULL || operations->takes_ranks)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%u ranks were started, but the engine %s computes in one process; start one process, or pass "
                     "--engine cpu with an exact arithmetic",
                     ranks_count(ranks), operations->name);
}

enum status ranks_leave(struct ranks *ranks, const char *command, enum status status, struct error *error)
{
    if (ranks == NULL)
        return status;
    const bool unheard = status != STATUS_OK && ranks_agreed(ranks) == STATUS_OK;
    if (status != STATUS_OK && (unheard || ranks_own(ranks) == 0) && error->message[0] != '\0')
        text_line(stderr, "selfsame %s: %s", command, error->message);
    error->message[0] = '\0';
    if (unheard)
        ranks_abort(ranks, status_exit(status));
    ranks_close(ranks);
    return status;
}
