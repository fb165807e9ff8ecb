#include "experiments/schema.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/recipe.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LARGE 9007199254740991.0 /* 2^53 - 1 */

static const struct schema_choice dataset_kinds[] = {
    { "cifar10", DATASET_CIFAR10 },
    { "embedded", DATASET_EMBEDDED },
    { NULL, 0 },
};
static const struct schema_choice paddings[] = {
    { "mean", PADDING_MEAN },
    { "zero", PADDING_ZERO },
    { "zero-raw", PADDING_ZERO_RAW },
    { NULL, 0 },
};
static const struct schema_choice normalizations[] = {
    { "channel-mean", NORMALIZE_CHANNEL_MEAN },
    { "pixel-mean", NORMALIZE_PIXEL_MEAN },
    { "constants", NORMALIZE_CONSTANTS },
    { NULL, 0 },
};
static const struct schema_choice shortcuts[] = {
    { "projection", SHORTCUT_PROJECTION },
    { "pad-end", SHORTCUT_PAD_END },
    { "pad-both", SHORTCUT_PAD_BOTH },
    { "projection-bn", SHORTCUT_PROJECTION_BN },
    { NULL, 0 },
};
static const struct schema_choice biases[] = {
    { "none", BIAS_NONE },
    { "zero", BIAS_ZERO },
    { "uniform", BIAS_UNIFORM },
    { NULL, 0 },
};
static const struct schema_choice last_batches[] = {
    { "continue", LAST_BATCH_CONTINUE },
    { "short", LAST_BATCH_SHORT },
    { NULL, 0 },
};
static const struct schema_choice momentum_forms[] = {
    { "neon", MOMENTUM_NEON },
    { "pytorch", MOMENTUM_PYTORCH },
    { NULL, 0 },
};
static const struct schema_choice arithmetics[] = {
    { "exact", ARITHMETIC_EXACT_1 },
    { "exact-1", ARITHMETIC_EXACT_1 },
    { "exact-2", ARITHMETIC_EXACT_2 },
    { "fast", ARITHMETIC_FAST },
    { NULL, 0 },
};
static const struct schema_choice precisions[] = {
    { "fp32", PRECISION_FP32 },
    { "tf32", PRECISION_TF32 },
    { "bf16", PRECISION_BF16 },
    { NULL, 0 },
};
static const struct schema_choice weights_formats[] = {
    { "auto", WEIGHTS_AUTO },
    { "neon", WEIGHTS_NEON },
    { "torch", WEIGHTS_TORCH },
    { "safetensors", WEIGHTS_SAFETENSORS },
    { NULL, 0 },
};
static const struct schema_choice metrics[] = {
    { "final_error", METRIC_FINAL_ERROR },
    { "best_error", METRIC_BEST_ERROR },
    { NULL, 0 },
};
static const struct schema_choice protocols[] = {
    { "mean", PROTOCOL_MEAN },
    { "median", PROTOCOL_MEDIAN },
    { "best", PROTOCOL_BEST },
    { NULL, 0 },
};
static const struct schema_choice or_any[] = {
    { "any", 0 },
    { NULL, 0 },
};

