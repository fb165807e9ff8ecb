/* A gzipped tar, unpacked into a folder that appears whole or not at all. Only what is expected comes out of it.
 *
 * refused  Names: those that are not in the layout, absolute ones, and those with "..". Entries: links, devices, sparse
 *          files, sizes out of bounds, a file that comes twice or is missing. More entries or bytes than the layout can
 *          have, which stops archive bombs. A stream that is cut, damaged (its CRC is checked) or followed by other
 *          bytes.
 * written  under the layout's names, never the archive's; each file and folder synced; and SHA256SUMS of them in the
 *          form of sha256sum. */
#ifndef SELFSAME_ARCHIVE_H
#define SELFSAME_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct archive_file {
    const char *name;
    uint64_t bytes_min, bytes_max;
    bool required;
};

enum { ARCHIVE_FILES_MAX = 16 };

/* What an archive may hold: one folder with files. */
struct archive_layout {
    const char *folder;
    struct archive_file files[ARCHIVE_FILES_MAX]; /* ended by a name of NULL, or full */
};

#define ARCHIVE_SUMS "SHA256SUMS"

/* Unpacks to `folder`, which is not there yet: folder/SHA256SUMS and folder/<layout's folder>/<files>. The archive's
 * first entry decides which of the layouts it has. stop_requested (may be NULL) is polled: true ends it with
 * STATUS_INTERRUPTED.
 * errors   STATUS_INPUT names the archive and the entry; STATUS_ENVIRONMENT for disk and memory. Nothing is left behind
 *          after an error; what a killed process leaves is called folder.XXXXXX. */
enum status archive_unpack(const char *path, const struct archive_layout *layouts, size_t layout_count,
                           const char *folder, bool (*stop_requested)(void *context), void *context,
                           struct error *error) MUST_USE;

/* For reading an archive's files into memory instead, which writes nothing. */
struct archive_taker {
    void *context;
    /* Whether a file of that layout is to be read. */
    bool (*wants)(void *context, size_t layout, const char *name);
    /* Given each of them; `shown` is "ARCHIVE: NAME", for messages. */
    enum status (*take)(void *context, size_t layout, const char *name, const char *shown, const uint8_t *data,
                        size_t bytes, struct error *error);
};

/* Refuses what archive_unpack refuses, but an archive may hold fewer files than its layout. Errors as archive_unpack's,
 * and the taker's. */
enum status archive_read(const char *path, const struct archive_layout *layouts, size_t layout_count,
                         const struct archive_taker *taker, struct error *error) MUST_USE;

#endif
