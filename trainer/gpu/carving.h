/* One allocation cut into pieces, by code that runs twice: without memory it only counts what it would take. */
#ifndef SELFSAME_GPU_CARVING_H
#define SELFSAME_GPU_CARVING_H

#include <stddef.h>

enum { CARVING_ALIGNMENT = 256 };

struct carving {
    char *memory; /* NULL: pieces are NULL, too */
    size_t bytes; /* so far */
};

/* Tests may watch the pieces: they define CARVING_WATCH as a function that is told of each, and says how many bytes the
 * next one is to be away. */
#ifdef CARVING_WATCH
size_t CARVING_WATCH(const void *piece, size_t bytes);
#else
#define CARVING_WATCH(piece, bytes) ((size_t)0)
#endif

static inline void *carve(struct carving *carving, size_t bytes)
{
    void *piece = carving->memory == NULL ? NULL : carving->memory + carving->bytes;
    carving->bytes += (bytes + CARVING_ALIGNMENT - 1) / CARVING_ALIGNMENT * CARVING_ALIGNMENT;
    carving->bytes += CARVING_WATCH(piece, bytes);
    return piece;
}

static inline float *carve_floats(struct carving *carving, size_t count)
{
    return (float *)carve(carving, count * sizeof(float));
}

#endif
