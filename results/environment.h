/* What a record says about the machine and the program: facts that move no bits. */
#ifndef SELFSAME_ENVIRONMENT_H
#define SELFSAME_ENVIRONMENT_H

#include <jansson.h>
#include <stddef.h>

/* {"name", "system", "cpu", "cpus"}: the host; "" or 0 for what the system does not tell. NULL without memory. */
json_t *environment_host(void);
/* {"version", "compiler", "flags", "configured", "libraries": {name: version}}: this program. NULL without memory. */
json_t *environment_program(void);
/* The most memory that this process has had so far. */
size_t environment_peak_memory_bytes(void);
/* The time in UTC as "2026-11-24T03:54:00Z". */
enum { ENVIRONMENT_TIME_BYTES = 32 };
void environment_time(char text[ENVIRONMENT_TIME_BYTES]);

#endif
