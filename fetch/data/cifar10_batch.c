#include "fetch/data/cifar10_batch.h"

#include <string.h>

#include "fetch/weights/ndarray.h"

/* ---- the binary version ------------------------------------------------------------------------------------------ */

enum { CIFAR100_RECORD_BYTES = DATASET_RECORD_BYTES + 1 };

enum status cifar10_binary_read(const char *path, const uint8_t *file, size_t bytes, const struct cifar10_batch *batch,
                                struct error *error)
{
    const size_t expected = (size_t)batch->count * DATASET_RECORD_BYTES;
    if (bytes == (size_t)batch->count * CIFAR100_RECORD_BYTES)
        return error_set(error, STATUS_INPUT,
                         "%s is a file of CIFAR-100, whose records have two labels; this program reads CIFAR-10", path);
    if (bytes != expected)
        return error_set(error, STATUS_INPUT,
                         "%s is too %s: %zu bytes, expected %zu (%u records of %d); download it "
                         "again",
                         path, bytes < expected ? "short" : "long", bytes, expected, batch->count,
                         DATASET_RECORD_BYTES);
    for (uint32_t i = 0; i < batch->count; i++) {
        const uint8_t *record = file + (size_t)i * DATASET_RECORD_BYTES;
        if (record[0] >= DATASET_CLASSES)
            return error_set(error, STATUS_INPUT,
                             "%s: record %u (from 0), at byte %zu, has label %u; labels are 0 to 9; download it again",
                             path, i, (size_t)i * DATASET_RECORD_BYTES, record[0]);
        batch->labels[i] = record[0];
        memcpy(batch->images + (size_t)i * DATASET_IMAGE_BYTES, record + 1, DATASET_IMAGE_BYTES);
    }
    return STATUS_OK;
}

/* ---- the Python version ------------------------------------------------------------------------------------------ */

static enum status refuse_label(const char *path, const struct pickle_value *labels, uint32_t i, struct error *error)
{
    return error_set(error, STATUS_INPUT,
                     "%s: byte %zu: label %u (from 0) is not an integer of 0 to 9; download it "
                     "again",
                     path, labels->offset, i);
}

/* An integer of an array, little-endian two's complement; false if it is not one of 0 to `limit`. */
static bool array_integer(const struct ndarray *array, size_t i, uint8_t limit, uint8_t *number)
{
    const size_t width = element_bytes(array->element);
    const uint8_t *bytes = array->data + i * width;
    for (size_t k = 1; k < width; k++) {
        if (bytes[k] != 0)
            return false;
    }
    *number = bytes[0];
    return bytes[0] <= limit;
}

/* An integer of Python's or of numpy's; false if it is not one of 0 to 9. */
static bool list_integer(const struct pickle_value *value, uint8_t *number)
{
    uint64_t integer;
    double scalar;
    if (pickle_size(value, DATASET_CLASSES - 1, &integer)) {
        *number = (uint8_t)integer;
        return true;
    }
    if (!ndarray_scalar(value, &scalar) || !(scalar >= 0 && scalar < DATASET_CLASSES))
        return false;
    *number = (uint8_t)scalar;
    return *number == scalar;
}

static enum status take_label_array(const char *path, const struct pickle_value *labels,
                                    const struct cifar10_batch *batch, struct error *error)
{
    struct ndarray array;
    enum status status = ndarray_read(&array, path, labels, error);
    if (status != STATUS_OK)
        return status;
    if (element_is_real(array.element) || array.element == ELEMENT_BOOL || array.count != batch->count)
        return error_set(error, STATUS_INPUT, "%s: byte %zu: the labels are an array of %zu %ss; expected %u integers",
                         path, labels->offset, array.count, element_name(array.element), batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        if (!array_integer(&array, i, DATASET_CLASSES - 1, &batch->labels[i]))
            return refuse_label(path, labels, i, error);
    }
    return STATUS_OK;
}

