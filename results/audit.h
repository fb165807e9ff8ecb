/* Which epochs of a run are audited, so that nobody could foresee it and everybody can repeat the choice. */
#ifndef SELFSAME_AUDIT_H
#define SELFSAME_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

/* Chooses `count` different epochs below `epochs`, rising, by a run's last chain digest, which commits to all epochs,
 * and a beacon, any bytes that were not known when the chain was. Attempt i = 0, 1, ... takes the first 8 bytes,
 * little-endian, of SHA-256(chain, 32 bytes; SHA-256(beacon), 32 bytes; i, 8 bytes little-endian). A number of
 * floor(2^64 / epochs) * epochs or more is passed over, and so is an epoch (the number modulo epochs) that is chosen
 * already. */
void audit_choose(const uint8_t chain[DIGEST_BYTES], const void *beacon, size_t beacon_bytes, uint64_t epochs,
                  uint64_t count, uint64_t *chosen);

/* The probability that `count` epochs out of `epochs` hit one of `tampered` ones. */
double audit_detection(uint64_t epochs, uint64_t tampered, uint64_t count);

#endif
