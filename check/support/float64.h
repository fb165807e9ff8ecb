/* The operations in binary64, from their definitions: what the float32 arithmetic should be near to. Sums run as the
 * loops happen to, statistics take two passes, gradients are the textbook's; nothing here knows of chains, trees or
 * roundings, and nothing of the reference but the shapes. Every sample is a float32 widened, so the two see the same
 * numbers.
 *
 * shapes   row-major, N images first, as in trainer/cpu/reference.h.
 * memory   the caller owns every array. Functions that end in _add add to their result, the others overwrite it.
 * checked  central differences, adjoint identities (check/unit/test_reference.c, check/unit/test_step.c) and PyTorch
 * (check/goldens). */
#ifndef SELFSAME_CHECK_FLOAT64_H
#define SELFSAME_CHECK_FLOAT64_H

#include <stddef.h>
#include <stdint.h>

/* ---- convolution ------------------------------------------------------------------------------------------------- */

/* taps x taps, 3 or 1, with padding taps / 2: x (N,C,H,H), w (K,C,taps,taps), y (N,K,P,P), P = H / stride. */
struct conv64 {
    uint32_t C, K, H, stride, taps;
};

/* y = x * w. Here and in option A, inputs are read only. */
void conv64_forward(const struct conv64 *d, uint32_t N, double *x, double *w, double *y);

void conv64_backward_data_add(const struct conv64 *d, uint32_t N, double *dy, double *w, double *dx);

void conv64_backward_weight(const struct conv64 *d, uint32_t N, double *x, double *dy, double *dw);

/* Option A: z (N,K,P,P) gets x (N,C,H,H) subsampled, at the channels `first` and on. */
void option_a64_forward_add(const struct conv64 *d, uint32_t N, uint32_t first, double *x, double *z);

void option_a64_backward_add(const struct conv64 *d, uint32_t N, uint32_t first, double *dz, double *dx);

/* ---- batch norm -------------------------------------------------------------------------------------------------- */

/* Of one channel of y (N,K,pixels), over N images and the pixels; pixels is 1 for the logits. */
struct norm64 {
    double mean, variance, inverse; /* the biased variance; inverse = 1 / sqrt(variance + epsilon) */
};

struct norm64 norm64_statistics(uint32_t N, uint32_t K, uint32_t pixels, uint32_t k, double epsilon, const double *y);

/* u = gamma (y - mean) inverse + beta. */
void norm64_forward(uint32_t N, uint32_t K, uint32_t pixels, uint32_t k, const struct norm64 *norm, double gamma,
                    double beta, const double *y, double *u);

/* g is the gradient of u; dy = gamma inverse (g - mean(g) - h mean(g h)) with h the normalised y. dy may be g. */
void norm64_backward(uint32_t N, uint32_t K, uint32_t pixels, uint32_t k, const struct norm64 *norm, double gamma,
                     const double *y, const double *g, double *dy, double *dgamma, double *dbeta);

/* ---- head: pool (N,64), z (N,10) --------------------------------------------------------------------------------- */

enum { HEAD64_FEATURES = 64, HEAD64_CLASSES = 10, HEAD64_PIXELS = 64 };

void pool64_forward(uint32_t N, const double *a, double *pool);

void pool64_backward(uint32_t N, const double *dpool, double *d);

/* bias may be NULL. */
void linear64_forward(uint32_t N, const double *pool, const double *w, const double *bias, double *z);

/* dbias may be NULL. */
void linear64_backward(uint32_t N, const double *pool, const double *w, const double *dz, double *dw, double *dbias,
                       double *dpool);

/* One image's cross entropy; f (10): the softmax. */
double softmax64_loss(const double *u, uint32_t label, double *f);

/* The gradient by u of the mean loss of N images. */
void softmax64_backward(uint32_t N, uint32_t label, const double *f, double *du);

/* ---- comparing --------------------------------------------------------------------------------------------------- */

double *widened(const float *values, size_t count);

/* The largest difference between ours and the float64 values, relative to the largest of these. NaN counts as
 * infinite. */
double relative_error(size_t count, const float *ours, const double *wide);

#endif
