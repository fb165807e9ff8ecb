/* The trace of one step: the SHA-256 of every tensor that the step computes, in causal order. Each line names the
 * earlier lines that its tensor is computed from. So if two traces differ, the first line that differs names a tensor
 * whose inputs agree and whose value does not.
 *
 * lines    What a step reads comes first: its state, its images and its learning rate. Then come the forward pass from
 *          the first layer to the loss, the backward pass from the loss to the first layer, and the state after the
 *          step. A tensor that only some engines form, such as a batch norm's output before the ReLU, has no line.
 * digests  Over the elements in row-major order, little-endian, images first. Every NaN counts as 7fc00000, because a
 *          NaN's payload is not specified.
 * memory   Everything is allocated by open. */
#ifndef SELFSAME_STEP_TRACE_H
#define SELFSAME_STEP_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "trainer/exact.h"
#include "trainer/network.h"
#include "trainer/non_finite.h"
#include "trainer/recipe.h"
#include "trainer/sampler.h"

enum trace_number { TRACE_U32, TRACE_F32, TRACE_F64, TRACE_NUMBERS };
extern const char *const trace_number_names[TRACE_NUMBERS]; /* "u32", "f32", "f64" */

/* Which tensor a line is of, with an index: that of a convolution's layer (l), of a norm, of a tensor of the network,
 * or 0. The norm behind convolution l has the index l; step_trace_projection and step_trace_logits give those of the
 * others. N is the number of images. */
enum trace_tensor {
    TRACE_BEFORE,              /* tensor: its values before the step */
    TRACE_MOMENTUM_BEFORE,     /* tensor, a parameter */
    TRACE_ORDER,               /* 0: u32 (N), the numbers of the images in the data set */
    TRACE_CROPS,               /* 0: u32 (N,3), row, column and flip of each */
    TRACE_LABELS,              /* 0: u32 (N) */
    TRACE_RATE,                /* 0: (), the learning rate */
    TRACE_INPUT,               /* 0: (N,3,32,32) */
    TRACE_OUTPUT,              /* norm: (N,K,P,P), the convolution's or projection's output */
    TRACE_SUMS,                /* norm: (N,2,K), of each image */
    TRACE_MEAN,                /* norm: f64 (K), and so the next two */
    TRACE_VARIANCE,            /* norm */
    TRACE_INVERSE,             /* norm */
    TRACE_SCALE,               /* norm: (K), and so the next */
    TRACE_SHIFT,               /* norm */
    TRACE_ACTIVATION,          /* l: (N,K,P,P), after batch norm, shortcut and ReLU */
    TRACE_POOL,                /* 0: (N,64) */
    TRACE_LOGITS,              /* 0: (N,10), before their batch norm */
    TRACE_LOSS,                /* 0: () */
    TRACE_LOGITS_GRADIENT,     /* 0: (N,10), of TRACE_LOGITS */
    TRACE_POOL_GRADIENT,       /* 0: (N,64), of each pixel of the last activation */
    TRACE_ACTIVATION_GRADIENT, /* l: (N,K,P,P), of what enters its last ReLU */
    TRACE_GRADIENT_SUMS,       /* norm: (N,2,K), of each image */
    TRACE_SLOPE,               /* norm: (K), and so the next */
    TRACE_CONSTANT,            /* norm */
    TRACE_OUTPUT_GRADIENT,     /* norm: (N,K,P,P), of TRACE_OUTPUT */
    TRACE_GRADIENT,            /* tensor, a parameter */
    TRACE_MOMENTUM_AFTER,      /* tensor, a parameter */
    TRACE_AFTER,               /* tensor */
    TRACE_TENSORS
};

enum { TRACE_NAME_BYTES = 96, TRACE_RANK_MAX = 4 };

struct trace_line {
    char name[TRACE_NAME_BYTES];
    enum trace_number number;
    uint32_t rank, shape[TRACE_RANK_MAX];
    uint32_t first_input, input_count; /* in the trace's inputs */
    uint8_t digest[DIGEST_BYTES];
};

struct trace_lines {
    struct trace_line *lines;
    uint32_t count;
    uint32_t *inputs; /* numbers of lines, from 0; those of a line are all earlier */
    uint32_t input_count;
};

struct step_trace {
    const struct network *network;
    uint32_t images; /* N */
    struct trace_lines list;
    char non_finite[NON_FINITE_BYTES]; /* what the step found first, as run_steps says it; or "" */
    /* For the engines: room for the state, and for the largest image of a layer. */
    float *values, *momentum, *image;
    struct trace_digest *digests; /* of each line: the running ones */
    uint32_t *places;             /* [TRACE_TENSORS][width]: the line of a tensor and index; UINT32_MAX for none */
    uint32_t width;
};

/* A trace without digests, of a step of that many images. Borrows the network. */
enum status step_trace_open(struct step_trace **trace, const struct network *network, const struct recipe *recipe,
                            uint32_t images, struct error *error) MUST_USE;
void step_trace_close(struct step_trace *trace);

/* The index of the norm behind the projection of the block whose second convolution is l, and of that of the logits. */
uint32_t step_trace_projection(const struct network *network, uint32_t l);
uint32_t step_trace_logits(const struct network *network);

/* Fills the list: step_trace_list.c. `lines` and `inputs` have room. */
void step_trace_list(struct step_trace *trace, const struct recipe *recipe);
/* Where the line of a tensor and index is kept. */
uint32_t *step_trace_place(const struct step_trace *trace, enum trace_tensor what, uint32_t index);

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* The number of the first line in which two lists differ but for the digest: in name, shape, inputs, or since there is
 * none. Or the number of lines, if there is no such line. */
uint32_t trace_lines_part(const struct trace_lines *a, const struct trace_lines *b);
/* Of two lists that are the same but for the digests: the numbers of the lines whose inputs agree and whose digests do
 * not, the first `most` of them in `roots`. Returns how many there are; *differing counts all whose digests differ. */
uint32_t trace_roots(const struct trace_lines *a, const struct trace_lines *b, uint32_t *roots, uint32_t most,
                     uint32_t *differing);

/* ---- for the engines: each tensor once, whole or in pieces in order ---------------------------------------------- */

void step_trace_integers(struct step_trace *trace, enum trace_tensor what, uint32_t index, const uint32_t *numbers,
                         size_t count);
void step_trace_floats(struct step_trace *trace, enum trace_tensor what, uint32_t index, const float *numbers,
                       size_t count);
void step_trace_doubles(struct step_trace *trace, enum trace_tensor what, uint32_t index, const double *numbers,
                        size_t count);
/* TRACE_ORDER, TRACE_CROPS, TRACE_LABELS and TRACE_RATE. labels: of the whole data set. */
void step_trace_batch(struct step_trace *trace, const struct sample *samples, const uint8_t *labels, float rate);
/* The state before or after the step. */
void step_trace_state(struct step_trace *trace, bool after, const float *values, const float *momentum);
/* TRACE_GRADIENT of every parameter; gradients: [value_count]. */
void step_trace_gradients(struct step_trace *trace, const float *gradients);
/* TRACE_MEAN to TRACE_SHIFT. */
void step_trace_norm(struct step_trace *trace, uint32_t index, const struct exact_norm *norms, uint32_t count);
/* TRACE_SLOPE and TRACE_CONSTANT. */
void step_trace_norm_gradient(struct step_trace *trace, uint32_t index, const struct exact_norm_gradient *gradients,
                              uint32_t count);
/* Ends the digests. An engine that left out a part of a tensor ends the program. */
void step_trace_finish(struct step_trace *trace);

#endif
