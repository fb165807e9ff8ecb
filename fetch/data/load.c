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

static enum status load_from_store(const struct manifest *manifest, struct dataset *training, struct dataset *test,
                                   struct error *error)
{
    struct store store;
    char folder[FILE_PATH_BYTES];
    enum status status = store_open(&store, NULL, error);
    if (status == STATUS_OK)
        status = obtain_find_dataset(&store, manifest, folder, error);
    return status == STATUS_OK ? cifar10_read(folder, training, test, error) : status;
}

static enum status load(const struct manifest *manifest, const char *folder, struct dataset *training,
                        struct dataset *test, struct error *error)
{
    if (manifest->dataset_kind == DATASET_EMBEDDED)
        return load_embedded(manifest, training, test, error);
    return folder != NULL ? cifar10_read(folder, training, test, error)
                          : load_from_store(manifest, training, test, error);
}

static enum status expect(const struct dataset *dataset, const char *sha256, const char *what,
                          const struct manifest *manifest, struct error *error)
{
    char where[256];
    if (dataset == NULL || sha256[0] == '\0')
        return STATUS_OK;
    snprintf(where, sizeof where, "the manifest %.200s", manifest->name);
    return dataset_expect(dataset, sha256, what, where, error);
}

enum status data_load(const struct manifest *manifest, const char *folder, struct dataset *training,
                      struct dataset *test, struct error *error)
{
    if (training != NULL)
        *training = empty;
    if (test != NULL)
        *test = empty;
    enum status status = load(manifest, folder, training, test, error);
    if (status == STATUS_OK)
        status = expect(training, manifest->train_sha256, "the training data", manifest, error);
    if (status == STATUS_OK)
        status = expect(test, manifest->test_sha256, "the test data", manifest, error);
    if (status != STATUS_OK) {
        if (training != NULL)
            dataset_free(training);
        if (test != NULL)
            dataset_free(test);
    }
    return status;
}
