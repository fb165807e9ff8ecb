/* Options whose value is numbers and ranges of them, such as 1-10 or 1,2,5-8. */
#ifndef SELFSAME_NUMBER_LIST_H
#define SELFSAME_NUMBER_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct number_list {
    uint64_t *numbers; /* in the order that was given, no number twice */
    size_t count;
};

/* What a list may have. */
struct number_bounds {
    uint64_t low, high;
    size_t count;     /* at most so many numbers */
    const char *what; /* what they are called in messages, such as "seeds" */
};

/* STATUS_INPUT for a text that is no such list; the message begins with --OPTION. The caller frees the list whatever
 * the status. */
enum status number_list_parse(struct number_list *list, const char *option, const char *text,
                              const struct number_bounds *bounds, struct error *error) MUST_USE;
void number_list_free(struct number_list *list);

#endif
