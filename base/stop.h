/* Signals that ask a command to stop: a leaf room.
 *
 * The first SIGINT, SIGTERM or SIGHUP is noted, for the command to end where it can be gone on with; the second, whose
 * action is the default again, ends the process at once. A SIGHUP that was being ignored (nohup) stays ignored. */
#ifndef SELFSAME_STOP_H
#define SELFSAME_STOP_H

#include <stdbool.h>

void stop_watch(void);
/* Whether a signal has come; context is not looked at, so that this can be a callback. */
bool stop_requested(void *context);

#endif
