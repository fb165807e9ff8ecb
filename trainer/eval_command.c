/* selfsame eval: the error of weights that somebody trained. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/manifest.h"
#include "fetch/data.h"
#include "fetch/weights.h"
#include "results/record.h"
#include "trainer/common/command.h"
#include "trainer/common/file.h"
#include "trainer/engine.h"

/* The manifest that is meant: the one that was named, else the one that lies beside the weights. */
static enum status find_manifest(const struct arguments *arguments, struct manifest *manifest, struct error *error)
{
    const char *named = arguments_text(arguments, "manifest"), *weights = arguments_text(arguments, "weights");
    char beside[FILE_PATH_BYTES];
    if (named != NULL)
        return manifest_read(named, manifest, error);
    const char *slash = strrchr(weights, '/');
    enum status status = file_path(beside, error, "%.*s%s", slash != NULL ? (int)(slash - weights + 1) : 0, weights, RECORD_MANIFEST_FILE);
    if (status != STATUS_OK)
        return status;
    if (!file_exists(beside))
        return error_set(error, STATUS_INPUT, "which network are the weights of? There is no %s; name a manifest with --manifest", beside);
    return manifest_read(beside, manifest, error);
}

/* One line for each image: its number from 0, its label, what was predicted. */
static enum status write_predictions(const char *path, const struct dataset *test, const uint8_t *predictions, struct error *error)
{
    enum { LINE_BYTES = 32 };
    static const char heading[] = "image\tlabel\tprediction\n";
    char *text = malloc(sizeof heading + (size_t)test->count * LINE_BYTES);
    if (text == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "no memory for the predictions of %" PRIu32 " images", test->count);
    size_t used = sizeof heading - 1;
    memcpy(text, heading, used);
    for (uint32_t i = 0; i < test->count; i++)
        used += (size_t)snprintf(text + used, LINE_BYTES, "%" PRIu32 "\t%d\t%d\n", i, test->labels[i], predictions[i]);
    enum status status = file_write(path, text, used, error);
    free(text);
    return status;
}

static enum status report(const struct arguments *arguments, const struct dataset *test, const uint8_t *predictions, double loss,
                          struct error *error)
{
    const char *path = arguments_text(arguments, "predictions");
    uint32_t errors = 0;
    for (uint32_t i = 0; i < test->count; i++)
        errors += predictions[i] != test->labels[i];
    printf("error: %.2f %% (%" PRIu32 " of %" PRIu32 ")\nloss:  %.6f\n", 100.0 * errors / test->count, errors, test->count, loss);
    return path != NULL ? write_predictions(path, test, predictions, error) : STATUS_OK;
}

static enum status evaluate(const struct arguments *arguments, const struct manifest *manifest, const struct network *network,
                            const float *values, struct error *error)
{
    struct engine_options options = { .threads = (uint32_t)arguments_integer(arguments, "threads", 0),
                                      .isa = arguments_text(arguments, "isa"), .inference = true };
    struct dataset training, test;
    struct engine *engine = NULL;
    double loss;
    enum status status = data_load(manifest, arguments_text(arguments, "data"), &training, &test, error);
    if (status != STATUS_OK)
        return status;
    uint8_t *predictions = malloc(test.count);
    float *momentum = calloc(network->value_count, sizeof *momentum);
    if (predictions == NULL || momentum == NULL)
        status = error_set(error, STATUS_ENVIRONMENT, "no memory for the predictions of %" PRIu32 " images", test.count);
    if (status == STATUS_OK)
        status = engine_cpu.open(&engine, &manifest->recipe, network, &training, &test, &options, error);
    if (status == STATUS_OK)
        status = engine_cpu.set_state(engine, values, momentum, error);
    if (status == STATUS_OK)
        status = engine_cpu.evaluate(engine, predictions, &loss, error);
    if (status == STATUS_OK)
        status = report(arguments, &test, predictions, loss, error);
    engine_cpu.close(engine);
    free(momentum);
    free(predictions);
    dataset_free(&training);
    dataset_free(&test);
    return status;
}

static enum status run_eval(const struct arguments *arguments, struct error *error)
{
    const char *weights = arguments_text(arguments, "weights");
    struct manifest manifest;
    struct network *network = NULL;
    float *values = NULL;
    if (weights == NULL)
        return error_set(error, STATUS_INPUT, "needs --weights FILE; selfsame eval --help says more");
    enum status status = find_manifest(arguments, &manifest, error);
    if (status != STATUS_OK)
        return status;
    status = network_open(&network, &manifest.recipe.model, error);
    if (status == STATUS_OK) {
        values = calloc(network->value_count, sizeof *values);
        status = values != NULL ? weights_read(weights, network, values, error)
                                : error_set(error, STATUS_ENVIRONMENT, "no memory for %zu weights", network->value_count);
    }
    if (status == STATUS_OK)
        status = evaluate(arguments, &manifest, network, values, error);
    free(values);
    network_close(network);
    manifest_free(&manifest);
    return status;
}

static const struct option_definition eval_options[] = {
    { "weights", "FILE", OPTION_TEXT, 0, 0, NULL, "the weights: a safetensors file, such as a run's weights.safetensors or a checkpoint" },
    { "manifest", "FILE", OPTION_TEXT, 0, 0, NULL, "whose network and data they are for; default: manifest.yaml beside the weights" },
    OPTION_DATA,
    { "predictions", "FILE", OPTION_TEXT, 0, 0, NULL, "write each test image's number, label and prediction, tab-separated, to FILE" },
    OPTION_THREADS,
    OPTION_ISA,
    OPTIONS_END,
};

const struct command eval_command = {
    .name = "eval", .operands = "", .summary = "the test error of trained weights",
    .description = "Predicts the class of every test image with weights from a file, and prints how many are wrong and the mean cross entropy. "
                   "The names and shapes in the file must be the network's.",
    .options = eval_options,
    .examples = "selfsame eval --weights runs/quick-resnet20-seed1/weights.safetensors\ta run's last epoch\n",
    .operands_min = 0, .operands_max = 0, .run = run_eval,
};
