/* The interface of an engine. It is coarse on purpose: an engine may fuse operations, keep the data anywhere and run an
 * epoch as one graph.
 *
 * state    values: network.value_count floats in the order of network.tensors; momentum: as many (zero where the role
 *          is TENSOR_RUNNING). The two arrays and the step number are all the state there is.
 * exact    every engine whose `exact` is true gives the same bits for all outputs below: ARITHMETIC.md.
 * memory   the caller owns every array it passes. open borrows the network and the data sets until close; set_state and
 *          get_state copy. Everything is allocated by open: steps cannot fail on memory. */
#ifndef SELFSAME_ENGINE_H
#define SELFSAME_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/dataset.h"
#include "trainer/network.h"
#include "trainer/recipe.h"
#include "trainer/step_trace.h"

/* What one training step leaves behind. */
struct step_result {
    float loss;         /* mean cross entropy of the batch */
    uint32_t errors;    /* images of the batch whose argmax (lowest class on ties) was not the label */
    uint32_t images;    /* in the batch */
    uint64_t digest[2]; /* ledger digest of all tensors after the step */
};

/* The function that an engine calls with the results of steps while it runs. */
struct step_listener {
    void *context;
    /* The results of steps first .. first+count-1, each step once and in order; later ones may be running already.
     * False asks the engine to begin no more; those that it has begun are reported, too. */
    bool (*steps)(void *context, uint64_t first, const struct step_result *results, uint64_t count);
};

struct ranks;

struct engine_options {
    uint32_t threads; /* 0: as many as the process may use */
    const char *isa;  /* NULL: the best that the CPU has; else a name of cpu/backend.h, such as "scalar" */
    bool pin;         /* keep each thread on a processor of its own; a GPU's engine has no threads to keep */
    bool inference;   /* evaluate only: nothing is allocated for steps, and run_steps and profile must not be called */
    struct ranks *ranks; /* that compute together, each with an engine of its own; NULL: this process alone. Only where
                          * the engine takes ranks. run_steps and evaluate are collective then */
};

/* Where the time of some steps went, in wall seconds. The caller owns the arrays and zeroes all but step_s. */
struct engine_profile {
    double *step_s; /* [steps] each step's time */
    double *forward_s,
        *backward_s;         /* [conv_count] of all steps together, the batch norm around each convolution included */
    double head_s, update_s; /* of all steps together */
};

struct engine; /* the engine's own */

