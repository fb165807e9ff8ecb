/* A whole training step in binary64 over check/support/float64.h: forward, loss, every gradient, running statistics; or
 * an evaluation. The ReLUs may be told which numbers to pass: the sign of one that is nearly 0 depends on roundings,
 * and a few such make all gradients incomparable. */
#ifndef SELFSAME_CHECK_FLOAT64_NETWORK_H
#define SELFSAME_CHECK_FLOAT64_NETWORK_H

#include "check/support/float64.h"
#include "trainer/network.h"
#include "trainer/recipe.h"

/* One batch through the network. Layer l, its input a[l] and its output a[l+1] are as in trainer/cpu/reference.c. */
struct network64 {
    const struct network *network;
    uint32_t N;
    const uint8_t *labels;       /* [N] the caller's */
    const uint8_t *const *masks; /* [conv_count] of the layers' outputs: what ReLU passes; NULL: what is > 0 */
    bool evaluating;             /* norms take the running statistics, which stay as they are */
    bool bfloat16;               /* convolutions and the linear layer round what they read and what they leave */
    double *values, *gradients;  /* [value_count] parameters and running statistics; the gradients of the former */
    double *running;             /* [value_count] of it the running statistics after the step */
    double **a, **y;
    double **projected; /* [conv_count] what a projection gives before its batch norm; NULL where there is none */
    struct norm64 (*norm)[HEAD64_FEATURES], (*projection_norm)[HEAD64_FEATURES], logits_norm[HEAD64_CLASSES];
    uint8_t **passed;         /* [conv_count] what ReLU passed */
    double *pool, *z, *u, *f; /* pooled features, logits, normed logits, probabilities */
    double smallest;          /* the least |number| that a ReLU met */
    double loss;
};

uint32_t network64_pixels(const struct conv_layer *layer);

size_t network64_output(const struct network64 *t, uint32_t l);

/* values [value_count] and images (N,3,32,32) are widened. The caller ends with network64_close. */
void network64_open(struct network64 *t, const struct network *network, uint32_t N, const float *values,
                    const float *images, const uint8_t *labels);

void network64_close(struct network64 *t);

double *network64_value(const struct network64 *t, int64_t tensor);

double *network64_gradient(const struct network64 *t, int64_t tensor);

/* Layer l is the second of a block; the block's input is then a[l-1], and its shape changes where convolution l-1 has
 * stride 2. */
bool network64_second(uint32_t l);

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* From layer `first` on; what lies before is that of the last call. */
void network64_forward(struct network64 *t, uint32_t first);

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* Fills gradients, after network64_forward(t, 0). */
void network64_backward(struct network64 *t);

#endif
