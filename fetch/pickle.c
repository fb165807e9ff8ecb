#include "fetch/pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/element.h"

enum { CHUNK_BYTES = 64 * 1024, INTEGER_DIGITS_MAX = 20 };

struct pickle_chunk {
    struct pickle_chunk *next;
    size_t bytes, used;
    max_align_t data[];
};

/* One reading. */
struct machine {
    struct pickle *pickle;
    const char *path;
    const uint8_t *file;
    size_t bytes, next;                   /* next: of the byte to be read */
    size_t offset;                        /* of the opcode that is being carried out */
    const char *opcode;                   /* its name */
    struct pickle_value **stack;          /* NULL: a mark */
    size_t stack_count, stack_capacity, memo_count, persistent_capacity;
    struct pickle_value **memo;           /* [memo_count], NULL where nothing was put */
    struct error *error;
};

/* ---- the globals that are data ------------------------------------------------------------------------------------------ */

static const struct {
    const char *module, *name;
    enum pickle_global global;
    int element;
    bool called;                          /* REDUCE may call it */
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

/* ---- values --------------------------------------------------------------------------------------------------------------- */

static enum status refuse(struct machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static enum status refuse(struct machine *m, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)error_set_v(m->error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    return error_prefix(m->error, "%s: byte %zu: opcode %s", m->path, m->offset, m->opcode);
}

static enum status no_memory(struct machine *m)
{
    return error_set(m->error, STATUS_ENVIRONMENT, "no memory for the pickle in %s", m->path);
}

static enum status allocate(struct machine *m, size_t bytes, void **memory)
{
    struct pickle *pickle = m->pickle;
    struct pickle_chunk *chunk = pickle->chunks;
    bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (chunk == NULL || chunk->bytes - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        if (size > PICKLE_ARENA_MAX - pickle->arena_bytes)
            return refuse(m, "asks for more than the %zu bytes that a pickle's values may take", PICKLE_ARENA_MAX);
        chunk = malloc(sizeof *chunk + size);
        if (chunk == NULL)
            return no_memory(m);
        chunk->bytes = size;
        chunk->used = 0;
        chunk->next = pickle->chunks;
        pickle->chunks = chunk;
        pickle->arena_bytes += size;
    }
    *memory = (char *)chunk->data + chunk->used;
    chunk->used += bytes;
    return STATUS_OK;
}

static enum status new_value(struct machine *m, enum pickle_type type, struct pickle_value **value)
{
    void *memory;
    enum status status = allocate(m, sizeof **value, &memory);
    if (status != STATUS_OK)
        return status;
    *value = memory;
    memset(*value, 0, sizeof **value);
    (*value)->type = type;
    (*value)->offset = m->offset;
    return STATUS_OK;
}

static enum status push(struct machine *m, struct pickle_value *value)
{
    if (m->stack_count == PICKLE_STACK_MAX)
        return refuse(m, "makes the stack deeper than %d", PICKLE_STACK_MAX);
    if (m->stack_count == m->stack_capacity) {
        size_t capacity = m->stack_capacity == 0 ? 256 : 2 * m->stack_capacity;
        struct pickle_value **stack = realloc(m->stack, capacity * sizeof *stack);
        if (stack == NULL)
            return no_memory(m);
        m->stack = stack;
        m->stack_capacity = capacity;
    }
    m->stack[m->stack_count++] = value;
    return STATUS_OK;
}

/* The value on top, which stays; a mark is none. */
static enum status top(struct machine *m, struct pickle_value **value)
{
    *value = m->stack_count > 0 ? m->stack[m->stack_count - 1] : NULL;
    return *value != NULL ? STATUS_OK : refuse(m, "finds no value on the stack");
}

static enum status pop(struct machine *m, struct pickle_value **value)
{
    enum status status = top(m, value);
    if (status == STATUS_OK)
        m->stack_count--;
    return status;
}

/* Takes off what lies above the last mark, and the mark; the values stay readable until the next push. */
static enum status pop_mark(struct machine *m, struct pickle_value ***values, size_t *count)
{
    size_t place = m->stack_count;
    while (place > 0 && m->stack[place - 1] != NULL)
        place--;
    if (place == 0)
        return refuse(m, "finds no mark on the stack");
    *values = m->stack + place;
    *count = m->stack_count - place;
    m->stack_count = place - 1;
    return STATUS_OK;
}

static enum status append(struct machine *m, struct pickle_value *list, struct pickle_value *const *values, size_t count)
{
    if (count > list->list.capacity - list->list.count) {
        size_t capacity = list->list.capacity == 0 ? 2 : list->list.capacity;
        void *memory;
        while (capacity - list->list.count < count)
            capacity *= 2;
        enum status status = allocate(m, capacity * sizeof *list->list.items, &memory);
        if (status != STATUS_OK)
            return status;
        if (list->list.count > 0)
            memcpy(memory, list->list.items, list->list.count * sizeof *list->list.items);
        list->list.items = memory;
        list->list.capacity = capacity;
    }
    if (count > 0)
        memcpy(list->list.items + list->list.count, values, count * sizeof *values);
    list->list.count += count;
    return STATUS_OK;
}

static enum status take_bytes(struct machine *m, uint64_t count, const uint8_t **data)
{
    if (count > m->bytes - m->next)
        return refuse(m, "wants %ju bytes, but %zu follow: the file is truncated or damaged", (uintmax_t)count, m->bytes - m->next);
    *data = m->file + m->next;
    m->next += (size_t)count;
    return STATUS_OK;
}

static enum status take_number(struct machine *m, size_t count, uint64_t *number)
{
    const uint8_t *data;
    enum status status = take_bytes(m, count, &data);
    *number = 0;
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        *number |= (uint64_t)data[i] << 8 * i;
    return status;
}

static enum status take_line(struct machine *m, size_t limit, const char **line, size_t *length)
{
    const uint8_t *start = m->file + m->next;
    size_t left = m->bytes - m->next;
    const uint8_t *end = memchr(start, '\n', left < limit + 1 ? left : limit + 1);
    if (end == NULL)
        return refuse(m, left <= limit ? "ends within a line: the file is truncated or damaged" : "has a line of more than %zu bytes", limit);
    *line = (const char *)start;
    *length = (size_t)(end - start);
    m->next += *length + 1;
    return STATUS_OK;
}

/* ---- actions: `operand` is the number of bytes of the opcode's operand, or whatever else distinguishes it ------------------------------ */

static enum status do_simple(struct machine *m, int type)
{
    struct pickle_value *value;
    enum status status = new_value(m, (enum pickle_type)type, &value);
    return status == STATUS_OK ? push(m, value) : status;
}

static enum status do_boolean(struct machine *m, int truth)
{
    struct pickle_value *value;
    enum status status = new_value(m, PICKLE_BOOLEAN, &value);
    if (status != STATUS_OK)
        return status;
    value->boolean = truth != 0;
    return push(m, value);
}

static enum status push_integer(struct machine *m, int64_t integer)
{
    struct pickle_value *value;
    enum status status = new_value(m, PICKLE_INTEGER, &value);
    if (status != STATUS_OK)
        return status;
    value->integer = integer;
    return push(m, value);
}

static enum status do_integer(struct machine *m, int operand)
{
    uint64_t number;
    enum status status = take_number(m, (size_t)operand, &number);
    if (status != STATUS_OK)
        return status;
    return push_integer(m, operand == 4 ? (int32_t)(uint32_t)number : (int64_t)number);
}

static enum status push_text(struct machine *m, enum pickle_type type, const void *data, size_t bytes)
{
    struct pickle_value *value;
    enum status status = new_value(m, type, &value);
    if (status != STATUS_OK)
        return status;
    value->text.data = data;
    value->text.bytes = bytes;
    return push(m, value);
}

static enum status do_long(struct machine *m, int operand)
{
    uint64_t count, number = 0;
    const uint8_t *data = NULL;
    enum status status = take_number(m, (size_t)operand, &count);
    if (status == STATUS_OK)
        status = take_bytes(m, count, &data);
    if (status != STATUS_OK)
        return status;
    if (count > 8)
        return push_text(m, PICKLE_LONG, data, (size_t)count);
    for (size_t i = 0; i < 8; i++) /* two's complement: the last byte's sign goes on */
        number |= (uint64_t)(i < count ? data[i] : count > 0 && data[count - 1] >= 0x80 ? 0xff : 0) << 8 * i;
    return push_integer(m, (int64_t)number);
}

/* Python 2 writes integers of more than 32 bits as a line of digits, whatever the protocol. */
static enum status do_digits(struct machine *m, int operand)
{
    const char *line;
    size_t length;
    char digits[INTEGER_DIGITS_MAX + 1], *end;
    (void)operand;
    enum status status = take_line(m, INTEGER_DIGITS_MAX, &line, &length);
    if (status != STATUS_OK)
        return status;
    memcpy(digits, line, length);
    digits[length] = '\0';
    size_t sign = digits[0] == '-';
    if (length == sign || digits[sign + strspn(digits + sign, "0123456789")] != '\0' || length - sign > 18)
        return refuse(m, "is followed by no integer of at most 18 digits");
    return push_integer(m, (int64_t)strtoll(digits, &end, 10));
}

static enum status do_real(struct machine *m, int operand)
{
    const uint8_t *data;
    struct pickle_value *value;
    enum status status = take_bytes(m, (uint64_t)operand, &data);
    if (status == STATUS_OK)
        status = new_value(m, PICKLE_REAL, &value);
    if (status != STATUS_OK)
        return status;
    uint64_t bits = 0;
    for (size_t i = 0; i < 8; i++) /* the one number that a pickle holds big-endian */
        bits = bits << 8 | data[i];
    memcpy(&value->real, &bits, sizeof bits);
    return push(m, value);
}

static enum status do_text(struct machine *m, int type)
{
    uint64_t count;
    const uint8_t *data;
    enum status status = take_number(m, 4, &count);
    if (status == STATUS_OK && type == PICKLE_BYTES && count > INT32_MAX)
        return refuse(m, "has a negative length");
    if (status == STATUS_OK)
        status = take_bytes(m, count, &data);
    return status == STATUS_OK ? push_text(m, (enum pickle_type)type, data, (size_t)count) : status;
}

static enum status do_short_bytes(struct machine *m, int operand)
{
    uint64_t count;
    const uint8_t *data;
    enum status status = take_number(m, (size_t)operand, &count);
    if (status == STATUS_OK)
        status = take_bytes(m, count, &data);
    return status == STATUS_OK ? push_text(m, PICKLE_BYTES, data, (size_t)count) : status;
}

static enum status do_mark(struct machine *m, int operand)
{
    (void)operand;
    return push(m, NULL);
}

static enum status make_tuple(struct machine *m, struct pickle_value *const *values, size_t count)
{
    struct pickle_value *tuple;
    enum status status = new_value(m, PICKLE_TUPLE, &tuple);
    if (status == STATUS_OK)
        status = append(m, tuple, values, count);
    return status == STATUS_OK ? push(m, tuple) : status;
}

static enum status do_tuple(struct machine *m, int operand)
{
    struct pickle_value **values;
    size_t count;
    (void)operand;
    enum status status = pop_mark(m, &values, &count);
    return status == STATUS_OK ? make_tuple(m, values, count) : status;
}

static enum status do_small_tuple(struct machine *m, int operand)
{
    struct pickle_value *values[3];
    for (int i = operand - 1; i >= 0; i--) {
        enum status status = pop(m, &values[i]);
        if (status != STATUS_OK)
            return status;
    }
    return make_tuple(m, values, (size_t)operand);
}

static enum status extend(struct machine *m, struct pickle_value *const *values, size_t count, int type)
{
    struct pickle_value *list;
    enum status status = top(m, &list);
    if (status != STATUS_OK)
        return status;
    if (list->type != (enum pickle_type)type)
        return refuse(m, "finds %s, not a %s, on the stack", pickle_type_name(list), type == PICKLE_DICT ? "dict" : "list");
    if (type == PICKLE_DICT && count % 2 != 0)
        return refuse(m, "finds a key without its value");
    return append(m, list, values, count);
}

static enum status do_extend(struct machine *m, int type)
{
    struct pickle_value **values;
    size_t count;
    enum status status = pop_mark(m, &values, &count);
    return status == STATUS_OK ? extend(m, values, count, type) : status;
}

static enum status do_append(struct machine *m, int operand)
{
    struct pickle_value *value;
    (void)operand;
    enum status status = pop(m, &value);
    return status == STATUS_OK ? extend(m, &value, 1, PICKLE_LIST) : status;
}

static enum status do_set_item(struct machine *m, int operand)
{
    struct pickle_value *values[2];
    (void)operand;
    enum status status = pop(m, &values[1]);
    if (status == STATUS_OK)
        status = pop(m, &values[0]);
    return status == STATUS_OK ? extend(m, values, 2, PICKLE_DICT) : status;
}

static enum status do_put(struct machine *m, int operand)
{
    uint64_t place;
    struct pickle_value *value;
    enum status status = take_number(m, (size_t)operand, &place);
    if (status == STATUS_OK)
        status = top(m, &value);
    if (status != STATUS_OK)
        return status;
    if (place >= PICKLE_MEMO_MAX)
        return refuse(m, "puts a value at place %ju of the memo; places end at %d", (uintmax_t)place, PICKLE_MEMO_MAX);
    if (place >= m->memo_count) {
        size_t count = m->memo_count == 0 ? 256 : m->memo_count;
        while (count <= place)
            count *= 2;
        struct pickle_value **memo = realloc(m->memo, count * sizeof *memo);
        if (memo == NULL)
            return no_memory(m);
        memset(memo + m->memo_count, 0, (count - m->memo_count) * sizeof *memo);
        m->memo = memo;
        m->memo_count = count;
    }
    m->memo[place] = value;
    return STATUS_OK;
}

static enum status do_get(struct machine *m, int operand)
{
    uint64_t place;
    enum status status = take_number(m, (size_t)operand, &place);
    if (status != STATUS_OK)
        return status;
    if (place >= m->memo_count || m->memo[place] == NULL)
        return refuse(m, "wants place %ju of the memo, where nothing was put", (uintmax_t)place);
    return push(m, m->memo[place]);
}

static enum status do_global(struct machine *m, int operand)
{
    const char *module, *name;
    size_t module_bytes, name_bytes;
    char shown[2][PICKLE_PRINTABLE_BYTES];
    (void)operand;
    enum status status = take_line(m, PICKLE_NAME_MAX, &module, &module_bytes);
    if (status == STATUS_OK)
        status = take_line(m, PICKLE_NAME_MAX, &name, &name_bytes);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < GLOBAL_COUNT; i++) {
        struct pickle_value *value;
        if (strlen(globals[i].module) != module_bytes || memcmp(globals[i].module, module, module_bytes) != 0 ||
            strlen(globals[i].name) != name_bytes || memcmp(globals[i].name, name, name_bytes) != 0)
            continue;
        status = new_value(m, PICKLE_GLOBAL, &value);
        if (status != STATUS_OK)
            return status;
        value->call.global = globals[i].global;
        value->call.name = globals[i].name;
        value->call.element = globals[i].element;
        return push(m, value);
    }
    pickle_printable(module, module_bytes, shown[0]);
    pickle_printable(name, name_bytes, shown[1]);
    return refuse(m, "names %s.%s, which is not data", shown[0], shown[1]);
}

static bool may_be_called(enum pickle_global global)
{
    int i = 0;
    while (globals[i].global != global)
        i++;
    return globals[i].called;
}

/* OrderedDict(), or with Python 2's list of [key, value]. */
static enum status make_ordered_dict(struct machine *m, const struct pickle_value *arguments)
{
    struct pickle_value *dict;
    enum status status = new_value(m, PICKLE_DICT, &dict);
    if (status != STATUS_OK)
        return status;
    dict->list.ordered = true;
    if (arguments->list.count > 1 || (arguments->list.count == 1 && arguments->list.items[0]->type != PICKLE_LIST))
        return refuse(m, "calls OrderedDict with something else than a list of items");
    const struct pickle_value *items = arguments->list.count == 1 ? arguments->list.items[0] : NULL;
    for (size_t i = 0; items != NULL && i < items->list.count; i++) {
        const struct pickle_value *item = items->list.items[i];
        if ((item->type != PICKLE_LIST && item->type != PICKLE_TUPLE) || item->list.count != 2)
            return refuse(m, "calls OrderedDict with an item that is no pair");
        status = append(m, dict, item->list.items, 2);
        if (status != STATUS_OK)
            return status;
    }
    return push(m, dict);
}

/* The bytes whose values are the characters of a text, all below 256. */
static enum status make_bytes(struct machine *m, const struct pickle_value *arguments)
{
    const struct pickle_value *text = arguments->list.count == 2 ? arguments->list.items[0] : NULL;
    if (text == NULL || text->type != PICKLE_TEXT ||
        !(pickle_is(arguments->list.items[1], "latin1") || pickle_is(arguments->list.items[1], "latin-1")))
        return refuse(m, "calls _codecs.encode with something else than a text and latin1");
    void *memory;
    enum status status = allocate(m, text->text.bytes + 1, &memory);
    if (status != STATUS_OK)
        return status;
    uint8_t *out = memory;
    const uint8_t *in = (const uint8_t *)text->text.data, *end = in + text->text.bytes;
    size_t count = 0;
    while (in < end) {
        if (in[0] < 0x80) {
            out[count++] = *in++;
        } else if (end - in >= 2 && (in[0] == 0xc2 || in[0] == 0xc3) && in[1] >= 0x80 && in[1] <= 0xbf) {
            out[count++] = (uint8_t)(in[0] << 6 | (in[1] & 0x3f));
            in += 2;
        } else {
            return refuse(m, "calls _codecs.encode with characters that are not Latin-1");
        }
    }
    return push_text(m, PICKLE_BYTES, out, count);
}

static enum status do_reduce(struct machine *m, int operand)
{
    struct pickle_value *arguments, *function, *object;
    (void)operand;
    enum status status = pop(m, &arguments);
    if (status == STATUS_OK)
        status = pop(m, &function);
    if (status != STATUS_OK)
        return status;
    if (function->type != PICKLE_GLOBAL || !may_be_called(function->call.global))
        return refuse(m, "calls %s%s, which is not to be called", function->type == PICKLE_GLOBAL ? "" : pickle_type_name(function),
                      function->type == PICKLE_GLOBAL ? function->call.name : "");
    if (arguments->type != PICKLE_TUPLE)
        return refuse(m, "calls %s with %s instead of a tuple", function->call.name, pickle_type_name(arguments));
    switch (function->call.global) {
    case GLOBAL_ORDERED_DICT:
        return make_ordered_dict(m, arguments);
    case GLOBAL_ENCODE:
        return make_bytes(m, arguments);
    case GLOBAL_BYTES:
        return arguments->list.count == 0 ? push_text(m, PICKLE_BYTES, "", 0) : refuse(m, "calls bytes with arguments");
    case GLOBAL_REBUILD_PARAMETER: /* its tensor, and what training needs */
        return arguments->list.count > 0 ? push(m, arguments->list.items[0]) : refuse(m, "calls _rebuild_parameter without a tensor");
    default:
        status = new_value(m, PICKLE_OBJECT, &object);
        if (status != STATUS_OK)
            return status;
        object->call = function->call;
        object->call.arguments = arguments;
        return push(m, object);
    }
}

static enum status do_build(struct machine *m, int operand)
{
    struct pickle_value *state, *object;
    (void)operand;
    enum status status = pop(m, &state);
    if (status == STATUS_OK)
        status = top(m, &object);
    if (status != STATUS_OK)
        return status;
    if (object->type == PICKLE_DICT && object->list.ordered) /* attributes, such as torch's _metadata */
        return state->type == PICKLE_DICT ? STATUS_OK : refuse(m, "gives an OrderedDict %s as its state", pickle_type_name(state));
    if (object->type != PICKLE_OBJECT || (object->call.global != GLOBAL_RECONSTRUCT && object->call.global != GLOBAL_DTYPE))
        return refuse(m, "gives a state to %s, which takes none", object->type == PICKLE_OBJECT ? object->call.name : pickle_type_name(object));
    if (object->call.state != NULL)
        return refuse(m, "gives a state to %s a second time", object->call.name);
    object->call.state = state;
    return STATUS_OK;
}

static enum status do_persistent(struct machine *m, int operand)
{
    struct pickle_value *id, *value;
    struct pickle *pickle = m->pickle;
    (void)operand;
    enum status status = pop(m, &id);
    if (status == STATUS_OK)
        status = new_value(m, PICKLE_PERSISTENT, &value);
    if (status != STATUS_OK)
        return status;
    value->id = id;
    if (pickle->persistent_count == m->persistent_capacity) {
        size_t capacity = m->persistent_capacity == 0 ? 256 : 2 * m->persistent_capacity;
        const struct pickle_value **list = realloc(pickle->persistent, capacity * sizeof *list);
        if (list == NULL)
            return no_memory(m);
        pickle->persistent = list;
        m->persistent_capacity = capacity;
    }
    pickle->persistent[pickle->persistent_count++] = value;
    return push(m, value);
}

/* ---- the machine ------------------------------------------------------------------------------------------------------------------------- */

enum { OPCODE_PROTO = 0x80, OPCODE_STOP = '.' };

/* Every opcode has its name, for messages; those without an action are refused. */
static const struct {
    const char *name;
    enum status (*action)(struct machine *m, int operand);
    int operand;
} opcodes[256] = {
    ['('] = { "MARK", do_mark, 0 },           ['.'] = { "STOP", NULL, 0 },
    ['N'] = { "NONE", do_simple, PICKLE_NONE }, [0x88] = { "NEWTRUE", do_boolean, 1 },
    [0x89] = { "NEWFALSE", do_boolean, 0 },   ['K'] = { "BININT1", do_integer, 1 },
    ['M'] = { "BININT2", do_integer, 2 },     ['J'] = { "BININT", do_integer, 4 },
    ['I'] = { "INT", do_digits, 0 },          [0x8a] = { "LONG1", do_long, 1 },
    ['G'] = { "BINFLOAT", do_real, 8 },       ['X'] = { "BINUNICODE", do_text, PICKLE_TEXT },
    ['T'] = { "BINSTRING", do_text, PICKLE_BYTES }, ['U'] = { "SHORT_BINSTRING", do_short_bytes, 1 },
    [')'] = { "EMPTY_TUPLE", do_simple, PICKLE_TUPLE }, ['t'] = { "TUPLE", do_tuple, 0 },
    [0x85] = { "TUPLE1", do_small_tuple, 1 }, [0x86] = { "TUPLE2", do_small_tuple, 2 },
    [0x87] = { "TUPLE3", do_small_tuple, 3 }, [']'] = { "EMPTY_LIST", do_simple, PICKLE_LIST },
    ['a'] = { "APPEND", do_append, 0 },       ['e'] = { "APPENDS", do_extend, PICKLE_LIST },
    ['}'] = { "EMPTY_DICT", do_simple, PICKLE_DICT }, ['s'] = { "SETITEM", do_set_item, 0 },
    ['u'] = { "SETITEMS", do_extend, PICKLE_DICT }, ['q'] = { "BINPUT", do_put, 1 },
    ['r'] = { "LONG_BINPUT", do_put, 4 },     ['h'] = { "BINGET", do_get, 1 },
    ['j'] = { "LONG_BINGET", do_get, 4 },     ['c'] = { "GLOBAL", do_global, 0 },
    ['R'] = { "REDUCE", do_reduce, 0 },       ['b'] = { "BUILD", do_build, 0 },
    ['Q'] = { "BINPERSID", do_persistent, 0 },

    [0x80] = { "PROTO", NULL, 0 },     ['0'] = { "POP", NULL, 0 },           ['1'] = { "POP_MARK", NULL, 0 },   ['2'] = { "DUP", NULL, 0 },
    ['F'] = { "FLOAT", NULL, 0 },      ['L'] = { "LONG", NULL, 0 },          ['S'] = { "STRING", NULL, 0 },     ['V'] = { "UNICODE", NULL, 0 },
    ['P'] = { "PERSID", NULL, 0 },     ['g'] = { "GET", NULL, 0 },           ['p'] = { "PUT", NULL, 0 },        ['i'] = { "INST", NULL, 0 },
    ['o'] = { "OBJ", NULL, 0 },        ['l'] = { "LIST", NULL, 0 },          ['d'] = { "DICT", NULL, 0 },       [0x81] = { "NEWOBJ", NULL, 0 },
    [0x82] = { "EXT1", NULL, 0 },      [0x83] = { "EXT2", NULL, 0 },         [0x84] = { "EXT4", NULL, 0 },      [0x8b] = { "LONG4", NULL, 0 },
    ['B'] = { "BINBYTES", NULL, 0 },   ['C'] = { "SHORT_BINBYTES", NULL, 0 }, [0x8c] = { "SHORT_BINUNICODE", NULL, 0 },
    [0x8d] = { "BINUNICODE8", NULL, 0 }, [0x8e] = { "BINBYTES8", NULL, 0 },  [0x8f] = { "EMPTY_SET", NULL, 0 }, [0x90] = { "ADDITEMS", NULL, 0 },
    [0x91] = { "FROZENSET", NULL, 0 }, [0x92] = { "NEWOBJ_EX", NULL, 0 },    [0x93] = { "STACK_GLOBAL", NULL, 0 }, [0x94] = { "MEMOIZE", NULL, 0 },
    [0x95] = { "FRAME", NULL, 0 },     [0x96] = { "BYTEARRAY8", NULL, 0 },   [0x97] = { "NEXT_BUFFER", NULL, 0 }, [0x98] = { "READONLY_BUFFER", NULL, 0 },
};

static enum status check_protocol(struct machine *m)
{
    m->opcode = "PROTO";
    if (m->bytes - m->next < 2 || m->file[m->next] != OPCODE_PROTO)
        return error_set(m->error, STATUS_INPUT, "%s: byte %zu: no pickle of protocol 2 begins here (nor one of 3 to 5; 0 and 1 are not read)",
                         m->path, m->offset);
    if (m->file[m->next + 1] != 2)
        return refuse(m, "says protocol %d; only 2 is read: write the file again with protocol=2", m->file[m->next + 1]);
    m->next += 2;
    return STATUS_OK;
}

static enum status finish(struct machine *m)
{
    struct pickle_value *root;
    enum status status = pop(m, &root);
    if (status != STATUS_OK)
        return status;
    if (m->stack_count != 0)
        return refuse(m, "leaves %zu values on the stack", m->stack_count);
    m->pickle->root = root;
    return STATUS_OK;
}

static enum status run(struct machine *m)
{
    enum status status = check_protocol(m);
    for (size_t count = 0; status == STATUS_OK; count++) {
        m->offset = m->next;
        if (m->next == m->bytes)
            return error_set(m->error, STATUS_INPUT, "%s: byte %zu: the pickle ends before its STOP: the file is truncated", m->path, m->offset);
        uint8_t byte = m->file[m->next++];
        m->opcode = opcodes[byte].name;
        if (m->opcode == NULL)
            return error_set(m->error, STATUS_INPUT, "%s: byte %zu: 0x%02x is no opcode of a pickle", m->path, m->offset, byte);
        if (count == PICKLE_OPCODES_MAX)
            return refuse(m, "is one more than the %d that are read", PICKLE_OPCODES_MAX);
        if (byte == OPCODE_STOP)
            return finish(m);
        status = opcodes[byte].action != NULL ? opcodes[byte].action(m, opcodes[byte].operand)
                                              : refuse(m, "is not one that data of protocol 2 needs");
    }
    return status;
}

enum status pickle_read(struct pickle *pickle, const char *path, const uint8_t *file, size_t bytes, size_t start, size_t *end,
                        struct error *error)
{
    struct machine m = { .pickle = pickle, .path = path, .file = file, .bytes = bytes, .next = start, .offset = start, .error = error };
    *pickle = (struct pickle){ .chunks = NULL };
    enum status status = run(&m);
    free(m.stack);
    free(m.memo);
    *end = m.next;
    if (status != STATUS_OK)
        pickle_free(pickle);
    return status;
}

void pickle_free(struct pickle *pickle)
{
    while (pickle->chunks != NULL) {
        struct pickle_chunk *next = pickle->chunks->next;
        free(pickle->chunks);
        pickle->chunks = next;
    }
    free(pickle->persistent);
    *pickle = (struct pickle){ .chunks = NULL };
}

/* ---- asking values -------------------------------------------------------------------------------------------------------------------------- */

bool pickle_is_text(const struct pickle_value *value)
{
    return value->type == PICKLE_TEXT || value->type == PICKLE_BYTES;
}

bool pickle_is(const struct pickle_value *value, const char *text)
{
    return pickle_is_text(value) && value->text.bytes == strlen(text) && memcmp(value->text.data, text, value->text.bytes) == 0;
}

const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key)
{
    if (dict == NULL || dict->type != PICKLE_DICT)
        return NULL;
    for (size_t i = dict->list.count; i > 0; i -= 2) {
        if (pickle_is(dict->list.items[i - 2], key))
            return dict->list.items[i - 1];
    }
    return NULL;
}