struct engine_operations {
    const char *name;
    bool exact;
    bool takes_ranks; /* several processes can compute one training */
    /* The names that options->isa may have in this build, fastest first: number `index` of them, NULL past the last.
     * NULL for an engine that has none. */
    const char *(*isa)(size_t index);
    /* Sets everything up for one recipe: network, data (either data set may be NULL where it is not needed), buffers.
     * errors   STATUS_ENVIRONMENT without memory or threads, or on a build or processor that cannot compute what is
     *          asked for. */
    enum status (*open)(struct engine **engine, const struct recipe *recipe, const struct network *network,
                        const struct dataset *training, const struct dataset *validation,
                        const struct engine_options *options, struct error *error);
    enum status (*set_state)(struct engine *engine, const float *values, const float *momentum, struct error *error);
    enum status (*get_state)(struct engine *engine, float *values, float *momentum, struct error *error);
    /* Runs the steps first .. last-1, or as far as the listener lets it: *done says how many, and the state is the one
     * after them. A non-finite number is STATUS_NO and names step and tensor, a device that fails STATUS_ENVIRONMENT;
     * then *done counts the good results, all of them reported, and the state is undefined. */
    enum status (*run_steps)(struct engine *engine, uint64_t first, uint64_t last, const struct step_listener *listener,
                             uint64_t *done, struct error *error);
    /* Runs one step and gives every tensor of it to the trace, which was opened for as many images: the state after it
     * and *result are those of run_steps. A non-finite number is no error here: trace->non_finite says it. Slow. NULL
     * where the engine cannot; use engine_can_trace. */
    enum status (*trace)(struct engine *engine, uint64_t step, struct step_trace *trace, struct step_result *result,
                         struct error *error);
    /* Predicts every image of the validation set with the running statistics: predictions[count], and *loss the mean
     * cross entropy. */
    enum status (*evaluate)(struct engine *engine, uint8_t *predictions, double *loss, struct error *error);
    /* One line for the record, such as "AVX-512, fused, 2 threads"; lives as long as the engine. */
    const char *(*describe)(const struct engine *engine);
    /* The instruction set that it uses, a name of `isa` above. NULL with `isa`. */
    const char *(*used_isa)(const struct engine *engine);
    /* Facts for the record, such as a device's name or the algorithms that a library was held to: texts up to a NULL,
     * or NULL for none. */
    const char *const *(*facts)(const struct engine *engine);
    /* The PCI address of the device that computes, such as "0000:65:00.0", by which the driver's tools know it; ""
     * where that is unknown. NULL: the processor computes. */
    const char *(*pci_address)(const struct engine *engine);
    /* Bytes that the engine holds, all of them allocated by open: of the device's memory where it has its own. Data
     * sets, and what a driver needs for itself, are not in it. */
    size_t (*memory_bytes)(const struct engine *engine);
    /* What memory_bytes will be, from the numbers of images alone: without the device, and without taking that memory.
     * NULL where only open can tell; 0 where open would fail for another reason. Use engine_predict_memory. */
    size_t (*predict_memory)(const struct recipe *recipe, const struct network *network, uint32_t training_images,
                             uint32_t validation_images, const struct engine_options *options);
    /* As run_steps, for a benchmark: the times of the steps instead of their results. */
    enum status (*profile)(struct engine *engine, uint64_t first, uint64_t last, struct engine_profile *profile,
                           struct error *error);
    /* The machine's measured rate of fused multiply-adds under this engine's threads and instructions, in flop/s. */
    double (*peak_flops)(struct engine *engine);
    /* For a test of the processor: values[i] <- x * 3.9 after x = fma(-x, x, x), b32, `passes` times over all of them,
     * in the vectors of the engine's instruction set, on the calling thread. count is a multiple of 16, and values are
     * aligned to 64 bytes. Returns the lanes of a vector. NULL where there is no such thing. */
    uint32_t (*exercise)(struct engine *engine, float *values, size_t count, uint32_t passes);
    void (*close)(struct engine *engine);
};

extern const struct engine_operations engine_cpu, engine_cuda,
    engine_cudnn; /* the last two only with HAVE_CUDA, HAVE_CUDNN_ENGINE */

/* ---- all engines: engines.c -------------------------------------------------------------------------------------- */

struct engine_entry {
    const char *name;
    bool computes[ARITHMETIC_COUNT];
    const struct engine_operations *operations; /* NULL: not in this build */
    const char *missing;                        /* then: what to do about it */
};
extern const struct engine_entry engine_entries[];
extern const size_t engine_entry_count;

/* The engine of that name (one of the table's, or NULL for the first that computes the arithmetic).
 * errors   STATUS_INPUT if it does not compute the arithmetic; STATUS_ENVIRONMENT if this build does not have it. */
enum status engine_choose(const char *name, enum arithmetic arithmetic, const struct engine_operations **operations,
                          struct error *error) MUST_USE;
/* STATUS_INPUT if the engine cannot trace a step, saying which can. */
enum status engine_can_trace(const struct engine_operations *operations, struct error *error) MUST_USE;
/* What memory_bytes will be; opens the engine on images of noise where that is the only way. */
enum status engine_predict_memory(const struct engine_operations *operations, const struct recipe *recipe,
                                  const struct network *network, uint32_t training_images, uint32_t validation_images,
                                  const struct engine_options *options, size_t *bytes, struct error *error) MUST_USE;
/* Whether other devices than the processor can compute it, too. Then a run's bits may be claimed for them. */
bool engine_any_device(enum arithmetic arithmetic);

#endif
