/* What the kernels share: launching, reports, aligned trees over registers, lanes and lists, and the last block of a
 * grid. */
#ifndef SELFSAME_GPU_KERNEL_CUH
#define SELFSAME_GPU_KERNEL_CUH

#include <cuda_runtime.h>

#include "trainer/gpu/kernels.h"

enum { WARP = 32 };

#define WHOLE_WARP 0xffffffffu
#define DEVICE static __device__ __forceinline__

/* ---- host side --------------------------------------------------------------------------------------------------- */

/* Launches without <<<>>>, so that a plain C++ compiler can build it too. Every kernel asks for as much shared memory
 * on its multiprocessor as there is: where two kernels ask for different shares, they do not run side by side. */
template <class Arguments>
static cudaError_t launch(void (*kernel)(const Arguments), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, const Arguments &arguments)
{
    enum { WITHOUT_ASKING = 48 * 1024 };
    void *list[] = { (void *)&arguments };
    cudaError_t status =
        cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
    if (status == cudaSuccess && shared_bytes > WITHOUT_ASKING)
        status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
    return status == cudaSuccess ? cudaLaunchKernel(kernel, grid, block, list, shared_bytes, stream) : status;
}

static inline uint32_t divide_up(uint32_t n, uint32_t by)
{
    return (n + by - 1) / by;
}

/* ---- reports ----------------------------------------------------------------------------------------------------- */

DEVICE void report(const struct gpu_report &to, uint32_t culprit)
{
    atomicMin(&to.results[to.current->slot].culprit, culprit);
}

/* ---- trees: ARITHMETIC.md section 1. A sum of two is the same both ways round ------------------------------------ */

/* T over v[0..span), span a power of two, at most N; v is overwritten. */
template <int N, class T> DEVICE T register_tree(T (&v)[N], uint32_t span)
{
#pragma unroll
    for (int width = 1; width < N; width *= 2) {
        if ((uint32_t)width < span) {
#pragma unroll
            for (int i = 0; i < N; i += 2 * width)
                v[i] = v[i] + v[i + width];
        }
    }
    return v[0];
}

/* T over the values of `lanes` neighbouring lanes, a power of two; each of them gets it. Whole warps call it. */
template <class T> DEVICE T lane_tree(T v, uint32_t lanes)
{
    for (uint32_t distance = 1; distance < lanes; distance *= 2)
        v = v + __shfl_xor_sync(WHOLE_WARP, v, distance);
    return v;
}

/* 0 for 0. */
DEVICE uint32_t power_of_two_at_least(uint32_t n)
{
    return n <= 1 ? n : 1u << (32 - __clz(n - 1));
}

enum { LIST_HEIGHTS = 16 };

/* T over the leaves first .. first+span-1 of a list, load(i) being leaf i, +0 beyond its end; span is a power of two,
 * at most N << LIST_HEIGHTS, and first a multiple of it. N loads are in flight at once; left halves wait in registers,
 * by the height of their trees. */
template <int N, class T, class Load> DEVICE T list_tree(uint32_t first, uint32_t span, uint32_t count, Load load)
{
    T waiting[LIST_HEIGHTS];
    T sum = T(0);
    const uint32_t pieces = span <= N ? 1 : span / N;
#pragma unroll
    for (int height = 0; height < LIST_HEIGHTS; height++)
        waiting[height] = T(0);
    for (uint32_t piece = 0; piece < pieces; piece++) {
        T v[N];
#pragma unroll
        for (int i = 0; i < N; i++) {
            const uint32_t leaf = first + piece * N + i;
            v[i] = (uint32_t)i < span && leaf < count ? load(leaf) : T(0);
        }
        sum = register_tree(v, span < N ? span : (uint32_t)N);
        /* Without an early end, by which the compiler would keep the loop and put the halves in memory. */
        bool rises = true;
#pragma unroll
        for (int height = 0; height < LIST_HEIGHTS; height++) {
            const bool right = piece >> height & 1;
            if (rises && right)
                sum = waiting[height] + sum;
            if (rises && !right)
                waiting[height] = sum;
            rises = rises && right;
        }
    }
    return sum;
}

/* T over load(0..count) by all threads of a block, a power of two of them, at most 1024; every thread gets it. shared:
 * an entry per thread, free again on return. */
template <int N, class T, class Load> DEVICE T block_tree(uint32_t count, T *shared, Load load)
{
    const uint32_t width = power_of_two_at_least(count), threads = blockDim.x;
    const uint32_t parts = width < threads ? width : threads;
    if (count == 0)
        return T(0);
    if (threadIdx.x < parts)
        shared[threadIdx.x] = list_tree<N, T>(threadIdx.x * (width / parts), width / parts, count, load);
    __syncthreads();
    for (uint32_t left = parts / 2; left > 0; left /= 2) {
        T sum = T(0);
        if (threadIdx.x < left)
            sum = shared[2 * threadIdx.x] + shared[2 * threadIdx.x + 1];
        __syncthreads();
        if (threadIdx.x < left)
            shared[threadIdx.x] = sum;
        __syncthreads();
    }
    const T sum = shared[0];
    __syncthreads();
    return sum;
}

/* ---- the last block ---------------------------------------------------------------------------------------------- */

/* Whether this block is the last of `blocks` that come here with this counter; it then sees what the others wrote
 * before, if it reads past the first-level cache (__ldcg). The counter is zero again afterwards. */
DEVICE bool last_to_arrive(uint32_t *arrived, uint32_t blocks)
{
    __shared__ uint32_t is_last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        is_last = atomicAdd(arrived, 1u) == blocks - 1;
        if (is_last)
            *arrived = 0;
    }
    __syncthreads();
    if (is_last)
        __threadfence();
    return is_last;
}

#endif
