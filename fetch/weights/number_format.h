/* The numbers that tensors in files are made of, and how they become float32. */
#ifndef SELFSAME_NUMBER_FORMAT_H
#define SELFSAME_NUMBER_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum element {
    ELEMENT_F32,
    ELEMENT_F64,
    ELEMENT_F16,
    ELEMENT_BF16,
    ELEMENT_I64,
    ELEMENT_I32,
    ELEMENT_I16,
    ELEMENT_I8,
    ELEMENT_U64,
    ELEMENT_U32,
    ELEMENT_U16,
    ELEMENT_U8,
    ELEMENT_BOOL,
    ELEMENT_C64,   /* complex: two float32 */
    ELEMENT_C128,  /* two float64 */
    ELEMENT_Q8,    /* quantised, of one byte */
    ELEMENT_Q32,   /* of four */
    ELEMENT_BYTES, /* torch's storages without a type */
    ELEMENT_OTHER
};

/* safetensors' name: "F32". "other" for ELEMENT_OTHER. */
const char *element_name(enum element element);
/* ELEMENT_OTHER for a name that is none of them. */
enum element element_of(const char *name);
/* 0 for ELEMENT_OTHER. */
size_t element_bytes(enum element element);
bool element_is_real(enum element element);

/* What became of numbers as they were made float32. */
struct rounding {
    size_t rounded;    /* how many have no equal float32 */
    size_t overflowed; /* of them, how many lie beyond the largest */
    double largest;    /* relative change of those that do not */
};

/* Little-endian reals to the nearest float32, ties to even: float16 and bfloat16 all have an equal one, and so do NaNs,
 * float64 may not. Beyond float32's largest lies infinity.
 * out       [count]; in may be unaligned.
 * rounding  is added to. */
void element_to_float(enum element element, const uint8_t *in, size_t count, float *out, struct rounding *rounding);
/* Takes `more` into `sum`. */
void rounding_add(struct rounding *sum, const struct rounding *more);

#endif
