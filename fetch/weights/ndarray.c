#include "fetch/weights/ndarray.h"

#include <string.h>

static enum status refuse(struct error *error, const char *path, const struct pickle_value *value, const char *why)
{
    return error_set(error, STATUS_INPUT, "%s: byte %zu: an array %s", path, value->offset, why);
}

bool ndarray_is(const struct pickle_value *value)
{
    return value->type == PICKLE_OBJECT && value->call.global == GLOBAL_RECONSTRUCT;
}

static const struct pickle_value *item(const struct pickle_value *tuple, size_t place)
{
    return tuple != NULL && tuple->type == PICKLE_TUPLE && place < tuple->list.count ? tuple->list.items[place] : NULL;
}

/* dtype("f4", 0, 1) with the state (3, "<", None, None, None, -1, -1, 0). */
static enum status read_dtype(struct ndarray *array, const char *path, const struct pickle_value *dtype,
                              struct error *error)
{
    static const struct {
        const char *name;
        enum element element;
    } names[] = {
        { "f4", ELEMENT_F32 }, { "f8", ELEMENT_F64 }, { "f2", ELEMENT_F16 },
        { "i8", ELEMENT_I64 }, { "i4", ELEMENT_I32 }, { "i2", ELEMENT_I16 },
        { "i1", ELEMENT_I8 },  { "u1", ELEMENT_U8 },  { "b1", ELEMENT_BOOL },
    };
    if (dtype->type != PICKLE_OBJECT || dtype->call.global != GLOBAL_DTYPE || dtype->call.state == NULL)
        return refuse(error, path, dtype, "has no dtype");
    const struct pickle_value *name = item(dtype->call.arguments, 0), *order = item(dtype->call.state, 1),
                              *fields = item(dtype->call.state, 4);
    if (name == NULL || order == NULL || fields == NULL || fields->type != PICKLE_NONE)
        return refuse(error, path, dtype, "has a dtype that is not of plain numbers");
    array->element = ELEMENT_OTHER;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (pickle_is(name, names[i].name))
            array->element = names[i].element;
    }
    if (array->element == ELEMENT_OTHER)
        return refuse(error, path, dtype, "is not of numbers that are read: float16, 32, 64, integers, booleans");
    if (!pickle_is(order, "<") && !(pickle_is(order, "|") && element_bytes(array->element) == 1))
        return refuse(error, path, dtype, "is not little-endian");
    return STATUS_OK;
}

enum status ndarray_read(struct ndarray *array, const char *path, const struct pickle_value *value, struct error *error)
{
    *array = (struct ndarray){ .count = 1 };
    if (!ndarray_is(value) || value->call.state == NULL)
        return refuse(error, path, value, "is expected here");
    const struct pickle_value *class = item(value->call.arguments, 0);
    if (class == NULL || class->type != PICKLE_GLOBAL || class->call.global != GLOBAL_NDARRAY)
        return refuse(error, path, value, "is not of the class numpy.ndarray");
    const struct pickle_value *state = value->call.state, *shape = item(state, 1), *dtype = item(state, 2),
                              *fortran = item(state, 3), *data = item(state, 4);
    if (data == NULL || state->list.count != 5 || shape->type != PICKLE_TUPLE || data->type != PICKLE_BYTES)
        return refuse(error, path, value, "has a state that is not (1, shape, dtype, order, bytes)");
    if (fortran->type != PICKLE_BOOLEAN &&
        !(fortran->type == PICKLE_INTEGER && (fortran->integer == 0 || fortran->integer == 1)))
        return refuse(error, path, value, "does not say in which order its numbers are");
    array->fortran = fortran->type == PICKLE_BOOLEAN ? fortran->boolean : fortran->integer == 1;
    if (shape->list.count > NDARRAY_RANK_MAX)
        return refuse(error, path, value, "has more dimensions than are read");
    array->rank = (uint32_t)shape->list.count;
    for (uint32_t i = 0; i < array->rank; i++) {
        if (!pickle_size(shape->list.items[i], UINT32_MAX, &array->shape[i]) ||
            __builtin_mul_overflow(array->count, (size_t)array->shape[i], &array->count))
            return refuse(error, path, value, "has a shape that is not of sizes");
    }
    enum status status = read_dtype(array, path, dtype, error);
    if (status != STATUS_OK)
        return status;
    size_t bytes;
    if (__builtin_mul_overflow(array->count, element_bytes(array->element), &bytes) || bytes != data->text.bytes)
        return refuse(error, path, value, "has another number of bytes than its shape and dtype ask for");
    array->data = (const uint8_t *)data->text.data;
    return STATUS_OK;
}
