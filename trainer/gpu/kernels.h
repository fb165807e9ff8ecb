/* The kernels that every engine on a GPU launches: for each a struct of arguments and the function that launches it.
 * trainer/ARITHMETIC.md says what they compute; the sections are its.
 *
 * shapes   float32, row-major; activations are (N,C,H,W), N being `count`, the images of the step.
 * memory   every pointer is to device memory that the caller owns, unless said; arrays of floats are 16-byte aligned.
 *          Nothing is allocated here, and nothing waits.
 * streams  a launch reads and writes what its arguments name; the caller keeps launches on several streams in order.
 * errors   what the launch returned. What is not finite is left in the step's result (culprit).
 * order    every output is one chain or aligned tree, whatever the grid. */
#ifndef SELFSAME_GPU_KERNELS_H
#define SELFSAME_GPU_KERNELS_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/exact.h"
#include "trainer/recipe.h"
#include "trainer/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { GPU_FEATURES = 64, GPU_CLASSES = 10 };

/* ---- the step at hand -------------------------------------------------------------------------------------------- */

/* What the host says of a step. */
struct gpu_step_schedule {
    uint64_t pass;  /* of its first image */
    uint32_t place; /* of its first image, in the order of that pass */
    float rate;
};

/* What a step leaves. A culprit is the number of the check that failed first, in the order of section 1; see engine.c
 * for the numbers. */
struct gpu_step_result {
    float loss;
    uint32_t errors;
    uint32_t culprit; /* GPU_NO_CULPRIT: everything is finite */
    uint32_t unused;
    unsigned long long digest[2];
};

#define GPU_NO_CULPRIT 0xffffffffu

/* which schedule and result the kernels of a step read and write. begin_step sets it. */
struct gpu_current {
    uint32_t next; /* the host sets it to 0 before a series of steps */
    uint32_t slot;
    float rate;
};

/* Where a kernel reports what is not finite: results[current->slot].culprit takes the least number. */
struct gpu_report {
    const struct gpu_current *current;
    struct gpu_step_result *results;
    uint32_t culprit;
};

/* ---- order of images, input: sections 9 and 10 ------------------------------------------------------------------- */

/* order[place] = image, for one pass. keys: scratch, [images]. */
struct gpu_shuffle_arguments {
    uint64_t seed, pass;
    uint32_t images;
    uint32_t *keys, *order;
};
cudaError_t gpu_shuffle(const struct gpu_shuffle_arguments *arguments, cudaStream_t stream);

/* Takes the next schedule: slot = next, next = next + 1; clears that slot's result; draws the samples of the step. */
struct gpu_begin_arguments {
    const struct gpu_step_schedule *schedules;
    struct gpu_current *current;
    struct gpu_step_result *results;
    const uint32_t *orders[2]; /* of the passes with even and with odd numbers; a step lies in two passes at most */
    const uint8_t *labels;     /* [images], the data set's */
    uint32_t images, count;
    uint64_t seed;
    uint32_t padding_pixels;
    uint32_t crop, flip;    /* 1: random */
    struct sample *samples; /* [count] */
    uint8_t *batch_labels;  /* [count] */
};
cudaError_t gpu_begin(const struct gpu_begin_arguments *arguments, cudaStream_t stream);

/* x (count,3,32,32) from the bytes of the data set. */
struct gpu_load_arguments {
    const uint8_t *images;        /* 4-byte aligned */
    const struct sample *samples; /* [count]; NULL: the plain images first, first+1, ... */
    uint32_t first, count;
    const float *value;      /* [3][256]: a byte, normalised; not looked at with pixel_mean */
    const float *pixel_mean; /* [3072] or NULL */
    uint32_t padding;        /* enum padding */
    uint32_t padding_pixels;
    float *x;
};
cudaError_t gpu_load(const struct gpu_load_arguments *arguments, cudaStream_t stream);

/* ---- batch norm: section 4 --------------------------------------------------------------------------------------- */

/* Sums over a batch norm's pixels, and the constants that the last block computes from them. */
struct gpu_sums {
    float *sums;       /* scratch: [GPU_UNITS count][2 K] */
    uint32_t *arrived; /* [GPU_ARRIVALS] of this layer, zero before and after a launch */
};

