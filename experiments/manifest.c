#include "experiments/manifest.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/schema.h"
#include "experiments/settings.h"
#include "trainer/dataset.h"
#include "trainer/exact.h"
#include "trainer/network.h"
#include "trainer/schedule.h"

/* ---- from settings to the recipe --------------------------------------------------------------------------------- */

static int choice(const struct settings *settings, const char *path)
{
    return settings_get(settings, path)->choice;
}

static double real(const struct settings *settings, const char *path)
{
    const struct setting *setting = settings_get(settings, path);
    return setting->given ? setting->numbers[0] : 0.0;
}

static bool truth(const struct settings *settings, const char *path)
{
    return strcmp(settings_get(settings, path)->text, "true") == 0;
}

static bool given(const struct settings *settings, const char *path)
{
    return settings_get(settings, path)->given;
}

static void fill_recipe(const struct settings *s, struct recipe *recipe)
{
    struct model_config *model = &recipe->model;
    model->depth = (uint32_t)real(s, "model.depth");
    model->shortcut = (enum shortcut)choice(s, "model.shortcut");
    model->linear_bias = (enum bias)choice(s, "model.linear_bias");
    model->final_batch_norm = truth(s, "model.final_batch_norm");
    model->batch_norm_epsilon = real(s, "model.batch_norm.epsilon");
    model->batch_norm_rate = real(s, "model.batch_norm.rate");
    model->batch_norm_unbiased = truth(s, "model.batch_norm.unbiased_variance");
    model->batch_norm_initial_variance = real(s, "model.batch_norm.initial_variance");

    struct input_config *input = &recipe->input;
    input->padding_pixels = (uint32_t)real(s, "dataset.padding.pixels");
    input->padding = (enum padding)choice(s, "dataset.padding.mode");
    input->normalization = (enum normalization)choice(s, "dataset.normalization.kind");
    for (int c = 0; c < 3 && input->normalization == NORMALIZE_CONSTANTS; c++) {
        input->mean[c] = settings_get(s, "dataset.normalization.mean")->numbers[c];
        input->deviation[c] = settings_get(s, "dataset.normalization.deviation")->numbers[c];
    }
    input->random_crop = truth(s, "training.augmentation.crop");
    input->random_flip = truth(s, "training.augmentation.flip");

    struct training_config *training = &recipe->training;
    training->batch_size = (uint32_t)real(s, "training.batch_size");
    training->last_batch = (enum last_batch)choice(s, "training.last_batch");
    training->length_unit = given(s, "training.epochs") ? UNIT_EPOCH : UNIT_STEP;
    training->length = (uint64_t)real(s, given(s, "training.epochs") ? "training.epochs" : "training.steps");
    training->momentum_form = (enum momentum_form)choice(s, "training.optimizer.form");
    training->momentum = real(s, "training.optimizer.momentum");
    training->weight_decay = real(s, "training.optimizer.weight_decay");

    struct schedule_config *schedule = &training->schedule;
    const bool by_step = given(s, "training.schedule.drop_steps");
    const struct setting *drops =
        settings_get(s, by_step ? "training.schedule.drop_steps" : "training.schedule.drop_epochs");
    schedule->learning_rate = real(s, "training.schedule.learning_rate");
    schedule->drop_factor = real(s, "training.schedule.drop_factor");
    schedule->drop_unit = by_step ? UNIT_STEP : UNIT_EPOCH;
    schedule->drop_count = drops->given ? (uint32_t)drops->count : 0;
    for (uint32_t i = 0; i < schedule->drop_count; i++)
        schedule->drops[i] = (uint64_t)drops->numbers[i];
    schedule->warmup_learning_rate = real(s, "training.schedule.warmup.learning_rate");
    schedule->warmup_unit = given(s, "training.schedule.warmup.epochs") ? UNIT_EPOCH : UNIT_STEP;
    schedule->warmup_length = (uint64_t)real(s, schedule->warmup_unit == UNIT_EPOCH ? "training.schedule.warmup.epochs"
                                                                                    : "training.schedule.warmup.steps");
}

