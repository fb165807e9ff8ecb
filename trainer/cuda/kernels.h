/* The kernels of the exact CUDA engine, as the host sees them: for each a struct of arguments and the function that
 * launches it. trainer/ARITHMETIC.md says what they compute; the sections are its.
 *
 * shapes   float32, row-major; activations and gradients are (N,C,H,W), N being `count`, the images of the step.
 * memory   every pointer is to device memory that the caller owns, unless said; arrays of floats are 16-byte aligned.
 *          Nothing is allocated here, and nothing waits.
 * streams  a launch reads and writes what its arguments name; whoever launches on several streams sees to the order.
 * errors   what the launch returned. What is not finite is left in the step's result (culprit).
 * order    every output is one chain or aligned tree, whatever the grid. */
#ifndef SELFSAME_CUDA_KERNELS_H
#define SELFSAME_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/exact.h"
#include "trainer/recipe.h"
#include "trainer/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CUDA_FEATURES = 64, CUDA_CLASSES = 10 };

/* ---- the step at hand -------------------------------------------------------------------------------------------- */

/* What the host says of a step. */
struct cuda_step_plan {
    uint64_t pass;  /* of its first image */
    uint32_t place; /* of its first image, in the order of that pass */
    float rate;
};

/* What a step leaves. A culprit is the number of the check that failed first, in the order of section 1; see engine.c
 * for the numbers. */
struct cuda_step_result {
    float loss;
    uint32_t errors;
    uint32_t culprit; /* CUDA_NO_CULPRIT: everything is finite */
    uint32_t unused;
    unsigned long long digest[2];
};

#define CUDA_NO_CULPRIT 0xffffffffu

/* Which plan and result the kernels of a step read and write. begin_step sets it. */
struct cuda_current {
    uint32_t next; /* the host sets it to 0 before a series of steps */
    uint32_t slot;
    float rate;
};

/* Where a kernel reports what is not finite: results[current->slot].culprit takes the least number. */
struct cuda_report {
    const struct cuda_current *current;
    struct cuda_step_result *results;
    uint32_t culprit;
};

/* ---- order of images, input: sections 9 and 10 ------------------------------------------------------------------- */

/* order[place] = image, for one pass. keys: scratch, [images]. */
struct cuda_shuffle_arguments {
    uint64_t seed, pass;
    uint32_t images;
    uint32_t *keys, *order;
};
cudaError_t cuda_shuffle(const struct cuda_shuffle_arguments *arguments, cudaStream_t stream);

/* Takes the next plan: slot = next, next = next + 1; clears that slot's result; draws the samples of the step. */
struct cuda_begin_arguments {
    const struct cuda_step_plan *plans;
    struct cuda_current *current;
    struct cuda_step_result *results;
    const uint32_t *orders[2]; /* of the passes with even and with odd numbers; a step lies in two passes at most */
    const uint8_t *labels;     /* [images], the data set's */
    uint32_t images, count;
    uint64_t seed;
    uint32_t padding_pixels;
    uint32_t crop, flip;    /* 1: random */
    struct sample *samples; /* [count] */
    uint8_t *batch_labels;  /* [count] */
};
cudaError_t cuda_begin(const struct cuda_begin_arguments *arguments, cudaStream_t stream);

/* x (count,3,32,32) from the bytes of the data set. */
struct cuda_load_arguments {
    const uint8_t *images;        /* 4-byte aligned */
    const struct sample *samples; /* [count]; NULL: the plain images first, first+1, ... */
    uint32_t first, count;
    const float *value;      /* [3][256]: a byte, normalised; not looked at with pixel_mean */
    const float *pixel_mean; /* [3072] or NULL */
    uint32_t padding;        /* enum padding */
    uint32_t padding_pixels;
    float *x;
};
cudaError_t cuda_load(const struct cuda_load_arguments *arguments, cudaStream_t stream);

/* ---- convolutions with what surrounds them ----------------------------------------------------------------------- */

enum cuda_shortcut {
    CUDA_SHORTCUT_NONE,
    CUDA_SHORTCUT_SAME, /* an array of the same shape */
    /* forward: z[n,k,p,q] = array[n,k-first,2p,2q], (N,channels,2P,2P), +0 for other k;
     * backward: dx[n,c,h,w] gets array[n,c+first,h/2,w/2], (N,channels,H/2,H/2), for even h, w */
    CUDA_SHORTCUT_SUBSAMPLED
};

struct cuda_shortcut_source {
    uint32_t kind; /* enum cuda_shortcut */
    uint32_t channels, first;
    const float *array;
};

/* An activation: y itself where norm is NULL, else relu(fma(y, scale, shift) + shortcut). */
struct cuda_activation {
    const float *y;
    const struct exact_norm *norm; /* [C] */
    struct cuda_shortcut_source shortcut;
};

