#include "results/source_changes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/hash.h"
#include "fetch/gunzip.h"

enum { GZIP_WINDOW = 15 + 16 };

static enum status compress_text(const struct source_changes *changes, uint8_t **data, size_t *bytes,
                                 struct error *error)
{
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)changes->text, .avail_in = (uInt)changes->bytes };
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return error_out_of_memory(error, "%s", SOURCE_CHANGES_FILE);
    const uLong most = deflateBound(&stream, (uLong)changes->bytes);
    *data = malloc(most);
    stream.next_out = *data;
    stream.avail_out = (uInt)most;
    const bool whole = *data != NULL && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    *bytes = stream.total_out;
    (void)deflateEnd(&stream);
    return whole ? STATUS_OK : error_out_of_memory(error, "%s", SOURCE_CHANGES_FILE);
}

enum status source_changes_write(const struct source_changes *changes, const char *folder, struct error *error)
{
    char path[FILE_PATH_BYTES];
    uint8_t *data = NULL;
    size_t bytes = 0;
    enum status status = file_path(path, error, "%s/%s", folder, SOURCE_CHANGES_FILE);
    if (status != STATUS_OK)
        return status;
    if (changes == NULL || changes->text == NULL || changes->bytes == 0)
        return file_exists(path) ? file_remove(path, error) : STATUS_OK;
    status = compress_text(changes, &data, &bytes, error);
    if (status == STATUS_OK)
        status = file_write(path, data, bytes, error);
    free(data);
    return status;
}

enum status source_changes_check(const struct record *record, bool *there, struct error *error)
{
    char path[FILE_PATH_BYTES], hex[DIGEST_HEX_BYTES];
    struct gunzip *gunzip;
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    const void *data;
    size_t bytes;
    const char *said = record->facts.source_changes_sha256;
    *there = false;
    enum status status = file_path(path, error, "%s/%s", record->path, SOURCE_CHANGES_FILE);
    if (status != STATUS_OK || !file_exists(path))
        return status;
    status = gunzip_open(&gunzip, path, SOURCE_CHANGES_MOST, error);
    if (status != STATUS_OK)
        return status;
    sha256_start(&sha256);
    while ((status = gunzip_next(gunzip, &data, &bytes, error)) == STATUS_OK && bytes > 0)
        sha256_add(&sha256, data, bytes);
    sha256_finish(&sha256, digest);
    gunzip_close(gunzip);
    if (status != STATUS_OK)
        return status;
    digest_to_hex(digest, hex);
    *there = strcmp(hex, said) == 0;
    if (*there || record->facts.state == RECORD_RUNNING)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s: %s and %s contradict each other: the SHA-256 of the changes is %s, but the record says %s",
                     record->path, RECORD_FILE, SOURCE_CHANGES_FILE, hex, said[0] != '\0' ? said : "of none");
}