/* ---- what a table of single keys cannot say ---------------------------------------------------------------------- */

static enum status check_dataset(const struct settings *s, struct error *error)
{
    const bool embedded = choice(s, "dataset.kind") == DATASET_EMBEDDED;
    static const char *const counts[] = { "dataset.training_images", "dataset.test_images" };
    for (int i = 0; i < 2; i++) {
        if (embedded != given(s, counts[i]))
            return settings_conflict(s, (const char *[]){ counts[i], "dataset.kind", NULL }, error,
                                     embedded ? "an embedded data set needs it"
                                              : "only for an embedded data set; CIFAR-10 has its own size");
    }
    const bool constants = choice(s, "dataset.normalization.kind") == NORMALIZE_CONSTANTS;
    static const char *const numbers[] = { "dataset.normalization.mean", "dataset.normalization.deviation" };
    for (int i = 0; i < 2; i++) {
        if (constants != given(s, numbers[i]))
            return settings_conflict(s, (const char *[]){ numbers[i], "dataset.normalization.kind", NULL }, error,
                                     constants ? "normalization.kind: constants needs it"
                                               : "only normalization.kind: constants uses it");
        if (constants && settings_get(s, numbers[i])->count != 3)
            return settings_error(s, numbers[i], error, "must be three numbers: red, green, blue");
    }
    if (choice(s, "dataset.normalization.kind") == NORMALIZE_PIXEL_MEAN &&
        choice(s, "dataset.padding.mode") != PADDING_ZERO)
        return settings_conflict(s, (const char *[]){ "dataset.padding.mode", "dataset.normalization.kind", NULL },
                                 error,
                                 "must be zero with normalization.kind: pixel-mean, because a border has no "
                                 "pixel mean");
    return STATUS_OK;
}

/* Of two rival keys exactly one, or at most one. */
static enum status check_rivals(const struct settings *s, const char *one, const char *other, bool needed,
                                struct error *error)
{
    if (given(s, one) && given(s, other))
        return settings_error(s, other, error, "cannot be given together with %s; give one of the two", one);
    if (needed && !given(s, one) && !given(s, other))
        return settings_error(s, one, error, "is missing, and so is %s; give one of the two", other);
    return STATUS_OK;
}

/* The other keys that set the length of a training; messages are about the first. */
#define WITH_LENGTH(path)                                                                                            \
    (const char *[])                                                                                                 \
    {                                                                                                                \
        path, "training.epochs", "training.steps", "training.batch_size", "dataset.training_images", "dataset.kind", \
            NULL                                                                                                     \
    }

static enum status check_drops(const struct settings *s, const struct training_config *training, uint32_t images,
                               struct error *error)
{
    const struct schedule_config *schedule = &training->schedule;
    const char *path =
        schedule->drop_unit == UNIT_STEP ? "training.schedule.drop_steps" : "training.schedule.drop_epochs";
    const uint64_t steps = schedule_steps(training, images);
    for (uint32_t i = 0; i < schedule->drop_count; i++) {
        uint64_t drop = schedule->drops[i];
        if (i > 0 && drop <= schedule->drops[i - 1])
            return settings_error(s, path, error, "%" PRIu64 " comes after %" PRIu64 "; drops must increase", drop,
                                  schedule->drops[i - 1]);
        uint64_t step = schedule->drop_unit == UNIT_STEP ? drop : schedule_epoch_end(training, images, drop - 1);
        if (step >= steps)
            return settings_conflict(s, WITH_LENGTH(path), error,
                                     "a drop at %" PRIu64 " comes after the training, which has %" PRIu64 " epoch%s, "
                                     "%" PRIu64 " steps; for no drops write training: {schedule: {drop_epochs: []}}",
                                     drop, schedule_epochs(training, images),
                                     schedule_epochs(training, images) == 1 ? "" : "s", steps);
    }
    return STATUS_OK;
}

