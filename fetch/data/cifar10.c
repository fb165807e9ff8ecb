#include "fetch/data/cifar10.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "fetch/data/cifar10_python.h"

enum { TRAINING_FILES = 5 };
static const char *const BATCHES[] = { "data_batch_1", "data_batch_2", "data_batch_3",
                                       "data_batch_4", "data_batch_5", "test_batch" };

/* The two versions that the data set is published in, the preferred one first. */
struct version {
    const char *folder; /* that the archive unpacks to */
    const char *suffix; /* of a batch's file */
    enum status (*read)(const char *path, struct dataset *dataset, uint32_t first, struct error *error);
};

static enum status read_binary(const char *path, struct dataset *dataset, uint32_t first, struct error *error);

static const struct version VERSIONS[] = {
    { "cifar-10-batches-bin", ".bin", read_binary },
    { "cifar-10-batches-py", "", cifar10_python_read },
};
enum { VERSION_COUNT = sizeof VERSIONS / sizeof *VERSIONS };

/* True if one of the version's files is in the folder; an overlong path is not. */
static bool has_any(const char *folder, const struct version *version)
{
    for (size_t i = 0; i < sizeof BATCHES / sizeof *BATCHES; i++) {
        struct error ignored;
        char path[FILE_PATH_BYTES];
        if (file_path(path, &ignored, "%s/%s%s", folder, BATCHES[i], version->suffix) == STATUS_OK && file_exists(path))
            return true;
    }
    return false;
}

/* Which folder the files are in: the given one, or one in it that an official archive unpacks to. */
static enum status find_files(const char *folder, char found[FILE_PATH_BYTES], const struct version **version,
                              struct error *error)
{
    if (!file_is_folder(folder))
        return error_set(error, STATUS_INPUT,
                         "%s is not a folder; expected the one with CIFAR-10's batches, or its parent", folder);
    for (size_t i = 0; i < VERSION_COUNT; i++) {
        enum status status = file_path(found, error, "%s/%s", folder, VERSIONS[i].folder);
        *version = &VERSIONS[i];
        if (status != STATUS_OK || file_is_folder(found))
            return status;
    }
    for (size_t i = 0; i < VERSION_COUNT; i++) {
        *version = &VERSIONS[i];
        if (has_any(folder, *version))
            return file_path(found, error, "%s", folder);
    }
    return error_set(error, STATUS_INPUT,
                     "%s holds no CIFAR-10: neither data_batch_1.bin or data_batch_1 and their like, nor a folder "
                     "cifar-10-batches-bin or cifar-10-batches-py with them",
                     folder);
}

static enum status check_size(const char *path, uint64_t bytes, struct error *error)
{
    if (bytes == CIFAR10_FILE_BYTES)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s is too %s: %" PRIu64 " bytes, expected %d (%d records of %d); fetch it anew", path,
                     bytes < CIFAR10_FILE_BYTES ? "short" : "long", bytes, CIFAR10_FILE_BYTES, CIFAR10_FILE_IMAGES,
                     DATASET_RECORD_BYTES);
}

static enum status read_binary(const char *path, struct dataset *dataset, uint32_t first, struct error *error)
{
    char *data = NULL;
    size_t bytes;
    struct stat information;
    enum status status = STATUS_OK;
    if (stat(path, &information) != 0)
        status = error_set_errno(error, STATUS_INPUT, "cannot examine %s", path);
    if (status == STATUS_OK)
        status = check_size(path, (uint64_t)information.st_size, error);
    if (status == STATUS_OK)
        status = file_read(path, CIFAR10_FILE_BYTES, &data, &bytes, error);
    if (status == STATUS_OK)
        status = check_size(path, bytes, error); /* it may have changed in between */
    for (uint32_t i = 0; status == STATUS_OK && i < CIFAR10_FILE_IMAGES; i++) {
        const char *record = data + (size_t)i * DATASET_RECORD_BYTES;
        uint8_t label = (uint8_t)record[0];
        if (label >= DATASET_CLASSES)
            status = error_set(error, STATUS_INPUT,
                               "%s: record %u (from 0), at byte %zu, has label %u; labels are 0 to 9; fetch it anew",
                               path, i, (size_t)i * DATASET_RECORD_BYTES, label);
        dataset->labels[first + i] = label;
        memcpy(dataset->images + (size_t)(first + i) * DATASET_IMAGE_BYTES, record + 1, DATASET_IMAGE_BYTES);
    }
    free(data);
    return status;
}

static enum status read_files(const char *folder, const struct version *version, const char *const *batches,
                              uint32_t count, struct dataset *dataset, struct error *error)
{
    enum status status = dataset_allocate(dataset, count * CIFAR10_FILE_IMAGES, error);
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        char path[FILE_PATH_BYTES];
        status = file_path(path, error, "%s/%s%s", folder, batches[i], version->suffix);
        if (status == STATUS_OK && access(path, F_OK) != 0)
            status = error_set_errno(error, STATUS_INPUT,
                                     "cannot read %s, which belongs to CIFAR-10 (selfsame fetch gets it)", path);
        if (status == STATUS_OK)
            status = version->read(path, dataset, i * CIFAR10_FILE_IMAGES, error);
    }
    if (status == STATUS_OK)
        dataset_digest(dataset);
    return status;
}

enum status cifar10_read(const char *folder, struct dataset *training, struct dataset *test, struct error *error)
{
    char found[FILE_PATH_BYTES];
    const struct version *version = NULL;
    struct dataset *const both[] = { training, test };
    for (int i = 0; i < 2; i++) {
        if (both[i] != NULL)
            memset(both[i], 0, sizeof *both[i]);
    }
    enum status status = find_files(folder, found, &version, error);
    if (status == STATUS_OK && training != NULL)
        status = read_files(found, version, BATCHES, TRAINING_FILES, training, error);
    if (status == STATUS_OK && test != NULL)
        status = read_files(found, version, BATCHES + TRAINING_FILES, 1, test, error);
    for (int i = 0; status != STATUS_OK && i < 2; i++) {
        if (both[i] != NULL)
            dataset_free(both[i]);
    }
    return status;
}
