/* The vector of vector.h in the vector extension of gcc and clang, for every processor that they know. The extension
 * has no fused multiply-add, so each instruction set adds its own name for it, in pieces of the width that it has.
 *
 * bits     Sums, products and quotients of vectors round each lane as C's operators do, and EXACT_CFLAGS keep them
 *          apart (-ffp-contract=off). A broadcast is a list, since x + 0 would lose the sign of -0. A selection is an
 *          `and` with the comparison's mask, since C has no ?: of vectors. check/unit/test_portable.c holds each
 *          operation against C's. */
#ifndef SELFSAME_VECTOR_PORTABLE_H
#define SELFSAME_VECTOR_PORTABLE_H

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#include <math.h>
#endif

#include "trainer/cpu/fused/compiler.h"

typedef float vec __attribute__((vector_size(4 * FUSED_VECTOR)));
typedef float vec_in_memory __attribute__((vector_size(4 * FUSED_VECTOR), may_alias));
typedef int32_t vec_bits __attribute__((vector_size(4 * FUSED_VECTOR)));

/* native_fma(a, b, c): a * b + c, rounded once, in NATIVE_LANES lanes. */
#if defined(__AVX512F__) && FUSED_VECTOR == 16
typedef __m512 native;
#define NATIVE_LANES 16
#define native_fma _mm512_fmadd_ps
#elif defined(__FMA__) && FUSED_VECTOR >= 8
typedef __m256 native;
#define NATIVE_LANES 8
#define native_fma _mm256_fmadd_ps
#elif defined(__FMA__)
typedef __m128 native;
#define NATIVE_LANES 4
#define native_fma _mm_fmadd_ps
#elif defined(__aarch64__)
typedef float32x4_t native;
#define NATIVE_LANES 4
#define native_fma(a, b, c) vfmaq_f32(c, a, b)
#elif defined(__VSX__)
/* Not by altivec.h, which defines `vector` and `bool` as its own. */
typedef float native __attribute__((vector_size(16)));
#define NATIVE_LANES 4
#ifdef __clang__
#define native_fma __builtin_vsx_xvmaddasp
#else
#define native_fma __builtin_vsx_xvmaddsp
#endif
#elif defined(__s390x__) && defined(__ARCH__) && __ARCH__ >= 12
typedef float native __attribute__((vector_size(16)));
#define NATIVE_LANES 4
#define native_fma __builtin_s390_vfmasb
#else
typedef float native;
#define NATIVE_LANES 1
#define native_fma fmaf
#endif

INLINE vec vec_load(const float *p)
{
    return *(const vec_in_memory *)p;
}

INLINE void vec_store(float *p, vec v)
{
    *(vec_in_memory *)p = v;
}

INLINE vec vec_set(float x)
{
#if FUSED_VECTOR == 16
    return (vec){ x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x };
#elif FUSED_VECTOR == 8
    return (vec){ x, x, x, x, x, x, x, x };
#elif FUSED_VECTOR == 4
    return (vec){ x, x, x, x };
#else
#error "FUSED_VECTOR must be 4, 8 or 16"
#endif
}

INLINE vec vec_zero(void)
{
    return (vec){ 0.0f };
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
#if NATIVE_LANES == FUSED_VECTOR
    return (vec)native_fma((native)a, (native)b, (native)c);
#else
    union {
        vec whole;
        native pieces[FUSED_VECTOR / NATIVE_LANES];
    } x = { a }, y = { b }, z = { c };
    UNROLL
    for (int i = 0; i < FUSED_VECTOR / NATIVE_LANES; i++)
        z.pieces[i] = native_fma(x.pieces[i], y.pieces[i], z.pieces[i]);
    return z.whole;
#endif
}

/* fma(-a, b, c) */
INLINE vec vec_fnma(vec a, vec b, vec c)
{
    return vec_fma(-a, b, c);
}

INLINE vec vec_add(vec a, vec b)
{
    return a + b;
}

INLINE vec vec_sub(vec a, vec b)
{
    return a - b;
}

INLINE vec vec_mul(vec a, vec b)
{
    return a * b;
}

INLINE vec vec_div(vec a, vec b)
{
    return a / b;
}

/* mask > 0 ? g : +0 */
INLINE vec vec_where_positive(vec mask, vec g)
{
    return (vec)((vec_bits)g & (vec_bits)(mask > vec_zero()));
}

/* x > 0 ? x : +0 */
INLINE vec vec_relu(vec x)
{
    return vec_where_positive(x, x);
}

#endif
