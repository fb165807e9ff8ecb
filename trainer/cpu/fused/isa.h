/* What this build of the folder is called, and which processors run it: by FUSED_VECTOR and FUSED_PORTABLE
 * (vector.h). */
#ifndef SELFSAME_ISA_H
#define SELFSAME_ISA_H

#include <stdbool.h>

#if !defined(FUSED_PORTABLE) && FUSED_VECTOR == 16
#define FUSED_BACKEND backend_avx512
#define FUSED_ISA "avx512"
#define FUSED_VARIANT "AVX-512, fused"
#elif !defined(FUSED_PORTABLE)
#define FUSED_BACKEND backend_avx2
#define FUSED_ISA "avx2"
#define FUSED_VARIANT "AVX2 and FMA, fused"
#else
#define FUSED_BACKEND backend_portable
#define FUSED_ISA "avx"
#define FUSED_VARIANT "AVX and FMA, fused"
#endif

static bool fused_supported(void)
{
#if !defined(FUSED_PORTABLE) && FUSED_VECTOR == 16
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
#elif !defined(FUSED_PORTABLE)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("fma");
#endif
}

#endif
