#include "fetch/weights/torch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fetch/weights/zip.h"

enum { LEGACY_VERSION = 1001, NESTING_MAX = 2, KEY_MAX = 128 };

/* PROTO 2, LONG1 of ten bytes, 0x1950a86a20f9469cfc6c, STOP. */
static const uint8_t legacy_start[] = { 0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                        0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };

struct storage {
    const char *key; /* not terminated */
    size_t key_bytes;
    enum element element;
    uint64_t count;
    const uint8_t *data; /* NULL: not found yet */
};

struct reader {
    struct tensors *tensors;
    const char *path;
    const uint8_t *file;
    size_t bytes;
    struct pickle pickle;
    struct storage *storages; /* by key, each once */
    size_t storage_count;
    struct error *error;
};

bool torch_is_legacy(const uint8_t *file, size_t bytes)
{
    return bytes >= sizeof legacy_start && memcmp(file, legacy_start, sizeof legacy_start) == 0;
}

static enum status refuse(const struct reader *r, const struct pickle_value *value, const char *what)
{
    return error_set(r->error, STATUS_INPUT, "%s: byte %zu: %s", r->path, value->offset, what);
}

/* ---- storages ---------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct storage *x = a, *y = b;
    int order = memcmp(x->key, y->key, x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes);
    return order != 0 ? order : (x->key_bytes > y->key_bytes) - (x->key_bytes < y->key_bytes);
}

static struct storage *find_storage(const struct reader *r, const struct pickle_value *key)
{
    struct storage wanted = { .key = key->text.data, .key_bytes = key->text.bytes };
    return r->storage_count == 0 ? NULL : bsearch(&wanted, r->storages, r->storage_count, sizeof wanted, by_key);
}

/* ("storage", torch.FloatStorage, key, location, elements), and in legacy files None or a view. */
static enum status read_reference(const struct reader *r, const struct pickle_value *reference, struct storage *storage)
{
    const struct pickle_value *id = reference->id;
    if (id->type != PICKLE_TUPLE || id->list.count < 5 || id->list.count > 6 ||
        !pickle_is(id->list.items[0], "storage"))
        return refuse(r, reference, "a persistent id that is not of a storage");
    const struct pickle_value *type = id->list.items[1], *key = id->list.items[2];
    if (type->type != PICKLE_GLOBAL || type->call.global != GLOBAL_STORAGE)
        return refuse(r, reference, "a storage of no type");
    if (!pickle_is_text(key) || key->text.bytes == 0 || key->text.bytes > KEY_MAX ||
        memchr(key->text.data, '\0', key->text.bytes) != NULL)
        return refuse(r, reference, "a storage without a key");
    *storage = (struct storage){ .key = key->text.data,
                                 .key_bytes = key->text.bytes,
                                 .element = (enum element)type->call.element };
    if (!pickle_size(id->list.items[4], r->bytes, &storage->count) ||
        storage->count > r->bytes / element_bytes(storage->element))
        return refuse(r, reference, "a storage of more elements than the file has room for");
    return STATUS_OK;
}

