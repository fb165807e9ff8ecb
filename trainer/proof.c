/* See proof.h. */
#include "trainer/proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "trainer/digests.h"

const char *proof_known_digest(enum arithmetic arithmetic)
{
    static const char *const known[ARITHMETIC_COUNT] = {
        [ARITHMETIC_EXACT_1] = "f2edd4443f9705a905f3f297cae8e0ca8b3d0eb27f5a448584412baf763cfd26",
        [ARITHMETIC_EXACT_2] = "25ebb3e46ceb62c90299c60a9eb80b1a4feccb00e68a2e7438618a9ce49420f8",
    };
    return known[arithmetic];
}

/* ---- the recipes ------------------------------------------------------------------------------------------------- */

enum { BATCH = 16, STEPS = 3 };

/* The forms of the three published recipes, so that together they reach every operation: msra's, He et al.'s and
 * akamaster's. The third step has the end of the images: continued in one stream, or short. */
const struct recipe proof_recipes[PROOF_RECIPES] = {
    {
        .model = { .depth = 8,
                   .shortcut = SHORTCUT_PROJECTION,
                   .linear_bias = BIAS_NONE,
                   .final_batch_norm = true,
                   .batch_norm_epsilon = 1e-3,
                   .batch_norm_rate = 0.1 },
        .input = { .padding_pixels = 4,
                   .padding = PADDING_MEAN,
                   .normalization = NORMALIZE_CHANNEL_MEAN,
                   .random_crop = true,
                   .random_flip = true },
        .training = { .batch_size = BATCH,
                      .last_batch = LAST_BATCH_CONTINUE,
                      .length_unit = UNIT_STEP,
                      .length = STEPS,
                      .momentum_form = MOMENTUM_NEON,
                      .momentum = 0.9,
                      .weight_decay = 1e-4,
                      .schedule = { .learning_rate = 0.1,
                                    .drop_factor = 0.1,
                                    .drop_unit = UNIT_STEP,
                                    .drop_count = 1,
                                    .drops = { 2 } },
                      .seed = 1 },
    },
    {
        .model = { .depth = 8,
                   .shortcut = SHORTCUT_PAD_END,
                   .linear_bias = BIAS_ZERO,
                   .batch_norm_epsilon = 1e-5,
                   .batch_norm_rate = 0.1,
                   .batch_norm_initial_variance = 1.0 },
        .input = { .padding_pixels = 4,
                   .padding = PADDING_ZERO,
                   .normalization = NORMALIZE_PIXEL_MEAN,
                   .random_crop = true,
                   .random_flip = true },
        .training = { .batch_size = BATCH,
                      .last_batch = LAST_BATCH_CONTINUE,
                      .length_unit = UNIT_STEP,
                      .length = STEPS,
                      .momentum_form = MOMENTUM_PYTORCH,
                      .momentum = 0.9,
                      .weight_decay = 1e-4,
                      .schedule = { .learning_rate = 0.01, .drop_factor = 0.1 },
                      .seed = 2 },
    },
    {
        .model = { .depth = 8,
                   .shortcut = SHORTCUT_PAD_BOTH,
                   .linear_bias = BIAS_UNIFORM,
                   .batch_norm_epsilon = 1e-5,
                   .batch_norm_rate = 0.1,
                   .batch_norm_unbiased = true,
                   .batch_norm_initial_variance = 1.0 },
        .input = { .padding_pixels = 4,
                   .padding = PADDING_ZERO,
                   .normalization = NORMALIZE_CONSTANTS,
                   .mean = { 0.5, 0.4, 0.45 },
                   .deviation = { 0.25, 0.2, 0.3 },
                   .random_crop = true,
                   .random_flip = true },
        .training = { .batch_size = BATCH,
                      .last_batch = LAST_BATCH_SHORT,
                      .length_unit = UNIT_STEP,
                      .length = STEPS,
                      .momentum_form = MOMENTUM_PYTORCH,
                      .momentum = 0.9,
                      .weight_decay = 1e-4,
                      .schedule = { .learning_rate = 0.05, .drop_factor = 0.1 },
                      .seed = 3 },
    },
};

