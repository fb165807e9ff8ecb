/* The data that a manifest names, in memory and checked against its digests. */
#ifndef SELFSAME_DATA_H
#define SELFSAME_DATA_H

#include "experiments/manifest.h"
#include "trainer/dataset.h"

/* folder   of --data: where CIFAR-10's files are; NULL if none was given: then the store's (fetch/store.h). The
 *          embedded data set needs none.
 * memory   the caller frees both data sets; after an error both are empty. Either may be NULL: then it is not wanted.
 * errors   STATUS_INPUT for files that do not fit or have another digest than the manifest says, STATUS_ENVIRONMENT
 *          where there is no data: both say what to do. */
enum status data_load(const struct manifest *manifest, const char *folder, struct dataset *training,
                      struct dataset *test, struct error *error) MUST_USE;

#endif
