/* See test_cuda_host.h. */
#include <cuda_runtime.h>

#include "check/unit/test_cuda_host.h"

enum { THREADS = 64, WARPS_MOST = 32 };

#define WHOLE_WARP 0xffffffffu

template <class A>
static cudaError_t launch(void (*kernel)(const A), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                          const A &arguments)
{
    void *list[] = { (void *)&arguments };
    return cudaLaunchKernel(kernel, grid, block, list, shared_bytes, stream);
}

static __device__ __forceinline__ uint32_t warp_sum(uint32_t value)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_down_sync(WHOLE_WARP, value, distance);
    return value;
}

static __global__ void __launch_bounds__(1024) reduce(const struct reduce_arguments arguments)
{
    __shared__ uint32_t of_warp[WARPS_MOST];
    __shared__ bool is_last;
    uint32_t sum = 0;
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < arguments.count; i += gridDim.x * blockDim.x)
        sum += __ldg(arguments.in + i);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = warp_sum(threadIdx.x < blockDim.x / 32 ? of_warp[threadIdx.x] : 0);
        if (threadIdx.x == 0) {
            arguments.out[blockIdx.x] = sum;
            __threadfence();
            is_last = atomicAdd(arguments.arrived, 1u) == gridDim.x - 1;
        }
    }
    __syncthreads();
    if (!is_last || threadIdx.x >= 32)
        return;
    sum = 0;
    for (uint32_t i = threadIdx.x; i < gridDim.x; i += 32)
        sum += __ldcg(arguments.out + i);
    sum = warp_sum(sum);
    if (threadIdx.x == 0) {
        *arguments.total = sum;
        *arguments.arrived = 0;
    }
}

extern "C" cudaError_t test_reduce(const struct reduce_arguments *arguments, cudaStream_t stream)
{
    return launch(reduce, dim3(arguments->blocks), dim3(arguments->threads), 0, stream, *arguments);
}

