/* What this build of the folder is called, and which processors run it. FUSED_VECTOR, FUSED_PORTABLE (vector.h) and the
 * compiler's target decide. A test names its builds itself, with FUSED_BACKEND. */
#ifndef SELFSAME_ISA_H
#define SELFSAME_ISA_H

#include <stdbool.h>

#if defined(__s390x__)
#include <sys/auxv.h>
#endif

#if !defined(FUSED_PORTABLE) && FUSED_VECTOR == 16
#define FUSED_BACKEND backend_avx512
#define FUSED_ISA "avx512"
#define FUSED_VARIANT "AVX-512, fused"
#elif !defined(FUSED_PORTABLE)
#define FUSED_BACKEND backend_avx2
#define FUSED_ISA "avx2"
#define FUSED_VARIANT "AVX2 and FMA, fused"
#elif defined(__x86_64__)
#define FUSED_ISA "avx"
#define FUSED_VARIANT "AVX and FMA, fused"
#elif defined(__aarch64__)
#define FUSED_ISA "neon"
#define FUSED_VARIANT "NEON, fused"
#elif defined(__VSX__)
#define FUSED_ISA "vsx"
#define FUSED_VARIANT "VSX, fused"
#elif defined(__s390x__)
#define FUSED_ISA "vxe"
#define FUSED_VARIANT "vector enhancements, fused"
#else
#error "the portable vector was not shown to be exact on this processor"
#endif
#ifndef FUSED_BACKEND
#define FUSED_BACKEND backend_portable
#endif

static bool fused_supported(void)
{
#if !defined(FUSED_PORTABLE) && FUSED_VECTOR == 16
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
#elif !defined(FUSED_PORTABLE)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__x86_64__)
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("fma");
#elif defined(__s390x__)
    return (getauxval(AT_HWCAP) & HWCAP_S390_VXE) != 0; /* z14 and later */
#else
    return true; /* a part of every processor that the build is for */
#endif
}

#endif
