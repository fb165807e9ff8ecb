/* The run that a manifest and a seed make: what can be told of it before it is trained. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "commands/train_run.h"
#include "results/record.h"
#include "results/run_progress.h"
#include "trainer/schedule.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* `-exact-2` in that arithmetic, and once where the manifest's name ends with it. */
void train_run_default_name(const struct manifest *manifest, uint64_t seed, char name[RUN_NAME_BYTES])
{
    static const char suffix[] = "-exact-2";
    const size_t length = strlen(manifest->name), tail = strlen(suffix);
    const bool named = length > tail && strcmp(manifest->name + length - tail, suffix) == 0;
    snprintf(name, RUN_NAME_BYTES, "%.*s%s-seed%" PRIu64, (int)(named ? length - tail : length), manifest->name,
             manifest->recipe.arithmetic == ARITHMETIC_EXACT_2 ? suffix : "", seed);
}

/* ---- manifests --------------------------------------------------------------------------------------------------- */

/* What can be told before any data is read. */
static enum status check_manifest(const struct manifest *manifest, const struct arguments *arguments,
                                  struct error *error)
{
    const struct engine_operations *operations;
    uint64_t epochs = arguments_integer(arguments, "epochs", 0),
             all = schedule_epochs(&manifest->recipe.training, manifest->training_images);
    if (epochs > all)
        return error_set(error, STATUS_INPUT, "--epochs %" PRIu64 ": the training of %s has %" PRIu64, epochs,
                         manifest->name, all);
    return engine_choose(arguments_text(arguments, "engine"), manifest->recipe.arithmetic, &operations, error);
}

enum status train_run_read_manifest(const char *path, const struct arguments *arguments, struct manifest *manifest,
                                    struct error *error)
{
    struct manifest given;
    enum arithmetic arithmetic;
    enum status status = manifest_read(path, &given, error);
    if (status != STATUS_OK)
        return status;
    arithmetic = arguments_arithmetic(arguments, given.recipe.arithmetic);
    status = manifest_with_arithmetic(&given, arithmetic, manifest, error);
    manifest_free(&given);
    if (status != STATUS_OK)
        return status;
    status = check_manifest(manifest, arguments, error);
    if (status != STATUS_OK)
        manifest_free(manifest);
    return status;
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

uint64_t train_run_epochs(const struct arguments *arguments, const struct manifest *manifest)
{
    const uint64_t all = schedule_epochs(&manifest->recipe.training, manifest->training_images);
    return arguments_integer(arguments, "epochs", all);
}

uint64_t train_run_work(const struct arguments *arguments, const struct manifest *manifest)
{
    const uint64_t epochs = train_run_epochs(arguments, manifest);
    return run_work(&manifest->recipe,
                    schedule_epoch_end(&manifest->recipe.training, manifest->training_images, epochs - 1),
                    epochs * manifest->test_images);
}

bool train_run_is_finished(const char *runs, const char *name, const char *experiment_sha256, uint64_t epochs)
{
    char path[FILE_PATH_BYTES];
    struct record *record;
    struct error ignored;
    if (file_path(path, &ignored, "%s/%s", runs, name) != STATUS_OK ||
        record_open_head(&record, runs, path, &ignored) != STATUS_OK)
        return false;
    const struct record_facts *facts = &record->facts;
    bool is = facts->state == RECORD_FINISHED && strcmp(facts->experiment_sha256, experiment_sha256) == 0 &&
              facts->result.epochs >= (epochs != 0 ? epochs : facts->epochs_wanted);
    record_close(record);
    return is;
}
