#include "fetch/weights/pickle_machine.h"

#include <stdlib.h>
#include <string.h>

#include "fetch/weights/number_format.h"

/* ---- the globals that are data ----------------------------------------------------------------------------------- */

static const struct {
    const char *module, *name;
    enum pickle_global global;
    int element;
    bool called; /* REDUCE may call it */
} globals[] = {
    { "collections", "OrderedDict", GLOBAL_ORDERED_DICT, 0, true },
    { "_codecs", "encode", GLOBAL_ENCODE, 0, true },
    { "__builtin__", "bytes", GLOBAL_BYTES, 0, true },
    { "builtins", "bytes", GLOBAL_BYTES, 0, true },
    { "torch._utils", "_rebuild_tensor", GLOBAL_REBUILD_TENSOR, 0, true },
    { "torch._utils", "_rebuild_tensor_v2", GLOBAL_REBUILD_TENSOR_V2, 0, true },
    { "torch._utils", "_rebuild_parameter", GLOBAL_REBUILD_PARAMETER, 0, true },
    { "torch", "FloatStorage", GLOBAL_STORAGE, ELEMENT_F32, false },
    { "torch", "DoubleStorage", GLOBAL_STORAGE, ELEMENT_F64, false },
    { "torch", "HalfStorage", GLOBAL_STORAGE, ELEMENT_F16, false },
    { "torch", "BFloat16Storage", GLOBAL_STORAGE, ELEMENT_BF16, false },
    { "torch", "LongStorage", GLOBAL_STORAGE, ELEMENT_I64, false },
    { "torch", "IntStorage", GLOBAL_STORAGE, ELEMENT_I32, false },
    { "torch", "ShortStorage", GLOBAL_STORAGE, ELEMENT_I16, false },
    { "torch", "CharStorage", GLOBAL_STORAGE, ELEMENT_I8, false },
    { "torch", "ByteStorage", GLOBAL_STORAGE, ELEMENT_U8, false },
    { "torch", "BoolStorage", GLOBAL_STORAGE, ELEMENT_BOOL, false },
    { "numpy.core.multiarray", "_reconstruct", GLOBAL_RECONSTRUCT, 0, true },
    { "numpy._core.multiarray", "_reconstruct", GLOBAL_RECONSTRUCT, 0, true },
    { "numpy.core.multiarray", "scalar", GLOBAL_SCALAR, 0, true },
    { "numpy._core.multiarray", "scalar", GLOBAL_SCALAR, 0, true },
    { "numpy", "ndarray", GLOBAL_NDARRAY, 0, false },
    { "numpy", "dtype", GLOBAL_DTYPE, 0, true },
    { "numpy", "float16", GLOBAL_NUMBER_TYPE, 0, false },
    { "numpy", "float32", GLOBAL_NUMBER_TYPE, 0, false },
    { "numpy", "float64", GLOBAL_NUMBER_TYPE, 0, false },
};

enum { GLOBAL_COUNT = sizeof globals / sizeof *globals };

/* ---- the opcodes ------------------------------------------------------------------------------------------------- */

enum status pickle_do_global(struct pickle_machine *m, int operand)
{
    const char *module = NULL, *name = NULL;
    size_t module_bytes = 0, name_bytes = 0;
    char shown[2][PICKLE_PRINTABLE_BYTES];
    (void)operand;
    enum status status = pickle_take_line(m, PICKLE_NAME_MAX, &module, &module_bytes);
    if (status == STATUS_OK)
        status = pickle_take_line(m, PICKLE_NAME_MAX, &name, &name_bytes);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < GLOBAL_COUNT; i++) {
        struct pickle_value *value;
        if (strlen(globals[i].module) != module_bytes || memcmp(globals[i].module, module, module_bytes) != 0 ||
            strlen(globals[i].name) != name_bytes || memcmp(globals[i].name, name, name_bytes) != 0)
            continue;
        status = pickle_new_value(m, PICKLE_GLOBAL, &value);
        if (status != STATUS_OK)
            return status;
        value->call.global = globals[i].global;
        value->call.name = globals[i].name;
        value->call.element = globals[i].element;
        return pickle_push(m, value);
    }
    pickle_printable(module, module_bytes, shown[0]);
    pickle_printable(name, name_bytes, shown[1]);
    return pickle_refuse(m, "names %s.%s, which is not data", shown[0], shown[1]);
}

