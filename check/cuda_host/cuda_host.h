/* How a test controls the imitation of CUDA. cuda_runtime_api.h says what it imitates.
 *
 * At the first call, and at cuda_host_reset, the settings come from the environment:
 *   SELFSAME_CUDA_HOST_SEED      0 (the default): threads, blocks and queued work in ascending order; 1: in descending
 *                                order; any other: at random, repeatably
 *   SELFSAME_CUDA_HOST_MEMORY    the card's memory in bytes; by default 4 GiB
 *   SELFSAME_CUDA_HOST_SHARED    shared memory that a block may opt in to, in bytes; by default 101376 (99 KiB)
 *   SELFSAME_CUDA_HOST_PROTECT   0: device memory stays accessible to host code
 *   SELFSAME_CUDA_HOST_LAZY      1: a kernel is refused if its first launch is captured, as by a driver that loads
 *                                kernels at their first launch
 *   SELFSAME_CUDA_HOST_MODE      the compute mode that the card tells: 2 (Prohibited), 3 (Exclusive_Process)
 *   SELFSAME_CUDA_HOST_DRIVER    the version of CUDA that the driver knows, such as 12020; 0: there is no driver
 *   SELFSAME_CUDA_HOST_FAIL      CALL:N:ERROR: the Nth call of CALL returns ERROR, as in
 *                                cudaGraphLaunch:17:cudaErrorECCUncorrectable; several, with commas between
 *   SELFSAME_CUDA_HOST_PTX       files of PTX, separated by colons: check/ptx runs their kernels, and watches them
 *   SELFSAME_CUDA_HOST_SHRINK    N:BYTES: the Nth piece of memory that the program announces counts as so many bytes
 *                                shorter, as a planted fault
 * A setting that makes no sense ends the program with a message.
 *
 * memory   Nothing to free.
 * order    Calls from several threads are taken one at a time. */
#ifndef CUDA_HOST_H
#define CUDA_HOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order of threads, blocks and queued work from now on. */
void cuda_host_seed(uint64_t seed);

/* The card: its memory, and the limit of a block's shared memory (65536 imitates compute capability 7.5). */
void cuda_host_memory(size_t bytes);
void cuda_host_shared(size_t bytes);

/* As SELFSAME_CUDA_HOST_FAIL, from now on; NULL: nothing fails. Calls are counted from here. */
void cuda_host_fail(const char *failures);

/* Throws away all queued work, memory, streams, events and graphs, forgets errors, and takes the settings from the
 * environment again: a new process, as far as the card can tell. */
void cuda_host_reset(void);

/* Bytes of device memory held now, and the most there ever were since the start or the last reset. */
size_t cuda_host_bytes(void);
size_t cuda_host_peak_bytes(void);

/* How many allocations, streams, events and graphs exist, page-locked host memory included. A message on stderr names
 * what is left when the program ends, unless an error ended the context. */
size_t cuda_host_objects(void);

/* The program hands out a piece of an allocation: from now on its pieces count, and not the allocation. Only PTX is
 * watched so closely; returns how far behind the piece's end the next one is to begin for that. */
size_t cuda_host_piece(const void *piece, size_t bytes);

/* Kernels run since the start or the last reset. */
uint64_t cuda_host_kernels(void);

#ifdef __cplusplus
}
#endif

#endif
