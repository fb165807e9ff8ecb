/* What each opcode of a pickle does, except those for globals (fetch/weights/pickle_call.c). */
#include "fetch/weights/pickle_machine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { INTEGER_DIGITS_MAX = 20 };

/* ---- taking from the file and the stack -------------------------------------------------------------------------- */

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
    *number = status == STATUS_OK ? bytes_get(data, count) : 0;
    return status;
}

enum status pickle_pop_mark(struct pickle_machine *m, struct pickle_value ***values, size_t *count)
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
    if (status == STATUS_OK && count > INT32_MAX)
        return pickle_refuse(m, "has a negative length");
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
        return pickle_refuse(m, "is not followed by an integer of at most 18 digits");
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

/* A length of `operand` bytes, and that many bytes, which stay where they are. */
static enum status push_counted(struct pickle_machine *m, int operand, enum pickle_type type)
{
    uint64_t count = 0;
    const uint8_t *data = NULL;
    enum status status = take_number(m, (size_t)operand, &count);
    if (status == STATUS_OK)
        status = take_bytes(m, count, &data);
    return status == STATUS_OK ? pickle_push_text(m, type, data, (size_t)count) : status;
}

static enum status do_text(struct pickle_machine *m, int operand)
{
    return push_counted(m, operand, PICKLE_TEXT);
}

static enum status do_bytes(struct pickle_machine *m, int operand)
{
    return push_counted(m, operand, PICKLE_BYTES);
}

static enum status do_mark(struct pickle_machine *m, int operand)
{
    (void)operand;
    return pickle_push(m, NULL);
}

static enum status collect(struct pickle_machine *m, enum pickle_type type, struct pickle_value *const *values,
                           size_t count)
{
    struct pickle_value *whole;
    enum status status = pickle_new_value(m, type, &whole);
    if (status == STATUS_OK)
        status = pickle_append(m, whole, values, count);
    return status == STATUS_OK ? pickle_push(m, whole) : status;
}

/* What lies above the mark, as a tuple or a frozen set. */
static enum status do_collect(struct pickle_machine *m, int type)
{
    struct pickle_value **values = NULL;
    size_t count = 0;
    enum status status = pickle_pop_mark(m, &values, &count);
    return status == STATUS_OK ? collect(m, (enum pickle_type)type, values, count) : status;
}

static enum status do_small_tuple(struct pickle_machine *m, int operand)
{
    struct pickle_value *values[3];
    for (int i = operand - 1; i >= 0; i--) {
        enum status status = pickle_pop(m, &values[i]);
        if (status != STATUS_OK)
            return status;
    }
    return collect(m, PICKLE_TUPLE, values, (size_t)operand);
}

/* Items that an object is given while it is made go into a list or dict of its own, because its class is not known. */
static enum status items_of(struct pickle_machine *m, struct pickle_value *object, enum pickle_type type,
                            struct pickle_value **items)
{
    if (object->call.items == NULL) {
        enum status status = pickle_new_value(m, type, &object->call.items);
        if (status != STATUS_OK)
            return status;
    }
    *items = object->call.items;
    return (*items)->type == type ? STATUS_OK : pickle_refuse(m, "gives an object both items and keys");
}

static enum status extend(struct pickle_machine *m, struct pickle_value *const *values, size_t count, int type)
{
    struct pickle_value *list;
    enum status status = pickle_top(m, &list);
    if (status == STATUS_OK && list->type == PICKLE_OBJECT)
        status = items_of(m, list, (enum pickle_type)type, &list);
    if (status != STATUS_OK)
        return status;
    if (list->type != (enum pickle_type)type)
        return pickle_refuse(m, "finds %s, not a %s, on the stack", pickle_type_name(list),
                             type == PICKLE_DICT   ? "dict"
                             : type == PICKLE_LIST ? "list"
                                                   : "set");
    if (type == PICKLE_DICT && count % 2 != 0)
        return pickle_refuse(m, "finds a key without its value");
    return pickle_append(m, list, values, count);
}

