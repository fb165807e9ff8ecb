#include "fetch/weights/tensors.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fetch/weights/ndarray.h"

/* Texts that are shown as they are: 1 to `limit` bytes of UTF-8. */
static bool is_printable(const char *text, size_t bytes, size_t limit)
{
    char *copy = bytes > 0 && bytes <= limit ? strndup(text, bytes) : NULL;
    const bool is = copy != NULL && strlen(copy) == bytes && text_is_plain(copy, "");
    free(copy);
    return is;
}

/* A name as it is shown, escaped, and shortened if it is longer than names may be. One that is empty or contains a NUL
 * becomes "?", which no network has. NULL without memory. */
static char *shown_name(const char *name, size_t bytes)
{
    const bool text = bytes > 0 && memchr(name, '\0', bytes) == NULL;
    char *copy = text ? strndup(name, bytes) : strdup("?"), *escaped = NULL, *shown = malloc(TENSORS_NAME_MAX + 1);
    const size_t size = copy != NULL ? text_escape(NULL, 0, TEXT_TERMINAL, copy) + 1 : 0;
    if (size > 0 && shown != NULL)
        escaped = malloc(size);
    if (escaped != NULL) {
        (void)text_escape(escaped, size, TEXT_TERMINAL, copy);
        text_shorten(shown, TENSORS_NAME_MAX + 1, escaped, size > TENSORS_NAME_MAX ? TENSORS_NAME_MAX / 4 : size + 8);
    } else {
        free(shown);
        shown = NULL;
    }
    free(escaped);
    free(copy);
    return shown;
}

void tensors_open(struct tensors *tensors, size_t file_bytes)
{
    *tensors = (struct tensors){ .value_limit = 0 };
    tensors_allow(tensors, file_bytes);
}

void tensors_allow(struct tensors *tensors, size_t bytes)
{
    uint64_t room = TENSORS_VALUES_MAX - tensors->value_limit;
    tensors->value_limit += bytes < room / 2 ? 2 * (uint64_t)bytes : room;
}

/* Room for one more. */
static enum status grow(struct tensors *tensors, const char *path, struct error *error)
{
    if (tensors->count == TENSORS_COUNT_MAX)
        return error_set(error, STATUS_INPUT, "%s has more than %d tensors", path, TENSORS_COUNT_MAX);
    if (tensors->count < tensors->capacity)
        return STATUS_OK;
    size_t capacity = tensors->capacity == 0 ? 64 : 2 * tensors->capacity;
    struct named_tensor *list = realloc(tensors->list, capacity * sizeof *list);
    if (list == NULL)
        return error_out_of_memory(error, "the tensors of %s", path);
    tensors->list = list;
    tensors->capacity = capacity;
    return STATUS_OK;
}

enum status tensors_add(struct tensors *tensors, const char *path, const char *name, size_t name_bytes,
                        enum element element, uint32_t rank, const uint64_t *shape, struct named_tensor **added,
                        struct error *error)
{
    char shown[PICKLE_PRINTABLE_BYTES];
    struct named_tensor tensor = { .element = element, .rank = rank };
    uint64_t count = 1;
    pickle_printable(name, name_bytes, shown);
    if (rank > TENSORS_RANK_MAX)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has %" PRIu32 " dimensions; at most %d are allowed",
                         path, shown, rank, TENSORS_RANK_MAX);
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] > UINT32_MAX || __builtin_mul_overflow(count, shape[i], &count))
            return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has a shape that is too large", path, shown);
        tensor.shape[i] = (uint32_t)shape[i];
    }
    if (element_is_real(element) && count > tensors->value_limit - tensors->value_count)
        return error_set(error, STATUS_INPUT,
                         "%s: with tensor \"%s\" there are more than %" PRIu64 " numbers, the limit for a file of "
                         "this size",
                         path, shown, tensors->value_limit);
    enum status status = grow(tensors, path, error);
    if (status != STATUS_OK)
        return status;
    tensor.count = (size_t)count;
    tensor.name = shown_name(name, name_bytes);
    if (element_is_real(element))
        tensor.values = malloc((tensor.count + 1) * sizeof *tensor.values);
    if (tensor.name == NULL || (element_is_real(element) && tensor.values == NULL)) {
        free(tensor.name);
        free(tensor.values);
        return error_out_of_memory(error, "tensor \"%s\" of %s", shown, path);
    }
    if (element_is_real(element))
        tensors->value_count += count;
    tensors->list[tensors->count] = tensor;
    *added = &tensors->list[tensors->count++];
    return STATUS_OK;
}

void tensors_fill(struct named_tensor *tensor, const uint8_t *data)
{
    element_to_float(tensor->element, data, tensor->count, tensor->values, &tensor->rounding);
}

void tensors_fill_strided(struct named_tensor *tensor, const uint8_t *first, const uint64_t *strides)
{
    const size_t size = element_bytes(tensor->element);
    uint64_t index[TENSORS_RANK_MAX] = { 0 };
    for (size_t i = 0; i < tensor->count; i++) {
        uint64_t place = 0;
        for (uint32_t d = 0; d < tensor->rank; d++)
            place += index[d] * strides[d];
        element_to_float(tensor->element, first + place * size, 1, &tensor->values[i], &tensor->rounding);
        for (uint32_t d = tensor->rank; d-- > 0 && ++index[d] == tensor->shape[d];)
            index[d] = 0;
    }
}

