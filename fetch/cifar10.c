#include "fetch/cifar10.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trainer/common/file.h"

static const char *const TRAINING_FILES[] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                              "data_batch_4.bin", "data_batch_5.bin" };
static const char *const TEST_FILES[] = { "test_batch.bin" };

/* A pickled batch is a little larger than a binary one: it names its images. */
enum { TEXT_BYTES_MAX = 1 << 16, PICKLE_BYTES_MAX = CIFAR10_FILE_BYTES + (1 << 20) };
#define BINARY_BATCH(name) { name, CIFAR10_FILE_BYTES, CIFAR10_FILE_BYTES, true }
#define PYTHON_BATCH(name) { name, CIFAR10_FILE_BYTES, PICKLE_BYTES_MAX, true }

const struct archive_layout cifar10_layouts[] = {
    { "cifar-10-batches-bin",
      { BINARY_BATCH("data_batch_1.bin"), BINARY_BATCH("data_batch_2.bin"), BINARY_BATCH("data_batch_3.bin"), BINARY_BATCH("data_batch_4.bin"),
        BINARY_BATCH("data_batch_5.bin"), BINARY_BATCH("test_batch.bin"), { "batches.meta.txt", 0, TEXT_BYTES_MAX, false },
        { "readme.html", 0, TEXT_BYTES_MAX, false } } },
    { "cifar-10-batches-py",
      { PYTHON_BATCH("data_batch_1"), PYTHON_BATCH("data_batch_2"), PYTHON_BATCH("data_batch_3"), PYTHON_BATCH("data_batch_4"),
        PYTHON_BATCH("data_batch_5"), PYTHON_BATCH("test_batch"), { "batches.meta", 0, TEXT_BYTES_MAX, false },
        { "readme.html", 0, TEXT_BYTES_MAX, false } } },
};
const size_t cifar10_layout_count = sizeof cifar10_layouts / sizeof *cifar10_layouts;

/* True if one of the names is there, inside the folder; an overlong path is not. */
static bool has_any(const char *folder, const char *const *names)
{
    for (; *names != NULL; names++) {
        struct error ignored;
        char path[FILE_PATH_BYTES];
        if (file_path(path, &ignored, "%s/%s", folder, *names) == STATUS_OK && file_exists(path))
            return true;
    }
    return false;
}

/* Which folder the files are in: the given one, or the one in it that the official archive unpacks to. */
static enum status find_files(const char *folder, char found[FILE_PATH_BYTES], struct error *error)
{
    static const char *const archive[] = { "cifar-10-batches-bin", NULL };
    static const char *const binary[] = { "data_batch_1.bin", "test_batch.bin", NULL };
    static const char *const python[] = { "cifar-10-batches-py", "data_batch_1", "test_batch", NULL };
    if (!file_is_folder(folder))
        return error_set(error, STATUS_INPUT,
                         "%s is not a folder; expected the one with CIFAR-10's binary batches, or its parent", folder);
    if (has_any(folder, archive))
        return file_path(found, error, "%s/%s", folder, archive[0]);
    if (has_any(folder, binary))
        return file_path(found, error, "%s", folder);
    if (has_any(folder, python))
        return error_set(error, STATUS_INPUT,
                         "%s holds CIFAR-10's Python version; this build reads the binary version only "
                         "(cifar-10-binary.tar.gz, which unpacks to cifar-10-batches-bin)",
                         folder);
    return error_set(error, STATUS_INPUT,
                     "%s holds no CIFAR-10: neither data_batch_1.bin and its like nor a folder "
                     "cifar-10-batches-bin with them",
                     folder);
}

static enum status check_size(const char *path, uint64_t bytes, struct error *error)
{
    if (bytes == CIFAR10_FILE_BYTES)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT, "%s is too %s: %llu bytes, expected %d (%d records of %d); fetch it anew",
                     path, bytes < CIFAR10_FILE_BYTES ? "short" : "long", (unsigned long long)bytes, CIFAR10_FILE_BYTES,
                     CIFAR10_FILE_IMAGES, DATASET_RECORD_BYTES);
}

/* Reads one file's records into the data set, from image `first` on. */
static enum status read_file(const char *folder, const char *name, struct dataset *dataset, uint32_t first,
                             struct error *error)
{
    char path[FILE_PATH_BYTES], *data = NULL;
    size_t bytes;
    struct stat information;
    enum status status = file_path(path, error, "%s/%s", folder, name);
    if (status == STATUS_OK && stat(path, &information) != 0)
        status = error_set_errno(error, STATUS_INPUT,
                                 "cannot read %s, which belongs to CIFAR-10 (selfsame fetch gets it)", path);
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

static enum status read_files(const char *folder, const char *const *names, uint32_t files, struct dataset *dataset,
                              struct error *error)
{
    enum status status = dataset_allocate(dataset, files * CIFAR10_FILE_IMAGES, error);
    for (uint32_t i = 0; status == STATUS_OK && i < files; i++)
        status = read_file(folder, names[i], dataset, i * CIFAR10_FILE_IMAGES, error);
    if (status == STATUS_OK)
        dataset_digest(dataset);
    return status;
}

enum status cifar10_read(const char *folder, struct dataset *training, struct dataset *test, struct error *error)
{
    char found[FILE_PATH_BYTES];
    struct dataset *const both[] = { training, test };
    for (int i = 0; i < 2; i++) {
        if (both[i] != NULL)
            memset(both[i], 0, sizeof *both[i]);
    }
    enum status status = find_files(folder, found, error);
    if (status == STATUS_OK && training != NULL)
        status = read_files(found, TRAINING_FILES, 5, training, error);
    if (status == STATUS_OK && test != NULL)
        status = read_files(found, TEST_FILES, 1, test, error);
    for (int i = 0; status != STATUS_OK && i < 2; i++) {
        if (both[i] != NULL)
            dataset_free(both[i]);
    }
    return status;
}