static enum status do_extend(struct pickle_machine *m, int type)
{
    struct pickle_value **values = NULL;
    size_t count = 0;
    enum status status = pickle_pop_mark(m, &values, &count);
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

static enum status memorize(struct pickle_machine *m, uint64_t place)
{
    struct pickle_value *value;
    enum status status = pickle_top(m, &value);
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
    m->memo_used += m->memo[place] == NULL;
    m->memo[place] = value;
    return STATUS_OK;
}

static enum status do_put(struct pickle_machine *m, int operand)
{
    uint64_t place;
    enum status status = take_number(m, (size_t)operand, &place);
    return status == STATUS_OK ? memorize(m, place) : status;
}

static enum status do_memoize(struct pickle_machine *m, int operand)
{
    (void)operand;
    return memorize(m, m->memo_used);
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

static enum status do_pop(struct pickle_machine *m, int operand)
{
    (void)operand;
    if (m->stack_count == 0)
        return pickle_refuse(m, "finds nothing on the stack");
    m->stack_count--;
    return STATUS_OK;
}

static enum status do_pop_mark(struct pickle_machine *m, int operand)
{
    struct pickle_value **values;
    size_t count;
    (void)operand;
    return pickle_pop_mark(m, &values, &count);
}

static enum status do_duplicate(struct pickle_machine *m, int operand)
{
    struct pickle_value *value;
    (void)operand;
    enum status status = pickle_top(m, &value);
    return status == STATUS_OK ? pickle_push(m, value) : status;
}

/* The length of the bytes that follow, for readers of a stream. */
static enum status do_frame(struct pickle_machine *m, int operand)
{
    uint64_t count;
    enum status status = take_number(m, (size_t)operand, &count);
    if (status == STATUS_OK && count > m->bytes - m->next)
        return pickle_refuse(m, "announces %" PRIu64 " bytes, but %zu follow: the file is truncated or damaged", count,
                             m->bytes - m->next);
    return status;
}

static enum status do_outside(struct pickle_machine *m, int operand)
{
    (void)operand;
    return pickle_refuse(m, "needs numbers from outside the file: write it again without buffer_callback");
}

static enum status do_registered(struct pickle_machine *m, int operand)
{
    (void)operand;
    return pickle_refuse(m, "needs Python's registry of extensions, which is not in the file");
}

static enum status do_text_protocol(struct pickle_machine *m, int operand)
{
    (void)operand;
    return pickle_refuse(m, "belongs to protocol 0: write the file again with protocol 2 or later");
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* Every opcode of protocols 0 to 5 has its name, for messages. */
const struct pickle_opcode pickle_opcodes[256] = {
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
    [0x8b] = { "LONG4", do_long, 4 },
    ['G'] = { "BINFLOAT", do_real, 8 },
    [0x8c] = { "SHORT_BINUNICODE", do_text, 1 },
    ['X'] = { "BINUNICODE", do_text, 4 },
    [0x8d] = { "BINUNICODE8", do_text, 8 },
    ['U'] = { "SHORT_BINSTRING", do_bytes, 1 },
    ['T'] = { "BINSTRING", do_bytes, 4 },
    ['C'] = { "SHORT_BINBYTES", do_bytes, 1 },
    ['B'] = { "BINBYTES", do_bytes, 4 },
    [0x8e] = { "BINBYTES8", do_bytes, 8 },
    [0x96] = { "BYTEARRAY8", do_bytes, 8 },
    [')'] = { "EMPTY_TUPLE", do_simple, PICKLE_TUPLE },
    ['t'] = { "TUPLE", do_collect, PICKLE_TUPLE },
    [0x85] = { "TUPLE1", do_small_tuple, 1 },
    [0x86] = { "TUPLE2", do_small_tuple, 2 },
    [0x87] = { "TUPLE3", do_small_tuple, 3 },
    [']'] = { "EMPTY_LIST", do_simple, PICKLE_LIST },
    ['a'] = { "APPEND", do_append, 0 },
    ['e'] = { "APPENDS", do_extend, PICKLE_LIST },
    ['}'] = { "EMPTY_DICT", do_simple, PICKLE_DICT },
    ['s'] = { "SETITEM", do_set_item, 0 },
    ['u'] = { "SETITEMS", do_extend, PICKLE_DICT },
    [0x8f] = { "EMPTY_SET", do_simple, PICKLE_SET },
    [0x90] = { "ADDITEMS", do_extend, PICKLE_SET },
    [0x91] = { "FROZENSET", do_collect, PICKLE_SET },
    ['q'] = { "BINPUT", do_put, 1 },
    ['r'] = { "LONG_BINPUT", do_put, 4 },
    [0x94] = { "MEMOIZE", do_memoize, 0 },
    ['h'] = { "BINGET", do_get, 1 },
    ['j'] = { "LONG_BINGET", do_get, 4 },
    ['0'] = { "POP", do_pop, 0 },
    ['1'] = { "POP_MARK", do_pop_mark, 0 },
    ['2'] = { "DUP", do_duplicate, 0 },
    [0x95] = { "FRAME", do_frame, 8 },
    ['c'] = { "GLOBAL", pickle_do_global, 0 },
    [0x93] = { "STACK_GLOBAL", pickle_do_stack_global, 0 },
    ['R'] = { "REDUCE", pickle_do_reduce, 0 },
    [0x81] = { "NEWOBJ", pickle_do_reduce, 0 },
    [0x92] = { "NEWOBJ_EX", pickle_do_new_object, 0 },
    ['o'] = { "OBJ", pickle_do_object, 0 },
    ['b'] = { "BUILD", pickle_do_build, 0 },
    ['Q'] = { "BINPERSID", pickle_do_persistent, 0 },

    [0x97] = { "NEXT_BUFFER", do_outside, 0 },
    [0x98] = { "READONLY_BUFFER", do_outside, 0 },
    [0x82] = { "EXT1", do_registered, 0 },
    [0x83] = { "EXT2", do_registered, 0 },
    [0x84] = { "EXT4", do_registered, 0 },
    ['F'] = { "FLOAT", do_text_protocol, 0 },
    ['L'] = { "LONG", do_text_protocol, 0 },
    ['S'] = { "STRING", do_text_protocol, 0 },
    ['V'] = { "UNICODE", do_text_protocol, 0 },
    ['P'] = { "PERSID", do_text_protocol, 0 },
    ['g'] = { "GET", do_text_protocol, 0 },
    ['p'] = { "PUT", do_text_protocol, 0 },
    ['i'] = { "INST", do_text_protocol, 0 },
    ['l'] = { "LIST", do_text_protocol, 0 },
    ['d'] = { "DICT", do_text_protocol, 0 },
    [0x80] = { "PROTO", NULL, 0 },
};
