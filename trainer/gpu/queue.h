/* Queues the steps of an engine on a GPU. A step is a CUDA graph. Series of them are launched ahead, and the results of
 * one series are read while the next one runs. The engine decides which kernels a step has.
 *
 * order    The stream keeps steps and orders of images apart; a step's graph may use other streams inside.
 * errors   STATUS_ENVIRONMENT, naming the call of the runtime that failed; STATUS_NO for what is not finite. */
#ifndef SELFSAME_GPU_QUEUE_H
#define SELFSAME_GPU_QUEUE_H

#include "trainer/device.h"
#include "trainer/gpu/kernels.h"
#include "trainer/engine.h"
#include "trainer/non_finite.h"

enum { QUEUE_SERIES_STEPS = 32, QUEUE_SERIES = 2, QUEUE_SLOTS = QUEUE_SERIES * QUEUE_SERIES_STEPS };

/* Where the time of a step goes: an event after each part, recorded where `events` is not NULL. */
struct queue_marks {
    cudaEvent_t *events;
    uint32_t count, room;
};

/* The owner fills in the first part before queue_open. */
struct step_queue {
    const struct training_config *training;
    uint32_t images; /* of the training set */
    cudaStream_t stream;
    struct gpu_step_schedule *device_schedules; /* [QUEUE_SLOTS], as the results, in the owner's device memory */
    struct gpu_step_result *device_results;
    struct gpu_current *current;
    uint32_t *keys, *orders[2]; /* [images] each */
    /* Launches a step of that many images; marks may be NULL. */
    enum status (*launch)(void *context, uint32_t images, struct queue_marks *marks, struct error *error);
    uint32_t first_images; /* of a step that runs before any is captured; 0: each that is to be captured runs once */
    /* Says what a step's culprit is. */
    void (*blame)(const void *context, uint32_t culprit, char text[NON_FINITE_BYTES]);
    void *context;

    cudaGraphExec_t graphs[2]; /* of a step of batch_size images, and of a shorter last one */
    uint32_t graph_images[2];
    cudaEvent_t done[QUEUE_SERIES];
    struct gpu_step_schedule *schedules; /* page-locked, as all below */
    struct gpu_step_result *results;
    uint32_t *bases;    /* the first slot of each series */
    uint64_t passes[2]; /* whose orders are on the device */
    bool have_order[2];
};

/* How many images steps have: batch_size, or all where those are fewer; and a shorter last step's, or 0. */
void queue_step_images(const struct training_config *training, uint32_t images, uint32_t step_images[2]);

/* Captures the graphs. Kernels and libraries load what they have when they first run, which a capture might not let
 * them: so a step runs first, on whatever is there. The state is undefined after it. The queue is to be closed even
 * after an error; a zeroed one may be. */
enum status queue_open(struct step_queue *queue, struct error *error) MUST_USE;
void queue_close(struct step_queue *queue);

/* engine_operations.run_steps. */
enum status queue_run(struct step_queue *queue, uint64_t first, uint64_t last, const struct step_listener *listener,
                      uint64_t *done, struct error *error) MUST_USE;

/* One step without a graph, so that the launches may read what they leave. non_finite: what blame says, or "". */
enum status queue_step(struct step_queue *queue, uint64_t step, struct step_result *result,
                       char non_finite[NON_FINITE_BYTES], struct error *error) MUST_USE;

/* engine_operations.profile. A step marks its begin, each layer forward, the head, each layer backward from the last
 * one, and the update: 2 layers + 3 marks. */
enum status queue_profile(struct step_queue *queue, uint32_t layers, uint64_t first, uint64_t last,
                          struct engine_profile *profile, struct error *error) MUST_USE;

#endif
