#include "fetch/weights/ndarray.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

static enum status refuse(struct error *error, const char *path, const struct pickle_value *value, const char *why)
{
    return error_set(error, STATUS_INPUT, "%s: byte %zu: an array %s", path, value->offset, why);
}

static const struct pickle_value *item(const struct pickle_value *tuple, size_t place)
{
    return tuple != NULL && tuple->type == PICKLE_TUPLE && place < tuple->list.count ? tuple->list.items[place] : NULL;
}

/* Whether an array's dtype says texts, bytes, objects, dates or structures. */
static bool is_of_no_numbers(const struct pickle_value *array)
{
    const struct pickle_value *dtype = array->call.global == GLOBAL_RECONSTRUCT ? item(array->call.state, 2)
                                                                                : item(array->call.arguments, 1),
                              *name = NULL;
    if (dtype != NULL && dtype->type == PICKLE_OBJECT && dtype->call.global == GLOBAL_DTYPE)
        name = item(dtype->call.arguments, 0);
    return name != NULL && pickle_is_text(name) && name->text.bytes > 0 &&
           memchr("USOMmV", name->text.data[0], 6) != NULL;
}

static bool is_array(const struct pickle_value *value)
{
    return value->type == PICKLE_OBJECT &&
           (value->call.global == GLOBAL_RECONSTRUCT || value->call.global == GLOBAL_FROM_BUFFER);
}

bool ndarray_is(const struct pickle_value *value)
{
    return is_array(value) && !is_of_no_numbers(value);
}

/* dtype("f4", 0, 1) with the state (3, "<", None, None, None, -1, -1, 0). */
static enum status read_dtype(enum element *element, const char *path, const struct pickle_value *dtype,
                              struct error *error)
{
    static const struct {
        const char *name;
        enum element element;
    } names[] = {
        { "f4", ELEMENT_F32 }, { "f8", ELEMENT_F64 }, { "f2", ELEMENT_F16 }, { "i8", ELEMENT_I64 },
        { "i4", ELEMENT_I32 }, { "i2", ELEMENT_I16 }, { "i1", ELEMENT_I8 },  { "u8", ELEMENT_U64 },
        { "u4", ELEMENT_U32 }, { "u2", ELEMENT_U16 }, { "u1", ELEMENT_U8 },  { "b1", ELEMENT_BOOL },
    };
    if (dtype->type != PICKLE_OBJECT || dtype->call.global != GLOBAL_DTYPE || dtype->call.state == NULL)
        return refuse(error, path, dtype, "has no dtype");
    const struct pickle_value *name = item(dtype->call.arguments, 0), *order = item(dtype->call.state, 1),
                              *fields = item(dtype->call.state, 4);
    if (name == NULL || order == NULL || fields == NULL || fields->type != PICKLE_NONE)
        return refuse(error, path, dtype, "has a dtype that is not a plain number");
    *element = ELEMENT_OTHER;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (pickle_is(name, names[i].name))
            *element = names[i].element;
    }
    if (*element == ELEMENT_OTHER)
        return refuse(error, path, dtype,
                      "holds a data type that selfsame does not read (expected float16, 32, 64, "
                      "integers or booleans)");
    if (!pickle_is(order, "<") && !(pickle_is(order, "|") && element_bytes(*element) == 1))
        return refuse(error, path, dtype, "is not little-endian: save array.astype(array.dtype.newbyteorder('<'))");
    return STATUS_OK;
}

/* The shape's numbers and their count. */
static enum status read_shape(struct ndarray *array, const char *path, const struct pickle_value *value,
                              const struct pickle_value *shape, struct error *error)
{
    if (shape->type != PICKLE_TUPLE || shape->list.count > NDARRAY_RANK_MAX)
        return refuse(error, path, value, "has no shape, or too many dimensions");
    array->rank = (uint32_t)shape->list.count;
    for (uint32_t i = 0; i < array->rank; i++) {
        if (!pickle_size(shape->list.items[i], UINT32_MAX, &array->shape[i]) ||
            __builtin_mul_overflow(array->count, (size_t)array->shape[i], &array->count))
            return refuse(error, path, value, "has a shape that is not a list of sizes");
    }
    return STATUS_OK;
}

