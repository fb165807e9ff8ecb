/* selfsame eval: the test error of trained weights. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "commands/eval_report.h"
#include "commands/weights_options.h"
#include "experiments/catalog.h"
#include "fetch/data/load.h"
#include "fetch/obtain.h"
#include "results/record.h"
#include "results/weights_check.h"
#include "trainer/engine.h"

/* The manifest of the run that made the weights: in their folder or, for a checkpoint, one folder up. "" where there is
 * none. */
static enum status find_beside(const char *path, char found[FILE_PATH_BYTES], struct error *error)
{
    static const char *const folders[] = { "", "../" };
    const char *slash = strrchr(path, '/');
    int length = slash != NULL ? (int)(slash - path + 1) : 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        enum status status = file_path(found, error, "%.*s%s%s", length, path, folders[i], RECORD_MANIFEST_FILE);
        if (status != STATUS_OK || file_exists(found))
            return status;
    }
    found[0] = '\0';
    return STATUS_OK;
}

/* Finds the manifest of the weights: the one that was named, else their run's, else the one in the experiments folder
 * that names the file. */
static enum status find_manifest(const char *named, const char *path, const struct weights *weights,
                                 struct manifest *manifest, struct error *error)
{
    char found[FILE_PATH_BYTES];
    if (named != NULL)
        return manifest_read(named, manifest, error);
    enum status status = find_beside(path, found, error);
    if (status != STATUS_OK)
        return status;
    if (found[0] != '\0')
        return manifest_read(found, manifest, error);
    status = catalog_find_weights(weights->sha256, found, error);
    if (status != STATUS_OK)
        return status;
    if (found[0] == '\0')
        return error_set(error, STATUS_INPUT,
                         "cannot tell which network these weights belong to: there is no manifest next to %s, and no "
                         "manifest in the experiments folder names its SHA-256, %s; name one with --manifest",
                         path, weights->sha256);
    text_line(stderr, "selfsame eval: %s names these weights", found);
    return manifest_read(found, manifest, error);
}

/* The weights' file: the one that was named, else the manifest's in the store. */
static enum status find_weights(const struct arguments *arguments, char path[FILE_PATH_BYTES], struct error *error)
{
    const char *weights = arguments_text(arguments, "weights"), *named = arguments_text(arguments, "manifest");
    struct manifest manifest;
    struct store store;
    if (weights != NULL)
        return file_path(path, error, "%s", weights);
    if (named == NULL)
        return error_set(error, STATUS_INPUT,
                         "needs --weights FILE, or --manifest FILE of one that names weights; selfsame eval "
                         "--help says more");
    enum status status = manifest_read(named, &manifest, error);
    if (status != STATUS_OK)
        return status;
    path[0] = '\0';
    if (manifest.weights.sha256[0] == '\0' && manifest.weights.sha256_prefix[0] == '\0' &&
        manifest.weights.md5[0] == '\0')
        status = error_set(error, STATUS_INPUT, "the manifest %s names no file of weights; name one with --weights",
                           manifest.name);
    if (status == STATUS_OK)
        status = store_open(&store, NULL, error);
    if (status == STATUS_OK)
        status = obtain_find_weights(&store, &manifest, path, error);
    manifest_free(&manifest);
    return status;
}

/* A manifest that means this very file may also say what it is. */
static enum status check_format(const struct manifest *manifest, const char *path, const struct weights *weights,
                                struct error *error)
{
    if (!catalog_names(&manifest->weights, weights->sha256) || weights_has_format(weights, manifest->weights_format))
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s is in the format %s, but the manifest %s names another one (weights.format)", path,
                     weights_container_name(weights->container), manifest->name);
}

/* One line for each image: its number from 0, its label, what was predicted. */
static enum status write_predictions(const char *path, const struct dataset *test, const uint8_t *predictions,
                                     struct error *error)
{
    enum { LINE_BYTES = 32 };
    static const char heading[] = "image\tlabel\tprediction\n";
    char *text = malloc(sizeof heading + (size_t)test->count * LINE_BYTES);
    if (text == NULL)
        return error_out_of_memory(error, "the predictions of %" PRIu32 " images", test->count);
    size_t used = sizeof heading - 1;
    memcpy(text, heading, used);
    for (uint32_t i = 0; i < test->count; i++)
        used += (size_t)snprintf(text + used, LINE_BYTES, "%" PRIu32 "\t%d\t%d\n", i, test->labels[i], predictions[i]);
    enum status status = file_write(path, text, used, error);
    free(text);
    return status;
}

