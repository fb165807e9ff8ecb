/* Files that only grow: a line or more at a time is there whole, or not at all. */
#ifndef SELFSAME_APPEND_H
#define SELFSAME_APPEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"

struct appender {
    int descriptor; /* -1: closed */
    uint64_t bytes; /* written so far, all of them whole lines */
    char path[FILE_PATH_BYTES];
};

/* Opens for appending, makes it if need be, and cuts it to `keep` bytes (at most what it has; UINT64_MAX: all). */
enum status append_open(struct appender *appender, const char *path, uint64_t keep, struct error *error) MUST_USE;
/* Either all of it reaches the file, or the file is cut back to its old length and an error says why. */
enum status append_write(struct appender *appender, const void *data, size_t bytes, struct error *error) MUST_USE;
enum status append_sync(struct appender *appender, struct error *error) MUST_USE;
void append_close(struct appender *appender); /* closed or zeroed-with-descriptor -1: nothing happens */

#endif
