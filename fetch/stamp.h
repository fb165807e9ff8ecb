/* The size, inode and times of a file when it was last hashed. If they are the same, the file is not hashed again.
 * Writing to a file moves its change time, which no program can set. */
#ifndef SELFSAME_STAMP_H
#define SELFSAME_STAMP_H

#include <stdbool.h>
#include <stddef.h>

enum { STAMP_BYTES = 128 };

/* A line without its end; "" where there is no such file. *settled: the last change is so long ago that the next one
 * must have another time, however coarse the file system's clock is; only then is the stamp worth keeping. */
void stamp_of(const char *path, char stamp[STAMP_BYTES], bool *settled);

#endif
