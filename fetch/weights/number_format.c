#include "fetch/weights/number_format.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

static const struct {
    const char *name;
    size_t bytes;
    bool real;
} elements[] = {
    [ELEMENT_F32] = { "F32", 4, true },      [ELEMENT_F64] = { "F64", 8, true },
    [ELEMENT_F16] = { "F16", 2, true },      [ELEMENT_BF16] = { "BF16", 2, true },
    [ELEMENT_I64] = { "I64", 8, false },     [ELEMENT_I32] = { "I32", 4, false },
    [ELEMENT_I16] = { "I16", 2, false },     [ELEMENT_I8] = { "I8", 1, false },
    [ELEMENT_U64] = { "U64", 8, false },     [ELEMENT_U32] = { "U32", 4, false },
    [ELEMENT_U16] = { "U16", 2, false },     [ELEMENT_U8] = { "U8", 1, false },
    [ELEMENT_BOOL] = { "BOOL", 1, false },   [ELEMENT_C64] = { "C64", 8, false },
    [ELEMENT_C128] = { "C128", 16, false },  [ELEMENT_Q8] = { "Q8", 1, false },
    [ELEMENT_Q32] = { "Q32", 4, false },     [ELEMENT_BYTES] = { "BYTES", 1, false },
    [ELEMENT_OTHER] = { "other", 0, false },
};

const char *element_name(enum element element)
{
    return elements[element].name;
}

enum element element_of(const char *name)
{
    int element = 0;
    while (element < ELEMENT_OTHER && strcmp(elements[element].name, name) != 0)
        element++;
    return (enum element)element;
}

size_t element_bytes(enum element element)
{
    return elements[element].bytes;
}

bool element_is_real(enum element element)
{
    return elements[element].real;
}

/* IEEE binary16: 1 sign, 5 exponent, 10 fraction bits. A NaN keeps its payload. */
static float from_half(uint32_t half)
{
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 0x1f)
        return float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0)
        return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* subnormal, or zero */
    return sign != 0 ? -magnitude : magnitude;
}

void rounding_add(struct rounding *sum, const struct rounding *more)
{
    sum->rounded += more->rounded;
    sum->overflowed += more->overflowed;
    sum->largest = more->largest > sum->largest ? more->largest : sum->largest;
}

/* The halfway point to what would be float32's next number; from here on all rounds to infinity. */
#define BEYOND 0x1.ffffffp127

static float from_double(uint64_t bits, struct rounding *rounding)
{
    const double value = double_of_bits(bits);
    if (value != value || value == 1.0 / 0.0 || value == -1.0 / 0.0)
        return (float)value;
    if (value >= BEYOND || value <= -BEYOND) { /* which C does not define */
        rounding->rounded++;
        rounding->overflowed++;
        return value > 0 ? 1.0f / 0.0f : -1.0f / 0.0f;
    }
    float nearest = (float)value;
    if ((double)nearest != value) {
        double change = ((double)nearest - value) / value;
        change = change < 0 ? -change : change;
        rounding->rounded++;
        rounding->largest = change > rounding->largest ? change : rounding->largest;
    }
    return nearest;
}

void element_to_float(enum element element, const uint8_t *in, size_t count, float *out, struct rounding *rounding)
{
    assert(element_is_real(element));
    if (element == ELEMENT_F32) {
        bytes_get_floats(out, in, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (element == ELEMENT_F64) {
            out[i] = from_double(bytes_get_u64(in + 8 * i), rounding);
        } else {
            uint32_t word = in[2 * i] | (uint32_t)in[2 * i + 1] << 8;
            out[i] = element == ELEMENT_F16 ? from_half(word) : float_of_bits(word << 16);
        }
    }
}
