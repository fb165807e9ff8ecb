/* Inside the pickle reader: the state of one reading, and what the opcodes' actions share. */
#ifndef SELFSAME_PICKLE_MACHINE_H
#define SELFSAME_PICKLE_MACHINE_H

#include "fetch/weights/pickle.h"

/* One reading. */
struct pickle_machine {
    struct pickle *pickle;
    const char *path;
    const uint8_t *file;
    size_t bytes, next;          /* next: of the byte to be read */
    size_t offset;               /* of the opcode that is being carried out */
    const char *opcode;          /* its name */
    struct pickle_value **stack; /* NULL: a mark */
    size_t stack_count, stack_capacity, memo_count, memo_used, persistent_capacity;
    struct pickle_value **memo; /* [memo_count], NULL where nothing was put; memo_used are not */
    struct error *error;
};

struct pickle_opcode {
    const char *name;                                             /* NULL: no such opcode */
    enum status (*action)(struct pickle_machine *m, int operand); /* NULL: pickle_read's own */
    int operand;
};
extern const struct pickle_opcode pickle_opcodes[256]; /* by their byte */

/* Each takes its place in the file and its name from the machine; STATUS_INPUT and STATUS_ENVIRONMENT as pickle_read
 * says.
 *
 * refuse   Fills the error: "PATH: byte N: opcode NAME ...". */
enum status pickle_refuse(struct pickle_machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
#if defined(__clang_analyzer__) && !defined(SELFSAME_PICKLE_C) /* as in base/error.h */
#define pickle_refuse(m, ...) (pickle_refuse(m, __VA_ARGS__), error_is(STATUS_INPUT))
#endif
enum status pickle_no_memory(struct pickle_machine *m);
/* Memory of the arena, aligned for anything; NULL with the error filled. */
void *pickle_allocate(struct pickle_machine *m, size_t bytes) MUST_USE;
/* A zeroed value. */
enum status pickle_new_value(struct pickle_machine *m, enum pickle_type type, struct pickle_value **value) MUST_USE;
/* NULL pushes a mark. */
enum status pickle_push(struct pickle_machine *m, struct pickle_value *value) MUST_USE;
enum status pickle_push_text(struct pickle_machine *m, enum pickle_type type, const void *data, size_t bytes) MUST_USE;
/* The value on top, which top leaves there. A mark is not a value. */
enum status pickle_top(struct pickle_machine *m, struct pickle_value **value) MUST_USE;
enum status pickle_pop(struct pickle_machine *m, struct pickle_value **value) MUST_USE;
/* Takes off what lies above the last mark, and the mark; the values stay readable until the next push. */
enum status pickle_pop_mark(struct pickle_machine *m, struct pickle_value ***values, size_t *count) MUST_USE;
/* To a list, dict (keys and values) or tuple. */
enum status pickle_append(struct pickle_machine *m, struct pickle_value *list, struct pickle_value *const *values,
                          size_t count) MUST_USE;
/* The rest of a line of at most `limit` bytes, without its end. */
enum status pickle_take_line(struct pickle_machine *m, size_t limit, const char **line, size_t *length) MUST_USE;

/* The opcodes that deal with globals (fetch/weights/pickle_call.c); `operand` is not used. */
enum status pickle_do_global(struct pickle_machine *m, int operand) MUST_USE;
enum status pickle_do_stack_global(struct pickle_machine *m, int operand) MUST_USE;
enum status pickle_do_reduce(struct pickle_machine *m, int operand) MUST_USE;
enum status pickle_do_new_object(struct pickle_machine *m, int operand) MUST_USE;
enum status pickle_do_object(struct pickle_machine *m, int operand) MUST_USE;
enum status pickle_do_build(struct pickle_machine *m, int operand) MUST_USE;
enum status pickle_do_persistent(struct pickle_machine *m, int operand) MUST_USE;

#endif
