/* Packs a convolution's weights in the order in which the kernels read them, after every update. */
#ifndef SELFSAME_PACKING_H
#define SELFSAME_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/cpu/fused/vector.h"
#include "trainer/cpu/fused/winograd.h"

/* [groups of G][C/16][r][c of 16][s][G] from w[k][c][r][s]; with flip the roles of k and c change and the taps are
 * mirrored. */
static void pack_direct(const float *w, float *packed, uint32_t C, uint32_t K, uint32_t G, bool flip)
{
    uint32_t outputs = flip ? C : K, inputs = flip ? K : C, inner = inputs < BLOCK ? inputs : BLOCK;
    for (uint32_t first = 0; first < outputs; first += G) {
        /* The nine taps of a filter are together in w, and one block of packed fits into the first-level cache. */
        for (uint32_t base = 0; base < inputs; base += inner, packed += (size_t)9 * inner * G) {
            for (uint32_t i = 0; i < inner; i++) {
                for (uint32_t o = 0; o < G; o++) {
                    const float *taps =
                        w + (flip ? (size_t)(base + i) * C + first + o : (size_t)(first + o) * C + base + i) * 9;
                    for (uint32_t tap = 0; tap < 9; tap++)
                        packed[((size_t)(tap / 3 * inner + i) * 3 + tap % 3) * G + o] = taps[flip ? 8 - tap : tap];
                }
            }
        }
    }
}

/* [point][C/G][c][G], the filters at the points of tiles; C == K. */
static void pack_winograd(const float *w, float *packed, uint32_t C, uint32_t K, uint32_t G, bool flip)
{
    (void)K;
    for (uint32_t o = 0; o < C; o += LANES) {
        for (uint32_t i = 0; i < C; i++) {
            float taps[9][LANES] __attribute__((aligned(64)));
            vec square[POINTS];
            for (uint32_t lane = 0; lane < LANES; lane++) {
                const float *from = w + (flip ? (size_t)i * C + o + lane : (size_t)(o + lane) * C + i) * 9;
                for (uint32_t tap = 0; tap < 9; tap++)
                    taps[tap][lane] = from[flip ? 8 - tap : tap];
            }
            UNROLL
            for (int s = 0; s < 3; s++) {
                UNROLL
                for (int r = 0; r < 3; r++)
                    square[r * INPUT + s] = vec_load(taps[r * 3 + s]);
                filter_transform(square + s, INPUT);
            }
            UNROLL
            for (int r = 0; r < INPUT; r++)
                filter_transform(square + r * INPUT, 1);
            float *to = packed + ((size_t)o / G * C + i) * G + o % G;
            UNROLL
            for (int point = 0; point < POINTS; point++)
                vec_store(to + (size_t)point * C * C, square[point]);
        }
    }
}

#endif
