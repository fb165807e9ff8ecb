#include "fetch/weights/torch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fetch/weights/npy.h"
#include "fetch/weights/state_dict.h"
#include "fetch/weights/torch_reader.h"

enum { LEGACY_VERSION = 1001, LEGACY_PICKLES = 3 };

/* LONG1 of ten bytes, 0x1950a86a20f9469cfc6c, STOP: all of the first pickle behind its protocol. */
static const uint8_t legacy_magic[] = { 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };

/* What an archive may unpack to: zeros shrink to almost nothing, numbers do not. */
static const size_t UNPACK_MIN = (size_t)64 << 20, UNPACK_MAX = (size_t)1 << 30;
enum { UNPACK_RATIO = 64 };

/* ---- the legacy format ------------------------------------------------------------------------------------------- */

bool torch_is_legacy(const uint8_t *file, size_t bytes)
{
    enum { PROTOCOL_BYTES = 2, FRAME_BYTES = 9, OPCODE_PROTO = 0x80, OPCODE_FRAME = 0x95 };
    if (bytes < PROTOCOL_BYTES + FRAME_BYTES + sizeof legacy_magic || file[0] != OPCODE_PROTO)
        return false;
    const uint8_t *magic = file + PROTOCOL_BYTES + (file[PROTOCOL_BYTES] == OPCODE_FRAME ? FRAME_BYTES : 0);
    return memcmp(magic, legacy_magic, sizeof legacy_magic) == 0;
}

