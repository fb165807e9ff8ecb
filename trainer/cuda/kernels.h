/* The kernels of the exact engine, as the host sees them: for each a struct of arguments and the function that launches
 * it. Those that both engines launch are in trainer/gpu/kernels.h, whose conventions hold here, too. */
#ifndef SELFSAME_CUDA_KERNELS_H
#define SELFSAME_CUDA_KERNELS_H

#include "trainer/gpu/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

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

/* Backward, section 4. */
struct cuda_gradient_statistics {
    struct gpu_sums sums;
    const struct exact_norm *norm;        /* [K] */
    struct exact_norm_gradient *gradient; /* [K], written */
    float *dgamma, *dbeta;                /* [K], written */
    struct gpu_report report;
};

/* A layer's shape: C input channels of side H, K filters, P = H / stride. */
struct cuda_shape {
    uint32_t C, K, H, stride;
};

/* y = convolution of the activation, and the constants of the batch norm that follows. Packed weights: gpu_update. */
struct cuda_forward_arguments {
    struct cuda_shape shape;
    uint32_t count;
    struct cuda_activation input;
    float *activation; /* NULL, or (N,C,H,H), apart from all that is read: keeps the activation */
    const float *weights;
    float *y;
    uint32_t training; /* 0: statistics are not taken */
    struct gpu_statistics statistics;
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

/* z (N,K,P,P) from x (N,C,H,H); w (K,C), in the parameter's own order. */
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

/* ---- pooling and the linear layer: sections 5 and 6 -------------------------------------------------------------- */

/* Keeps the last block's output (N,64,8,8), pools it (N,64), and takes the logits z (N,10). */
struct cuda_pool_arguments {
    uint32_t count;
    struct cuda_activation input;
    float *activation;     /* NULL: not kept */
    const float *w, *bias; /* (10,64), (10) or NULL */
    float *pool, *z;
};
cudaError_t cuda_pool(const struct cuda_pool_arguments *arguments, cudaStream_t stream);

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

#ifdef __cplusplus
}
#endif

#endif
