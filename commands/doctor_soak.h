/* selfsame doctor --soak: known answers on every core, until the time is over. */
#ifndef SELFSAME_DOCTOR_SOAK_H
#define SELFSAME_DOCTOR_SOAK_H

#include <stdbool.h>

#include "base/error.h"

/* Soaks for a duration such as "30s", "10m" or "8h", and prints the report, as JSON or as text. STATUS_NO if an answer
 * was wrong, STATUS_INTERRUPTED if the user ended it. */
enum status doctor_soak(const char *duration, bool json, struct error *error) MUST_USE;

#endif
