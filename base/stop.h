/* Signals that ask a command to stop: a leaf room.
 *
 * The first SIGINT, SIGTERM or SIGHUP is noted, for the command to end where it can be gone on with; the second ends
 * the process at once. A SIGHUP that was being ignored (nohup) stays ignored. */
#ifndef SELFSAME_STOP_H
#define SELFSAME_STOP_H

#include <stdbool.h>

/* What a person at the keyboard is told on standard error, each a whole line: `first` when Ctrl-C was noted, `second`
 * when the process ends at once. Both outlive the process; NULL for nothing. */
void stop_watch(const char *first, const char *second);
/* Whether a signal has come; context is not looked at, so that this can be a callback. */
bool stop_requested(void *context);

#endif
