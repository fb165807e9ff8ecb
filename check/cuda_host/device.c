/* The one card, and the attributes of kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/cuda_host/host.h"

enum { MULTIPROCESSORS = 4, L2_BYTES = 4 << 20, KHZ = 1000000, BUS_BITS = 256, REGISTERS = 65536 };

static int shared_kept(void)
{
    return (int)settings()->shared_bytes + 1024; /* of which the driver keeps one KiB for itself */
}

/* 7.5 has 64 KiB for a block, 8.0 163, 8.6 and 8.9 99, 9.0 and later 227. source   CUDA C++ Programming Guide,
 * "Technical Specifications per Compute Capability". */
static int capability(void)
{
    size_t kib = settings()->shared_bytes >> 10;
    return kib <= 64 ? 75 : kib <= 99 ? 86 : kib <= 163 ? 80 : 90;
}

static cudaError_t check_device(int device)
{
    return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

/* A call that gives one number. */
static cudaError_t give(enum call call, int *to, int value)
{
    cudaError_t error = call_enter(call);
    if (error == cudaSuccess && !to)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        *to = value;
    return call_leave(error);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    cudaError_t error = call_enter(CALL_cudaDriverGetVersion); /* the first call of a program takes the settings */
    if (error == cudaSuccess && !version)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        *version = settings()->driver_version;
    return call_leave(error);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    return give(CALL_cudaRuntimeGetVersion, version, CUDART_VERSION);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    if (count)
        *count = 0;
    return give(CALL_cudaGetDeviceCount, count, 1);
}

cudaError_t cudaGetDevice(int *device)
{
    return give(CALL_cudaGetDevice, device, 0);
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t error = call_enter(CALL_cudaSetDevice);
    return call_leave(error != cudaSuccess ? error : check_device(device));
}

cudaError_t cudaInitDevice(int device, unsigned device_flags, unsigned flags)
{
    (void)device_flags;
    (void)flags;
    cudaError_t error = call_enter(CALL_cudaInitDevice);
    return call_leave(error != cudaSuccess ? error : check_device(device));
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    cudaError_t error = call_enter(CALL_cudaSetDeviceFlags);
    return call_leave(error != cudaSuccess ? error : flags > 0x1f ? cudaErrorInvalidValue : cudaSuccess);
}

static cudaError_t attribute_value(enum cudaDeviceAttr attribute, int *value)
{
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = BLOCK_THREADS;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = BLOCK_SHARED_DEFAULT;
        break;
    case cudaDevAttrWarpSize:
        *value = BLOCK_WARP;
        break;
    case cudaDevAttrMaxRegistersPerBlock:
        *value = REGISTERS;
        break;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
        *value = KHZ;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = MULTIPROCESSORS;
        break;
    case cudaDevAttrIntegrated:
    case cudaDevAttrEccEnabled:
        *value = 0;
        break;
    case cudaDevAttrComputeMode:
        *value = settings()->compute_mode;
        break;
    case cudaDevAttrGlobalMemoryBusWidth:
        *value = BUS_BITS;
        break;
    case cudaDevAttrL2CacheSize:
        *value = L2_BYTES;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = BLOCK_THREADS;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = capability() / 10;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = capability() % 10;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = shared_kept();
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)settings()->shared_bytes;
        break;
    default:
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    cudaError_t error = call_enter(CALL_cudaDeviceGetAttribute);
    if (error == cudaSuccess)
        error = check_device(device);
    if (error == cudaSuccess)
        error = value ? attribute_value(attribute, value) : cudaErrorInvalidValue;
    return call_leave(error);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    cudaError_t error = call_enter(CALL_cudaGetDeviceProperties);
    if (error == cudaSuccess)
        error = properties ? check_device(device) : cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        *properties = (struct cudaDeviceProp){
            .name = "CUDA on the host",
            .totalGlobalMem = settings()->memory_bytes,
            .sharedMemPerBlock = BLOCK_SHARED_DEFAULT,
            .regsPerBlock = REGISTERS,
            .warpSize = BLOCK_WARP,
            .maxThreadsPerBlock = BLOCK_THREADS,
            .major = capability() / 10,
            .minor = capability() % 10,
            .multiProcessorCount = MULTIPROCESSORS,
            .memoryBusWidth = BUS_BITS,
            .l2CacheSize = L2_BYTES,
            .maxThreadsPerMultiProcessor = BLOCK_THREADS,
            .sharedMemPerMultiprocessor = (size_t)shared_kept(),
            .sharedMemPerBlockOptin = settings()->shared_bytes,
            .reservedSharedMemPerBlock = 1024,
        };
    }
    return call_leave(error);
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device)
{
    static const char where[] = "0000:00:00.0";
    cudaError_t error = call_enter(CALL_cudaDeviceGetPCIBusId);
    if (error == cudaSuccess)
        error = id && length >= (int)sizeof where ? check_device(device) : cudaErrorInvalidValue;
    if (error == cudaSuccess)
        memcpy(id, where, sizeof where);
    return call_leave(error);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

/* Dynamic shared memory that kernels asked for; one entry per kernel that ever did. */
static struct permission {
    const void *kernel;
    size_t bytes;
    struct permission *next;
} * permissions;

static struct permission *permission_of(const void *kernel)
{
    struct permission *at = permissions;
    while (at && at->kernel != kernel)
        at = at->next;
    return at;
}

size_t device_dynamic_limit(const void *kernel)
{
    const struct permission *permission = permission_of(kernel);
    size_t fixed = shared_static_bytes(kernel);
    if (permission)
        return permission->bytes;
    return fixed < BLOCK_SHARED_DEFAULT ? BLOCK_SHARED_DEFAULT - fixed : 0;
}

void device_reset(void)
{
    while (permissions) {
        struct permission *next = permissions->next;
        free(permissions);
        permissions = next;
    }
}

static cudaError_t permit(const void *kernel, int bytes)
{
    if (bytes < 0 || (size_t)bytes + shared_static_bytes(kernel) > settings()->shared_bytes)
        return cudaErrorInvalidValue;
    struct permission *permission = permission_of(kernel);
    if (!permission) {
        permission = host_allocate(sizeof *permission);
        *permission = (struct permission){ kernel, 0, permissions };
        permissions = permission;
    }
    permission->bytes = (size_t)bytes;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    cudaError_t error = call_enter(CALL_cudaFuncSetAttribute);
    if (error == cudaSuccess && !kernel)
        error = cudaErrorInvalidDeviceFunction;
    if (error == cudaSuccess && attribute == cudaFuncAttributeMaxDynamicSharedMemorySize)
        error = permit(kernel, value);
    else if (error == cudaSuccess && attribute != cudaFuncAttributePreferredSharedMemoryCarveout)
        error = cudaErrorInvalidValue;
    return call_leave(error);
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *kernel)
{
    cudaError_t error = call_enter(CALL_cudaFuncGetAttributes);
    if (error == cudaSuccess && (!attributes || !kernel))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        *attributes = (struct cudaFuncAttributes){ .sharedSizeBytes = shared_static_bytes(kernel),
                                                   .maxThreadsPerBlock = BLOCK_THREADS,
                                                   .ptxVersion = capability(),
                                                   .binaryVersion = capability(),
                                                   .maxDynamicSharedSizeBytes = (int)device_dynamic_limit(kernel) };
    return call_leave(error);
}
