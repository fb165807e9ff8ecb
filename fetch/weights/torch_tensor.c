/* The tensors of a torch file: views of its storages, checked to lie inside them. */
#include "fetch/weights/torch_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fetch/weights/ndarray.h"

static enum status refuse(const struct torch_reader *r, const struct pickle_value *value, const char *what)
{
    return error_set(r->error, STATUS_INPUT, "%s: byte %zu: %s", r->path, value->offset, what);
}

/* ---- storages ---------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct torch_storage *x = a, *y = b;
    int order = memcmp(x->key, y->key, x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes);
    return order != 0 ? order : (x->key_bytes > y->key_bytes) - (x->key_bytes < y->key_bytes);
}

struct torch_storage *torch_find_storage(const struct torch_reader *r, const struct pickle_value *key)
{
    struct torch_storage wanted = { .key = key->text.data, .key_bytes = key->text.bytes };
    return r->storage_count == 0 ? NULL : bsearch(&wanted, r->storages, r->storage_count, sizeof wanted, by_key);
}

/* ("storage", torch.FloatStorage, key, location, elements), and in legacy files None or a view. False for anything else
 * that is persistent, such as the source text of a module, or a storage of a type that is not known. */
static bool read_reference(const struct pickle_value *reference, struct torch_storage *storage)
{
    const struct pickle_value *id = reference->id;
    if (id->type != PICKLE_TUPLE || id->list.count < 5 || id->list.count > 6 ||
        !pickle_is(id->list.items[0], "storage"))
        return false;
    const struct pickle_value *type = id->list.items[1], *key = id->list.items[2];
    if (type->type != PICKLE_GLOBAL || type->call.global != GLOBAL_STORAGE || !pickle_is_text(key) ||
        key->text.bytes == 0 || key->text.bytes > TORCH_KEY_MAX ||
        memchr(key->text.data, '\0', key->text.bytes) != NULL)
        return false;
    *storage = (struct torch_storage){ .key = key->text.data,
                                       .key_bytes = key->text.bytes,
                                       .element = (enum element)type->call.element };
    return pickle_size(id->list.items[4], UINT64_MAX / 16, &storage->count);
}

enum status torch_collect_storages(struct torch_reader *r)
{
    const struct pickle *pickle = r->pickle;
    size_t named = 0;
    r->storages = calloc(pickle->persistent_count + 1, sizeof *r->storages);
    if (r->storages == NULL)
        return error_out_of_memory(r->error, "the storages of %s", r->path);
    for (size_t i = 0; i < pickle->persistent_count; i++)
        named += read_reference(pickle->persistent[i], &r->storages[named]);
    qsort(r->storages, named, sizeof *r->storages, by_key);
    for (size_t i = 0; i < named; i++) {
        const struct torch_storage *next = &r->storages[i],
                                   *last = r->storage_count > 0 ? &r->storages[r->storage_count - 1] : NULL;
        if (last == NULL || by_key(last, next) != 0) {
            r->storages[r->storage_count++] = *next;
        } else if (last->element != next->element || last->count != next->count) {
            char shown[PICKLE_PRINTABLE_BYTES];
            pickle_printable(next->key, next->key_bytes, shown);
            return error_set(r->error, STATUS_INPUT, "%s: storage %s has two types or sizes", r->path, shown);
        }
    }
    return STATUS_OK;
}

void torch_free_storages(struct torch_reader *r)
{
    for (size_t i = 0; i < r->storage_count; i++)
        free(r->storages[i].memory);
    free(r->storages);
    r->storages = NULL;
    r->storage_count = 0;
}

const struct zip_entry *torch_find_entry(const struct torch_reader *r, const char *rest, size_t key_bytes)
{
    char name[ZIP_NAME_MAX + TORCH_KEY_MAX + 16];
    if (r->stem_bytes > ZIP_NAME_MAX || key_bytes > TORCH_KEY_MAX)
        return NULL;
    int shown = key_bytes > 0 ? (int)key_bytes : TORCH_KEY_MAX;
    snprintf(name, sizeof name, "%.*s%s%.*s", (int)r->stem_bytes, r->stem, key_bytes > 0 ? "data/" : "", shown, rest);
    return zip_find(r->zip, name);
}

enum status torch_open_entry(struct torch_reader *r, const struct zip_entry *entry, const uint8_t **data,
                             uint8_t **memory)
{
    enum status status = zip_read(entry, r->path, r->unpack_limit, data, memory, r->error);
    if (status != STATUS_OK) {
        free(*memory);
        *memory = NULL;
        *data = NULL;
    } else if (*memory != NULL) {
        r->unpack_limit -= entry->bytes;
        tensors_allow(r->tensors, entry->bytes);
    }
    return status;
}

