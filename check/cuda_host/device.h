/* The device side of CUDA for a C++ compiler on the host: qualifiers, built-in variables, barriers, warp operations,
 * atomics and the intrinsics that our kernels use. cuda_runtime_api.h says what is imitated. */
#ifndef CUDA_HOST_DEVICE_H
#define CUDA_HOST_DEVICE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check/cuda_host/block.h"

/* ---- qualifiers -------------------------------------------------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __grid_constant__

/* One for all fibers of a thread; in a function without `static`, and with `extern` for the dynamic array. */
#define __shared__ thread_local

#define CUDA_HOST_DEVICE static inline __attribute__((always_inline, unused))

enum { warpSize = BLOCK_WARP };

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

#define CUDA_HOST_MAKE_2(name, type)                  \
    CUDA_HOST_DEVICE name make_##name(type x, type y) \
    {                                                 \
        return name{ x, y };                          \
    }
#define CUDA_HOST_MAKE_3(name, type)                          \
    CUDA_HOST_DEVICE name make_##name(type x, type y, type z) \
    {                                                         \
        return name{ x, y, z };                               \
    }
#define CUDA_HOST_MAKE_4(name, type)                                  \
    CUDA_HOST_DEVICE name make_##name(type x, type y, type z, type w) \
    {                                                                 \
        return name{ x, y, z, w };                                    \
    }

CUDA_HOST_MAKE_2(uchar2, unsigned char)
CUDA_HOST_MAKE_4(uchar4, unsigned char)
CUDA_HOST_MAKE_2(ushort2, unsigned short)
CUDA_HOST_MAKE_4(ushort4, unsigned short)
CUDA_HOST_MAKE_2(int2, int)
CUDA_HOST_MAKE_3(int3, int)
CUDA_HOST_MAKE_4(int4, int)
CUDA_HOST_MAKE_2(uint2, unsigned)
CUDA_HOST_MAKE_3(uint3, unsigned)
CUDA_HOST_MAKE_4(uint4, unsigned)
CUDA_HOST_MAKE_2(float2, float)
CUDA_HOST_MAKE_3(float3, float)
CUDA_HOST_MAKE_4(float4, float)
CUDA_HOST_MAKE_2(double2, double)
CUDA_HOST_MAKE_2(longlong2, long long)
CUDA_HOST_MAKE_2(ulonglong2, unsigned long long)

/* ---- barriers and fences ----------------------------------------------------------------------------------------- */

/* The place of the call, by default arguments. */
#define CUDA_HOST_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

CUDA_HOST_DEVICE void __syncthreads(CUDA_HOST_SITE)
{
    (void)block_barrier(0, block_site{ file, line });
}

CUDA_HOST_DEVICE int __syncthreads_count(int predicate, CUDA_HOST_SITE)
{
    return block_barrier(predicate, block_site{ file, line });
}

CUDA_HOST_DEVICE int __syncthreads_or(int predicate, CUDA_HOST_SITE)
{
    return block_barrier(predicate, block_site{ file, line }) != 0;
}

CUDA_HOST_DEVICE int __syncthreads_and(int predicate, CUDA_HOST_SITE)
{
    return block_barrier(!predicate, block_site{ file, line }) == 0;
}

CUDA_HOST_DEVICE void __syncwarp(unsigned mask = 0xffffffffu, CUDA_HOST_SITE)
{
    (void)block_exchange(BLOCK_SYNC, mask, 0, 0, BLOCK_WARP, block_site{ file, line });
}

CUDA_HOST_DEVICE void __threadfence(void)
{
    __asm__ volatile("" ::: "memory");
}

CUDA_HOST_DEVICE void __threadfence_block(void)
{
    __asm__ volatile("" ::: "memory");
}

CUDA_HOST_DEVICE void __threadfence_system(void)
{
    __asm__ volatile("" ::: "memory");
}

/* ---- warps ------------------------------------------------------------------------------------------------------- */

template <class T>
CUDA_HOST_DEVICE T cuda_host_shuffle(enum block_exchange kind, unsigned mask, T value, unsigned operand, int width,
                                     struct block_site site)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves four or eight bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = block_exchange(kind, mask, bits, operand, (unsigned)width, site);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T>
CUDA_HOST_DEVICE T __shfl_sync(unsigned mask, T value, int lane, int width = BLOCK_WARP, CUDA_HOST_SITE)
{
    return cuda_host_shuffle(BLOCK_SHUFFLE, mask, value, (unsigned)lane, width, block_site{ file, line });
}

template <class T>
CUDA_HOST_DEVICE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = BLOCK_WARP, CUDA_HOST_SITE)
{
    return cuda_host_shuffle(BLOCK_SHUFFLE_UP, mask, value, delta, width, block_site{ file, line });
}

template <class T>
CUDA_HOST_DEVICE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = BLOCK_WARP, CUDA_HOST_SITE)
{
    return cuda_host_shuffle(BLOCK_SHUFFLE_DOWN, mask, value, delta, width, block_site{ file, line });
}

