/* Signals that ask a command to stop.
 *
 * The first SIGINT, SIGTERM or SIGHUP is noted, so that the command ends at a point from which it can be resumed. The
 * second ends the process at once, unless it comes within half a second: then it is the same request, sent to the
 * process and to its group. If SIGHUP was ignored at the start (nohup), it stays ignored. */
#ifndef SELFSAME_STOP_H
#define SELFSAME_STOP_H

#include <stdbool.h>

/* The lines that a user at the keyboard gets on standard error: `first` when Ctrl-C was noted, `second` when the
 * process ends at once. Both outlive the process; NULL for nothing. */
void stop_watch(const char *first, const char *second);
/* Whether a signal has come. It ignores context, so that it can be a callback. */
bool stop_requested(void *context);

#endif
