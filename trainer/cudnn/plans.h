/* Every cuDNN plan that a network of the suite needs, for one number of images. They are few, since all depths have the
 * same layers: convolutions by shape, batch norms and activations by stage.
 *
 * Forward, a layer is two plans: its convolution; batch norm, the shortcut added, ReLU. Backward it is three: the mask
 * of what ReLU let through and batch norm's backward; backward data, which adds to what the shortcut left where there
 * is one; backward weights. The mask is made by cudnn_activate.
 *
 * precision   fp32: float32, no tensor cores. tf32: float32 in memory, tensor cores. bf16: activations, their gradients
 *             and the convolutions' weights in bfloat16; batch norm's parameters, statistics and gradients in float32.
 * shapes      images of the first layer are padded with zero channels to cudnn_input_channels. */
#ifndef SELFSAME_CUDNN_PLANS_H
#define SELFSAME_CUDNN_PLANS_H

#include "trainer/cudnn/graph.h"
#include "trainer/network.h"

enum cudnn_precision { CUDNN_PRECISION_FP32, CUDNN_PRECISION_TF32, CUDNN_PRECISION_BF16 };

const char *cudnn_precision_name(enum cudnn_precision precision);
uint32_t cudnn_input_channels(enum cudnn_precision precision);
size_t cudnn_activation_bytes(enum cudnn_precision precision); /* of one number */

/* Workspace that no plan exceeds, so that the memory a run takes is known without a device. */
#define CUDNN_WORKSPACE_BYTES ((size_t)24 << 20)
/* The least compute capability that has every plan: batch norm's fused graphs are not there before 8.0. */
enum { CUDNN_CAPABILITY_NEEDED = 80 };

enum cudnn_convolution {
    CUDNN_CONVOLUTION_FIRST,      /* 3 -> 16 at 32 */
    CUDNN_CONVOLUTION_16,         /* 16 -> 16 at 32 */
    CUDNN_CONVOLUTION_32_DOWN,    /* 16 -> 32, stride 2 */
    CUDNN_CONVOLUTION_32,         /* 32 -> 32 at 16 */
    CUDNN_CONVOLUTION_64_DOWN,    /* 32 -> 64, stride 2 */
    CUDNN_CONVOLUTION_64,         /* 64 -> 64 at 8 */
    CUDNN_CONVOLUTION_32_PROJECT, /* 1x1, 16 -> 32, stride 2 */
    CUDNN_CONVOLUTION_64_PROJECT, /* 1x1, 32 -> 64, stride 2 */
    CUDNN_CONVOLUTIONS
};

enum cudnn_pass {
    CUDNN_FORWARD,
    CUDNN_BACKWARD_DATA,     /* dx is overwritten */
    CUDNN_BACKWARD_DATA_ADD, /* dx is added to */
    CUDNN_BACKWARD_WEIGHT,
    CUDNN_PASSES
};

enum { CUDNN_STAGES = 3 };

enum cudnn_norm { CUDNN_NORM_RELU, CUDNN_NORM_ADD_RELU, CUDNN_NORM_BACKWARD, CUDNN_NORMS };
enum cudnn_activation { CUDNN_ACTIVATE, CUDNN_ACTIVATE_ADD, CUDNN_ACTIVATIONS };
enum cudnn_pool { CUDNN_POOL, CUDNN_POOL_BACKWARD, CUDNN_POOLS };

/* The tensors' names in all plans. */
enum cudnn_uid {
    CUDNN_X = 1, /* a convolution's or norm's input; of an average, its large side */
    CUDNN_W,
    CUDNN_Y,        /* a convolution's output; of an average, its small side, float32 */
    CUDNN_DY,       /* norm backward: the gradient of the ReLU's output */
    CUDNN_MASK,     /* norm backward: a byte for each number of the output, 1 or 0 */
    CUDNN_SHORTCUT, /* what is added before the ReLU */
    CUDNN_OUTPUT,   /* the ReLU's */
    CUDNN_G,        /* norm backward: the gradient behind the mask, which is the shortcut's, too */
    CUDNN_DX,       /* norm backward: the gradient of the convolution's output */
    CUDNN_MEAN,     /* (C), as all below */
    CUDNN_INVERSE,
    CUDNN_GAMMA,
    CUDNN_BETA,
    CUDNN_DGAMMA,
    CUDNN_DBETA,
    CUDNN_SCALE,
    CUDNN_SHIFT,
    CUDNN_EPSILON, /* a number by host pointer */
    CUDNN_INNER    /* and upwards: within a graph */
};

struct cudnn_plans {
    struct cudnn_planner planner;
    enum cudnn_precision precision;
    uint32_t images;
    struct cudnn_plan convolution[CUDNN_CONVOLUTIONS][CUDNN_PASSES];
    struct cudnn_plan norm[CUDNN_STAGES][CUDNN_NORMS];
    struct cudnn_plan activate[CUDNN_STAGES][CUDNN_ACTIVATIONS];
    struct cudnn_plan pool[CUDNN_POOLS];
};

/* Makes all plans of a training step, or those of an evaluation. planner->fma_only is set by the precision.
 * errors   STATUS_ENVIRONMENT, naming the first for which there is no engine. */
enum status cudnn_plans_open(struct cudnn_plans *plans, const struct cudnn_planner *planner,
                             const struct network *network, enum cudnn_precision precision, uint32_t images,
                             bool training, struct error *error) MUST_USE;
void cudnn_plans_close(struct cudnn_plans *plans); /* a zeroed one is fine */

/* Calls `each` for every plan that there is, in a fixed order: what the record lists as pinned. */
void cudnn_plans_list(const struct cudnn_plans *plans,
                      void (*each)(void *context, const char *name, const struct cudnn_plan *plan), void *context);

/* The shape of a network's layer, and of its projection. */
enum cudnn_convolution cudnn_convolution_of(const struct conv_layer *layer);
enum cudnn_convolution cudnn_projection_of(const struct conv_layer *layer);
uint32_t cudnn_stage_of(const struct conv_layer *layer);

#endif