template <class T>
CUDA_HOST_DEVICE T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = BLOCK_WARP, CUDA_HOST_SITE)
{
    return cuda_host_shuffle(BLOCK_SHUFFLE_XOR, mask, value, (unsigned)lanes, width, block_site{ file, line });
}

CUDA_HOST_DEVICE unsigned __ballot_sync(unsigned mask, int predicate, CUDA_HOST_SITE)
{
    return (unsigned)block_exchange(BLOCK_BALLOT, mask, predicate != 0, 0, BLOCK_WARP, block_site{ file, line });
}

CUDA_HOST_DEVICE int __any_sync(unsigned mask, int predicate, CUDA_HOST_SITE)
{
    return block_exchange(BLOCK_BALLOT, mask, predicate != 0, 0, BLOCK_WARP, block_site{ file, line }) != 0;
}

CUDA_HOST_DEVICE int __all_sync(unsigned mask, int predicate, CUDA_HOST_SITE)
{
    return block_exchange(BLOCK_BALLOT, mask, predicate == 0, 0, BLOCK_WARP, block_site{ file, line }) == 0;
}

/* ---- atomics: fibers change places nowhere else than above ------------------------------------------------------- */

#define CUDA_HOST_ATOMIC(name, T, expression) \
    CUDA_HOST_DEVICE T name(T *at, T value)   \
    {                                         \
        T old = *at;                          \
        *at = (T)(expression);                \
        return old;                           \
    }
#define CUDA_HOST_ATOMICS(T, U)                               \
    CUDA_HOST_ATOMIC(atomicExch, T, value)                    \
    CUDA_HOST_ATOMIC(atomicMin, T, value < old ? value : old) \
    CUDA_HOST_ATOMIC(atomicMax, T, value > old ? value : old) \
    CUDA_HOST_ATOMIC(atomicAnd, T, old &value)                \
    CUDA_HOST_ATOMIC(atomicOr, T, old | value)                \
    CUDA_HOST_ATOMIC(atomicXor, T, old ^ value)               \
    CUDA_HOST_DEVICE T atomicCAS(T *at, T compare, T value)   \
    {                                                         \
        T old = *at;                                          \
        *at = old == compare ? value : old;                   \
        return old;                                           \
    }

CUDA_HOST_ATOMICS(int, unsigned)
CUDA_HOST_ATOMICS(unsigned, unsigned)
CUDA_HOST_ATOMICS(unsigned long long, unsigned long long)
CUDA_HOST_ATOMIC(atomicMin, long long, value < old ? value : old)
CUDA_HOST_ATOMIC(atomicMax, long long, value > old ? value : old)
CUDA_HOST_ATOMIC(atomicAdd, int, (unsigned)old + (unsigned)value)
CUDA_HOST_ATOMIC(atomicAdd, unsigned, old + value)
CUDA_HOST_ATOMIC(atomicAdd, unsigned long long, old + value)
CUDA_HOST_ATOMIC(atomicSub, int, (unsigned)old - (unsigned)value)
CUDA_HOST_ATOMIC(atomicSub, unsigned, old - value)
CUDA_HOST_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
CUDA_HOST_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)

/* Their order would decide the bits. */
float atomicAdd(float *at, float value) = delete;
double atomicAdd(double *at, double value) = delete;

/* ---- loads and stores with hints --------------------------------------------------------------------------------- */

#define CUDA_HOST_LOAD(name)                                \
    template <class T> CUDA_HOST_DEVICE T name(const T *at) \
    {                                                       \
        return *at;                                         \
    }
#define CUDA_HOST_STORE(name)                                     \
    template <class T> CUDA_HOST_DEVICE void name(T *at, T value) \
    {                                                             \
        *at = value;                                              \
    }

CUDA_HOST_LOAD(__ldg)
CUDA_HOST_LOAD(__ldca)
CUDA_HOST_LOAD(__ldcg)
CUDA_HOST_LOAD(__ldcs)
CUDA_HOST_LOAD(__ldlu)
CUDA_HOST_LOAD(__ldcv)
CUDA_HOST_STORE(__stcg)
CUDA_HOST_STORE(__stcs)
CUDA_HOST_STORE(__stwb)
CUDA_HOST_STORE(__stwt)

/* ---- arithmetic: each rounds once, to nearest -------------------------------------------------------------------- */

#define CUDA_HOST_BINARY(name, T, operation) \
    CUDA_HOST_DEVICE T name(T a, T b)        \
    {                                        \
        return a operation b;                \
    }

CUDA_HOST_BINARY(__fadd_rn, float, +)
CUDA_HOST_BINARY(__fsub_rn, float, -)
CUDA_HOST_BINARY(__fmul_rn, float, *)
CUDA_HOST_BINARY(__fdiv_rn, float, /)
CUDA_HOST_BINARY(__dadd_rn, double, +)
CUDA_HOST_BINARY(__dsub_rn, double, -)
CUDA_HOST_BINARY(__dmul_rn, double, *)
CUDA_HOST_BINARY(__ddiv_rn, double, /)

