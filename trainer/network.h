/* A residual network of depth 6n+2 for 32x32 images: its layers, shapes and named tensors, from the recipe's model
 * section. ARITHMETIC.md section 0.
 * source   He et al. 2015, section 4.2. */
#ifndef SELFSAME_NETWORK_H
#define SELFSAME_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/recipe.h"

enum tensor_role { TENSOR_PARAMETER, TENSOR_RUNNING }; /* running statistics have no momentum and no gradient */

enum { TENSOR_NAME_BYTES = 64, NETWORK_FEATURES = 64, NETWORK_CLASSES = 10 };

/* One named tensor; float32, row-major, at network values[offset .. offset + count). */
struct tensor {
    char name[TENSOR_NAME_BYTES];
    enum tensor_role role;
    uint32_t rank, shape[4];
    size_t offset, count;
};

/* A 3x3 convolution with the batch norm that follows it. The tensors are indices into network.tensors. */
struct conv_layer {
    uint32_t channels, filters; /* C, K */
    uint32_t side, stride;      /* H = W of the input; output side = side / stride */
    uint32_t weight, gamma, beta, running_mean, running_variance;
    int32_t projection; /* on a block's second convolution: tensor of the block's 1x1 shortcut weight, or -1 */
    int32_t projection_gamma, projection_beta, projection_mean, projection_variance; /* of its batch norm, or -1 */
    uint32_t
        option_a_first; /* stride 2 with option A: which of the filters the input's first channel is added to; else 0 */
};

/* convs[0] is the first convolution; block b (from 0) is convs[1 + 2b] and convs[2 + 2b]. */
struct network {
    struct model_config model;
    uint32_t conv_count, block_count;
    struct conv_layer *convs;
    int32_t linear_weight;                                           /* (10, 64) */
    int32_t linear_bias;                                             /* or -1 */
    int32_t logits_gamma, logits_beta, logits_mean, logits_variance; /* or -1 */
    uint32_t tensor_count;
    struct tensor *tensors; /* in bytewise order of their names: the order of every digest and file */
    size_t value_count;     /* floats in all tensors together */
    size_t parameter_count; /* of them, parameters */
};

/* STATUS_INPUT, saying which depths are near, for one that is not 6n+2 with n >= 1. */
enum status network_check_depth(uint32_t depth, struct error *error) MUST_USE;
/* STATUS_INPUT for a depth that is not 6n+2, n >= 1 ; STATUS_ENVIRONMENT without memory. */
enum status network_open(struct network **network, const struct model_config *model, struct error *error) MUST_USE;
void network_close(struct network *network);
/* Fills values (value_count floats) with the initial weights and running statistics: ARITHMETIC.md section 9. */
void network_initialize(const struct network *network, uint64_t seed, float *values);
/* Index of the tensor of that name, or -1. */
int32_t network_find(const struct network *network, const char *name);

#endif