enum { GPU_ARRIVALS = 4, GPU_UNITS = 4 }; /* blocks of channels at most; aligned parts of an image at most */

/* Forward, section 4. Of gpu_head, running statistics that are NULL are left alone. */
struct gpu_statistics {
    struct gpu_sums sums;
    const float *gamma, *beta;
    float *running_mean, *running_variance;
    struct exact_norm *norm; /* [K], written */
    double epsilon, rate;
    uint32_t unbiased;
    struct gpu_report report;
};

/* ---- head: section 6 --------------------------------------------------------------------------------------------- */

/* From the logits of the batch to the loss and the gradient dz (N,10), the logits' batch norm included. */
struct gpu_head_arguments {
    uint32_t count;
    const float *z;
    const uint8_t *labels; /* [count] */
    float *dz;
    double *scratch;   /* [GPU_HEAD_SCRATCH doubles an image] */
    uint32_t has_norm; /* statistics as of a convolution's norm: gamma, beta, running statistics, [10] each */
    struct gpu_statistics norm;
    float *dgamma, *dbeta;  /* [10], with has_norm */
    float *dbias;           /* [10] or NULL */
    struct gpu_report loss; /* where loss and errors go, and the loss's culprit */
};
enum { GPU_HEAD_SCRATCH = 2 * GPU_CLASSES };
cudaError_t gpu_head(const struct gpu_head_arguments *arguments, cudaStream_t stream);

/* ---- update, ledger: sections 7 and 13 --------------------------------------------------------------------------- */

/* A piece of one tensor, at most GPU_PIECE floats. A 3x3 convolution's weights (K,C,3,3) are packed twice for the
 * kernels above, in blocks of 16 channels (one block of 3 where C is 3):
 *   forward   [C/16][r][16][s][K]
 *   backward  [K/16][r'][16][s'][C], w[k,c,2-r',2-s'] */
struct gpu_piece {
    uint32_t tensor, running; /* running: 1 for running statistics, which are not updated */
    uint32_t at, count;       /* values[at .. at + count) */
    uint32_t within;          /* of its first float, in the tensor */
    uint32_t K, C;            /* 0: not packed */
    size_t forward, backward; /* offsets of the tensor's packed copies; no backward one where C is 3 */
};
enum { GPU_PIECE = 1024 };

struct gpu_update_arguments {
    const struct gpu_piece *pieces;
    uint32_t piece_count;
    uint32_t update; /* 0: only packs, for a state that was set */
    uint32_t form;   /* enum momentum_form */
    float momentum_factor, decay;
    float *values, *momentum;
    const float *gradients;
    float *packed;
    struct gpu_report report; /* culprit: that of tensor 0; the digest goes to the result, too */
};
cudaError_t gpu_update(const struct gpu_update_arguments *arguments, cudaStream_t stream);

/* ---- evaluation: section 8 --------------------------------------------------------------------------------------- */

/* Where the tensors of a norm are, in floats from `values`. */
struct gpu_norm_place {
    uint32_t gamma, beta, running_mean, running_variance, channels;
};

/* norm[i * 64 + k] from the running statistics of places[i]. */
struct gpu_running_norms_arguments {
    const float *values;
    const struct gpu_norm_place *places;
    uint32_t count;
    double epsilon;
    struct exact_norm *norm;
};
cudaError_t gpu_running_norms(const struct gpu_running_norms_arguments *arguments, cudaStream_t stream);

/* Predictions and losses of images first .. first+count-1 from their logits; norm (10) or NULL. */
struct gpu_predict_arguments {
    uint32_t first, count;
    const float *z;
    const struct exact_norm *norm;
    const uint8_t *labels; /* the data set's */
    uint8_t *predictions;  /* the data set's, as losses */
    float *losses;
};
cudaError_t gpu_predict(const struct gpu_predict_arguments *arguments, cudaStream_t stream);

/* *loss = T64(losses) / count. */
struct gpu_mean_loss_arguments {
    const float *losses;
    uint32_t count;
    double *loss;
};
cudaError_t gpu_mean_loss(const struct gpu_mean_loss_arguments *arguments, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
