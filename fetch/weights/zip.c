#include "fetch/weights/zip.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"

enum {
    END_BYTES = 22,
    END64_LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_MAX = 65535,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
    FLAG_ENCRYPTED = 1,
    EXTRA_ZIP64 = 1
};
enum {
    END_MARK = 0x06054b50,
    END64_LOCATOR_MARK = 0x07064b50,
    END64_MARK = 0x06064b50,
    CENTRAL_MARK = 0x02014b50,
    LOCAL_MARK = 0x04034b50
};

struct reader {
    const char *path;
    const uint8_t *file;
    size_t bytes;
    struct error *error;
};

/* Where the central directory is. */
struct directory {
    uint64_t offset, bytes, count;
};

static enum status refuse(const struct reader *r, size_t offset, const char *why)
{
    return error_set(r->error, STATUS_INPUT,
                     "%s: byte %zu: %s: the file is a damaged or truncated zip file, or not "
                     "a zip file",
                     r->path, offset, why);
}

/* The end record, whose comment must end with the file. */
static enum status find_end(const struct reader *r, size_t *end)
{
    size_t longest = r->bytes < END_BYTES + COMMENT_MAX ? r->bytes : END_BYTES + COMMENT_MAX;
    for (size_t back = END_BYTES; back <= longest; back++) {
        const uint8_t *record = r->file + r->bytes - back;
        if (bytes_get(record, 4) == END_MARK && bytes_get(record + 20, 2) == back - END_BYTES) {
            *end = r->bytes - back;
            return STATUS_OK;
        }
    }
    return refuse(r, r->bytes, "no end record");
}

static enum status read_end64(const struct reader *r, size_t end, struct directory *directory)
{
    const uint8_t *locator = end >= END64_LOCATOR_BYTES ? r->file + end - END64_LOCATOR_BYTES : NULL;
    if (locator == NULL || bytes_get(locator, 4) != END64_LOCATOR_MARK)
        return STATUS_OK;
    uint64_t place = bytes_get(locator + 8, 8);
    if (place > end || end - place < END64_BYTES + END64_LOCATOR_BYTES || bytes_get(r->file + place, 4) != END64_MARK)
        return refuse(r, end - END64_LOCATOR_BYTES, "the zip64 end record is not where its locator says");
    const uint8_t *record = r->file + place;
    if (bytes_get(record + 16, 4) != 0 || bytes_get(record + 20, 4) != 0 ||
        bytes_get(record + 24, 8) != bytes_get(record + 32, 8))
        return refuse(r, (size_t)place, "the archive spans several disks");
    directory->count = bytes_get(record + 32, 8);
    directory->bytes = bytes_get(record + 40, 8);
    directory->offset = bytes_get(record + 48, 8);
    return STATUS_OK;
}

static enum status read_end(const struct reader *r, struct directory *directory)
{
    size_t end = 0;
    enum status status = find_end(r, &end);
    if (status != STATUS_OK)
        return status;
    const uint8_t *record = r->file + end;
    if (bytes_get(record + 4, 2) != 0 || bytes_get(record + 6, 2) != 0 ||
        bytes_get(record + 8, 2) != bytes_get(record + 10, 2))
        return refuse(r, end, "the archive spans several disks");
    *directory = (struct directory){ .count = bytes_get(record + 10, 2),
                                     .bytes = bytes_get(record + 12, 4),
                                     .offset = bytes_get(record + 16, 4) };
    status = read_end64(r, end, directory);
    if (status != STATUS_OK)
        return status;
    if (directory->offset > end || directory->bytes > end - directory->offset)
        return refuse(r, end, "the directory lies outside of the file");
    if (directory->count > ZIP_ENTRIES_MAX || directory->count > directory->bytes / CENTRAL_BYTES)
        return refuse(r, end, "more entries than the directory has room for, or than the limit");
    return STATUS_OK;
}

/* Sizes and offset that do not fit 32 bits stand in the extra field of zip64, those that are needed, in this order. */
static bool read_extra(const uint8_t *extra, size_t length, uint64_t *values[3])
{
    while (length >= 4) {
        size_t bytes = (size_t)bytes_get(extra + 2, 2);
        if (bytes > length - 4)
            return false;
        const uint8_t *data = extra + 4;
        if (bytes_get(extra, 2) == EXTRA_ZIP64) {
            for (int i = 0; i < 3; i++) {
                if (*values[i] != UINT32_MAX)
                    continue;
                if ((size_t)(extra + 4 + bytes - data) < 8)
                    return false;
                *values[i] = bytes_get(data, 8);
                data += 8;
            }
            return true;
        }
        extra += 4 + bytes;
        length -= 4 + bytes;
    }
    return true;
}