static enum status evaluate(const struct arguments *arguments, const struct network *network, const float *values,
                            struct evaluation *evaluation, struct error *error)
{
    const struct manifest *manifest = &evaluation->manifest;
    struct engine_options options = { .threads = (uint32_t)arguments_integer(arguments, "threads", 0),
                                      .isa = arguments_text(arguments, "isa"),
                                      .inference = true };
    const struct data_options data = { .place = arguments_text(arguments, "data"),
                                       .any_test_data = arguments_flag(arguments, "any-test-data") };
    const bool needs_training = manifest->recipe.input.normalization != NORMALIZE_CONSTANTS;
    struct dataset training = { .count = 0 };
    const struct engine_operations *operations;
    struct engine *engine = NULL;
    struct recipe recipe = manifest->recipe;
    recipe.arithmetic = arguments_arithmetic(arguments, recipe.arithmetic);
    enum status status = engine_choose(arguments_text(arguments, "engine"), recipe.arithmetic, &operations, error);
    if (status == STATUS_OK)
        status = data_load(manifest, &data, needs_training ? &training : NULL, &evaluation->test, error);
    if (status != STATUS_OK)
        return status;
    const struct dataset *test = &evaluation->test;
    float *momentum = calloc(network->value_count, sizeof *momentum);
    evaluation->predictions = malloc(test->count);
    if (evaluation->predictions == NULL || momentum == NULL)
        status = error_out_of_memory(error, "the predictions of %" PRIu32 " images", test->count);
    if (status == STATUS_OK)
        status = operations->open(&engine, &recipe, network, needs_training ? &training : NULL, test, &options, error);
    if (status == STATUS_OK)
        status = operations->set_state(engine, values, momentum, error);
    if (status == STATUS_OK)
        status = operations->evaluate(engine, evaluation->predictions, &evaluation->loss, error);
    if (engine != NULL)
        operations->close(engine);
    free(momentum);
    dataset_free(&training);
    return status;
}

/* Evaluates a file of weights, by the manifest that was named, or its own. The caller frees with evaluation_free, also
 * after an error. */
static enum status evaluate_file(const struct arguments *arguments, const char *path, const char *named,
                                 struct evaluation *evaluation, struct error *error)
{
    struct weights weights;
    struct manifest *manifest = &evaluation->manifest;
    struct network *network = NULL;
    float *values = NULL;
    *evaluation = (struct evaluation){ .path = path };
    enum status status =
        weights_open(&weights, path, &(struct weights_options){ .key = arguments_text(arguments, "key") }, error);
    if (status != STATUS_OK)
        return status;
    weights_tell(arguments->command->name, path, &weights);
    status = find_manifest(named, path, &weights, manifest, error);
    if (status != STATUS_OK) {
        weights_close(&weights);
        return status;
    }
    if (arguments_text(arguments, "weights") == NULL && !catalog_names(&manifest->weights, weights.sha256) &&
        manifest->weights.md5[0] == '\0' && named != NULL)
        status = error_set(error, STATUS_INPUT,
                           "the stored weights %s are damaged: their SHA-256 is %s; selfsame fetch %s downloads them "
                           "again",
                           path, weights.sha256, manifest->path);
    if (status == STATUS_OK)
        status = check_format(manifest, path, &weights, error);
    if (status == STATUS_OK)
        status = network_open(&network, &manifest->recipe.model, error);
    if (status == STATUS_OK) {
        values = calloc(network->value_count, sizeof *values);
        status = values != NULL ? weights_fill(&weights, path, network, values, error)
                                : error_out_of_memory(error, "%zu weights", network->value_count);
    }
    weights_close(&weights);
    if (status == STATUS_OK)
        status = weights_check_used(path, network, values, error);
    if (status == STATUS_OK)
        status = evaluate(arguments, network, values, evaluation, error);
    free(values);
    network_close(network);
    return status;
}

