/* What the commands with --follow share. */
#ifndef SELFSAME_FOLLOW_H
#define SELFSAME_FOLLOW_H

#include <stdbool.h>

#define OPTION_FOLLOW(help)                           \
    {                                                 \
        "follow", NULL, OPTION_FLAG, 0, 0, NULL, help \
    }

/* Waits for two seconds. False where a signal asked to stop; stop_watch() has been called. */
bool follow_wait(void);

#endif
