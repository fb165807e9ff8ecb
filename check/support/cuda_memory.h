/* Arrays on the device, for tests of kernels: through the CUDA runtime alone, so that the same tests run on a GPU and
 * on the host that imitates one.
 *
 * memory   What a test takes, cuda_release frees all together.
 * errors   A test fails at once. */
#ifndef SELFSAME_CUDA_MEMORY_H
#define SELFSAME_CUDA_MEMORY_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <cuda_runtime_api.h>
#ifdef CUDA_HOST
#include "check/cuda_host/cuda_host.h"
#endif

#include "trainer/random.h"

enum { CUDA_MEMORY_PIECES = 64 };

struct cuda_memory {
    void *pieces[CUDA_MEMORY_PIECES];
    size_t count;
    cudaStream_t stream; /* NULL before its first use */
};

void cuda_expect(cudaError_t error);

/* Where a test launches. */
cudaStream_t cuda_stream(struct cuda_memory *memory);

/* bytes that hold no number: 0xff. */
void *cuda_blank(struct cuda_memory *memory, size_t bytes);

void *cuda_copy(struct cuda_memory *memory, const void *from, size_t bytes);

void *cuda_zeros(struct cuda_memory *memory, size_t bytes);

/* Waits for what was launched before. */
void cuda_fetch(void *to, const void *piece, size_t bytes);

void cuda_release(struct cuda_memory *memory);

/* The same bits as on the device. */
void cuda_expect_equal(const void *expected, const void *piece, size_t bytes);

/* ---- orders in which the host runs threads and blocks; a GPU has its own ----------------------------------------- */

#ifdef CUDA_HOST
enum { CUDA_ORDERS = 4 };
#else
enum { CUDA_ORDERS = 1 };
#endif

void cuda_order(uint32_t order);

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Normal deviates around `mean`; each seed gives other ones. The caller frees them. */
float *cuda_normals(uint64_t seed, size_t count, float mean);

/* Puts zeros of both signs and subnormal numbers among them. */
void cuda_sprinkle(size_t count, float *values);

#endif
