#include "check/support/backends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"
#include "trainer/random.h"

const char *const ADVERSITIES[ADVERSITY_COUNT] = {
    [ADVERSITY_NONE] = "none",           [ADVERSITY_SUBNORMAL] = "subnormal",
    [ADVERSITY_ZEROS] = "zeros",         [ADVERSITY_HUGE] = "huge",
    [ADVERSITY_DEAD] = "dead",           [ADVERSITY_CONSTANT] = "constant",
    [ADVERSITY_DIVERGING] = "diverging", [ADVERSITY_GAMMA] = "gamma",
    [ADVERSITY_LINEAR] = "linear",       [ADVERSITY_RATE] = "rate"
};
const char *const VARIANTS[VARIANT_COUNT] = { "msra", "paper", "akamaster", "projection-bn" };

static bool scalar(const struct backend_operations *operations)
{
    return strcmp(operations->isa, "scalar") == 0;
}

const struct backend_operations *reference_backend(void)
{
    size_t i = 0;
    while (!scalar(backends[i]) || !backends[i]->supported())
        i++;
    return backends[i];
}

size_t fused_backends(const struct backend_operations *list[FUSED_BACKENDS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; backends[i] != NULL; i++) {
        if (!scalar(backends[i]) && backends[i]->supported() && count < FUSED_BACKENDS_MAX)
            list[count++] = backends[i];
    }
    return count;
}

struct recipe trial_recipe(const struct trial *trial)
{
    const bool msra = trial->variant == 0, akamaster = trial->variant == 2, normed = trial->variant == 3;
    struct recipe recipe = {
        .model = { .depth = trial->depth,
                   .shortcut = msra        ? SHORTCUT_PROJECTION
                               : akamaster ? SHORTCUT_PAD_BOTH
                               : normed    ? SHORTCUT_PROJECTION_BN
                                           : SHORTCUT_PAD_END,
                   .linear_bias = msra ? BIAS_NONE : BIAS_UNIFORM,
                   .final_batch_norm = msra,
                   .batch_norm_epsilon = msra ? 1e-3 : 1e-5,
                   .batch_norm_rate = 0.1,
                   .batch_norm_unbiased = akamaster,
                   .batch_norm_initial_variance = msra ? 0.0 : 1.0 },
        .input = { .padding_pixels = 4,
                   .padding = msra ? PADDING_MEAN : PADDING_ZERO,
                   .normalization = NORMALIZE_CONSTANTS,
                   .mean = { 0.5, 0.4, 0.45 },
                   .deviation = { 0.25, 0.2, 0.3 },
                   .random_crop = true,
                   .random_flip = true },
        .training = { .batch_size = trial->batch,
                      .momentum_form = trial->momentum,
                      .momentum = 0.9,
                      .weight_decay = 1e-4,
                      .schedule = { .learning_rate = 0.1 } },
        .arithmetic = trial->arithmetic,
    };
    if (trial->adversity == ADVERSITY_SUBNORMAL) {
        for (int c = 0; c < 3; c++)
            recipe.input.deviation[c] = 3e38 * 0x1p-3 * (c + 1);
    } else if (trial->adversity == ADVERSITY_ZEROS) {
        for (int c = 0; c < 3; c++) {
            recipe.input.mean[c] = 0.0;
            recipe.input.deviation[c] = c == 1 ? 0.25 : -0.25;
        }
    } else if (trial->adversity == ADVERSITY_DIVERGING) {
        recipe.training.schedule.learning_rate = 1e30;
    } else if (trial->adversity == ADVERSITY_RATE) {
        recipe.training.schedule.learning_rate = 3e38;
        recipe.training.weight_decay = 10.0;
    }
    return recipe;
}

