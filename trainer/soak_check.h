/* The single checks of a soak: computations whose answer is known, and what was wrong if it does not come out. */
#ifndef SELFSAME_SOAK_CHECK_H
#define SELFSAME_SOAK_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/engine.h"
#include "trainer/proof.h"

/* ---- networks ----------------------------------------------------------------------------------------------------
 *
 * Depth 8, trained for some steps from its first weights and then evaluated. The ledger digest, the loss and the errors
 * of every step, and the loss of the evaluation, must be those that are compiled in: the scalar reference's, to which
 * check/unit/test_soak holds them. */

enum { SOAK_NETWORKS = 3, SOAK_STEPS = 2, SOAK_TRAINING_IMAGES = 64, SOAK_VALIDATION_IMAGES = 16 };

struct soak_network {
    uint32_t recipe, batch; /* of proof_recipes; images of a step */
    struct {
        struct {
            uint64_t digest[2];
            uint32_t loss; /* its bits */
            uint32_t errors;
        } steps[SOAK_STEPS];
        uint64_t evaluation; /* the bits of its loss */
    } known[2];              /* in exact-1 and exact-2 */
};
extern const struct soak_network soak_networks[SOAK_NETWORKS]; /* from the smallest working set to the largest */

struct soak_data {
    struct dataset training, validation; /* embedded: SOAK_TRAINING_IMAGES and SOAK_VALIDATION_IMAGES */
};

/* One engine, with one of its instruction sets, in one exact arithmetic. */
struct soak_engine {
    const struct engine_operations *operations;
    const char *isa; /* NULL: it has none */
    enum arithmetic arithmetic;
};

enum { SOAK_WHAT_BYTES = 256 };

/* Trains and evaluates a network with `threads` threads. STATUS_NO if the answer is wrong: what[] then says at which
 * step, and in which tensor first. For that the network is computed again by `reference`, on the processor `elsewhere`
 * if it is not negative. Other errors are the engine's. `stop` is asked between steps; if it says so, the check ends
 * early with STATUS_INTERRUPTED. */
enum status soak_network_check(const struct soak_engine *engine, const struct soak_network *soaked, uint32_t threads,
                               const struct soak_data *data, const struct soak_engine *reference, int elsewhere,
                               bool (*stop)(void *context), void *context, char what[SOAK_WHAT_BYTES],
                               struct error *error) MUST_USE;

/* What the engine will take for a network, bytes; 0 if it does not tell. */
size_t soak_network_bytes(const struct soak_engine *engine, const struct soak_network *soaked, uint32_t threads);

/* ---- vectors -----------------------------------------------------------------------------------------------------
 *
 * An array of `bytes` goes SOAK_PASSES times through the logistic map, in the vectors of an instruction set. So every
 * pass reads and writes all of it, which keeps one level of the caches, or the memory, busy. Its first numbers repeat
 * after SOAK_PERIOD, and so must its last ones. A check repeats this until SOAK_VECTOR_BYTES have been computed. */

enum { SOAK_PASSES = 16, SOAK_PERIOD = 1024, SOAK_VECTOR_BYTES = 16 << 20 };

/* The last numbers, computed in plain C. STATUS_ENVIRONMENT if their digest is not the one that is compiled in. */
enum status soak_vector_answer(float answer[SOAK_PERIOD], struct error *error) MUST_USE;

/* `engine` is one that is open; `values` has room for `bytes`, a multiple of 4 * SOAK_PERIOD, and is aligned to 64. As
 * soak_network_check: STATUS_NO says in what[] which number was wrong, and in which lane. */
enum status soak_vector_check(const struct engine_operations *operations, struct engine *engine, float *values,
                              size_t bytes, const float answer[SOAK_PERIOD], char what[SOAK_WHAT_BYTES]) MUST_USE;

/* Opens an engine for vectors only: the smallest one. */
enum status soak_vector_open(const struct soak_engine *engine, struct engine **opened, struct network **network,
                             const struct soak_data *data, struct error *error) MUST_USE;

#endif
