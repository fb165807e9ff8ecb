/* Known answers: small networks whose digest is known. If an engine trains them to that digest, it computes the
 * specified arithmetic on this processor or device. `selfsame doctor` runs them. */
#ifndef SELFSAME_PROOF_H
#define SELFSAME_PROOF_H

#include <stdbool.h>

#include "base/hash.h"
#include "trainer/engine.h"

enum { PROOF_TRAINING_IMAGES = 40, PROOF_VALIDATION_IMAGES = 24, PROOF_TEXT_BYTES = 1024 };

/* What every engine that computes an exact arithmetic gives: the scalar reference's, to which check/unit/test_proof
 * holds it. It changes with the arithmetic's version, and with nothing else. NULL for fast. */
const char *proof_known_digest(enum arithmetic arithmetic);

/* The recipes that are run, in exact-1: msra's, He et al.'s and akamaster's, at depth 8. */
enum { PROOF_RECIPES = 3 };
extern const struct recipe proof_recipes[PROOF_RECIPES];

struct proof {
    bool opened;                        /* the engine works here: what fails after this is no absence */
    char digest[DIGEST_HEX_BYTES];      /* "" until all has been computed */
    char description[PROOF_TEXT_BYTES]; /* of the engine */
    char facts[PROOF_TEXT_BYTES];       /* one a line, without the last line's end */
};

/* Trains ResNet-8 by each published recipe for three steps of up to 16 images and evaluates it. The digest is the
 * SHA-256 over, for each recipe: the steps' ledger entries, the weights' digest, the momentum's, the predictions, and
 * the evaluation's loss as 8 bytes of binary64, lowest first. `training` and `validation` have the images that the enum
 * says, of the embedded data set.
 * errors   as the engine's; *proof holds what was found out before. */
enum status proof_run(const struct engine_operations *operations, enum arithmetic arithmetic,
                      const struct engine_options *options, const struct dataset *training,
                      const struct dataset *validation, struct proof *proof, struct error *error) MUST_USE;

#endif
