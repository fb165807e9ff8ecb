/* Runs a kernel's blocks on the host. It connects the device side in C++ (device.h) and the runtime.
 *
 * order    One kernel runs at a time; the caller of block_run_kernel holds the runtime's lock.
 * errors   If a kernel would hang a GPU, or does what is undefined on one, a message on stderr names kernel, block and
 *          thread, and the program ends. */
#ifndef CUDA_HOST_BLOCK_H
#define CUDA_HOST_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "vector_types.h"

enum {
    BLOCK_WARP = 32,
    BLOCK_THREADS = 1024,
    BLOCK_SHARED_DEFAULT = 48 << 10, /* bytes, static and dynamic; more must be asked for */
    BLOCK_SHARED_LIMIT = 227 << 10   /* of any device */
};

/* Calls a kernel, of which only the caller's template knows the type, with its one argument. */
typedef void (*block_entry)(const void *kernel, const void *argument);

/* A launch. `type` names the argument, for messages that do not have the kernel's own name. */
struct block_kernel {
    block_entry entry;
    const void *kernel;
    const char *type;
    void *argument;
    dim3 grid, block;
    size_t shared_bytes; /* dynamic */
};

#ifdef __cplusplus
extern "C" {
#endif

/* Runs all blocks of a grid. */
void block_run_kernel(const struct block_kernel *kernel);
/* Whether it was run from PTX instead: from_ptx.c. */
int block_run_ptx(const struct block_kernel *kernel);

/* ---- called by the threads of a kernel --------------------------------------------------------------------------- */

/* Where in the source a thread waits. */
struct block_site {
    const char *file;
    int line;
};

/* The running thread's, as the device sees them. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* Waits for all threads of the block that have not ended; returns for how many of them `predicate` was not 0. */
int block_barrier(int predicate, struct block_site site);

enum block_exchange {
    BLOCK_SYNC,
    BLOCK_BALLOT,
    BLOCK_SHUFFLE,
    BLOCK_SHUFFLE_UP,
    BLOCK_SHUFFLE_DOWN,
    BLOCK_SHUFFLE_XOR
};

/* Waits for the lanes of `mask` that have not ended, all of which must come with this mask to this place. Returns the
 * value of the lane that `operand` and `width` name; for a ballot, whose value was not 0; for SYNC, 0. */
uint64_t block_exchange(enum block_exchange kind, unsigned mask, uint64_t value, unsigned operand, unsigned width,
                        struct block_site site);

#ifdef __cplusplus
}
#endif

#endif
