/* What the kernels ask of the compiler. */
#ifndef SELFSAME_COMPILER_H
#define SELFSAME_COMPILER_H

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

/* For the compiler's allocation of registers. What was loaded before is not kept for what comes after; what was stored
 * at p stays in memory. */
#define LOAD_AGAIN __asm__ volatile("" : : : "memory")
#define LEAVE_IN_MEMORY(p) __asm__ volatile("" : : "r"(p) : "memory")

#endif
