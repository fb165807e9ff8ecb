/* CIFAR-10 from the files of its binary version (data_batch_1.bin to _5.bin and test_batch.bin) or of its Python
 * version (the same names without .bin): 10,000 images each, the same in both. */
#ifndef SELFSAME_CIFAR10_H
#define SELFSAME_CIFAR10_H

#include "fetch/cifar10_archives.h"
#include "trainer/dataset.h"

/* Called with the data that were read from one place. If it does not return STATUS_OK, the next place is tried. */
typedef enum status cifar10_judge(void *context, const struct dataset *training, const struct dataset *test,
                                  struct error *error);

/* Reads and checks CIFAR-10 in `path`, a folder or an archive (fetch/data/cifar10_places.h), and takes the digests. If
 * it is there more than once, the first copy is taken that can be read and that `judge` (NULL: any) accepts. Either
 * data set may be NULL: its files are then not looked at.
 * memory   the caller frees both data sets; after an error both are empty.
 * errors   STATUS_INPUT for a file that is missing, short, long or has a label over 9, naming it, its record and byte;
 *          STATUS_ENVIRONMENT for one that cannot be read, and without memory. Of several places the first one's. */
enum status cifar10_read(const char *path, struct dataset *training, struct dataset *test, cifar10_judge *judge,
                         void *context, struct error *error) MUST_USE;

#endif
