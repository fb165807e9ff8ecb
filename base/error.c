#define SELFSAME_ERROR_C
#include "base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum status error_set_v(struct error *error, enum status status, const char *format, va_list arguments)
{
    error->status = status;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    return status;
}

enum status error_set(struct error *error, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, status, format, arguments);
    va_end(arguments);
    return status;
}

/* True for what only the machine's owner can mend. */
static int is_environment(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EACCES:
    case EROFS:
    case EPERM:
    case ENOMEM:
    case EIO:
    case EMFILE:
    case ENFILE:
    case EPIPE:
    case EFBIG:
        return 1;
    default:
        return 0;
    }
}

enum status error_set_errno(struct error *error, enum status status, const char *format, ...)
{
    int number = errno;
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, is_environment(number) ? STATUS_ENVIRONMENT : status, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s%s", strerror(number),
             number == ENOSPC || number == EDQUOT ? "; free some space and try again" : "");
    return error->status;
}

enum status error_out_of_memory(struct error *error, const char *what, ...)
{
    static const char verdict[] = "out of memory for ";
    va_list arguments;
    va_start(arguments, what);
    memcpy(error->message, verdict, sizeof verdict);
    vsnprintf(error->message + sizeof verdict - 1, sizeof error->message - sizeof verdict + 1, what, arguments);
    va_end(arguments);
    error->status = STATUS_ENVIRONMENT;
    return STATUS_ENVIRONMENT;
}

enum status error_prefix(struct error *error, const char *format, ...)
{
    char message[ERROR_MESSAGE_BYTES];
    memcpy(message, error->message, sizeof message);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s", message);
    return error->status;
}

void error_replace(struct error *error, const char *from, const char *to)
{
    char message[ERROR_MESSAGE_BYTES];
    size_t used = 0;
    memcpy(message, error->message, sizeof message);
    for (const char *rest = message; *rest != '\0' && used + 1 < sizeof error->message;) {
        const bool found = strncmp(rest, from, strlen(from)) == 0;
        const int length = snprintf(error->message + used, sizeof error->message - used, "%.*s",
                                    found ? (int)strlen(to) : 1, found ? to : rest);
        used += (size_t)length;
        rest += found ? strlen(from) : 1;
    }
}

int status_exit(enum status status)
{
    static const int exits[] = {
        [STATUS_OK] = 0, [STATUS_NO] = 1, [STATUS_INPUT] = 2, [STATUS_ENVIRONMENT] = 3, [STATUS_INTERRUPTED] = 130
    };
    return exits[status];
}
