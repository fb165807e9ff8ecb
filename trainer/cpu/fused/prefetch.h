/* Prefetches the memory that a thread needs for its next images. In every turn of their inner loops, the kernels ask
 * for a small piece, so that the whole lasts for all turns. The memory then arrives while the arithmetic goes on: not
 * in a burst that fills the core's queues, and not long before it is needed. */
#ifndef SELFSAME_PREFETCH_H
#define SELFSAME_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/cpu/fused/vector.h"

enum { LINE_BYTES = 64 };

struct prefetch_list {
    struct {
        const char *at;
        size_t bytes;
    } segments[8];
    uint32_t count, current;
    size_t stride; /* bytes a turn */
};

INLINE void prefetch_add(struct prefetch_list *list, const float *at, size_t floats)
{
    list->segments[list->count].at = (const char *)at;
    list->segments[list->count++].bytes = floats * sizeof(float);
}

/* Spreads what was added over so many turns. */
INLINE void prefetch_spread(struct prefetch_list *list, size_t turns)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < list->count; i++)
        bytes += list->segments[i].bytes;
    list->stride = bytes / turns + 1;
    if (list->stride > LINE_BYTES)
        list->stride = LINE_BYTES;
}

/* Where a loop of `turns` turns starts to ask, `*stride` bytes apart; with the list used up, again and again for a line
 * that is there. */
INLINE const char *prefetch_take(struct prefetch_list *list, size_t turns, size_t *stride)
{
    if (list->current == list->count) {
        *stride = 0;
        return (const char *)list;
    }
    const char *at = list->segments[list->current].at;
    const size_t bytes = turns * list->stride;
    *stride = list->stride;
    if (list->segments[list->current].bytes <= bytes) {
        list->current++;
    } else {
        list->segments[list->current].at += bytes;
        list->segments[list->current].bytes -= bytes;
    }
    return at;
}

#endif
