/* What a .cu file includes: the runtime, the device side, and the part of the runtime that only C++ has. */
#ifndef CUDA_HOST_RUNTIME_H
#define CUDA_HOST_RUNTIME_H

#include "check/cuda_host/cuda_runtime_api.h"
#include "check/cuda_host/device.h"

/* Queues the kernel; takes `bytes` of its argument, aligned like `alignment`, now. */
extern "C" cudaError_t cuda_host_launch(const struct block_kernel *kernel, size_t bytes, size_t alignment,
                                        cudaStream_t stream);

template <class A> void cuda_host_enter(const void *kernel, const void *argument)
{
    reinterpret_cast<void (*)(A)>(reinterpret_cast<uintptr_t>(kernel))(*static_cast<const A *>(argument));
}

/* Kernels take one argument, a struct by value: of the type A, which a pointer without it would not tell. */
template <class A>
cudaError_t cudaLaunchKernel(void (*kernel)(A), dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                             cudaStream_t stream)
{
    struct block_kernel launch = {};
    launch.entry = cuda_host_enter<A>;
    launch.kernel = reinterpret_cast<const void *>(kernel);
    launch.type = __PRETTY_FUNCTION__;
    launch.argument = arguments[0];
    launch.grid = grid;
    launch.block = block;
    launch.shared_bytes = shared_bytes;
    return cuda_host_launch(&launch, sizeof(A), alignof(A), stream);
}

template <class A> cudaError_t cudaFuncSetAttribute(void (*kernel)(A), enum cudaFuncAttribute attribute, int value)
{
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}

template <class A> cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, void (*kernel)(A))
{
    return cudaFuncGetAttributes(attributes, reinterpret_cast<const void *>(kernel));
}

#endif
