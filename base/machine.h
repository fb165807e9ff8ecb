/* The computer that the program runs on: its processors, and the size of the stack. */
#ifndef SELFSAME_MACHINE_H
#define SELFSAME_MACHINE_H

#include <stdint.h>

#include "base/error.h"

enum { MACHINE_NAME_BYTES = 256 };

/* The processor's name as /proc/cpuinfo has it; "" where there is none. */
void machine_processor_name(char name[MACHINE_NAME_BYTES]);

/* Processors that the machine has switched on; 0 if unknown. */
uint32_t machine_processors_online(void);

/* Processors that this process may use at once (its affinity), at least 1. */
uint32_t machine_processors_usable(void);

/* STATUS_ENVIRONMENT where the stack may not grow as far as the program needs, which would end it with SIGSEGV. */
enum status machine_check_stack(struct error *error) MUST_USE;

#endif