/* The gradient of a convolution's output: dy = fma(g, scale, fma(slope, y, constant)). */
struct cuda_output_gradient {
    const float *g, *y;
    const struct exact_norm *norm;              /* [K] */
    const struct exact_norm_gradient *gradient; /* [K] */
};

/* Sums over a batch norm's pixels, and what comes of them once the last block has added its own. */
struct cuda_sums {
    float *sums;       /* scratch: [CUDA_UNITS count][2 K] */
    uint32_t *arrived; /* [CUDA_ARRIVALS] of this layer, zero before and after a launch */
};

enum { CUDA_ARRIVALS = 4, CUDA_UNITS = 4 }; /* blocks of channels at most; aligned parts of an image at most */

/* Forward, section 4. Of cuda_head, running statistics that are NULL are left alone. */
struct cuda_statistics {
    struct cuda_sums sums;
    const float *gamma, *beta;
    float *running_mean, *running_variance;
    struct exact_norm *norm; /* [K], written */
    double epsilon, rate;
    uint32_t unbiased;
    struct cuda_report report;
};

/* Backward, section 4. */
struct cuda_gradient_statistics {
    struct cuda_sums sums;
    const struct exact_norm *norm;        /* [K] */
    struct exact_norm_gradient *gradient; /* [K], written */
    float *dgamma, *dbeta;                /* [K], written */
    struct cuda_report report;
};

/* A layer's shape: C input channels of side H, K filters, P = H / stride. */
struct cuda_shape {
    uint32_t C, K, H, stride;
};

/* y = convolution of the activation, and the constants of the batch norm that follows. Packed weights: cuda_update. */
struct cuda_forward_arguments {
    struct cuda_shape shape;
    uint32_t count;
    struct cuda_activation input;
    float *activation; /* NULL, or (N,C,H,H), apart from all that is read: keeps the activation */
    const float *weights;
    float *y;
    uint32_t training; /* 0: statistics are not taken */
    struct cuda_statistics statistics;
};
cudaError_t cuda_forward(const struct cuda_forward_arguments *arguments, cudaStream_t stream);

/* The activation alone: kept (N,C,H,H), H = shape.H and C = shape.C. */
struct cuda_activate_arguments {
    struct cuda_shape shape;
    uint32_t count;
    struct cuda_activation input;
    float *activation;
};
cudaError_t cuda_activate(const struct cuda_activate_arguments *arguments, cudaStream_t stream);

/* Through a convolution to the gradient of the batch norm below it: d = backward data of dy, plus the shortcut's
 * gradient, where the ReLU let through; and the constants of that batch norm's backward. */
struct cuda_backward_data_arguments {
    struct cuda_shape shape; /* of the convolution */
    uint32_t count;
    struct cuda_output_gradient output;
    const float *weights; /* packed */
    struct cuda_shortcut_source shortcut;
    const float *mask;  /* (N,C,H,H): let through where it is > 0; NULL: where fma(below, scale, shift) is */
    const float *below; /* (N,C,H,H): the output of the convolution below, whose batch norm statistics.norm is */
    float *g;           /* (N,C,H,H), written; may be the shortcut's array of the same shape */
    struct cuda_gradient_statistics statistics;
};
cudaError_t cuda_backward_data(const struct cuda_backward_data_arguments *arguments, cudaStream_t stream);

/* Chains of a weight gradient over one group each: parts [groups][K][C][9]. cuda_groups says how many. */
struct cuda_backward_weight_arguments {
    struct cuda_shape shape;
    uint32_t count;
    struct cuda_activation input; /* without shortcut */
    struct cuda_output_gradient output;
    float *parts;
};
cudaError_t cuda_backward_weight(const struct cuda_backward_weight_arguments *arguments, cudaStream_t stream);

/* result[i] = T32 over the groups of parts[group][i], i < size. */
struct cuda_tree_arguments {
    const float *parts;
    uint32_t groups, size;
    float *result;
};
cudaError_t cuda_tree(const struct cuda_tree_arguments *arguments, cudaStream_t stream);

/* ---- the projection of a shortcut: section 3 --------------------------------------------------------------------- */

/* z (N,K,P,P) from x (N,C,H,H); w (K,C), as the parameter stands. */
struct cuda_projection_arguments {
    struct cuda_shape shape; /* stride 2 */
    uint32_t count;
    const float *x, *w;
    float *z;
};
cudaError_t cuda_projection(const struct cuda_projection_arguments *arguments, cudaStream_t stream);

/* dx (N,C,P,P): the gradients at even rows and columns; g (N,K,P,P). */
struct cuda_projection_data_arguments {
    struct cuda_shape shape;
    uint32_t count;
    const float *g, *w;
    float *dx;
};
cudaError_t cuda_projection_data(const struct cuda_projection_data_arguments *arguments, cudaStream_t stream);

/* parts [groups][K][C], for cuda_tree. */
struct cuda_projection_weight_arguments {
    struct cuda_shape shape;
    uint32_t count;
    const float *x, *g;
    float *parts;
};
cudaError_t cuda_projection_weight(const struct cuda_projection_weight_arguments *arguments, cudaStream_t stream);

