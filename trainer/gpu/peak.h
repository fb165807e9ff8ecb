/* The device's rate of fused multiply-adds, measured: chains in registers, on every multiprocessor.
 *
 * launch   PEAK_THREADS threads a block; each advances PEAK_CHAINS independent chains x = fma(x, factor, addend) by
 *          `rounds` rounds of PEAK_UNROLL, and writes the sum of its chains. With factor 0.5 and addend 1 every chain
 *          ends at exactly 2 after some thirty steps, so that what was measured can be checked, too.
 * shapes   out (blocks, PEAK_THREADS), float32, on the device.
 * errors   those of the launch. */
#ifndef SELFSAME_GPU_PEAK_H
#define SELFSAME_GPU_PEAK_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PEAK_THREADS = 256, PEAK_CHAINS = 16, PEAK_UNROLL = 8 };

struct peak_arguments {
    float *out;
    float factor, addend;
    uint32_t rounds, blocks;
};

cudaError_t gpu_peak(const struct peak_arguments *arguments, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
