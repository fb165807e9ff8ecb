/* train --after: the user's command, which the shell runs after each run, with the folders of the finished runs. */
#ifndef SELFSAME_AFTER_H
#define SELFSAME_AFTER_H

#include "base/error.h"

struct after_runs;

/* NULL for no command is fine everywhere below: then nothing is run. */
enum status after_open(struct after_runs **after, const char *command, struct error *error) MUST_USE;
/* Adds a run, and runs the command with all runs so far. If the command fails, a message on standard error says so; it
 * is not an error. */
enum status after_run(struct after_runs *after, const char *runs, const char *name, struct error *error) MUST_USE;
void after_close(struct after_runs *after);

#endif
