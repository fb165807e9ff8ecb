#include "fetch/data/cifar10_python.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "fetch/cifar10_archives.h"
#include "fetch/weights/ndarray.h"

static enum status take_labels(const char *path, const struct pickle_value *labels, uint8_t *to, struct error *error)
{
    if (labels == NULL || labels->type != PICKLE_LIST || labels->list.count != CIFAR10_FILE_IMAGES)
        return error_set(error, STATUS_INPUT, "%s: no batch of CIFAR-10: it lacks a list of %d labels", path,
                         CIFAR10_FILE_IMAGES);
    for (uint32_t i = 0; i < CIFAR10_FILE_IMAGES; i++) {
        const struct pickle_value *label = labels->list.items[i];
        uint64_t number;
        if (!pickle_size(label, DATASET_CLASSES - 1, &number))
            return error_set(error, STATUS_INPUT,
                             "%s: byte %zu: label %u (from 0) is not an integer of 0 to 9; fetch it anew", path,
                             label->offset, i);
        to[i] = (uint8_t)number;
    }
    return STATUS_OK;
}

static enum status take_images(const char *path, const struct pickle_value *data, uint8_t *to, struct error *error)
{
    struct ndarray array;
    if (data == NULL)
        return error_set(error, STATUS_INPUT, "%s: no batch of CIFAR-10: it lacks data", path);
    enum status status = ndarray_read(&array, path, data, error);
    if (status != STATUS_OK)
        return status;
    if (array.element != ELEMENT_U8 || array.rank != 2 || array.shape[0] != CIFAR10_FILE_IMAGES ||
        array.shape[1] != DATASET_IMAGE_BYTES)
        return error_set(error, STATUS_INPUT, "%s: byte %zu: no batch of CIFAR-10: its data are not uint8 of %d x %d",
                         path, data->offset, CIFAR10_FILE_IMAGES, DATASET_IMAGE_BYTES);
    if (!array.fortran) {
        memcpy(to, array.data, array.count);
        return STATUS_OK;
    }
    for (size_t i = 0; i < CIFAR10_FILE_IMAGES; i++) {
        for (size_t k = 0; k < DATASET_IMAGE_BYTES; k++)
            to[i * DATASET_IMAGE_BYTES + k] = array.data[k * CIFAR10_FILE_IMAGES + i];
    }
    return STATUS_OK;
}

enum status cifar10_python_read(const char *path, struct dataset *dataset, uint32_t first, struct error *error)
{
    char *file = NULL;
    size_t bytes, end;
    struct pickle pickle;
    enum status status = file_read(path, CIFAR10_PICKLE_BYTES_MAX, &file, &bytes, error);
    if (status == STATUS_OK)
        status = pickle_read(&pickle, path, (const uint8_t *)file, bytes, 0, &end, error);
    if (status == STATUS_OK) {
        if (end != bytes)
            status =
                error_set(error, STATUS_INPUT, "%s: byte %zu: something follows the pickle; fetch it anew", path, end);
        else if (pickle.root->type != PICKLE_DICT)
            status = error_set(error, STATUS_INPUT, "%s: no batch of CIFAR-10: %s, not a dict", path,
                               pickle_type_name(pickle.root));
        if (status == STATUS_OK)
            status = take_labels(path, pickle_get(pickle.root, "labels"), dataset->labels + first, error);
        if (status == STATUS_OK)
            status = take_images(path, pickle_get(pickle.root, "data"),
                                 dataset->images + (size_t)first * DATASET_IMAGE_BYTES, error);
        pickle_free(&pickle);
    }
    free(file);
    return status;
}
