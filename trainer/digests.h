/* The digests that name what a run computed: of its weights, of its steps and of the chain of its epochs. Their bytes
 * are defined in ARITHMETIC.md section 13. */
#ifndef SELFSAME_DIGESTS_H
#define SELFSAME_DIGESTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "trainer/network.h"

enum { DIGEST_STEP_BYTES = 32 };

/* Adds one float32 tensor to a weights digest. */
void digest_tensor(struct sha256 *sha256, const char *name, uint32_t rank, const uint32_t *shape, const float *values);

/* Writes a step's entry of a chain. */
void digest_step(uint8_t entry[DIGEST_STEP_BYTES], uint64_t step, float loss, uint32_t errors,
                 const uint64_t digest[2]);
/* chain becomes the next one; entries are count * DIGEST_STEP_BYTES bytes. */
void digest_chain(uint8_t chain[DIGEST_BYTES], const uint8_t weights[DIGEST_BYTES], const uint8_t *entries,
                  size_t count);

/* The digest of a network's weights: over network.tensors, which are in order. */
void weights_digest(const struct network *network, const float *values, uint8_t digest[DIGEST_BYTES]);

#endif
