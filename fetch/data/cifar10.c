#include "fetch/data/cifar10.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "fetch/data/cifar10_batch.h"
#include "fetch/data/cifar10_places.h"

enum { TRAINING_FILES = 5 };
/* The training batches, then the test batch. */
static const char *const BATCHES[] = { "data_batch_1", "data_batch_2", "data_batch_3",
                                       "data_batch_4", "data_batch_5", "test_batch" };
enum { BATCH_COUNT = sizeof BATCHES / sizeof *BATCHES };

/* The two versions that the data set is published in, in the order of cifar10_layouts and enum cifar10_kind. */
struct version {
    const char *suffix; /* of a batch's file */
    size_t bytes_max;
    enum status (*read)(const char *path, const uint8_t *file, size_t bytes, const struct cifar10_batch *batch,
                        struct error *error);
};

static const struct version VERSIONS[] = {
    [CIFAR10_BINARY] = { ".bin", CIFAR10_PICKLE_BYTES_MAX, cifar10_binary_read },
    [CIFAR10_PYTHON] = { "", CIFAR10_PICKLE_BYTES_MAX, cifar10_python_read },
};

/* One reading: what is wanted, and what has come. */
struct reading {
    struct dataset *training, *test; /* NULL: not wanted */
    bool seen[BATCH_COUNT];
};

static bool is_wanted(const struct reading *reading, size_t batch)
{
    return batch < TRAINING_FILES ? reading->training != NULL : reading->test != NULL;
}

static enum status take(struct reading *reading, const struct version *version, size_t batch, const char *path,
                        const uint8_t *file, size_t bytes, struct error *error)
{
    struct dataset *dataset = batch < TRAINING_FILES ? reading->training : reading->test;
    const size_t first = batch < TRAINING_FILES ? batch * CIFAR10_FILE_IMAGES : 0;
    const struct cifar10_batch place = { CIFAR10_FILE_IMAGES, dataset->images + first * DATASET_IMAGE_BYTES,
                                         dataset->labels + first };
    reading->seen[batch] = true;
    return version->read(path, file, bytes, &place, error);
}

static enum status read_folder(struct reading *reading, const char *folder, const struct version *version,
                               struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t batch = 0; status == STATUS_OK && batch < BATCH_COUNT; batch++) {
        char path[FILE_PATH_BYTES], *file = NULL;
        size_t bytes;
        if (!is_wanted(reading, batch))
            continue;
        status = file_path(path, error, "%s/%s%s", folder, BATCHES[batch], version->suffix);
        if (status == STATUS_OK && !file_exists(path))
            status = error_set_errno(error, STATUS_INPUT,
                                     "cannot read %s, which is part of CIFAR-10 (selfsame fetch downloads it)", path);
        if (status == STATUS_OK)
            status = file_read(path, version->bytes_max, &file, &bytes, error);
        if (status == STATUS_OK)
            status = take(reading, version, batch, path, (const uint8_t *)file, bytes, error);
        free(file);
    }
    return status;
}

/* Which batch a file of an archive is; BATCH_COUNT for none. */
static size_t batch_of(const char *name, const struct version *version)
{
    size_t batch = 0;
    while (batch < BATCH_COUNT && (strncmp(name, BATCHES[batch], strlen(BATCHES[batch])) != 0 ||
                                   strcmp(name + strlen(BATCHES[batch]), version->suffix) != 0))
        batch++;
    return batch;
}

static bool wants(void *context, size_t layout, const char *name)
{
    const size_t batch = batch_of(name, &VERSIONS[layout]);
    return batch < BATCH_COUNT && is_wanted(context, batch);
}

static enum status take_entry(void *context, size_t layout, const char *name, const char *shown, const uint8_t *data,
                              size_t bytes, struct error *error)
{
    const struct version *version = &VERSIONS[layout];
    return take(context, version, batch_of(name, version), shown, data, bytes, error);
}

static enum status read_archive(struct reading *reading, const char *path, struct error *error)
{
    const struct archive_taker taker = { .context = reading, .wants = wants, .take = take_entry };
    enum status status = archive_read(path, cifar10_layouts, cifar10_layout_count, &taker, error);
    for (size_t batch = 0; status == STATUS_OK && batch < BATCH_COUNT; batch++) {
        if (is_wanted(reading, batch) && !reading->seen[batch])
            status = error_set(error, STATUS_INPUT,
                               "%s does not contain %s; selfsame fetch downloads the whole "
                               "archive",
                               path, BATCHES[batch]);
    }
    return status;
}

static enum status read_place(struct reading *reading, const struct cifar10_place *place, struct error *error)
{
    enum status status = STATUS_OK;
    if (reading->training != NULL)
        status = dataset_allocate(reading->training, CIFAR10_TRAINING_IMAGES, error);
    if (status == STATUS_OK && reading->test != NULL)
        status = dataset_allocate(reading->test, CIFAR10_TEST_IMAGES, error);
    if (status == STATUS_OK)
        status = place->kind == CIFAR10_ARCHIVE ? read_archive(reading, place->path, error)
                                                : read_folder(reading, place->path, &VERSIONS[place->kind], error);
    if (status == STATUS_OK && reading->training != NULL)
        dataset_digest(reading->training);
    if (status == STATUS_OK && reading->test != NULL)
        dataset_digest(reading->test);
    return status;
}

static void empty(struct dataset *training, struct dataset *test)
{
    if (training != NULL)
        dataset_free(training);
    if (test != NULL)
        dataset_free(test);
}

enum status cifar10_read(const char *path, struct dataset *training, struct dataset *test, cifar10_judge *judge,
                         void *context, struct error *error)
{
    struct cifar10_place *places;
    size_t count;
    struct error next_error, *reason = error; /* the first place's is the one to tell */
    if (training != NULL)
        memset(training, 0, sizeof *training);
    if (test != NULL)
        memset(test, 0, sizeof *test);
    const char *const *names = training != NULL ? BATCHES : BATCHES + TRAINING_FILES;
    enum status status = cifar10_find(path, names, (training != NULL ? TRAINING_FILES : 0) + (test != NULL ? 1 : 0),
                                      &places, &count, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        struct reading reading = { .training = training, .test = test };
        status = read_place(&reading, &places[i], reason);
        if (status == STATUS_OK && judge != NULL)
            status = judge(context, training, test, reason);
        if (status == STATUS_OK)
            break;
        empty(training, test);
        reason = &next_error;
    }
    free(places);
    return status == STATUS_OK ? STATUS_OK : error->status;
}
