/* The weight gradients on CUDA, and all of a projection, against the scalar reference, bit for bit: every shape,
 * batches whose last group is whole and batches whose is not, and numbers that would show another order or a lost
 * sign. */
#include "check/support/cuda_cases.h"

static const uint32_t batches[] = { 1, 2, 3, 4, 5, 7, 9, 13 };
enum { BATCHES = sizeof batches / sizeof *batches, CHANNELS_MOST = 64 };

/* ---- a layer's arrays, on both sides ----------------------------------------------------------------------------- */

/* So small that products and sums with ordinary numbers are subnormal, all along a chain: among larger ones a flushed
 * subnormal leaves no trace. */
static void make_tiny(size_t count, float *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] *= 0x1p-130f;
}

static void draw_norm(uint64_t seed, struct exact_norm *norm, struct exact_norm_gradient *gradient)
{
    float *values = cuda_normals(seed, 4 * (size_t)CHANNELS_MOST, 0.1f);
    memset(norm, 0, CHANNELS_MOST * sizeof *norm);
    memset(gradient, 0, CHANNELS_MOST * sizeof *gradient);
    for (uint32_t k = 0; k < CHANNELS_MOST; k++) {
        norm[k].scale = values[4 * k];
        norm[k].shift = values[4 * k + 1];
        gradient[k].slope = values[4 * k + 2];
        gradient[k].constant = values[4 * k + 3];
    }
    free(values);
}

static void output_rows(struct cuda_shape s, uint32_t count, uint32_t group, uint32_t *begin, uint32_t *end)
{
    const uint32_t P = s.H / s.stride, rows = exact_group_rows(P), left = count * P - group * rows;
    *begin = group * rows;
    *end = *begin + (left < rows ? left : rows);
}

/* ---- 3x3 convolutions -------------------------------------------------------------------------------------------- */