bool pickle_size(const struct pickle_value *value, uint64_t limit, uint64_t *size)
{
    if (value->type != PICKLE_INTEGER || value->integer < 0 || (uint64_t)value->integer > limit)
        return false;
    *size = (uint64_t)value->integer;
    return true;
}

const char *pickle_type_name(const struct pickle_value *value)
{
    static const char *const names[] = {
        [PICKLE_NONE] = "None",         [PICKLE_BOOLEAN] = "a boolean", [PICKLE_INTEGER] = "an integer", [PICKLE_LONG] = "a long integer",
        [PICKLE_REAL] = "a number",     [PICKLE_BYTES] = "a string",    [PICKLE_TEXT] = "a text",        [PICKLE_TUPLE] = "a tuple",
        [PICKLE_LIST] = "a list",       [PICKLE_DICT] = "a dict",       [PICKLE_GLOBAL] = "a global",    [PICKLE_OBJECT] = "an object",
        [PICKLE_PERSISTENT] = "a persistent id",
    };
    return names[value->type];
}

void pickle_printable(const char *data, size_t bytes, char out[PICKLE_PRINTABLE_BYTES])
{
    size_t count = bytes < PICKLE_PRINTABLE_BYTES ? bytes : PICKLE_PRINTABLE_BYTES - 1;
    for (size_t i = 0; i < count; i++)
        out[i] = data[i] >= 0x20 && data[i] < 0x7f ? data[i] : '?';
    out[count] = '\0';
}
