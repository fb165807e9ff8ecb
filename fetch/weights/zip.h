/* Reads a zip file in memory: one that torch.save or numpy.savez wrote, or one that was packed again.
 *
 * reading  Only the central directory says which entries there are, because local headers of torch's files have neither
 *          sizes nor checksums. zip64 is read. Every place is checked to lie in the file, every local header to have
 *          the same name, every entry's CRC-32 when it is opened.
 * refused  Several disks, an entry that is there twice, entries that share bytes, bytes after the end record; when it
 *          is opened, an entry that is encrypted, or compressed by another method than deflate, or that unpacks to more
 *          than its limit.
 * source   PKWARE's APPNOTE, 4.3 and 4.5.3. */
#ifndef SELFSAME_ZIP_H
#define SELFSAME_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { ZIP_ENTRIES_MAX = 500000, ZIP_NAME_MAX = 1024 };

struct zip_entry {
    const char *name;     /* terminated */
    const uint8_t *data;  /* in the file */
    size_t packed, bytes; /* in the file, and once it is unpacked */
    uint32_t method;      /* 0: stored as it is */
    bool encrypted;
    uint32_t crc32;
};

struct zip {
    struct zip_entry *entries; /* in bytewise order of their names */
    size_t count;
    char *names;
};

/* file outlives the zip; path is for messages. STATUS_INPUT for what is not such a file; then there is nothing to
 * free. */
enum status zip_open(struct zip *zip, const char *path, const uint8_t *file, size_t bytes,
                     struct error *error) MUST_USE;
void zip_close(struct zip *zip);
/* NULL if there is none of that name. */
const struct zip_entry *zip_find(const struct zip *zip, const char *name);
/* Opens an entry of at most `limit` bytes: *data is where its bytes are, in the file or in *memory, which the caller
 * frees in any case. STATUS_INPUT where it cannot be unpacked, or its bytes do not have the checksum that the directory
 * says. */
enum status zip_read(const struct zip_entry *entry, const char *path, size_t limit, const uint8_t **data,
                     uint8_t **memory, struct error *error) MUST_USE;

#endif
