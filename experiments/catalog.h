/* Finds the manifest of the experiments folder that names given weights. */
#ifndef SELFSAME_CATALOG_H
#define SELFSAME_CATALOG_H

#include <stdbool.h>

#include "base/file.h"
#include "experiments/manifest.h"

/* Whether a manifest's weights are the file of this SHA-256: the manifest names it, or its beginning. */
bool catalog_names(const struct manifest_source *weights, const char *sha256);

/* Finds the manifest that names the file of this digest, in the first experiments folder that exists (manifest.h,
 * "inherit"). If there are several, it takes the one with the shortest path, then the first in bytewise order, because
 * variants have longer names.
 * path     "" if there is none.
 * errors   STATUS_ENVIRONMENT if the folder cannot be read. Files that are not whole manifests, such as base.yaml, are
 *          skipped. */
enum status catalog_find_weights(const char sha256[DIGEST_HEX_BYTES], char path[FILE_PATH_BYTES],
                                 struct error *error) MUST_USE;

#endif
