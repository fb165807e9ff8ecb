/* The digest of a network's weights, as trainer/common/digest.h defines it: over network.tensors, which are in order.
 * */
#ifndef SELFSAME_IDENTITY_H
#define SELFSAME_IDENTITY_H

#include "trainer/common/digest.h"
#include "trainer/network.h"

void weights_digest(const struct network *network, const float *values, uint8_t digest[DIGEST_BYTES]);

#endif