static enum status check_warmup(const struct settings *s, const struct training_config *training, uint32_t images,
                                struct error *error)
{
    const struct schedule_config *schedule = &training->schedule;
    static const char rate[] = "training.schedule.warmup.learning_rate";
    const char *path = given(s, "training.schedule.warmup.epochs") ? "training.schedule.warmup.epochs"
                                                                   : "training.schedule.warmup.steps";
    enum status status =
        check_rivals(s, "training.schedule.warmup.epochs", "training.schedule.warmup.steps", given(s, rate), error);
    if (status != STATUS_OK)
        return status;
    if (schedule->warmup_length == 0)
        return STATUS_OK;
    if (!given(s, rate))
        return settings_error(s, rate, error, "a warm-up needs it");
    uint64_t end = schedule->warmup_unit == UNIT_STEP
                       ? schedule->warmup_length
                       : schedule_epoch_end(training, images, schedule->warmup_length - 1);
    if (end >= schedule_steps(training, images))
        return settings_conflict(s, WITH_LENGTH(path), error, "a warm-up of %" PRIu64 " takes up the whole training",
                                 schedule->warmup_length);
    return STATUS_OK;
}

/* Before the recipe, which has room for so many, is filled. */
static enum status check_drop_count(const struct settings *s, struct error *error)
{
    const struct setting *epochs = settings_get(s, "training.schedule.drop_epochs"),
                         *steps = settings_get(s, "training.schedule.drop_steps");
    const struct setting *drops = steps->given ? steps : epochs;
    if (drops->count > SCHEDULE_DROPS_MAX)
        return settings_error(s, drops->key->path, error, "has %zu drops; at most %d are allowed", drops->count,
                              SCHEDULE_DROPS_MAX);
    if (steps->given && steps->count == 0)
        return settings_error(s, steps->key->path, error, "is an empty list; write drop_epochs: [] for no drops");
    return STATUS_OK;
}

static enum status check_sources(const struct settings *s, struct error *error)
{
    const struct setting *archives = settings_get(s, "dataset.archives");
    if (archives->count > 0 && choice(s, "dataset.kind") == DATASET_EMBEDDED)
        return settings_conflict(s, (const char *[]){ "dataset.archives", "dataset.kind", NULL }, error,
                                 "an embedded data set needs no archive; write archives: []");
    for (size_t i = 0; i < archives->count; i++) {
        if (!settings_of_entry(archives, i, "md5")->given && !settings_of_entry(archives, i, "sha256")->given)
            return settings_error(s, "dataset.archives", error,
                                  "entry %zu has neither sha256 nor md5, so its bytes cannot be checked; give one of "
                                  "the two",
                                  i + 1);
    }
    return check_rivals(s, "weights.sha256", "weights.sha256_prefix", false, error);
}

/* A published curve has a file, its column and its source, or there is none. */
static enum status check_curve(const struct settings *s, struct error *error)
{
    static const char *const paths[] = { "curve.file", "curve.column", "curve.source" };
    for (int i = 0; i < 3; i++) {
        if (!given(s, paths[i]) && (given(s, paths[0]) || given(s, paths[1]) || given(s, paths[2])))
            return settings_error(s, paths[i], error, "is missing; a curve needs file, column and source");
    }
    return STATUS_OK;
}

static enum status check_training(const struct settings *s, const struct recipe *recipe, uint32_t images,
                                  struct error *error)
{
    const struct training_config *training = &recipe->training;
    enum status status = check_rivals(s, "training.epochs", "training.steps", true, error);
    if (status == STATUS_OK)
        status = check_rivals(s, "training.schedule.drop_epochs", "training.schedule.drop_steps", false, error);
    if (status == STATUS_OK)
        status = check_rivals(s, "training.seed", "training.seeds", true, error);
    if (status == STATUS_OK && training->batch_size > images)
        status = settings_conflict(
            s, (const char *[]){ "training.batch_size", "dataset.training_images", "dataset.kind", NULL }, error,
            "%u images a step are more than the training set has, %u", training->batch_size, images);
    if (status == STATUS_OK)
        status = check_drops(s, training, images, error);
    if (status == STATUS_OK)
        status = check_warmup(s, training, images, error);
    return status;
}

