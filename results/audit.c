#include "results/audit.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void audit_choose(const uint8_t chain[DIGEST_BYTES], const void *beacon, size_t beacon_bytes, uint64_t epochs,
                  uint64_t count, uint64_t *chosen)
{
    uint8_t seed[DIGEST_BYTES], digest[DIGEST_BYTES], number[8];
    const uint64_t rest = (UINT64_MAX % epochs + 1) % epochs; /* of 2^64 */
    sha256_bytes(beacon, beacon_bytes, seed);
    for (uint64_t attempt = 0, have = 0; have < count; attempt++) {
        struct sha256 sha256;
        bool known = false;
        bytes_put_u64(number, attempt);
        sha256_start(&sha256);
        sha256_add(&sha256, chain, DIGEST_BYTES);
        sha256_add(&sha256, seed, sizeof seed);
        sha256_add(&sha256, number, sizeof number);
        sha256_finish(&sha256, digest);
        const uint64_t drawn = bytes_get_u64(digest);
        if (rest > 0 && drawn > UINT64_MAX - rest)
            continue;
        for (uint64_t i = 0; i < have; i++)
            known = known || chosen[i] == drawn % epochs;
        if (!known)
            chosen[have++] = drawn % epochs;
    }
    qsort(chosen, count, sizeof *chosen, by_number);
}

double audit_detection(uint64_t epochs, uint64_t tampered, uint64_t count)
{
    double missed = 1.0;
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t clean = epochs - tampered;
        missed *= clean > i ? (double)(clean - i) / (double)(epochs - i) : 0.0;
    }
    return 1.0 - missed;
}
