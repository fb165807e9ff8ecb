/* The floating-point environment of ARITHMETIC.md section 1: round to nearest, subnormals kept in and out, no trap.
 *
 * A library's constructor, a library built with -ffast-math or a host program may have set another one. The program
 * enters it at its start, and each thread of the team enters it at its own start. The trainer checks it before every
 * epoch is reported. The CPU engine's calls also enter and leave it, for callers that are not this program. The
 * functions are in this header so that entering it is not a call in code that computes. */
#ifndef SELFSAME_FLOAT_ENVIRONMENT_H
#define SELFSAME_FLOAT_ENVIRONMENT_H

#include <stdbool.h>

#include "base/error.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

/* SSE computes; the C library asks the x87 for the rounding of strtod and printf. */
struct float_environment {
    unsigned sse;
    unsigned short x87;
};

/* Everything is masked; rounding, flush-to-zero and denormals-are-zero bits are clear; the x87 has its full width. */
enum { FLOAT_ENVIRONMENT_SSE = 0x1f80, FLOAT_ENVIRONMENT_SSE_FLAGS = 0x3f, FLOAT_ENVIRONMENT_X87 = 0x037f };

static inline struct float_environment float_environment_now(void)
{
    struct float_environment now = { .sse = _mm_getcsr() };
    __asm__ volatile("fnstcw %0" : "=m"(now.x87));
    return now;
}

static inline void float_environment_leave(struct float_environment saved)
{
    _mm_setcsr(saved.sse);
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(saved.x87)); /* an exception that is pending would trap here */
}

/* Returns what float_environment_leave restores. */
static inline struct float_environment float_environment_enter(void)
{
    struct float_environment saved = float_environment_now();
    float_environment_leave((struct float_environment){ FLOAT_ENVIRONMENT_SSE, FLOAT_ENVIRONMENT_X87 });
    return saved;
}

/* Whether the calling thread is in it. Exceptions that were noted meanwhile do not count. */
static inline bool float_environment_holds(void)
{
    struct float_environment now = float_environment_now();
    return (now.sse & ~(unsigned)FLOAT_ENVIRONMENT_SSE_FLAGS) == FLOAT_ENVIRONMENT_SSE &&
           now.x87 == FLOAT_ENVIRONMENT_X87;
}

#elif defined(__aarch64__)

struct float_environment {
    unsigned long fpcr;
};

static inline struct float_environment float_environment_now(void)
{
    struct float_environment now;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now.fpcr) : : "memory");
    return now;
}

static inline void float_environment_leave(struct float_environment saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved.fpcr) : "memory");
}

static inline struct float_environment float_environment_enter(void)
{
    struct float_environment saved = float_environment_now();
    float_environment_leave((struct float_environment){ 0 });
    return saved;
}

static inline bool float_environment_holds(void)
{
    return float_environment_now().fpcr == 0;
}

#else

/* On other processors, what the C library offers. */
#include <fenv.h>

#ifdef __ALTIVEC__
/* POWER has a second unit for vectors of floats, and gcc takes instructions of both: of fused multiply-adds, vmaddfp is
 * the older one. Linux starts a process with that unit in non-Java mode, in which subnormals are zero, and the C
 * library leaves it there. */
typedef unsigned float_environment_vscr __attribute__((vector_size(16)));
#endif

struct float_environment {
    fenv_t library;
#ifdef __ALTIVEC__
    float_environment_vscr vscr;
#endif
};

static inline struct float_environment float_environment_now(void)
{
    struct float_environment now;
    (void)fegetenv(&now.library);
#ifdef __ALTIVEC__
    __asm__ volatile("mfvscr %0" : "=v"(now.vscr) : : "memory");
#endif
    return now;
}

static inline void float_environment_leave(struct float_environment saved)
{
    (void)fesetenv(&saved.library);
#ifdef __ALTIVEC__
    __asm__ volatile("mtvscr %0" : : "v"(saved.vscr) : "memory");
#endif
}

static inline struct float_environment float_environment_enter(void)
{
    struct float_environment saved = float_environment_now();
    (void)fesetenv(FE_DFL_ENV);
#ifdef __ALTIVEC__
    __asm__ volatile("mtvscr %0" : : "v"((float_environment_vscr){ 0 }) : "memory");
#endif
    return saved;
}

static inline bool float_environment_holds(void)
{
#ifdef __GLIBC__
    if (fegetexcept() != 0)
        return false;
#endif
#ifdef __ALTIVEC__
    enum { NON_JAVA = 1 << 16 }; /* in the last word of the register, which is element 0 on little-endian machines */
    const float_environment_vscr vscr = float_environment_now().vscr;
    if (((vscr[0] | vscr[3]) & NON_JAVA) != 0)
        return false;
#endif
    return fegetround() == FE_TONEAREST;
}

#endif

/* STATUS_ENVIRONMENT when the calling thread is not in it: something changed it since it was entered. `what` names the
 * results that are then worthless, such as "epoch 3". */
enum status float_environment_check(const char *what, struct error *error) MUST_USE;

#endif
