#include "fetch/data/load.h"

#include <string.h>

#include "fetch/data/cifar10.h"
#include "fetch/data/embedded.h"
#include "fetch/obtain.h"

static const struct dataset empty;

/* The embedded sets are drawn together; the one that is not wanted is thrown away. */
static enum status load_embedded(const struct manifest *manifest, struct dataset *training, struct dataset *test,
                                 struct error *error)
{
    struct dataset unwanted_training = empty, unwanted_test = empty;
    enum status status = embedded_make(training != NULL ? training : &unwanted_training, manifest->training_images,
                                       test != NULL ? test : &unwanted_test, manifest->test_images, error);
    dataset_free(&unwanted_training);
    dataset_free(&unwanted_test);
    return status;
}

/* A manifest's expectations. */
struct expectation {
    const struct manifest *manifest;
    bool any_test_data;
};

static enum status expect(const struct dataset *dataset, const char *sha256, const char *what, const char *remedy,
                          const struct manifest *manifest, struct error *error)
{
    if (dataset == NULL || sha256[0] == '\0' || strcmp(dataset->sha256, sha256) == 0)
        return STATUS_OK;
    return error_set(
        error, STATUS_INPUT,
        "%s SHA-256 %s, but the manifest %s expects %s; download the data again or, if these are the data you want, "
        "%s",
        what, dataset->sha256, manifest->path, sha256, remedy);
}

static enum status judge(void *context, const struct dataset *training, const struct dataset *test, struct error *error)
{
    const struct expectation *expectation = context;
    const struct manifest *manifest = expectation->manifest;
    enum status status =
        expect(training, manifest->train_sha256, "the training data have",
               "state their digest in a manifest that inherits this one (dataset.train_sha256)", manifest, error);
    if (status == STATUS_OK && !expectation->any_test_data)
        status = expect(
            test, manifest->test_sha256, "the test data have",
            "state their digest in a manifest that inherits this one (dataset.test_sha256), or pass --any-test-data",
            manifest, error);
    return status;
}

static enum status load_cifar10(const struct manifest *manifest, const struct data_options *options,
                                struct dataset *training, struct dataset *test, struct error *error)
{
    struct expectation expectation = { manifest, options->any_test_data };
    struct store store;
    char folder[FILE_PATH_BYTES];
    if (options->place != NULL)
        return cifar10_read(options->place, training, test, judge, &expectation, error);
    enum status status = store_open(&store, NULL, error);
    if (status == STATUS_OK)
        status = obtain_find_dataset(&store, manifest, folder, error);
    return status == STATUS_OK ? cifar10_read(folder, training, test, judge, &expectation, error) : status;
}

enum status data_load(const struct manifest *manifest, const struct data_options *options, struct dataset *training,
                      struct dataset *test, struct error *error)
{
    struct expectation expectation = { manifest, options->any_test_data };
    if (training != NULL)
        *training = empty;
    if (test != NULL)
        *test = empty;
    if (manifest->dataset_kind != DATASET_EMBEDDED)
        return load_cifar10(manifest, options, training, test, error);
    enum status status = load_embedded(manifest, training, test, error);
    if (status == STATUS_OK)
        status = judge(&expectation, training, test, error);
    if (status != STATUS_OK) {
        if (training != NULL)
            dataset_free(training);
        if (test != NULL)
            dataset_free(test);
    }
    return status;
}
