/* CIFAR-10 from the files of its binary version, data_batch_1.bin .. _5.bin and test_batch.bin, or of its Python
 * version, whose are called the same without .bin: 10,000 images each, the same in both.
 * source   A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009; the data set's home page
 *          describes the format. */
#ifndef SELFSAME_CIFAR10_H
#define SELFSAME_CIFAR10_H

#include "fetch/cifar10_archives.h"
#include "trainer/dataset.h"

/* Reads and checks the files in `folder`, which holds them or a folder cifar-10-batches-bin or -py with them, and takes
 * the digests. Either data set may be NULL: its files are then not looked at.
 * memory   the caller frees both data sets; after an error both are empty.
 * errors   STATUS_INPUT for a file that is missing, short, long or has a label over 9, naming it, its record and byte;
 *          STATUS_ENVIRONMENT for one that cannot be read, and without memory. Comparing with the expected digests is
 *          dataset_expect's. */
enum status cifar10_read(const char *folder, struct dataset *training, struct dataset *test,
                         struct error *error) MUST_USE;

#endif
