/* The convolutions on CUDA with all that is fused to them, forward and backward to the input, against the scalar
 * reference, bit for bit: every shape, whole tiles of images and others, every way to form an activation and to add a
 * shortcut, the constants of the batch norms, and what is reported of numbers that are not finite. */
#include "check/support/cuda_memory.h"
#include "trainer/cpu/reference.h"
#include "trainer/cuda/kernels.h"

static const uint32_t batches[] = { 1, 2, 3, 4, 5, 7, 9, 13 };
enum { BATCHES = sizeof batches / sizeof *batches, LARGE_BATCH = 33, CHANNELS_MOST = 64, CULPRIT = 5, SLOT = 1 };

static const double epsilon = 1e-3, rate = 0.1;

static const struct cuda_shape first_layer = { .C = 3, .K = 16, .H = 32, .stride = 1 };
/* Those with a backward to their input. */
static const struct cuda_shape shapes[] = {
    { .C = 16, .K = 16, .H = 32, .stride = 1 }, { .C = 16, .K = 32, .H = 32, .stride = 2 },
    { .C = 32, .K = 32, .H = 16, .stride = 1 }, { .C = 32, .K = 64, .H = 16, .stride = 2 },
    { .C = 64, .K = 64, .H = 8, .stride = 1 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* ---- numbers and arrays ------------------------------------------------------------------------------------------ */

static void *reserve(size_t count, size_t size)
{
    void *array = calloc(count, size);
    assert_non_null(array);
    return array;
}

/* Zeros and subnormals among normal deviates; in every other case also a few large ones, which swallow what came before
 * them in a chain. */
static float *numbers(uint64_t seed, size_t count, float mean)
{
    float *values = cuda_normals(seed, count, mean);
    cuda_sprinkle(count, values);
    for (size_t i = seed % 101; i < count && seed % 2; i += 211)
        values[i] *= 0x1p30f;
    return values;
}

/* Constants as a batch norm's forward leaves them; scales of both signs. */
static void draw_norm(uint64_t seed, struct exact_norm *norm)
{
    float *values = cuda_normals(seed, 4 * (size_t)CHANNELS_MOST, 0.0f);
    memset(norm, 0, CHANNELS_MOST * sizeof *norm);
    for (uint32_t k = 0; k < CHANNELS_MOST; k++, values += 4)
        norm[k] = exact_norm_constants((double)values[0], (double)(values[1] * values[1]), epsilon, values[2],
                                       0.5f * values[3]);
    free(values - 4 * (size_t)CHANNELS_MOST);
}

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
static float *pack_forward(struct cuda_shape s, const float *w)
{
    const uint32_t block = s.C < EXACT_CHANNEL_BLOCK ? s.C : EXACT_CHANNEL_BLOCK;
    float *packed = reserve((size_t)s.K * s.C * 9, sizeof *packed), *at = packed;
    for (uint32_t base = 0; base < s.C; base += block)
        for (uint32_t r = 0; r < 3; r++)
            for (uint32_t c = base; c < base + block; c++)
                for (uint32_t tap = 0; tap < 3; tap++)
                    for (uint32_t k = 0; k < s.K; k++)
                        *at++ = w[((k * s.C + c) * 3 + r) * 3 + tap];
    return packed;
}

static float *pack_backward(struct cuda_shape s, const float *w)
{
    float *packed = reserve((size_t)s.K * s.C * 9, sizeof *packed), *at = packed;
    for (uint32_t base = 0; base < s.K; base += EXACT_CHANNEL_BLOCK)
        for (uint32_t r = 0; r < 3; r++)
            for (uint32_t k = base; k < base + EXACT_CHANNEL_BLOCK; k++)
                for (uint32_t tap = 0; tap < 3; tap++)
                    for (uint32_t c = 0; c < s.C; c++)
                        *at++ = w[((k * s.C + c) * 3 + 2 - r) * 3 + 2 - tap];
    return packed;
}

static struct conv2d reference_shape(struct cuda_shape s)
{
    return (struct conv2d){ .C = s.C, .K = s.K, .H = s.H, .stride = s.stride };
}

/* T64 over the images of column i of sums (N,2K). */
static double images_tree(uint32_t count, uint32_t K, const float *sums, uint32_t i)
{
    double *column = reserve(count, sizeof *column);
    for (uint32_t n = 0; n < count; n++)
        column[n] = (double)sums[(size_t)n * 2 * K + i];
    const double total = exact_tree64(column, count, 1);
    free(column);
    return total;
}

/* ---- reports ----------------------------------------------------------------------------------------------------- */

static struct gpu_report make_report(struct cuda_memory *memory)
{
    struct gpu_step_result results[2];
    const struct gpu_current current = { .next = SLOT + 1, .slot = SLOT };
    memset(results, 0, sizeof results);
    for (int i = 0; i < 2; i++)
        results[i].culprit = GPU_NO_CULPRIT;
    return (struct gpu_report){ .current = cuda_copy(memory, &current, sizeof current),
                                .results = cuda_copy(memory, results, sizeof results),
                                .culprit = CULPRIT };
}

/* That the step at hand, and no other, has CULPRIT where something is not finite, and that nothing else was written. */
static void expect_report(const struct gpu_report *report, bool finite)
{
    struct gpu_step_result results[2];
    memset(results, 0, sizeof results);
    results[1 - SLOT].culprit = GPU_NO_CULPRIT;
    results[SLOT].culprit = finite ? GPU_NO_CULPRIT : CULPRIT;
    cuda_expect_equal(results, report->results, sizeof results);
}

static struct gpu_sums make_sums(struct cuda_memory *memory, uint32_t count, uint32_t K)
{
    return (struct gpu_sums){ .sums = cuda_blank(memory, (size_t)GPU_UNITS * count * 2 * K * sizeof(float)),
                              .arrived = cuda_zeros(memory, GPU_ARRIVALS * sizeof(uint32_t)) };
}

static void expect_none_arrived(const struct gpu_sums *sums)
{
    static const uint32_t none[GPU_ARRIVALS];
    cuda_expect_equal(none, sums->arrived, sizeof none);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

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
    float *z = reserve(size, sizeof *z);
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
    float *sums = reserve((size_t)c->count * 2 * K, sizeof *sums), *scratch = reserve(P * P, sizeof *scratch);
    struct exact_norm norm[CHANNELS_MOST];
    bool finite = true;
    for (uint32_t n = 0; n < c->count; n++)
        batch_norm_sums(K, P * P, y + (size_t)n * K * P * P, sums + (size_t)n * 2 * K, scratch);
    cuda_fetch(norm, found->norm, K * sizeof *norm);
    for (uint32_t k = 0; k < K; k++) {
        const struct exact_norm expected = exact_norm_from_sums(
            images_tree(c->count, K, sums, k), images_tree(c->count, K, sums, K + k), M, epsilon, gamma[k], beta[k]);
        const double spread = c->unbiased ? exact_unbiased(expected.variance, M) : expected.variance;
        running_mean[k] = exact_running(running_mean[k], expected.mean, rate);
        running_variance[k] = exact_running(running_variance[k], spread, rate);
        finite = finite && exact_norm_finite(&expected);
        if (!c->spoils) /* to the end of the last member */
            assert_memory_equal(&norm[k], &expected, offsetof(struct exact_norm, mean32) + sizeof expected.mean32);
    }
    assert_true(finite == !c->spoils);
    expect_report(&found->report, finite);
    if (!c->spoils) {
        cuda_expect_equal(running_mean, found->running_mean, K * sizeof *running_mean);
        cuda_expect_equal(running_variance, found->running_variance, K * sizeof *running_variance);
    }
    expect_none_arrived(&found->sums);
    free(sums);
    free(scratch);
}

/* Where no statistics are taken, everything stays as it was made. */
static void expect_untouched(const struct forward_case *c, const float *running_mean, const float *running_variance,
                             const struct gpu_statistics *found)
{
    const size_t K = c->shape.K, sums = (size_t)GPU_UNITS * c->count * 2 * K * sizeof(float);
    unsigned char *blank = reserve(sums, 1);
    memset(blank, 0xff, sums);
    cuda_expect_equal(blank, found->sums.sums, sums);
    memset(blank, 0xff, sums);
    assert_true(K * sizeof(struct exact_norm) <= sums);
    cuda_expect_equal(blank, found->norm, K * sizeof(struct exact_norm));
    cuda_expect_equal(running_mean, found->running_mean, K * sizeof *running_mean);
    cuda_expect_equal(running_variance, found->running_variance, K * sizeof *running_variance);
    expect_report(&found->report, true);
    expect_none_arrived(&found->sums);
    free(blank);
}

static void forward_case(const struct forward_case *c)
{
    const struct cuda_shape s = c->shape;
    const struct conv2d d = reference_shape(s);
    const struct cuda_shortcut_source shortcut = forward_shortcut(c);
    const uint32_t P = s.H / s.stride;
    const size_t image = (size_t)s.C * s.H * s.H, output = (size_t)s.K * P * P;
    const size_t in = c->count * image, out = c->count * output, size = (size_t)s.K * s.C * 9;
    const size_t source = shortcut.kind == CUDA_SHORTCUT_SUBSAMPLED ? 2 * image : image, all = c->count * source;
    struct exact_norm norm[CHANNELS_MOST];
    draw_norm(c->seed + 1, norm);
    float *below = numbers(c->seed, in, 0.0f), *array = numbers(c->seed + 2, all, 0.0f);
    float *w = numbers(2 * c->seed + 4, size, 0.0f), *packed = pack_forward(s, w);
    float *gamma = cuda_normals(c->seed + 6, s.K, 1.0f), *beta = cuda_normals(c->seed + 7, s.K, 0.0f);
    float *mean = cuda_normals(c->seed + 8, s.K, 0.0f), *variance = cuda_normals(c->seed + 9, s.K, 3.0f);
    float *x = reserve(in, sizeof *x), *y = reserve(out, sizeof *y);
    float *scratch = reserve(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
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
    a.statistics = (struct gpu_statistics){ .sums = make_sums(&memory, c->count, s.K),
                                            .gamma = cuda_copy(&memory, gamma, s.K * sizeof *gamma),
                                            .beta = cuda_copy(&memory, beta, s.K * sizeof *beta),
                                            .running_mean = cuda_copy(&memory, mean, s.K * sizeof *mean),
                                            .running_variance = cuda_copy(&memory, variance, s.K * sizeof *variance),
                                            .norm = cuda_blank(&memory, s.K * sizeof *norm),
                                            .epsilon = epsilon,
                                            .rate = rate,
                                            .unbiased = c->unbiased,
                                            .report = make_report(&memory) };
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

/* ---- backward to the input --------------------------------------------------------------------------------------- */

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
    float *sums = reserve((size_t)c->count * 2 * C, sizeof *sums), *scratch = reserve(pixels, sizeof *scratch);
    struct exact_norm_gradient expected[CHANNELS_MOST];
    float dgamma[CHANNELS_MOST], dbeta[CHANNELS_MOST];
    bool finite = true;
    for (uint32_t n = 0; n < c->count; n++)
        batch_norm_backward_sums(C, pixels, norm, g + (size_t)n * C * pixels, below + (size_t)n * C * pixels,
                                 sums + (size_t)n * 2 * C, scratch);
    for (uint32_t k = 0; k < C; k++) {
        const double G1 = images_tree(c->count, C, sums, k), G2 = images_tree(c->count, C, sums, C + k);
        finite = finite && exact_finite(G1) && exact_finite(G2);
        expected[k] = exact_norm_backward(&norm[k], G1, G2, (double)c->count * (double)pixels);
        dgamma[k] = expected[k].dgamma;
        dbeta[k] = expected[k].dbeta;
    }
    assert_true(finite == !c->spoils);
    expect_report(&found->report, finite);
    if (finite) {
        cuda_expect_equal(expected, found->gradient, C * sizeof *expected);
        cuda_expect_equal(dgamma, found->dgamma, C * sizeof *dgamma);
        cuda_expect_equal(dbeta, found->dbeta, C * sizeof *dbeta);
    }
    expect_none_arrived(&found->sums);
    free(sums);
    free(scratch);
}

static void backward_case(const struct backward_case *c)
{
    const struct cuda_shape s = c->shape;
    const struct conv2d d = reference_shape(s);
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
    draw_norm(c->seed + 1, norm);
    draw_norm(c->seed + 2, output_norm);
    draw_gradient(c->seed + 3, output_gradient);
    float *g = numbers(c->seed, out, 0.0f), *y = numbers(c->seed + 4, out, 0.5f);
    float *below = numbers(c->seed + 6, in, 0.0f), *mask = numbers(c->seed + 8, in, 0.0f);
    float *array = numbers(c->seed + 10, all, 0.0f), *w = numbers(2 * c->seed + 12, size, 0.0f);
    float *packed = pack_backward(s, w), *dy = reserve(out, sizeof *dy), *dx = reserve(in, sizeof *dx);
    float *scratch = reserve(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
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
        (struct cuda_gradient_statistics){ .sums = make_sums(&memory, c->count, s.C),
                                           .norm = cuda_copy(&memory, norm, s.C * sizeof *norm),
                                           .gradient = cuda_blank(&memory, s.C * sizeof(struct exact_norm_gradient)),
                                           .dgamma = cuda_blank(&memory, s.C * sizeof(float)),
                                           .dbeta = cuda_blank(&memory, s.C * sizeof(float)),
                                           .report = make_report(&memory) };
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

/* ---- what there is no kernel for --------------------------------------------------------------------------------- */

static void test_other_shapes(void **state)
{
    const struct cuda_shape s = { .C = 3, .K = 16, .H = 4, .stride = 1 };
    (void)state;
    assert_int_equal(cuda_forward(&(struct cuda_forward_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
    assert_int_equal(cuda_backward_data(&(struct cuda_backward_data_arguments){ .shape = s, .count = 1 }, NULL),
                     cudaErrorInvalidValue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_3_16),      cmocka_unit_test(test_forward_16_16),
        cmocka_unit_test(test_forward_16_32),     cmocka_unit_test(test_forward_32_32),
        cmocka_unit_test(test_forward_32_64),     cmocka_unit_test(test_forward_64_64),
        cmocka_unit_test(test_forward_culprits),  cmocka_unit_test(test_backward_16_16),
        cmocka_unit_test(test_backward_16_32),    cmocka_unit_test(test_backward_32_32),
        cmocka_unit_test(test_backward_32_64),    cmocka_unit_test(test_backward_64_64),
        cmocka_unit_test(test_backward_culprits), cmocka_unit_test(test_other_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