static enum status check_seeds(const struct settings *s, struct error *error)
{
    const struct setting *seeds = settings_get(s, "training.seeds");
    for (size_t i = 0; i < seeds->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (seeds->numbers[i] == seeds->numbers[j])
                return settings_error(s, "training.seeds", error, "%.0f is given twice", seeds->numbers[i]);
        }
    }
    if (seeds->given && seeds->count == 0)
        return settings_error(s, "training.seeds", error, "is an empty list; give at least one seed");
    return STATUS_OK;
}

/* ---- putting it together ----------------------------------------------------------------------------------------- */

static enum status fill_texts(const struct settings *s, struct manifest *manifest, struct error *error)
{
    const struct {
        const char *path;
        char **text;
    } texts[] = { { "name", &manifest->name },
                  { "description", &manifest->description },
                  { "dataset.note", &manifest->note },
                  { "weights.note", &manifest->weights_note },
                  { "curve.file", &manifest->curve_file },
                  { "curve.column", &manifest->curve_column },
                  { "curve.source", &manifest->curve_source } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!given(s, texts[i].path))
            continue;
        *texts[i].text = strdup(settings_get(s, texts[i].path)->text);
        if (*texts[i].text == NULL)
            return error_out_of_memory(error, "the manifest %s", s->name);
    }
    return STATUS_OK;
}

static enum status fill_urls(const struct setting *urls, struct manifest_source *source, struct error *error)
{
    source->urls = calloc(urls->count + 1, sizeof *source->urls);
    if (source->urls == NULL)
        return error_out_of_memory(error, "the URLs of a manifest");
    for (size_t i = 0; i < urls->count; i++) {
        source->urls[i] = strdup(urls->node->children[i]->text);
        if (source->urls[i] == NULL)
            return error_out_of_memory(error, "the URLs of a manifest");
        source->url_count++;
    }
    return STATUS_OK;
}

static void fill_facts(const struct setting *bytes, const struct setting *md5, const struct setting *sha256,
                       struct manifest_source *source)
{
    source->bytes = bytes->given ? (uint64_t)bytes->numbers[0] : 0;
    snprintf(source->md5, sizeof source->md5, "%s", md5->given ? md5->text : "");
    snprintf(source->sha256, sizeof source->sha256, "%s", sha256->given ? sha256->text : "");
}

static enum status fill_sources(const struct settings *s, struct manifest *manifest, struct error *error)
{
    const struct setting *archives = settings_get(s, "dataset.archives"),
                         *prefix = settings_get(s, "weights.sha256_prefix");
    manifest->archives = calloc(archives->count + 1, sizeof *manifest->archives);
    if (manifest->archives == NULL)
        return error_out_of_memory(error, "the sources of a manifest");
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < archives->count; i++) {
        fill_facts(settings_of_entry(archives, i, "bytes"), settings_of_entry(archives, i, "md5"),
                   settings_of_entry(archives, i, "sha256"), &manifest->archives[i]);
        manifest->archive_count++;
        status = fill_urls(settings_of_entry(archives, i, "urls"), &manifest->archives[i], error);
    }
    fill_facts(settings_get(s, "weights.bytes"), settings_get(s, "weights.md5"), settings_get(s, "weights.sha256"),
               &manifest->weights);
    snprintf(manifest->weights.sha256_prefix, sizeof manifest->weights.sha256_prefix, "%s",
             prefix->given ? prefix->text : "");
    manifest->weights_format =
        given(s, "weights.format") ? (enum weights_format)choice(s, "weights.format") : WEIGHTS_AUTO;
    if (status == STATUS_OK && given(s, "weights.urls"))
        status = fill_urls(settings_get(s, "weights.urls"), &manifest->weights, error);
    return status;
}

