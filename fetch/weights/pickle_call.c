/* The opcodes of a pickle that deal with globals: a closed table of those that are data, and what calling one gives. */
#include "fetch/weights/pickle_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/weights/number_format.h"

/* ---- the globals that are data ----------------------------------------------------------------------------------- */

static const struct {
    const char *module, *name;
    enum pickle_global global;
    int element;
} globals[] = {
    { "collections", "OrderedDict", GLOBAL_ORDERED_DICT, 0 },
    { "_codecs", "encode", GLOBAL_ENCODE, 0 },
    { "__builtin__", "bytes", GLOBAL_BYTES, 0 },
    { "builtins", "bytes", GLOBAL_BYTES, 0 },
    { "__builtin__", "bytearray", GLOBAL_BYTES, 0 },
    { "builtins", "bytearray", GLOBAL_BYTES, 0 },
    { "torch._utils", "_rebuild_tensor", GLOBAL_REBUILD_TENSOR, 0 },
    { "torch._utils", "_rebuild_tensor_v2", GLOBAL_REBUILD_TENSOR, 0 },
    { "torch._utils", "_rebuild_tensor_v3", GLOBAL_REBUILD_TENSOR_V3, 0 },
    { "torch._utils", "_rebuild_parameter", GLOBAL_REBUILD_WRAPPED, 0 },
    { "torch._utils", "_rebuild_parameter_with_state", GLOBAL_REBUILD_WRAPPED, 0 },
    { "torch._utils", "_rebuild_device_tensor_from_cpu_tensor", GLOBAL_REBUILD_WRAPPED, 0 },
    { "torch._utils", "_rebuild_device_tensor_from_numpy", GLOBAL_REBUILD_WRAPPED, 0 },
    { "torch._tensor", "_rebuild_from_type", GLOBAL_REBUILD_FROM_TYPE, 0 },
    { "torch._tensor", "_rebuild_from_type_v2", GLOBAL_REBUILD_FROM_TYPE, 0 },
    { "torch.tensor", "_rebuild_from_type", GLOBAL_REBUILD_FROM_TYPE, 0 },
    { "torch.storage", "_load_from_bytes", GLOBAL_LOAD_FROM_BYTES, 0 },
    { "torch", "FloatStorage", GLOBAL_STORAGE, ELEMENT_F32 },
    { "torch", "DoubleStorage", GLOBAL_STORAGE, ELEMENT_F64 },
    { "torch", "HalfStorage", GLOBAL_STORAGE, ELEMENT_F16 },
    { "torch", "BFloat16Storage", GLOBAL_STORAGE, ELEMENT_BF16 },
    { "torch", "LongStorage", GLOBAL_STORAGE, ELEMENT_I64 },
    { "torch", "IntStorage", GLOBAL_STORAGE, ELEMENT_I32 },
    { "torch", "ShortStorage", GLOBAL_STORAGE, ELEMENT_I16 },
    { "torch", "CharStorage", GLOBAL_STORAGE, ELEMENT_I8 },
    { "torch", "ByteStorage", GLOBAL_STORAGE, ELEMENT_U8 },
    { "torch", "BoolStorage", GLOBAL_STORAGE, ELEMENT_BOOL },
    { "torch", "ComplexFloatStorage", GLOBAL_STORAGE, ELEMENT_C64 },
    { "torch", "ComplexDoubleStorage", GLOBAL_STORAGE, ELEMENT_C128 },
    { "torch", "QInt8Storage", GLOBAL_STORAGE, ELEMENT_Q8 },
    { "torch", "QUInt8Storage", GLOBAL_STORAGE, ELEMENT_Q8 },
    { "torch", "QInt32Storage", GLOBAL_STORAGE, ELEMENT_Q32 },
    { "torch", "UntypedStorage", GLOBAL_STORAGE, ELEMENT_BYTES },
    { "torch.storage", "UntypedStorage", GLOBAL_STORAGE, ELEMENT_BYTES },
    { "torch", "float32", GLOBAL_TORCH_TYPE, ELEMENT_F32 },
    { "torch", "float64", GLOBAL_TORCH_TYPE, ELEMENT_F64 },
    { "torch", "float16", GLOBAL_TORCH_TYPE, ELEMENT_F16 },
    { "torch", "bfloat16", GLOBAL_TORCH_TYPE, ELEMENT_BF16 },
    { "numpy.core.multiarray", "_reconstruct", GLOBAL_RECONSTRUCT, 0 },
    { "numpy._core.multiarray", "_reconstruct", GLOBAL_RECONSTRUCT, 0 },
    { "numpy.core.numeric", "_frombuffer", GLOBAL_FROM_BUFFER, 0 },
    { "numpy._core.numeric", "_frombuffer", GLOBAL_FROM_BUFFER, 0 },
    { "numpy.core.multiarray", "scalar", GLOBAL_SCALAR, 0 },
    { "numpy._core.multiarray", "scalar", GLOBAL_SCALAR, 0 },
    { "numpy", "ndarray", GLOBAL_NDARRAY, 0 },
    { "numpy", "dtype", GLOBAL_DTYPE, 0 },
    { "numpy", "float16", GLOBAL_NUMBER_TYPE, 0 },
    { "numpy", "float32", GLOBAL_NUMBER_TYPE, 0 },
    { "numpy", "float64", GLOBAL_NUMBER_TYPE, 0 },
};

