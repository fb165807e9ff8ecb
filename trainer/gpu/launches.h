/* A series of launches, and those that the steps and evaluations of every engine begin and end with.
 *
 * errors   The first failure is kept in `status` and *error; after it nothing more is launched. */
#ifndef SELFSAME_GPU_LAUNCHES_H
#define SELFSAME_GPU_LAUNCHES_H

#include "trainer/gpu/session.h"

struct launches {
    struct engine *engine;
    struct gpu_session *session; /* the engine's */
    uint32_t images;
    bool training;
    struct queue_marks *marks; /* NULL or without events: no times are taken */
    enum status status;
    struct error *error;
};

/* Keeps a failure. */
static inline void check(struct launches *run, cudaError_t code, const char *call)
{
    if (run->status == STATUS_OK)
        run->status = cuda_status(run->error, code, call);
}

/* LAUNCH(run, stream, cuda_tree, { .parts = ... }): launches a kernel with its struct of arguments. */
#define LAUNCH(run, stream, function, ...)                            \
    do {                                                              \
        const struct function##_arguments arguments_ = __VA_ARGS__;   \
        if ((run)->status == STATUS_OK)                               \
            check((run), function(&arguments_, (stream)), #function); \
    } while (0)

/* Marks the end of a part, for queue_profile. */
void launch_mark(struct launches *run);

/* ---- what arguments are made of ---------------------------------------------------------------------------------- */

/* Where a tensor's values or gradients are; NULL for the tensor -1. */
float *value_of(const struct gpu_session *session, int64_t tensor);
float *gradient_of(const struct gpu_session *session, int64_t tensor);
struct exact_norm *norms_of(const struct gpu_session *session, uint32_t l); /* of layer l */
struct gpu_report report_of(const struct gpu_session *session, uint32_t culprit);
bool block_changes_shape(const struct gpu_session *session, uint32_t block);

/* ---- launches on the session's stream ---------------------------------------------------------------------------- */

/* Begins a step and loads its images. */
void launch_begin(struct launches *run);
/* Loads the validation set's images from `first` on. */
void launch_load(struct launches *run, uint32_t first);
/* From the logits to the loss and dz; the numbers of the two culprits. */
void launch_head(struct launches *run, uint32_t logits_culprit, uint32_t loss_culprit);
/* The update, from gradients and momentum; or, in an evaluation or before the first step, only what it packs. packed:
 * NULL where no piece is packed. culprit: that of tensor 0. */
void launch_update(struct launches *run, float *packed, uint32_t culprit);
/* The constants of every batch norm from the running statistics. */
void launch_running_norms(struct launches *run);
/* From the logits of the images from `first` on to predictions and losses. */
void launch_predict(struct launches *run, uint32_t first);

#endif
