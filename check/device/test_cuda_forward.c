/* The forward convolutions on CUDA with all that is fused to them, against the scalar reference, bit for bit: every
 * shape, whole tiles of images and others, every way to form an activation and to add a shortcut, the constants of the
 * batch norms, and what is reported of numbers that are not finite. */
#include "check/support/cuda_cases.h"

static const uint32_t batches[] = { 1, 2, 3, 4, 5, 7, 9, 13 };
enum { BATCHES = sizeof batches / sizeof *batches, LARGE_BATCH = 33, CHANNELS_MOST = 64, CULPRIT = 5 };

static const double epsilon = 1e-3, rate = 0.1;

static const struct cuda_shape first_layer = { .C = 3, .K = 16, .H = 32, .stride = 1 };
static const struct cuda_shape shapes[] = {
    { .C = 16, .K = 16, .H = 32, .stride = 1 }, { .C = 16, .K = 32, .H = 32, .stride = 2 },
    { .C = 32, .K = 32, .H = 16, .stride = 1 }, { .C = 32, .K = 64, .H = 16, .stride = 2 },
    { .C = 64, .K = 64, .H = 8, .stride = 1 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* As kernels.h says under gpu_piece, from w (K,C,3,3). */
static float *pack_forward(struct cuda_shape s, const float *w)
{
    const uint32_t block = s.C < EXACT_CHANNEL_BLOCK ? s.C : EXACT_CHANNEL_BLOCK;
    float *packed = cuda_array((size_t)s.K * s.C * 9, sizeof *packed), *at = packed;
    for (uint32_t base = 0; base < s.C; base += block)
        for (uint32_t r = 0; r < 3; r++)
            for (uint32_t c = base; c < base + block; c++)
                for (uint32_t tap = 0; tap < 3; tap++)
                    for (uint32_t k = 0; k < s.K; k++)
                        *at++ = w[((k * s.C + c) * 3 + r) * 3 + tap];
    return packed;
}

enum input { INPUT_PLAIN, INPUT_NORM, INPUT_SAME, INPUT_FIRST, INPUT_MIDDLE, INPUTS }; /* the last two: option A */

struct forward_case {
    struct cuda_shape shape;
    uint32_t count;
    enum input input;
    bool kept, training, unbiased;
    uint32_t order;
    uint64_t seed;
    float trouble; /* not 0: put into y; into the shortcut's array with in_shortcut */
    bool in_shortcut;
    bool spoils; /* whether that is to be reported */
};

static struct cuda_shortcut_source forward_shortcut(const struct forward_case *c)
{
    const uint32_t half = c->shape.C / 2;
    switch (c->input) {
    case INPUT_SAME:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SAME, .channels = c->shape.C };
    case INPUT_FIRST:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED, .channels = half };
    case INPUT_MIDDLE:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED, .channels = half, .first = half / 2 };
    default:
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_NONE };
    }
}

static void reference_activation(const struct forward_case *c, const struct cuda_shortcut_source *shortcut,
                                 const struct exact_norm *norm, const float *y, const float *array, float *x)
{
    const struct conv2d above = { .C = shortcut->channels, .K = c->shape.C, .H = 2 * c->shape.H, .stride = 2 };
    const size_t size = (size_t)c->shape.C * c->shape.H * c->shape.H;
    float *z = cuda_array(size, sizeof *z);
    memcpy(x, y, size * sizeof *x);
    if (c->input != INPUT_PLAIN)
        batch_norm_forward(c->shape.C, c->shape.H * c->shape.H, norm, y, x);
    if (shortcut->kind == CUDA_SHORTCUT_SUBSAMPLED)
        option_a_forward(&above, shortcut->first, array, z);
    for (size_t i = 0; i < size && shortcut->kind != CUDA_SHORTCUT_NONE; i++)
        x[i] = x[i] + (shortcut->kind == CUDA_SHORTCUT_SAME ? array[i] : z[i]);
    if (c->input != INPUT_PLAIN)
        relu_forward(size, x);
    free(z);
}