enum { GLOBAL_COUNT = sizeof globals / sizeof *globals };

/* ---- naming a global --------------------------------------------------------------------------------------------- */

static bool equals(const char *text, const char *data, size_t bytes)
{
    return strlen(text) == bytes && memcmp(text, data, bytes) == 0;
}

static void note_foreign(struct pickle *pickle, const char *name)
{
    for (size_t i = 0; i < pickle->foreign_count; i++) {
        if (strcmp(pickle->foreign[i], name) == 0)
            return;
    }
    if (pickle->foreign_count < PICKLE_FOREIGN_MAX)
        pickle->foreign[pickle->foreign_count++] = name;
}

static enum status push_global(struct pickle_machine *m, const char *module, size_t module_bytes, const char *name,
                               size_t name_bytes)
{
    char shown[2][PICKLE_PRINTABLE_BYTES];
    struct pickle_value *value;
    enum status status = pickle_new_value(m, PICKLE_GLOBAL, &value);
    if (status != STATUS_OK)
        return status;
    pickle_printable(module, module_bytes, shown[0]);
    pickle_printable(name, name_bytes, shown[1]);
    size_t length = strlen(shown[0]) + strlen(shown[1]) + 2;
    char *text = pickle_allocate(m, length);
    if (text == NULL)
        return m->error->status;
    snprintf(text, length, "%s.%s", shown[0], shown[1]);
    value->call.name = text;
    for (int i = 0; i < GLOBAL_COUNT && value->call.global == GLOBAL_UNKNOWN; i++) {
        if (equals(globals[i].module, module, module_bytes) && equals(globals[i].name, name, name_bytes)) {
            value->call.global = globals[i].global;
            value->call.element = globals[i].element;
        }
    }
    if (value->call.global == GLOBAL_UNKNOWN)
        note_foreign(m->pickle, text);
    return pickle_push(m, value);
}

enum status pickle_do_global(struct pickle_machine *m, int operand)
{
    const char *module = NULL, *name = NULL;
    size_t module_bytes = 0, name_bytes = 0;
    (void)operand;
    enum status status = pickle_take_line(m, PICKLE_NAME_MAX, &module, &module_bytes);
    if (status == STATUS_OK)
        status = pickle_take_line(m, PICKLE_NAME_MAX, &name, &name_bytes);
    return status == STATUS_OK ? push_global(m, module, module_bytes, name, name_bytes) : status;
}

enum status pickle_do_stack_global(struct pickle_machine *m, int operand)
{
    struct pickle_value *module, *name;
    (void)operand;
    enum status status = pickle_pop(m, &name);
    if (status == STATUS_OK)
        status = pickle_pop(m, &module);
    if (status != STATUS_OK)
        return status;
    if (!pickle_is_text(name) || !pickle_is_text(module) || name->text.bytes > PICKLE_NAME_MAX ||
        module->text.bytes > PICKLE_NAME_MAX)
        return pickle_refuse(m, "finds no module and name of at most %d bytes", PICKLE_NAME_MAX);
    return push_global(m, module->text.data, module->text.bytes, name->text.data, name->text.bytes);
}

