/* The memory of a launch, and how it is watched. */
#ifndef PTX_MEMORY_H
#define PTX_MEMORY_H

#include "check/ptx/program.h"

/* Before a launch, and after it. */
void memory_begin(const struct ptx_kernel *kernel, const struct ptx_launch *launch, const struct ptx_host *host);
void memory_end(void);

/* Before block number `number`, at (x,y,z); when its threads have met at a barrier. */
void memory_block(uint32_t number, const uint32_t block[3]);
void memory_barrier(void);

/* Instruction number `at` for the lanes in `mask` of the warp whose first thread and whose registers are given. */
void memory_load(const struct instruction *in, uint32_t at, unsigned char *registers, uint32_t mask,
                 uint32_t first_thread);
void memory_store(const struct instruction *in, uint32_t at, unsigned char *registers, uint32_t mask,
                  uint32_t first_thread);
void memory_atomic(const struct instruction *in, uint32_t at, unsigned char *registers, uint32_t mask,
                   uint32_t first_thread);
void memory_fence(uint32_t mask, uint32_t first_thread);

#endif
