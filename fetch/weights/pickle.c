#include "fetch/weights/pickle_machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 64 * 1024, INTEGER_DIGITS_MAX = 20 };

struct pickle_chunk {
    struct pickle_chunk *next;
    size_t bytes, used;
    max_align_t data[];
};

/* ---- values ------------------------------------------------------------------------------------------------------ */

enum status pickle_refuse(struct pickle_machine *m, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    (void)error_set(m->error, STATUS_INPUT, "%s: byte %zu: opcode %s %s", m->path, m->offset, m->opcode, what);
    return STATUS_INPUT;
}

enum status pickle_no_memory(struct pickle_machine *m)
{
    (void)error_out_of_memory(m->error, "the pickle in %s", m->path);
    return STATUS_ENVIRONMENT;
}

void *pickle_allocate(struct pickle_machine *m, size_t bytes)
{
    struct pickle *pickle = m->pickle;
    struct pickle_chunk *chunk = pickle->chunks;
    bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (chunk == NULL || chunk->bytes - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        if (size > PICKLE_ARENA_MAX - pickle->arena_bytes) {
            (void)pickle_refuse(m, "asks for more than the %zu bytes that a pickle's values may take",
                                PICKLE_ARENA_MAX);
            return NULL;
        }
        chunk = malloc(sizeof *chunk + size);
        if (chunk == NULL) {
            (void)pickle_no_memory(m);
            return NULL;
        }
        chunk->bytes = size;
        chunk->used = 0;
        chunk->next = pickle->chunks;
        pickle->chunks = chunk;
        pickle->arena_bytes += size;
    }
    void *memory = (char *)chunk->data + chunk->used;
    chunk->used += bytes;
    return memory;
}

enum status pickle_new_value(struct pickle_machine *m, enum pickle_type type, struct pickle_value **value)
{
    *value = pickle_allocate(m, sizeof **value);
    if (*value == NULL)
        return m->error->status;
    **value = (struct pickle_value){ .type = type, .offset = m->offset };
    return STATUS_OK;
}

enum status pickle_push(struct pickle_machine *m, struct pickle_value *value)
{
    if (m->stack_count == PICKLE_STACK_MAX)
        return pickle_refuse(m, "makes the stack deeper than %d", PICKLE_STACK_MAX);
    if (m->stack_count == m->stack_capacity) {
        size_t capacity = m->stack_capacity == 0 ? 256 : 2 * m->stack_capacity;
        struct pickle_value **stack = realloc(m->stack, capacity * sizeof *stack);
        if (stack == NULL)
            return pickle_no_memory(m);
        m->stack = stack;
        m->stack_capacity = capacity;
    }
    m->stack[m->stack_count++] = value;
    return STATUS_OK;
}

/* The value on top, which stays; a mark is none. */
enum status pickle_top(struct pickle_machine *m, struct pickle_value **value)
{
    *value = m->stack_count > 0 ? m->stack[m->stack_count - 1] : NULL;
    return *value != NULL ? STATUS_OK : pickle_refuse(m, "finds no value on the stack");
}

enum status pickle_pop(struct pickle_machine *m, struct pickle_value **value)
{
    enum status status = pickle_top(m, value);
    if (status == STATUS_OK)
        m->stack_count--;
    return status;
}

/* Takes off what lies above the last mark, and the mark; the values stay readable until the next push. */
static enum status pop_mark(struct pickle_machine *m, struct pickle_value ***values, size_t *count)
{
    size_t place = m->stack_count;
    while (place > 0 && m->stack[place - 1] != NULL)
        place--;
    if (place == 0)
        return pickle_refuse(m, "finds no mark on the stack");
    *values = m->stack + place;
    *count = m->stack_count - place;
    m->stack_count = place - 1;
    return STATUS_OK;
}