/* The constants and running statistics from y (N,K,P,P), against the device's. */
static void expect_statistics(const struct forward_case *c, const float *y, const float *gamma, const float *beta,
                              float *running_mean, float *running_variance, const struct gpu_statistics *found)
{
    const uint32_t K = c->shape.K, P = c->shape.H / c->shape.stride;
    const double M = (double)c->count * (double)(P * P);
    float *sums = cuda_array((size_t)c->count * 2 * K, sizeof *sums), *scratch = cuda_array(P * P, sizeof *scratch);
    struct exact_norm norm[CHANNELS_MOST];
    bool finite = true;
    for (uint32_t n = 0; n < c->count; n++)
        batch_norm_sums(K, P * P, y + (size_t)n * K * P * P, sums + (size_t)n * 2 * K, scratch);
    cuda_fetch(norm, found->norm, K * sizeof *norm);
    for (uint32_t k = 0; k < K; k++) {
        const struct exact_norm expected =
            exact_norm_from_sums(cuda_images_tree(c->count, K, sums, k), cuda_images_tree(c->count, K, sums, K + k), M,
                                 epsilon, gamma[k], beta[k]);
        const double spread = c->unbiased ? exact_unbiased(expected.variance, M) : expected.variance;
        running_mean[k] = exact_running(running_mean[k], expected.mean, rate);
        running_variance[k] = exact_running(running_variance[k], spread, rate);
        finite = finite && exact_norm_finite(&expected);
        if (!c->spoils) /* to the end of the last member */
            assert_memory_equal(&norm[k], &expected, offsetof(struct exact_norm, mean32) + sizeof expected.mean32);
    }
    assert_true(finite == !c->spoils);
    cuda_expect_report(&found->report, finite);
    if (!c->spoils) {
        cuda_expect_equal(running_mean, found->running_mean, K * sizeof *running_mean);
        cuda_expect_equal(running_variance, found->running_variance, K * sizeof *running_variance);
    }
    cuda_expect_none_arrived(&found->sums);
    free(sums);
    free(scratch);
}

/* Where no statistics are taken, everything stays as it was made. */
static void expect_untouched(const struct forward_case *c, const float *running_mean, const float *running_variance,
                             const struct gpu_statistics *found)
{
    const size_t K = c->shape.K, sums = (size_t)GPU_UNITS * c->count * 2 * K * sizeof(float);
    unsigned char *blank = cuda_array(sums, 1);
    memset(blank, 0xff, sums);
    cuda_expect_equal(blank, found->sums.sums, sums);
    memset(blank, 0xff, sums);
    assert_true(K * sizeof(struct exact_norm) <= sums);
    cuda_expect_equal(blank, found->norm, K * sizeof(struct exact_norm));
    cuda_expect_equal(running_mean, found->running_mean, K * sizeof *running_mean);
    cuda_expect_equal(running_variance, found->running_variance, K * sizeof *running_variance);
    cuda_expect_report(&found->report, true);
    cuda_expect_none_arrived(&found->sums);
    free(blank);
}

