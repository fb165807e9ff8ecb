#include "fetch/weights/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { MAGIC_BYTES = 6, HEADER_MAX = 8192 };

struct header {
    enum element element;
    bool fortran;
    uint32_t rank;
    uint64_t shape[TENSORS_RANK_MAX], count;
};

/* What follows 'key': in the header's text; NULL where there is none. */
static const char *value_of(const char *text, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *place = strstr(text, quoted);
    return place != NULL ? place + strlen(quoted) + strspn(place + strlen(quoted), " ") : NULL;
}

static bool read_descr(const char *descr, enum element *element)
{
    static const struct {
        const char *name;
        enum element element;
    } names[] = {
        { "'<f4'", ELEMENT_F32 }, { "'<f8'", ELEMENT_F64 }, { "'<f2'", ELEMENT_F16 }, { "'<i8'", ELEMENT_I64 },
        { "'<i4'", ELEMENT_I32 }, { "'<i2'", ELEMENT_I16 }, { "'|i1'", ELEMENT_I8 },  { "'<u8'", ELEMENT_U64 },
        { "'<u4'", ELEMENT_U32 }, { "'<u2'", ELEMENT_U16 }, { "'|u1'", ELEMENT_U8 },  { "'|b1'", ELEMENT_BOOL },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(descr, names[i].name, strlen(names[i].name)) == 0) {
            *element = names[i].element;
            return true;
        }
    }
    return false;
}

static const char not_of_numbers[] = "an array that is not of numbers";

/* And not of texts, dates, objects or structures, which are no weights. */
static bool is_of_numbers(const char *descr)
{
    return descr[0] == '\'' && strchr("fiubc", descr[1] != '\0' ? descr[2] : '\0') != NULL;
}

/* "(3, 4)", "(3,)" or "()". */
static bool read_shape(const char *text, struct header *header)
{
    header->count = 1;
    for (const char *next = text + 1; *text == '(';) {
        next += strspn(next, " ,");
        if (*next == ')')
            return true;
        char *end;
        unsigned long long size = *next >= '0' && *next <= '9' ? strtoull(next, &end, 10) : UINT64_MAX;
        if (size > UINT32_MAX || header->rank == TENSORS_RANK_MAX ||
            __builtin_mul_overflow(header->count, (uint64_t)size, &header->count))
            return false;
        header->shape[header->rank++] = size;
        next = end;
    }
    return false;
}

/* NULL, or why the entry's bytes are no array that is read; *numbers is where its numbers begin. */
static const char *read_header(const uint8_t *data, size_t bytes, struct header *header, const uint8_t **numbers)
{
    static const uint8_t magic[MAGIC_BYTES] = { 0x93, 'N', 'U', 'M', 'P', 'Y' };
    char text[HEADER_MAX + 1];
    *header = (struct header){ .rank = 0 };
    if (bytes < MAGIC_BYTES + 6 || memcmp(data, magic, MAGIC_BYTES) != 0 || data[MAGIC_BYTES] < 1 ||
        data[MAGIC_BYTES] > 3)
        return "not a numpy array of version 1 to 3";
    const size_t length_bytes = data[MAGIC_BYTES] == 1 ? 2 : 4, place = MAGIC_BYTES + 2 + length_bytes,
                 length = (size_t)bytes_get(data + MAGIC_BYTES + 2, length_bytes);
    if (length > HEADER_MAX || length > bytes - place)
        return "an array whose header is cut off or too long";
    memcpy(text, data + place, length);
    text[length] = '\0';
    const char *descr = value_of(text, "descr"), *order = value_of(text, "fortran_order"),
               *shape = value_of(text, "shape");
    if (descr != NULL && !is_of_numbers(descr))
        return not_of_numbers;
    if (descr == NULL || order == NULL || shape == NULL || !read_shape(shape, header))
        return "an array whose header has no descr, fortran_order and shape that selfsame reads";
    if (strncmp(descr, "'>", 2) == 0)
        return "a big-endian array: save array.astype(array.dtype.newbyteorder('<'))";
    if (!read_descr(descr, &header->element))
        return "an array of a data type that selfsame does not read (expected little-endian float16, 32, 64, "
               "integers or booleans)";
    header->fortran = strncmp(order, "True", 4) == 0;
    uint64_t wanted;
    if (__builtin_mul_overflow(header->count, element_bytes(header->element), &wanted) ||
        wanted != bytes - place - length)
        return "an array that does not have the number of bytes that its header says";
    *numbers = data + place + length;
    return NULL;
}

/* From Fortran's order, the first index fastest, to ours. */
static void fill_turned(struct named_tensor *tensor, const uint8_t *numbers)
{
    uint64_t strides[TENSORS_RANK_MAX], stride = 1;
    for (uint32_t d = 0; d < tensor->rank; d++) {
        strides[d] = stride;
        stride *= tensor->shape[d];
    }
    tensors_fill_strided(tensor, numbers, strides);
}

static enum status read_array(struct torch_reader *r, const struct zip_entry *entry, size_t name_bytes)
{
    struct header header;
    const uint8_t *data, *numbers = NULL;
    uint8_t *memory = NULL;
    struct named_tensor *tensor;
    enum status status = torch_open_entry(r, entry, &data, &memory);
    if (status != STATUS_OK)
        return status;
    const char *obstacle = read_header(data, entry->bytes, &header, &numbers);
    if (obstacle == not_of_numbers) {
        tensors_note(r->tensors, "ignored: %.*s, %s", (int)name_bytes, entry->name, obstacle);
    } else if (obstacle != NULL) {
        status = tensors_add_unread(r->tensors, r->path, entry->name, name_bytes, obstacle, r->error);
    } else {
        status = tensors_add(r->tensors, r->path, entry->name, name_bytes, header.element, header.rank, header.shape,
                             &tensor, r->error);
        if (status == STATUS_OK && tensor->values != NULL && header.fortran)
            fill_turned(tensor, numbers);
        else if (status == STATUS_OK && tensor->values != NULL)
            tensors_fill(tensor, numbers);
    }
    free(memory);
    return status;
}

enum status npy_read_archive(struct torch_reader *r)
{
    static const char suffix[] = ".npy";
    enum status status = STATUS_OK;
    bool any = false;
    for (size_t i = 0; status == STATUS_OK && i < r->zip->count; i++) {
        const struct zip_entry *entry = &r->zip->entries[i];
        size_t length = strlen(entry->name), name = length - (sizeof suffix - 1);
        if (length <= sizeof suffix - 1 || strcmp(entry->name + name, suffix) != 0)
            continue;
        any = true;
        status = read_array(r, entry, name);
    }
    if (status == STATUS_OK && !any)
        status =
            error_set(r->error, STATUS_INPUT,
                      "%s is a zip file, but neither from torch.save (it has no entry NAME/data.pkl) nor from "
                      "numpy (it has no entry NAME.npy): if a file of weights is in it, unpack it first, with unzip",
                      r->path);
    return status;
}
