/* Runs a few steps and an evaluation on any backend and compares everything that it leaves, bit for bit. */
#ifndef SELFSAME_BACKENDS_H
#define SELFSAME_BACKENDS_H

#include "fetch/data/embedded.h"
#include "trainer/cpu/backend.h"

/* What may be put into the state or the input to make trouble. */
enum adversity {
    ADVERSITY_NONE,
    ADVERSITY_SUBNORMAL, /* inputs and a third of the weights are subnormal, some are the smallest normal numbers */
    ADVERSITY_ZEROS,     /* a third of the weights are -0, another +0; the input has -0 too */
    ADVERSITY_HUGE,      /* weights around 1e15: sums of squares come near the end of binary32 */
    ADVERSITY_DEAD,      /* most ReLUs are shut: beta -3 */
    ADVERSITY_CONSTANT,  /* every filter of a layer the same, no variance between channels; momentum 0 */
    /* The following end with a non-finite number, the same one everywhere. */
    ADVERSITY_DIVERGING, /* a learning rate of 1e30: the next step's forward */
    /* A gamma of 1e30 in the last layer, whose weights are as large as its input is small: the forward is finite and,
     * without a norm over the logits, the gradient of that input is not. */
    ADVERSITY_GAMMA,
    ADVERSITY_LINEAR, /* 1e38 in all of linear.weight: the batch norm over the logits or, without one, the loss */
    ADVERSITY_RATE,   /* a learning rate of 3e38 and a weight decay of 10: the update of the first gamma */
    ADVERSITY_COUNT
};

enum { VARIANT_COUNT = 4, TRIAL_STEPS_MAX = 16, TRIAL_IMAGES = 96 };
extern const char *const ADVERSITIES[ADVERSITY_COUNT], *const VARIANTS[VARIANT_COUNT];

struct trial {
    enum arithmetic arithmetic;
    uint32_t depth;
    uint32_t variant;     /* of VARIANTS */
    uint32_t batch, last; /* images of a step, and of the last step; an evaluation takes one batch */
    uint32_t steps;
    enum momentum_form momentum;
    enum adversity adversity;
};

/* Everything that a backend left. */
struct outcome {
    struct backend_outcome by_step[TRIAL_STEPS_MAX];
    uint32_t steps; /* run; the last of them may be non-finite */
    float *values, *momentum, *losses;
    uint8_t *predictions;
};

/* What each backend is held against: the reference, in plain loops. On processors with FMA instructions its build for
 * them, which check/unit/test_backends holds against the plain one in turn. */
const struct backend_operations *reference_backend(void);

/* The fused backends that this processor runs, fastest first. Returns how many. */
enum { FUSED_BACKENDS_MAX = 4 };
size_t fused_backends(const struct backend_operations *list[FUSED_BACKENDS_MAX]);

struct recipe trial_recipe(const struct trial *trial);

/* The initial state, made adverse. */
void trial_state(const struct trial *trial, const struct network *network, float *values, float *momentum);

void outcome_free(struct outcome *outcome);

/* Runs the trial. The caller frees the outcome whatever the status. */
enum status trial_run(const struct trial *trial, const struct network *network, const struct dataset *data,
                      const struct backend_operations *operations, uint32_t threads, struct outcome *outcome,
                      struct error *error);

/* NULL when both outcomes are the same bits; else text, naming the first difference. */
const char *outcome_difference(const struct trial *trial, const struct network *network, const struct outcome *left,
                               const struct outcome *right, char *text, size_t size);

/* Runs the trial on both backends, in a network and on images of its own. NULL when both leave the same bits; else
 * text, naming the trial and the first difference, or the error that kept it from running. */
const char *backends_difference(const struct trial *trial, const struct backend_operations *left, uint32_t left_threads,
                                const struct backend_operations *right, uint32_t right_threads, char *text,
                                size_t size);

#endif
