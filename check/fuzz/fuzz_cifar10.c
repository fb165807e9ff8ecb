/* libFuzzer: any bytes as a batch of CIFAR-10's Python version, with 10,000 labels in short: a byte that is 'L' where a
 * value may stand becomes the list of them, and 'D' the 30,720,000 bytes of images. make fuzz runs it. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fetch/data/cifar10.h"
#include "fetch/data/cifar10_python.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { LABELS_BYTES = 3 + 2 * CIFAR10_FILE_IMAGES, IMAGES_BYTES = CIFAR10_FILE_IMAGES * DATASET_IMAGE_BYTES };

static void put(int descriptor, const void *data, size_t bytes)
{
    if (write(descriptor, data, bytes) != (ssize_t)bytes)
        abort();
}

static void put_labels(int descriptor)
{
    uint8_t list[LABELS_BYTES] = { ']', '(' };
    for (size_t i = 0; i < CIFAR10_FILE_IMAGES; i++) {
        list[2 + 2 * i] = 'K';
        list[3 + 2 * i] = (uint8_t)(i % DATASET_CLASSES);
    }
    list[LABELS_BYTES - 1] = 'e';
    put(descriptor, list, sizeof list);
}

static void put_images(int descriptor)
{
    static const uint8_t head[] = { 'T', IMAGES_BYTES & 255, IMAGES_BYTES >> 8 & 255, IMAGES_BYTES >> 16 & 255,
                                    IMAGES_BYTES >> 24 & 255 };
    put(descriptor, head, sizeof head);
    off_t end = lseek(descriptor, IMAGES_BYTES, SEEK_CUR);
    if (end < 0 || ftruncate(descriptor, end) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct dataset dataset;
    struct error error;
    char path[64];
    bool images = false;
    if (dataset.count == 0 && dataset_allocate(&dataset, CIFAR10_FILE_IMAGES, &error) != STATUS_OK)
        abort();
    int descriptor = memfd_create("batch", MFD_CLOEXEC);
    if (descriptor < 0)
        abort();
    for (size_t i = 0; i < bytes; i++) {
        if (data[i] == 'L')
            put_labels(descriptor);
        else if (data[i] == 'D' && !images)
            put_images(descriptor), images = true;
        else
            put(descriptor, &data[i], 1);
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    if (cifar10_python_read(path, &dataset, 0, &error) == STATUS_OK) {
        for (size_t i = 0; i < dataset.count; i++) {
            if (dataset.labels[i] >= DATASET_CLASSES)
                abort();
        }
    }
    close(descriptor);
    return 0;
}