/* ---- calls: of those that give plain data it is made here, none is made
 * ------------------------------------------- */

/* The call of something as an object that says what it would have been. */
static enum status push_object(struct pickle_machine *m, const struct pickle_value *function, enum pickle_global global,
                               const struct pickle_value *arguments)
{
    struct pickle_value *object;
    enum status status = pickle_new_value(m, PICKLE_OBJECT, &object);
    if (status != STATUS_OK)
        return status;
    object->call.global = global;
    object->call.name = function->call.name;
    object->call.arguments = arguments;
    return pickle_push(m, object);
}

static bool is_pair(const struct pickle_value *value)
{
    return (value->type == PICKLE_LIST || value->type == PICKLE_TUPLE) && value->list.count == 2;
}

/* OrderedDict(), or with Python 2's list of [key, value]. */
static enum status make_ordered_dict(struct pickle_machine *m, const struct pickle_value *function,
                                     const struct pickle_value *arguments)
{
    struct pickle_value *dict;
    const struct pickle_value *items = arguments->list.count == 1 ? arguments->list.items[0] : NULL;
    bool plain = arguments->list.count == 0 || (items != NULL && items->type == PICKLE_LIST);
    for (size_t i = 0; items != NULL && plain && i < items->list.count; i++)
        plain = is_pair(items->list.items[i]);
    if (!plain)
        return push_object(m, function, GLOBAL_UNKNOWN, arguments);
    enum status status = pickle_new_value(m, PICKLE_DICT, &dict);
    if (status != STATUS_OK)
        return status;
    dict->list.ordered = true;
    for (size_t i = 0; items != NULL && i < items->list.count; i++) {
        status = pickle_append(m, dict, items->list.items[i]->list.items, 2);
        if (status != STATUS_OK)
            return status;
    }
    return pickle_push(m, dict);
}

/* The bytes whose values are the characters of a text, all below 256. */
static enum status make_encoded(struct pickle_machine *m, const struct pickle_value *function,
                                const struct pickle_value *arguments)
{
    const struct pickle_value *text = arguments->list.count == 2 ? arguments->list.items[0] : NULL;
    if (text == NULL || text->type != PICKLE_TEXT ||
        !(pickle_is(arguments->list.items[1], "latin1") || pickle_is(arguments->list.items[1], "latin-1")))
        return push_object(m, function, GLOBAL_UNKNOWN, arguments);
    uint8_t *out = pickle_allocate(m, text->text.bytes + 1);
    if (out == NULL)
        return m->error->status;
    const uint8_t *in = (const uint8_t *)text->text.data, *end = in + text->text.bytes;
    size_t count = 0;
    while (in < end) {
        if (in[0] < 0x80) {
            out[count++] = *in++;
        } else if (end - in >= 2 && (in[0] == 0xc2 || in[0] == 0xc3) && in[1] >= 0x80 && in[1] <= 0xbf) {
            out[count++] = (uint8_t)(in[0] << 6 | (in[1] & 0x3f));
            in += 2;
        } else {
            return push_object(m, function, GLOBAL_UNKNOWN, arguments);
        }
    }
    return pickle_push_text(m, PICKLE_BYTES, out, count);
}

