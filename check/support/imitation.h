/* Streams and memory of the CUDA that check/cuda_host imitates, for its own tests. Calls that fail let a test fail. */
#ifndef SELFSAME_IMITATION_H
#define SELFSAME_IMITATION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <cuda_runtime_api.h>

#include "check/cuda_host/cuda_host.h"

#define assert_cuda(call) assert_string_equal(cudaGetErrorName(call), "cudaSuccess")
#define assert_error(call, error) assert_string_equal(cudaGetErrorName(call), #error)

cudaStream_t new_stream(void);
void *device_memory(size_t bytes);
void *device_zeros(size_t bytes);
void *device_copy(const void *from, size_t bytes);
uint32_t device_number(const uint32_t *at);
/* A teardown: forgets all of it, and the faults that were asked for. */
int imitation_reset(void **state);

#endif
