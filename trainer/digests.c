#include "trainer/digests.h"

#include <string.h>

#include "base/bytes.h"

static void add_u32(struct sha256 *sha256, uint32_t value)
{
    uint8_t bytes[4];
    bytes_put_u32(bytes, value);
    sha256_add(sha256, bytes, sizeof bytes);
}

static void add_text(struct sha256 *sha256, const char *text)
{
    add_u32(sha256, (uint32_t)strlen(text));
    sha256_add(sha256, text, strlen(text));
}

static void add_values(struct sha256 *sha256, const float *values, size_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    sha256_add(sha256, values, count * sizeof *values);
#else
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[4];
        bytes_put_floats(bytes, &values[i], 1);
        sha256_add(sha256, bytes, sizeof bytes);
    }
#endif
}

void digest_tensor(struct sha256 *sha256, const char *name, uint32_t rank, const uint32_t *shape, const float *values)
{
    size_t count = 1;
    add_text(sha256, name);
    add_text(sha256, "F32");
    add_u32(sha256, rank);
    for (uint32_t i = 0; i < rank; i++) {
        uint8_t bytes[8];
        bytes_put_u64(bytes, shape[i]);
        sha256_add(sha256, bytes, sizeof bytes);
        count *= shape[i];
    }
    add_values(sha256, values, count);
}

void digest_step(uint8_t entry[DIGEST_STEP_BYTES], uint64_t step, float loss, uint32_t errors, const uint64_t digest[2])
{
    bytes_put_u64(entry, step);
    bytes_put_u32(entry + 8, float_bits(loss));
    bytes_put_u32(entry + 12, errors);
    bytes_put_u64(entry + 16, digest[0]);
    bytes_put_u64(entry + 24, digest[1]);
}

void digest_chain(uint8_t chain[DIGEST_BYTES], const uint8_t weights[DIGEST_BYTES], const uint8_t *entries,
                  size_t count)
{
    struct sha256 sha256;
    sha256_start(&sha256);
    sha256_add(&sha256, chain, DIGEST_BYTES);
    sha256_add(&sha256, weights, DIGEST_BYTES);
    sha256_add(&sha256, entries, count * DIGEST_STEP_BYTES);
    sha256_finish(&sha256, chain);
}

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
