/* What a manifest names, got into the store: its data set, checked and unpacked, and its weights. */
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

struct obtained {
    char path[FILE_PATH_BYTES];    /* of the weights' file, or of the folder that the archive is unpacked to */
    char name[256];                /* of the file as its publisher calls it */
    char sha256[DIGEST_HEX_BYTES]; /* of the file or archive */
    uint64_t received;             /* bytes over the network; 0 where it was there */
    bool fetched;
};

/* What a URL's file is called: its last part, without a query. */
void obtain_name(const struct manifest_source *source, char name[256]);

/* The weights' file. STATUS_INPUT where the manifest names none. Errors as those of download_file, store_lock and
 * store_keep; with options->offline STATUS_ENVIRONMENT for what is missing. */
enum status obtain_weights(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained,
                           struct error *error) MUST_USE;

/* The data set, from the first of its archives that is there or can be had, unpacked. STATUS_INPUT also for an archive
 * that holds other than CIFAR-10's files. Whether the images are the manifest's is data_load's to say. */
enum status obtain_dataset(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained,
                           struct error *error) MUST_USE;

/* The folder of the data set in the store, "" where it is not there; no network. */
enum status obtain_find_dataset(const struct store *store, const struct manifest *manifest,
                                char folder[FILE_PATH_BYTES], struct error *error) MUST_USE;

#endif
