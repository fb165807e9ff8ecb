/* The state of the exact engine on the device, in addition to the session's, and the launches of a step. engine.c opens
 * and closes; layout.c lays the memory out; step.c launches. */
#ifndef SELFSAME_CUDA_ENGINE_STATE_H
#define SELFSAME_CUDA_ENGINE_STATE_H

#include "trainer/cuda/kernels.h"
#include "trainer/gpu/session.h"

/* Pieces of the one allocation. Sizes are those of a batch's images. Block b reads outputs[b] and leaves
 * outputs[b + 1]; outputs[0] is that of the first layer. */
struct layout {
    float *packed;    /* weights, as the convolutions read them */
    float **y;        /* [conv_count], host array: each layer's convolution */
    float **outputs;  /* [block_count + 1], host array: kept, or made again before they are needed */
    bool *kept;       /* [block_count + 1], host array */
    float *z;         /* a projection's output, forward */
    float *g, *inner; /* gradients: of a block's output; of the batch norm between its convolutions */
    float *spread;    /* gradient of a shortcut at even rows and columns */
    float *parts, *sums;
    uint32_t *arrived;                          /* [conv_count][GPU_ARRIVALS], zero between steps */
    struct exact_norm_gradient *norm_gradients; /* [2][64]: of the layers at hand */
};

struct engine {
    struct gpu_session session;
    struct layout layout;
    cudaStream_t side;       /* in addition to the session's */
    cudaEvent_t fork, join;  /* between the two */
    struct tracing *tracing; /* while a step is traced; else NULL */
};

/* gpu_engine's prepare, discard and lay_out. */
enum status layout_prepare(struct engine *engine, struct error *error) MUST_USE;
void layout_discard(struct engine *engine);
void layout_make(struct engine *engine, struct arena *arena);
/* The pieces of the update, with where their weights are packed. */
void layout_pieces(const struct network *network, struct gpu_piece *pieces);
/* Where layer l's weights are packed. */
void layout_packed(const struct network *network, uint32_t l, size_t *forward, size_t *backward);
uint32_t layout_groups(const struct conv_layer *layer, uint32_t images);

/* ---- a traced step: trace.c -------------------------------------------------------------------------------------- */

/* engine_operations.trace. */
enum status cuda_trace(struct engine *engine, uint64_t step, struct step_trace *trace, struct step_result *result,
                       struct error *error) MUST_USE;
/* step.c calls these behind its launches. They do nothing unless a step is traced; graphs are captured without them. */
struct launches;
void traced_begin(struct launches *run);
/* y[l] and the constants of its norm; what layer l leaves, once it is kept; pool and logits; the head. */
void traced_convolution(struct launches *run, uint32_t l);
void traced_activation(struct launches *run, uint32_t l);
void traced_logits(struct launches *run);
void traced_head(struct launches *run);
/* g, the gradient of layer l's batch norm's output, and the constants that come of it. */
void traced_gradient(struct launches *run, uint32_t l, const float *g, const struct exact_norm_gradient *gradients);
/* All gradients, before the update. */
void traced_gradients(struct launches *run);

/* gpu_engine's launches. */
enum status step_launch(void *engine, uint32_t images, struct queue_marks *marks, struct error *error) MUST_USE;
enum status constants_launch(struct engine *engine, struct error *error) MUST_USE;
enum status evaluation_launch(struct engine *engine, uint32_t first, uint32_t images, struct error *error) MUST_USE;
enum status pack_launch(struct engine *engine, struct error *error) MUST_USE;

#endif