/* A target's own spread, and what its value is of several runs. */
static enum status check_target(const struct settings *s, const struct setting *targets, size_t i, struct error *error)
{
    const struct setting *n = settings_of_entry(targets, i, "n"), *sd = settings_of_entry(targets, i, "sd"),
                         *protocol = settings_of_entry(targets, i, "protocol");
    const bool several = n->given && n->numbers[0] >= 2.0;
    if (sd->given && !several)
        return settings_error(s, "targets", error, "entry %zu has an sd, which needs an n of 2 or more", i + 1);
    if (protocol->given && protocol->choice != PROTOCOL_MEAN && !several)
        return settings_error(s, "targets", error, "entry %zu has the protocol %s, which needs an n of 2 or more",
                              i + 1, protocol->text);
    return STATUS_OK;
}

static enum status fill_targets(const struct settings *s, struct manifest *manifest, struct error *error)
{
    const struct setting *targets = settings_get(s, "targets");
    manifest->target_count = targets->count;
    manifest->targets = calloc(targets->count + 1, sizeof *manifest->targets);
    if (manifest->targets == NULL)
        return error_out_of_memory(error, "the targets of a manifest");
    for (size_t i = 0; i < targets->count; i++) {
        const struct setting *n = settings_of_entry(targets, i, "n"), *sd = settings_of_entry(targets, i, "sd"),
                             *protocol = settings_of_entry(targets, i, "protocol");
        enum status status = check_target(s, targets, i, error);
        if (status != STATUS_OK)
            return status;
        manifest->targets[i] =
            (struct manifest_target){ .best = settings_of_entry(targets, i, "metric")->choice == METRIC_BEST_ERROR,
                                      .value = settings_of_entry(targets, i, "value")->numbers[0],
                                      .tolerance = settings_of_entry(targets, i, "tolerance")->numbers[0],
                                      .source = strdup(settings_of_entry(targets, i, "source")->text),
                                      .n = n->given ? (uint64_t)n->numbers[0] : 1,
                                      .sd = sd->given ? sd->numbers[0] : NAN,
                                      .protocol = protocol->given ? (enum protocol)protocol->choice : PROTOCOL_MEAN };
        if (manifest->targets[i].source == NULL)
            return error_out_of_memory(error, "the targets of a manifest");
    }
    return STATUS_OK;
}

/* In an experiment's lines the exact arithmetics have one name; the line of the version is different. */
static void version_apart(char *experiment)
{
    static const char line[] = "\narithmetic=exact";
    char *found = strstr(experiment, "\narithmetic=exact-2\n");
    if (found != NULL)
        memmove(found + strlen(line), found + strlen(line) + strlen("-2"),
                strlen(found + strlen(line) + strlen("-2")) + 1);
}

