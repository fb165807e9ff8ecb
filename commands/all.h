/* The table of all commands. */
#ifndef SELFSAME_ALL_H
#define SELFSAME_ALL_H

#include "commands/command.h"

extern const struct command *const all_commands[]; /* NULL-terminated */

/* NULL if there is none of that name. */
const struct command *command_find(const char *name);
/* STATUS_INPUT, with the nearest name that there is. */
enum status command_unknown(const char *name, struct error *error);

#endif
