/* What the files of the imitation share. All functions except host_allocate are called under the runtime's lock:
 * between call_enter and call_leave. */
#ifndef CUDA_HOST_HOST_H
#define CUDA_HOST_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "check/cuda_host/block.h"
#include "check/cuda_host/cuda_runtime_api.h"

/* ---- settings, and calls of the runtime: settings.c -------------------------------------------------------------- */

struct settings {
    uint64_t seed;
    size_t memory_bytes, shared_bytes;
    int protect, lazy;
    int compute_mode, driver_version;
};

const struct settings *settings(void);

#define CUDA_HOST_CALLS(X)              \
    X(cudaDriverGetVersion)             \
    X(cudaRuntimeGetVersion)            \
    X(cudaGetDeviceCount)               \
    X(cudaGetDevice)                    \
    X(cudaSetDevice)                    \
    X(cudaInitDevice)                   \
    X(cudaSetDeviceFlags)               \
    X(cudaDeviceGetAttribute)           \
    X(cudaGetDeviceProperties)          \
    X(cudaDeviceGetPCIBusId)            \
    X(cudaDeviceSynchronize)            \
    X(cudaMalloc)                       \
    X(cudaFree)                         \
    X(cudaHostAlloc)                    \
    X(cudaMallocHost)                   \
    X(cudaFreeHost)                     \
    X(cudaMemGetInfo)                   \
    X(cudaMemcpy)                       \
    X(cudaMemcpyAsync)                  \
    X(cudaMemset)                       \
    X(cudaMemsetAsync)                  \
    X(cudaDeviceGetStreamPriorityRange) \
    X(cudaStreamCreate)                 \
    X(cudaStreamCreateWithFlags)        \
    X(cudaStreamCreateWithPriority)     \
    X(cudaStreamDestroy)                \
    X(cudaStreamSynchronize)            \
    X(cudaStreamQuery)                  \
    X(cudaStreamWaitEvent)              \
    X(cudaStreamBeginCapture)           \
    X(cudaStreamEndCapture)             \
    X(cudaStreamIsCapturing)            \
    X(cudaEventCreate)                  \
    X(cudaEventCreateWithFlags)         \
    X(cudaEventRecord)                  \
    X(cudaEventSynchronize)             \
    X(cudaEventQuery)                   \
    X(cudaEventElapsedTime)             \
    X(cudaEventDestroy)                 \
    X(cudaGraphGetNodes)                \
    X(cudaGraphInstantiate)             \
    X(cudaGraphUpload)                  \
    X(cudaGraphLaunch)                  \
    X(cudaGraphExecDestroy)             \
    X(cudaGraphDestroy)                 \
    X(cudaFuncSetAttribute)             \
    X(cudaFuncGetAttributes)            \
    X(cudaLaunchKernel)

enum call {
#define CUDA_HOST_CALL(name) CALL_##name,
    CUDA_HOST_CALLS(CUDA_HOST_CALL)
#undef CUDA_HOST_CALL
        CALLS
};

/* Takes the lock and counts the call. What it returns, unless cudaSuccess, is the call's result: the error that ended
 * the context, or one that was asked for. Every call ends with `return call_leave(error);`. */
cudaError_t call_enter(enum call call);
cudaError_t call_leave(cudaError_t error);

/* An error that has ended the context, or cudaSuccess. */
cudaError_t call_ended(void);

/* A mistake in a test, or an exhausted machine: says so and aborts. */
_Noreturn void host_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc and calloc, which do not fail. */
void *host_allocate(size_t bytes);
void *host_allocate_zeroed(size_t count, size_t bytes);

/* ---- order, by the seed: settings.c ------------------------------------------------------------------------------ */

/* Fills order[0..count) with 0 .. count-1: ascending, descending or shuffled. */
void order_next(unsigned *order, unsigned count);

/* Of candidates in the order of their issue, one: the first, the last, or any. */
size_t order_pick(size_t candidates);

/* A number below `limit`; 0 when the order is not random. */
uint64_t order_random(uint64_t limit);

/* ---- kernels' names and shared memory: symbols.c ----------------------------------------------------------------- */

/* The name of a kernel in the program's symbol table, or `type`. */
const char *kernel_name(const void *kernel, const char *type);

/* Bytes of shared arrays that a kernel declares. */
size_t shared_static_bytes(const void *kernel);

/* Before a block: all its shared memory holds 0xff. After it: the dynamic part beyond the launch's bytes still does. */
void shared_fill(const struct block_kernel *kernel);
void shared_check(const struct block_kernel *kernel);

/* ---- the card: device.c ------------------------------------------------------------------------------------------ */

/* The most dynamic shared memory that a launch of the kernel may have now. */
size_t device_dynamic_limit(const void *kernel);
void device_reset(void);

/* ---- memory: memory.c -------------------------------------------------------------------------------------------- */

/* Device memory is accessible between these; they nest. */
void memory_open(void);
void memory_close(void);

enum memory_place { MEMORY_HOST, MEMORY_DEVICE, MEMORY_BEYOND };

/* Where [pointer, pointer + bytes) lies; MEMORY_BEYOND: partly outside an allocation. */
enum memory_place memory_place(const void *pointer, size_t bytes);

/* The allocation, or the piece of one, that holds the byte at `address` or ends a little before it: sets first and end,
 * gives 0; or 1 where there is none. */
int memory_holding(uint64_t address, uint64_t *first, uint64_t *end);

size_t memory_objects(void);
void memory_report(void);
void memory_reset(void);

/* ---- queued work: work.c; streams and events: stream.c ----------------------------------------------------------- */

/* Runs everything that is queued. */
void work_finish(void);

/* Drops everything that is queued: the context has ended. */
void work_abandon(void);

/* Whether the calling thread captures a stream, so that calls which might wait are refused. */
int work_capturing(void);

size_t work_objects(void);
void work_report(void);
void work_reset(void);

size_t stream_objects(void);
void stream_report(void);
void stream_reset(void);

#endif