void trial_state(const struct trial *trial, const struct network *network, float *values, float *momentum)
{
    const struct conv_layer *last = &network->convs[network->conv_count - 1];
    network_initialize(network, 7, values);
    memset(momentum, 0, network->value_count * sizeof *momentum);
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const struct tensor *tensor = &network->tensors[t];
        const bool weights = tensor->rank > 1, beta = tensor->rank == 1 && strstr(tensor->name, ".bias") != NULL;
        for (size_t i = 0; i < tensor->count; i++) {
            float *w = &values[tensor->offset + i];
            uint32_t words[4];
            random_block(11, RANDOM_WEIGHTS, t, (uint32_t)i, words);
            if (tensor->role == TENSOR_PARAMETER && trial->adversity != ADVERSITY_CONSTANT)
                momentum[tensor->offset + i] = (float)random_normal(words[0]) * 1e-3f;
            if (trial->adversity == ADVERSITY_SUBNORMAL && weights)
                *w *= words[1] % 3 == 0 ? 0x1p-138f : words[1] % 3 == 1 ? 0x1p-124f : 1.0f;
            else if (trial->adversity == ADVERSITY_ZEROS && weights)
                *w = words[1] % 3 == 0 ? -0.0f : words[1] % 3 == 1 ? 0.0f : *w;
            else if (trial->adversity == ADVERSITY_HUGE && weights)
                *w *= 1e15f;
            else if (trial->adversity == ADVERSITY_DEAD && beta)
                *w = -3.0f;
            else if (trial->adversity == ADVERSITY_CONSTANT && weights)
                *w = 0.0625f;
            else if (trial->adversity == ADVERSITY_LINEAR && (int32_t)t == network->linear_weight)
                *w = *w > 0.0f ? 1e38f : -1e38f;
            else if (trial->adversity == ADVERSITY_GAMMA && t == last->weight)
                *w *= 1e15f;
            else if (trial->adversity == ADVERSITY_GAMMA && t == (last - 1)->gamma)
                *w *= 1e-15f;
            else if (trial->adversity == ADVERSITY_GAMMA && t == last->gamma && i == 0)
                *w = 1e30f;
        }
    }
}

void outcome_free(struct outcome *outcome)
{
    free(outcome->values);
    free(outcome->momentum);
    free(outcome->losses);
    free(outcome->predictions);
}

enum status trial_run(const struct trial *trial, const struct network *network, const struct dataset *data,
                      const struct backend_operations *operations, uint32_t threads, struct outcome *outcome,
                      struct error *error)
{
    const struct recipe recipe = trial_recipe(trial);
    struct backend *backend = NULL;
    struct input *input = NULL;
    struct sample *samples = calloc(trial->batch, sizeof *samples);
    const struct float_environment saved = float_environment_enter();
    memset(outcome, 0, sizeof *outcome);
    outcome->values = calloc(network->value_count, sizeof *outcome->values);
    outcome->momentum = calloc(network->value_count, sizeof *outcome->momentum);
    outcome->losses = calloc(trial->batch, sizeof *outcome->losses);
    outcome->predictions = calloc(trial->batch, sizeof *outcome->predictions);
    enum status status = STATUS_ENVIRONMENT;
    if (samples == NULL || outcome->values == NULL || outcome->momentum == NULL || outcome->losses == NULL ||
        outcome->predictions == NULL)
        error_out_of_memory(error, "a trial");
    else
        status = input_open(&input, &recipe.input, data, error);
    if (status == STATUS_OK)
        status = operations->open(&backend, &recipe, network, threads, false, NULL, error);
    if (status == STATUS_OK) {
        trial_state(trial, network, outcome->values, outcome->momentum);
        operations->set_state(backend, outcome->values, outcome->momentum);
        for (uint32_t step = 0; step < trial->steps; step++) {
            struct backend_batch batch = { .count = step + 1 == trial->steps ? trial->last : trial->batch,
                                           .data = data,
                                           .input = input,
                                           .samples = samples };
            for (uint32_t n = 0; n < batch.count; n++) {
                uint32_t words[4];
                random_block(3, RANDOM_SHUFFLE, step, n, words);
                samples[n] = (struct sample){ .image = words[0] % data->count,
                                              .row = (uint8_t)(words[1] % 9),
                                              .column = (uint8_t)(words[2] % 9),
                                              .flip = words[3] & 1 };
            }
            operations->step(backend, &batch, (float)recipe.training.schedule.learning_rate,
                             &outcome->by_step[outcome->steps]);
            if (outcome->by_step[outcome->steps++].non_finite[0] != '\0')
                break;
        }
        operations->get_state(backend, outcome->values, outcome->momentum);
        struct backend_batch batch = { .count = trial->batch, .data = data, .input = input, .first = 1 };
        operations->evaluate(backend, &batch, outcome->predictions, outcome->losses);
        operations->close(backend);
    }
    input_close(input);
    free(samples);
    float_environment_leave(saved);
    return status;
}

