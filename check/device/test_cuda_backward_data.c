/* The convolutions backward to their input on CUDA with all that is fused to them, against the scalar reference, bit
 * for bit: every shape, whole tiles of images and others, every way to add a shortcut's gradient and to mask, the batch
 * norm below, and what is reported of numbers that are not finite. */
#include "check/support/cuda_cases.h"

static const uint32_t batches[] = { 1, 2, 3, 4, 5, 7, 9, 13 };
enum { BATCHES = sizeof batches / sizeof *batches, LARGE_BATCH = 33, CHANNELS_MOST = 64, CULPRIT = 5 };

static const struct cuda_shape shapes[] = {
    { .C = 16, .K = 16, .H = 32, .stride = 1 }, { .C = 16, .K = 32, .H = 32, .stride = 2 },
    { .C = 32, .K = 32, .H = 16, .stride = 1 }, { .C = 32, .K = 64, .H = 16, .stride = 2 },
    { .C = 64, .K = 64, .H = 8, .stride = 1 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void draw_gradient(uint64_t seed, struct exact_norm_gradient *gradient)
{
    float *values = cuda_normals(seed, 2 * (size_t)CHANNELS_MOST, 0.0f);
    memset(gradient, 0, CHANNELS_MOST * sizeof *gradient);
    for (uint32_t k = 0; k < CHANNELS_MOST; k++) {
        gradient[k].slope = values[2 * k];
        gradient[k].constant = values[2 * k + 1];
    }
    free(values);
}

/* As kernels.h says under gpu_piece, from w (K,C,3,3). */
static float *pack_backward(struct cuda_shape s, const float *w)
{
    float *packed = cuda_array((size_t)s.K * s.C * 9, sizeof *packed), *at = packed;
    for (uint32_t base = 0; base < s.K; base += EXACT_CHANNEL_BLOCK)
        for (uint32_t r = 0; r < 3; r++)
            for (uint32_t k = base; k < base + EXACT_CHANNEL_BLOCK; k++)
                for (uint32_t tap = 0; tap < 3; tap++)
                    for (uint32_t c = 0; c < s.C; c++)
                        *at++ = w[((k * s.C + c) * 3 + 2 - r) * 3 + 2 - tap];
    return packed;
}

/* The wide ones are option A's, from twice the channels; the compact one a projection's. */
enum join { JOIN_NOTHING, JOIN_APART, JOIN_IN_PLACE, JOIN_FIRST, JOIN_WIDE, JOIN_COMPACT, JOINS };
enum place { IN_GRADIENT, IN_OUTPUT, IN_BELOW, IN_SHORTCUT, IN_MASK };

struct backward_case {
    struct cuda_shape shape;
    uint32_t count;
    enum join join;
    bool masked;
    uint32_t order;
    uint64_t seed;
    float trouble; /* not 0: put into one of the arrays */
    enum place place;
    bool spoils; /* whether that is to be reported */
};

static struct cuda_shortcut_source backward_shortcut(const struct backward_case *c)
{
    const uint32_t C = c->shape.C;
    switch (c->join) {
    case JOIN_APART:
    case JOIN_IN_PLACE:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SAME, .channels = C };
    case JOIN_FIRST:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED, .channels = 2 * C };
    case JOIN_WIDE:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED, .channels = 2 * C, .first = C / 2 };
    case JOIN_COMPACT:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED, .channels = C };
    default:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_NONE };
    }
}

/* What a batch norm's backward makes of g (N,C,H,H), against the device's. */
static void expect_gradients(const struct backward_case *c, const struct exact_norm *norm, const float *g,
                             const float *below, const struct cuda_gradient_statistics *found)
{
    const uint32_t C = c->shape.C, pixels = c->shape.H * c->shape.H;
    float *sums = cuda_array((size_t)c->count * 2 * C, sizeof *sums), *scratch = cuda_array(pixels, sizeof *scratch);
    struct exact_norm_gradient expected[CHANNELS_MOST];
    float dgamma[CHANNELS_MOST], dbeta[CHANNELS_MOST];
    bool finite = true;
    for (uint32_t n = 0; n < c->count; n++)
        batch_norm_backward_sums(C, pixels, norm, g + (size_t)n * C * pixels, below + (size_t)n * C * pixels,
                                 sums + (size_t)n * 2 * C, scratch);
    for (uint32_t k = 0; k < C; k++) {
        const double G1 = cuda_images_tree(c->count, C, sums, k), G2 = cuda_images_tree(c->count, C, sums, C + k);
        finite = finite && exact_finite(G1) && exact_finite(G2);
        expected[k] = exact_norm_backward(&norm[k], G1, G2, (double)c->count * (double)pixels);
        dgamma[k] = expected[k].dgamma;
        dbeta[k] = expected[k].dbeta;
    }
    assert_true(finite == !c->spoils);
    cuda_expect_report(&found->report, finite);
    if (finite) {
        cuda_expect_equal(expected, found->gradient, C * sizeof *expected);
        cuda_expect_equal(dgamma, found->dgamma, C * sizeof *dgamma);
        cuda_expect_equal(dbeta, found->dbeta, C * sizeof *dbeta);
    }
    cuda_expect_none_arrived(&found->sums);
    free(sums);
    free(scratch);
}

