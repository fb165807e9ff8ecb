/* Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC11). No state: every number is a pure
 * function of (seed, purpose, and two counters), so nothing needs saving and any engine can make any number in any
 * order. ARITHMETIC.md section 9. */
#ifndef SELFSAME_RANDOM_H
#define SELFSAME_RANDOM_H

#include <stdint.h>

enum random_purpose {
    RANDOM_SHUFFLE = 1,
    RANDOM_AUGMENT = 2,
    RANDOM_WEIGHTS = 3,
    RANDOM_BIAS = 4,
    RANDOM_EMBEDDED = 5
};

/* The raw block: out[4] from counter[4] and key[2], ten rounds. */
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* counter = (index, low word of major, high word of major, purpose), key = (low word of seed, high word of seed). */
void random_block(uint64_t seed, enum random_purpose purpose, uint64_t major, uint32_t index, uint32_t out[4]);

/* A standard normal deviate from one 32-bit word: the inverse CDF at (word + 0.5) / 2^32 in binary64, in a stated order
 * of operations without libm (exact.h's logarithm). */
double random_normal(uint32_t word);

#endif
