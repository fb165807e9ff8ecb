/* The scalar reference: ARITHMETIC.md in plain loops, one function per operation, forward and backward side by side. It
 * defines what is right; the fused backends are tested for equal bits against it.
 *
 * Conventions of all functions here:
 * shapes   float32, row-major, N images of C channels of H rows and H columns; one image where there is no N. Sides are
 *          32, 16 or 8. dx is the gradient by x, and so on.
 * memory   the caller owns every array; results are overwritten and overlap nothing else unless said. Scratch holds
 *          REFERENCE_SCRATCH_FLOATS.
 * errors   none: what is not finite spreads and is looked for in the sums (backend.h). Wrong shapes are our own bugs.
 * threads  pure functions of their arguments; callers hand different images, groups or filters to different threads.
 * order    one chain or tree per output, as the section of ARITHMETIC.md says; loops are ordered so that neighbouring
 *          outputs are innermost, which changes no result.
 *
 * Built twice: plain, and with FMA instructions under names that end in _fma. */
#ifndef SELFSAME_REFERENCE_H
#define SELFSAME_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/exact.h"

#ifdef REFERENCE_FMA
#define conv2d_forward conv2d_forward_fma
#define conv2d_backward_data conv2d_backward_data_fma
#define conv2d_backward_weight conv2d_backward_weight_fma
#define winograd_filters winograd_filters_fma
#define winograd_forward winograd_forward_fma
#define winograd_backward_data winograd_backward_data_fma
#define winograd_backward_weight winograd_backward_weight_fma
#define winograd_taps winograd_taps_fma
#define projection_forward projection_forward_fma
#define projection_backward_data projection_backward_data_fma
#define projection_backward_weight projection_backward_weight_fma
#define option_a_forward option_a_forward_fma
#define option_a_backward option_a_backward_fma
#define group_tree group_tree_fma
#define batch_norm_sums batch_norm_sums_fma
#define batch_norm_forward batch_norm_forward_fma
#define batch_norm_backward_sums batch_norm_backward_sums_fma
#define batch_norm_backward batch_norm_backward_fma
#define relu_forward relu_forward_fma
#define relu_backward relu_backward_fma
#define pool_forward pool_forward_fma
#define pool_backward pool_backward_fma
#define linear_forward linear_forward_fma
#define linear_backward linear_backward_fma
#define logits_norm_statistics logits_norm_statistics_fma
#define logits_norm_forward logits_norm_forward_fma
#define logits_norm_backward logits_norm_backward_fma
#define softmax_loss softmax_loss_fma
#define softmax_backward softmax_backward_fma
#define ledger_digest ledger_digest_fma
#endif

enum {
    REFERENCE_PADDED_FLOATS = 16 * 34 * 34,               /* the largest image with its border */
    REFERENCE_PATCH_FLOATS = 64 * 9,                      /* what one output of the widest convolution sees */
    REFERENCE_POINTS_FLOATS = 64 * EXACT_WINOGRAD_POINTS, /* the points of one tile of the widest convolution */
    REFERENCE_SCRATCH_FLOATS = REFERENCE_PADDED_FLOATS + 2 * REFERENCE_POINTS_FLOATS
};

/* ---- convolutions ------------------------------------------------------------------------------------------------ */

/* A 3x3 convolution with padding 1: x (C,H,H), w (K,C,3,3), y (K,P,P) with P = H / stride. A projection's w is
 * (K,C). */
struct conv2d {
    uint32_t C, K, H, stride; /* C: 3 or a multiple of 16 */
};

/* 2-D convolution, forward: y = x * w, no bias.
 * order    ARITHMETIC.md section 2, forward.
 * source   He et al. 2015, section 4.2 (3x3 layers); cross-correlation as the field defines "convolution". */
void conv2d_forward(const struct conv2d *d, const float *x, const float *w, float *y, float *scratch);
/* Its gradient by x: dx = dy * w with the roles of C and K exchanged and the taps mirrored. Not for C = 3.
 * order    section 2, backward data. */
void conv2d_backward_data(const struct conv2d *d, const float *dy, const float *w, float *dx, float *scratch);
/* Its gradient by w over one group: rows begin .. end-1 of the N P output rows. x (N,C,H,H), dy (N,K,P,P),
 * part (K,C,3,3). group_tree adds the groups.
 * order    section 2, backward weights. */
void conv2d_backward_weight(const struct conv2d *d, uint32_t begin, uint32_t end, const float *x, const float *dy,
                            float *part, float *scratch);

/* The same convolution with stride 1 by tiles: C = K, a multiple of 16.
 * order    ARITHMETIC.md section 2b.
 * source   Lavin and Gray 2016, F(4x4, 3x3), at other points. */