/* Of a zip file, the storage's entry, opened when a tensor first wants it. */
static enum status find_data(struct torch_reader *r, struct torch_storage *storage)
{
    char shown[PICKLE_PRINTABLE_BYTES];
    pickle_printable(storage->key, storage->key_bytes, shown);
    if (storage->data != NULL)
        return STATUS_OK;
    if (r->zip == NULL)
        return error_set(r->error, STATUS_INPUT, "%s has no storage %s, which a tensor uses", r->path, shown);
    const struct zip_entry *entry = torch_find_entry(r, storage->key, storage->key_bytes);
    if (entry == NULL)
        return error_set(r->error, STATUS_INPUT, "%s has no entry data/%s, which a tensor uses", r->path, shown);
    if (entry->bytes != storage->count * element_bytes(storage->element))
        return error_set(r->error, STATUS_INPUT,
                         "%s: entry data/%s has %zu bytes, but its tensors say %" PRIu64 " elements of %s", r->path,
                         shown, entry->bytes, storage->count, element_name(storage->element));
    return torch_open_entry(r, entry, &storage->data, &storage->memory);
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

/* Numbers in memory, as a tensor shows them; in elements. */
struct view {
    enum element element;
    const uint8_t *data;
    uint64_t offset, limit; /* elements offset .. limit - 1 may be touched */
    uint32_t rank;
    uint64_t shape[TENSORS_RANK_MAX], strides[TENSORS_RANK_MAX];
    uint64_t count;
    bool contiguous;
};

/* A legacy reference may name a part of its storage: (key, offset, elements). */
static enum status read_part(const struct torch_reader *r, const struct pickle_value *reference, struct view *view)
{
    const struct pickle_value *part = reference->id->list.count == 6 ? reference->id->list.items[5] : NULL;
    uint64_t offset, count;
    if (part == NULL || part->type == PICKLE_NONE)
        return STATUS_OK;
    if (part->type != PICKLE_TUPLE || part->list.count != 3 ||
        !pickle_size(part->list.items[1], view->limit, &offset) ||
        !pickle_size(part->list.items[2], view->limit - offset, &count))
        return refuse(r, reference, "a part of a storage that lies outside it");
    view->offset = offset;
    view->limit = offset + count;
    return STATUS_OK;
}

/* A storage that is given as the bytes of a file. Any number of tensors may name the same bytes, each of which would
 * have them read again: there is a limit to that. */
static enum status read_file(struct torch_reader *r, const struct pickle_value *source, struct torch_storage **storage)
{
    enum { TIMES_MAX = 16, BYTES_MIN = 1 << 20 };
    const struct pickle_value *arguments = source->call.arguments;
    size_t parsed = 0;
    if (arguments->list.count != 1 || arguments->list.items[0]->type != PICKLE_BYTES)
        return refuse(r, source, "a storage that is not given as bytes");
    const struct pickle_value *file = arguments->list.items[0];
    *storage = &r->last_storage;
    if (file == r->last_file)
        return STATUS_OK;
    if (r->parsed > BYTES_MIN && (r->parsed - BYTES_MIN) / TIMES_MAX > r->bytes)
        return refuse(r, source, "a storage that would be read again, which tensors of the file ask for too often");
    r->last_file = NULL;
    enum status status = torch_read_single_storage(r->path, (const uint8_t *)file->text.data, file->text.bytes,
                                                   &r->last_storage, &parsed, r->error);
    r->parsed += parsed;
    if (status == STATUS_OK)
        r->last_file = file;
    return status;
}

/* The storage as the tensor's first argument has it: a reference, or the bytes of a file that holds it alone. */
static enum status read_storage(struct torch_reader *r, const struct pickle_value *tensor, struct view *view)
{
    const struct pickle_value *source = tensor->call.arguments->list.items[0];
    struct torch_storage named, *storage = NULL;
    enum status status = STATUS_OK;
    if (source->type == PICKLE_OBJECT && source->call.global == GLOBAL_LOAD_FROM_BYTES) {
        status = read_file(r, source, &storage);
    } else if (source->type == PICKLE_PERSISTENT && read_reference(source, &named)) {
        storage = torch_find_storage(r, source->id->list.items[2]);
        if (storage == NULL)
            return refuse(r, source, "a storage that is not in the file");
        status = find_data(r, storage);
    } else {
        return refuse(r, tensor, "a tensor without a storage of numbers that selfsame knows");
    }
    if (status != STATUS_OK)
        return status;
    *view = (struct view){ .element = storage->element, .data = storage->data, .limit = storage->count };
    return source->type == PICKLE_PERSISTENT ? read_part(r, source, view) : STATUS_OK;
}

/* Of bytes without a type, those that the tensor says. */
static enum status read_type(const struct torch_reader *r, const struct pickle_value *tensor, struct view *view)
{
    const struct pickle_value *arguments = tensor->call.arguments,
                              *type = arguments->list.count > 6 ? arguments->list.items[6] : NULL;
    if (view->element != ELEMENT_BYTES && tensor->call.global == GLOBAL_REBUILD_TENSOR)
        return STATUS_OK;
    if (type == NULL || type->type != PICKLE_GLOBAL || type->call.global != GLOBAL_TORCH_TYPE)
        return refuse(r, tensor, "a tensor of a type that selfsame does not read");
    uint64_t bytes = view->limit * element_bytes(view->element), size = element_bytes((enum element)type->call.element);
    if (view->offset != 0)
        return refuse(r, tensor, "a tensor of a part of a storage without a type");
    view->element = (enum element)type->call.element;
    view->limit = bytes / size;
    return STATUS_OK;
}

static enum status read_layout(const struct torch_reader *r, const struct pickle_value *tensor, struct view *view)
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
            return refuse(r, tensor, "a tensor with an impossible size or stride");
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
    return STATUS_OK;
}

