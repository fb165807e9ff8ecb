/* What the cuDNN engine holds, and the series of launches that a step is. engine.c opens, runs and closes; memory.c
 * lays the device's memory out; step.c launches. */
#ifndef SELFSAME_CUDNN_ENGINE_STATE_H
#define SELFSAME_CUDNN_ENGINE_STATE_H

#include "trainer/cuda/device.h"
#include "trainer/cuda/queue.h"
#include "trainer/cudnn/kernels.h"
#include "trainer/cudnn/plans.h"
#include "trainer/engine.h"

/* Of cuBLAS, whose products are small. */
#define CUBLAS_WORKSPACE_BYTES ((size_t)4 << 20)

/* Numbers for cuda_report.culprit. What is not finite in a layer shows in the loss or in its running statistics. */
enum { NON_FINITE_NUMBER_LOGITS, NON_FINITE_NUMBER_LOSS, NON_FINITE_NUMBER_TENSOR /* and upwards */ };

enum { GRADIENTS = 4 };

/* Everything of the engine's that is on the device, but for the data sets: pieces of one allocation. void: in the
 * numbers of the precision. Sizes are those of `batch` images. */
struct layout {
    size_t bytes; /* of the whole */
    float *values, *momentum, *gradients;
    void *packed, *packed_gradients; /* convolutions' weights, channels-last */
    float *x;
    void *input;              /* x, padded */
    void **y, **outputs;      /* [conv_count], host arrays: each layer's convolution, and its ReLU */
    uint8_t **masks;          /* [conv_count], host array */
    void *z;                  /* a shortcut that changes shape */
    void *large[GRADIENTS];   /* gradients of activations */
    float *mean, *inverse;    /* [conv_count][64] */
    struct exact_norm *norms; /* [conv_count + 1][64], the last those of the logits */
    float *scale, *shift;     /* [conv_count][64] */
    float *pool, *logits, *dz, *dpool;
    double *head;
    struct sample *samples;
    uint8_t *labels;
    struct cuda_piece *pieces;
    struct cuda_norm_place *places;
    struct cudnn_weight_place *weights;
    struct cuda_step_plan *plans;
    struct cuda_step_result *results;
    struct cuda_current *current;
    float *byte_values, *pixel_mean;
    uint32_t *keys, *orders[2];
    uint8_t *predictions;
    float *losses;
    double *mean_loss;
    void *workspace, *blas_workspace;
};

/* What decides the layout, and nothing of the device. */
struct layout_sizes {
    const struct network *network;
    enum cudnn_precision precision;
    uint32_t batch;                /* images of the largest step, or of an evaluation's */
    uint32_t evaluation;           /* images that are evaluated at a time */
    bool steps;                    /* else only evaluations */
    uint32_t training, validation; /* images */
    uint32_t piece_count, weight_count;
    size_t packed; /* numbers of all packed weights */
    bool pixel_mean;
};

/* The tables of the update's pieces and of the packed weights, either of which may be NULL; fills the counts in
 * sizes. */
void cudnn_layout_tables(struct layout_sizes *sizes, struct cuda_piece *pieces, struct cudnn_weight_place *weights);
/* Fills `layout`, whose host arrays the caller has allocated, with addresses in the allocation at `memory`; NULL only
 * counts. */
void cudnn_layout_make(struct layout *layout, const struct layout_sizes *sizes, void *memory);

enum { PLAN_SETS = 3, PLANS_EVALUATION = 2 }; /* before it those of the steps, as the queue's graphs */

struct engine {
    struct recipe recipe;
    const struct network *network;
    const struct dataset *training, *validation;
    struct device device;
    struct cudnn_library library;
    cudnnHandle_t cudnn;
    cublasHandle_t cublas;
    struct cudnn_plans plans[PLAN_SETS];
    float epsilon, zero; /* whose addresses plans take */
    struct layout_sizes sizes;
    struct layout layout;
    struct cudnn_weight_place *weights;         /* [weight_count], the host's copy */
    uint32_t *weight_of;                        /* [tensor_count]: which of them a tensor is */
    void *memory;                               /* the layout's */
    uint8_t *training_images, *training_labels; /* on the device */
    uint8_t *validation_images, *validation_labels;
    cudaStream_t stream;
    struct step_queue queue;
    char description[384];
    char **facts; /* up to a NULL */
    size_t fact_count;
};

/* Launches a step of `images` images: step_queue.launch. */
enum status cudnn_step_launch(void *engine, uint32_t images, struct queue_marks *marks, struct error *error) MUST_USE;
/* Launches what an evaluation of the images from `first` on is, or what comes before it. */
enum status cudnn_evaluation_launch(struct engine *engine, uint32_t first, struct error *error) MUST_USE;
enum status cudnn_constants_launch(struct engine *engine, struct error *error) MUST_USE;
/* Launches what packs the weights of a state that was set. */
enum status cudnn_pack_launch(struct engine *engine, struct error *error) MUST_USE;

#endif