/* Every storage that the object names, once; those of one key must agree. */
static enum status collect_storages(struct reader *r)
{
    r->storages = calloc(r->pickle.persistent_count + 1, sizeof *r->storages);
    if (r->storages == NULL)
        return error_out_of_memory(r->error, "the storages of %s", r->path);
    for (size_t i = 0; i < r->pickle.persistent_count; i++) {
        enum status status = read_reference(r, r->pickle.persistent[i], &r->storages[i]);
        if (status != STATUS_OK)
            return status;
    }
    qsort(r->storages, r->pickle.persistent_count, sizeof *r->storages, by_key);
    for (size_t i = 0; i < r->pickle.persistent_count; i++) {
        const struct storage *next = &r->storages[i],
                             *last = r->storage_count > 0 ? &r->storages[r->storage_count - 1] : NULL;
        if (last == NULL || by_key(last, next) != 0) {
            r->storages[r->storage_count++] = *next;
        } else if (last->element != next->element || last->count != next->count) {
            char shown[PICKLE_PRINTABLE_BYTES];
            pickle_printable(next->key, next->key_bytes, shown);
            return error_set(r->error, STATUS_INPUT, "%s: storage %s is spoken of with two types or sizes", r->path,
                             shown);
        }
    }
    return STATUS_OK;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static bool is_tensor(const struct pickle_value *value)
{
    return value->type == PICKLE_OBJECT &&
           (value->call.global == GLOBAL_REBUILD_TENSOR || value->call.global == GLOBAL_REBUILD_TENSOR_V2);
}

/* A view of a storage; in elements. */
struct view {
    const struct storage *storage;
    uint64_t offset, limit; /* elements offset .. limit - 1 may be touched */
    uint32_t rank;
    uint64_t shape[TENSORS_RANK_MAX], strides[TENSORS_RANK_MAX];
    uint64_t count;
    bool contiguous;
};

/* A legacy reference may name a part of its storage: (key, offset, elements). */
static enum status read_part(const struct reader *r, const struct pickle_value *reference, struct view *view)
{
    const struct pickle_value *part = reference->id->list.count == 6 ? reference->id->list.items[5] : NULL;
    uint64_t offset, count;
    view->limit = view->storage->count;
    if (part == NULL || part->type == PICKLE_NONE)
        return STATUS_OK;
    if (part->type != PICKLE_TUPLE || part->list.count != 3 ||
        !pickle_size(part->list.items[1], view->limit, &offset) ||
        !pickle_size(part->list.items[2], view->limit - offset, &count))
        return refuse(r, reference, "a part of a storage that does not lie in it");
    view->offset = offset;
    view->limit = offset + count;
    return STATUS_OK;
}

static enum status read_layout(const struct reader *r, const struct pickle_value *tensor, struct view *view)
{
    const struct pickle_value *shape = tensor->call.arguments->list.items[2],
                              *strides = tensor->call.arguments->list.items[3];
    uint64_t offset, last;
    if (!pickle_size(tensor->call.arguments->list.items[1], view->limit - view->offset, &offset))
        return refuse(r, tensor, "a tensor that begins outside of its storage");
    if (shape->type != PICKLE_TUPLE || strides->type != PICKLE_TUPLE || shape->list.count != strides->list.count ||
        shape->list.count > TENSORS_RANK_MAX)
        return refuse(r, tensor, "a tensor whose shape and strides do not fit, or of more than 8 dimensions");
    view->offset += offset;
    view->rank = (uint32_t)shape->list.count;
    view->count = 1;
    last = view->offset;
    view->contiguous = true;
    for (uint32_t i = view->rank; i-- > 0;) { /* from the fastest */
        uint64_t reach;
        if (!pickle_size(shape->list.items[i], UINT32_MAX, &view->shape[i]) ||
            !pickle_size(strides->list.items[i], INT64_MAX, &view->strides[i]))
            return refuse(r, tensor, "a tensor with a size or stride that is none");
        if (view->shape[i] != 1 && view->strides[i] != view->count)
            view->contiguous = false;
        if (view->shape[i] > 1 && (__builtin_mul_overflow(view->shape[i] - 1, view->strides[i], &reach) ||
                                   __builtin_add_overflow(last, reach, &last)))
            return refuse(r, tensor, "a tensor that reaches outside of its storage");
        if (__builtin_mul_overflow(view->count, view->shape[i], &view->count))
            return refuse(r, tensor, "a tensor of more than 2^64 elements");
    }
    if (view->count > 0 && last >= view->limit)
        return refuse(r, tensor, "a tensor that reaches outside of its storage");
    if (view->count > view->storage->count)
        return refuse(r, tensor, "a tensor of more elements than its storage: one that repeats elements is not read");
    return STATUS_OK;
}

static enum status read_view(const struct reader *r, const struct pickle_value *tensor, struct view *view)
{
    const struct pickle_value *arguments = tensor->call.arguments;
    *view = (struct view){ .offset = 0 };
    if (arguments->list.count < 4 || arguments->list.items[0]->type != PICKLE_PERSISTENT)
        return refuse(r, tensor, "a tensor without its storage, offset, shape and strides");
    view->storage = find_storage(r, arguments->list.items[0]->id->list.items[2]);
    enum status status = read_part(r, arguments->list.items[0], view);
    return status == STATUS_OK ? read_layout(r, tensor, view) : status;
}

/* Fills a tensor whose elements do not lie one after the other. */
static enum status gather(const struct reader *r, const struct view *view, struct named_tensor *tensor)
{
    size_t size = element_bytes(view->storage->element);
    uint64_t index[TENSORS_RANK_MAX] = { 0 };
    for (size_t i = 0; i < tensor->count; i++) {
        uint64_t place = view->offset;
        for (uint32_t d = 0; d < view->rank; d++)
            place += index[d] * view->strides[d];
        if (element_to_float(view->storage->element, view->storage->data + place * size, 1, &tensor->values[i]) != 1)
            return tensors_not_exact(tensor, r->path, i, r->error);
        for (uint32_t d = view->rank; d-- > 0 && ++index[d] == view->shape[d];)
            index[d] = 0;
    }
    return STATUS_OK;
}

static enum status read_tensor(const struct reader *r, struct tensors *tensors, const struct pickle_value *name,
                               const struct pickle_value *value)
{
    struct view view;
    struct named_tensor *tensor;
    enum status status = read_view(r, value, &view);
    if (status == STATUS_OK)
        status = tensors_add(tensors, r->path, name->text.data, name->text.bytes, view.storage->element, view.rank,
                             view.shape, &tensor, r->error);
    if (status != STATUS_OK || tensor->values == NULL || tensor->count == 0)
        return status;
    return view.contiguous
               ? tensors_fill(tensor, r->path, view.storage->data + view.offset * element_bytes(view.storage->element),
                              r->error)
               : gather(r, &view, tensor);
}

/* ---- the object -------------------------------------------------------------------------------------------------- */

static bool holds_tensors(const struct pickle_value *dict)
{
    for (size_t i = 1; i < dict->list.count; i += 2) {
        if (is_tensor(dict->list.items[i]))
            return true;
    }
    return false;
}

/* Texts and numbers are claims, and so is a tensor of one number beside the weights: some write their accuracy so. */
static enum status claim(const struct reader *r, const struct pickle_value *dict)
{
    tensors_claim_items(r->tensors, dict);
    for (size_t i = 0; i + 1 < dict->list.count; i += 2) {
        const struct pickle_value *key = dict->list.items[i], *value = dict->list.items[i + 1];
        struct tensors scratch;
        struct view view;
        if (!is_tensor(value) || !pickle_is_text(key) || r->tensors->claim_count == TENSORS_CLAIMS_MAX)
            continue;
        enum status status = read_view(r, value, &view);
        if (status != STATUS_OK)
            return status;
        if (view.count != 1 || !element_is_real(view.storage->element))
            continue;
        tensors_open(&scratch, r->bytes);
        status = read_tensor(r, &scratch, key, value);
        if (status == STATUS_OK) {
            char text[32];
            int length = snprintf(text, sizeof text, "%.9g", (double)scratch.list[0].values[0]);
            tensors_claim(r->tensors, key->text.data, key->text.bytes, text, (size_t)length);
        }
        tensors_free(&scratch);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The dict of tensors: behind one of the usual keys, else this one. What stands beside it is claimed on the way. */
static enum status find_weights(const struct reader *r, const struct pickle_value *dict, int level,
                                const struct pickle_value **weights)
{
    static const char *const keys[] = { "state_dict", "model_state_dict", "model", "net", "params", "weights" };
    *weights = NULL;
    for (size_t i = 0; level < NESTING_MAX && i < sizeof keys / sizeof *keys; i++) {
        const struct pickle_value *inner = pickle_get(dict, keys[i]);
        if (inner == NULL || inner->type != PICKLE_DICT)
            continue;
        enum status status = find_weights(r, inner, level + 1, weights);
        if (status != STATUS_OK || *weights != NULL)
            return status == STATUS_OK ? claim(r, dict) : status;
    }
    if (holds_tensors(dict))
        *weights = dict;
    return STATUS_OK;
}

static enum status read_object(const struct reader *r)
{
    const struct pickle_value *root = r->pickle.root, *weights = NULL;
    enum status status = STATUS_OK;
    if (root->type == PICKLE_DICT)
        status = find_weights(r, root, 0, &weights);
    if (status != STATUS_OK)
        return status;
    if (weights == NULL)
        return error_set(r->error, STATUS_INPUT,
                         "%s holds %s without named tensors, neither at the top nor below state_dict, model "
                         "and the like",
                         r->path, pickle_type_name(root));
    tensors_claim_items(r->tensors, weights);
    for (size_t i = 0; i + 1 < weights->list.count; i += 2) {
        const struct pickle_value *key = weights->list.items[i], *value = weights->list.items[i + 1];
        if (!is_tensor(value))
            continue;
        if (!pickle_is_text(key))
            return refuse(r, value, "a tensor whose name is no text");
        status = read_tensor(r, r->tensors, key, value);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- the legacy format ------------------------------------------------------------------------------------------- */

/* The second and third pickle: the version and what machine wrote. */
static enum status check_preamble(const struct reader *r, size_t *place)
{
    for (int number = 0; number < 3; number++) {
        struct pickle pickle;
        enum status status = pickle_read(&pickle, r->path, r->file, r->bytes, *place, place, r->error);
        if (status != STATUS_OK)
            return status;
        const struct pickle_value *root = pickle.root, *little = number == 2 ? pickle_get(root, "little_endian") : NULL;
        if (number == 1 && (root->type != PICKLE_INTEGER || root->integer != LEGACY_VERSION))
            status = error_set(r->error, STATUS_INPUT, "%s: a torch file of a version other than %d", r->path,
                               LEGACY_VERSION);
        if (number == 2 && (little == NULL || little->type != PICKLE_BOOLEAN || !little->boolean))
            status = error_set(r->error, STATUS_INPUT, "%s: a torch file that is not little-endian", r->path);
        pickle_free(&pickle);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Behind the last pickle: each storage's number of elements and its elements, in the order of the list. */
static enum status place_storages(struct reader *r, const struct pickle_value *keys, size_t place)
{
    if (keys->type != PICKLE_LIST)
        return refuse(r, keys, "the fifth pickle is not the list of storages");
    for (size_t i = 0; i < keys->list.count; i++) {
        const struct pickle_value *key = keys->list.items[i];
        struct storage *storage = pickle_is_text(key) ? find_storage(r, key) : NULL;
        if (storage == NULL)
            return refuse(r, key, "the list of storages names one that no tensor uses");
        if (storage->data != NULL)
            return refuse(r, key, "the list of storages names one twice");
        size_t bytes = (size_t)storage->count * element_bytes(storage->element);
        if (r->bytes - place < 8 || r->bytes - place - 8 < bytes)
            return error_set(r->error, STATUS_INPUT,
                             "%s: byte %zu: a storage of %zu bytes is expected, but %zu follow: the file is "
                             "truncated",
                             r->path, place, 8 + bytes, r->bytes - place);
        if (bytes_get_u64(r->file + place) != storage->count)
            return error_set(r->error, STATUS_INPUT,
                             "%s: byte %zu: a storage has %" PRIu64 " elements where its tensors say %" PRIu64, r->path,
                             place, bytes_get_u64(r->file + place), storage->count);
        storage->data = r->file + place + 8;
        place += 8 + bytes;
    }
    for (size_t i = 0; i < r->storage_count; i++) {
        if (r->storages[i].data == NULL)
            return refuse(r, keys, "the list of storages lacks one that a tensor uses");
    }
    if (place != r->bytes)
        return error_set(r->error, STATUS_INPUT, "%s: %zu bytes follow the last storage", r->path, r->bytes - place);
    return STATUS_OK;
}

enum status torch_read_legacy(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                              struct error *error)
{
    struct reader r = { .tensors = tensors, .path = path, .file = file, .bytes = bytes, .error = error };
    struct pickle keys = { .chunks = NULL };
    size_t place = 0;
    enum status status = check_preamble(&r, &place);
    if (status == STATUS_OK)
        status = pickle_read(&r.pickle, path, file, bytes, place, &place, error);
    if (status == STATUS_OK)
        status = pickle_read(&keys, path, file, bytes, place, &place, error);
    if (status == STATUS_OK)
        status = collect_storages(&r);
    if (status == STATUS_OK)
        status = place_storages(&r, keys.root, place);
    if (status == STATUS_OK)
        status = read_object(&r);
    free(r.storages);
    pickle_free(&keys);
    pickle_free(&r.pickle);
    return status;
}

/* ---- the zip format ---------------------------------------------------------------------------------------------- */

/* "STEM/", the one folder that holds data.pkl; its length in *length. */
static enum status find_stem(const struct reader *r, const struct zip *zip, const char **stem, size_t *length)
{
    static const char object[] = "data.pkl";
    *stem = NULL;
    for (size_t i = 0; i < zip->count; i++) {
        const char *name = zip->entries[i].name, *slash = strchr(name, '/');
        if (slash == NULL || strcmp(slash + 1, object) != 0)
            continue;
        if (*stem != NULL)
            return error_set(r->error, STATUS_INPUT, "%s holds two objects, in %.*s and %.*s", r->path,
                             (int)(*length > 80 ? 80 : *length), *stem, (int)(slash - name > 80 ? 80 : slash - name),
                             name);
        *stem = name;
        *length = (size_t)(slash + 1 - name);
    }
    if (*stem == NULL)
        return error_set(r->error, STATUS_INPUT,
                         "%s is a zip file, but not one that torch.save wrote: it has no entry NAME/data.pkl", r->path);
    for (size_t i = 0; i < zip->count; i++) {
        const char *rest = zip->entries[i].name;
        if (strncmp(rest, *stem, *length) != 0)
            continue;
        rest += *length;
        if (strncmp(rest, "code/", 5) == 0 || strcmp(rest, "constants.pkl") == 0)
            return error_set(r->error, STATUS_INPUT,
                             "%s is a TorchScript archive, which holds a program; save the weights alone, with "
                             "torch.save(model.state_dict(), ...)",
                             r->path);
    }
    return STATUS_OK;
}

static const struct zip_entry *find_entry(const struct zip *zip, const char *stem, size_t length, const char *rest,
                                          size_t rest_bytes)
{
    char name[ZIP_NAME_MAX + KEY_MAX + 16];
    if (length > ZIP_NAME_MAX || rest_bytes > KEY_MAX)
        return NULL;
    snprintf(name, sizeof name, "%.*s%s%.*s", (int)length, stem, rest_bytes > 0 ? "data/" : rest, (int)rest_bytes,
             rest);
    return zip_find(zip, name);
}

static enum status place_entries(struct reader *r, const struct zip *zip, const char *stem, size_t length)
{
    for (size_t i = 0; i < r->storage_count; i++) {
        struct storage *storage = &r->storages[i];
        const struct zip_entry *entry = find_entry(zip, stem, length, storage->key, storage->key_bytes);
        char shown[PICKLE_PRINTABLE_BYTES];
        pickle_printable(storage->key, storage->key_bytes, shown);
        if (entry == NULL)
            return error_set(r->error, STATUS_INPUT, "%s has no entry data/%s, which a tensor uses", r->path, shown);
        if (entry->bytes != storage->count * element_bytes(storage->element))
            return error_set(r->error, STATUS_INPUT,
                             "%s: entry data/%s has %zu bytes, where its tensors say %" PRIu64 " elements of %s",
                             r->path, shown, entry->bytes, storage->count, element_name(storage->element));
        enum status status = zip_check(entry, r->path, r->error);
        if (status != STATUS_OK)
            return status;
        storage->data = entry->data;
    }
    return STATUS_OK;
}

static enum status read_entries(struct reader *r, const struct zip *zip)
{
    const char *stem;
    size_t length = 0, end;
    enum status status = find_stem(r, zip, &stem, &length);
    if (status != STATUS_OK)
        return status;
    const struct zip_entry *object = find_entry(zip, stem, length, "data.pkl", 0),
                           *order = find_entry(zip, stem, length, "byteorder", 0);
    if (order != NULL && (order->bytes != 6 || memcmp(order->data, "little", 6) != 0))
        return error_set(r->error, STATUS_INPUT, "%s: a torch file that is not little-endian", r->path);
    status = zip_check(object, r->path, r->error);
    if (status == STATUS_OK) /* up to the entry's end, so that offsets in messages are the file's */
        status = pickle_read(&r->pickle, r->path, r->file, (size_t)(object->data - r->file) + object->bytes,
                             (size_t)(object->data - r->file), &end, r->error);
    if (status == STATUS_OK && end != (size_t)(object->data - r->file) + object->bytes)
        status =
            error_set(r->error, STATUS_INPUT, "%s: byte %zu: more follows in data.pkl behind its pickle", r->path, end);
    if (status == STATUS_OK)
        status = collect_storages(r);
    if (status == STATUS_OK)
        status = place_entries(r, zip, stem, length);
    return status == STATUS_OK ? read_object(r) : status;
}

enum status torch_read_zip(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                           struct error *error)
{
    struct reader r = { .tensors = tensors, .path = path, .file = file, .bytes = bytes, .error = error };
    struct zip zip;
    enum status status = zip_open(&zip, path, file, bytes, error);
    if (status != STATUS_OK)
        return status;
    status = read_entries(&r, &zip);
    free(r.storages);
    pickle_free(&r.pickle);
    zip_close(&zip);
    return status;
}
