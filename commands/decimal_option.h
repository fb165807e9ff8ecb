/* Options whose value is a decimal number. */
#ifndef SELFSAME_DECIMAL_OPTION_H
#define SELFSAME_DECIMAL_OPTION_H

#include "commands/command.h"

/* The value of an OPTION_TEXT as a number above 0 and below `limit`; `fallback` where it was not given. STATUS_INPUT
 * for anything else. */
enum status decimal_option(const struct arguments *arguments, const char *option, double limit, double fallback,
                           double *value, struct error *error) MUST_USE;

#endif
