/* The state of the cuDNN engine, in addition to the session's, and the launches of a step. engine.c opens and closes;
 * layout.c lays the device's memory out; step.c launches. */
#ifndef SELFSAME_CUDNN_ENGINE_STATE_H
#define SELFSAME_CUDNN_ENGINE_STATE_H

#include "trainer/cudnn/kernels.h"
#include "trainer/cudnn/plans.h"
#include "trainer/gpu/session.h"

/* Of cuBLAS, whose products are small. */
#define CUBLAS_WORKSPACE_BYTES ((size_t)4 << 20)

/* Numbers for gpu_report.culprit. What is not finite in a layer shows in the loss or in its running statistics. */
enum { NON_FINITE_NUMBER_LOGITS, NON_FINITE_NUMBER_LOSS, NON_FINITE_NUMBER_TENSOR /* and upwards */ };

enum { GRADIENTS = 3 };

/* What a layer of a stage needs for a moment. Where two stages are at hand, what they need at once does not overlap. */
struct scratch {
    void *gradients[GRADIENTS]; /* of a block's output and input, in turn; and of a convolution's output */
    void *inner;                /* the activation between the two convolutions of a block */
    uint8_t *mask;              /* what a ReLU lets through */
};

/* Pieces of the one allocation. void: in the numbers of the precision. Sizes are those of a batch's images. */
struct layout {
    void *packed, *packed_gradients; /* convolutions' weights, channels-last */
    void *input;                     /* the session's x, padded */
    void **y;                        /* [conv_count], host array: each convolution's output */
    void **outputs;                  /* [block_count + 1], host array: each block's input, and the last one's output */
    bool *kept;                      /* [block_count + 1], host array; the other outputs are made again */
    struct scratch scratch[CUDNN_STAGES];
    void *z;               /* a shortcut that changes shape */
    float *mean, *inverse; /* [conv_count][64] */
    float *scale, *shift;  /* [conv_count][64] */
    float *dpool;
    struct cudnn_weight_place *weights;
    void *workspace, *blas_workspace;
};

enum { PLAN_SETS = 3, PLANS_EVALUATION = 2 }; /* before it those of the steps, as the queue's graphs */

struct engine {
    struct gpu_session session;
    struct cudnn_library library;
    cudnnHandle_t cudnn;
    cublasHandle_t cublas;
    enum cudnn_precision precision;
    struct cudnn_plans plans[PLAN_SETS];
    float epsilon; /* whose address plans take */
    struct layout layout;
    uint32_t weight_count;
    size_t packed;                      /* numbers of all packed weights */
    struct cudnn_weight_place *weights; /* [weight_count], the host's copy */
    uint32_t *weight_of;                /* [tensor_count]: which of them a tensor is */
};

/* How many convolutions have packed weights, and how many numbers those are. The table goes to `weights`, unless it is
 * NULL. */
uint32_t cudnn_layout_weights(const struct network *network, enum cudnn_precision precision,
                              struct cudnn_weight_place *weights, size_t *packed);
/* gpu_engine's prepare, discard and lay_out. */
enum status cudnn_layout_prepare(struct engine *engine, struct error *error) MUST_USE;
void cudnn_layout_discard(struct engine *engine);
void cudnn_layout_make(struct engine *engine, struct arena *arena);

/* gpu_engine's launches. */
enum status cudnn_step_launch(void *engine, uint32_t images, struct queue_marks *marks, struct error *error) MUST_USE;
enum status cudnn_evaluation_launch(struct engine *engine, uint32_t first, uint32_t images,
                                    struct error *error) MUST_USE;
enum status cudnn_constants_launch(struct engine *engine, struct error *error) MUST_USE;
enum status cudnn_pack_launch(struct engine *engine, struct error *error) MUST_USE;

#endif
