/* What one instruction set's implementation provides to the CPU engine (cpu/engine.c), which picks one at run time.
 *
 *   scalar   reference.c: ARITHMETIC.md in plain loops; the meaning. Built twice: plain, and for CPUs with FMA instructions.
 *   avx2, avx512   fused.c, built once per instruction set: blocked layouts, fused passes; tested for equal bits against the reference.
 *
 * threads  each call runs its own OpenMP team of the number given to open; the bits do not depend on it.
 * memory   everything is allocated by open; step and evaluate cannot fail. */
#ifndef SELFSAME_BACKEND_H
#define SELFSAME_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/common/dataset.h"
#include "trainer/common/error.h"
#include "trainer/input.h"
#include "trainer/network.h"
#include "trainer/recipe.h"
#include "trainer/sampler.h"

/* The images of a step or of a piece of an evaluation. */
struct backend_batch {
    uint32_t count;               /* 1 .. the recipe's batch_size */
    const struct dataset *data;
    const struct input *input;
    const struct sample *samples; /* [count]; NULL: the plain images first, first+1, ... */
    uint32_t first;
};

enum { BACKEND_CULPRIT_BYTES = 128 };

struct backend_outcome {
    float loss;
    uint32_t errors;
    uint64_t digest[2];                  /* over the state after the step */
    char non_finite[BACKEND_CULPRIT_BYTES]; /* empty, or what became non-finite first, in the step's own order:
                                               forward layers, loss, backward layers, then the updated tensors */
};

/* Where the time of steps goes: wall seconds, added up over steps. */
struct backend_profile {
    double *forward_s, *backward_s; /* [conv_count]; backward is data and weights, with the batch norm's share of both */
    double head_s, update_s;
};

struct backend; /* the implementation's own */

struct backend_operations {
    const char *isa;       /* the name for --isa: "scalar", "avx2", "avx512" */
    const char *variant;   /* for the record, such as "avx512 fused", "scalar reference with FMA instructions" */
    bool (*supported)(void);
    enum status (*open)(struct backend **backend, const struct recipe *recipe, const struct network *network, uint32_t threads,
                        struct error *error);
    /* Copy the state in and out: network.value_count floats each. Momentum of running statistics is +0. */
    void (*set_state)(struct backend *backend, const float *values, const float *momentum);
    void (*get_state)(const struct backend *backend, float *values, float *momentum);
    /* One training step. After a non-finite outcome the state is undefined. */
    void (*step)(struct backend *backend, const struct backend_batch *batch, float learning_rate, struct backend_outcome *outcome);
    /* Inference with the running statistics: predictions[count], losses[count]. */
    void (*evaluate)(struct backend *backend, const struct backend_batch *batch, uint8_t *predictions, float *losses);
    size_t (*memory_bytes)(const struct backend *backend);
    /* Adds the times of the following steps to *profile, until called with NULL. */
    void (*set_profile)(struct backend *backend, struct backend_profile *profile);
    /* Measures, on all threads at once for about 30 ms, the rate of this instruction set's independent fused multiply-adds, in flop/s. */
    double (*peak_flops)(struct backend *backend);
    void (*close)(struct backend *backend);
};

extern const struct backend_operations backend_reference_plain, backend_reference_fma, backend_avx2, backend_avx512;

#endif
