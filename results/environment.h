/* What a record says about the machine and the program: facts that move no bits. base/machine.h finds some of them. */
#ifndef SELFSAME_ENVIRONMENT_H
#define SELFSAME_ENVIRONMENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/machine.h"
#include "results/record_json.h"

/* Variables that can change what a program computes, on which device, or how fast: a closed list, so that no record
 * tells a secret. */
enum { ENVIRONMENT_VARIABLES = 24, ENVIRONMENT_VARIABLE_BYTES = 256 };

/* The host's texts are "" and its number 0 where the system does not tell. */
struct environment {
    char host[256], system[512], cpu[MACHINE_NAME_BYTES], microcode[MACHINE_NAME_BYTES], caches[MACHINE_NAME_BYTES];
    char program_sha256[DIGEST_HEX_BYTES];
    uint64_t cpus;                                                     /* online */
    char variables[ENVIRONMENT_VARIABLES][ENVIRONMENT_VARIABLE_BYTES]; /* NAME=VALUE, the first ones */
    const char *list[ENVIRONMENT_VARIABLES + 1];                       /* of them, up to a NULL */
};

void environment_read(struct environment *environment);
/* Sets the facts on the host, which then point into the struct, and on this program. */
void environment_describe(const struct environment *environment, struct record_facts *facts);

/* The SHA-256 of this program's file as it is now; "" where it cannot be read. */
void environment_program_sha256(char hex[DIGEST_HEX_BYTES]);

/* The processor time that all threads of this process have had so far. */
double environment_cpu_seconds(void);
/* The most memory that this process has had so far. */
size_t environment_peak_memory_bytes(void);
/* The time in UTC as "2026-11-24T03:54:00Z". */
enum { ENVIRONMENT_TIME_BYTES = 32 };
void environment_time(char text[ENVIRONMENT_TIME_BYTES]);

#endif
