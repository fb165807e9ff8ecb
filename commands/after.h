/* train --after: a command of the user's, run by the shell after each run, with the runs that are finished. */
#ifndef SELFSAME_AFTER_H
#define SELFSAME_AFTER_H

#include "base/error.h"

struct after_runs;

/* NULL for no command is fine everywhere below: then nothing is run. */
enum status after_open(struct after_runs **after, const char *command, struct error *error) MUST_USE;
/* Adds a run and runs the command with all so far. A command that fails is said on standard error, and is no error. */
enum status after_run(struct after_runs *after, const char *runs, const char *name, struct error *error) MUST_USE;
void after_close(struct after_runs *after);

#endif
