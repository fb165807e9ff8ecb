/* See peak.h. */
#include "trainer/gpu/kernel.cuh"
#include "trainer/gpu/peak.h"

static __global__ void __launch_bounds__(PEAK_THREADS) peak(const struct peak_arguments arguments)
{
    float x[PEAK_CHAINS];
#pragma unroll
    for (int i = 0; i < PEAK_CHAINS; i++)
        x[i] = (float)(threadIdx.x % 3u) + (float)i;
    for (uint32_t round = 0; round < arguments.rounds; round++) {
#pragma unroll
        for (int step = 0; step < PEAK_UNROLL; step++) {
#pragma unroll
            for (int i = 0; i < PEAK_CHAINS; i++)
                x[i] = fmaf(x[i], arguments.factor, arguments.addend);
        }
    }
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PEAK_CHAINS; i++)
        sum += x[i];
    arguments.out[blockIdx.x * PEAK_THREADS + threadIdx.x] = sum;
}

extern "C" cudaError_t gpu_peak(const struct peak_arguments *arguments, cudaStream_t stream)
{
    return launch(peak, dim3(arguments->blocks), dim3(PEAK_THREADS), 0, stream, *arguments);
}
