/* The two archives that CIFAR-10 is published in: what may come out of them, and how large a batch file is. */
#ifndef SELFSAME_CIFAR10_ARCHIVES_H
#define SELFSAME_CIFAR10_ARCHIVES_H

#include "fetch/archive.h"
#include "trainer/dataset.h"

enum {
    CIFAR10_FILE_IMAGES = 10000,
    CIFAR10_FILE_BYTES = CIFAR10_FILE_IMAGES * DATASET_RECORD_BYTES,
    /* A pickle also names the images; and Python 3 writes a byte over 127 as two where it writes protocol 2. */
    CIFAR10_PICKLE_BYTES_MAX = 2 * CIFAR10_FILE_BYTES + (1 << 20)
};

/* What the two official archives hold: the binary version's first, then the Python version's. */
extern const struct archive_layout cifar10_layouts[];
extern const size_t cifar10_layout_count;

#endif