static bool may_be_called(enum pickle_global global)
{
    int i = 0;
    while (globals[i].global != global)
        i++;
    return globals[i].called;
}

/* OrderedDict(), or with Python 2's list of [key, value]. */
static enum status make_ordered_dict(struct pickle_machine *m, const struct pickle_value *arguments)
{
    struct pickle_value *dict;
    enum status status = pickle_new_value(m, PICKLE_DICT, &dict);
    if (status != STATUS_OK)
        return status;
    dict->list.ordered = true;
    if (arguments->list.count > 1 || (arguments->list.count == 1 && arguments->list.items[0]->type != PICKLE_LIST))
        return pickle_refuse(m, "calls OrderedDict with something else than a list of items");
    const struct pickle_value *items = arguments->list.count == 1 ? arguments->list.items[0] : NULL;
    for (size_t i = 0; items != NULL && i < items->list.count; i++) {
        const struct pickle_value *item = items->list.items[i];
        if ((item->type != PICKLE_LIST && item->type != PICKLE_TUPLE) || item->list.count != 2)
            return pickle_refuse(m, "calls OrderedDict with an item that is no pair");
        status = pickle_append(m, dict, item->list.items, 2);
        if (status != STATUS_OK)
            return status;
    }
    return pickle_push(m, dict);
}

/* The bytes whose values are the characters of a text, all below 256. */
static enum status make_bytes(struct pickle_machine *m, const struct pickle_value *arguments)
{
    const struct pickle_value *text = arguments->list.count == 2 ? arguments->list.items[0] : NULL;
    if (text == NULL || text->type != PICKLE_TEXT ||
        !(pickle_is(arguments->list.items[1], "latin1") || pickle_is(arguments->list.items[1], "latin-1")))
        return pickle_refuse(m, "calls _codecs.encode with something else than a text and latin1");
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
            return pickle_refuse(m, "calls _codecs.encode with characters that are not Latin-1");
        }
    }
    return pickle_push_text(m, PICKLE_BYTES, out, count);
}

enum status pickle_do_reduce(struct pickle_machine *m, int operand)
{
    struct pickle_value *arguments, *function, *object;
    (void)operand;
    enum status status = pickle_pop(m, &arguments);
    if (status == STATUS_OK)
        status = pickle_pop(m, &function);
    if (status != STATUS_OK)
        return status;
    if (function->type != PICKLE_GLOBAL || !may_be_called(function->call.global))
        return pickle_refuse(m, "calls %s%s, which is not to be called",
                             function->type == PICKLE_GLOBAL ? "" : pickle_type_name(function),
                             function->type == PICKLE_GLOBAL ? function->call.name : "");
    if (arguments->type != PICKLE_TUPLE)
        return pickle_refuse(m, "calls %s with %s instead of a tuple", function->call.name,
                             pickle_type_name(arguments));
    switch (function->call.global) {
    case GLOBAL_ORDERED_DICT:
        return make_ordered_dict(m, arguments);
    case GLOBAL_ENCODE:
        return make_bytes(m, arguments);
    case GLOBAL_BYTES:
        return arguments->list.count == 0 ? pickle_push_text(m, PICKLE_BYTES, "", 0)
                                          : pickle_refuse(m, "calls bytes with arguments");
    case GLOBAL_REBUILD_PARAMETER: /* its tensor, and what training needs */
        return arguments->list.count > 0 ? pickle_push(m, arguments->list.items[0])
                                         : pickle_refuse(m, "calls _rebuild_parameter without a tensor");
    default:
        status = pickle_new_value(m, PICKLE_OBJECT, &object);
        if (status != STATUS_OK)
            return status;
        object->call = function->call;
        object->call.arguments = arguments;
        return pickle_push(m, object);
    }
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
        return state->type == PICKLE_DICT
                   ? STATUS_OK
                   : pickle_refuse(m, "gives an OrderedDict %s as its state", pickle_type_name(state));
    if (object->type != PICKLE_OBJECT ||
        (object->call.global != GLOBAL_RECONSTRUCT && object->call.global != GLOBAL_DTYPE))
        return pickle_refuse(m, "gives a state to %s, which takes none",
                             object->type == PICKLE_OBJECT ? object->call.name : pickle_type_name(object));
    if (object->call.state != NULL)
        return pickle_refuse(m, "gives a state to %s a second time", object->call.name);
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
