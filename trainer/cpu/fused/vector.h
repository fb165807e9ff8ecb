/* One vector type for the fused kernels, by the macro FUSED_VECTOR (lanes): 16 for AVX-512, 8 for AVX2 with FMA. Lanes
 * are always output channels, so no operation here ever adds across lanes: the order of every sum is that of
 * ARITHMETIC.md at any width. */
#ifndef SELFSAME_VECTOR_H
#define SELFSAME_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#define UNROLL_16 _Pragma("clang loop unroll_count(16)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#define UNROLL_4 _Pragma("GCC unroll 4")
#define UNROLL_16 _Pragma("GCC unroll 16")
#endif

#if FUSED_VECTOR == 16
typedef __m512 vec;
#define VEC(OPERATION) _mm512_##OPERATION
#elif FUSED_VECTOR == 8
typedef __m256 vec;
#define VEC(OPERATION) _mm256_##OPERATION
#else
#error "FUSED_VECTOR must be 8 or 16"
#endif

enum { LANES = FUSED_VECTOR, BLOCK = 16 }; /* BLOCK: channels side by side in memory, on every instruction set */

INLINE vec vec_load(const float *p)
{
    return VEC(load_ps)(p);
}

INLINE void vec_store(float *p, vec v)
{
    VEC(store_ps)(p, v);
}

INLINE vec vec_set(float x)
{
    return VEC(set1_ps)(x);
}

INLINE vec vec_zero(void)
{
    return VEC(setzero_ps)();
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return VEC(fmadd_ps)(a, b, c);
}

/* fma(-a, b, c) */
INLINE vec vec_fnma(vec a, vec b, vec c)
{
    return VEC(fnmadd_ps)(a, b, c);
}

INLINE vec vec_add(vec a, vec b)
{
    return VEC(add_ps)(a, b);
}

INLINE vec vec_sub(vec a, vec b)
{
    return VEC(sub_ps)(a, b);
}

INLINE vec vec_mul(vec a, vec b)
{
    return VEC(mul_ps)(a, b);
}

INLINE vec vec_div(vec a, vec b)
{
    return VEC(div_ps)(a, b);
}

/* maxps returns its second operand for NaN and for two zeros: exactly x > 0 ? x : +0. */
INLINE vec vec_relu(vec x)
{
    return VEC(max_ps)(x, vec_zero());
}

/* mask > 0 ? g : +0 */
INLINE vec vec_where_positive(vec mask, vec g)
{
#if FUSED_VECTOR == 16
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(mask, vec_zero(), _CMP_GT_OQ), g);
#else
    return _mm256_and_ps(_mm256_cmp_ps(mask, vec_zero(), _CMP_GT_OQ), g);
#endif
}

/* For the compiler's allocation of registers. What was loaded before is not kept for what comes after; what was stored
 * at p stays in memory. */
#define LOAD_AGAIN __asm__ volatile("" : : : "memory")
#define LEAVE_IN_MEMORY(p) __asm__ volatile("" : : "r"(p) : "memory")

/* The aligned tree, leaf after leaf: a binary counter of partial sums. After 2^n leaves (n at most TREE_LEVELS) the
 * root is in levels[n]. Few of them are alive at a time, which spares registers. */
enum { TREE_LEVELS = 5 };

INLINE void vec_tree_add(vec *levels, unsigned leaf, vec v)
{
    const int complete = __builtin_ctz(~leaf);
    UNROLL
    for (int at = 0; at < TREE_LEVELS; at++) {
        if (at < complete)
            v = vec_add(levels[at], v);
    }
    levels[complete] = v;
}

#endif
