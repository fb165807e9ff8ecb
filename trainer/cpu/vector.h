/* One vector type for the fused kernels, by the macro FUSED_VECTOR (lanes): 16 for AVX-512, 8 for AVX2 with FMA. Lanes are always
 * output channels, so no operation here ever adds across lanes: the order of every sum is that of ARITHMETIC.md at any width. */
#ifndef SELFSAME_VECTOR_H
#define SELFSAME_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

#if FUSED_VECTOR == 16
typedef __m512 vec;
INLINE vec vec_load(const float *p) { return _mm512_load_ps(p); }
INLINE void vec_store(float *p, vec v) { _mm512_store_ps(p, v); }
INLINE vec vec_set(float x) { return _mm512_set1_ps(x); }
INLINE vec vec_zero(void) { return _mm512_setzero_ps(); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
/* maxps returns its second operand for NaN and for two zeros: exactly x > 0 ? x : +0. */
INLINE vec vec_relu(vec x) { return _mm512_max_ps(x, _mm512_setzero_ps()); }
/* mask > 0 ? g : +0 */
INLINE vec vec_where_positive(vec mask, vec g)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(mask, _mm512_setzero_ps(), _CMP_GT_OQ), g);
}
#elif FUSED_VECTOR == 8
typedef __m256 vec;
INLINE vec vec_load(const float *p) { return _mm256_load_ps(p); }
INLINE void vec_store(float *p, vec v) { _mm256_store_ps(p, v); }
INLINE vec vec_set(float x) { return _mm256_set1_ps(x); }
INLINE vec vec_zero(void) { return _mm256_setzero_ps(); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec vec_relu(vec x) { return _mm256_max_ps(x, _mm256_setzero_ps()); }
INLINE vec vec_where_positive(vec mask, vec g)
{
    return _mm256_and_ps(_mm256_cmp_ps(mask, _mm256_setzero_ps(), _CMP_GT_OQ), g);
}
#else
#error "FUSED_VECTOR must be 8 or 16"
#endif

enum { LANES = FUSED_VECTOR, BLOCK = 16 }; /* BLOCK: channels side by side in memory, on every instruction set */

/* The aligned tree over count (a power of two, at most 16) vectors, stride vectors apart. */
INLINE vec vec_tree(const vec *v, int count, int stride)
{
    vec u[16];
    UNROLL for (int i = 0; i < count; i++)
        u[i] = v[i * stride];
    UNROLL for (int half = count / 2; half >= 1; half /= 2) {
        UNROLL for (int i = 0; i < half; i++)
            u[i] = vec_add(u[2 * i], u[2 * i + 1]);
    }
    return u[0];
}

/* Asks for `bytes` from p on: to be read soon, or written soon. */
INLINE void prefetch_read(const float *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)p + i, 0, 2);
}

INLINE void prefetch_write(const float *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)p + i, 1, 2);
}

#endif
