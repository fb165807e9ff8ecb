#include "commands/decimal_option.h"

#include <stdlib.h>
#include <string.h>

enum status decimal_option(const struct arguments *arguments, const char *option, double limit, double fallback,
                           double *value, struct error *error)
{
    const char *text = arguments_text(arguments, option);
    char *end;
    *value = fallback;
    if (text == NULL)
        return STATUS_OK;
    *value = strtod(text, &end);
    if (text[strspn(text, "0123456789.")] != '\0' || *end != '\0' || !(*value > 0.0) || !(*value < limit))
        return error_set(error, STATUS_INPUT, "--%s: '%s' is not a number above 0 and below %g", option, text, limit);
    return STATUS_OK;
}
