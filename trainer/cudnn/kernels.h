/* The cuDNN engine's own kernels: they convert between selfsame's layouts and cuDNN's, and do what cuDNN does not do.
 * Order of images, input, head and update are the exact engine's: trainer/gpu/kernels.h, whose conventions hold here,
 * too.
 *
 * shapes   "Packed" is channels-last, in the numbers of the precision: activations (N,H,W,C), weights (K,R,S,C), with
 *          narrow = 1 in bfloat16, rounded to nearest even, else float32. */
#ifndef SELFSAME_CUDNN_KERNELS_H
#define SELFSAME_CUDNN_KERNELS_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/gpu/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* input (N,32,32,channels) from x (N,3,32,32); channels from 3 on are zero. */
struct cudnn_pad_arguments {
    uint32_t count, channels, narrow;
    const float *x;
    void *input;
};
cudaError_t cudnn_pad(const struct cudnn_pad_arguments *arguments, cudaStream_t stream);

/* One convolution's weights (K,C,taps) at values[at], and packed, with `channels` >= C of them, at
 * packed[packed_at]. */
struct cudnn_weight_place {
    uint32_t at, packed_at, K, C, channels, taps;
};

/* Packs the weights; or, with `back`, takes the gradients out of their packed form. */
struct cudnn_pack_arguments {
    const struct cudnn_weight_place *places;
    uint32_t place_count, narrow, back;
    float *values;
    void *packed;
};
cudaError_t cudnn_pack(const struct cudnn_pack_arguments *arguments, cudaStream_t stream);

/* Option A, packed: z[n,p,q,first+c] = x[n,2p,2q,c], +0 for other filters; z (N,P,P,2C), x (N,2P,2P,C). With `back`,
 * x[n,2p,2q,c] += z[n,p,q,first+c]. */
struct cudnn_subsample_arguments {
    uint32_t count, C, P, first, narrow, back;
    void *x, *z;
};
cudaError_t cudnn_subsample(const struct cudnn_subsample_arguments *arguments, cudaStream_t stream);

/* What a layer's batch norm and ReLU leave of y, packed, again: output = max(0, (y - mean) * inverse * gamma + beta +
 * shortcut), and mask = 1 where that is above 0, else 0. shortcut, output and mask may be NULL. cuDNN's forward pass
 * may have rounded otherwise. numbers: of y; a multiple of 4, as channels are. */
struct cudnn_activate_arguments {
    uint32_t numbers, channels, narrow;
    const void *y, *shortcut;
    const float *mean, *inverse, *gamma, *beta; /* [channels] */
    void *output;
    uint8_t *mask;
};
cudaError_t cudnn_activate(const struct cudnn_activate_arguments *arguments, cudaStream_t stream);

/* z (N,10) = bias (10). */
struct cudnn_bias_arguments {
    uint32_t count;
    const float *bias;
    float *z;
};
cudaError_t cudnn_bias(const struct cudnn_bias_arguments *arguments, cudaStream_t stream);

/* Running statistics of all layers, from what batch norm left of the batch: mean and 1 / sqrt(variance + epsilon), each
 * [layers][64]. */
struct cudnn_running_arguments {
    float *values;
    const struct gpu_norm_place *places;
    uint32_t layers, count, unbiased;
    double epsilon, rate;
    const float *mean, *inverse;
};
cudaError_t cudnn_running(const struct cudnn_running_arguments *arguments, cudaStream_t stream);

/* Evaluation's factors, [layers][64] each. */
struct cudnn_constants_arguments {
    uint32_t layers;
    const struct exact_norm *norms;
    float *scale, *shift;
};
cudaError_t cudnn_constants(const struct cudnn_constants_arguments *arguments, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