static void backward_case(const struct backward_case *c)
{
    const struct cuda_shape s = c->shape;
    const struct conv2d d = cuda_reference_shape(s);
    const struct cuda_shortcut_source shortcut = backward_shortcut(c);
    const struct conv2d shortcut_shape = { .C = s.C, .K = shortcut.channels, .H = s.H, .stride = 2 };
    const uint32_t P = s.H / s.stride;
    const size_t image = (size_t)s.C * s.H * s.H, output = (size_t)s.K * P * P;
    const size_t in = c->count * image, out = c->count * output, size = (size_t)s.K * s.C * 9;
    const size_t source =
        shortcut.kind == CUDA_SHORTCUT_SUBSAMPLED ? (size_t)shortcut.channels * (s.H / 2) * (s.H / 2) : image;
    const size_t all = c->count * source;
    struct exact_norm norm[CHANNELS_MOST], output_norm[CHANNELS_MOST];
    struct exact_norm_gradient output_gradient[CHANNELS_MOST];
    cuda_draw_norm(c->seed + 1, CHANNELS_MOST, norm);
    cuda_draw_norm(c->seed + 2, CHANNELS_MOST, output_norm);
    draw_gradient(c->seed + 3, output_gradient);
    float *g = cuda_numbers(c->seed, out, 0.0f), *y = cuda_numbers(c->seed + 4, out, 0.5f);
    float *below = cuda_numbers(c->seed + 6, in, 0.0f), *mask = cuda_numbers(c->seed + 8, in, 0.0f);
    float *array = cuda_numbers(c->seed + 10, all, 0.0f), *w = cuda_numbers(2 * c->seed + 12, size, 0.0f);
    float *packed = pack_backward(s, w), *dy = cuda_array(out, sizeof *dy), *dx = cuda_array(in, sizeof *dx);
    float *scratch = cuda_array(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
    const size_t at = in - image / 2 - 2 * s.H - 2; /* an even row and column, as in the shortcut's array */
    float *places[] = { g + out - output / 2 - 1, y + out - output / 2 - 1, below + at, array + all - source / 2,
                        mask + at };
    if (c->trouble != 0.0f)
        *places[c->place] = c->trouble;

    struct cuda_memory memory = { 0 };
    cuda_order(c->order);
    struct cuda_backward_data_arguments a = { .shape = s, .count = c->count };
    a.output.g = cuda_copy(&memory, g, out * sizeof *g);
    a.output.y = cuda_copy(&memory, y, out * sizeof *y);
    a.output.norm = cuda_copy(&memory, output_norm, s.K * sizeof *output_norm);
    a.output.gradient = cuda_copy(&memory, output_gradient, s.K * sizeof *output_gradient);
    a.weights = cuda_copy(&memory, packed, size * sizeof *packed);
    float *device_array = cuda_copy(&memory, array, all * sizeof *array);
    a.shortcut = shortcut;
    a.shortcut.array = shortcut.kind == CUDA_SHORTCUT_NONE ? NULL : device_array;
    a.mask = c->masked ? cuda_copy(&memory, mask, in * sizeof *mask) : NULL;
    a.below = cuda_copy(&memory, below, in * sizeof *below);
    a.g = c->join == JOIN_IN_PLACE ? device_array : cuda_blank(&memory, in * sizeof *dx);
    a.statistics =
        (struct cuda_gradient_statistics){ .sums = cuda_make_sums(&memory, c->count, s.C),
                                           .norm = cuda_copy(&memory, norm, s.C * sizeof *norm),
                                           .gradient = cuda_blank(&memory, s.C * sizeof(struct exact_norm_gradient)),
                                           .dgamma = cuda_blank(&memory, s.C * sizeof(float)),
                                           .dbeta = cuda_blank(&memory, s.C * sizeof(float)),
                                           .report = cuda_make_report(&memory, CULPRIT) };
    cuda_expect(cuda_backward_data(&a, cuda_stream(&memory)));

    for (uint32_t n = 0; n < c->count; n++) {
        const float *z = array + n * source;
        float *gradient = dx + n * image, *let_through = mask + n * image;
        batch_norm_backward(s.K, P * P, output_norm, output_gradient, g + n * output, y + n * output, dy + n * output);
        conv2d_backward_data(&d, dy + n * output, w, gradient, scratch);
        if (shortcut.kind == CUDA_SHORTCUT_SUBSAMPLED)
            option_a_backward(&shortcut_shape, shortcut.first, z, gradient);
        for (size_t i = 0; i < image && shortcut.kind == CUDA_SHORTCUT_SAME; i++)
            gradient[i] = gradient[i] + z[i];
        if (!c->masked)
            batch_norm_forward(s.C, s.H * s.H, norm, below + n * image, let_through);
        relu_backward(image, let_through, gradient, gradient);
    }
    if (!c->spoils)
        cuda_expect_equal(dx, a.g, in * sizeof *dx);
    expect_gradients(c, norm, dx, below, &a.statistics);

    cuda_release(&memory);
    float *arrays[] = { g, y, below, mask, array, w, packed, dy, dx, scratch };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

static void backward_shape(struct cuda_shape s, bool large)
{
    const uint32_t count = BATCHES + (large ? 1 : 0);
    for (uint32_t i = 0; i < count; i++)
        backward_case(&(struct backward_case){ .shape = s,
                                               .count = i < BATCHES ? batches[i] : LARGE_BATCH,
                                               .join = i % JOINS,
                                               .masked = i % 3 == 0,
                                               .order = i % CUDA_ORDERS,
                                               .seed = 100 * s.K + 10 * s.C + i });
    for (uint32_t i = 0; i < 2 * JOINS; i++)
        backward_case(&(struct backward_case){ .shape = s,
                                               .count = s.H == 8 ? 5 : 2,
                                               .join = i / 2,
                                               .masked = i % 2,
                                               .order = (i + i / 4) % CUDA_ORDERS,
                                               .seed = 2000 + i + i / 2 });
}

static void test_backward_16_16(void **state)
{
    (void)state;
    backward_shape(shapes[0], false);
}

static void test_backward_16_32(void **state)
{
    (void)state;
    backward_shape(shapes[1], false);
}

static void test_backward_32_32(void **state)
{
    (void)state;
    backward_shape(shapes[2], false);
}

static void test_backward_32_64(void **state)
{
    (void)state;
    backward_shape(shapes[3], false);
}

static void test_backward_64_64(void **state)
{
    (void)state;
    backward_shape(shapes[4], true);
}

/* What the mask stops is not reported, and a mask that is no number stops. */
static void test_backward_culprits(void **state)
{
    static const float troubles[] = { NAN, INFINITY, -INFINITY };
    static const enum place places[] = { IN_GRADIENT, IN_OUTPUT, IN_BELOW };
    (void)state;
    for (uint32_t i = 0; i < SHAPES; i++) {
        struct backward_case c = { .shape = shapes[i], .count = 3, .seed = 2 };
        for (uint32_t j = 0; j < 9; j++) {
            c.order = j % CUDA_ORDERS;
            c.trouble = troubles[j % 3];
            c.place = places[j / 3];
            c.masked = j % 2;
            c.spoils = true;
            backward_case(&c);
        }
        c.masked = true;
        c.place = IN_MASK;
        c.spoils = false;
        c.trouble = NAN;
        backward_case(&c);
        c.trouble = INFINITY;
        backward_case(&c);
    }
}

/* What there is no kernel for. */
static void test_other_shapes(void **state)
{
    const struct cuda_shape s = { .C = 3, .K = 16, .H = 4, .stride = 1 };
    (void)state;
    assert_int_equal(cuda_backward_data(&(struct cuda_backward_data_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backward_16_16), cmocka_unit_test(test_backward_16_32),
        cmocka_unit_test(test_backward_32_32), cmocka_unit_test(test_backward_32_64),
        cmocka_unit_test(test_backward_64_64), cmocka_unit_test(test_backward_culprits),
        cmocka_unit_test(test_other_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
