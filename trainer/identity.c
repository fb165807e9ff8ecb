#include "trainer/identity.h"

void weights_digest(const struct network *network, const float *values, uint8_t digest[DIGEST_BYTES])
{
    struct sha256 sha256;
    sha256_start(&sha256);
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        digest_tensor(&sha256, tensor->name, tensor->rank, tensor->shape, values + tensor->offset);
    }
    sha256_finish(&sha256, digest);
}
