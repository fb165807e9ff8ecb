/* The floating-point environment of ARITHMETIC.md section 1: round to nearest, subnormals kept in and out. A host
 * program, or a library built with -ffast-math, may have set it otherwise. The engine's calls that compute (open,
 * run_steps, evaluate) enter it on the caller's thread and leave it as it was; the team's threads enter when they
 * start, and do nothing else. */
#ifndef SELFSAME_FLOAT_ENVIRONMENT_H
#define SELFSAME_FLOAT_ENVIRONMENT_H

#if defined(__x86_64__)
#include <xmmintrin.h>

/* Returns what float_environment_leave restores. */
static inline unsigned float_environment_enter(void)
{
    enum { ALL_EXCEPTIONS_MASKED = 0x1f80 }; /* rounding, flush-to-zero and denormals-are-zero bits clear */
    unsigned saved = _mm_getcsr();
    _mm_setcsr(ALL_EXCEPTIONS_MASKED);
    return saved;
}

static inline void float_environment_leave(unsigned saved)
{
    _mm_setcsr(saved);
}

#elif defined(__aarch64__)

static inline unsigned float_environment_enter(void)
{
    unsigned long saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"(0ul) : "memory");
    return (unsigned)saved;
}

static inline void float_environment_leave(unsigned saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)saved) : "memory");
}

#else

/* Elsewhere the environment at start is the C standard's: to nearest, nothing flushed. */
static inline unsigned float_environment_enter(void)
{
    return 0;
}

static inline void float_environment_leave(unsigned saved)
{
    (void)saved;
}

#endif

#endif