static const char *differing_tensor(const struct network *network, const float *left, const float *right,
                                    const char *what, char *text, size_t size)
{
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const struct tensor *tensor = &network->tensors[t];
        size_t differing = 0, first = 0;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i++) {
            if (memcmp(&left[i], &right[i], sizeof *left) != 0 && differing++ == 0)
                first = i;
        }
        if (differing > 0) {
            snprintf(text, size, "%s %s: %zu of %zu elements differ, the first is element %zu: %a against %a", what,
                     tensor->name, differing, tensor->count, first - tensor->offset, (double)left[first],
                     (double)right[first]);
            return text;
        }
    }
    return NULL;
}

const char *outcome_difference(const struct trial *trial, const struct network *network, const struct outcome *left,
                               const struct outcome *right, char *text, size_t size)
{
    uint32_t step = 0;
    for (; step < left->steps && step < right->steps; step++) {
        const struct backend_outcome *a = &left->by_step[step], *b = &right->by_step[step];
        if (strcmp(a->non_finite, b->non_finite) != 0) {
            snprintf(text, size, "step %u: not finite: '%s' against '%s'", step, a->non_finite, b->non_finite);
            return text;
        }
        if (a->non_finite[0] != '\0')
            return NULL; /* what follows is undefined */
        if (memcmp(&a->loss, &b->loss, sizeof a->loss) != 0 || a->errors != b->errors) {
            snprintf(text, size, "step %u: loss %a against %a, errors %u against %u", step, (double)a->loss,
                     (double)b->loss, a->errors, b->errors);
            return text;
        }
        if (a->digest[0] != b->digest[0] || a->digest[1] != b->digest[1])
            break;
    }
    const char *difference = differing_tensor(network, left->values, right->values, "value of", text, size);
    if (difference == NULL)
        difference = differing_tensor(network, left->momentum, right->momentum, "momentum of", text, size);
    if (difference != NULL || (step == left->steps && step == right->steps)) {
        for (uint32_t n = 0; n < trial->batch && difference == NULL; n++) {
            if (memcmp(&left->losses[n], &right->losses[n], sizeof *left->losses) != 0 ||
                left->predictions[n] != right->predictions[n]) {
                snprintf(text, size, "evaluation, image %u: loss %a against %a, class %u against %u", n,
                         (double)left->losses[n], (double)right->losses[n], left->predictions[n],
                         right->predictions[n]);
                difference = text;
            }
        }
        return difference;
    }
    snprintf(text, size, "step %u: the digests differ, the states afterwards do not", step);
    return text;
}

const char *backends_difference(const struct trial *trial, const struct backend_operations *left, uint32_t left_threads,
                                const struct backend_operations *right, uint32_t right_threads, char *text, size_t size)
{
    const struct recipe recipe = trial_recipe(trial);
    struct network *network = NULL;
    struct dataset data = { 0 }, none = { 0 };
    struct outcome expected = { 0 }, outcome = { 0 };
    struct error error;
    char different[512];
    const char *difference = error.message;
    if (network_open(&network, &recipe.model, &error) == STATUS_OK &&
        embedded_make(&data, trial->batch + TRIAL_IMAGES, &none, 1, &error) == STATUS_OK &&
        trial_run(trial, network, &data, left, left_threads, &expected, &error) == STATUS_OK &&
        trial_run(trial, network, &data, right, right_threads, &outcome, &error) == STATUS_OK)
        difference = outcome_difference(trial, network, &expected, &outcome, different, sizeof different);
    if (difference != NULL) {
        snprintf(text, size, "%s, depth %u, %s, batch %u, last %u, %s, %s with %u threads against %s with %u: %s",
                 arithmetic_version(trial->arithmetic), trial->depth, VARIANTS[trial->variant], trial->batch,
                 trial->last, ADVERSITIES[trial->adversity], right->variant, right_threads, left->variant, left_threads,
                 difference);
        difference = text;
    }
    outcome_free(&expected);
    outcome_free(&outcome);
    dataset_free(&data);
    dataset_free(&none);
    network_close(network);
    return difference;
}