enum status pickle_append(struct pickle_machine *m, struct pickle_value *list, struct pickle_value *const *values,
                          size_t count)
{
    if (count > list->list.capacity - list->list.count) {
        size_t capacity = list->list.capacity == 0 ? 2 : list->list.capacity;
        while (capacity - list->list.count < count)
            capacity *= 2;
        void *memory = pickle_allocate(m, capacity * sizeof *list->list.items);
        if (memory == NULL)
            return m->error->status;
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

static enum status take_bytes(struct pickle_machine *m, uint64_t count, const uint8_t **data)
{
    if (count > m->bytes - m->next)
        return pickle_refuse(m, "wants %" PRIu64 " bytes, but %zu follow: the file is truncated or damaged", count,
                             m->bytes - m->next);
    *data = m->file + m->next;
    m->next += (size_t)count;
    return STATUS_OK;
}

static enum status take_number(struct pickle_machine *m, size_t count, uint64_t *number)
{
    const uint8_t *data = NULL;
    enum status status = take_bytes(m, count, &data);
    *number = 0;
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        *number |= (uint64_t)data[i] << 8 * i;
    return status;
}

enum status pickle_take_line(struct pickle_machine *m, size_t limit, const char **line, size_t *length)
{
    const uint8_t *start = m->file + m->next;
    size_t left = m->bytes - m->next;
    const uint8_t *end = memchr(start, '\n', left < limit + 1 ? left : limit + 1);
    if (end == NULL)
        return pickle_refuse(m,
                             left <= limit ? "ends within a line: the file is truncated or damaged"
                                           : "has a line of more than %zu bytes",
                             limit);
    *line = (const char *)start;
    *length = (size_t)(end - start);
    m->next += *length + 1;
    return STATUS_OK;
}

/* ---- actions: `operand` is the number of bytes of the opcode's operand, or whatever else distinguishes it -------- */

static enum status do_simple(struct pickle_machine *m, int type)
{
    struct pickle_value *value;
    enum status status = pickle_new_value(m, (enum pickle_type)type, &value);
    return status == STATUS_OK ? pickle_push(m, value) : status;
}

static enum status do_boolean(struct pickle_machine *m, int truth)
{
    struct pickle_value *value;
    enum status status = pickle_new_value(m, PICKLE_BOOLEAN, &value);
    if (status != STATUS_OK)
        return status;
    value->boolean = truth != 0;
    return pickle_push(m, value);
}

static enum status push_integer(struct pickle_machine *m, int64_t integer)
{
    struct pickle_value *value;
    enum status status = pickle_new_value(m, PICKLE_INTEGER, &value);
    if (status != STATUS_OK)
        return status;
    value->integer = integer;
    return pickle_push(m, value);
}

static enum status do_integer(struct pickle_machine *m, int operand)
{
    uint64_t number;
    enum status status = take_number(m, (size_t)operand, &number);
    if (status != STATUS_OK)
        return status;
    return push_integer(m, operand == 4 ? (int32_t)(uint32_t)number : (int64_t)number);
}

enum status pickle_push_text(struct pickle_machine *m, enum pickle_type type, const void *data, size_t bytes)
{
    struct pickle_value *value;
    enum status status = pickle_new_value(m, type, &value);
    if (status != STATUS_OK)
        return status;
    value->text.data = data;
    value->text.bytes = bytes;
    return pickle_push(m, value);
}

static enum status do_long(struct pickle_machine *m, int operand)
{
    uint64_t count = 0, number = 0;
    const uint8_t *data = NULL;
    enum status status = take_number(m, (size_t)operand, &count);
    if (status == STATUS_OK)
        status = take_bytes(m, count, &data);
    if (status != STATUS_OK)
        return status;
    if (count > 8)
        return pickle_push_text(m, PICKLE_LONG, data, (size_t)count);
    for (size_t i = 0; i < 8; i++) /* two's complement: the last byte's sign goes on */
        number |= (uint64_t)(i < count ? data[i] : count > 0 && data[count - 1] >= 0x80 ? 0xff : 0) << 8 * i;
    return push_integer(m, (int64_t)number);
}

/* Python 2 writes integers of more than 32 bits as a line of digits, whatever the protocol. */
static enum status do_digits(struct pickle_machine *m, int operand)
{
    const char *line = NULL;
    size_t length = 0;
    char digits[INTEGER_DIGITS_MAX + 1], *end;
    (void)operand;
    enum status status = pickle_take_line(m, INTEGER_DIGITS_MAX, &line, &length);
    if (status != STATUS_OK)
        return status;
    memcpy(digits, line, length);
    digits[length] = '\0';
    size_t sign = digits[0] == '-';
    if (length == sign || digits[sign + strspn(digits + sign, "0123456789")] != '\0' || length - sign > 18)
        return pickle_refuse(m, "is followed by no integer of at most 18 digits");
    return push_integer(m, (int64_t)strtoll(digits, &end, 10));
}

static enum status do_real(struct pickle_machine *m, int operand)
{
    const uint8_t *data = NULL;
    struct pickle_value *value;
    enum status status = take_bytes(m, (uint64_t)operand, &data);
    if (status == STATUS_OK)
        status = pickle_new_value(m, PICKLE_REAL, &value);
    if (status != STATUS_OK)
        return status;
    uint64_t bits = 0;
    for (size_t i = 0; i < 8; i++) /* the one number that a pickle holds big-endian */
        bits = bits << 8 | data[i];
    memcpy(&value->real, &bits, sizeof bits);
    return pickle_push(m, value);
}

static enum status do_text(struct pickle_machine *m, int type)
{
    uint64_t count = 0;
    const uint8_t *data = NULL;
    enum status status = take_number(m, 4, &count);
    if (status == STATUS_OK && type == PICKLE_BYTES && count > INT32_MAX)
        return pickle_refuse(m, "has a negative length");
    if (status == STATUS_OK)
        status = take_bytes(m, count, &data);
    return status == STATUS_OK ? pickle_push_text(m, (enum pickle_type)type, data, (size_t)count) : status;
}

static enum status do_short_bytes(struct pickle_machine *m, int operand)
{
    uint64_t count = 0;
    const uint8_t *data = NULL;
    enum status status = take_number(m, (size_t)operand, &count);
    if (status == STATUS_OK)
        status = take_bytes(m, count, &data);
    return status == STATUS_OK ? pickle_push_text(m, PICKLE_BYTES, data, (size_t)count) : status;
}

static enum status do_mark(struct pickle_machine *m, int operand)
{
    (void)operand;
    return pickle_push(m, NULL);
}

static enum status make_tuple(struct pickle_machine *m, struct pickle_value *const *values, size_t count)
{
    struct pickle_value *tuple;
    enum status status = pickle_new_value(m, PICKLE_TUPLE, &tuple);
    if (status == STATUS_OK)
        status = pickle_append(m, tuple, values, count);
    return status == STATUS_OK ? pickle_push(m, tuple) : status;
}

static enum status do_tuple(struct pickle_machine *m, int operand)
{
    struct pickle_value **values = NULL;
    size_t count = 0;
    (void)operand;
    enum status status = pop_mark(m, &values, &count);
    return status == STATUS_OK ? make_tuple(m, values, count) : status;
}

static enum status do_small_tuple(struct pickle_machine *m, int operand)
{
    struct pickle_value *values[3];
    for (int i = operand - 1; i >= 0; i--) {
        enum status status = pickle_pop(m, &values[i]);
        if (status != STATUS_OK)
            return status;
    }
    return make_tuple(m, values, (size_t)operand);
}

static enum status extend(struct pickle_machine *m, struct pickle_value *const *values, size_t count, int type)
{
    struct pickle_value *list;
    enum status status = pickle_top(m, &list);
    if (status != STATUS_OK)
        return status;
    if (list->type != (enum pickle_type)type)
        return pickle_refuse(m, "finds %s, not a %s, on the stack", pickle_type_name(list),
                             type == PICKLE_DICT ? "dict" : "list");
    if (type == PICKLE_DICT && count % 2 != 0)
        return pickle_refuse(m, "finds a key without its value");
    return pickle_append(m, list, values, count);
}

static enum status do_extend(struct pickle_machine *m, int type)
{
    struct pickle_value **values = NULL;
    size_t count = 0;
    enum status status = pop_mark(m, &values, &count);
    return status == STATUS_OK ? extend(m, values, count, type) : status;
}

static enum status do_append(struct pickle_machine *m, int operand)
{
    struct pickle_value *value;
    (void)operand;
    enum status status = pickle_pop(m, &value);
    return status == STATUS_OK ? extend(m, &value, 1, PICKLE_LIST) : status;
}

static enum status do_set_item(struct pickle_machine *m, int operand)
{
    struct pickle_value *values[2];
    (void)operand;
    enum status status = pickle_pop(m, &values[1]);
    if (status == STATUS_OK)
        status = pickle_pop(m, &values[0]);
    return status == STATUS_OK ? extend(m, values, 2, PICKLE_DICT) : status;
}

static enum status do_put(struct pickle_machine *m, int operand)
{
    uint64_t place;
    struct pickle_value *value;
    enum status status = take_number(m, (size_t)operand, &place);
    if (status == STATUS_OK)
        status = pickle_top(m, &value);
    if (status != STATUS_OK)
        return status;
    if (place >= PICKLE_MEMO_MAX)
        return pickle_refuse(m, "puts a value at place %" PRIu64 " of the memo; places end at %d", place,
                             PICKLE_MEMO_MAX);
    if (place >= m->memo_count) {
        size_t count = m->memo_count == 0 ? 256 : m->memo_count;
        while (count <= place)
            count *= 2;
        struct pickle_value **memo = realloc(m->memo, count * sizeof *memo);
        if (memo == NULL)
            return pickle_no_memory(m);
        memset(memo + m->memo_count, 0, (count - m->memo_count) * sizeof *memo);
        m->memo = memo;
        m->memo_count = count;
    }
    m->memo[place] = value;
    return STATUS_OK;
}

static enum status do_get(struct pickle_machine *m, int operand)
{
    uint64_t place;
    enum status status = take_number(m, (size_t)operand, &place);
    if (status != STATUS_OK)
        return status;
    if (place >= m->memo_count || m->memo[place] == NULL)
        return pickle_refuse(m, "wants place %" PRIu64 " of the memo, where nothing was put", place);
    return pickle_push(m, m->memo[place]);
}

/* ---- the machine ------------------------------------------------------------------------------------------------- */

enum { OPCODE_PROTO = 0x80, OPCODE_STOP = '.' };

/* Every opcode has its name, for messages; those without an action are refused. */
static const struct {
    const char *name;
    enum status (*action)(struct pickle_machine *m, int operand);
    int operand;
} opcodes[256] = {
    ['('] = { "MARK", do_mark, 0 },
    ['.'] = { "STOP", NULL, 0 },
    ['N'] = { "NONE", do_simple, PICKLE_NONE },
    [0x88] = { "NEWTRUE", do_boolean, 1 },
    [0x89] = { "NEWFALSE", do_boolean, 0 },
    ['K'] = { "BININT1", do_integer, 1 },
    ['M'] = { "BININT2", do_integer, 2 },
    ['J'] = { "BININT", do_integer, 4 },
    ['I'] = { "INT", do_digits, 0 },
    [0x8a] = { "LONG1", do_long, 1 },
    ['G'] = { "BINFLOAT", do_real, 8 },
    ['X'] = { "BINUNICODE", do_text, PICKLE_TEXT },
    ['T'] = { "BINSTRING", do_text, PICKLE_BYTES },
    ['U'] = { "SHORT_BINSTRING", do_short_bytes, 1 },
    [')'] = { "EMPTY_TUPLE", do_simple, PICKLE_TUPLE },
    ['t'] = { "TUPLE", do_tuple, 0 },
    [0x85] = { "TUPLE1", do_small_tuple, 1 },
    [0x86] = { "TUPLE2", do_small_tuple, 2 },
    [0x87] = { "TUPLE3", do_small_tuple, 3 },
    [']'] = { "EMPTY_LIST", do_simple, PICKLE_LIST },
    ['a'] = { "APPEND", do_append, 0 },
    ['e'] = { "APPENDS", do_extend, PICKLE_LIST },
    ['}'] = { "EMPTY_DICT", do_simple, PICKLE_DICT },
    ['s'] = { "SETITEM", do_set_item, 0 },
    ['u'] = { "SETITEMS", do_extend, PICKLE_DICT },
    ['q'] = { "BINPUT", do_put, 1 },
    ['r'] = { "LONG_BINPUT", do_put, 4 },
    ['h'] = { "BINGET", do_get, 1 },
    ['j'] = { "LONG_BINGET", do_get, 4 },
    ['c'] = { "GLOBAL", pickle_do_global, 0 },
    ['R'] = { "REDUCE", pickle_do_reduce, 0 },
    ['b'] = { "BUILD", pickle_do_build, 0 },
    ['Q'] = { "BINPERSID", pickle_do_persistent, 0 },

    [0x80] = { "PROTO", NULL, 0 },
    ['0'] = { "POP", NULL, 0 },
    ['1'] = { "POP_MARK", NULL, 0 },
    ['2'] = { "DUP", NULL, 0 },
    ['F'] = { "FLOAT", NULL, 0 },
    ['L'] = { "LONG", NULL, 0 },
    ['S'] = { "STRING", NULL, 0 },
    ['V'] = { "UNICODE", NULL, 0 },
    ['P'] = { "PERSID", NULL, 0 },
    ['g'] = { "GET", NULL, 0 },
    ['p'] = { "PUT", NULL, 0 },
    ['i'] = { "INST", NULL, 0 },
    ['o'] = { "OBJ", NULL, 0 },
    ['l'] = { "LIST", NULL, 0 },
    ['d'] = { "DICT", NULL, 0 },
    [0x81] = { "NEWOBJ", NULL, 0 },
    [0x82] = { "EXT1", NULL, 0 },
    [0x83] = { "EXT2", NULL, 0 },
    [0x84] = { "EXT4", NULL, 0 },
    [0x8b] = { "LONG4", NULL, 0 },
    ['B'] = { "BINBYTES", NULL, 0 },
    ['C'] = { "SHORT_BINBYTES", NULL, 0 },
    [0x8c] = { "SHORT_BINUNICODE", NULL, 0 },
    [0x8d] = { "BINUNICODE8", NULL, 0 },
    [0x8e] = { "BINBYTES8", NULL, 0 },
    [0x8f] = { "EMPTY_SET", NULL, 0 },
    [0x90] = { "ADDITEMS", NULL, 0 },
    [0x91] = { "FROZENSET", NULL, 0 },
    [0x92] = { "NEWOBJ_EX", NULL, 0 },
    [0x93] = { "STACK_GLOBAL", NULL, 0 },
    [0x94] = { "MEMOIZE", NULL, 0 },
    [0x95] = { "FRAME", NULL, 0 },
    [0x96] = { "BYTEARRAY8", NULL, 0 },
    [0x97] = { "NEXT_BUFFER", NULL, 0 },
    [0x98] = { "READONLY_BUFFER", NULL, 0 },
};

static enum status check_protocol(struct pickle_machine *m)
{
    m->opcode = "PROTO";
    if (m->bytes - m->next < 2 || m->file[m->next] != OPCODE_PROTO)
        return error_set(m->error, STATUS_INPUT,
                         "%s: byte %zu: no pickle of protocol 2 begins here (nor one of 3 to 5; 0 and 1 are not read)",
                         m->path, m->offset);
    if (m->file[m->next + 1] != 2)
        return pickle_refuse(m, "says protocol %d; only 2 is read: write the file again with protocol=2",
                             m->file[m->next + 1]);
    m->next += 2;
    return STATUS_OK;
}

static enum status finish(struct pickle_machine *m)
{
    struct pickle_value *root;
    enum status status = pickle_pop(m, &root);
    if (status != STATUS_OK)
        return status;
    if (m->stack_count != 0)
        return pickle_refuse(m, "leaves %zu values on the stack", m->stack_count);
    m->pickle->root = root;
    return STATUS_OK;
}

static enum status run(struct pickle_machine *m)
{
    enum status status = check_protocol(m);
    for (size_t count = 0; status == STATUS_OK; count++) {
        m->offset = m->next;
        if (m->next == m->bytes)
            return error_set(m->error, STATUS_INPUT,
                             "%s: byte %zu: the pickle ends before its STOP: the file is truncated", m->path,
                             m->offset);
        uint8_t byte = m->file[m->next++];
        m->opcode = opcodes[byte].name;
        if (m->opcode == NULL)
            return error_set(m->error, STATUS_INPUT, "%s: byte %zu: 0x%02x is no opcode of a pickle", m->path,
                             m->offset, byte);
        if (count == PICKLE_OPCODES_MAX)
            return pickle_refuse(m, "is one more than the %d that are read", PICKLE_OPCODES_MAX);
        if (byte == OPCODE_STOP)
            return finish(m);
        status = opcodes[byte].action != NULL ? opcodes[byte].action(m, opcodes[byte].operand)
                                              : pickle_refuse(m, "is not one that data of protocol 2 needs");
    }
    return status;
}

enum status pickle_read(struct pickle *pickle, const char *path, const uint8_t *file, size_t bytes, size_t start,
                        size_t *end, struct error *error)
{
    struct pickle_machine m = {
        .pickle = pickle, .path = path, .file = file, .bytes = bytes, .next = start, .offset = start, .error = error
    };
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

/* ---- asking values ----------------------------------------------------------------------------------------------- */

bool pickle_is_text(const struct pickle_value *value)
{
    return value->type == PICKLE_TEXT || value->type == PICKLE_BYTES;
}

bool pickle_is(const struct pickle_value *value, const char *text)
{
    return pickle_is_text(value) && value->text.bytes == strlen(text) &&
           memcmp(value->text.data, text, value->text.bytes) == 0;
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
        [PICKLE_NONE] = "None",
        [PICKLE_BOOLEAN] = "a boolean",
        [PICKLE_INTEGER] = "an integer",
        [PICKLE_LONG] = "a long integer",
        [PICKLE_REAL] = "a number",
        [PICKLE_BYTES] = "a string",
        [PICKLE_TEXT] = "a text",
        [PICKLE_TUPLE] = "a tuple",
        [PICKLE_LIST] = "a list",
        [PICKLE_DICT] = "a dict",
        [PICKLE_GLOBAL] = "a global",
        [PICKLE_OBJECT] = "an object",
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
