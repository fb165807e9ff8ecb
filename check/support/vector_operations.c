#include "check/support/vector_operations.h"

#include "trainer/cpu/fused/vector.h"

static void apply(enum vector_operation operation, const float *a, const float *b, const float *c, float *out)
{
    const vec x = vec_load(a), y = vec_load(b), z = vec_load(c);
    switch (operation) {
    case VECTOR_FMA:
        vec_store(out, vec_fma(x, y, z));
        break;
    case VECTOR_FNMA:
        vec_store(out, vec_fnma(x, y, z));
        break;
    case VECTOR_ADD:
        vec_store(out, vec_add(x, y));
        break;
    case VECTOR_SUB:
        vec_store(out, vec_sub(x, y));
        break;
    case VECTOR_MUL:
        vec_store(out, vec_mul(x, y));
        break;
    case VECTOR_DIV:
        vec_store(out, vec_div(x, y));
        break;
    case VECTOR_RELU:
        vec_store(out, vec_relu(x));
        break;
    case VECTOR_WHERE_POSITIVE:
        vec_store(out, vec_where_positive(x, y));
        break;
    case VECTOR_SET:
        vec_store(out, vec_set(a[0]));
        break;
    default:
        vec_store(out, vec_zero());
    }
}

const struct vector_operations VECTOR_OPERATIONS = { .lanes = LANES, .apply = apply };
