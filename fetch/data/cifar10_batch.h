/* A batch of CIFAR-10 in memory, of the binary or of the Python version, read into images and labels.
 *
 * python   A pickled dict with "labels" (a list, or an array, of integers) and "data" (uint8, images x 3072, or
 *          images x 3 x 32 x 32, in either order of memory). Keys may be text or bytes.
 * errors   STATUS_INPUT names `path` and the record or byte; CIFAR-100 and images with the channels last are refused by
 *          name. STATUS_ENVIRONMENT without memory.
 * source   A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009; the data set's home page
 *          describes both formats. */
#ifndef SELFSAME_CIFAR10_BATCH_H
#define SELFSAME_CIFAR10_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/dataset.h"

/* Where a batch's images go. */
struct cifar10_batch {
    uint32_t count;  /* that the batch must have */
    uint8_t *images; /* [count][3][32][32] */
    uint8_t *labels; /* [count] */
};

enum status cifar10_binary_read(const char *path, const uint8_t *file, size_t bytes, const struct cifar10_batch *batch,
                                struct error *error) MUST_USE;
enum status cifar10_python_read(const char *path, const uint8_t *file, size_t bytes, const struct cifar10_batch *batch,
                                struct error *error) MUST_USE;

#endif
