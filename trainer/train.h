/* The training loop: asks an engine for steps, evaluates each epoch, and reports to a listener. It knows nothing of
 * folders, JSON or figures; commands/train.c gives it a listener that does. */
#ifndef SELFSAME_TRAIN_H
#define SELFSAME_TRAIN_H

#include "trainer/engine.h"

/* The means over an epoch, and the state at its end. Means are taken in the order of steps, in binary64: ARITHMETIC.md
 * section 12. */
struct epoch_report {
    uint64_t epoch;      /* from 0 */
    uint64_t end_step;   /* steps done in all */
    bool last;           /* the training's last epoch */
    float learning_rate; /* of the epoch's last step */
    double training_loss;
    double training_error; /* percent */
    double validation_loss;
    double validation_error; /* percent */
    uint32_t validation_errors, validation_images;
    double training_seconds, validation_seconds; /* wall time of this process's part of the epoch */
    uint64_t trained_images;                     /* in those training_seconds */
};

/* How far a training is: what a checkpoint saves. */
struct training_state {
    uint64_t step; /* steps done */
    float *values, *momentum;
    double loss_sum; /* of the current epoch so far: sum of (double)loss * images, in step order */
    uint64_t error_sum, image_sum;
};

/* Every callback may be NULL and may stop the training by returning other than STATUS_OK. */
struct train_listener {
    void *context;
    /* Results of steps first .. first+count-1, each once and in order. Called before the epoch or checkpoint that they
     * lead to. */
    enum status (*steps)(void *context, uint64_t first, const struct step_result *results, uint64_t count,
                         struct error *error);
    /* After an epoch's evaluation; state is that after the epoch (sums reset). */
    enum status (*epoch)(void *context, const struct epoch_report *report, const struct training_state *state,
                         struct error *error);
    /* When a stop was requested: save the state; train then returns STATUS_INTERRUPTED. */
    enum status (*interrupted)(void *context, const struct training_state *state, struct error *error);
    /* Polled after every report of steps: true asks for a stop. */
    bool (*stop_requested)(void *context);
};

/* Trains from `state` (step 0 with the initial values, or a checkpoint) until `epochs` epochs are done (0: all that the
 * recipe has). The engine has been opened with the recipe, network and both data sets. state is advanced in place. */
enum status train(const struct engine_operations *operations, struct engine *engine, const struct recipe *recipe,
                  uint32_t training_images, const struct dataset *validation, uint64_t epochs,
                  struct training_state *state, const struct train_listener *listener, struct error *error) MUST_USE;

#endif
