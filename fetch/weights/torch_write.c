#include "fetch/weights/torch_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/file.h"

enum {
    ALIGNMENT = 64, /* of every entry's data, as torch wants it for mapping */
    NAME_BYTES = 32,
    OWN_ENTRIES = 3, /* data.pkl, byteorder, version */
    ENTRIES_MAX = 65535 - 1,
    LOCAL_BYTES = 30,
    EXTRA_BYTES = 4,
    FLAG_UTF8 = 0x0800,
    DATE_1980 = 0x0021, /* the first day there is: no time moves the bytes */
    VERSION_STORED = 10
};
enum { END_MARK = 0x06054b50, CENTRAL_MARK = 0x02014b50, LOCAL_MARK = 0x04034b50 };

struct entry {
    char name[NAME_BYTES];
    uint32_t bytes, crc32;
    uint32_t offset;
};

static void put(FILE *file, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        fputc((int)(value & 0xff), file);
}

/* ---- the object -------------------------------------------------------------------------------------------------- */

static void pickle_text(FILE *file, const char *text)
{
    fputc('X', file); /* BINUNICODE */
    put(file, strlen(text), 4);
    fputs(text, file);
}

static void pickle_integer(FILE *file, uint64_t value)
{
    if (value <= INT32_MAX) {
        fputc('J', file); /* BININT */
        put(file, value, 4);
    } else {
        fputs("\x8a\x08", file); /* LONG1 of eight bytes */
        put(file, value, 8);
    }
}

static void pickle_ordered_dict(FILE *file)
{
    fputs("ccollections\nOrderedDict\n)R", file);
}

static uint64_t source_count(const struct safetensors_source *source)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < source->rank; i++)
        count *= source->shape[i];
    return count;
}

/* _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()). */
static void pickle_tensor(FILE *file, const struct safetensors_source *source, size_t key)
{
    char text[NAME_BYTES];
    snprintf(text, sizeof text, "%zu", key);
    fputs("ctorch._utils\n_rebuild_tensor_v2\n((", file);
    pickle_text(file, "storage");
    fputs("ctorch\nFloatStorage\n", file);
    pickle_text(file, text);
    pickle_text(file, "cpu");
    pickle_integer(file, source_count(source));
    fputs("tQ", file); /* TUPLE, BINPERSID */
    pickle_integer(file, 0);
    fputc('(', file);
    for (uint32_t i = 0; i < source->rank; i++)
        pickle_integer(file, source->shape[i]);
    fputs("t(", file);
    for (uint32_t i = 0; i < source->rank; i++) {
        uint64_t stride = 1;
        for (uint32_t j = i + 1; j < source->rank; j++)
            stride *= source->shape[j];
        pickle_integer(file, stride);
    }
    fputs("t\x89", file); /* TUPLE, NEWFALSE */
    pickle_ordered_dict(file);
    fputs("tR", file); /* TUPLE, REDUCE */
}

/* The caller frees; NULL without memory. */
static char *make_object(const struct safetensors_source *sources, size_t count, size_t *bytes)
{
    char *object = NULL;
    FILE *file = open_memstream(&object, bytes);
    if (file == NULL)
        return NULL;
    fputs("\x80\x02", file);
    pickle_ordered_dict(file);
    for (size_t i = 0; i < count; i++) {
        pickle_text(file, sources[i].name);
        pickle_tensor(file, &sources[i], i);
        fputc('s', file); /* SETITEM */
    }
    fputc('.', file);
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed) {
        free(object);
        return NULL;
    }
    return object;
}

/* ---- the zip file ------------------------------------------------------------------------------------------------ */

/* What both headers of an entry share, from "version needed" to the name's length. */
static void put_facts(FILE *file, const struct entry *entry)
{
    put(file, VERSION_STORED, 2);
    put(file, FLAG_UTF8, 2);
    put(file, 0, 2); /* stored */
    put(file, 0, 2);
    put(file, DATE_1980, 2);
    put(file, entry->crc32, 4);
    put(file, entry->bytes, 4);
    put(file, entry->bytes, 4);
    put(file, strlen(entry->name), 2);
}