static enum status fill(const struct settings *s, struct manifest *manifest, struct error *error)
{
    enum status status = check_dataset(s, error);
    if (status == STATUS_OK)
        status = check_seeds(s, error);
    if (status == STATUS_OK)
        status = check_drop_count(s, error);
    if (status == STATUS_OK)
        status = check_curve(s, error);
    if (status == STATUS_OK)
        status = check_sources(s, error);
    if (status != STATUS_OK)
        return status;
    const enum arithmetic arithmetic = (enum arithmetic)choice(s, "arithmetic");
    if (given(s, "precision") && arithmetic != ARITHMETIC_FAST)
        return settings_conflict(s, (const char *[]){ "precision", "arithmetic", NULL }, error,
                                 "only arithmetic: fast can have another precision; exact arithmetic is float32 "
                                 "throughout");
    manifest->dataset_kind = (enum dataset_kind)choice(s, "dataset.kind");
    manifest->training_images = manifest->dataset_kind == DATASET_EMBEDDED
                                    ? (uint32_t)real(s, "dataset.training_images")
                                    : CIFAR10_TRAINING_IMAGES;
    manifest->test_images =
        manifest->dataset_kind == DATASET_EMBEDDED ? (uint32_t)real(s, "dataset.test_images") : CIFAR10_TEST_IMAGES;
    fill_recipe(s, &manifest->recipe);
    manifest->recipe.arithmetic = arithmetic;
    manifest->recipe.precision = given(s, "precision") ? (enum precision)choice(s, "precision") : PRECISION_FP32;
    struct error depth_error;
    if (network_check_depth(manifest->recipe.model.depth, &depth_error) != STATUS_OK)
        return settings_error(s, "model.depth", error, "%s", depth_error.message);
    status = check_training(s, &manifest->recipe, manifest->training_images, error);
    if (status != STATUS_OK)
        return status;
    const struct setting *seeds = settings_get(s, given(s, "training.seeds") ? "training.seeds" : "training.seed");
    manifest->seed_count = seeds->count;
    manifest->seeds = calloc(seeds->count + 1, sizeof *manifest->seeds);
    manifest->resolved = settings_resolved(s);
    manifest->experiment = settings_experiment(s);
    if (manifest->seeds == NULL || manifest->resolved == NULL || manifest->experiment == NULL)
        return error_out_of_memory(error, "the manifest %s", s->name);
    status = fill_texts(s, manifest, error);
    if (status != STATUS_OK)
        return status;
    version_apart(manifest->experiment);
    for (size_t i = 0; i < seeds->count; i++)
        manifest->seeds[i] = (uint64_t)seeds->numbers[i];
    manifest->recipe.training.seed = manifest->seeds[0];
    snprintf(manifest->train_sha256, sizeof manifest->train_sha256, "%s",
             settings_get(s, "dataset.train_sha256")->text);
    const char *test = settings_get(s, "dataset.test_sha256")->text;
    snprintf(manifest->test_sha256, sizeof manifest->test_sha256, "%s", strcmp(test, "any") == 0 ? "" : test);
    sha256_hex(manifest->resolved, strlen(manifest->resolved), manifest->sha256);
    status = fill_sources(s, manifest, error);
    return status == STATUS_OK ? fill_targets(s, manifest, error) : status;
}

/* exact is another word for exact-1, and the canonical one. */
static void canonical_arithmetic(struct settings *settings)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        struct setting *setting = &settings->settings[i];
        if (strcmp(setting->key->path, "arithmetic") == 0 && strcmp(setting->text, "exact-1") == 0)
            setting->text[strlen("exact")] = '\0';
    }
}

static enum status finish(struct settings *settings, enum status status, const char *path, struct manifest *manifest,
                          struct error *error)
{
    memset(manifest, 0, sizeof *manifest);
    if (status == STATUS_OK)
        canonical_arithmetic(settings);
    if (status == STATUS_OK)
        status = fill(settings, manifest, error);
    settings_free(settings);
    if (status == STATUS_OK) {
        manifest->path = strdup(path);
        if (manifest->path == NULL)
            status = error_out_of_memory(error, "the manifest %s", path);
    }
    if (status != STATUS_OK)
        manifest_free(manifest);
    return status;
}

enum status manifest_read(const char *path, struct manifest *manifest, struct error *error)
{
    struct settings settings;
    enum status status = settings_read(path, &settings, error);
    return finish(&settings, status, path, manifest, error);
}

enum status manifest_read_text(const char *text, size_t bytes, const char *name, struct manifest *manifest,
                               struct error *error)
{
    struct settings settings;
    enum status status = settings_read_text(text, bytes, name, &settings, error);
    return finish(&settings, status, name, manifest, error);
}

enum status manifest_read_resolved(const char *text, size_t bytes, const char *name, struct manifest *manifest,
                                   struct error *error)
{
    struct settings settings;
    enum status status = settings_read_resolved(text, bytes, name, &settings, error);
    return finish(&settings, status, name, manifest, error);
}

