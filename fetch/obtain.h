/* Gets into the store what a manifest names: its data set, checked and unpacked, and its weights. It is the only file
 * of fetch/ that knows a manifest's sources. */
#ifndef SELFSAME_OBTAIN_H
#define SELFSAME_OBTAIN_H

#include <stdbool.h>

#include "experiments/manifest.h"
#include "fetch/download.h"
#include "fetch/store.h"

struct obtain_options {
    struct download_options download;
    bool offline; /* only what is there */
};

enum { OBTAIN_NAME_BYTES = 256 };

struct obtained {
    char path[FILE_PATH_BYTES];    /* of the weights' file, or of the folder that the archive is unpacked to */
    char name[OBTAIN_NAME_BYTES];  /* of the file as its publisher calls it: its URL's last part, without a query */
    char sha256[DIGEST_HEX_BYTES]; /* of the file or archive */
    uint64_t received;             /* bytes over the network; 0 where it was there */
    bool fetched;
};

/* The weights' file. A damaged file in the store is set aside and downloaded again. STATUS_INPUT where the manifest
 * names none. Errors as those of download_file, store_lock and store_keep; with options->offline STATUS_ENVIRONMENT for
 * what is missing. */
enum status obtain_weights(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained,
                           struct error *error) MUST_USE;

/* The data set, unpacked, from the first of its archives that is in the store or can be downloaded. STATUS_INPUT also
 * for an archive that holds other than CIFAR-10's files. Whether the images are the manifest's is data_load's to
 * say. */
enum status obtain_dataset(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained,
                           struct error *error) MUST_USE;

/* The weights' file or the data set's folder if it is already in the store; no network is used. STATUS_ENVIRONMENT if
 * it is not there, STATUS_INPUT if it is damaged; both say what to do. */
enum status obtain_find_weights(const struct store *store, const struct manifest *manifest, char path[FILE_PATH_BYTES],
                                struct error *error) MUST_USE;
enum status obtain_find_dataset(const struct store *store, const struct manifest *manifest,
                                char folder[FILE_PATH_BYTES], struct error *error) MUST_USE;

#endif