/* The predictions of two files are of the same images, or there is nothing to test. */
static enum status check_same_images(const struct evaluation *first, const struct evaluation *second,
                                     struct error *error)
{
    if (first->test.count == second->test.count &&
        memcmp(first->test.labels, second->test.labels, first->test.count) == 0 &&
        strcmp(first->test.sha256, second->test.sha256) == 0)
        return STATUS_OK;
    return error_set(
        error, STATUS_INPUT,
        "the manifests of %s and %s evaluate them on different images, %" PRIu32 " of SHA-256 %.16s... and "
        "%" PRIu32 " of %.16s...",
        first->path, second->path, first->test.count, first->test.sha256, second->test.count, second->test.sha256);
}

static enum status run_eval(const struct arguments *arguments, struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct evaluation first = { .path = NULL }, second = { .path = NULL };
    const char *predictions = arguments_text(arguments, "predictions"), *against = arguments_text(arguments, "against");
    enum status status = predictions != NULL ? arguments_may_write(arguments, predictions, error) : STATUS_OK;
    if (status == STATUS_OK)
        status = find_weights(arguments, path, error);
    if (status == STATUS_OK)
        status = evaluate_file(arguments, path, arguments_text(arguments, "manifest"), &first, error);
    if (status == STATUS_OK && against != NULL)
        status = evaluate_file(arguments, against, NULL, &second, error);
    if (status == STATUS_OK && against != NULL)
        status = check_same_images(&first, &second, error);
    if (status == STATUS_OK)
        status = evaluation_print(arguments, &first, against != NULL ? &second : NULL, error);
    if (status == STATUS_OK && predictions != NULL)
        status = write_predictions(predictions, &first.test, first.predictions, error);
    evaluation_free(&first);
    evaluation_free(&second);
    return status;
}

static const struct option_definition eval_options[] = {
    { "weights", "FILE", OPTION_TEXT, 0, 0, NULL,
      "the weights, in any format that selfsame inspect knows; default: the manifest's, "
      "from the store" },
    { "manifest", "MANIFEST", OPTION_TEXT, 0, 0, NULL,
      "the manifest of their network and data; default: manifest.yaml next to the weights, else the installed "
      "manifest that names the file's SHA-256 or its beginning" },
    { "against", "FILE", OPTION_TEXT, 0, 0, NULL,
      "evaluate these weights, too, and test with McNemar's test whether the two err equally often; their manifest is "
      "found as above" },
    { "per-class", NULL, OPTION_FLAG, 0, 0, NULL, "also print the errors of each class, and the confusion matrix" },
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|json", "text or json; default: text" },
    OPTION_KEY,
    OPTION_DATA,
    OPTION_ANY_TEST_DATA,
    { "predictions", "FILE", OPTION_TEXT, 0, 0, NULL,
      "write each test image's number, label and prediction, tab-separated, to FILE" },
    OPTION_FORCE,
    OPTION_ARITHMETIC,
    OPTION_ENGINE,
    OPTION_THREADS,
    OPTION_ISA,
    OPTIONS_END,
};

const struct command eval_command = {
    .name = "eval",
    .operands = "",
    .summary = "measure the test error of trained weights",
    .description =
        "Predicts the class of every test image with weights from a file. It prints how many predictions are wrong, "
        "and the mean cross entropy. The file's format is recognised by its content, and the usual names of tensors "
        "are known. If a file cannot be evaluated, selfsame inspect says why.\n\n"
        "The test images are a sample. The interval next to the error is what their number alone leaves open (Wilson's "
        "interval of 95 %). It says nothing about other seeds.\n\n"
        "--per-class prints a line for each class, and the confusion matrix: row, the label; column, the "
        "prediction.\n\n"
        "--against evaluates a second file on the same images, and counts the images that only one of the two gets "
        "right. McNemar's test says how likely such counts are if both err equally often: exactly, by the binomial "
        "distribution, and by chi square with the correction for continuity. The test is about these two files, not "
        "about the recipes that made them: selfsame compare --statistics compares those.",
    .options = eval_options,
    .examples = "selfsame eval --weights runs/quick-resnet20-seed1/weights.safetensors\ta run's last epoch\n"
                "selfsame eval --weights resnet20-12fca82f.th --data cifar-10\ta published file; its SHA-256 leads "
                "to its manifest\n"
                "selfsame eval --weights a/weights.safetensors --against b/weights.safetensors\tdo the two differ?\n",
    .operands_min = 0,
    .operands_max = 0,
    .run = run_eval,
};