static __global__ void reverse(const struct reverse_arguments arguments)
{
    extern __shared__ float4 dynamic_shared[];
    float *values = (float *)dynamic_shared;
    values[threadIdx.x] = arguments.in[threadIdx.x];
    __syncthreads();
    arguments.out[threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
    if (arguments.write_at != 0 && threadIdx.x == 0)
        ((volatile unsigned char *)dynamic_shared)[arguments.write_at] = 0;
}

extern "C" cudaError_t test_reverse(const struct reverse_arguments *arguments, cudaStream_t stream)
{
    return launch(reverse, dim3(1), dim3(arguments->threads), arguments->bytes, stream, *arguments);
}

extern "C" cudaError_t test_reverse_permit(int bytes)
{
    return cudaFuncSetAttribute(reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

static __global__ void shuffles(const struct shuffles_arguments arguments)
{
    const uint32_t lane = threadIdx.x, operand = arguments.operand;
    const int width = (int)arguments.width;
    arguments.out[lane] = __shfl_sync(WHOLE_WARP, lane, (int)operand, width);
    arguments.out[32 + lane] = __shfl_up_sync(WHOLE_WARP, lane, operand, width);
    arguments.out[64 + lane] = __shfl_down_sync(WHOLE_WARP, lane, operand, width);
    arguments.out[96 + lane] = __shfl_xor_sync(WHOLE_WARP, lane, (int)operand, width);
    const double moved = __shfl_sync(WHOLE_WARP, (double)lane + 0.5, (int)operand, width);
    arguments.out[128 + lane] = (uint32_t)(2.0 * moved);
    arguments.out[160 + lane] = __ballot_sync(WHOLE_WARP, lane % 3 == 0);
    /* The halves of a warp, each by itself. */
    const uint32_t half = lane < 16 ? 0xffffu : 0xffff0000u;
    if (lane < 16)
        arguments.out[192 + lane] = __shfl_xor_sync(half, lane, 15);
    else
        arguments.out[192 + lane] = __shfl_xor_sync(half, 2 * lane, 1);
    /* Lanes that have ended are not waited for. */
    if (lane >= 8)
        return;
    __syncwarp();
    arguments.out[224 + lane] = __shfl_xor_sync(WHOLE_WARP, lane, 1);
}

extern "C" cudaError_t test_shuffles(const struct shuffles_arguments *arguments, cudaStream_t stream)
{
    return launch(shuffles, dim3(1), dim3(32), 0, stream, *arguments);
}

static __global__ void scalars(const struct scalars_arguments arguments)
{
    __shared__ uint32_t counter;
    __shared__ int least;
    __shared__ unsigned long long sum;
    uint32_t *out = arguments.out;
    counter = 6;
    least = 3;
    sum = 0xffffffffull;
    *out++ = (uint32_t)__clz(1);
    *out++ = (uint32_t)__clz(0);
    *out++ = (uint32_t)__popc(0xf0f0u);
    *out++ = (uint32_t)__ffs(8);
    *out++ = __umulhi(0xffffffffu, 0xffffffffu);
    *out++ = __float_as_uint(1.0f);
    *out++ = __float_as_uint(__uint_as_float(0x40490fdbu));
    *out++ = __float_as_uint(__fmaf_rn(1.0f + 0x1p-12f, 1.0f + 0x1p-12f, -1.0f));
    *out++ = __brev(1u);
    *out++ = __byte_perm(0x33221100u, 0x77665544u, 0x6240u);
    *out++ = __funnelshift_l(0x80000000u, 1u, 1u);
    *out++ = __funnelshift_r(0u, 1u, 4u);
    *out++ = (uint32_t)(__umul64hi(0xffffffffffffffffull, 0xffffffffffffffffull) >> 32);
    *out++ = atomicInc(&counter, 6u);
    *out++ = counter;
    *out++ = atomicMax(&counter, 9u);
    *out++ = atomicCAS(&counter, 9u, 4u);
    *out++ = counter;
    *out++ = (uint32_t)atomicMin(&least, -5);
    *out++ = (uint32_t)least;
    *out++ = (uint32_t)atomicAdd(&sum, 1ull);
    *out++ = (uint32_t)(sum >> 32);
    *out++ = min(7u, 3u) + max(1u, 2u);
    *out++ = (uint32_t)__double_as_longlong(__longlong_as_double(0x3ff0000012345678ll));
    const float4 four = make_float4(1.0f, 2.0f, 3.0f, 4.0f);
    *out++ = (uint32_t)(four.x + 2.0f * four.y + 4.0f * four.z + 8.0f * four.w);
    *out++ = (uint32_t)sizeof(float4) + (uint32_t)alignof(float2);
    while (out < arguments.out + TEST_SCALARS)
        *out++ = 0;
}

extern "C" cudaError_t test_scalars(const struct scalars_arguments *arguments, cudaStream_t stream)
{
    return launch(scalars, dim3(1), dim3(1), 0, stream, *arguments);
}

static __global__ void affine(const struct affine_arguments arguments)
{
    *arguments.at = *arguments.at * arguments.factor + arguments.addend + blockIdx.x;
}

extern "C" cudaError_t test_affine(const struct affine_arguments *arguments, cudaStream_t stream)
{
    return launch(affine, dim3(arguments->blocks), dim3(1), 0, stream, *arguments);
}

static __global__ void mistakes(const struct mistake_arguments arguments)
{
    __shared__ uint32_t values[THREADS];
    const uint32_t thread = threadIdx.x;
    uint32_t result = 0;
    if (arguments.mistake != MISTAKE_UNWRITTEN)
        values[thread] = thread;
    if (arguments.mistake != MISTAKE_RACE)
        __syncthreads();
    switch (arguments.mistake) {
    case MISTAKE_BARRIERS:
        if (thread < THREADS / 2)
            __syncthreads();
        else
            __syncthreads();
        break;
    case MISTAKE_LANE_MISSING:
        if (thread % 32 != 5)
            result = __shfl_xor_sync(WHOLE_WARP, thread, 1);
        __syncthreads();
        break;
    case MISTAKE_LANE_OUTSIDE:
        if (thread < 16)
            result = __shfl_sync(0xffffu, thread, 16);
        break;
    case MISTAKE_MASK:
        result = __shfl_sync(0x1u, thread, 0);
        break;
    default:
        result = values[(thread + 1) % THREADS];
    }
    arguments.out[arguments.mistake == MISTAKE_OVERRUN ? thread + 1 : thread] = result;
}

extern "C" cudaError_t test_mistake(const struct mistake_arguments *arguments, cudaStream_t stream)
{
    return launch(mistakes, dim3(1), dim3(THREADS), 0, stream, *arguments);
}
