#include "fetch/weights/tensors.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_printable(const char *text, size_t bytes, size_t limit)
{
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < 0x20 || text[i] >= 0x7f)
            return false;
    }
    return bytes > 0 && bytes <= limit;
}

void tensors_open(struct tensors *tensors, size_t file_bytes)
{
    *tensors = (struct tensors){ .value_limit = file_bytes < TENSORS_VALUES_MAX / 2 ? 2 * (uint64_t)file_bytes
                                                                                    : TENSORS_VALUES_MAX };
}

enum status tensors_add(struct tensors *tensors, const char *path, const char *name, size_t name_bytes,
                        enum element element, uint32_t rank, const uint64_t *shape, struct named_tensor **added,
                        struct error *error)
{
    char shown[PICKLE_PRINTABLE_BYTES];
    struct named_tensor tensor = { .element = element, .rank = rank };
    uint64_t count = 1;
    pickle_printable(name, name_bytes, shown);
    if (!is_printable(name, name_bytes, TENSORS_NAME_MAX))
        return error_set(error, STATUS_INPUT, "%s: a tensor's name, \"%s\", is not 1 to %d printable characters", path,
                         shown, TENSORS_NAME_MAX);
    if (rank > TENSORS_RANK_MAX)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has %" PRIu32 " dimensions; at most %d are read", path,
                         shown, rank, TENSORS_RANK_MAX);
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] > UINT32_MAX || __builtin_mul_overflow(count, shape[i], &count))
            return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has a shape beyond what is read", path, shown);
        tensor.shape[i] = (uint32_t)shape[i];
    }
    if (tensors->count == TENSORS_COUNT_MAX)
        return error_set(error, STATUS_INPUT, "%s has more than %d tensors", path, TENSORS_COUNT_MAX);
    if (element_is_real(element) && count > tensors->value_limit - tensors->value_count)
        return error_set(error, STATUS_INPUT,
                         "%s: tensor \"%s\" brings the numbers to over %" PRIu64
                         ", the most that are read from a file of its "
                         "size",
                         path, shown, tensors->value_limit);
    if (tensors->count == tensors->capacity) {
        size_t capacity = tensors->capacity == 0 ? 64 : 2 * tensors->capacity;
        struct named_tensor *list = realloc(tensors->list, capacity * sizeof *list);
        if (list == NULL)
            return error_out_of_memory(error, "the tensors of %s", path);
        tensors->list = list;
        tensors->capacity = capacity;
    }
    tensor.count = (size_t)count;
    tensor.name = strndup(name, name_bytes);
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

enum status tensors_not_exact(const struct named_tensor *tensor, const char *path, size_t place, struct error *error)
{
    return error_set(error, STATUS_INPUT,
                     "%s: tensor \"%s\" holds float64 numbers that float32 does not have, first at place %zu; "
                     "they are not rounded "
                     "unasked: save the weights as float32",
                     path, tensor->name, place);
}

enum status tensors_fill(struct named_tensor *tensor, const char *path, const uint8_t *data, struct error *error)
{
    size_t taken = element_to_float(tensor->element, data, tensor->count, tensor->values);
    return taken == tensor->count ? STATUS_OK : tensors_not_exact(tensor, path, taken, error);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named_tensor *)a)->name, ((const struct named_tensor *)b)->name);
}

enum status tensors_sort(struct tensors *tensors, const char *path, struct error *error)
{
    static const char prefix[] = "module.";
    size_t with = 0;
    while (with < tensors->count && strncmp(tensors->list[with].name, prefix, sizeof prefix - 1) == 0)
        with++;
    for (size_t i = 0; with == tensors->count && i < with; i++) {
        char *name = tensors->list[i].name;
        memmove(name, name + sizeof prefix - 1, strlen(name) - (sizeof prefix - 1) + 1);
    }
    if (tensors->count > 0)
        qsort(tensors->list, tensors->count, sizeof *tensors->list, by_name);
    for (size_t i = 1; i < tensors->count; i++) {
        if (strcmp(tensors->list[i - 1].name, tensors->list[i].name) == 0)
            return error_set(error, STATUS_INPUT, "%s has the tensor \"%s\" twice", path, tensors->list[i].name);
    }
    return STATUS_OK;
}

void tensors_free(struct tensors *tensors)
{
    for (size_t i = 0; i < tensors->count; i++) {
        free(tensors->list[i].name);
        free(tensors->list[i].values);
    }
    for (size_t i = 0; i < tensors->claim_count; i++) {
        free(tensors->claims[i].name);
        free(tensors->claims[i].value);
    }
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

void tensors_claim_items(struct tensors *tensors, const struct pickle_value *dict)
{
    for (size_t i = 0; i + 1 < dict->list.count; i += 2) {
        const struct pickle_value *key = dict->list.items[i], *value = dict->list.items[i + 1];
        char text[64];
        int length = 0;
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
        if (value->type == PICKLE_REAL)
            length = print_real(text, sizeof text, value->real);
        tensors_claim(tensors, key->text.data, key->text.bytes, text, (size_t)length);
    }
}
