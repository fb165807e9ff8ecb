/* Checkpoints: `checkpoints/step-NNNNNNNN.safetensors` of a run. Each has all that a training needs to continue: the
 * weights, the momentum of each parameter (`momentum.` and its name), and in the metadata the experiment and the step.
 * They are sealed (fetch/weights/safetensors.h).
 *
 * Kept are the last two that end an epoch, every tenth, the one before each learning-rate drop, and, while it is the
 * newest, one that an interruption left inside an epoch. */
#ifndef SELFSAME_CHECKPOINT_H
#define SELFSAME_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "trainer/network.h"
#include "trainer/recipe.h"
#include "trainer/train.h"

/* The experiment and the step of a checkpoint. struct training_state has the rest. */
struct checkpoint_place {
    char experiment_sha256[DIGEST_HEX_BYTES];
    char arithmetic[32];
    uint64_t epochs;                     /* whole epochs done */
    char chain_sha256[DIGEST_HEX_BYTES]; /* after the last whole epoch; the experiment digest before the first */
    char
        steps_sha256[DIGEST_HEX_BYTES]; /* of the entries (trainer/digests.h) of the steps after it; "" for none, and in
                                            checkpoints of 0.1.0 */
};

/* folder is the run's. The checkpoint of the same step is replaced. */
enum status checkpoint_write(const char *folder, const struct network *network, const struct checkpoint_place *place,
                             const struct training_state *state, struct error *error) MUST_USE;

/* Reads the checkpoint of a step. state->values and ->momentum hold network->value_count floats; momentum is zero for
 * running statistics. STATUS_INPUT, naming the file, if it is damaged, or belongs to another network, or to another
 * experiment than `experiment_sha256` (NULL: any). The arithmetic is a part of the experiment. */
enum status checkpoint_read(const char *folder, uint64_t step, const struct network *network,
                            const char *experiment_sha256, struct checkpoint_place *place, struct training_state *state,
                            struct error *error) MUST_USE;

/* The steps that a run has checkpoints of, rising; the caller frees *steps. Files of other names are none. */
enum status checkpoint_list(const char *folder, uint64_t **steps, size_t *count, struct error *error) MUST_USE;

/* Removes the checkpoints that need not be kept after the one at the end of `epochs` epochs was written. `keep_every`
 * takes the place of the tenth; 0 is the tenth. */
enum status checkpoint_prune(const char *folder, const struct training_config *training, uint32_t images,
                             uint64_t epochs, uint64_t keep_every, struct error *error) MUST_USE;

/* Removes the checkpoints of later steps. */
enum status checkpoint_cut(const char *folder, uint64_t step, struct error *error) MUST_USE;

/* The path of the checkpoint of a step. */
enum status checkpoint_path(const char *folder, uint64_t step, char *path, struct error *error) MUST_USE;
/* Whether a file's name, without its folder, is one that checkpoint_path gives, and of which step. */
bool checkpoint_parse_name(const char *name, uint64_t *step);

#endif
