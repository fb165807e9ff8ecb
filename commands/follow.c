#include "commands/follow.h"

#include <stddef.h>
#include <time.h>

#include "base/stop.h"

bool follow_wait(void)
{
    /* A signal in the meantime ends the wait at once; one just before it is noticed at its end. */
    (void)nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
    return !stop_requested(NULL);
}
