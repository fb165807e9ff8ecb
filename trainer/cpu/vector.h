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
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

#if FUSED_VECTOR == 16
typedef __m512 vec;
INLINE vec vec_load(const float *p)
{
    return _mm512_load_ps(p);
}
INLINE void vec_store(float *p, vec v)
{
    _mm512_store_ps(p, v);
}
INLINE vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}
INLINE vec vec_zero(void)
{
    return _mm512_setzero_ps();
}
INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
INLINE vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
/* maxps returns its second operand for NaN and for two zeros: exactly x > 0 ? x : +0. */
INLINE vec vec_relu(vec x)
{
    return _mm512_max_ps(x, _mm512_setzero_ps());
}
/* mask > 0 ? g : +0 */
INLINE vec vec_where_positive(vec mask, vec g)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(mask, _mm512_setzero_ps(), _CMP_GT_OQ), g);
}
#elif FUSED_VECTOR == 8
typedef __m256 vec;
INLINE vec vec_load(const float *p)
{
    return _mm256_load_ps(p);
}
INLINE void vec_store(float *p, vec v)
{
    _mm256_store_ps(p, v);
}
INLINE vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}
INLINE vec vec_zero(void)
{
    return _mm256_setzero_ps();
}
INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
INLINE vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
INLINE vec vec_relu(vec x)
{
    return _mm256_max_ps(x, _mm256_setzero_ps());
}
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
    UNROLL
    for (int i = 0; i < count; i++)
        u[i] = v[i * stride];
    UNROLL
    for (int half = count / 2; half >= 1; half /= 2) {
        UNROLL
        for (int i = 0; i < half; i++)
            u[i] = vec_add(u[2 * i], u[2 * i + 1]);
    }
    return u[0];
}

/* Memory that will be needed soon. The kernels ask for one line of it in every turn of their inner loops: far memory
 * then arrives while the arithmetic goes on, and never in a burst that fills the core's queues. */
struct prefetch_list {
    struct {
        const char *at;
        size_t lines;
    } segments[8];
    uint32_t count, current;
};

enum { LINE_BYTES = 64 };

INLINE void prefetch_add(struct prefetch_list *list, const float *at, size_t floats)
{
    list->segments[list->count].at = (const char *)at;
    list->segments[list->count++].lines = (floats * sizeof(float) + LINE_BYTES - 1) / LINE_BYTES;
}

/* Where a loop of `turns` turns starts to ask, `*stride` bytes apart; with the list used up, again and again for a line
 * that is there. */
INLINE const char *prefetch_take(struct prefetch_list *list, size_t turns, size_t *stride)
{
    if (list->current == list->count) {
        *stride = 0;
        return (const char *)list;
    }
    const char *at = list->segments[list->current].at;
    *stride = LINE_BYTES;
    if (list->segments[list->current].lines <= turns) {
        list->current++;
    } else {
        list->segments[list->current].at += turns * LINE_BYTES;
        list->segments[list->current].lines -= turns;
    }
    return at;
}

#endif