static enum status take_labels(const char *path, const struct pickle_value *dict, const struct cifar10_batch *batch,
                               struct error *error)
{
    const struct pickle_value *labels = pickle_get(dict, "labels");
    if (labels == NULL && (pickle_get(dict, "fine_labels") != NULL || pickle_get(dict, "coarse_labels") != NULL))
        return error_set(error, STATUS_INPUT,
                         "%s is a file of CIFAR-100, which has fine_labels and coarse_labels; this program reads "
                         "CIFAR-10",
                         path);
    if (labels == NULL)
        return error_set(error, STATUS_INPUT, "%s is not a batch of CIFAR-10: \"labels\" is missing", path);
    if (ndarray_is(labels))
        return take_label_array(path, labels, batch, error);
    if ((labels->type != PICKLE_LIST && labels->type != PICKLE_TUPLE) || labels->list.count != batch->count)
        return error_set(error, STATUS_INPUT, "%s is not a batch of CIFAR-10: \"labels\" is not a list of %u", path,
                         batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct pickle_value *label = labels->list.items[i];
        if (!list_integer(label, &batch->labels[i]))
            return refuse_label(path, label, i, error);
    }
    return STATUS_OK;
}

/* Whether an array is (count, 3072) or (count, 3, 32, 32). */
static bool has_shape(const struct ndarray *array, uint32_t count)
{
    const uint64_t *shape = array->shape;
    return (array->rank == 2 && shape[0] == count && shape[1] == DATASET_IMAGE_BYTES) ||
           (array->rank == 4 && shape[0] == count && shape[1] == DATASET_CHANNELS && shape[2] == DATASET_SIDE &&
            shape[3] == DATASET_SIDE);
}

/* The first index runs fastest: byte (c, row, column) of image i lies at i + count (c + 3 (row + 32 column)), or at
 * i + count k where the array has two dimensions. */
static void take_fortran(const struct ndarray *array, const struct cifar10_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        for (size_t k = 0; k < DATASET_IMAGE_BYTES; k++) {
            const size_t channel = k / DATASET_PIXELS, row = k % DATASET_PIXELS / DATASET_SIDE,
                         column = k % DATASET_SIDE;
            const size_t place = array->rank == 2 ? k : channel + DATASET_CHANNELS * (row + DATASET_SIDE * column);
            batch->images[i * DATASET_IMAGE_BYTES + k] = array->data[i + batch->count * place];
        }
    }
}

static enum status take_images(const char *path, const struct pickle_value *dict, const struct cifar10_batch *batch,
                               struct error *error)
{
    const struct pickle_value *data = pickle_get(dict, "data");
    struct ndarray array;
    if (data == NULL)
        return error_set(error, STATUS_INPUT, "%s is not a batch of CIFAR-10: \"data\" is missing", path);
    enum status status = ndarray_read(&array, path, data, error);
    if (status != STATUS_OK)
        return status;
    if (array.rank == 4 && array.shape[3] == DATASET_CHANNELS && array.shape[1] == DATASET_SIDE)
        return error_set(error, STATUS_INPUT,
                         "%s: byte %zu: the images have their channels last (N, 32, 32, 3), but CIFAR-10 has them "
                         "first; save data.transpose(0, 3, 1, 2)",
                         path, data->offset);
    if (array.element != ELEMENT_U8 || !has_shape(&array, batch->count))
        return error_set(error, STATUS_INPUT,
                         "%s: byte %zu: not a batch of CIFAR-10: \"data\" is not uint8 of %u x %d or %u x 3 x 32 x 32",
                         path, data->offset, batch->count, DATASET_IMAGE_BYTES, batch->count);
    if (array.fortran)
        take_fortran(&array, batch);
    else
        memcpy(batch->images, array.data, array.count);
    return STATUS_OK;
}

enum status cifar10_python_read(const char *path, const uint8_t *file, size_t bytes, const struct cifar10_batch *batch,
                                struct error *error)
{
    struct pickle pickle;
    size_t end;
    enum status status = pickle_read(&pickle, path, file, bytes, 0, &end, error);
    if (status != STATUS_OK)
        return status;
    if (end != bytes)
        status = error_set(error, STATUS_INPUT, "%s: byte %zu: there are bytes after the pickle; download it again",
                           path, end);
    else if (pickle.root->type != PICKLE_DICT)
        status = error_set(error, STATUS_INPUT, "%s is not a batch of CIFAR-10: it has %s, not a dict", path,
                           pickle_type_name(pickle.root));
    if (status == STATUS_OK)
        status = take_labels(path, pickle.root, batch, error);
    if (status == STATUS_OK)
        status = take_images(path, pickle.root, batch, error);
    pickle_free(&pickle);
    return status;
}
