/* Numbers as little-endian bytes, whatever the host's order: what files and digests hold. */
#ifndef SELFSAME_BYTES_H
#define SELFSAME_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void bytes_put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static inline void bytes_put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static inline uint64_t bytes_get_u64(const uint8_t *in)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

/* out holds 4 * count bytes, in any alignment. */
static inline void bytes_put_floats(uint8_t *out, const float *values, size_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(out, values, 4 * count);
#else
    for (size_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, &values[i], sizeof word);
        bytes_put_u32(out + 4 * i, word);
    }
#endif
}

static inline void bytes_get_floats(float *values, const uint8_t *in, size_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(values, in, 4 * count);
#else
    for (size_t i = 0; i < count; i++) {
        uint32_t word =
            in[4 * i] | (uint32_t)in[4 * i + 1] << 8 | (uint32_t)in[4 * i + 2] << 16 | (uint32_t)in[4 * i + 3] << 24;
        memcpy(&values[i], &word, sizeof word);
    }
#endif
}

#endif
