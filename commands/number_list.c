#include "commands/number_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

/* The digits at *text, which is moved behind them. */
static bool parse_number(const char **text, const struct number_bounds *bounds, uint64_t *number)
{
    char *end;
    errno = 0;
    if (**text < '0' || **text > '9')
        return false;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0 && *number >= bounds->low && *number <= bounds->high;
}

static enum status add(struct number_list *list, const char *option, uint64_t first, uint64_t last,
                       const struct number_bounds *bounds, struct error *error)
{
    if (last - first >= bounds->count - list->count)
        return error_set(error, STATUS_INPUT, "--%s names more than %zu %s", option, bounds->count, bounds->what);
    for (uint64_t number = first; number <= last; number++) {
        for (size_t i = 0; i < list->count; i++) {
            if (list->numbers[i] == number)
                return error_set(error, STATUS_INPUT, "--%s names %" PRIu64 " twice", option, number);
        }
        list->numbers[list->count++] = number;
    }
    return STATUS_OK;
}

enum status number_list_parse(struct number_list *list, const char *option, const char *text,
                              const struct number_bounds *bounds, struct error *error)
{
    const char *given = text;
    *list = (struct number_list){ .numbers = calloc(bounds->count, sizeof *list->numbers) };
    if (list->numbers == NULL)
        return error_out_of_memory(error, "the %s", bounds->what);
    for (bool more = true; more;) {
        uint64_t first, last;
        if (!parse_number(&text, bounds, &first))
            break;
        last = first;
        if (*text == '-') {
            text++;
            if (!parse_number(&text, bounds, &last))
                break;
        }
        if (last < first)
            return error_set(error, STATUS_INPUT, "--%s %s: %" PRIu64 "-%" PRIu64 " goes backwards", option, given,
                             first, last);
        enum status status = add(list, option, first, last, bounds, error);
        if (status != STATUS_OK)
            return status;
        more = *text == ',';
        text += more;
        if (!more && *text == '\0')
            return STATUS_OK;
    }
    return error_set(error, STATUS_INPUT,
                     "--%s %s: must be numbers from %" PRIu64 " to %" PRIu64 " and ranges of them, with commas "
                     "between, such as 1-10 or 1,2,5-8",
                     option, given, bounds->low, bounds->high);
}

void number_list_free(struct number_list *list)
{
    free(list->numbers);
    list->numbers = NULL;
}