static void put_entry(FILE *file, struct entry *entry, const void *data, size_t bytes)
{
    long offset = ftell(file);
    size_t name = strlen(entry->name), start = (size_t)offset + LOCAL_BYTES + name + EXTRA_BYTES;
    size_t padding = (ALIGNMENT - start % ALIGNMENT) % ALIGNMENT;
    entry->offset = (uint32_t)offset;
    entry->bytes = (uint32_t)bytes;
    entry->crc32 = (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, bytes);
    put(file, LOCAL_MARK, 4);
    put_facts(file, entry);
    put(file, EXTRA_BYTES + padding, 2);
    fputs(entry->name, file);
    fputs("FB", file); /* the extra field in which torch pads */
    put(file, padding, 2);
    for (size_t i = 0; i < padding; i++)
        fputc('Z', file);
    fwrite(data, 1, bytes, file);
}

static void put_directory(FILE *file, const struct entry *entries, size_t count)
{
    long offset = ftell(file);
    for (size_t i = 0; i < count; i++) {
        put(file, CENTRAL_MARK, 4);
        put(file, VERSION_STORED, 2);
        put_facts(file, &entries[i]);
        put(file, 0, 12); /* extra, comment, disk, attributes */
        put(file, entries[i].offset, 4);
        fputs(entries[i].name, file);
    }
    size_t bytes = (size_t)(ftell(file) - offset);
    put(file, END_MARK, 4);
    put(file, 0, 4);
    put(file, count, 2);
    put(file, count, 2);
    put(file, bytes, 4);
    put(file, (uint64_t)offset, 4);
    put(file, 0, 2);
}

static bool put_archive(FILE *file, const struct safetensors_source *sources, size_t count, struct entry *entries,
                        const char *object, size_t object_bytes)
{
    size_t used = 0;
    snprintf(entries[used].name, NAME_BYTES, "archive/data.pkl");
    put_entry(file, &entries[used++], object, object_bytes);
    snprintf(entries[used].name, NAME_BYTES, "archive/byteorder");
    put_entry(file, &entries[used++], "little", 6);
    for (size_t i = 0; i < count; i++) {
        size_t numbers = (size_t)source_count(&sources[i]);
        uint8_t *data = malloc(4 * numbers + 1);
        if (data == NULL)
            return false;
        bytes_put_floats(data, sources[i].values, numbers);
        snprintf(entries[used].name, NAME_BYTES, "archive/data/%zu", i);
        put_entry(file, &entries[used++], data, 4 * numbers);
        free(data);
    }
    snprintf(entries[used].name, NAME_BYTES, "archive/version");
    put_entry(file, &entries[used++], "3\n", 2);
    put_directory(file, entries, used);
    return ferror(file) == 0;
}

enum status torch_write(const char *path, const struct safetensors_source *sources, size_t count, struct error *error)
{
    enum {
        OVERHEAD = 1024
    }; /* at most, of an entry: its headers, padding and part of the object, without its tensor's name */
    char *archive = NULL, *object = NULL;
    size_t archive_bytes = 0, object_bytes = 0;
    uint64_t bytes = OVERHEAD * OWN_ENTRIES;
    for (size_t i = 0; i < count; i++)
        bytes += OVERHEAD + strlen(sources[i].name) + 4 * source_count(&sources[i]);
    if (count > ENTRIES_MAX - OWN_ENTRIES || bytes > UINT32_MAX)
        return error_set(error, STATUS_INPUT,
                         "%s would need zip64, which selfsame does not write; a .safetensors file may have any size",
                         path);
    struct entry *entries = calloc(count + OWN_ENTRIES, sizeof *entries);
    FILE *file = open_memstream(&archive, &archive_bytes);
    bool good = entries != NULL && file != NULL && (object = make_object(sources, count, &object_bytes)) != NULL &&
                put_archive(file, sources, count, entries, object, object_bytes);
    if (file != NULL && fclose(file) != 0)
        good = false;
    enum status status = good ? file_write(path, archive, archive_bytes, error)
                              : error_out_of_memory(error, "the %" PRIu64 " bytes of %s", bytes, path);
    free(object);
    free(archive);
    free(entries);
    return status;
}