const struct schema_key schema_keys[] = {
    { "name", VALUE_NAME, 0, 0, NULL, NULL, true, false, NULL, "names the experiment and, with the seed, its runs" },
    { "description", VALUE_TEXT, 0, 0, NULL, "''", false, false, NULL, "one line that describes the experiment" },

    { "dataset.kind", VALUE_CHOICE, 0, 0, dataset_kinds, NULL, true, true, NULL,
      "cifar10: read from files; embedded: drawn by the program" },
    { "dataset.training_images", VALUE_INTEGER, 10, 100000, NULL, NULL, false, true, NULL,
      "embedded only: images to train on" },
    { "dataset.test_images", VALUE_INTEGER, 10, 100000, NULL, NULL, false, false, NULL,
      "embedded only: images to evaluate on" },
    { "dataset.train_sha256", VALUE_DIGEST, 0, 0, NULL, NULL, true, true, NULL,
      "SHA-256 of the training records (label byte and image) in order" },
    { "dataset.test_sha256", VALUE_DIGEST, 0, 0, or_any, NULL, true, false, NULL,
      "the same for the test records; or any, and then the record says which were used" },
    { "dataset.note", VALUE_TEXT, 0, 0, NULL, "''", false, false, NULL, "a note about the data" },
    { "dataset.padding.pixels", VALUE_INTEGER, 0, 8, NULL, "4", false, true, NULL,
      "border on each side for the random crops, in pixels" },
    { "dataset.padding.mode", VALUE_CHOICE, 0, 0, paddings, NULL, true, true, NULL,
      "mean: the mean of the row or column; zero: 0 after normalisation; zero-raw: a black border" },
    { "dataset.normalization.kind", VALUE_CHOICE, 0, 0, normalizations, NULL, true, true, NULL,
      "x minus the training set's mean for each channel or pixel; or (x/255 - mean) / deviation" },
    { "dataset.normalization.mean", VALUE_REALS, -10, 10, NULL, NULL, false, true, NULL,
      "constants only: three numbers, R, G, B" },
    { "dataset.normalization.deviation", VALUE_REALS, 1e-6, 10, NULL, NULL, false, true, NULL,
      "constants only: three numbers, R, G, B" },
    { "dataset.archives", VALUE_MAPS, 0, 8, NULL, NULL, false, false, NULL,
      "cifar10 only: archives that hold the files, the preferred one first; [] removes inherited ones" },

    { "model.depth", VALUE_INTEGER, 8, 10000, NULL, NULL, true, true, NULL, "depth of the network, 6n+2" },
    { "model.shortcut", VALUE_CHOICE, 0, 0, shortcuts, NULL, true, true, NULL,
      "the shortcut where the shape changes. projection: a 1x1 convolution that starts as the identity; pad-end: "
      "option A with the zero channels last; pad-both: half of them first, half last; projection-bn: a 1x1 "
      "convolution with batch norm, which starts at random" },
    { "model.linear_bias", VALUE_CHOICE, 0, 0, biases, NULL, true, true, NULL,
      "bias of the linear layer. none: it has no bias; zero: it starts at 0; uniform: it starts uniform in +-1/8" },
    { "model.final_batch_norm", VALUE_BOOLEAN, 0, 0, NULL, "false", false, true, NULL, "batch norm over the logits" },
    { "model.batch_norm.epsilon", VALUE_REAL, 1e-12, 1, NULL, "0.00001", false, true, NULL, "added to the variance" },
    { "model.batch_norm.rate", VALUE_REAL, 0, 1, NULL, "0.1", false, true, NULL,
      "share of the new batch in the running statistics" },
    { "model.batch_norm.unbiased_variance", VALUE_BOOLEAN, 0, 0, NULL, "false", false, true, NULL,
      "whether the running variance is multiplied by M/(M-1)" },
    { "model.batch_norm.initial_variance", VALUE_REAL, 0, 1000, NULL, "1", false, true, NULL,
      "running variance before the first step" },

    { "training.epochs", VALUE_INTEGER, 1, 1000000, NULL, NULL, false, true, "training.steps",
      "length of the training in epochs (passes over the training set)" },
    { "training.steps", VALUE_INTEGER, 1, 1e9, NULL, NULL, false, true, "training.epochs",
      "length of the training in steps; give epochs or steps" },
    { "training.batch_size", VALUE_INTEGER, 1, 65536, NULL, "128", false, true, NULL, "images a step" },
    { "training.last_batch", VALUE_CHOICE, 0, 0, last_batches, NULL, true, true, NULL,
      "the last batch of a pass. continue: filled up from the next pass; short: smaller" },
    { "training.optimizer.form", VALUE_CHOICE, 0, 0, momentum_forms, NULL, true, true, NULL,
      "neon: v <- m v - lr (g + d w), w <- w + v; pytorch: v <- m v + (g + d w), w <- w - lr v" },
    { "training.optimizer.momentum", VALUE_REAL, 0, 0.9999, NULL, "0.9", false, true, NULL, "m" },
    { "training.optimizer.weight_decay", VALUE_REAL, 0, 1, NULL, "0.0001", false, true, NULL,
      "d, for every parameter" },
    { "training.schedule.learning_rate", VALUE_REAL, 1e-9, 1000, NULL, NULL, true, true, NULL,
      "lr before the first drop" },
    { "training.schedule.drop_factor", VALUE_REAL, 1e-9, 10, NULL, "0.1", false, true, NULL,
      "lr is multiplied by it at every drop" },
    { "training.schedule.drop_epochs", VALUE_INTEGERS, 1, 1000000, NULL, "[]", false, true,
      "training.schedule.drop_steps", "the drops come at the start of these epochs, from 0" },
    { "training.schedule.drop_steps", VALUE_INTEGERS, 1, 1e9, NULL, NULL, false, true, "training.schedule.drop_epochs",
      "the drops come before these steps, from 0; give drop_epochs or drop_steps, and drop_epochs: [] for no drops" },
    { "training.schedule.warmup.learning_rate", VALUE_REAL, 1e-9, 1000, NULL, NULL, false, true, NULL,
      "lr during a warm-up" },
    { "training.schedule.warmup.epochs", VALUE_INTEGER, 1, 1000000, NULL, NULL, false, true,
      "training.schedule.warmup.steps", "length of the warm-up in epochs" },
    { "training.schedule.warmup.steps", VALUE_INTEGER, 1, 1e9, NULL, NULL, false, true,
      "training.schedule.warmup.epochs", "length of the warm-up in steps; give epochs or steps" },
    { "training.augmentation.crop", VALUE_BOOLEAN, 0, 0, NULL, "true", false, true, NULL,
      "random 32x32 crops of the padded image" },
    { "training.augmentation.flip", VALUE_BOOLEAN, 0, 0, NULL, "true", false, true, NULL,
      "mirrored left to right with probability 1/2" },
    { "training.seed", VALUE_INTEGER, 0, LARGE, NULL, NULL, false, false, "training.seeds",
      "seed of everything random; enters the run's experiment digest" },
    { "training.seeds", VALUE_INTEGERS, 0, LARGE, NULL, NULL, false, false, "training.seed",
      "several seeds, each for a run, one after the other; give seed or seeds" },

    { "arithmetic", VALUE_CHOICE, 0, 0, arithmetics, "exact", false, true, NULL,
      "exact-1 (or exact) and exact-2: specified to the last bit; exact-2 is twice as fast on a CPU, with other "
      "bits. fast: computed by cuDNN and cuBLAS; the bits repeat only on one card and version" },
    { "precision", VALUE_CHOICE, 0, 0, precisions, NULL, false, true, NULL,
      "fast only: precision of products (weights are float32); default fp32" },

    { "weights.urls", VALUE_URLS, 0, 8, NULL, NULL, false, false, NULL,
      "URLs of pretrained weights, tried in this order" },
    { "weights.bytes", VALUE_INTEGER, 1, LARGE, NULL, NULL, false, false, NULL, "the file's size, bytes" },
    { "weights.md5", VALUE_HEX, 32, 32, NULL, NULL, false, false, NULL,
      "the file's MD5, which protects against damage but not against forgery" },
    { "weights.sha256", VALUE_DIGEST, 0, 0, NULL, NULL, false, false, "weights.sha256_prefix", "the file's SHA-256" },
    { "weights.sha256_prefix", VALUE_HEX, 8, 64, NULL, NULL, false, false, "weights.sha256",
      "the beginning of the file's SHA-256, if only that was published; give sha256 or sha256_prefix" },
    { "weights.format", VALUE_CHOICE, 0, 0, weights_formats, NULL, false, false, NULL,
      "the file's format; auto: recognised by its content" },
    { "weights.note", VALUE_TEXT, 0, 0, NULL, NULL, false, false, NULL, "a note about the weights" },

    { "curve.file", VALUE_TEXT, 0, 0, NULL, NULL, false, false, NULL,
      "a published curve to draw with the run's curve: a file in the plots folder" },
    { "curve.column", VALUE_NAME, 0, 0, NULL, NULL, false, false, NULL, "its column" },
    { "curve.source", VALUE_TEXT, 0, 0, NULL, NULL, false, false, NULL, "where it was published" },

    { "targets", VALUE_MAPS, 0, 64, NULL, NULL, false, false, NULL, "published results to compare a run with" },
};
const size_t schema_key_count = COUNT(schema_keys);

