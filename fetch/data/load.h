/* Loads the data that a manifest names into memory, from a folder or from the store, and checks their digests. It
 * downloads nothing. */
#ifndef SELFSAME_DATA_LOAD_H
#define SELFSAME_DATA_LOAD_H

#include <stdbool.h>

#include "experiments/manifest.h"
#include "trainer/dataset.h"

struct data_options {
    const char *place;  /* --data: a folder or an archive with CIFAR-10 (fetch/data/cifar10.h); NULL: the store's */
    bool any_test_data; /* --any-test-data: take the test data whatever their digest */
};

/* The embedded data set needs no place.
 * memory   the caller frees both data sets; after an error both are empty. Either may be NULL: then it is not wanted.
 * errors   STATUS_INPUT for files that do not fit or have another digest than the manifest says, STATUS_ENVIRONMENT
 *          where there is no data: both say what to do. */
enum status data_load(const struct manifest *manifest, const struct data_options *options, struct dataset *training,
                      struct dataset *test, struct error *error) MUST_USE;

#endif
