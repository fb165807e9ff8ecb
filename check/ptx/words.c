/* Words, registers and operands of PTX's text. */
#include "check/ptx/parse.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse parse;

void fail(const char *format, ...)
{
    va_list list;
    fprintf(stderr, "ptx: %s:%u: ", parse.path, parse.line);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n");
    longjmp(parse.failed, 1);
}

void *grown(void *items, uint32_t count, uint32_t *room, size_t bytes)
{
    if (count < *room)
        return items;
    *room = *room ? 2 * *room : 16;
    items = realloc(items, *room * bytes);
    if (!items)
        fail("out of memory");
    return items;
}

char *copy_of(const char *text, size_t length)
{
    char *copy = allocate(length + 1);
    memcpy(copy, text, length);
    return copy;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

void skip_space(void)
{
    while (parse.at < parse.end) {
        if (*parse.at == '\n')
            parse.line++;
        if (isspace((unsigned char)*parse.at)) {
            parse.at++;
        } else if (parse.end - parse.at > 1 && parse.at[0] == '/' && parse.at[1] == '/') {
            while (parse.at < parse.end && *parse.at != '\n')
                parse.at++;
        } else
            return;
    }
}

int is_next(char c)
{
    skip_space();
    return parse.at < parse.end && *parse.at == c;
}

int accept(char c)
{
    int is = is_next(c);
    parse.at += is;
    return is;
}

void expect(char c)
{
    if (!accept(c))
        fail("'%c' is missing before '%.20s'", c, parse.at);
}

/* Letters, digits and what else names are made of, dots too where `dots`. */
void read_word(char *word, size_t room, int dots)
{
    size_t length = 0;
    skip_space();
    while (parse.at < parse.end && (isalnum((unsigned char)*parse.at) || *parse.at == '_' || *parse.at == '$' ||
                                    *parse.at == '%' || (dots && *parse.at == '.'))) {
        if (length + 1 == room)
            fail("a word is too long");
        word[length++] = *parse.at++;
    }
    word[length] = 0;
    if (length == 0)
        fail("a word is missing before '%.20s'", parse.at);
}

int64_t read_integer(void)
{
    skip_space();
    char *after;
    int negative = accept('-');
    uint64_t value = strtoull(parse.at, &after, 0);
    if (after == parse.at)
        fail("a number is missing before '%.20s'", parse.at);
    parse.at = *after == 'U' ? after + 1 : after;
    return (int64_t)(negative ? -value : value);
}

void skip_line(void)
{
    while (parse.at < parse.end && *parse.at != '\n')
        parse.at++;
}

void skip_statement(void)
{
    while (!is_next(';') && parse.at < parse.end)
        parse.at++;
    expect(';');
}

/* ---- registers, constants, variables ----------------------------------------------------------------------------- */

static int32_t new_register(uint32_t width)
{
    uint32_t bytes = width == 0 ? 4 : width * LANES, alignment = width == 0 ? 4 : 64;
    uint32_t at = (parse.kernel->register_bytes + alignment - 1) / alignment * alignment;
    parse.kernel->register_bytes = at + bytes;
    return (int32_t)at;
}

static int32_t constant(uint32_t width, uint64_t bits)
{
    struct ptx_kernel *kernel = parse.kernel;
    if (width > 0 && width < 8)
        bits &= (UINT64_C(1) << 8 * width) - 1;
    for (uint32_t i = 0; i < kernel->constant_count; i++) {
        if (kernel->constants[i].width == width && kernel->constants[i].bits == bits)
            return kernel->constants[i].at;
    }
    kernel->constants =
        grown(kernel->constants, kernel->constant_count, &kernel->constant_room, sizeof *kernel->constants);
    int32_t at = new_register(width);
    kernel->constants[kernel->constant_count++] = (struct constant){ at, width, bits };
    return at;
}

/* A register by its name: %r12, %tmp or, in inline assembly, tmp. -1: there is none. */
static int32_t find_register(const char *name, uint32_t *width)
{
    static const char *const special[] = { "%tid.x",  "%tid.y",  "%tid.z",  "%ctaid.x",  "%ctaid.y",  "%ctaid.z",
                                           "%ntid.x", "%ntid.y", "%ntid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z" };
    for (uint32_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (strcmp(name, special[i]) == 0) {
            if (parse.kernel->special[i] < 0)
                parse.kernel->special[i] = new_register(4);
            *width = 4;
            return parse.kernel->special[i];
        }
    }
    size_t length = strlen(name), letters = length;
    while (letters > 0 && isdigit((unsigned char)name[letters - 1]))
        letters--;
    for (uint32_t i = parse.register_kinds; i-- > 0;) {
        const struct registers *kind = &parse.registers[i];
        uint32_t number = (uint32_t)strtoul(name + letters, NULL, 10);
        int one = kind->count == 0 && strcmp(kind->name, name) == 0;
        int counted = kind->count > 0 && letters < length && strlen(kind->name) == letters &&
                      strncmp(kind->name, name, letters) == 0 && number < kind->count;
        *width = kind->width;
        if (one)
            return kind->first;
        if (counted) /* whole slots, so that the next one is aligned */
            return kind->first + (int32_t)(number * (kind->width == 0 ? 4 : kind->width * LANES));
    }
    return -1;
}

int32_t register_named(const char *name, uint32_t *width)
{
    int32_t at = find_register(name, width);
    if (at < 0)
        fail("there is no register %s", name);
    return at;
}

static const struct variable *find_variable(const char *name)
{
    for (uint32_t i = 0; i < parse.kernel->variable_count; i++) {
        if (strcmp(parse.kernel->variables[i].name, name) == 0)
            return &parse.kernel->variables[i];
    }
    return NULL;
}

/* Shared variables lie apart, so that what runs over one's end meets no other. */
enum { APART = 64 };

const struct variable *place_variable(struct variable variable)
{
    struct ptx_kernel *kernel = parse.kernel;
    uint32_t *bytes = variable.space == SPACE_SHARED  ? &kernel->shared_bytes
                      : variable.space == SPACE_LOCAL ? &kernel->local_bytes
                                                      : &kernel->parameter_bytes;
    uint32_t apart = variable.space == SPACE_PARAM ? 0 : APART;
    variable.at = (*bytes + apart + variable.alignment - 1) / variable.alignment * variable.alignment;
    *bytes = variable.at + variable.bytes;
    kernel->variables =
        grown(kernel->variables, kernel->variable_count, &kernel->variable_room, sizeof *kernel->variables);
    kernel->variables[kernel->variable_count] = variable;
    return &kernel->variables[kernel->variable_count++];
}

/* A kernel has those of the module's shared variables that it names. */
static const struct variable *variable_named(const char *name)
{
    const struct variable *variable = find_variable(name);
    for (uint32_t i = 0; !variable && i < parse.shared_count; i++) {
        if (strcmp(parse.shared[i].name, name) == 0 && parse.shared[i].bytes > 0)
            variable = place_variable(parse.shared[i]);
        else if (strcmp(parse.shared[i].name, name) == 0)
            fail("dynamic shared memory is used before it is placed");
    }
    return variable;
}

uint32_t type_width(const char *type)
{
    if (strcmp(type, "pred") == 0)
        return 0;
    if (strlen(type) < 2 || !strchr("busf", type[0]))
        fail("the type .%s is not covered", type);
    uint32_t bits = (uint32_t)strtoul(type + 1, NULL, 10);
    if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
        fail("the type .%s is not covered", type);
    return bits / 8;
}

void add_registers(const char *type)
{
    struct registers kind = { .width = type_width(type) };
    do {
        if (parse.register_kinds == sizeof parse.registers / sizeof *parse.registers)
            fail("too many kinds of registers");
        read_word(kind.name, sizeof kind.name, 0);
        kind.count = 0;
        if (accept('<')) {
            kind.count = (uint32_t)read_integer();
            expect('>');
        }
        kind.first = new_register(kind.width);
        for (uint32_t i = 1; i < kind.count; i++)
            new_register(kind.width);
        parse.registers[parse.register_kinds++] = kind;
    } while (accept(','));
    expect(';');
}

/* After .shared, .local or .param: .align 8 .b8 name[12] */
struct variable read_variable(enum space space)
{
    struct variable variable = { .space = space, .alignment = 1 };
    char word[512];
    uint32_t width = 0;
    while (accept('.')) {
        read_word(word, sizeof word, 0);
        if (strcmp(word, "align") == 0)
            variable.alignment = (uint32_t)read_integer();
        else if (strcmp(word, "ptr") == 0 || strcmp(word, "global") == 0)
            continue;
        else
            width = type_width(word);
    }
    if (variable.alignment < width)
        variable.alignment = width;
    read_word(word, sizeof word, 0);
    variable.name = copy_of(word, strlen(word));
    variable.bytes = width;
    if (accept('[')) {
        variable.bytes = is_next(']') ? 0 : width * (uint32_t)read_integer();
        expect(']');
    }
    return variable;
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

/* A register, or a constant as one, of `width` bytes for each lane. */
int32_t read_operand(uint32_t width)
{
    char word[512];
    uint32_t has;
    skip_space();
    if (parse.at[0] == '0' && (parse.at[1] == 'f' || parse.at[1] == 'd' || parse.at[1] == 'F' || parse.at[1] == 'D')) {
        int single = parse.at[1] == 'f' || parse.at[1] == 'F';
        char *after;
        uint64_t bits = strtoull(parse.at + 2, &after, 16);
        if (after - parse.at != (single ? 10 : 18) || width != (single ? 4u : 8u))
            fail("a number does not fit");
        parse.at = after;
        return constant(width, bits);
    }
    if (isdigit((unsigned char)*parse.at) || *parse.at == '-') {
        int64_t value = read_integer();
        return constant(width, width == 0 ? (value ? ~UINT64_C(0) : 0) : (uint64_t)value);
    }
    read_word(word, sizeof word, 1);
    int32_t at = find_register(word, &has);
    if (at >= 0 && has != width)
        fail("%s has %u bytes a lane, and the instruction %u", word, has, width);
    if (at >= 0)
        return at;
    const struct variable *variable = variable_named(word);
    if (!variable)
        fail("there is no register or variable %s", word);
    return constant(width, variable->at + (uint64_t)(accept('+') ? read_integer() : 0));
}

/* {a, b, c, d} or one; `width` 0xff takes any. */
void read_registers(int32_t *at, uint8_t *count, uint8_t *width)
{
    char word[512];
    int several = accept('{');
    *count = 0;
    do {
        if (*count == COMPONENTS)
            fail("too many registers");
        skip_space();
        if (*parse.at == '%' || isalpha((unsigned char)*parse.at)) {
            uint32_t has;
            read_word(word, sizeof word, 1);
            at[*count] = register_named(word, &has);
            if (*width != 0xff && has != *width)
                fail("registers of different widths");
            *width = (uint8_t)has;
        } else if (*width == 0xff)
            fail("a number where a register is expected");
        else
            at[*count] = read_operand(*width);
        (*count)++;
    } while (several && accept(','));
    if (several)
        expect('}');
}

/* [%rd1+8], [name+8], [name] */
void read_address(struct instruction *in)
{
    char word[512];
    in->from[3] = -1;
    expect('[');
    skip_space();
    if (*parse.at == '%') {
        uint32_t width;
        read_word(word, sizeof word, 1);
        in->from[3] = register_named(word, &width);
        in->address_width = (uint8_t)width;
    } else {
        read_word(word, sizeof word, 0);
        const struct variable *variable = variable_named(word);
        if (!variable)
            fail("there is no variable %s", word);
        in->displacement = variable->at;
    }
    if (accept('+') || is_next('-'))
        in->displacement += read_integer();
    expect(']');
}
