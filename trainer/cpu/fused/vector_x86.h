/* The vector of vector.h by Intel's intrinsics: 16 lanes for AVX-512, 8 for AVX2 with FMA. The portable one would cost
 * up to 5 % here. */
#ifndef SELFSAME_VECTOR_X86_H
#define SELFSAME_VECTOR_X86_H

#include <immintrin.h>

#include "trainer/cpu/fused/compiler.h"

#if FUSED_VECTOR == 16
typedef __m512 vec;
#define VEC(OPERATION) _mm512_##OPERATION
#elif FUSED_VECTOR == 8
typedef __m256 vec;
#define VEC(OPERATION) _mm256_##OPERATION
#else
#error "FUSED_VECTOR must be 8 or 16 without FUSED_PORTABLE"
#endif

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

#endif