/* The filters at a tile's points, for forward, or with `mirrored` for backward data: u (outputs,inputs,36). */
void winograd_filters(const struct conv2d *d, const float *w, bool mirrored, float *u);
/* y from x (C,H,H) and the filters u (K,C,36). */
void winograd_forward(const struct conv2d *d, const float *x, const float *u, float *y, float *scratch);
/* dx from dy (K,H,H) and the mirrored filters u (C,K,36). */
void winograd_backward_data(const struct conv2d *d, const float *dy, const float *u, float *dx, float *scratch);
/* The weight gradient at the points over one group, images begin .. end-1: part (K,C,36). */
void winograd_backward_weight(const struct conv2d *d, uint32_t begin, uint32_t end, const float *x, const float *dy,
                              float *part, float *scratch);
/* From the sums of all groups of one filter at the points, (C,36), which are overwritten, to its dw (C,3,3). */
void winograd_taps(const struct conv2d *d, float *sums, float *dw);

/* 1x1 convolution of stride 2, the trained shortcut: x (C,H,H), w (K,C), z (K,P,P).
 * order    section 3. */
void projection_forward(const struct conv2d *d, const float *x, const float *w, float *z);
/* Adds its gradient by x to dx, at the even rows and columns. */
void projection_backward_data(const struct conv2d *d, const float *g, const float *w, float *dx);
/* Its gradient by w over one group, in the same way: x (N,C,H,H), g (N,K,P,P), part (K,C). */
void projection_backward_weight(const struct conv2d *d, uint32_t begin, uint32_t end, const float *x, const float *g,
                                float *part);

/* Option A: x subsampled, its channels at `first` .. first+C-1 of K, +0 elsewhere.
 * order    section 3.
 * source   He et al. 2015, section 4.2; `first` = (K - C) / 2 is akamaster's. */
void option_a_forward(const struct conv2d *d, uint32_t first, const float *x, float *z);
/* Adds its gradient by x to dx. */
void option_a_backward(const struct conv2d *d, uint32_t first, const float *g, float *dx);

/* dw[i] = T32 over the groups of parts[group * count + i], for i in begin .. end-1; parts are overwritten. */
void group_tree(float *parts, uint32_t groups, size_t count, size_t begin, size_t end, float *dw);

/* ---- batch norm, ReLU -------------------------------------------------------------------------------------------- */

/* One image's sums over its pixels: sums[k] of y and sums[K + k] of y y. y (K,pixels).
 * order    section 4. source   Ioffe and Szegedy 2015, algorithm 1. */
void batch_norm_sums(uint32_t K, uint32_t pixels, const float *y, float *sums, float *scratch);
/* u = fma(y, scale, shift); u may be y. */
void batch_norm_forward(uint32_t K, uint32_t pixels, const struct exact_norm *norm, const float *y, float *u);
/* One image's sums[k] of g and sums[K + k] of g (y - mean). */
void batch_norm_backward_sums(uint32_t K, uint32_t pixels, const struct exact_norm *norm, const float *g,
                              const float *y, float *sums, float *scratch);
/* dy = fma(g, scale, fma(slope, y, constant)). */
void batch_norm_backward(uint32_t K, uint32_t pixels, const struct exact_norm *norm,
                         const struct exact_norm_gradient *gradient, const float *g, const float *y, float *dy);

/* a = relu(u) in place. */
void relu_forward(size_t count, float *u);
/* g = a > 0 ? d : +0, a being the ReLU's result; g may be d. */
void relu_backward(size_t count, const float *a, const float *d, float *g);

/* ---- head: 64 features, 10 classes ------------------------------------------------------------------------------- */

/* Global average pooling: a (64,8,8), pool (64).
 * order    section 6, as everything below. */
void pool_forward(const float *a, float *pool, float *scratch);
void pool_backward(const float *dpool, float *d);

/* z = pool w' + bias; pool (64), w (10,64), z (10); bias (10) or NULL. */
void linear_forward(const float *pool, const float *w, const float *bias, float *z);
/* pool, dpool (N,64), dz (N,10); dbias NULL where there is none; column: N numbers of scratch. */
void linear_backward(uint32_t N, const float *pool, const float *w, const float *dz, float *dw, float *dbias,
                     float *dpool, double *column);

/* Batch norm over the logits z (N,10): mean and variance of class k; column: N numbers of scratch. */
void logits_norm_statistics(uint32_t N, uint32_t k, const float *z, double *mean, double *variance, double *column);
/* One image: u = fma(z, scale, shift). */
void logits_norm_forward(const struct exact_norm *norm, const float *z, float *u);
/* Class k's gradients by gamma, beta and, in place, from that of u to that of z: dz (N,10). */
struct exact_norm_gradient logits_norm_backward(uint32_t N, uint32_t k, const struct exact_norm *norm, const float *z,
                                                float *dz, double *column);

/* Softmax and cross entropy of one image: returns its loss. f (10): the probabilities; *prediction: the lowest class of
 * the largest u. */
float softmax_loss(const float *u, uint32_t label, float *f, uint8_t *prediction);
/* The gradient by u of the mean loss of N images; du may be f. */
void softmax_backward(uint32_t N, uint32_t label, const float *f, float *du);

/* ---- ledger ------------------------------------------------------------------------------------------------------ */

/* Adds count values, the first being element `first` of the state, to the ledger digest: section 13. */
void ledger_digest(size_t count, const float *values, size_t first, uint64_t digest[2]);

#endif
