/* What a record says about the machine and the program: facts that move no bits. base/machine.h finds some of them. */
#ifndef SELFSAME_ENVIRONMENT_H
#define SELFSAME_ENVIRONMENT_H

#include <stddef.h>
#include <stdint.h>

#include "results/record_json.h"

/* The host's texts are "" and its number 0 where the system does not tell. */
struct environment {
    char host[256], system[512], cpu[256];
    uint64_t cpus; /* online */
};

void environment_read(struct environment *environment);
/* Sets the facts on the host, which then point into the struct, and on this program. */
void environment_describe(const struct environment *environment, struct record_facts *facts);

/* The most memory that this process has had so far. */
size_t environment_peak_memory_bytes(void);
/* The time in UTC as "2026-11-24T03:54:00Z". */
enum { ENVIRONMENT_TIME_BYTES = 32 };
void environment_time(char text[ENVIRONMENT_TIME_BYTES]);

#endif
