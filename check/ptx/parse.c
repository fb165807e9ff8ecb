/* Parses the text of PTX into a program: instructions and directives. */
#include "check/ptx/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names of instructions --------------------------------------------------------------------------------------- */

/* widths[0] is the result's, then those of the operands; a predicate's is 0. */
struct known {
    const char *name;
    uint16_t operation;
    uint8_t operands, widths[4];
};

static const struct known known[] = {
#define ENTRY(id, name, to, a, ...) { name, OP_##id, 1, { sizeof(lane_##to), sizeof(lane_##a) } },
    PTX_UNARY(ENTRY)
#undef ENTRY
#define ENTRY(id, name, to, a, b, ...) { name, OP_##id, 2, { sizeof(lane_##to), sizeof(lane_##a), sizeof(lane_##b) } },
        PTX_BINARY(ENTRY)
#undef ENTRY
#define ENTRY(id, name, to, a, b, c, ...) \
    { name, OP_##id, 3, { sizeof(lane_##to), sizeof(lane_##a), sizeof(lane_##b), sizeof(lane_##c) } },
            PTX_TERNARY(ENTRY)
#undef ENTRY
#define ENTRY(id, name, t, ...) { name, OP_##id, 2, { 0, sizeof(lane_##t), sizeof(lane_##t) } },
                PTX_COMPARISON(ENTRY)
#undef ENTRY
#define ENTRY(id, name, t) { name, OP_##id, 3, { sizeof(lane_##t), sizeof(lane_##t), sizeof(lane_##t), 0 } },
                    PTX_SELECTION(ENTRY)
#undef ENTRY
#define ENTRY(id, name, operands, ...) { name, OP_##id, operands, { 0, 0, 0 } },
                        PTX_PREDICATE(ENTRY)
#undef ENTRY
};

enum { KNOWN = sizeof known / sizeof *known, SLOTS = 4096 };

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

static const struct known *find_known(const char *name)
{
    static uint16_t slots[SLOTS]; /* 1 + index */
    static int filled;
    for (uint32_t i = 0; !filled && i < KNOWN; i++) {
        uint32_t slot = hash_of(known[i].name) % SLOTS;
        while (slots[slot])
            slot = (slot + 1) % SLOTS;
        slots[slot] = (uint16_t)(i + 1);
    }
    filled = 1;
    for (uint32_t slot = hash_of(name) % SLOTS; slots[slot]; slot = (slot + 1) % SLOTS) {
        if (strcmp(known[slots[slot] - 1].name, name) == 0)
            return &known[slots[slot] - 1];
    }
    return NULL;
}

static int has_part(const char *name, const char *part)
{
    size_t length = strlen(part);
    for (const char *at = strchr(name, '.'); at; at = strchr(at + 1, '.')) {
        if (strncmp(at + 1, part, length) == 0 && (at[1 + length] == '.' || at[1 + length] == 0))
            return 1;
    }
    return 0;
}

enum doubt doubt_of(const char *name)
{
    if (has_part(name, "approx") || has_part(name, "full"))
        return DOUBT_APPROXIMATE;
    if (has_part(name, "ftz"))
        return DOUBT_FLUSHED;
    int sums = strncmp(name, "add.", 4) == 0 || strncmp(name, "sub.", 4) == 0 || strncmp(name, "mul.", 4) == 0;
    return sums && (has_part(name, "f32") || has_part(name, "f64")) && !has_part(name, "rn") ? DOUBT_CONTRACTED
                                                                                             : DOUBT_NONE;
}

/* ---- instructions ------------------------------------------------------------------------------------------------ */

static void add_instruction(struct instruction in, const char *name, uint32_t line)
{
    struct ptx_kernel *kernel = parse.kernel;
    if (kernel->count == kernel->room) {
        uint32_t room = kernel->room;
        kernel->code = grown(kernel->code, kernel->count, &kernel->room, sizeof *kernel->code);
        kernel->places = grown(kernel->places, kernel->count, &room, sizeof *kernel->places);
    }
    kernel->places[kernel->count] = (struct place){ line, parse.file, parse.source, copy_of(name, strlen(name)) };
    kernel->code[kernel->count++] = in;
}

static void add_jump(const char *name, uint32_t at, struct label **list, uint32_t *count, uint32_t *room)
{
    *list = grown(*list, *count, room, sizeof **list);
    struct label *label = &(*list)[(*count)++];
    if (strlen(name) >= sizeof label->name)
        fail("a label is too long");
    strcpy(label->name, name);
    label->at = at;
}

static void read_table_instruction(struct instruction *in, const struct known *entry)
{
    in->operation = entry->operation;
    in->to[0] = read_operand(entry->widths[0]);
    in->to_width = entry->widths[0];
    for (int i = 0; i < entry->operands; i++) {
        expect(',');
        in->from[i] = read_operand(entry->widths[1 + i]);
    }
}

/* mov.b64 {%r1, %r2}, %rd1 and the other way round */
static void read_packing(struct instruction *in, uint32_t whole)
{
    uint8_t width = 0xff;
    if (is_next('{')) {
        in->operation = OP_unpack;
        read_registers(in->to, &in->components, &width);
        expect(',');
        in->from[0] = read_operand(whole);
    } else {
        in->operation = OP_pack;
        in->to[0] = read_operand(whole);
        expect(',');
        read_registers(in->from, &in->components, &width);
    }
    in->width = width;
    if (in->components * width != whole)
        fail("the parts do not make the whole");
}

/* What of .global.nc.v4.f32 and the like an access says. */
static void read_access(struct instruction *in, const char *name)
{
    static const struct {
        const char *part;
        uint8_t space, components, cache;
    } parts[] = {
        { "global", SPACE_GLOBAL, 0, 0 },
        { "shared", SPACE_SHARED, 0, 0 },
        { "local", SPACE_LOCAL, 0, 0 },
        { "param", SPACE_PARAM, 0, 0 },
        { "v2", 0, 2, 0 },
        { "v4", 0, 4, 0 },
        { "nc", 0, 0, CACHE_CONSTANT },
        { "cg", 0, 0, CACHE_GLOBAL },
        { "cv", 0, 0, CACHE_GLOBAL },
        { "ca", 0, 0, CACHE_ANY },
        { "cs", 0, 0, CACHE_ANY },
        { "lu", 0, 0, CACHE_ANY },
        { "wb", 0, 0, CACHE_ANY },
        { "wt", 0, 0, CACHE_ANY },
        { "volatile", 0, 0, CACHE_GLOBAL },
        { "relaxed", 0, 0, CACHE_GLOBAL },
        { "gpu", 0, 0, CACHE_GLOBAL },
        { "sys", 0, 0, CACHE_GLOBAL },
        { "weak", 0, 0, CACHE_ANY },
        { "cta", 0, 0, CACHE_ANY },
    };
    char copy[512], *rest = copy;
    snprintf(copy, sizeof copy, "%s", name);
    strsep(&rest, ".");
    in->components = 1;
    for (char *part = strsep(&rest, "."); part; part = strsep(&rest, ".")) {
        size_t i = 0;
        while (i < sizeof parts / sizeof *parts && strcmp(parts[i].part, part) != 0)
            i++;
        if (i < sizeof parts / sizeof *parts) {
            in->space = parts[i].space ? parts[i].space : in->space;
            in->components = parts[i].components ? parts[i].components : in->components;
            in->cache = parts[i].cache ? parts[i].cache : in->cache;
        } else if (rest == NULL) {
            in->width = (uint8_t)type_width(part);
            in->is_signed = part[0] == 's';
        } else
            fail("%s: .%s is not covered", name, part);
    }
    if (in->width == 0)
        fail("%s is not covered", name);
    if (in->space == SPACE_SHARED && in->width < 4)
        parse.kernel->narrow_shared = 1;
}

static void read_load(struct instruction *in, const char *name)
{
    uint8_t count, width = 0xff;
    in->operation = OP_load;
    read_access(in, name);
    read_registers(in->to, &count, &width);
    expect(',');
    read_address(in);
    in->to_width = width;
    in->used = (uint8_t)((1u << in->components) - 1);
    if (parse.used) { /* of components some bytes may be wanted, or none */
        in->used = 0;
        for (uint32_t i = 0; i < in->components; i++)
            in->used |= (uint8_t)(((parse.used >> i * in->width & ((1u << in->width) - 1)) != 0) << i);
    }
    parse.used = 0;
    if (count != in->components || width < in->width)
        fail("%s: other registers than it moves", name);
}

static void read_store(struct instruction *in, const char *name)
{
    uint8_t count;
    in->operation = OP_store;
    read_access(in, name);
    read_address(in);
    expect(',');
    uint8_t width = is_next('{') || is_next('%') ? 0xff : in->width;
    read_registers(in->to, &count, &width);
    in->to_width = width;
    if (count != in->components || width < in->width)
        fail("%s: other registers than it moves", name);
}

static void read_atomic(struct instruction *in, const char *name, int result)
{
    static const char *const kinds[] = { "add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec" };
    char copy[512], *rest = copy, *part;
    int kind = -1;
    snprintf(copy, sizeof copy, "%s", name);
    strsep(&rest, ".");
    while ((part = strsep(&rest, "."))) {
        if (strcmp(part, "global") == 0 || strcmp(part, "shared") == 0)
            in->space = part[0] == 'g' ? SPACE_GLOBAL : SPACE_SHARED;
        for (int i = 0; i < 10; i++)
            kind = strcmp(part, kinds[i]) == 0 ? i : kind;
        if (rest == NULL) {
            in->width = (uint8_t)type_width(part);
            in->is_signed = part[0] == 's';
            if (part[0] == 'f')
                fail("%s: the order of the sum is not defined", name);
        }
    }
    if (kind < 0 || in->width < 4)
        fail("%s is not covered", name);
    in->operation = OP_atomic;
    in->components = 1;
    in->to[0] = result ? read_operand(in->width) : -1;
    if (result)
        expect(',');
    read_address(in);
    in->kind = (uint8_t)kind;
    for (int i = 0; i < (kind == ATOMIC_CAS ? 2 : 1); i++) {
        expect(',');
        in->from[i] = read_operand(in->width);
    }
}

static void read_shuffle(struct instruction *in, const char *name)
{
    in->kind = strncmp(name, "shfl.sync.idx.b32", 18) == 0    ? SHUFFLE_IDX
               : strncmp(name, "shfl.sync.up.b32", 17) == 0   ? SHUFFLE_UP
               : strncmp(name, "shfl.sync.down.b32", 19) == 0 ? SHUFFLE_DOWN
               : strncmp(name, "shfl.sync.bfly.b32", 19) == 0 ? SHUFFLE_BFLY
                                                              : 0xff;
    if (in->kind == 0xff)
        fail("%s is not covered", name);
    in->operation = OP_shuffle;
    in->to[0] = read_operand(4);
    in->to[1] = accept('|') ? read_operand(0) : -1;
    for (int i = 0; i < 4; i++) { /* value, lane, clamp, mask of members */
        expect(',');
        in->from[i] = read_operand(4);
    }
}

static void read_instruction(void)
{
    struct instruction in = { .guard = -1, .to = { -1, -1, -1, -1 }, .from = { -1, -1, -1, -1 } };
    char word[512];
    uint32_t line = parse.line, width;
    if (accept('@')) {
        in.guard_negated = (uint8_t)accept('!');
        read_word(word, sizeof word, 0);
        in.guard = register_named(word, &width);
        if (width != 0)
            fail("%s is no predicate", word);
    }
    read_word(word, sizeof word, 1);
    const struct known *entry = find_known(word);
    if ((strcmp(word, "mov.b64") == 0 || strcmp(word, "mov.b32") == 0) && memchr(parse.at, '{', 64) &&
        (const char *)memchr(parse.at, '{', 64) < (const char *)memchr(parse.at, ';', (size_t)(parse.end - parse.at)))
        read_packing(&in, word[5] == '6' ? 8 : 4);
    else if (entry)
        read_table_instruction(&in, entry);
    else if (strncmp(word, "ld.", 3) == 0)
        read_load(&in, word);
    else if (strncmp(word, "st.", 3) == 0)
        read_store(&in, word);
    else if (strncmp(word, "atom.", 5) == 0 || strncmp(word, "red.", 4) == 0)
        read_atomic(&in, word, word[0] == 'a');
    else if (strncmp(word, "shfl.", 5) == 0)
        read_shuffle(&in, word);
    else if (strcmp(word, "bfi.b32") == 0) {
        in.operation = OP_bfi;
        in.to[0] = read_operand(4);
        in.to_width = 4;
        for (int i = 0; i < 4; i++) {
            expect(',');
            in.from[i] = read_operand(4);
        }
    } else if (strcmp(word, "bar.sync") == 0 || strcmp(word, "barrier.sync") == 0) {
        in.operation = OP_barrier;
        if (read_integer() != 0 || is_next(','))
            fail("%s: only barrier 0 of the whole block is covered", word);
    } else if (strncmp(word, "membar.", 7) == 0 || strncmp(word, "fence.", 6) == 0)
        in.operation = OP_fence;
    else if (strcmp(word, "bra") == 0 || strcmp(word, "bra.uni") == 0) {
        char label[512];
        in.operation = OP_branch;
        read_word(label, sizeof label, 0);
        add_jump(label, parse.kernel->count, &parse.jumps, &parse.jump_count, &parse.jump_room);
    } else if (strcmp(word, "ret") == 0 || strcmp(word, "exit") == 0)
        in.operation = OP_exit;
    else
        fail("%s is not covered", word);
    expect(';');
    add_instruction(in, word, line);
}

/* ---- directives -------------------------------------------------------------------------------------------------- */

/* .loc 1 88 9, function_name $L__info_string0, inlined_at 1 75 5 */
static void read_location(void)
{
    parse.file = (uint32_t)read_integer();
    parse.source = (uint32_t)read_integer();
    skip_line();
}

/* In a kernel, after the dot. */
static void read_kernel_directive(void)
{
    char word[64];
    read_word(word, sizeof word, 0);
    if (strcmp(word, "reg") == 0) {
        expect('.');
        read_word(word, sizeof word, 0);
        add_registers(word);
    } else if (strcmp(word, "shared") == 0 || strcmp(word, "local") == 0) {
        place_variable(read_variable(word[0] == 's' ? SPACE_SHARED : SPACE_LOCAL));
        expect(';');
    } else if (strcmp(word, "loc") == 0) {
        read_location();
    } else if (strcmp(word, "pragma") == 0) {
        static const char mask[] = "\"used_bytes_mask ";
        skip_space();
        if (strncmp(parse.at, mask, sizeof mask - 1) == 0)
            parse.used = (uint32_t)strtoul(parse.at + sizeof mask - 1, NULL, 0);
        skip_statement();
    } else
        fail(".%s is not covered in a kernel", word);
}

static void read_body(void)
{
    int depth = 1;
    uint32_t kinds[16] = { 0 };
    expect('{');
    while (depth > 0) {
        char word[512];
        if (accept('{')) {
            if (depth == sizeof kinds / sizeof *kinds)
                fail("scopes are too deep");
            kinds[depth++] = parse.register_kinds;
        } else if (accept('}')) {
            if (--depth > 0)
                parse.register_kinds = kinds[depth];
        } else if (accept('.'))
            read_kernel_directive();
        else {
            const char *at;
            uint32_t line;
            skip_space();
            at = parse.at, line = parse.line;
            if (*parse.at != '@') {
                read_word(word, sizeof word, 1);
                if (accept(':')) {
                    add_jump(word, parse.kernel->count, &parse.labels, &parse.label_count, &parse.label_room);
                    continue;
                }
            }
            parse.at = at, parse.line = line;
            read_instruction();
        }
        if (parse.at >= parse.end)
            fail("the text ends in a kernel");
    }
}

static void resolve_jumps(void)
{
    for (uint32_t i = 0; i < parse.jump_count; i++) {
        uint32_t j = 0;
        while (j < parse.label_count && strcmp(parse.labels[j].name, parse.jumps[i].name) != 0)
            j++;
        if (j == parse.label_count)
            fail("there is no label %s", parse.jumps[i].name);
        parse.kernel->code[parse.jumps[i].at].target = parse.labels[j].at;
    }
}

/* Padding is copied, and never computed with. */
static void find_copies(void)
{
    struct ptx_kernel *kernel = parse.kernel;
    unsigned char *computed = allocate(kernel->register_bytes / 4 + 1);
    for (uint32_t i = 0; i < kernel->count; i++) {
        const struct instruction *in = &kernel->code[i];
        for (int j = 0; j < COMPONENTS; j++)
            computed[in->from[j] >= 0 ? in->from[j] / 4 : (int32_t)kernel->register_bytes / 4] = 1;
    }
    for (uint32_t i = 0; i < kernel->count; i++) {
        struct instruction *in = &kernel->code[i];
        in->copies = in->operation == OP_load;
        for (uint32_t j = 0; in->operation == OP_load && j < in->components; j++)
            in->copies &= !computed[in->to[j] / 4];
    }
    free(computed);
}

static void read_kernel(void)
{
    struct ptx_kernel *kernel = allocate(sizeof *kernel);
    char word[512];
    parse.kernel = kernel;
    parse.register_kinds = parse.label_count = parse.jump_count = 0;
    parse.file = parse.source = parse.used = 0;
    for (size_t i = 0; i < sizeof kernel->special / sizeof *kernel->special; i++)
        kernel->special[i] = -1;
    read_word(word, sizeof word, 0);
    kernel->name = copy_of(word, strlen(word));
    kernel->module = parse.module;
    expect('(');
    while (!accept(')')) {
        expect('.');
        read_word(word, sizeof word, 0);
        place_variable(read_variable(SPACE_PARAM));
        accept(',');
    }
    while (accept('.')) { /* .maxntid 128, 1, 1 and the like */
        uint32_t product = 1;
        read_word(word, sizeof word, 0);
        do
            product *= (uint32_t)read_integer();
        while (accept(','));
        if (strcmp(word, "maxntid") == 0)
            kernel->max_threads = product;
    }
    /* Where dynamic shared memory begins must be known while the body is read, and which module variables come before
     * it is known only afterwards: so it begins behind all that there can be. */
    for (uint32_t i = 0; i < parse.shared_count; i++) {
        if (parse.shared[i].bytes == 0) {
            struct variable dynamic = parse.shared[i];
            kernel->variables =
                grown(kernel->variables, kernel->variable_count, &kernel->variable_room, sizeof *kernel->variables);
            dynamic.at = DYNAMIC_SHARED;
            kernel->variables[kernel->variable_count++] = dynamic;
        }
    }
    read_body();
    add_instruction(
        (struct instruction){ .operation = OP_exit, .guard = -1, .to = { -1, -1, -1, -1 }, .from = { -1, -1, -1, -1 } },
        "the end", parse.line);
    resolve_jumps();
    find_copies();
    kernel->ran = allocate(kernel->count);
    *parse.module->last = kernel;
    parse.module->last = &kernel->next;
}

/* .file 1 "path" */
static void read_file(void)
{
    uint32_t number = (uint32_t)read_integer();
    skip_space();
    const char *from = *parse.at == '"' ? parse.at + 1 : parse.at, *to = from;
    while (to < parse.end && *to != '"' && *to != '\n')
        to++;
    if (number >= parse.module->file_count) {
        parse.module->files = realloc(parse.module->files, (number + 1) * sizeof(char *));
        if (!parse.module->files)
            fail("out of memory");
        while (parse.module->file_count <= number)
            parse.module->files[parse.module->file_count++] = NULL;
    }
    parse.module->files[number] = copy_of(from, (size_t)(to - from));
    skip_line();
}

static void read_module(void)
{
    char word[512];
    while (skip_space(), parse.at < parse.end) {
        expect('.');
        read_word(word, sizeof word, 0);
        if (strcmp(word, "target") == 0) {
            read_word(word, sizeof word, 0);
            parse.module->target = copy_of(word, strlen(word));
            skip_line();
        } else if (strcmp(word, "version") == 0 || strcmp(word, "address_size") == 0)
            skip_line();
        else if (strcmp(word, "file") == 0)
            read_file();
        else if (strcmp(word, "visible") == 0 || strcmp(word, "extern") == 0 || strcmp(word, "weak") == 0)
            continue;
        else if (strcmp(word, "entry") == 0)
            read_kernel();
        else if (strcmp(word, "shared") == 0) {
            parse.shared = grown(parse.shared, parse.shared_count, &parse.shared_room, sizeof *parse.shared);
            parse.shared[parse.shared_count++] = read_variable(SPACE_SHARED);
            expect(';');
        } else if (strcmp(word, "section") == 0) {
            while (!accept('}') && parse.at < parse.end)
                parse.at++;
        } else
            fail(".%s is not covered", word);
    }
}

static int try_module(void)
{
    if (setjmp(parse.failed))
        return 0;
    read_module();
    return 1;
}

static char *read_text(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    *length = 0;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        long bytes = ftell(file);
        rewind(file);
        text = allocate((size_t)bytes + 1);
        *length = fread(text, 1, (size_t)bytes, file);
    }
    if (file)
        fclose(file);
    return text;
}

struct ptx_module *ptx_load(const char *path)
{
    size_t length;
    char *text = read_text(path, &length);
    struct ptx_module *module = NULL;
    if (text)
        module = ptx_parse(path, text, length);
    else
        fprintf(stderr, "ptx: %s cannot be read\n", path);
    free(text);
    return module;
}

struct ptx_module *ptx_parse(const char *path, const char *text, size_t length)
{
    memset(&parse, 0, sizeof parse);
    parse.path = path;
    parse.at = text;
    parse.end = text + length;
    parse.line = 1;
    parse.module = allocate(sizeof *parse.module);
    parse.module->path = copy_of(path, strlen(path));
    parse.module->last = &parse.module->kernels;
    int good = try_module();
    free(parse.labels);
    free(parse.jumps);
    free(parse.shared);
    return good ? parse.module : NULL;
}

const struct ptx_kernel *ptx_find(const struct ptx_module *module, const char *name)
{
    const struct ptx_kernel *kernel = module->kernels;
    while (kernel && strcmp(kernel->name, name) != 0)
        kernel = kernel->next;
    return kernel;
}
