/* The interface of a backend: what one instruction set's implementation provides to the CPU engine (cpu/engine.c),
 * which chooses one at run time.
 *
 *   scalar              reference.c: ARITHMETIC.md in plain loops; the meaning. On x86-64 it is built twice: plain,
 *                       and for CPUs with FMA instructions.
 *   avx512, avx2        fused/, built once per instruction set: blocked layouts, fused passes; tested for equal bits
 *                       against the reference.
 *   avx                 the same with the portable vector, for x86-64 processors with AVX and FMA but no AVX2.
 *
 * threads  open starts a team of the number given (team.h), which every call uses; the bits do not depend on it.
 * memory   everything is allocated by open; step and evaluate cannot fail. Sizes are products of numbers within a
 *          recipe's bounds, the largest being images of a batch: far below 2^64, and above 2^32.
 * floats   step and evaluate are called in the float environment of ARITHMETIC.md section 1 (float_environment.h). */
#ifndef SELFSAME_BACKEND_H
#define SELFSAME_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "trainer/dataset.h"
#include "trainer/exact.h"
#include "trainer/input.h"
#include "trainer/network.h"
#include "trainer/cpu/shares.h"
#include "trainer/non_finite.h"
#include "trainer/recipe.h"
#include "trainer/sampler.h"
#include "trainer/step_trace.h"

_Static_assert(sizeof(size_t) >= 8,
               "the buffers of a batch do not fit a 32-bit address space; build for a 64-bit machine");

/* The images of a step or of an evaluation. */
struct backend_batch {
    uint32_t count; /* a step: 1 .. the recipe's batch_size; an evaluation: any */
    const struct dataset *data;
    const struct input *input;
    const struct sample *samples; /* [count]; NULL: the plain images first, first+1, ... */
    uint32_t first;
    /* With ranks, a step's batch is one rank's share of `whole`, from its image `first` on. NULL: all of it. */
    const struct backend_batch *whole;
};

/* The batch whose sums a step takes. */
static inline const struct backend_batch *backend_whole(const struct backend_batch *batch)
{
    return batch->whole != NULL ? batch->whole : batch;
}

/* The number in the data set of a batch's image n. */
uint32_t backend_image(const struct backend_batch *batch, uint32_t n);

struct backend_outcome {
    float loss;
    uint32_t errors;
    uint64_t digest[2];                /* over the state after the step */
    char non_finite[NON_FINITE_BYTES]; /* empty, or what became non-finite first, in the step's own order:
                                               forward layers, loss, backward layers, then the updated tensors */
};

/* Records what became non-finite, `name` being the layer's or tensor's, or ""; later calls of the same step keep the
 * first. */
void backend_blame(struct backend_outcome *outcome, enum non_finite what, const char *name);

/* An arena without memory yet, whose pieces are aligned for cache lines and for the widest vector. */
struct arena backend_arena(void);
/* Gives an arena the memory that a first round has counted, zeroed, for a second round. Nothing of it is touched yet: a
 * machine with several memories takes each page from the one that is nearest to the thread that writes to it first.
 * The caller gives arena.memory back with backend_free, with the bytes of the first round.
 * STATUS_ENVIRONMENT without memory, in the words of the recipe. */
enum status backend_allocate(struct arena *arena, const struct recipe *recipe, struct error *error) MUST_USE;
void backend_free(void *memory, size_t bytes);

/* Where the time of steps goes: wall seconds, added up over steps. */
struct backend_profile {
    double *forward_s,
        *backward_s; /* [conv_count]; backward is data and weights, with the batch norm's share of both */
    double head_s, update_s;
};

/* STATUS_ENVIRONMENT if the caller's translation unit was compiled to other arithmetic than ARITHMETIC.md's; `what`
 * names its part. Every open begins with it, since each unit may have flags of its own. */
static inline enum status backend_check_arithmetic(const char *what, struct error *error)
{
    const char *rule = exact_broken_rule();
    if (rule == NULL)
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT,
                     "this build breaks the specified arithmetic: in the code of %s, %s; its compiler flags are the "
                     "cause, so configure and build "
                     "again without -ffast-math or any part of it in CFLAGS",
                     what, rule);
}

/* The logistic map, in two roundings: it keeps numbers between 0 and 1, and doubles a wrong bit in most passes. For
 * selfsame doctor --soak. */
#define BACKEND_EXERCISE_RATE 3.9f
static inline float backend_exercise(float x)
{
    return BACKEND_EXERCISE_RATE * fmaf(-x, x, x);
}

struct backend; /* the implementation's own */

struct backend_operations {
    const char *isa;     /* the name for --isa: one of those above */
    const char *variant; /* for the record, such as "AVX-512, fused" or "scalar reference with FMA instructions" */
    bool (*supported)(void);
    /* Borrows the network and the shares. shares: of several ranks, to which open declares the weight gradients; NULL:
     * this process computes whole batches. With `inference` nothing that only a step needs is allocated, and step must
     * not be called.
     * errors   STATUS_ENVIRONMENT without memory or threads, or when backend_check_arithmetic says so. */
    enum status (*open)(struct backend **backend, const struct recipe *recipe, const struct network *network,
                        uint32_t threads, bool inference, struct shares *shares, struct error *error) MUST_USE;
    /* team_pin for the backend's team. */
    enum status (*pin)(struct backend *backend, const uint32_t *processors, struct error *error) MUST_USE;
    /* Copy the state in and out: network.value_count floats each. Momentum of running statistics is +0. */
    void (*set_state)(struct backend *backend, const float *values, const float *momentum);
    void (*get_state)(const struct backend *backend, float *values, float *momentum);
    /* One training step. After a non-finite outcome the state is undefined. */
    void (*step)(struct backend *backend, const struct backend_batch *batch, float learning_rate,
                 struct backend_outcome *outcome);
    /* The same step, with every tensor of it for the trace, but for the batch and the state: those are the caller's. */
    void (*trace)(struct backend *backend, const struct backend_batch *batch, float learning_rate,
                  struct step_trace *trace, struct backend_outcome *outcome);
    /* Inference with the running statistics: predictions[count], losses[count]. */
    void (*evaluate)(struct backend *backend, const struct backend_batch *batch, uint8_t *predictions, float *losses);
    size_t (*memory_bytes)(const struct backend *backend);
    /* What memory_bytes will be, without taking it; 0 without memory for a description of the layers. */
    size_t (*predict_memory)(const struct recipe *recipe, const struct network *network, uint32_t threads,
                             bool inference);
    /* Adds the times of the following steps to *profile, until called with NULL. */
    void (*set_profile)(struct backend *backend, struct backend_profile *profile);
    /* Measures, on all threads at once for about 30 ms, the rate of this instruction set's independent fused
     * multiply-adds, in flop/s. */
    double (*peak_flops)(struct backend *backend);
    /* values[i] <- backend_exercise(values[i]), `passes` times over all of them, in this instruction set's vectors, on
     * the calling thread. count is a multiple of 16, and values are aligned to 64 bytes. Returns the lanes of a
     * vector. */
    uint32_t (*exercise)(float *values, size_t count, uint32_t passes);
    void (*close)(struct backend *backend);
};

extern const struct backend_operations backend_reference_plain, backend_reference_fma, backend_portable, backend_avx2,
    backend_avx512;

/* Those of this build, fastest first; NULL ends them. Those of one name are together. */
extern const struct backend_operations *const backends[];

#endif
