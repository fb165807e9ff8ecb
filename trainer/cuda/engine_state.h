/* What the CUDA engine holds on the device, and the series of launches that a step is. engine.c opens, runs and closes;
 * plan.c lays the memory out; step.c launches. */
#ifndef SELFSAME_CUDA_ENGINE_STATE_H
#define SELFSAME_CUDA_ENGINE_STATE_H

#include <cuda_runtime_api.h>

#include "trainer/cuda/device.h"
#include "trainer/cuda/kernels.h"
#include "trainer/cuda/queue.h"
#include "trainer/engine.h"
#include "trainer/network.h"

/* Numbers for cuda_report.culprit, in the order in which a step looks: ARITHMETIC.md section 1. */
struct culprits {
    uint32_t forward; /* + layer */
    uint32_t logits, loss;
    uint32_t backward; /* + how many layers from the last one */
    uint32_t update;   /* + tensor */
};

/* Everything of the engine's that is on the device, but for the data sets: pieces of one allocation. Sizes are those of
 * `batch` images. Block b reads outputs[b] and leaves outputs[b + 1]; outputs[0] is that of the first layer. */
struct layout {
    size_t bytes; /* of the whole */
    float *values, *momentum, *gradients, *packed;
    float *x;
    float **y;        /* [conv_count], host array: each layer's convolution */
    float **outputs;  /* [block_count + 1], host array: kept, or made again before they are needed */
    bool *kept;       /* [block_count + 1], host array */
    float *z;         /* a projection's output, forward */
    float *g, *inner; /* gradients: of a block's output; of the batch norm between its convolutions */
    float *spread;    /* gradient of a shortcut at even rows and columns */
    float *parts, *sums;
    uint32_t *arrived;                          /* [conv_count][CUDA_ARRIVALS], zero between steps */
    struct exact_norm *norms;                   /* [conv_count + 1][64], the last those of the logits */
    struct exact_norm_gradient *norm_gradients; /* [2][64]: of the layers at hand */
    float *pool, *logits, *dz;
    double *head;
    struct sample *samples;
    uint8_t *labels;
    struct cuda_piece *pieces;
    struct cuda_norm_place *places;
    struct cuda_step_plan *plans;     /* [QUEUE_SLOTS] */
    struct cuda_step_result *results; /* [QUEUE_SLOTS] */
    struct cuda_current *current;
    float *byte_values, *pixel_mean;
    uint32_t *keys, *orders[2];
    uint8_t *predictions;
    float *losses;
    double *mean_loss;
};

/* What decides the layout, and nothing of the device. */
struct layout_sizes {
    const struct network *network;
    uint32_t batch;                /* images of the largest step, or of an evaluation's */
    bool steps;                    /* else only evaluations */
    uint32_t training, validation; /* images */
    uint32_t piece_count;
    bool pixel_mean;
};

/* Fills `layout`, whose host arrays the caller has allocated, with addresses in the allocation at `memory`; NULL only
 * counts. */
void layout_make(struct layout *layout, const struct layout_sizes *sizes, void *memory);
/* The pieces of the update, and how many; pieces may be NULL. */
uint32_t layout_pieces(const struct network *network, struct cuda_piece *pieces);
/* Where layer l's weights are packed. */
void layout_packed(const struct network *network, uint32_t l, size_t *forward, size_t *backward);
uint32_t layout_groups(const struct conv_layer *layer, uint32_t images);

struct engine {
    struct recipe recipe;
    const struct network *network;
    const struct dataset *training, *validation;
    struct device device;
    struct layout_sizes sizes;
    struct layout layout;
    struct culprits culprits;
    void *memory;                               /* the layout's */
    uint8_t *training_images, *training_labels; /* on the device */
    uint8_t *validation_images, *validation_labels;
    cudaStream_t main, side;
    cudaEvent_t fork, join; /* between the two */
    struct step_queue queue;
    char description[352];
    char fact_texts[DEVICE_FACTS][DEVICE_FACT_BYTES];
    const char *facts[DEVICE_FACTS + 1];
};

/* Launches a step of `images` images, or what an evaluation of the images from `first` on is; *call names what
 * failed. */
cudaError_t step_launch(struct engine *engine, uint32_t images, struct queue_marks *marks, const char **call);
cudaError_t evaluation_launch(struct engine *engine, uint32_t first, uint32_t images, const char **call);
/* Launches what packs the weights of a state that was set. */
cudaError_t pack_launch(struct engine *engine, const char **call);

#endif
