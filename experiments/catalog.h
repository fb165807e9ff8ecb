/* The manifests of the experiments folder, looked up by the weights that they name. */
#ifndef SELFSAME_CATALOG_H
#define SELFSAME_CATALOG_H

#include <stdbool.h>

#include "base/file.h"
#include "experiments/manifest.h"

/* Whether a manifest's weights are the file of this SHA-256: it is theirs, or begins as theirs is published to. */
bool catalog_names(const struct manifest_source *weights, const char *sha256);

/* The manifest, in the first experiments folder that there is (manifest.h, "inherit"), that names the file of this
 * digest. Of several the one with the shortest path, then the first in bytewise order: variants have longer names.
 * path     "" if there is none.
 * errors   STATUS_ENVIRONMENT where the folder cannot be read. Files that are no manifest of their own, such as
 *          base.yaml, are passed over. */
enum status catalog_find_weights(const char sha256[DIGEST_HEX_BYTES], char path[FILE_PATH_BYTES],
                                 struct error *error) MUST_USE;

#endif