static void forward_case(const struct forward_case *c)
{
    const struct cuda_shape s = c->shape;
    const struct conv2d d = cuda_reference_shape(s);
    const struct cuda_shortcut_source shortcut = forward_shortcut(c);
    const uint32_t P = s.H / s.stride;
    const size_t image = (size_t)s.C * s.H * s.H, output = (size_t)s.K * P * P;
    const size_t in = c->count * image, out = c->count * output, size = (size_t)s.K * s.C * 9;
    const size_t source = shortcut.kind == CUDA_SHORTCUT_SUBSAMPLED ? 2 * image : image, all = c->count * source;
    struct exact_norm norm[CHANNELS_MOST];
    cuda_draw_norm(c->seed + 1, CHANNELS_MOST, norm);
    float *below = cuda_numbers(c->seed, in, 0.0f), *array = cuda_numbers(c->seed + 2, all, 0.0f);
    float *w = cuda_numbers(2 * c->seed + 4, size, 0.0f), *packed = pack_forward(s, w);
    float *gamma = cuda_normals(c->seed + 6, s.K, 1.0f), *beta = cuda_normals(c->seed + 7, s.K, 0.0f);
    float *mean = cuda_normals(c->seed + 8, s.K, 0.0f), *variance = cuda_normals(c->seed + 9, s.K, 3.0f);
    float *x = cuda_array(in, sizeof *x), *y = cuda_array(out, sizeof *y);
    float *scratch = cuda_array(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
    if (c->trouble != 0.0f && c->in_shortcut)
        array[all - source / 2 - 2 * s.H - 2] = c->trouble; /* an even row and column */
    else if (c->trouble != 0.0f)
        below[in - image / 2 - 1] = c->trouble;

    struct cuda_memory memory = { 0 };
    cuda_order(c->order);
    struct cuda_forward_arguments a = { .shape = s, .count = c->count, .training = c->training };
    a.input.y = cuda_copy(&memory, below, in * sizeof *below);
    a.input.norm = c->input == INPUT_PLAIN ? NULL : cuda_copy(&memory, norm, s.C * sizeof *norm);
    a.input.shortcut = shortcut;
    if (shortcut.kind != CUDA_SHORTCUT_NONE)
        a.input.shortcut.array = cuda_copy(&memory, array, all * sizeof *array);
    a.activation = c->kept ? cuda_blank(&memory, in * sizeof *x) : NULL;
    a.weights = cuda_copy(&memory, packed, size * sizeof *packed);
    a.y = cuda_blank(&memory, out * sizeof *y);
    a.statistics = (struct gpu_statistics){ .sums = cuda_make_sums(&memory, c->count, s.K),
                                            .gamma = cuda_copy(&memory, gamma, s.K * sizeof *gamma),
                                            .beta = cuda_copy(&memory, beta, s.K * sizeof *beta),
                                            .running_mean = cuda_copy(&memory, mean, s.K * sizeof *mean),
                                            .running_variance = cuda_copy(&memory, variance, s.K * sizeof *variance),
                                            .norm = cuda_blank(&memory, s.K * sizeof *norm),
                                            .epsilon = epsilon,
                                            .rate = rate,
                                            .unbiased = c->unbiased,
                                            .report = cuda_make_report(&memory, CULPRIT) };
    cuda_expect(cuda_forward(&a, cuda_stream(&memory)));

    for (uint32_t n = 0; n < c->count; n++) {
        reference_activation(c, &shortcut, norm, below + n * image, array + n * source, x + n * image);
        conv2d_forward(&d, x + n * image, w, y + n * output, scratch);
    }
    if (!c->spoils) { /* the bits of a NaN are not specified */
        cuda_expect_equal(y, a.y, out * sizeof *y);
        if (c->kept)
            cuda_expect_equal(x, a.activation, in * sizeof *x);
    }
    if (c->training)
        expect_statistics(c, y, gamma, beta, mean, variance, &a.statistics);
    else
        expect_untouched(c, mean, variance, &a.statistics);

    cuda_release(&memory);
    float *arrays[] = { below, array, w, packed, gamma, beta, mean, variance, x, y, scratch };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

/* The shortcuts that a shape can have below it: option A comes from a larger side. */
static uint32_t inputs_of(struct cuda_shape s)
{
    return s.C == 3 ? INPUT_SAME : s.H == 32 ? INPUT_FIRST : INPUTS;
}

static void forward_shape(struct cuda_shape s, bool large)
{
    const uint32_t count = BATCHES + (large ? 1 : 0);
    const uint32_t inputs = inputs_of(s);
    for (uint32_t i = 0; i < count; i++)
        forward_case(&(struct forward_case){ .shape = s,
                                             .count = i < BATCHES ? batches[i] : LARGE_BATCH,
                                             .input = i % inputs,
                                             .kept = i % 2 == 0,
                                             .training = true,
                                             .unbiased = i / 2 % 2 == 0,
                                             .order = i % CUDA_ORDERS,
                                             .seed = 100 * s.K + 10 * s.C + i });
    for (uint32_t i = 0; i < 4 * inputs; i++)
        forward_case(&(struct forward_case){ .shape = s,
                                             .count = s.H == 8 ? 5 : 2,
                                             .input = i / 4,
                                             .kept = i % 2,
                                             .training = i / 2 % 2,
                                             .order = (i + i / 4) % CUDA_ORDERS,
                                             .seed = 1000 + i + i / 4 });
}

static void test_forward_3_16(void **state)
{
    (void)state;
    forward_shape(first_layer, false);
}

static void test_forward_16_16(void **state)
{
    (void)state;
    forward_shape(shapes[0], false);
}

static void test_forward_16_32(void **state)
{
    (void)state;
    forward_shape(shapes[1], false);
}

static void test_forward_32_32(void **state)
{
    (void)state;
    forward_shape(shapes[2], false);
}

static void test_forward_32_64(void **state)
{
    (void)state;
    forward_shape(shapes[3], false);
}

static void test_forward_64_64(void **state)
{
    (void)state;
    forward_shape(shapes[4], true);
}

/* A NaN ends at the ReLU, which gives +0 for it; numbers whose squares are too large are no better than infinity. */
static void test_forward_culprits(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= SHAPES; i++) {
        struct forward_case c = { .shape = i < SHAPES ? shapes[i] : first_layer, .count = 3, .training = true };
        const float plain[] = { NAN, INFINITY, -INFINITY, 0x1p100f };
        c.spoils = true;
        for (uint32_t j = 0; j < sizeof plain / sizeof *plain; j++) {
            c.order = j % CUDA_ORDERS;
            c.trouble = plain[j];
            forward_case(&c);
        }
        c.training = false;
        forward_case(&c);
        c.training = true;
        c.input = INPUT_NORM;
        c.trouble = NAN;
        c.spoils = false;
        forward_case(&c);
        if (c.shape.C == 3)
            continue;
        c.input = INPUT_SAME;
        c.in_shortcut = true;
        forward_case(&c);
        c.trouble = INFINITY;
        c.spoils = true;
        forward_case(&c);
        c.input = INPUT_MIDDLE;
        if (c.shape.H < 32)
            forward_case(&c);
    }
}

/* What there is no kernel for. */
static void test_other_shapes(void **state)
{
    const struct cuda_shape s = { .C = 3, .K = 16, .H = 4, .stride = 1 };
    (void)state;
    assert_int_equal(cuda_forward(&(struct cuda_forward_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_3_16),     cmocka_unit_test(test_forward_16_16),
        cmocka_unit_test(test_forward_16_32),    cmocka_unit_test(test_forward_32_32),
        cmocka_unit_test(test_forward_32_64),    cmocka_unit_test(test_forward_64_64),
        cmocka_unit_test(test_forward_culprits), cmocka_unit_test(test_other_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