CUDA_HOST_DEVICE float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
CUDA_HOST_DEVICE double __fma_rn(double a, double b, double c)
{
    return fma(a, b, c);
}
CUDA_HOST_DEVICE float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
CUDA_HOST_DEVICE double __dsqrt_rn(double a)
{
    return sqrt(a);
}
CUDA_HOST_DEVICE float __double2float_rn(double a)
{
    return (float)a;
}
CUDA_HOST_DEVICE float __int2float_rn(int a)
{
    return (float)a;
}
CUDA_HOST_DEVICE float __uint2float_rn(unsigned a)
{
    return (float)a;
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

template <class To, class From> CUDA_HOST_DEVICE To cuda_host_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

CUDA_HOST_DEVICE unsigned __float_as_uint(float a)
{
    return cuda_host_bits<unsigned>(a);
}
CUDA_HOST_DEVICE int __float_as_int(float a)
{
    return cuda_host_bits<int>(a);
}
CUDA_HOST_DEVICE float __uint_as_float(unsigned a)
{
    return cuda_host_bits<float>(a);
}
CUDA_HOST_DEVICE float __int_as_float(int a)
{
    return cuda_host_bits<float>(a);
}
CUDA_HOST_DEVICE long long __double_as_longlong(double a)
{
    return cuda_host_bits<long long>(a);
}
CUDA_HOST_DEVICE double __longlong_as_double(long long a)
{
    return cuda_host_bits<double>(a);
}
CUDA_HOST_DEVICE unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
CUDA_HOST_DEVICE int __mulhi(int a, int b)
{
    return (int)((int64_t)a * b >> 32);
}
CUDA_HOST_DEVICE unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    uint64_t low = (a & 0xffffffffu) * (b & 0xffffffffu), left = (a >> 32) * (b & 0xffffffffu),
             right = (a & 0xffffffffu) * (b >> 32), middle = (low >> 32) + (left & 0xffffffffu) + (right & 0xffffffffu);
    return (a >> 32) * (b >> 32) + (left >> 32) + (right >> 32) + (middle >> 32);
}
CUDA_HOST_DEVICE int __clz(int a)
{
    return a ? __builtin_clz((unsigned)a) : 32;
}
CUDA_HOST_DEVICE int __clzll(long long a)
{
    return a ? __builtin_clzll((unsigned long long)a) : 64;
}
CUDA_HOST_DEVICE int __ffs(int a)
{
    return __builtin_ffs(a);
}
CUDA_HOST_DEVICE int __ffsll(long long a)
{
    return __builtin_ffsll(a);
}
CUDA_HOST_DEVICE int __popc(unsigned a)
{
    return __builtin_popcount(a);
}
CUDA_HOST_DEVICE int __popcll(unsigned long long a)
{
    return __builtin_popcountll(a);
}
CUDA_HOST_DEVICE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) << (shift & 31) >> 32);
}
CUDA_HOST_DEVICE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}
CUDA_HOST_DEVICE unsigned __brev(unsigned a)
{
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++)
        reversed |= (a >> i & 1u) << (31 - i);
    return reversed;
}
CUDA_HOST_DEVICE unsigned __byte_perm(unsigned low, unsigned high, unsigned selector)
{
    uint64_t bytes = (uint64_t)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        unsigned select = selector >> 4 * i, byte = (unsigned)(bytes >> 8 * (select & 7)) & 0xff;
        if (select & 8)
            byte = byte & 0x80 ? 0xff : 0;
        result |= byte << 8 * i;
    }
    return result;
}

/* As nvcc's, for like types; of two that differ in sign the unsigned one decides. */
#define CUDA_HOST_MIN_MAX(T, A, B)        \
    CUDA_HOST_DEVICE T min(A a, B b)      \
    {                                     \
        return (T)a < (T)b ? (T)a : (T)b; \
    }                                     \
    CUDA_HOST_DEVICE T max(A a, B b)      \
    {                                     \
        return (T)a > (T)b ? (T)a : (T)b; \
    }

CUDA_HOST_MIN_MAX(int, int, int)
CUDA_HOST_MIN_MAX(unsigned, unsigned, unsigned)
CUDA_HOST_MIN_MAX(unsigned, int, unsigned)
CUDA_HOST_MIN_MAX(unsigned, unsigned, int)
CUDA_HOST_MIN_MAX(long, long, long)
CUDA_HOST_MIN_MAX(unsigned long, unsigned long, unsigned long)
CUDA_HOST_MIN_MAX(long long, long long, long long)
CUDA_HOST_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
CUDA_HOST_DEVICE float min(float a, float b)
{
    return fminf(a, b);
}
CUDA_HOST_DEVICE float max(float a, float b)
{
    return fmaxf(a, b);
}
CUDA_HOST_DEVICE double min(double a, double b)
{
    return fmin(a, b);
}
CUDA_HOST_DEVICE double max(double a, double b)
{
    return fmax(a, b);
}

CUDA_HOST_DEVICE void __trap(void)
{
    abort();
}

#endif