/* ---- head: section 6 --------------------------------------------------------------------------------------------- */

/* Keeps the last block's output (N,64,8,8), pools it (N,64), and takes the logits z (N,10). */
struct cuda_pool_arguments {
    uint32_t count;
    struct cuda_activation input;
    float *activation;     /* NULL: not kept */
    const float *w, *bias; /* (10,64), (10) or NULL */
    float *pool, *z;
};
cudaError_t cuda_pool(const struct cuda_pool_arguments *arguments, cudaStream_t stream);

/* From the logits of the batch to the loss and the gradient dz (N,10), the logits' batch norm included. */
struct cuda_head_arguments {
    uint32_t count;
    const float *z;
    const uint8_t *labels; /* [count] */
    float *dz;
    double *scratch;   /* [CUDA_HEAD_SCRATCH doubles an image] */
    uint32_t has_norm; /* statistics as of a convolution's norm: gamma, beta, running statistics, [10] each */
    struct cuda_statistics norm;
    float *dgamma, *dbeta;   /* [10], with has_norm */
    float *dbias;            /* [10] or NULL */
    struct cuda_report loss; /* where loss and errors go, and the loss's culprit */
};
enum { CUDA_HEAD_SCRATCH = 2 * CUDA_CLASSES };
cudaError_t cuda_head(const struct cuda_head_arguments *arguments, cudaStream_t stream);

/* dw (10,64) of the linear layer. */
struct cuda_linear_weight_arguments {
    uint32_t count;
    const float *pool, *dz;
    float *dw;
};
cudaError_t cuda_linear_weight(const struct cuda_linear_weight_arguments *arguments, cudaStream_t stream);

/* The gradient g (N,64,8,8) of the last batch norm's output, let through where activation > 0, and its statistics. */
struct cuda_pool_backward_arguments {
    uint32_t count;
    const float *dz, *w;
    const float *activation, *y; /* (N,64,8,8) */
    float *g;
    struct cuda_gradient_statistics statistics;
};
cudaError_t cuda_pool_backward(const struct cuda_pool_backward_arguments *arguments, cudaStream_t stream);

/* ---- update, ledger: sections 7 and 13 --------------------------------------------------------------------------- */

/* A piece of one tensor, at most CUDA_PIECE floats. A 3x3 convolution's weights (K,C,3,3) are packed twice for the
 * kernels above, in blocks of 16 channels (one block of 3 where C is 3):
 *   forward   [C/16][r][16][s][K]
 *   backward  [K/16][r'][16][s'][C], w[k,c,2-r',2-s'] */
struct cuda_piece {
    uint32_t tensor, running; /* running: 1 for running statistics, which are not updated */
    uint32_t at, count;       /* values[at .. at + count) */
    uint32_t within;          /* of its first float, in the tensor */
    uint32_t K, C;            /* 0: not packed */
    size_t forward, backward; /* offsets of the tensor's packed copies; no backward one where C is 3 */
};
enum { CUDA_PIECE = 1024 };

struct cuda_update_arguments {
    const struct cuda_piece *pieces;
    uint32_t piece_count;
    uint32_t update; /* 0: only packs, for a state that was set */
    uint32_t form;   /* enum momentum_form */
    float momentum_factor, decay;
    float *values, *momentum;
    const float *gradients;
    float *packed;
    struct cuda_report report; /* culprit: that of tensor 0; the digest goes to the result, too */
};
cudaError_t cuda_update(const struct cuda_update_arguments *arguments, cudaStream_t stream);

/* ---- evaluation: section 8 --------------------------------------------------------------------------------------- */

/* Where the tensors of a norm are, in floats from `values`. */
struct cuda_norm_place {
    uint32_t gamma, beta, running_mean, running_variance, channels;
};

/* norm[i * 64 + k] from the running statistics of places[i]. */
struct cuda_running_norms_arguments {
    const float *values;
    const struct cuda_norm_place *places;
    uint32_t count;
    double epsilon;
    struct exact_norm *norm;
};
cudaError_t cuda_running_norms(const struct cuda_running_norms_arguments *arguments, cudaStream_t stream);

/* Predictions and losses of images first .. first+count-1 from their logits; norm (10) or NULL. */
struct cuda_predict_arguments {
    uint32_t first, count;
    const float *z;
    const struct exact_norm *norm;
    const uint8_t *labels; /* the data set's */
    uint8_t *predictions;  /* the data set's, as losses */
    float *losses;
};
cudaError_t cuda_predict(const struct cuda_predict_arguments *arguments, cudaStream_t stream);

/* *loss = T64(losses) / count. */
struct cuda_mean_loss_arguments {
    const float *losses;
    uint32_t count;
    double *loss;
};
cudaError_t cuda_mean_loss(const struct cuda_mean_loss_arguments *arguments, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