static enum status view_array(const struct torch_reader *r, const struct pickle_value *value, struct view *view)
{
    struct ndarray array;
    enum status status = ndarray_read(&array, r->path, value, r->error);
    if (status != STATUS_OK)
        return status;
    *view = (struct view){ .element = array.element,
                           .data = array.data,
                           .limit = array.count,
                           .rank = array.rank,
                           .count = array.count,
                           .contiguous = !array.fortran };
    uint64_t stride = 1;
    for (uint32_t i = 0; i < array.rank; i++) {
        uint32_t d = array.fortran ? i : array.rank - 1 - i; /* from the fastest */
        view->shape[d] = array.shape[d];
        view->strides[d] = stride;
        stride *= array.shape[d];
    }
    return STATUS_OK;
}

static enum status read_view(struct torch_reader *r, const struct pickle_value *tensor, struct view *view)
{
    if (ndarray_is(tensor))
        return view_array(r, tensor, view);
    if (tensor->call.arguments->list.count < 4)
        return refuse(r, tensor, "a tensor without its storage, offset, shape and strides");
    enum status status = read_storage(r, tensor, view);
    if (status == STATUS_OK)
        status = read_type(r, tensor, view);
    return status == STATUS_OK ? read_layout(r, tensor, view) : status;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

bool torch_is_tensor(const struct pickle_value *value)
{
    return value->type == PICKLE_OBJECT && (value->call.global == GLOBAL_REBUILD_TENSOR ||
                                            value->call.global == GLOBAL_REBUILD_TENSOR_V3 || ndarray_is(value));
}

enum status torch_read_tensor(struct torch_reader *r, struct tensors *tensors, const struct pickle_value *name,
                              const struct pickle_value *value)
{
    struct view view;
    struct named_tensor *tensor = NULL;
    enum status status = read_view(r, value, &view);
    if (status == STATUS_OK)
        status = tensors_add(tensors, r->path, name->text.data, name->text.bytes, view.element, view.rank, view.shape,
                             &tensor, r->error);
    if (status != STATUS_OK || tensor->values == NULL || tensor->count == 0)
        return status;
    const uint8_t *first = view.data + view.offset * element_bytes(view.element);
    if (view.contiguous)
        tensors_fill(tensor, first);
    else
        tensors_fill_strided(tensor, first, view.strides);
    return STATUS_OK;
}

bool torch_read_number(struct torch_reader *r, const struct pickle_value *value, double *number)
{
    struct error *kept = r->error, unused;
    struct view view;
    r->error = &unused;
    enum status status = read_view(r, value, &view);
    r->error = kept;
    if (status != STATUS_OK || view.count != 1)
        return false;
    const uint8_t *data = view.data + view.offset * element_bytes(view.element);
    if (view.element == ELEMENT_F64) {
        *number = double_of_bits(bytes_get_u64(data));
    } else if (view.element == ELEMENT_I64) {
        *number = (double)(int64_t)bytes_get_u64(data);
    } else if (element_is_real(view.element)) {
        struct rounding rounding = { 0, 0, 0 };
        float single;
        element_to_float(view.element, data, 1, &single, &rounding);
        *number = (double)single;
    } else {
        return false;
    }
    return true;
}
