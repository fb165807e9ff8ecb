#include "fetch/cifar10_archives.h"

enum { TEXT_BYTES_MAX = 1 << 16 };
#define BINARY_BATCH(name)                                 \
    {                                                      \
        name, CIFAR10_FILE_BYTES, CIFAR10_FILE_BYTES, true \
    }
#define PYTHON_BATCH(name)                                       \
    {                                                            \
        name, CIFAR10_FILE_BYTES, CIFAR10_PICKLE_BYTES_MAX, true \
    }

const struct archive_layout cifar10_layouts[] = {
    { "cifar-10-batches-bin",
      { BINARY_BATCH("data_batch_1.bin"),
        BINARY_BATCH("data_batch_2.bin"),
        BINARY_BATCH("data_batch_3.bin"),
        BINARY_BATCH("data_batch_4.bin"),
        BINARY_BATCH("data_batch_5.bin"),
        BINARY_BATCH("test_batch.bin"),
        { "batches.meta.txt", 0, TEXT_BYTES_MAX, false },
        { "readme.html", 0, TEXT_BYTES_MAX, false } } },
    { "cifar-10-batches-py",
      { PYTHON_BATCH("data_batch_1"),
        PYTHON_BATCH("data_batch_2"),
        PYTHON_BATCH("data_batch_3"),
        PYTHON_BATCH("data_batch_4"),
        PYTHON_BATCH("data_batch_5"),
        PYTHON_BATCH("test_batch"),
        { "batches.meta", 0, TEXT_BYTES_MAX, false },
        { "readme.html", 0, TEXT_BYTES_MAX, false } } },
};
const size_t cifar10_layout_count = sizeof cifar10_layouts / sizeof *cifar10_layouts;