/* parts and their tree, for one batch; with a norm the activation is formed while it is read. */
static void weight_case(struct cuda_shape s, uint32_t count, bool with_norm, bool tiny, uint32_t order)
{
    const struct conv2d d = cuda_reference_shape(s);
    const uint32_t P = s.H / s.stride, groups = exact_group_count(P, count);
    const size_t in = (size_t)count * s.C * s.H * s.H, out = (size_t)count * s.K * P * P, size = (size_t)s.K * s.C * 9;
    const uint64_t seed = 1000 * count + 10 * s.K + order;
    struct exact_norm norm[CHANNELS_MOST], output_norm[CHANNELS_MOST];
    struct exact_norm_gradient unused[CHANNELS_MOST], gradient[CHANNELS_MOST];
    draw_norm(seed + 1, norm, unused);
    draw_norm(seed + 2, output_norm, gradient);
    float *below = cuda_numbers(seed, in, 0.0f), *g = cuda_numbers(seed + 4, out, 0.0f),
          *y = cuda_numbers(seed + 6, out, 0.5f);
    if (tiny)
        make_tiny(in, below);
    float *x = cuda_array(in, sizeof *x), *dy = cuda_array(out, sizeof *dy), *dw = cuda_array(size, sizeof *dw);
    float *parts = cuda_array(groups * size, sizeof *parts),
          *scratch = cuda_array(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);

    struct cuda_memory memory = { 0 };
    struct cuda_backward_weight_arguments a = { .shape = s, .count = count };
    cuda_order(order);
    a.input.y = cuda_copy(&memory, below, in * sizeof *below);
    a.input.norm = with_norm ? cuda_copy(&memory, norm, s.C * sizeof *norm) : NULL;
    a.output.g = cuda_copy(&memory, g, out * sizeof *g);
    a.output.y = cuda_copy(&memory, y, out * sizeof *y);
    a.output.norm = cuda_copy(&memory, output_norm, s.K * sizeof *output_norm);
    a.output.gradient = cuda_copy(&memory, gradient, s.K * sizeof *gradient);
    a.parts = cuda_blank(&memory, groups * size * sizeof *a.parts);
    const struct cuda_tree_arguments tree = {
        .parts = a.parts, .groups = groups, .size = (uint32_t)size, .result = cuda_blank(&memory, size * sizeof *dw)
    };
    cuda_expect(cuda_backward_weight(&a, cuda_stream(&memory)));
    cuda_expect(cuda_tree(&tree, cuda_stream(&memory)));

    memcpy(x, below, in * sizeof *x);
    for (uint32_t n = 0; n < count; n++) {
        const size_t image = (size_t)s.C * s.H * s.H, gradients = (size_t)s.K * P * P;
        if (with_norm)
            batch_norm_forward(s.C, s.H * s.H, norm, below + n * image, x + n * image);
        if (with_norm)
            relu_forward(image, x + n * image);
        batch_norm_backward(s.K, P * P, output_norm, gradient, g + n * gradients, y + n * gradients,
                            dy + n * gradients);
    }
    for (uint32_t group = 0; group < groups; group++) {
        uint32_t begin, end;
        output_rows(s, count, group, &begin, &end);
        conv2d_backward_weight(&d, begin, end, x, dy, parts + group * size, scratch);
    }
    cuda_expect_equal(parts, a.parts, groups * size * sizeof *parts);
    group_tree(parts, groups, size, 0, size, dw);
    cuda_expect_equal(dw, tree.result, size * sizeof *dw);

    cuda_release(&memory);
    float *arrays[] = { below, g, y, x, dy, dw, parts, scratch };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

static void every_batch(struct cuda_shape s)
{
    for (uint32_t i = 0; i < BATCHES; i++)
        weight_case(s, batches[i], s.C != 3 && i % 3 != 1, false, i % CUDA_ORDERS);
    weight_case(s, 2, false, false, CUDA_ORDERS - 1);
    weight_case(s, 4, false, true, 0);
}

static void test_weights_3_16(void **state)
{
    (void)state;
    every_batch((struct cuda_shape){ .C = 3, .K = 16, .H = 32, .stride = 1 });
}

static void test_weights_16_16(void **state)
{
    (void)state;
    every_batch((struct cuda_shape){ .C = 16, .K = 16, .H = 32, .stride = 1 });
}

static void test_weights_16_32(void **state)
{
    (void)state;
    every_batch((struct cuda_shape){ .C = 16, .K = 32, .H = 32, .stride = 2 });
}

static void test_weights_32_32(void **state)
{
    (void)state;
    every_batch((struct cuda_shape){ .C = 32, .K = 32, .H = 16, .stride = 1 });
}

static void test_weights_32_64(void **state)
{
    (void)state;
    every_batch((struct cuda_shape){ .C = 32, .K = 64, .H = 16, .stride = 2 });
}

static void test_weights_64_64(void **state)
{
    (void)state;
    every_batch((struct cuda_shape){ .C = 64, .K = 64, .H = 8, .stride = 1 });
}

/* ---- the tree over the groups ------------------------------------------------------------------------------------ */

static void tree_case(uint32_t groups, uint32_t size, uint32_t order)
{
    const size_t count = (size_t)groups * size;
    float *parts = cuda_numbers(groups + order, count, 0.0f), *result = cuda_array(size, sizeof *result);
    struct cuda_memory memory = { 0 };
    cuda_order(order);
    const struct cuda_tree_arguments a = { .parts = cuda_copy(&memory, parts, count * sizeof *parts),
                                           .groups = groups,
                                           .size = size,
                                           .result = cuda_blank(&memory, size * sizeof *result) };
    cuda_expect(cuda_tree(&a, cuda_stream(&memory)));
    group_tree(parts, groups, size, 0, size, result);
    cuda_expect_equal(result, a.result, size * sizeof *result);
    cuda_release(&memory);
    free(parts);
    free(result);
}

/* 131072 groups are the most: 65536 images. */
static void test_tree(void **state)
{
    static const uint32_t groups[] = { 1,  2,  3,  4,   5,   7,   8,   9,   11,  15,  16,  17,   31,   32,     33,
                                       63, 64, 65, 100, 127, 128, 129, 200, 255, 256, 257, 1000, 4097, 131072, 100001 };
    (void)state;
    for (uint32_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        for (uint32_t order = 0; order < CUDA_ORDERS; order += 3)
            tree_case(groups[i], groups[i] > 4096 ? 3 : 33 + 16 * order, order);
    }
    tree_case(64, 432, 2);
    tree_case(50, 36864, 1);
}

/* ---- projections ------------------------------------------------------------------------------------------------- */

static void projection_case(struct cuda_shape s, uint32_t count, bool tiny, uint32_t order)
{
    const struct conv2d d = cuda_reference_shape(s);
    const uint32_t P = s.H / 2, groups = exact_group_count(P, count);
    const size_t in = (size_t)count * s.C * s.H * s.H, out = (size_t)count * s.K * P * P, size = (size_t)s.K * s.C;
    const size_t compact = in / 4, image = (size_t)s.C * s.H * s.H, gradients = (size_t)s.K * P * P;
    const uint64_t seed = 100 * count + s.K + order;
    float *x = cuda_numbers(seed, in, 0.0f), *w = cuda_numbers(seed + 2, size, 0.0f),
          *g = cuda_numbers(seed + 4, out, 0.0f);
    if (tiny) {
        make_tiny(in, x);
        make_tiny(out, g);
        for (size_t i = 0; i < out; i += 2) /* every other one is ordinary */
            g[i] *= 0x1p126f;
    }
    float *z = cuda_array(out, sizeof *z), *dx = cuda_array(in, sizeof *dx), *even = cuda_array(compact, sizeof *even);
    float *parts = cuda_array(groups * size, sizeof *parts);

    struct cuda_memory memory = { 0 };
    cuda_order(order);
    const float *device_x = cuda_copy(&memory, x, in * sizeof *x), *device_w = cuda_copy(&memory, w, size * sizeof *w),
                *device_g = cuda_copy(&memory, g, out * sizeof *g);
    const struct cuda_projection_arguments forward = {
        .shape = s, .count = count, .x = device_x, .w = device_w, .z = cuda_blank(&memory, out * sizeof *z)
    };
    const struct cuda_projection_data_arguments data = {
        .shape = s, .count = count, .g = device_g, .w = device_w, .dx = cuda_blank(&memory, compact * sizeof *dx)
    };
    const struct cuda_projection_weight_arguments weight = { .shape = s,
                                                             .count = count,
                                                             .x = device_x,
                                                             .g = device_g,
                                                             .parts =
                                                                 cuda_blank(&memory, groups * size * sizeof *parts) };
    cuda_expect(cuda_projection(&forward, cuda_stream(&memory)));
    cuda_expect(cuda_projection_data(&data, cuda_stream(&memory)));
    cuda_expect(cuda_projection_weight(&weight, cuda_stream(&memory)));

    /* The reference adds to dx; -0 + v is v, to the sign of a zero. */
    for (size_t i = 0; i < in; i++)
        dx[i] = -0.0f;
    for (uint32_t n = 0; n < count; n++) {
        projection_forward(&d, x + n * image, w, z + n * gradients);
        projection_backward_data(&d, g + n * gradients, w, dx + n * image);
    }
    for (size_t i = 0; i < compact; i++)
        even[i] = dx[i / (P * P) * s.H * s.H + i / P % P * 2 * s.H + i % P * 2];
    for (uint32_t group = 0; group < groups; group++) {
        uint32_t begin, end;
        output_rows(s, count, group, &begin, &end);
        projection_backward_weight(&d, begin, end, x, g, parts + group * size);
    }
    cuda_expect_equal(z, forward.z, out * sizeof *z);
    cuda_expect_equal(even, data.dx, compact * sizeof *even);
    cuda_expect_equal(parts, weight.parts, groups * size * sizeof *parts);

    cuda_release(&memory);
    float *arrays[] = { x, w, g, z, dx, even, parts };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

static void test_projections(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BATCHES; i++) {
        projection_case((struct cuda_shape){ .C = 16, .K = 32, .H = 32, .stride = 2 }, batches[i], i % 4 == 3,
                        i % CUDA_ORDERS);
        projection_case((struct cuda_shape){ .C = 32, .K = 64, .H = 16, .stride = 2 }, batches[i], i % 4 == 3,
                        i % CUDA_ORDERS);
    }
}

/* ---- what there is no kernel for --------------------------------------------------------------------------------- */

static void test_other_shapes(void **state)
{
    const struct cuda_shape s = { .C = 16, .K = 16, .H = 16, .stride = 2 };
    (void)state;
    assert_int_equal(cuda_backward_weight(&(struct cuda_backward_weight_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
    assert_int_equal(cuda_projection(&(struct cuda_projection_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
    assert_int_equal(cuda_projection_data(&(struct cuda_projection_data_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
    assert_int_equal(cuda_projection_weight(&(struct cuda_projection_weight_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_3_16),  cmocka_unit_test(test_weights_16_16),
        cmocka_unit_test(test_weights_16_32), cmocka_unit_test(test_weights_32_32),
        cmocka_unit_test(test_weights_32_64), cmocka_unit_test(test_weights_64_64),
        cmocka_unit_test(test_tree),          cmocka_unit_test(test_projections),
        cmocka_unit_test(test_other_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
