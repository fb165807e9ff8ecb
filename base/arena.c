#include "base/arena.h"

void *arena_take(struct arena *arena, size_t bytes)
{
    void *piece = arena->memory == NULL ? NULL : arena->memory + arena->bytes;
    arena->bytes += (bytes + arena->alignment - 1) / arena->alignment * arena->alignment;
    if (arena->watch != NULL)
        arena->bytes += arena->watch(piece, bytes);
    return piece;
}

float *arena_floats(struct arena *arena, size_t count)
{
    return arena_take(arena, count * sizeof(float));
}
