/* What the commands with --follow share: the option, and the wait between two looks. */
#ifndef SELFSAME_FOLLOW_H
#define SELFSAME_FOLLOW_H

#include <stdbool.h>

#define OPTION_FOLLOW(help)                           \
    {                                                 \
        "follow", NULL, OPTION_FLAG, 0, 0, NULL, help \
    }

/* Waits for two seconds. False if a signal asked to stop. Call stop_watch() first. */
bool follow_wait(void);

#endif
