/* Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC11). No state: every number is a pure
 * function of (seed, purpose, and two counters), so nothing needs saving and any engine can make any number in any
 * order, on a device too. ARITHMETIC.md section 9. */
#ifndef SELFSAME_RANDOM_H
#define SELFSAME_RANDOM_H

#include <stdint.h>

#include "trainer/exact.h"

enum random_purpose {
    RANDOM_SHUFFLE = 1,
    RANDOM_AUGMENT = 2,
    RANDOM_WEIGHTS = 3,
    RANDOM_BIAS = 4,
    RANDOM_EMBEDDED = 5
};

/* The raw block: out[4] from counter[4] and key[2], ten rounds.
 * source   J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11,
 *          2011. */
EXACT void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t left = (uint64_t)0xd2511f53u * c0, right = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(right >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)right;
        c2 = (uint32_t)(left >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)left;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* counter = (index, low word of major, high word of major, purpose), key = (low word of seed, high word of seed). */
EXACT void random_block(uint64_t seed, enum random_purpose purpose, uint64_t major, uint32_t index, uint32_t out[4])
{
    const uint32_t counter[4] = { index, (uint32_t)major, (uint32_t)(major >> 32), (uint32_t)purpose };
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    philox4x32(counter, key, out);
}

/* A standard normal deviate from one 32-bit word: the inverse CDF at (word + 0.5) / 2^32 in binary64, in a stated order
 * of operations without libm (exact.h's logarithm). */
double random_normal(uint32_t word);

#endif
