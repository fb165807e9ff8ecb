/* The numbers that tensors in files are made of, and what of them is a float32. */
#ifndef SELFSAME_ELEMENT_H
#define SELFSAME_ELEMENT_H

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
    ELEMENT_U8,
    ELEMENT_BOOL,
    ELEMENT_OTHER
};

/* safetensors' name: "F32". "other" for ELEMENT_OTHER. */
const char *element_name(enum element element);
/* ELEMENT_OTHER for a name that is none of them. */
enum element element_of(const char *name);
/* 0 for ELEMENT_OTHER. */
size_t element_bytes(enum element element);
bool element_is_real(enum element element);

/* Little-endian reals to float32, without rounding: float16 and bfloat16 all have an equal one; of float64, those that
 * do (and NaN).
 * out       [count]; in may be unaligned.
 * returns   how many were taken: less than count where in[that many] is a float64 that no float32 equals. */
size_t element_to_float(enum element element, const uint8_t *in, size_t count, float *out);

#endif
