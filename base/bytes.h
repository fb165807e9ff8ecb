/* Numbers as little-endian bytes, whatever the host's order: what files and digests hold. And the bits of
 * floating-point numbers. Code in a header, because the interpreter of kernels and the readers of tensors call it for
 * each number. */
#ifndef SELFSAME_BYTES_H
#define SELFSAME_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t double_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

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

/* At most 8 bytes. */
static inline uint64_t bytes_get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

static inline uint64_t bytes_get_u64(const uint8_t *in)
{
    return bytes_get(in, 8);
}

/* out holds 4 * count bytes, in any alignment. */
static inline void bytes_put_floats(uint8_t *out, const float *values, size_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(out, values, 4 * count);
#else
    for (size_t i = 0; i < count; i++)
        bytes_put_u32(out + 4 * i, float_bits(values[i]));
#endif
}

static inline void bytes_get_floats(float *values, const uint8_t *in, size_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(values, in, 4 * count);
#else
    for (size_t i = 0; i < count; i++)
        values[i] = float_of_bits((uint32_t)bytes_get(in + 4 * i, 4));
#endif
}

#endif