static const struct schema_key target_keys[] = {
    { "metric", VALUE_CHOICE, 0, 0, metrics, NULL, true, false, NULL,
      "final_error: validation error after the last epoch; best_error: the least of all epochs; in percent" },
    { "value", VALUE_REAL, 0, 100, NULL, NULL, true, false, NULL, "as published, percent" },
    { "tolerance", VALUE_REAL, 0, 100, NULL, NULL, true, false, NULL,
      "largest difference that counts as reproduced, percentage points" },
    { "source", VALUE_TEXT, 0, 0, NULL, NULL, true, false, NULL, "where it was published, and how it was measured" },
    { "n", VALUE_INTEGER, 1, 1000000, NULL, NULL, false, false, NULL,
      "runs that were made for the value; without it, one" },
    { "sd", VALUE_REAL, 1e-6, 100, NULL, NULL, false, false, NULL,
      "their standard deviation, percentage points; needs an n of 2 or more" },
    { "protocol", VALUE_CHOICE, 0, 0, protocols, NULL, false, false, NULL,
      "what the value is of the n runs: their mean (also without this key), their median, or the best of them" },
};

static const struct schema_key archive_keys[] = {
    { "urls", VALUE_URLS, 0, 8, NULL, NULL, true, false, NULL, "https, http or file URLs, tried in this order" },
    { "bytes", VALUE_INTEGER, 1, LARGE, NULL, NULL, true, false, NULL, "the archive's size, bytes" },
    { "md5", VALUE_HEX, 32, 32, NULL, NULL, false, false, NULL,
      "the archive's MD5, which protects against damage but not against forgery" },
    { "sha256", VALUE_DIGEST, 0, 0, NULL, NULL, false, false, NULL, "the archive's SHA-256" },
};

