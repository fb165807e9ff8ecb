/* A data set in memory. fetch/ fills it, trainer/ reads it, and the files of commands/ connect the two.
 *
 * layout   images are uint8 in the order of CIFAR-10's binary records: [count][channel R,G,B][row][column].
 * memory   owned by the struct; dataset_free releases it and zeroes the struct. */
#ifndef SELFSAME_DATASET_H
#define SELFSAME_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    DATASET_CHANNELS = 3,
    DATASET_SIDE = 32,
    DATASET_PIXELS = 32 * 32,
    DATASET_IMAGE_BYTES = 3 * 32 * 32,
    DATASET_RECORD_BYTES = 1 + 3 * 32 * 32,
    DATASET_CLASSES = 10
};

enum { CIFAR10_TRAINING_IMAGES = 50000, CIFAR10_TEST_IMAGES = 10000 };

struct dataset {
    uint32_t count;  /* images */
    uint8_t *images; /* [count][3][32][32] */
    uint8_t *labels; /* [count], 0..9 */
    char sha256[65]; /* lower-case hex, over the binary records (label byte, then the image) in order */
};

/* Allocates room for `count` images, all zero. STATUS_ENVIRONMENT without memory. */
enum status dataset_allocate(struct dataset *dataset, uint32_t count, struct error *error) MUST_USE;
void dataset_free(struct dataset *dataset);
/* Fills dataset->sha256 from the images and labels. */
void dataset_digest(struct dataset *dataset);

#endif