enum status manifest_read_installed(const char *path, struct manifest *manifest, bool *there, struct error *error)
{
    struct settings settings;
    enum status status = settings_read_installed(path, &settings, there, error);
    if (*there || status != STATUS_OK)
        return finish(&settings, status, path, manifest, error);
    memset(manifest, 0, sizeof *manifest);
    return STATUS_OK;
}

/* The manifest read again from its resolved text, in which the value on the line that begins with `key` is another. */
static enum status read_with(const struct manifest *manifest, const char *key, const char *value,
                             struct manifest *other, struct error *error)
{
    const char *line = strstr(manifest->resolved, key), *rest = line != NULL ? strchr(line + 1, '\n') : NULL;
    char *text = NULL;
    if (rest == NULL)
        abort();
    int bytes = asprintf(&text, "%.*s%s: %s%s", (int)(line - manifest->resolved), manifest->resolved, key, value, rest);
    if (bytes < 0)
        return error_out_of_memory(error, "the manifest %s", manifest->path);
    enum status status = manifest_read_resolved(text, (size_t)bytes, manifest->path, other, error);
    free(text);
    return status;
}

enum status manifest_with_arithmetic(const struct manifest *manifest, enum arithmetic arithmetic,
                                     struct manifest *other, struct error *error)
{
    return read_with(manifest, "\narithmetic", arithmetic_version(arithmetic), other, error);
}

enum status manifest_with_seed(const struct manifest *manifest, uint64_t seed, struct manifest *one,
                               struct error *error)
{
    char value[24];
    snprintf(value, sizeof value, "%" PRIu64, seed);
    return read_with(manifest, "\n  seed", value, one, error); /* of the section training: seed, or seeds */
}

enum status manifest_with_test_data(const struct manifest *manifest, const char *sha256, struct manifest *one,
                                    struct error *error)
{
    return read_with(manifest, "\n  test_sha256", sha256, one, error);
}

static void free_urls(struct manifest_source *source)
{
    for (size_t i = 0; i < source->url_count; i++)
        free(source->urls[i]);
    free(source->urls);
}

void manifest_free(struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->archive_count; i++)
        free_urls(&manifest->archives[i]);
    free(manifest->archives);
    free_urls(&manifest->weights);
    free(manifest->weights_note);
    for (size_t i = 0; manifest->targets != NULL && i < manifest->target_count; i++)
        free(manifest->targets[i].source);
    free(manifest->targets);
    free(manifest->seeds);
    free(manifest->path);
    free(manifest->name);
    free(manifest->description);
    free(manifest->note);
    free(manifest->curve_file);
    free(manifest->curve_column);
    free(manifest->curve_source);
    free(manifest->resolved);
    free(manifest->experiment);
    memset(manifest, 0, sizeof *manifest);
}

const char *manifest_data_name(const struct manifest *manifest)
{
    return manifest->dataset_kind == DATASET_CIFAR10 ? "CIFAR-10" : "the embedded data set";
}

const char *manifest_test_mark(const struct manifest *manifest, const char *test_sha256)
{
    const bool cifar10 = manifest->dataset_kind == DATASET_CIFAR10;
    const char *own = cifar10 ? CIFAR10_TEST_SHA256 : manifest->test_sha256;
    if (test_sha256[0] == '\0' || own[0] == '\0' || strcmp(test_sha256, own) == 0)
        return NULL;
    return cifar10 ? "not CIFAR-10's test set" : "not the manifest's test data";
}

void manifest_experiment_digest(const struct manifest *manifest, uint64_t seed, char hex[DIGEST_HEX_BYTES])
{
    struct sha256 hash;
    uint8_t digest[DIGEST_BYTES];
    char lines[80];
    snprintf(lines, sizeof lines, "seed=%" PRIu64 "\nversion=%s\n", seed,
             arithmetic_version(manifest->recipe.arithmetic));
    sha256_start(&hash);
    sha256_add(&hash, manifest->experiment, strlen(manifest->experiment));
    sha256_add(&hash, lines, strlen(lines));
    sha256_finish(&hash, digest);
    digest_to_hex(digest, hex);
}
