/* The operations of the fused backend's vector (trainer/cpu/fused/vector.h) behind one function, built for each
 * width. */
#ifndef SELFSAME_VECTOR_OPERATIONS_H
#define SELFSAME_VECTOR_OPERATIONS_H

enum vector_operation {
    VECTOR_FMA,
    VECTOR_FNMA,
    VECTOR_ADD,
    VECTOR_SUB,
    VECTOR_MUL,
    VECTOR_DIV,
    VECTOR_RELU,
    VECTOR_WHERE_POSITIVE,
    VECTOR_SET, /* of a[0] */
    VECTOR_ZERO,
    VECTOR_OPERATION_COUNT
};

struct vector_operations {
    int lanes;
    /* out[i] <- the operation on a[i], b[i] and c[i], as many of them as it takes, for each lane. All are aligned to 64
     * bytes. */
    void (*apply)(enum vector_operation operation, const float *a, const float *b, const float *c, float *out);
};

/* As the product is built, and, on x86-64, of the other two widths with AVX and FMA. */
extern const struct vector_operations vector_operations, vector_operations_4, vector_operations_16;

#endif