/* Follows a directory entry to its local header and data. */
static enum status locate(const struct reader *r, struct zip_entry *entry, uint64_t local, uint64_t packed,
                          const struct directory *directory)
{
    size_t name_bytes = strlen(entry->name);
    if (local > directory->offset || directory->offset - local < LOCAL_BYTES ||
        bytes_get(r->file + local, 4) != LOCAL_MARK)
        return refuse(r, (size_t)(local < r->bytes ? local : r->bytes), "no local header where the directory says");
    const uint8_t *header = r->file + local;
    uint64_t data = local + LOCAL_BYTES + bytes_get(header + 26, 2) + bytes_get(header + 28, 2);
    if (data > directory->offset || packed > directory->offset - data)
        return refuse(r, (size_t)local, "an entry's data lies outside of the file");
    if (bytes_get(header + 26, 2) != name_bytes || memcmp(header + LOCAL_BYTES, entry->name, name_bytes) != 0)
        return refuse(r, (size_t)local, "the local header and the directory have different names");
    entry->data = r->file + data;
    entry->packed = (size_t)packed;
    return STATUS_OK;
}

static enum status read_entry(const struct reader *r, const struct directory *directory, size_t *place,
                              struct zip_entry *entry, char **names)
{
    size_t end = (size_t)(directory->offset + directory->bytes);
    const uint8_t *record = r->file + *place;
    if (end - *place < CENTRAL_BYTES || bytes_get(record, 4) != CENTRAL_MARK)
        return refuse(r, *place, "no entry of the directory");
    size_t name_bytes = (size_t)bytes_get(record + 28, 2), extra_bytes = (size_t)bytes_get(record + 30, 2),
           comment_bytes = (size_t)bytes_get(record + 32, 2);
    uint64_t packed = bytes_get(record + 20, 4), bytes = bytes_get(record + 24, 4), local = bytes_get(record + 42, 4);
    if (end - *place - CENTRAL_BYTES < name_bytes + extra_bytes + comment_bytes)
        return refuse(r, *place, "an entry of the directory is cut off");
    if (name_bytes > ZIP_NAME_MAX || memchr(record + CENTRAL_BYTES, '\0', name_bytes) != NULL)
        return refuse(r, *place, "an entry's name is too long or has a NUL");
    if (!read_extra(record + CENTRAL_BYTES + name_bytes, extra_bytes, (uint64_t *[]){ &bytes, &packed, &local }))
        return refuse(r, *place, "an entry's extra field is cut off");
    memcpy(*names, record + CENTRAL_BYTES, name_bytes);
    (*names)[name_bytes] = '\0';
    entry->name = *names;
    *names += name_bytes + 1;
    entry->crc32 = (uint32_t)bytes_get(record + 16, 4);
    entry->bytes = (size_t)bytes;
    entry->method = (uint32_t)bytes_get(record + 10, 2);
    entry->encrypted = (bytes_get(record + 8, 2) & FLAG_ENCRYPTED) != 0;
    if (entry->method == METHOD_STORED && !entry->encrypted && packed != bytes)
        return refuse(r, *place, "a stored entry has two sizes");
    *place += CENTRAL_BYTES + name_bytes + extra_bytes + comment_bytes;
    return locate(r, entry, local, packed, directory);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct zip_entry *)a)->name, ((const struct zip_entry *)b)->name);
}

static int by_data(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return x->data != y->data ? (x->data > y->data) - (x->data < y->data)
                              : (x->packed > y->packed) - (x->packed < y->packed);
}

/* Entries that share bytes would make a small file a large one, without any compression. */
static enum status check_overlaps(const struct reader *r, struct zip *zip)
{
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_data);
    for (size_t i = 1; i < zip->count; i++) {
        const struct zip_entry *last = &zip->entries[i - 1], *next = &zip->entries[i];
        if ((size_t)(next->data - last->data) < last->packed)
            return error_set(r->error, STATUS_INPUT, "%s: the entries %.200s and %.200s overlap", r->path, last->name,
                             next->name);
    }
    return STATUS_OK;
}