const struct schema_list schema_lists[] = {
    { "dataset.archives", archive_keys, COUNT(archive_keys) },
    { "targets", target_keys, COUNT(target_keys) },
};
const size_t schema_list_count = COUNT(schema_lists);

const struct schema_list *schema_list(const struct schema_key *key)
{
    for (size_t i = 0; i < schema_list_count; i++) {
        if (strcmp(schema_lists[i].path, key->path) == 0)
            return &schema_lists[i];
    }
    abort(); /* a list of maps without its row is a mistake in this file */
}

const struct schema_choice *schema_find_choice(const struct schema_choice *choices, const char *word)
{
    for (; choices != NULL && choices->word != NULL; choices++) {
        if (strcmp(choices->word, word) == 0)
            return choices;
    }
    return NULL;
}

void schema_print_words(const struct schema_choice *choices, char text[SCHEMA_WORDS_BYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (; choices != NULL && choices->word != NULL; choices++) {
        int bytes = snprintf(text + used, SCHEMA_WORDS_BYTES - used, "%s%s", used > 0 ? "|" : "", choices->word);
        used += (size_t)bytes;
        assert(used < SCHEMA_WORDS_BYTES);
    }
}

void schema_print_bounds(const struct schema_key *key, char text[SCHEMA_BOUNDS_BYTES])
{
    const bool real = key->type == VALUE_REAL || key->type == VALUE_REALS;
    int used = snprintf(text, SCHEMA_BOUNDS_BYTES, real ? "%.15g" : "%.0f", key->low);
    if (key->low < key->high)
        snprintf(text + used, SCHEMA_BOUNDS_BYTES - (size_t)used, real ? " to %.15g" : " to %.0f", key->high);
}
