/* Included before everything in the copies of the sources that check/cli/sabotage.sh changes: which variant is wrong,
 * and wrong ways to compute. For C and for the kernels on the imitation of CUDA. */
#ifndef SELFSAME_SABOTAGE_H
#define SELFSAME_SABOTAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
extern int sabotage; /* the number of a variant; 0: all is right */
#ifdef __cplusplus
}
#endif

/* A chain of additions, where a tree is specified. */
static inline float sabotage_chain32(const float *v, size_t count, size_t stride)
{
    float sum = 0.0f;
    for (size_t i = 0; i < count; i++)
        sum = sum + v[i * stride];
    return sum;
}

static inline double sabotage_chain64(const double *v, size_t count, size_t stride)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum = sum + v[i * stride];
    return sum;
}

/* The mean of numbers that are added in binary32. */
static inline float sabotage_mean32(const double *v, size_t count)
{
    float sum = 0.0f;
    for (size_t i = 0; i < count; i++)
        sum = sum + (float)v[i];
    return sum / (float)count;
}

/* +0 for a subnormal number. */
static inline float sabotage_flush(float x)
{
    return x < 0x1p-126f && x > -0x1p-126f ? 0.0f : x;
}

#endif
