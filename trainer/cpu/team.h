/* A team of threads that runs one function after another: the caller is thread 0, the others wait in between.
 *
 * They spin for some microseconds and then sleep. With OpenMP's spinning barriers, a step took 6 times as long when
 * another program used one of the two cores (measured: 540 instead of 86 ms at depth 20), because the spinning thread
 * kept the late one from its core. Sleeping costs about 1 % on an idle machine.
 *
 * Every thread runs in the float environment of ARITHMETIC.md (float_environment.h); the caller enters it itself. */
#ifndef SELFSAME_TEAM_H
#define SELFSAME_TEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct team;

/* STATUS_ENVIRONMENT when the system has no more threads or memory. */
enum status team_open(struct team **team, uint32_t threads, struct error *error) MUST_USE;
void team_close(struct team *team);
/* Keeps each thread on a processor of its own: thread t, the caller being thread 0, on processors[t]. team_close gives
 * the caller its former processors back. STATUS_ENVIRONMENT where the system refuses. */
enum status team_pin(struct team *team, const uint32_t *processors, struct error *error) MUST_USE;
/* Calls work(context, thread) once on every thread, 0 .. threads-1, and returns when all have returned. */
void team_run(struct team *team, void (*work)(void *context, uint32_t thread), void *context);

/* Hands the items 0 .. count-1 of one piece of work to the team's threads. Each begins with a run of its own, for the
 * sake of its caches, and takes over from the others when it is done. No result depends on which thread computes what.
 * Set up anew for each piece of work, before team_run; with `down` each run is walked from its end. */
void team_share(struct team *team, uint32_t count, bool down);
/* Takes an item; false when nothing is left. *victim starts as the thread's number and is the caller's to keep. *after
 * is the item that will probably be this thread's next, or the item itself when that is not known. */
bool team_take(struct team *team, uint32_t thread, uint32_t *victim, uint32_t *item, uint32_t *after);

#endif
