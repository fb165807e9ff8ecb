/* What the two halves of the parser share: words.c reads words, registers and operands, parse.c instructions and
 * directives. Anything that they do not understand ends the parse with a message (fail). */
#ifndef PTX_PARSE_H
#define PTX_PARSE_H

#include <setjmp.h>

#include "check/ptx/program.h"

struct registers { /* declared as %name<count>, or one without a number */
    char name[64];
    uint32_t count, width; /* width 0: predicates */
    int32_t first;
};

struct label {
    char name[64];
    uint32_t at;
};

extern struct parse {
    const char *path, *at, *end;
    uint32_t line;
    struct ptx_module *module;
    struct ptx_kernel *kernel;
    struct registers registers[64];
    uint32_t register_kinds;
    struct label *labels, *jumps; /* jumps: `at` is the instruction that jumps */
    uint32_t label_count, label_room, jump_count, jump_room;
    uint32_t file, source, used;
    struct variable *shared; /* of the module */
    uint32_t shared_count, shared_room;
    jmp_buf failed;
} parse;

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `items` with room for one more than `count`. */
void *grown(void *items, uint32_t count, uint32_t *room, size_t bytes);
char *copy_of(const char *text, size_t length);

/* ---- words: the next one, past white space and comments ---------------------------------------------------------- */

void skip_space(void);
int is_next(char c);
int accept(char c);
void expect(char c);
/* Letters, digits and what else names are made of, dots too where `dots`. */
void read_word(char *word, size_t room, int dots);
int64_t read_integer(void);
void skip_line(void);
void skip_statement(void);

/* ---- registers, variables, operands ------------------------------------------------------------------------------ */

int32_t register_named(const char *name, uint32_t *width);
const struct variable *place_variable(struct variable variable);
uint32_t type_width(const char *type);
void add_registers(const char *type);
/* After .shared, .local or .param: .align 8 .b8 name[12] */
struct variable read_variable(enum space space);
/* A register, or a constant as one, of `width` bytes for each lane. */
int32_t read_operand(uint32_t width);
/* {a, b, c, d} or one; `width` 0xff takes any. */
void read_registers(int32_t *at, uint8_t *count, uint8_t *width);
/* [%rd1+8], [name+8], [name] */
void read_address(struct instruction *in);

#endif