/* ---- running them ------------------------------------------------------------------------------------------------ */

static bool hear_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    struct sha256 *sha256 = context;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t entry[DIGEST_STEP_BYTES];
        digest_step(entry, first + i, results[i].loss, results[i].errors, results[i].digest);
        sha256_add(sha256, entry, sizeof entry);
    }
    return true;
}

static void add_tensors(struct sha256 *sha256, const struct network *network, const float *values)
{
    uint8_t digest[DIGEST_BYTES];
    weights_digest(network, values, digest);
    sha256_add(sha256, digest, sizeof digest);
}

static void add_loss(struct sha256 *sha256, double loss)
{
    uint8_t bytes[8];
    bytes_put_u64(bytes, double_bits(loss));
    sha256_add(sha256, bytes, sizeof bytes);
}

static void describe(const struct engine_operations *operations, const struct engine *engine, struct proof *proof)
{
    const char *const *facts = operations->facts(engine);
    snprintf(proof->description, sizeof proof->description, "%s", operations->describe(engine));
    proof->facts[0] = '\0';
    for (size_t i = 0; facts != NULL && facts[i] != NULL; i++) {
        const size_t used = strlen(proof->facts);
        snprintf(proof->facts + used, sizeof proof->facts - used, "%s%s", i > 0 ? "\n" : "", facts[i]);
    }
}

static enum status run_recipe(const struct engine_operations *operations, const struct engine_options *options,
                              const struct recipe *recipe, const struct dataset *training,
                              const struct dataset *validation, struct sha256 *sha256, struct proof *proof,
                              struct error *error)
{
    const struct step_listener listener = { .context = sha256, .steps = hear_steps };
    struct network *network = NULL;
    struct engine *engine = NULL;
    float *values = NULL, *momentum = NULL;
    uint8_t predictions[PROOF_VALIDATION_IMAGES];
    double loss = 0.0;
    uint64_t done = 0;
    enum status status = network_open(&network, &recipe->model, error);
    if (status != STATUS_OK)
        goto out;
    values = calloc(network->value_count, sizeof *values);
    momentum = calloc(network->value_count, sizeof *momentum);
    if (values == NULL || momentum == NULL) {
        status = error_out_of_memory(error, "%zu weights", network->value_count);
        goto out;
    }
    network_initialize(network, recipe->training.seed, values);
    status = operations->open(&engine, recipe, network, training, validation, options, error);
    if (status != STATUS_OK)
        goto out;
    proof->opened = true;
    describe(operations, engine, proof);
    status = operations->set_state(engine, values, momentum, error);
    if (status == STATUS_OK)
        status = operations->run_steps(engine, 0, STEPS, &listener, &done, error);
    if (status == STATUS_OK)
        status = operations->get_state(engine, values, momentum, error);
    if (status == STATUS_OK)
        status = operations->evaluate(engine, predictions, &loss, error);
    if (status != STATUS_OK)
        goto out;
    add_tensors(sha256, network, values);
    add_tensors(sha256, network, momentum);
    sha256_add(sha256, predictions, sizeof predictions);
    add_loss(sha256, loss);
out:
    if (engine != NULL)
        operations->close(engine);
    free(values);
    free(momentum);
    network_close(network);
    return status;
}

enum status proof_run(const struct engine_operations *operations, enum arithmetic arithmetic,
                      const struct engine_options *options, const struct dataset *training,
                      const struct dataset *validation, struct proof *proof, struct error *error)
{
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    enum status status = STATUS_OK;
    memset(proof, 0, sizeof *proof);
    sha256_start(&sha256);
    for (size_t i = 0; status == STATUS_OK && i < PROOF_RECIPES; i++) {
        struct recipe recipe = proof_recipes[i];
        recipe.arithmetic = arithmetic;
        status = run_recipe(operations, options, &recipe, training, validation, &sha256, proof, error);
    }
    sha256_finish(&sha256, digest);
    if (status == STATUS_OK)
        digest_to_hex(digest, proof->digest);
    return status;
}
