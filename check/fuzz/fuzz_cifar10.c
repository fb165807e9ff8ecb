/* libFuzzer: any bytes as a batch of ten images of CIFAR-10's Python version, with the labels and images in short: a
 * byte that is 'L' becomes a list of ten labels, and 'D' the images' bytes. Bytes whose first is no 0x80 are a batch of
 * the binary version. make fuzz runs it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/data/cifar10_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum {
    COUNT = 10,
    IMAGES_BYTES = COUNT * DATASET_IMAGE_BYTES,
    LABELS_BYTES = 3 + 2 * COUNT,
    FILE_BYTES = 5 + IMAGES_BYTES + 4096 * LABELS_BYTES
};

static size_t put_labels(uint8_t *out)
{
    out[0] = ']';
    out[1] = '(';
    for (int i = 0; i < COUNT; i++) {
        out[2 + 2 * i] = 'K';
        out[3 + 2 * i] = (uint8_t)i;
    }
    out[LABELS_BYTES - 1] = 'e';
    return LABELS_BYTES;
}

static size_t put_images(uint8_t *out)
{
    static const uint8_t head[] = { 'T', IMAGES_BYTES & 255, IMAGES_BYTES >> 8 & 255, IMAGES_BYTES >> 16 & 255, 0 };
    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 7, IMAGES_BYTES);
    return sizeof head + IMAGES_BYTES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static uint8_t file[FILE_BYTES], images[IMAGES_BYTES], labels[COUNT];
    const struct cifar10_batch batch = { COUNT, images, labels };
    struct error error;
    size_t used = 0;
    bool with_images = false;
    for (size_t i = 0; i < bytes && i < 4096; i++) {
        if (data[i] == 'L') {
            used += put_labels(file + used);
        } else if (data[i] == 'D' && !with_images) {
            used += put_images(file + used);
            with_images = true;
        } else {
            file[used++] = data[i];
        }
    }
    enum status status = bytes > 0 && data[0] == 0x80 ? cifar10_python_read("batch", file, used, &batch, &error)
                                                      : cifar10_binary_read("batch", file, used, &batch, &error);
    for (size_t i = 0; status == STATUS_OK && i < COUNT; i++) {
        if (labels[i] >= DATASET_CLASSES)
            abort();
    }
    return 0;
}
