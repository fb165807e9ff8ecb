/* One allocation cut into pieces by code that runs twice: without memory it only counts what it would take, so what is
 * predicted is what is taken. Every engine lays its buffers out this way. */
#ifndef SELFSAME_ARENA_H
#define SELFSAME_ARENA_H

#include <stddef.h>

struct arena {
    char *memory;     /* NULL: pieces are NULL, too */
    size_t bytes;     /* so far */
    size_t alignment; /* of `memory` and of every piece, in bytes */
    /* For a checker of overruns: it gets each piece, and returns how many bytes behind it the next one begins. NULL for
     * none. */
    size_t (*watch)(const void *piece, size_t bytes);
};

void *arena_take(struct arena *arena, size_t bytes);
float *arena_floats(struct arena *arena, size_t count);

#endif
