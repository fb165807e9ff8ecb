/* The instructions that compute: their names in PTX, the types of their operands, and what they do to a lane. Each row
 * makes an enumerator, an entry of the parser's table and a case of the interpreter.
 * source   PTX ISA 9.0, chapter 9.7. */
#ifndef PTX_OPERATIONS_H
#define PTX_OPERATIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

/* A lane of a register, by PTX's name of the type. */
typedef uint16_t lane_b16, lane_u16;
typedef uint32_t lane_b32, lane_u32;
typedef uint64_t lane_b64, lane_u64;
typedef int16_t lane_s16;
typedef int32_t lane_s32;
typedef int64_t lane_s64;
typedef float lane_f32;
typedef double lane_f64;

/* Where shared and local memory lie among generic addresses: no host has memory there. */
#define WINDOW_SHARED (UINT64_C(1) << 63)
#define WINDOW_LOCAL (UINT64_C(1) << 62)

#define OPERATION static inline __attribute__((always_inline))

/* ---- f32: every NaN that an instruction makes is 0x7fffffff ------------------------------------------------------ */

OPERATION float canonical(float x)
{
    return x == x ? x : __builtin_nanf("0x3fffff");
}

/* Subnormal to zero of its sign. */
OPERATION float flushed(float x)
{
    uint32_t bits = float_bits(x);
    return float_of_bits((bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits);
}

/* +0 is more than -0; a number is more, and less, than NaN. */
OPERATION float most_f32(float a, float b)
{
    float more = a == b ? float_of_bits(float_bits(a) & float_bits(b)) : a > b ? a : b;
    return canonical(a != a ? b : b != b ? a : more);
}

OPERATION float least_f32(float a, float b)
{
    float less = a == b ? float_of_bits(float_bits(a) | float_bits(b)) : a < b ? a : b;
    return canonical(a != a ? b : b != b ? a : less);
}

OPERATION double most_f64(double a, double b)
{
    double more = a == b ? (signbit(a) ? b : a) : a > b ? a : b;
    return a != a ? b : b != b ? a : more;
}

OPERATION double least_f64(double a, double b)
{
    double less = a == b ? (signbit(a) ? a : b) : a < b ? a : b;
    return a != a ? b : b != b ? a : less;
}

/* ---- integers ---------------------------------------------------------------------------------------------------- */

OPERATION uint64_t high_u64(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

OPERATION int64_t high_s64(int64_t a, int64_t b)
{
    return (int64_t)((__int128)a * b >> 64);
}

OPERATION uint32_t permuted(uint32_t a, uint32_t b, uint32_t selector)
{
    uint64_t bytes = (uint64_t)b << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t select = selector >> 4 * i, byte = (uint32_t)(bytes >> 8 * (select & 7)) & 0xff;
        if (select & 8)
            byte = byte & 0x80 ? 0xff : 0;
        result |= byte << 8 * i;
    }
    return result;
}

OPERATION uint32_t inserted(uint32_t field, uint32_t into, uint32_t at, uint32_t length)
{
    at &= 0xff;
    length &= 0xff;
    uint64_t mask = at > 31 ? 0 : ((length > 31 ? UINT64_C(1) << 32 : UINT64_C(1) << length) - 1) << at;
    return (uint32_t)(((at > 31 ? 0 : (uint64_t)field << at) & mask) | (into & ~mask));
}

OPERATION uint32_t extracted(uint32_t from, uint32_t at, uint32_t length)
{
    at &= 0xff;
    length &= 0xff;
    return at > 31 ? 0 : (from >> at) & (length > 31 ? ~0u : (1u << length) - 1);
}

/* To an integer, towards zero. Out of range clamps; NaN is 0, or the top bit alone where a 64-bit type takes part. */
#define TRUNCATED(t, from, least, beyond, nan)                                                            \
    OPERATION lane_##t truncated_##t##_##from(lane_##from a)                                              \
    {                                                                                                     \
        return a != a                      ? (lane_##t)(nan)                                              \
               : a >= (beyond)             ? (lane_##t)((least) == 0 ? ~UINT64_C(0) : ~(uint64_t)(least)) \
               : a <= (lane_##from)(least) ? (lane_##t)(least)                                            \
                                           : (lane_##t)a;                                                 \
    }
TRUNCATED(s32, f32, INT32_MIN, 0x1p31f, 0)
TRUNCATED(u32, f32, 0, 0x1p32f, 0)
TRUNCATED(s64, f32, INT64_MIN, 0x1p63f, INT64_MIN)
TRUNCATED(u64, f32, 0, 0x1p64f, INT64_MIN)
TRUNCATED(s32, f64, INT32_MIN, 0x1p31, INT32_MIN)
TRUNCATED(u32, f64, 0, 0x1p32, INT32_MIN)
TRUNCATED(s64, f64, INT64_MIN, 0x1p63, INT64_MIN)
TRUNCATED(u64, f64, 0, 0x1p64, INT64_MIN)

/* A line is an instruction. */
/* clang-format off */

/* ---- X(enumerator, name, type of the result, of a, what becomes of a) -------------------------------------------- */

#define OF_EACH_INTEGER(F, X) F(X, u16) F(X, s16) F(X, u32) F(X, s32) F(X, u64) F(X, s64)
#define OF_EACH_BITS(F, X) F(X, b16) F(X, b32) F(X, b64)

#define MOVES(X, t) X(mov_##t, "mov." #t, t, t, a)
#define CONVERSIONS_OF(X, to)                                   \
    X(cvt_##to##_u16, "cvt." #to ".u16", to, u16, (lane_##to)a) \
    X(cvt_##to##_s16, "cvt." #to ".s16", to, s16, (lane_##to)a) \
    X(cvt_##to##_u32, "cvt." #to ".u32", to, u32, (lane_##to)a) \
    X(cvt_##to##_s32, "cvt." #to ".s32", to, s32, (lane_##to)a) \
    X(cvt_##to##_u64, "cvt." #to ".u64", to, u64, (lane_##to)a) \
    X(cvt_##to##_s64, "cvt." #to ".s64", to, s64, (lane_##to)a)
#define CONVERSIONS_OUT(X, from)                                   \
    X(cvt_rn_f32_##from, "cvt.rn.f32." #from, f32, from, (float)a) \
    X(cvt_rn_f64_##from, "cvt.rn.f64." #from, f64, from, (double)a)
#define COMPLEMENTS(X, t) X(not_##t, "not." #t, t, t, (lane_##t) ~a)
#define NEGATIONS(X, t) X(neg_##t, "neg." #t, t, t, (lane_##t) - a)

#define PTX_UNARY(X)                                                                                                   \
    OF_EACH_INTEGER(MOVES, X)                                                                                          \
    OF_EACH_BITS(MOVES, X)                                                                                             \
    X(mov_f32, "mov.f32", b32, b32, a)                                                                                 \
    X(mov_f64, "mov.f64", b64, b64, a)                                                                                 \
    X(cvta_to_global, "cvta.to.global.u64", u64, u64, a)                                                               \
    X(cvta_global, "cvta.global.u64", u64, u64, a)                                                                     \
    X(cvta_to_shared, "cvta.to.shared.u64", u64, u64, a - WINDOW_SHARED)                                               \
    X(cvta_shared, "cvta.shared.u64", u64, u64, a + WINDOW_SHARED)                                                     \
    X(cvta_to_local, "cvta.to.local.u64", u64, u64, a - WINDOW_LOCAL)                                                  \
    X(cvta_local, "cvta.local.u64", u64, u64, a + WINDOW_LOCAL)                                                        \
    OF_EACH_INTEGER(CONVERSIONS_OF, X)                                                                                 \
    OF_EACH_INTEGER(CONVERSIONS_OUT, X)                                                                                \
    X(cvt_s8_s32, "cvt.s8.s32", s16, s32, (int8_t)a)                                                                   \
    X(cvt_u8_u32, "cvt.u8.u32", u16, u32, (uint8_t)a)                                                                  \
    X(cvt_f64_f32, "cvt.f64.f32", f64, f32, (double)a)                                                                 \
    X(cvt_ftz_f64_f32, "cvt.ftz.f64.f32", f64, f32, (double)flushed(a))                                                \
    X(cvt_rn_f32_f64, "cvt.rn.f32.f64", f32, f64, canonical((float)a))                                                 \
    X(cvt_rn_ftz_f32_f64, "cvt.rn.ftz.f32.f64", f32, f64, flushed(canonical((float)a)))                                \
    X(cvt_rzi_s32_f32, "cvt.rzi.s32.f32", s32, f32, truncated_s32_f32(a))                                              \
    X(cvt_rzi_u32_f32, "cvt.rzi.u32.f32", u32, f32, truncated_u32_f32(a))                                              \
    X(cvt_rzi_s64_f32, "cvt.rzi.s64.f32", s64, f32, truncated_s64_f32(a))                                              \
    X(cvt_rzi_u64_f32, "cvt.rzi.u64.f32", u64, f32, truncated_u64_f32(a))                                              \
    X(cvt_rzi_s32_f64, "cvt.rzi.s32.f64", s32, f64, truncated_s32_f64(a))                                              \
    X(cvt_rzi_u32_f64, "cvt.rzi.u32.f64", u32, f64, truncated_u32_f64(a))                                              \
    X(cvt_rzi_s64_f64, "cvt.rzi.s64.f64", s64, f64, truncated_s64_f64(a))                                              \
    X(cvt_rzi_u64_f64, "cvt.rzi.u64.f64", u64, f64, truncated_u64_f64(a))                                              \
    OF_EACH_BITS(COMPLEMENTS, X)                                                                                       \
    NEGATIONS(X, s16)                                                                                                  \
    NEGATIONS(X, s32)                                                                                                  \
    NEGATIONS(X, s64)                                                                                                  \
    X(neg_f32, "neg.f32", b32, b32, a ^ 0x80000000u) X(neg_ftz_f32, "neg.ftz.f32", f32, f32, flushed(-a)) X(           \
        neg_f64, "neg.f64", f64, f64, -a) X(abs_s32, "abs.s32", s32, s32, a < 0 ? -a : a) X(abs_f32, "abs.f32", b32,   \
                                                                                            b32, a & 0x7fffffffu)      \
        X(abs_f64, "abs.f64", f64, f64, fabs(a)) X(clz_b32, "clz.b32", u32, b32, a ? (uint32_t)__builtin_clz(a) : 32)  \
            X(clz_b64, "clz.b64", u32, b64, a ? (uint32_t)__builtin_clzll(a) : 64)                                     \
                X(bfind_u32, "bfind.u32", u32, u32, a ? 31 - (uint32_t)__builtin_clz(a) : ~0u)                         \
                    X(bfind_shiftamt_u32, "bfind.shiftamt.u32", u32, u32, a ? (uint32_t)__builtin_clz(a) : ~0u)        \
                        X(popc_b32, "popc.b32", u32, b32, (uint32_t)__builtin_popcount(a))                             \
                            X(popc_b64, "popc.b64", u32, b64, (uint32_t)__builtin_popcountll(a))                       \
                                X(rcp_rn_f32, "rcp.rn.f32", f32, f32, canonical(1.0f / a)) X(                          \
                                    rcp_rn_ftz_f32, "rcp.rn.ftz.f32", f32, f32, flushed(canonical(1.0f / flushed(a)))) \
                                    X(rcp_approx_f32, "rcp.approx.f32", f32, f32, canonical(1.0f / a))                 \
                                        X(rcp_approx_ftz_f32, "rcp.approx.ftz.f32", f32, f32,                          \
                                          flushed(canonical(1.0f / flushed(a))))                                       \
                                            X(rcp_rn_f64, "rcp.rn.f64", f64, f64, 1.0 / a)                             \
                                                X(sqrt_rn_f32, "sqrt.rn.f32", f32, f32, canonical(sqrtf(a)))           \
                                                    X(sqrt_rn_ftz_f32, "sqrt.rn.ftz.f32", f32, f32,                    \
                                                      canonical(sqrtf(flushed(a))))                                    \
                                                        X(sqrt_approx_f32, "sqrt.approx.f32", f32, f32,                \
                                                          canonical(sqrtf(a)))                                         \
                                                            X(sqrt_approx_ftz_f32, "sqrt.approx.ftz.f32", f32, f32,    \
                                                              canonical(sqrtf(flushed(a))))                            \
                                                                X(sqrt_rn_f64, "sqrt.rn.f64", f64, f64, sqrt(a))

/* ---- X(enumerator, name, type of the result, of a, of b, what becomes of them) ----------------------------------- */

#define INTEGER_PAIRS(X, t)                                 \
    X(add_##t, "add." #t, t, t, t, (lane_##t)(a + b))       \
    X(sub_##t, "sub." #t, t, t, t, (lane_##t)(a - b))       \
    X(mul_lo_##t, "mul.lo." #t, t, t, t, (lane_##t)(a * b)) \
    X(min_##t, "min." #t, t, t, t, a < b ? a : b)           \
    X(max_##t, "max." #t, t, t, t, a > b ? a : b)
/* By zero the result is all ones here, and whatever the machine gives there. */
#define UNSIGNED_QUOTIENTS(X, t)                                                \
    X(div_##t, "div." #t, t, t, t, b == 0 ? (lane_##t) - 1 : (lane_##t)(a / b)) \
    X(rem_##t, "rem." #t, t, t, t, b == 0 ? (lane_##t) - 1 : (lane_##t)(a % b))
#define SIGNED_QUOTIENTS(X, t)                                                                 \
    X(div_##t, "div." #t, t, t, t, b == 0 ? -1 : b == -1 ? (lane_##t) - a : (lane_##t)(a / b)) \
    X(rem_##t, "rem." #t, t, t, t, b == 0 ? -1 : b == -1 ? 0 : (lane_##t)(a % b))
#define BIT_PAIRS(X, t)                                                          \
    X(and_##t, "and." #t, t, t, t, (lane_##t)(a & b))                            \
    X(or_##t, "or." #t, t, t, t, (lane_##t)(a | b))                              \
    X(xor_##t, "xor." #t, t, t, t, (lane_##t)(a ^ b))                            \
    X(shl_##t, "shl." #t, t, t, u32, b >= 8 * sizeof a ? 0 : (lane_##t)(a << b)) \
    X(shr_##t, "shr." #t, t, t, u32, b >= 8 * sizeof a ? 0 : (lane_##t)(a >> b))
#define UNSIGNED_SHIFTS(X, t) X(shr_##t, "shr." #t, t, t, u32, b >= 8 * sizeof a ? 0 : (lane_##t)(a >> b))
#define SIGNED_SHIFTS(X, t) \
    X(shr_##t, "shr." #t, t, t, u32, (lane_##t)(a >> (b >= 8 * sizeof a ? 8 * sizeof a - 1 : b)))
/* With and without the rounding: without it ptxas may contract. */
#define FLOAT_PAIRS(X, name, expression, flushed_expression)                                         \
    X(name##_f32, #name ".f32", f32, f32, f32, canonical(expression))                                \
    X(name##_rn_f32, #name ".rn.f32", f32, f32, f32, canonical(expression))                          \
    X(name##_ftz_f32, #name ".ftz.f32", f32, f32, f32, flushed(canonical(flushed_expression)))       \
    X(name##_rn_ftz_f32, #name ".rn.ftz.f32", f32, f32, f32, flushed(canonical(flushed_expression))) \
    X(name##_f64, #name ".f64", f64, f64, f64, expression)                                           \
    X(name##_rn_f64, #name ".rn.f64", f64, f64, f64, expression)

#define PTX_BINARY(X)                                                                                                  \
    OF_EACH_INTEGER(INTEGER_PAIRS, X)                                                                                  \
    UNSIGNED_QUOTIENTS(X, u16)                                                                                         \
    UNSIGNED_QUOTIENTS(X, u32)                                                                                         \
    UNSIGNED_QUOTIENTS(X, u64)                                                                                         \
    SIGNED_QUOTIENTS(X, s16) SIGNED_QUOTIENTS(X, s32) SIGNED_QUOTIENTS(X, s64) OF_EACH_BITS(BIT_PAIRS, X)              \
        UNSIGNED_SHIFTS(X, u16) UNSIGNED_SHIFTS(X, u32) UNSIGNED_SHIFTS(X, u64) SIGNED_SHIFTS(X, s16) SIGNED_SHIFTS(   \
            X, s32) SIGNED_SHIFTS(X, s64) X(mul_hi_u16, "mul.hi.u16", u16, u16, u16,                                   \
                                            (uint16_t)((uint32_t)a * b >> 16)) X(mul_hi_s16, "mul.hi.s16", s16, s16,   \
                                                                                 s16, (int16_t)((int32_t)a * b >> 16)) \
            X(mul_hi_u32, "mul.hi.u32", u32, u32, u32, (uint32_t)((uint64_t)a * b >> 32)) X(                           \
                mul_hi_s32,                                                                                            \
                "mul.hi.s32",                                                                                          \
                s32, s32,                                                                                              \
                s32, (int32_t)((int64_t)a * b >> 32)) X(mul_hi_u64, "mul.hi.u64", u64, u64, u64, high_u64(a, b))       \
                X(mul_hi_s64, "mul.hi.s64", s64, s64, s64,                                                             \
                  high_s64(a, b)) X(mul_wide_u16, "mul.wide.u16", u32, u16, u16, (uint32_t)a *b)                       \
                    X(mul_wide_s16, "mul.wide.s16", s32, s16, s16,                                                     \
                      (int32_t)a *b) X(mul_wide_u32, "mul.wide.u32", u64, u32, u32, (uint64_t)a *b)                    \
                        X(mul_wide_s32, "mul.wide.s32", s64, s32, s32,                                                 \
                          (int64_t)a *b) FLOAT_PAIRS(X, add, a + b, flushed(a) + flushed(b))                           \
                            FLOAT_PAIRS(X, sub, a - b, flushed(a) - flushed(b)) FLOAT_PAIRS(                           \
                                X, mul,                                                                                \
                                a *b,                                                                                  \
                                flushed(a) * flushed(b)) X(div_rn_f32, "div.rn.f32", f32, f32, f32, canonical(a / b))  \
                                X(div_rn_ftz_f32, "div.rn.ftz.f32", f32, f32, f32,                                     \
                                  flushed(canonical(                                                                   \
                                      flushed(a) /                                                                     \
                                      flushed(b)))) /* Approximate: other bits than .rn, though not the device's. */   \
        X(div_full_f32, "div.full.f32", f32, f32, f32, canonical(a *(1.0f / b))) X(                                    \
            div_full_ftz_f32, "div.full.ftz.f32", f32, f32, f32, flushed(canonical(flushed(a) * (1.0f / flushed(b))))) \
            X(div_approx_f32, "div.approx.f32", f32, f32, f32, canonical(a *(1.0f / b)))                               \
                X(div_approx_ftz_f32, "div.approx.ftz.f32", f32, f32, f32,                                             \
                  flushed(canonical(flushed(a) * (1.0f / flushed(b)))))                                                \
                    X(div_rn_f64, "div.rn.f64", f64, f64, f64, a / b)                                                  \
                        X(max_f32, "max.f32", f32, f32, f32, most_f32(a, b))                                           \
                            X(min_f32, "min.f32", f32, f32, f32, least_f32(a, b))                                      \
                                X(max_ftz_f32, "max.ftz.f32", f32, f32, f32, most_f32(flushed(a), flushed(b)))         \
                                    X(min_ftz_f32, "min.ftz.f32", f32, f32, f32, least_f32(flushed(a), flushed(b)))    \
                                        X(max_f64, "max.f64", f64, f64, f64, most_f64(a, b))                           \
                                            X(min_f64, "min.f64", f64, f64, f64, least_f64(a, b))

/* ---- X(enumerator, name, type of the result, of a, of b, of c, what becomes of them) ----------------------------- */

#define INTEGER_TRIPLES(X, t) X(mad_lo_##t, "mad.lo." #t, t, t, t, t, (lane_##t)(a * b + c))

#define PTX_TERNARY(X)                                                                                             \
    OF_EACH_INTEGER(INTEGER_TRIPLES, X)                                                                            \
    X(mad_wide_u16, "mad.wide.u16", u32, u16, u16, u32, (uint32_t)a *b + c)                                        \
    X(mad_wide_s16, "mad.wide.s16", s32, s16, s16, s32, (int32_t)a *b + c)                                         \
    X(mad_wide_u32, "mad.wide.u32", u64, u32, u32, u64, (uint64_t)a *b + c)                                        \
    X(mad_wide_s32, "mad.wide.s32", s64, s32, s32, s64, (int64_t)a *b + c)                                         \
    X(fma_rn_f32, "fma.rn.f32", f32, f32, f32, f32, canonical(__builtin_fmaf(a, b, c)))                            \
    X(fma_rn_ftz_f32, "fma.rn.ftz.f32", f32, f32, f32, f32,                                                        \
      flushed(canonical(__builtin_fmaf(flushed(a), flushed(b), flushed(c)))))                                      \
    X(fma_rn_f64, "fma.rn.f64", f64, f64, f64, f64, __builtin_fma(a, b, c))                                        \
    X(prmt_b32, "prmt.b32", b32, b32, b32, b32, permuted(a, b, c))                                                 \
    X(bfe_u32, "bfe.u32", u32, u32, u32, u32, extracted(a, b, c))                                                  \
    X(shf_l_wrap_b32, "shf.l.wrap.b32", b32, b32, b32, u32, (uint32_t)(((uint64_t)b << 32 | a) << (c & 31) >> 32)) \
    X(shf_r_wrap_b32, "shf.r.wrap.b32", b32, b32, b32, u32, (uint32_t)(((uint64_t)b << 32 | a) >> (c & 31)))

/* ---- setp: X(enumerator, name, type of a and b, whether) --------------------------------------------------------- */

#define EQUALITIES(X, t)                     \
    X(setp_eq_##t, "setp.eq." #t, t, a == b) \
    X(setp_ne_##t, "setp.ne." #t, t, a != b)
#define ORDERS(X, t)                         \
    X(setp_lt_##t, "setp.lt." #t, t, a < b)  \
    X(setp_le_##t, "setp.le." #t, t, a <= b) \
    X(setp_gt_##t, "setp.gt." #t, t, a > b)  \
    X(setp_ge_##t, "setp.ge." #t, t, a >= b)
#define FLOAT_COMPARISONS(X, prefix, t, dotted, a, b)                       \
    X(setp_eq_##prefix, "setp.eq." dotted, t, a == b)                       \
    X(setp_ne_##prefix, "setp.ne." dotted, t, a == a && b == b && a != b)   \
    X(setp_lt_##prefix, "setp.lt." dotted, t, a < b)                        \
    X(setp_le_##prefix, "setp.le." dotted, t, a <= b)                       \
    X(setp_gt_##prefix, "setp.gt." dotted, t, a > b)                        \
    X(setp_ge_##prefix, "setp.ge." dotted, t, a >= b)                       \
    X(setp_equ_##prefix, "setp.equ." dotted, t, a != a || b != b || a == b) \
    X(setp_neu_##prefix, "setp.neu." dotted, t, a != b)                     \
    X(setp_ltu_##prefix, "setp.ltu." dotted, t, !(a >= b))                  \
    X(setp_leu_##prefix, "setp.leu." dotted, t, !(a > b))                   \
    X(setp_gtu_##prefix, "setp.gtu." dotted, t, !(a <= b))                  \
    X(setp_geu_##prefix, "setp.geu." dotted, t, !(a < b))                   \
    X(setp_num_##prefix, "setp.num." dotted, t, a == a && b == b)           \
    X(setp_nan_##prefix, "setp.nan." dotted, t, a != a || b != b)

#define PTX_COMPARISON(X)                                                 \
    OF_EACH_BITS(EQUALITIES, X)                                           \
    OF_EACH_INTEGER(EQUALITIES, X)                                        \
    OF_EACH_INTEGER(ORDERS, X)                                            \
    FLOAT_COMPARISONS(X, f32, f32, "f32", a, b)                           \
    FLOAT_COMPARISONS(X, ftz_f32, f32, "ftz.f32", flushed(a), flushed(b)) \
    FLOAT_COMPARISONS(X, f64, f64, "f64", a, b)

/* ---- selp: X(enumerator, name, bits) ----------------------------------------------------------------------------- */

#define SELECTIONS(X, b, u, s) X(selp_##b, "selp." #b, b) X(selp_##u, "selp." #u, b) X(selp_##s, "selp." #s, b)

#define PTX_SELECTION(X)         \
    SELECTIONS(X, b16, u16, s16) \
    SELECTIONS(X, b32, u32, s32) \
    SELECTIONS(X, b64, u64, s64) \
    X(selp_f32, "selp.f32", b32) \
    X(selp_f64, "selp.f64", b64)

/* ---- predicates: X(enumerator, name, how many operands, what becomes of the masks of lanes) ---------------------- */

#define PTX_PREDICATE(X)             \
    X(mov_pred, "mov.pred", 1, a)    \
    X(not_pred, "not.pred", 1, ~a)   \
    X(and_pred, "and.pred", 2, a &b) \
    X(or_pred, "or.pred", 2, a | b)  \
    X(xor_pred, "xor.pred", 2, a ^ b)

/* clang-format on */

#endif
