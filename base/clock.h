/* The one clock for measuring durations. */
#ifndef SELFSAME_CLOCK_H
#define SELFSAME_CLOCK_H

#include <time.h>

/* Seconds since some moment before the process began, monotonic: only differences mean something. */
static inline double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