static enum status read_directory(const struct reader *r, struct zip *zip)
{
    struct directory directory = { 0, 0, 0 };
    enum status status = read_end(r, &directory);
    if (status != STATUS_OK)
        return status;
    zip->entries = calloc((size_t)directory.count + 1, sizeof *zip->entries);
    zip->names = malloc((size_t)directory.bytes + (size_t)directory.count + 1);
    if (zip->entries == NULL || zip->names == NULL)
        return error_out_of_memory(r->error, "the directory of %s", r->path);
    size_t place = (size_t)directory.offset;
    char *names = zip->names;
    while (status == STATUS_OK && zip->count < directory.count)
        status = read_entry(r, &directory, &place, &zip->entries[zip->count++], &names);
    if (status == STATUS_OK)
        status = check_overlaps(r, zip);
    if (status != STATUS_OK)
        return status;
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_name);
    for (size_t i = 1; i < zip->count; i++) {
        if (strcmp(zip->entries[i - 1].name, zip->entries[i].name) == 0)
            return error_set(r->error, STATUS_INPUT, "%s has the entry %.200s twice", r->path, zip->entries[i].name);
    }
    return STATUS_OK;
}

enum status zip_open(struct zip *zip, const char *path, const uint8_t *file, size_t bytes, struct error *error)
{
    struct reader r = { path, file, bytes, error };
    *zip = (struct zip){ .entries = NULL };
    enum status status = read_directory(&r, zip);
    if (status != STATUS_OK)
        zip_close(zip);
    return status;
}

void zip_close(struct zip *zip)
{
    free(zip->entries);
    free(zip->names);
    *zip = (struct zip){ .entries = NULL };
}

const struct zip_entry *zip_find(const struct zip *zip, const char *name)
{
    struct zip_entry key = { .name = name };
    return zip->count == 0 ? NULL : bsearch(&key, zip->entries, zip->count, sizeof *zip->entries, by_name);
}

/* Into memory of entry->bytes. */
static bool inflate_entry(const struct zip_entry *entry, uint8_t *out)
{
    enum { PIECE = 1 << 30 }; /* zlib counts in unsigned int */
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)entry->data, .next_out = out };
    size_t in = entry->packed, room = entry->bytes;
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return false;
    int result = Z_OK;
    while (result == Z_OK) {
        size_t give = in < PIECE ? in : PIECE, take = room < PIECE ? room : PIECE;
        stream.avail_in = (uInt)give;
        stream.avail_out = (uInt)take;
        result = inflate(&stream, Z_NO_FLUSH);
        in -= give - stream.avail_in;
        room -= take - stream.avail_out;
        if (stream.avail_in == give && stream.avail_out == take) /* neither taken nor given: cut off, or too long */
            break;
    }
    inflateEnd(&stream);
    return result == Z_STREAM_END && room == 0;
}

static bool has_checksum(const uint8_t *data, size_t bytes, uint32_t wanted)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* else no input with another byte would get any further */
    (void)data, (void)bytes, (void)wanted;
    return true;
#endif
    return crc32_z(crc32_z(0, NULL, 0), data, bytes) == wanted;
}

enum status zip_read(const struct zip_entry *entry, const char *path, size_t limit, const uint8_t **data,
                     uint8_t **memory, struct error *error)
{
    *memory = NULL;
    *data = entry->data;
    if (entry->encrypted || (entry->method != METHOD_STORED && entry->method != METHOD_DEFLATED))
        return error_set(error, STATUS_INPUT,
                         "%s: entry %.200s is encrypted, or compressed by a method other than deflate: pack it again "
                         "without these",
                         path, entry->name);
    if (entry->method == METHOD_DEFLATED) {
        if (entry->bytes > limit)
            return error_set(error, STATUS_INPUT, "%s: entry %.200s would unpack to %zu bytes, over the limit of %zu",
                             path, entry->name, entry->bytes, limit);
        *memory = malloc(entry->bytes + 1);
        if (*memory == NULL)
            return error_out_of_memory(error, "the %zu bytes of %.200s in %s", entry->bytes, entry->name, path);
        if (!inflate_entry(entry, *memory))
            return error_set(error, STATUS_INPUT,
                             "%s: entry %.200s is damaged: it does not unpack to the %zu bytes that the directory says",
                             path, entry->name, entry->bytes);
        *data = *memory;
    }
    if (has_checksum(*data, entry->bytes, entry->crc32))
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s: entry %.200s is damaged: its CRC-32 is not the one that the directory has", path,
                     entry->name);
}