/* _reconstruct(ndarray, (0,), b"b") with the state (1, shape, dtype, whether Fortran's order, bytes). */
static enum status read_reconstructed(struct ndarray *array, const char *path, const struct pickle_value *value,
                                      const struct pickle_value *parts[3], struct error *error)
{
    const struct pickle_value *class = item(value->call.arguments, 0), *state = value->call.state,
                              *fortran = item(state, 3);
    if (class == NULL || class->type != PICKLE_GLOBAL || class->call.global != GLOBAL_NDARRAY)
        return refuse(error, path, value, "is not an object of the class numpy.ndarray");
    if (item(state, 4) == NULL || state->list.count != 5)
        return refuse(error, path, value, "has a state that is not (1, shape, dtype, order, bytes)");
    if (fortran->type != PICKLE_BOOLEAN &&
        !(fortran->type == PICKLE_INTEGER && (fortran->integer == 0 || fortran->integer == 1)))
        return refuse(error, path, value, "does not say in which order its numbers are");
    array->fortran = fortran->type == PICKLE_BOOLEAN ? fortran->boolean : fortran->integer == 1;
    for (size_t i = 0; i < 2; i++)
        parts[i] = item(state, i + 1);
    parts[2] = item(state, 4);
    return STATUS_OK;
}

/* _frombuffer(bytes, dtype, shape, "C" or "F"). */
static enum status read_from_buffer(struct ndarray *array, const char *path, const struct pickle_value *value,
                                    const struct pickle_value *parts[3], struct error *error)
{
    const struct pickle_value *arguments = value->call.arguments, *order = item(arguments, 3);
    if (order == NULL || !(pickle_is(order, "C") || pickle_is(order, "F")))
        return refuse(error, path, value, "does not say in which order its numbers are");
    array->fortran = pickle_is(order, "F");
    parts[0] = item(arguments, 2);
    parts[1] = item(arguments, 1);
    parts[2] = item(arguments, 0);
    return STATUS_OK;
}

enum status ndarray_read(struct ndarray *array, const char *path, const struct pickle_value *value, struct error *error)
{
    const struct pickle_value *parts[3] = { NULL }; /* shape, dtype, bytes */
    size_t bytes;
    *array = (struct ndarray){ .count = 1 };
    if (!is_array(value))
        return refuse(error, path, value, "is expected here");
    enum status status = value->call.global == GLOBAL_RECONSTRUCT ? read_reconstructed(array, path, value, parts, error)
                                                                  : read_from_buffer(array, path, value, parts, error);
    if (status == STATUS_OK)
        status = read_shape(array, path, value, parts[0], error);
    if (status == STATUS_OK)
        status = read_dtype(&array->element, path, parts[1], error);
    if (status != STATUS_OK)
        return status;
    if (parts[2]->type != PICKLE_BYTES || __builtin_mul_overflow(array->count, element_bytes(array->element), &bytes) ||
        bytes != parts[2]->text.bytes)
        return refuse(error, path, value, "does not have the number of bytes that its shape and dtype need");
    array->data = (const uint8_t *)parts[2]->text.data;
    return STATUS_OK;
}

bool ndarray_scalar(const struct pickle_value *value, double *number)
{
    struct error error;
    enum element element;
    if (value->type != PICKLE_OBJECT || value->call.global != GLOBAL_SCALAR)
        return false;
    const struct pickle_value *dtype = item(value->call.arguments, 0), *data = item(value->call.arguments, 1);
    if (dtype == NULL || data == NULL || data->type != PICKLE_BYTES ||
        read_dtype(&element, "", dtype, &error) != STATUS_OK || data->text.bytes != element_bytes(element))
        return false;
    const uint8_t *bytes = (const uint8_t *)data->text.data;
    const uint64_t bits = bytes_get(bytes, data->text.bytes);
    assert(data->text.bytes > 0);                          /* every type has */
    unsigned unused = 64 - 8 * (unsigned)data->text.bytes; /* bits above the number's own */
    switch (element) {
    case ELEMENT_F64:
        memcpy(number, &bits, sizeof bits);
        return true;
    case ELEMENT_F32:
    case ELEMENT_F16: {
        struct rounding rounding = { 0, 0, 0 };
        float single;
        element_to_float(element, bytes, 1, &single, &rounding);
        *number = (double)single;
        return true;
    }
    case ELEMENT_I64:
    case ELEMENT_I32:
    case ELEMENT_I16:
    case ELEMENT_I8:
        *number = (double)((int64_t)(bits << unused) >> unused);
        return true;
    default:
        *number = (double)bits;
        return true;
    }
}