enum status tensors_add_unread(struct tensors *tensors, const char *path, const char *name, size_t name_bytes,
                               const char *obstacle, struct error *error)
{
    enum status status = grow(tensors, path, error);
    if (status != STATUS_OK)
        return status;
    struct named_tensor tensor = { .name = shown_name(name, name_bytes),
                                   .obstacle = strdup(obstacle),
                                   .element = ELEMENT_OTHER };
    if (tensor.name == NULL || tensor.obstacle == NULL) {
        free(tensor.name);
        free(tensor.obstacle);
        return error_out_of_memory(error, "the tensors of %s", path);
    }
    tensors->list[tensors->count++] = tensor;
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct named_tensor *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : x->beside - y->beside;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum status tensors_check_names(const struct tensors *tensors, const char *path, struct error *error)
{
    enum status status = STATUS_OK;
    const char **names = malloc((tensors->count + 1) * sizeof *names);
    if (names == NULL)
        return error_out_of_memory(error, "the names of %s", path);
    for (size_t i = 0; i < tensors->count; i++)
        names[i] = tensors->list[i].name;
    qsort(names, tensors->count, sizeof *names, by_text);
    for (size_t i = 1; status == STATUS_OK && i < tensors->count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            status = error_set(error, STATUS_INPUT, "%s has the tensor \"%s\" twice", path, names[i]);
    }
    free(names);
    return status;
}

void tensors_sort(struct tensors *tensors)
{
    tensors->ordered = false;
    if (tensors->count > 0)
        qsort(tensors->list, tensors->count, sizeof *tensors->list, by_name);
}

void tensors_free_one(struct named_tensor *tensor)
{
    free(tensor->name);
    free(tensor->file_name);
    free(tensor->obstacle);
    free(tensor->values);
}

void tensors_free(struct tensors *tensors)
{
    for (size_t i = 0; i < tensors->count; i++)
        tensors_free_one(&tensors->list[i]);
    for (size_t i = 0; i < tensors->claim_count; i++) {
        free(tensors->claims[i].name);
        free(tensors->claims[i].value);
    }
    for (size_t i = 0; i < tensors->note_count; i++)
        free(tensors->notes[i]);
    free(tensors->list);
    *tensors = (struct tensors){ .list = NULL };
}

const struct named_tensor *tensors_find(const struct tensors *tensors, const char *name)
{
    struct named_tensor key = { .name = (char *)(uintptr_t)name };
    return tensors->count == 0 ? NULL : bsearch(&key, tensors->list, tensors->count, sizeof *tensors->list, by_name);
}

void tensors_claim(struct tensors *tensors, const char *name, size_t name_bytes, const char *value, size_t value_bytes)
{
    enum { NAME_MAX_BYTES = 64, VALUE_MAX_BYTES = 200 };
    if (tensors->claim_count == TENSORS_CLAIMS_MAX || !is_printable(name, name_bytes, NAME_MAX_BYTES) ||
        !is_printable(value, value_bytes, VALUE_MAX_BYTES))
        return;
    struct tensor_claim claim = { strndup(name, name_bytes), strndup(value, value_bytes) };
    if (claim.name == NULL || claim.value == NULL) {
        free(claim.name);
        free(claim.value);
        return;
    }
    tensors->claims[tensors->claim_count++] = claim;
}

void tensors_note(struct tensors *tensors, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    if (tensors->note_count == TENSORS_NOTES_MAX)
        return;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) >= 0)
        tensors->notes[tensors->note_count++] = text;
    va_end(arguments);
}

void tensors_shape_text(char text[TENSORS_SHAPE_BYTES], uint32_t rank, const uint32_t *shape)
{
    size_t used = (size_t)snprintf(text, TENSORS_SHAPE_BYTES, "%s", rank == 0 ? "scalar" : "");
    for (uint32_t i = 0; i < rank && used < TENSORS_SHAPE_BYTES; i++)
        used += (size_t)snprintf(text + used, TENSORS_SHAPE_BYTES - used, "%s%" PRIu32, i > 0 ? "x" : "", shape[i]);
}

/* The fewest digits that read back to the same number. */
static int print_real(char *text, size_t bytes, double value)
{
    int length = 0;
    for (int digits = 1; digits <= 17; digits++) {
        length = snprintf(text, bytes, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return length;
}

void tensors_claim_real(struct tensors *tensors, const char *name, size_t name_bytes, double value)
{
    char text[64];
    int length = print_real(text, sizeof text, value);
    tensors_claim(tensors, name, name_bytes, text, (size_t)length);
}

void tensors_claim_items(struct tensors *tensors, const struct pickle_value *dict)
{
    for (size_t i = 0; i + 1 < dict->list.count; i += 2) {
        const struct pickle_value *key = dict->list.items[i], *value = dict->list.items[i + 1];
        char text[64];
        int length = 0;
        double number;
        if (!pickle_is_text(key))
            continue;
        if (pickle_is_text(value)) {
            tensors_claim(tensors, key->text.data, key->text.bytes, value->text.data, value->text.bytes);
            continue;
        }
        if (value->type == PICKLE_BOOLEAN)
            length = snprintf(text, sizeof text, "%s", value->boolean ? "true" : "false");
        if (value->type == PICKLE_INTEGER)
            length = snprintf(text, sizeof text, "%" PRId64, value->integer);
        if (value->type == PICKLE_REAL || ndarray_scalar(value, &number)) {
            tensors_claim_real(tensors, key->text.data, key->text.bytes,
                               value->type == PICKLE_REAL ? value->real : number);
            continue;
        }
        tensors_claim(tensors, key->text.data, key->text.bytes, text, (size_t)length);
    }
}
