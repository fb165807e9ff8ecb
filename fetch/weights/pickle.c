#define SELFSAME_PICKLE_C
#include "fetch/weights/pickle_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 64 * 1024, PROTOCOL_FIRST = 2, PROTOCOL_LAST = 5 };

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
            (void)pickle_refuse(m, "needs more than the %zu bytes that a pickle's values may take", PICKLE_ARENA_MAX);
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

/* ---- the machine ------------------------------------------------------------------------------------------------- */

enum { OPCODE_PROTO = 0x80, OPCODE_STOP = '.' };

static enum status check_protocol(struct pickle_machine *m)
{
    m->opcode = pickle_opcodes[OPCODE_PROTO].name;
    if (m->bytes - m->next < 2 || m->file[m->next] != OPCODE_PROTO)
        return error_set(m->error, STATUS_INPUT,
                         "%s: byte %zu: this is not the beginning of a pickle of protocol %d to %d: write it again "
                         "with protocol %d or later",
                         m->path, m->offset, PROTOCOL_FIRST, PROTOCOL_LAST, PROTOCOL_FIRST);
    int protocol = m->file[m->next + 1];
    if (protocol < PROTOCOL_FIRST || protocol > PROTOCOL_LAST)
        return pickle_refuse(m, "says protocol %d; %d to %d are read: write the file again with one of them", protocol,
                             PROTOCOL_FIRST, PROTOCOL_LAST);
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
        const struct pickle_opcode *opcode = &pickle_opcodes[byte];
        m->opcode = opcode->name;
        if (m->opcode == NULL)
            return error_set(m->error, STATUS_INPUT, "%s: byte %zu: 0x%02x is not an opcode of a pickle", m->path,
                             m->offset, byte);
        if (count == PICKLE_OPCODES_MAX)
            return pickle_refuse(m, "is one more than the limit of %d", PICKLE_OPCODES_MAX);
        if (byte == OPCODE_STOP)
            return finish(m);
        status = opcode->action != NULL ? opcode->action(m, opcode->operand) : pickle_refuse(m, "comes a second time");
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

const struct pickle_value *pickle_dict(const struct pickle_value *value)
{
    if (value != NULL && value->type == PICKLE_OBJECT)
        value = value->call.items;
    return value != NULL && value->type == PICKLE_DICT ? value : NULL;
}

const struct pickle_value *pickle_get(const struct pickle_value *value, const char *key)
{
    const struct pickle_value *dict = pickle_dict(value);
    if (dict == NULL)
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
        [PICKLE_NONE] = "None",          [PICKLE_BOOLEAN] = "a boolean",
        [PICKLE_INTEGER] = "an integer", [PICKLE_LONG] = "a long integer",
        [PICKLE_REAL] = "a number",      [PICKLE_BYTES] = "a string",
        [PICKLE_TEXT] = "a text",        [PICKLE_TUPLE] = "a tuple",
        [PICKLE_LIST] = "a list",        [PICKLE_SET] = "a set",
        [PICKLE_DICT] = "a dict",        [PICKLE_GLOBAL] = "a global",
        [PICKLE_OBJECT] = "an object",   [PICKLE_PERSISTENT] = "a persistent id",
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
