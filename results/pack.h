/* A run in one file: a tar whose bytes follow from the bytes of the record's files, and from nothing else. So a packed
 * run has one SHA-256, wherever it is packed.
 *
 * format   POSIX ustar, not compressed: weights are as good as random, and a compressor's output depends on its
 *          version. Files alone, in this order, as run/NAME: record.json, manifest.yaml, metrics.jsonl, ledger.txt or
 *          ledger.txt.gz, weights.safetensors, checkpoints/ by step, attestations/ by name. Mode 0644, owner and group
 *          0 without names, time 0, padded to 10,240 bytes: what GNU tar writes with --format=ustar --owner=0 --group=0
 *          --numeric-owner --mtime=@0 --mode=0644.
 * reading  A packed run is read if it is what writing would give, to the last byte. So there is nothing to be clever
 *          about in a hostile one: each header is made anew from the name and the size that it says, and must be equal.
 *          A header holds no link, no other type, no path but those above; names rise, so that none comes twice; there
 *          is one ledger; and nothing follows the end. */
#ifndef SELFSAME_PACK_H
#define SELFSAME_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/hash.h"

#define PACK_SUFFIX ".tar"

struct packed {
    size_t files;
    uint64_t bytes; /* of the whole file */
    char sha256[DIGEST_HEX_BYTES];
};

/* Packs a run's folder into a file that the caller publishes. What is not of a record stays out, and `left_out` (may be
 * NULL) is told its name. Neither side is checked: results/weights_check.h. */
enum status pack_write(const char *folder, struct draft *draft, bool checkpoints,
                       void (*left_out)(const char *folder, const char *name), struct packed *packed,
                       struct error *error) MUST_USE;

/* Unpacks into a folder, which is made, and is empty or not there after an error. STATUS_INPUT, naming the file, the
 * entry and the byte, for anything that pack_write would not have written. */
enum status pack_read(const char *path, const char *folder, struct packed *packed, struct error *error) MUST_USE;

#endif
