/* Errors: one status per way of failing, one message that says what, where and what to do.
 *
 * Anything that the outside world can cause returns a must-use `enum status` and fills the caller's `struct error`.
 * Only the command files turn a status into an exit status (status_exit) and print the message. */
#ifndef SELFSAME_ERROR_H
#define SELFSAME_ERROR_H

#include <stdarg.h>

enum status {
    STATUS_OK = 0,
    STATUS_NO,          /* the answer is no: runs differ, a target is missed, a run became non-finite */
    STATUS_INPUT,       /* bad manifest, data, weights, checkpoint, argument or usage */
    STATUS_ENVIRONMENT, /* missing on the machine: disk, permission, lock, memory, program, CPU feature, device */
    STATUS_INTERRUPTED  /* SIGINT or SIGTERM; the run is resumable */
};

enum { ERROR_MESSAGE_BYTES = 2048 };

/* message   one or more sentences without a trailing newline; names file:line, key, path, byte offset if there is
 *           one. */
struct error {
    enum status status;
    char message[ERROR_MESSAGE_BYTES];
};

#define MUST_USE __attribute__((warn_unused_result))

/* Fills *error (an overlong message is cut, never overflowed) and returns `status`, so that callers write
 * `return error_set(error, STATUS_INPUT, "...", ...);`. */
enum status error_set(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status error_set_v(struct error *error, enum status status, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* As error_set, followed by ": " and the text of errno, which the caller has not yet disturbed. ENOSPC, EDQUOT, EACCES,
 * EROFS, EPERM, ENOMEM and similar errors are STATUS_ENVIRONMENT, whatever `status` is. For a full disk a hint is
 * added. */
enum status error_set_errno(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* STATUS_ENVIRONMENT and "out of memory for ", followed by what the memory was for. */
enum status error_out_of_memory(struct error *error, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the message that is already there; returns its status. */
enum status error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts `to` in the place of each `from` in the message: the name that people know for one that they do not. */
void error_replace(struct error *error, const char *from, const char *to);

/* clang's analyser sees one source at a time: this tells it that none of the above returns STATUS_OK. */
#if defined(__clang_analyzer__) && !defined(SELFSAME_ERROR_C)
static inline enum status error_is(enum status status)
{
    return status;
}
#define error_set(error, status, ...) (error_set(error, status, __VA_ARGS__), error_is(status))
#define error_set_errno(error, status, ...) (error_set_errno(error, status, __VA_ARGS__), error_is(status))
#define error_out_of_memory(error, ...) (error_out_of_memory(error, __VA_ARGS__), error_is(STATUS_ENVIRONMENT))
#define error_prefix(error, ...) (error_prefix(error, __VA_ARGS__), error_is(STATUS_INPUT))
#endif

/* The process's exit status for a status: 0, 1, 2, 3 or 130. */
int status_exit(enum status status);

#endif