static enum status call(struct pickle_machine *m, const struct pickle_value *function,
                        const struct pickle_value *arguments)
{
    if (function->type != PICKLE_GLOBAL && function->type != PICKLE_OBJECT)
        return pickle_refuse(m, "calls %s", pickle_type_name(function));
    if (arguments->type != PICKLE_TUPLE)
        return pickle_refuse(m, "calls %s with %s instead of a tuple", function->call.name,
                             pickle_type_name(arguments));
    if (function->type == PICKLE_OBJECT)
        return push_object(m, function, GLOBAL_UNKNOWN, arguments);
    while (function->call.global == GLOBAL_REBUILD_FROM_TYPE && arguments->list.count >= 3 &&
           arguments->list.items[0]->type == PICKLE_GLOBAL && arguments->list.items[2]->type == PICKLE_TUPLE) {
        function = arguments->list.items[0];
        arguments = arguments->list.items[2];
    }
    const struct pickle_value *first = arguments->list.count > 0 ? arguments->list.items[0] : NULL;
    switch (function->call.global) {
    case GLOBAL_ORDERED_DICT:
        return make_ordered_dict(m, function, arguments);
    case GLOBAL_ENCODE:
        return make_encoded(m, function, arguments);
    case GLOBAL_BYTES:
        if (first == NULL)
            return pickle_push_text(m, PICKLE_BYTES, "", 0);
        return first->type == PICKLE_BYTES && arguments->list.count == 1
                   ? pickle_push_text(m, PICKLE_BYTES, first->text.data, first->text.bytes)
                   : push_object(m, function, GLOBAL_UNKNOWN, arguments);
    case GLOBAL_REBUILD_WRAPPED:
        return first != NULL ? pickle_push(m, arguments->list.items[0])
                             : push_object(m, function, GLOBAL_UNKNOWN, arguments);
    case GLOBAL_REBUILD_TENSOR:
    case GLOBAL_REBUILD_TENSOR_V3:
    case GLOBAL_LOAD_FROM_BYTES:
    case GLOBAL_RECONSTRUCT:
    case GLOBAL_FROM_BUFFER:
    case GLOBAL_DTYPE:
    case GLOBAL_SCALAR:
        return push_object(m, function, function->call.global, arguments);
    default: /* nothing that is known */
        return push_object(m, function, GLOBAL_UNKNOWN, arguments);
    }
}

enum status pickle_do_reduce(struct pickle_machine *m, int operand)
{
    struct pickle_value *arguments, *function;
    (void)operand;
    enum status status = pickle_pop(m, &arguments);
    if (status == STATUS_OK)
        status = pickle_pop(m, &function);
    return status == STATUS_OK ? call(m, function, arguments) : status;
}

/* With arguments by name as well, which no class that is known here takes. */
enum status pickle_do_new_object(struct pickle_machine *m, int operand)
{
    struct pickle_value *named;
    enum status status = pickle_pop(m, &named);
    return status == STATUS_OK ? pickle_do_reduce(m, operand) : status;
}

/* A class and its arguments above a mark: Python 2's old classes. */
enum status pickle_do_object(struct pickle_machine *m, int operand)
{
    struct pickle_value **values = NULL, *arguments;
    size_t count = 0;
    (void)operand;
    enum status status = pickle_pop_mark(m, &values, &count);
    if (status != STATUS_OK)
        return status;
    if (count == 0)
        return pickle_refuse(m, "finds no class behind the mark");
    const struct pickle_value *function = values[0];
    status = pickle_new_value(m, PICKLE_TUPLE, &arguments);
    if (status == STATUS_OK)
        status = pickle_append(m, arguments, values + 1, count - 1);
    return status == STATUS_OK ? call(m, function, arguments) : status;
}

enum status pickle_do_build(struct pickle_machine *m, int operand)
{
    struct pickle_value *state, *object;
    (void)operand;
    enum status status = pickle_pop(m, &state);
    if (status == STATUS_OK)
        status = pickle_top(m, &object);
    if (status != STATUS_OK)
        return status;
    if (object->type == PICKLE_DICT && object->list.ordered) /* attributes, such as torch's _metadata */
        return STATUS_OK;
    if (object->type != PICKLE_OBJECT && object->type != PICKLE_GLOBAL)
        return pickle_refuse(m, "gives a state to %s, which takes none", pickle_type_name(object));
    if (object->type == PICKLE_OBJECT)
        object->call.state = state;
    return STATUS_OK;
}

enum status pickle_do_persistent(struct pickle_machine *m, int operand)
{
    struct pickle_value *id, *value;
    struct pickle *pickle = m->pickle;
    (void)operand;
    enum status status = pickle_pop(m, &id);
    if (status == STATUS_OK)
        status = pickle_new_value(m, PICKLE_PERSISTENT, &value);
    if (status != STATUS_OK)
        return status;
    value->id = id;
    if (pickle->persistent_count == m->persistent_capacity) {
        size_t capacity = m->persistent_capacity == 0 ? 256 : 2 * m->persistent_capacity;
        const struct pickle_value **list = realloc(pickle->persistent, capacity * sizeof *list);
        if (list == NULL)
            return pickle_no_memory(m);
        pickle->persistent = list;
        m->persistent_capacity = capacity;
    }
    pickle->persistent[pickle->persistent_count++] = value;
    return pickle_push(m, value);
}
