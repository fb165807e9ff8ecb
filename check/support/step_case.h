/* A network with a state and a batch that pytorch_step.py makes too, and the forward pass of the reference over it,
 * composed of its single operations: for the ReLUs. What fails here fails the test. */
#ifndef SELFSAME_CHECK_STEP_CASE_H
#define SELFSAME_CHECK_STEP_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "check/support/backends.h"
#include "check/support/float64_network.h"
#include "trainer/cpu/reference.h"

/* ---- a case ------------------------------------------------------------------------------------------------------ */

enum { SEED = 7 }; /* as in pytorch_step.py */

/* A network, its state, and a batch. */
struct step_case {
    struct recipe recipe;
    struct network *network;
    uint32_t N;
    struct dataset data;
    struct input *input;
    float *values; /* [value_count] */
    float *images; /* (N,3,32,32), what the network sees */
};

void *allocate(size_t count, size_t size);

/* As make_images of pytorch_step.py. */
void make_images(struct dataset *data);

struct step_case case_open(uint32_t variant, uint32_t depth, uint32_t N);

void case_close(struct step_case *c);

/* ---- the float32 forward pass, composed of the reference's operations: for its ReLUs ----------------------------- */

struct forward32 {
    uint8_t **masks; /* [conv_count] */
    float *logits;   /* (N,10), normed if the variant does */
    float loss;
};

void forward32_free(const struct step_case *c, struct forward32 *forward);

struct forward32 run_forward32(const struct step_case *c);

#endif
