/* bench --against: another build of the program, which takes its steps in turn with this one. It gets a line for each
 * step, and answers with the milliseconds and the digest of the state. Other programs on the machine then disturb both
 * builds alike. So the ratio of their times is worth more than two measurements one after the other. */
#ifndef SELFSAME_BENCH_AGAINST_H
#define SELFSAME_BENCH_AGAINST_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

struct opponent {
    pid_t process;
    FILE *to, *from;
};

/* Starts `command`, a program and perhaps options of `selfsame bench`, parted by blanks, with the given words after it
 * (NULL-terminated), and waits until it is ready.
 * errors   STATUS_INPUT if it does not start or says that it does not know --in-turn. */
enum status opponent_open(struct opponent *opponent, const char *command, const char *const *words,
                          struct error *error) MUST_USE;
/* One step of the opponent. */
enum status opponent_step(struct opponent *opponent, double *step_ms, uint64_t digest[2], struct error *error) MUST_USE;
void opponent_close(struct opponent *opponent);

/* The other side: answers lines of standard input with `step` until they end. */
enum status opponent_serve(enum status (*step)(void *context, double *step_ms, uint64_t digest[2], struct error *error),
                           void *context, struct error *error) MUST_USE;

#endif
