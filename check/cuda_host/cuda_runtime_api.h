/* CUDA on the host, for tests: the part of the CUDA runtime that the GPU engines use, on the CPU, so that their kernels
 * and their host code run in every `make check`. This folder takes the toolkit's place in the include path; the names,
 * signatures, values and error codes are CUDA 13's (12's where both have them).
 *
 * What it imitates
 *   kernels    Blocks run one after the other, the threads of a block as fibers that change places at barriers and warp
 *              operations only. The seed decides in which order (cuda_host.h). A race between threads or blocks gives
 *              different bits under different seeds. Threads that wait where a GPU would hang are reported, and the
 *              program ends: different barriers, lanes missing from a shuffle, a shuffle that reads a lane outside its
 *              mask.
 *   memory     An allocation lies alone between inaccessible pages, and has 0xff bytes at first. It is accessible only
 *              while queued work runs, so host code cannot touch it. Shared memory holds 0xff bytes when a block
 *              starts. The card's memory and its shared memory have limits.
 *   work       Streams are lazy: what was queued runs when a call waits for it, in an order that keeps only to what was
 *              declared: the order within a stream, events waited for, the edges of a graph. A copy reads and writes
 *              host memory when it runs, not when it is queued. Kernel arguments are taken when it is queued.
 *   failures   Any call can be made to fail (cuda_host.h); after an error that ends a context all calls do.
 *
 * What it does not
 *   Time, the memory model (no block sees another half done, so a missing __threadfence goes unseen; so does a missing
 *   __syncwarp where lanes would run in step), caches, bank conflicts, registers, textures, several devices, kernels
 *   that wait for other blocks, host memory read by a kernel (it can), the legacy default stream for anything but calls
 *   that block. Kernels take one argument, a struct by value. Dynamic shared memory is named dynamic_shared:
 *       extern __shared__ float4 dynamic_shared[];
 *
 * errors   As the CUDA runtime documents them; where it leaves a mistake undefined, usually cudaErrorInvalidValue here,
 *          or the report described above. */
#ifndef CUDA_HOST_RUNTIME_API_H
#define CUDA_HOST_RUNTIME_API_H

#include <stddef.h>

#include "vector_types.h"

/* By this the sources can tell the imitation from the toolkit, which nothing but a test should want to. */
#define CUDA_HOST 1
#define CUDART_VERSION 13000

/* What configure says of a toolkit is not of these objects: the imitated card is not to depend on it. */
#undef CUDA_TOOLKIT
#undef CUDA_ARCHITECTURES
#define CUDA_TOOLKIT "none, but the host"
#define CUDA_ARCHITECTURES "the host"

/* X(name, value, text, whether it ends the context: every later call returns it) */
#define CUDA_HOST_ERRORS(X)                                                                        \
    X(cudaSuccess, 0, "no error", 0)                                                               \
    X(cudaErrorInvalidValue, 1, "invalid argument", 0)                                             \
    X(cudaErrorMemoryAllocation, 2, "out of memory", 0)                                            \
    X(cudaErrorInitializationError, 3, "initialization error", 1)                                  \
    X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument", 0)                       \
    X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction", 0)                            \
    X(cudaErrorStubLibrary, 34, "the driver is a stub library", 1)                                 \
    X(cudaErrorInsufficientDriver, 35, "the driver is older than the runtime", 1)                  \
    X(cudaErrorDevicesUnavailable, 46, "the device is busy or unavailable", 0)                     \
    X(cudaErrorInvalidDeviceFunction, 98, "invalid device function", 0)                            \
    X(cudaErrorNoDevice, 100, "no device", 1)                                                      \
    X(cudaErrorInvalidDevice, 101, "invalid device ordinal", 0)                                    \
    X(cudaErrorNoKernelImageForDevice, 209, "no kernel image for the device", 0)                   \
    X(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error", 1)                                \
    X(cudaErrorInvalidPtx, 218, "a PTX compilation failed", 0)                                     \
    X(cudaErrorNvlinkUncorrectable, 220, "uncorrectable NVLink error", 1)                          \
    X(cudaErrorJitCompilerNotFound, 221, "no PTX compiler", 0)                                     \
    X(cudaErrorUnsupportedPtxVersion, 222, "the driver is too old for this PTX", 0)                \
    X(cudaErrorContained, 226, "a contained memory error", 1)                                      \
    X(cudaErrorOperatingSystem, 304, "an operating system call failed", 0)                         \
    X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle", 0)                           \
    X(cudaErrorIllegalState, 401, "illegal state", 0)                                              \
    X(cudaErrorNotReady, 600, "not ready", 0)                                                      \
    X(cudaErrorIllegalAddress, 700, "illegal memory access", 1)                                    \
    X(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch", 0)            \
    X(cudaErrorLaunchTimeout, 702, "the launch timed out", 1)                                      \
    X(cudaErrorContextIsDestroyed, 709, "the context is destroyed", 1)                             \
    X(cudaErrorAssert, 710, "device-side assert", 1)                                               \
    X(cudaErrorHardwareStackError, 714, "hardware stack error", 1)                                 \
    X(cudaErrorIllegalInstruction, 715, "illegal instruction", 1)                                  \
    X(cudaErrorMisalignedAddress, 716, "misaligned address", 1)                                    \
    X(cudaErrorInvalidAddressSpace, 717, "invalid address space", 1)                               \
    X(cudaErrorInvalidPc, 718, "invalid program counter", 1)                                       \
    X(cudaErrorLaunchFailure, 719, "unspecified launch failure", 1)                                \
    X(cudaErrorNotPermitted, 800, "operation not permitted", 0)                                    \
    X(cudaErrorNotSupported, 801, "operation not supported", 0)                                    \
    X(cudaErrorSystemNotReady, 802, "the system is not yet initialized", 1)                        \
    X(cudaErrorSystemDriverMismatch, 803, "driver and library do not match", 1)                    \
    X(cudaErrorCompatNotSupportedOnDevice, 804, "no forward compatibility on this device", 1)      \
    X(cudaErrorStreamCaptureUnsupported, 900, "not permitted while a stream is capturing", 0)      \
    X(cudaErrorStreamCaptureInvalidated, 901, "the capture failed because of an earlier error", 0) \
    X(cudaErrorStreamCaptureMerge, 902, "two captures would be merged", 0)                         \
    X(cudaErrorStreamCaptureUnmatched, 903, "the capture was not begun in this stream", 0)         \
    X(cudaErrorStreamCaptureUnjoined, 904, "the capture was forked and not joined", 0)             \
    X(cudaErrorStreamCaptureIsolation, 905, "a capture depends on work that is not captured", 0)   \
    X(cudaErrorStreamCaptureImplicit, 906, "a capture would wait for the legacy stream", 0)        \
    X(cudaErrorCapturedEvent, 907, "the event was last recorded in a capture", 0)                  \
    X(cudaErrorStreamCaptureWrongThread, 908, "the capture was begun by another thread", 0)        \
    X(cudaErrorExternalDevice, 911, "an error outside the device", 1)                              \
    X(cudaErrorUnknown, 999, "unknown error", 1)

typedef enum cudaError {
#define CUDA_HOST_ENUMERATOR(name, value, text, ends) name = value,
    CUDA_HOST_ERRORS(CUDA_HOST_ENUMERATOR)
#undef CUDA_HOST_ENUMERATOR
} cudaError_t;

typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef struct CUgraphNode_st *cudaGraphNode_t;
typedef struct CUgraphExec_st *cudaGraphExec_t;

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4
};

enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal = 0,
    cudaStreamCaptureModeThreadLocal = 1,
    cudaStreamCaptureModeRelaxed = 2
};

enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone = 0,
    cudaStreamCaptureStatusActive = 1,
    cudaStreamCaptureStatusInvalidated = 2
};

enum cudaComputeMode {
    cudaComputeModeDefault = 0,
    cudaComputeModeExclusive = 1,
    cudaComputeModeProhibited = 2,
    cudaComputeModeExclusiveProcess = 3
};

enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};

enum cudaSharedCarveout {
    cudaSharedmemCarveoutDefault = -1,
    cudaSharedmemCarveoutMaxL1 = 0,
    cudaSharedmemCarveoutMaxShared = 100
};

enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrMaxRegistersPerBlock = 12,
    cudaDevAttrClockRate = 13,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrIntegrated = 18,
    cudaDevAttrComputeMode = 20,
    cudaDevAttrEccEnabled = 32,
    cudaDevAttrMemoryClockRate = 36,
    cudaDevAttrGlobalMemoryBusWidth = 37,
    cudaDevAttrL2CacheSize = 38,
    cudaDevAttrMaxThreadsPerMultiProcessor = 39,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};

/* Members as the toolkit names them; not its layout. */
struct cudaDeviceProp {
    char name[256];
    struct {
        char bytes[16];
    } uuid;
    size_t totalGlobalMem, sharedMemPerBlock;
    int regsPerBlock, warpSize, maxThreadsPerBlock;
    int major, minor, multiProcessorCount, integrated, ECCEnabled;
    int pciBusID, pciDeviceID, pciDomainID;
    int memoryBusWidth, l2CacheSize, maxThreadsPerMultiProcessor;
    size_t sharedMemPerMultiprocessor, sharedMemPerBlockOptin, reservedSharedMemPerBlock;
};

struct cudaFuncAttributes {
    size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, maxDynamicSharedSizeBytes;
};

#define cudaHostAllocDefault 0x00
#define cudaHostAllocPortable 0x01
#define cudaHostAllocMapped 0x02
#define cudaHostAllocWriteCombined 0x04
#define cudaStreamDefault 0x00
#define cudaStreamNonBlocking 0x01
#define cudaEventDefault 0x00
#define cudaEventBlockingSync 0x01
#define cudaEventDisableTiming 0x02
#define cudaEventRecordDefault 0x00
#define cudaEventWaitDefault 0x00
#define cudaDeviceScheduleAuto 0x00
#define cudaDeviceScheduleSpin 0x01
#define cudaDeviceScheduleYield 0x02
#define cudaDeviceScheduleBlockingSync 0x04

#ifdef __cplusplus
extern "C" {
#define CUDA_HOST_DEFAULT(value) = value
#else
#define CUDA_HOST_DEFAULT(value)
#endif

const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);

cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaInitDevice(int device, unsigned device_flags, unsigned flags);
cudaError_t cudaSetDeviceFlags(unsigned flags);
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaDeviceReset(void);

cudaError_t cudaMalloc(void **pointer, size_t bytes);
cudaError_t cudaFree(void *pointer);
cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned flags);
cudaError_t cudaMallocHost(void **pointer, size_t bytes);
cudaError_t cudaFreeHost(void *pointer);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream CUDA_HOST_DEFAULT(0));
cudaError_t cudaMemset(void *to, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream CUDA_HOST_DEFAULT(0));

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest);
cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags CUDA_HOST_DEFAULT(0));
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status);

cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream CUDA_HOST_DEFAULT(0));
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaEventDestroy(cudaEvent_t event);

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph,
                                 unsigned long long flags CUDA_HOST_DEFAULT(0));
cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value);
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *kernel);

#ifdef __cplusplus
}
#endif

#endif