/* The magic number, the version and what machine wrote. */
static enum status check_preamble(const char *path, const uint8_t *file, size_t bytes, size_t *place,
                                  struct error *error)
{
    for (int number = 0; number < LEGACY_PICKLES; number++) {
        struct pickle pickle;
        enum status status = pickle_read(&pickle, path, file, bytes, *place, place, error);
        if (status != STATUS_OK)
            return status;
        const struct pickle_value *root = pickle.root, *little = number == 2 ? pickle_get(root, "little_endian") : NULL;
        if (number == 1 && (root->type != PICKLE_INTEGER || root->integer != LEGACY_VERSION))
            status =
                error_set(error, STATUS_INPUT, "%s: a torch file of a version other than %d", path, LEGACY_VERSION);
        if (number == 2 && (little == NULL || little->type != PICKLE_BOOLEAN || !little->boolean))
            status = error_set(error, STATUS_INPUT, "%s: a torch file that is not little-endian", path);
        pickle_free(&pickle);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status refuse(const struct torch_reader *r, const struct pickle_value *value, const char *what)
{
    return error_set(r->error, STATUS_INPUT, "%s: byte %zu: %s", r->path, value->offset, what);
}

/* Behind the last pickle: each storage's number of elements and its elements, in the order of the list. */
static enum status place_storages(struct torch_reader *r, const struct pickle_value *keys, const uint8_t *file,
                                  size_t place)
{
    if (keys->type != PICKLE_LIST)
        return refuse(r, keys, "the fifth pickle is not the list of storages");
    for (size_t i = 0; i < keys->list.count; i++) {
        const struct pickle_value *key = keys->list.items[i];
        struct torch_storage *storage = pickle_is_text(key) ? torch_find_storage(r, key) : NULL;
        if (storage == NULL)
            return refuse(r, key, "the list of storages names one that no tensor uses, or of a type that is not known");
        if (storage->data != NULL)
            return refuse(r, key, "the list of storages names one twice");
        uint64_t bytes = storage->count * element_bytes(storage->element);
        if (r->bytes - place < 8 || r->bytes - place - 8 < bytes)
            return error_set(r->error, STATUS_INPUT,
                             "%s: byte %zu: a storage of %" PRIu64 " bytes is expected, but %zu follow: the file is "
                             "truncated",
                             r->path, place, 8 + bytes, r->bytes - place);
        if (bytes_get_u64(file + place) != storage->count)
            return error_set(r->error, STATUS_INPUT,
                             "%s: byte %zu: a storage has %" PRIu64 " elements, but its tensors say %" PRIu64, r->path,
                             place, bytes_get_u64(file + place), storage->count);
        storage->data = file + place + 8;
        place += 8 + (size_t)bytes;
    }
    for (size_t i = 0; i < r->storage_count; i++) {
        if (r->storages[i].data == NULL)
            return refuse(r, keys, "the list of storages does not have one that a tensor uses");
    }
    if (place != r->bytes)
        return error_set(r->error, STATUS_INPUT, "%s: %zu bytes follow the last storage", r->path, r->bytes - place);
    return STATUS_OK;
}

/* The object and the storages of a legacy file; pickle is the caller's to free in any case. */
static enum status read_legacy(struct torch_reader *r, const uint8_t *file, struct pickle *pickle)
{
    struct pickle keys = { .chunks = NULL };
    size_t place = 0;
    enum status status = check_preamble(r->path, file, r->bytes, &place, r->error);
    if (status == STATUS_OK)
        status = pickle_read(pickle, r->path, file, r->bytes, place, &place, r->error);
    if (status == STATUS_OK)
        status = pickle_read(&keys, r->path, file, r->bytes, place, &place, r->error);
    r->pickle = pickle;
    r->parsed = status == STATUS_OK ? place : r->bytes;
    if (status == STATUS_OK)
        status = torch_collect_storages(r);
    if (status == STATUS_OK)
        status = place_storages(r, keys.root, file, place);
    pickle_free(&keys);
    return status;
}

enum status torch_read_legacy(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                              const char *key, struct error *error)
{
    struct torch_reader r = { .tensors = tensors, .path = path, .bytes = bytes, .key = key, .error = error };
    struct pickle pickle = { .chunks = NULL };
    enum status status = read_legacy(&r, file, &pickle);
    if (status == STATUS_OK)
        status = state_dict_read(&r);
    torch_free_storages(&r);
    pickle_free(&pickle);
    return status;
}

enum status torch_read_single_storage(const char *path, const uint8_t *file, size_t bytes,
                                      struct torch_storage *storage, size_t *parsed, struct error *error)
{
    struct torch_reader r = { .path = path, .bytes = bytes, .parsed = bytes, .error = error };
    struct pickle pickle = { .chunks = NULL };
    enum status status = torch_is_legacy(file, bytes)
                             ? read_legacy(&r, file, &pickle)
                             : error_set(error, STATUS_INPUT, "%s: a storage that torch.save did not write", path);
    if (status == STATUS_OK && (pickle.root->type != PICKLE_PERSISTENT || r.storage_count != 1))
        status = error_set(error, STATUS_INPUT, "%s: the file of a storage contains something else", path);
    if (status == STATUS_OK)
        *storage = r.storages[0];
    *parsed = r.parsed;
    torch_free_storages(&r);
    pickle_free(&pickle);
    return status;
}

enum status torch_read_object(struct tensors *tensors, const char *path, size_t bytes, const struct pickle *pickle,
                              const char *key, struct error *error)
{
    struct torch_reader r = {
        .tensors = tensors, .path = path, .bytes = bytes, .pickle = pickle, .key = key, .error = error
    };
    return state_dict_read(&r);
}

/* ---- the zip format ---------------------------------------------------------------------------------------------- */

/* "STEM/", the one folder that holds data.pkl; its length in r->stem_bytes. NULL where none does. */
static enum status find_stem(struct torch_reader *r)
{
    static const char object[] = "data.pkl";
    for (size_t i = 0; i < r->zip->count; i++) {
        const char *name = r->zip->entries[i].name, *slash = strrchr(name, '/');
        size_t length = slash != NULL ? (size_t)(slash + 1 - name) : 0;
        if (strcmp(name + length, object) != 0)
            continue;
        if (r->stem != NULL)
            return error_set(r->error, STATUS_INPUT, "%s contains two objects, %.80s and %.*s%s", r->path, name,
                             (int)(r->stem_bytes > 80 ? 80 : r->stem_bytes), r->stem, object);
        r->stem = name;
        r->stem_bytes = length;
    }
    for (size_t i = 0; r->stem != NULL && i < r->zip->count; i++) {
        const char *rest = r->zip->entries[i].name;
        if (strncmp(rest, r->stem, r->stem_bytes) != 0)
            continue;
        rest += r->stem_bytes;
        if (strncmp(rest, "code/", 5) == 0 || strcmp(rest, "constants.pkl") == 0)
            return error_set(r->error, STATUS_INPUT,
                             "%s is a TorchScript archive, which contains a program: save only its weights, with "
                             "torch.save(torch.jit.load(FILE).state_dict(), OUT)",
                             r->path);
    }
    return STATUS_OK;
}

static enum status check_byte_order(struct torch_reader *r)
{
    const struct zip_entry *order = torch_find_entry(r, "byteorder", 0);
    const uint8_t *data;
    uint8_t *memory = NULL;
    if (order == NULL)
        return STATUS_OK;
    enum status status = torch_open_entry(r, order, &data, &memory);
    if (status == STATUS_OK && (order->bytes != 6 || memcmp(data, "little", 6) != 0))
        status = error_set(r->error, STATUS_INPUT, "%s: a torch file that is not little-endian", r->path);
    free(memory);
    return status;
}

/* The object. Of an entry that is stored, offsets in messages are the file's; else the path names the entry. */
static enum status read_data(struct torch_reader *r, const uint8_t *file)
{
    const struct zip_entry *object = torch_find_entry(r, "data.pkl", 0);
    const char *path = r->path;
    const uint8_t *data;
    uint8_t *memory = NULL;
    char *longer = NULL;
    struct pickle pickle = { .chunks = NULL };
    enum status status = torch_open_entry(r, object, &data, &memory);
    if (status != STATUS_OK)
        return status;
    size_t start = memory == NULL ? (size_t)(data - file) : 0, end = start;
    if (memory != NULL && asprintf(&longer, "%s: data.pkl", path) < 0)
        longer = NULL;
    if (longer != NULL)
        r->path = longer;
    status =
        pickle_read(&pickle, r->path, memory == NULL ? file : memory, start + object->bytes, start, &end, r->error);
    if (status == STATUS_OK && end != start + object->bytes)
        status =
            error_set(r->error, STATUS_INPUT, "%s: byte %zu: data.pkl has more bytes after its pickle", r->path, end);
    r->pickle = &pickle;
    if (status == STATUS_OK)
        status = torch_collect_storages(r);
    if (status == STATUS_OK)
        status = state_dict_read(r);
    r->path = path;
    torch_free_storages(r);
    r->pickle = NULL;
    pickle_free(&pickle);
    free(longer);
    free(memory);
    return status;
}

static enum status read_entries(struct torch_reader *r, const uint8_t *file, bool *npz)
{
    enum status status = find_stem(r);
    *npz = status == STATUS_OK && r->stem == NULL;
    if (*npz)
        return npy_read_archive(r);
    if (status == STATUS_OK)
        status = check_byte_order(r);
    return status == STATUS_OK ? read_data(r, file) : status;
}

enum status torch_read_zip(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                           const char *key, bool *npz, struct error *error)
{
    size_t limit = bytes < UNPACK_MAX / UNPACK_RATIO ? UNPACK_RATIO * bytes : UNPACK_MAX;
    struct torch_reader r = { .tensors = tensors,
                              .path = path,
                              .bytes = bytes,
                              .unpack_limit = limit > UNPACK_MIN ? limit : UNPACK_MIN,
                              .key = key,
                              .error = error };
    struct zip zip;
    *npz = false;
    enum status status = zip_open(&zip, path, file, bytes, error);
    if (status != STATUS_OK)
        return status;
    r.zip = &zip;
    status = read_entries(&r, file, npz);
    zip_close(&zip);
    return status;
}
