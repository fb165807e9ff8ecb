/* One vector type for the fused kernels, of FUSED_VECTOR floats (lanes): 4, 8 or 16. Its operations come from one of
 * two files. Lanes are always output channels, so no operation here ever adds across lanes: the order of every sum is
 * that of ARITHMETIC.md at any width. */
#ifndef SELFSAME_VECTOR_H
#define SELFSAME_VECTOR_H

#ifdef FUSED_PORTABLE
#include "trainer/cpu/fused/vector_portable.h"
#else
#include "trainer/cpu/fused/vector_x86.h"
#endif

enum { LANES = FUSED_VECTOR, BLOCK = 16 }; /* BLOCK: channels side by side in memory, on every instruction set */

/* The aligned tree, leaf after leaf: a binary counter of partial sums. After 2^n leaves (n at most TREE_LEVELS) the
 * root is in levels[n]. Few of them are alive at a time, which spares registers. */
enum { TREE_LEVELS = 5 };

INLINE void vec_tree_add(vec *levels, unsigned leaf, vec v)
{
    const int complete = __builtin_ctz(~leaf);
    UNROLL
    for (int at = 0; at < TREE_LEVELS; at++) {
        if (at < complete)
            v = vec_add(levels[at], v);
    }
    levels[complete] = v;
}

#endif
