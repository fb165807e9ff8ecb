/* Every operation of the scalar reference against its definition in binary64 (check/support/float64.h), forward and
 * backward, and the adjoint identities of every convolution in both. Bits are the business of check/unit/test_backends;
 * this is about meaning. */
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"
#include "check/support/float64.h"
#include "check/support/tolerance.h"
#include "trainer/cpu/reference.h"
#include "trainer/random.h"

/* ---- tolerances -------------------------------------------------------------------------------------------------- */

enum quantity {
    CONV_FORWARD,
    CONV_DATA,
    CONV_WEIGHT,
    PROJECTION_FORWARD,
    PROJECTION_DATA,
    PROJECTION_WEIGHT,
    OPTION_A,
    NORM_VARIANCE,
    NORM_FORWARD,
    NORM_PARAMETERS,
    NORM_DATA,
    RELU,
    POOL,
    LINEAR_FORWARD,
    LINEAR_BACKWARD,
    LOGITS_NORM_FORWARD,
    LOGITS_NORM_BACKWARD,
    SOFTMAX_LOSS,
    SOFTMAX_GRADIENT,
    ADJOINT_FLOAT64,
    ADJOINT_FLOAT32,
    QUANTITIES
};

/* Largest difference from binary64, relative to the largest value of the array unless said. One rounding of binary32 is
 * at most 6e-8 of a value. */
static struct tolerance TOLERANCES[QUANTITIES] = {
    [CONV_FORWARD] = { "convolution, forward", 4e-6, "9.6e-7: chains of up to 576 roundings", 0.0 },
    [CONV_DATA] = { "convolution, data", 4e-6, "8.9e-7: the same", 0.0 },
    [CONV_WEIGHT] = { "convolution, weights", 4e-6, "7.1e-7: chains of up to 512, then a tree", 0.0 },
    [PROJECTION_FORWARD] = { "projection, forward", 1e-6, "2.4e-7: chains of 16 and 32", 0.0 },
    [PROJECTION_DATA] = { "projection, data", 1e-6, "2.5e-7: chains of 32 and 64", 0.0 },
    [PROJECTION_WEIGHT] = { "projection, weights", 2e-6, "4.4e-7: chains of 512, then a tree", 0.0 },
    [OPTION_A] = { "option A", 0.0, "copies, and adds once to +0", 0.0 },
    [NORM_VARIANCE] = { "batch norm, variance", 1e-6, "2.2e-7, relative to variance + mean^2: one pass", 0.0 },
    [NORM_FORWARD] = { "batch norm, forward", 5e-7, "1.1e-7, over 1 + (mean / deviation)^2: the variance's error",
                       0.0 },
    [NORM_PARAMETERS] = { "batch norm, gamma and beta", 8e-7, "2.0e-7, over the same; sums cancel, too", 0.0 },
    [NORM_DATA] = { "batch norm, data", 5e-7, "1.2e-7, over the same", 0.0 },
    [RELU] = { "ReLU", 0.0, "chooses", 0.0 },
    [POOL] = { "pooling", 3e-7, "6.9e-8: a tree of 6 levels", 0.0 },
    [LINEAR_FORWARD] = { "linear, forward", 2e-6, "4.3e-7: chains of 64", 0.0 },
    [LINEAR_BACKWARD] = { "linear, backward", 4e-7, "9.7e-8: chains of 10, a tree in binary64", 0.0 },
    [LOGITS_NORM_FORWARD] = { "logits' norm, forward", 6e-7, "1.4e-7: scale and shift are rounded, and one fma", 0.0 },
    [LOGITS_NORM_BACKWARD] = { "logits' norm, backward", 1e-6, "2.6e-7: so are B and C, and two images nearly cancel",
                               0.0 },
    [SOFTMAX_LOSS] = { "softmax, loss", 4e-7, "1.1e-7, relative to the larger of loss and largest logit", 0.0 },
    [SOFTMAX_GRADIENT] = { "softmax, gradient", 6e-7, "1.6e-7 of 1/N: ten additions and a quotient", 0.0 },
    [ADJOINT_FLOAT64] = { "adjoint identities, float64", 1e-15, "1.3e-16, relative to the sum of all terms' sizes",
                          0.0 },
    [ADJOINT_FLOAT32] = { "adjoint identities, float32", 4e-8, "9.6e-9: errors of many outputs cancel", 0.0 },
};

static void expect_error(enum quantity quantity, double error)
{
    tolerance_expect(&TOLERANCES[quantity], "an array", error);
}

static void expect_near(enum quantity quantity, size_t count, const float *ours, const double *wide)
{
    expect_error(quantity, relative_error(count, ours, wide));
}

static int print_errors(void **state)
{
    (void)state;
    tolerance_print(TOLERANCES, QUANTITIES);
    return 0;
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

/* `count` normal deviates around `mean`; each seed gives other ones. The caller frees them. */
static float *normals(uint64_t seed, size_t count, float mean)
{
    float *values = malloc(count * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4];
        random_block(seed, RANDOM_WEIGHTS, 0, (uint32_t)i, words);
        values[i] = mean + (float)random_normal(words[0]);
    }
    return values;
}

static void *zeros(size_t count, size_t size)
{
    void *values = calloc(count, size);
    assert_non_null(values);
    return values;
}

/* ---- convolutions ------------------------------------------------------------------------------------------------ */

static const struct conv2d CONVOLUTIONS[] = {
    { .C = 3, .K = 16, .H = 32, .stride = 1 },  { .C = 16, .K = 16, .H = 32, .stride = 1 },
    { .C = 16, .K = 32, .H = 32, .stride = 2 }, { .C = 32, .K = 32, .H = 16, .stride = 1 },
    { .C = 32, .K = 64, .H = 16, .stride = 2 }, { .C = 64, .K = 64, .H = 8, .stride = 1 },
};
enum { CONVOLUTION_COUNT = sizeof CONVOLUTIONS / sizeof *CONVOLUTIONS };

/* A convolution or projection over N images, in both arithmetics: x, w and dy given, the rest computed. */
struct trial {
    struct conv2d d;
    struct conv64 d64;
    uint32_t N;
    size_t input, output, weights; /* floats of an image, of an output, and of the weights */
    float *x, *w, *dy, *y, *dx, *dw;
    double *x64, *w64, *dy64, *y64, *dx64, *dw64;
};

/* Data gradients are added where they join others; `dx` is what they are added to. */
static struct trial trial_make(const struct conv2d *d, uint32_t taps, uint32_t N)
{
    const size_t H = d->H, P = d->H / d->stride;
    struct trial t = { .d = *d,
                       .d64 = { .C = d->C, .K = d->K, .H = d->H, .stride = d->stride, .taps = taps },
                       .N = N,
                       .input = d->C * H * H,
                       .output = d->K * P * P,
                       .weights = (size_t)d->K * d->C * taps * taps };
    t.x = normals(1, N * t.input, 0.25f);
    t.w = normals(2, t.weights, 0.0f);
    t.dy = normals(3, N * t.output, -0.125f);
    t.y = zeros(N * t.output, sizeof *t.y);
    t.dx = zeros(N * t.input, sizeof *t.dx);
    t.dw = zeros(t.weights, sizeof *t.dw);
    t.x64 = widened(t.x, N * t.input);
    t.w64 = widened(t.w, t.weights);
    t.dy64 = widened(t.dy, N * t.output);
    t.y64 = zeros(N * t.output, sizeof *t.y64);
    t.dx64 = zeros(N * t.input, sizeof *t.dx64);
    t.dw64 = zeros(t.weights, sizeof *t.dw64);
    conv64_forward(&t.d64, N, t.x64, t.w64, t.y64);
    conv64_backward_data_add(&t.d64, N, t.dy64, t.w64, t.dx64);
    conv64_backward_weight(&t.d64, N, t.x64, t.dy64, t.dw64);

    const uint32_t rows = exact_group_rows((uint32_t)P), groups = exact_group_count((uint32_t)P, N);
    float *scratch = zeros(REFERENCE_SCRATCH_FLOATS, sizeof *scratch),
          *parts = zeros(groups * t.weights, sizeof *parts);
    for (uint32_t n = 0; n < N; n++) {
        const float *x = t.x + n * t.input, *dy = t.dy + n * t.output;
        if (taps == 1) {
            projection_forward(d, x, t.w, t.y + n * t.output);
            projection_backward_data(d, dy, t.w, t.dx + n * t.input);
        } else {
            conv2d_forward(d, x, t.w, t.y + n * t.output, scratch);
            if (d->C != 3)
                conv2d_backward_data(d, dy, t.w, t.dx + n * t.input, scratch);
        }
    }
    for (uint32_t g = 0; g < groups; g++) {
        const uint32_t begin = g * rows, left = N * (uint32_t)P - begin, end = begin + (left < rows ? left : rows);
        if (taps == 1)
            projection_backward_weight(d, begin, end, t.x, t.dy, parts + g * t.weights);
        else
            conv2d_backward_weight(d, begin, end, t.x, t.dy, parts + g * t.weights, scratch);
    }
    group_tree(parts, groups, t.weights, 0, t.weights, t.dw);
    free(scratch);
    free(parts);
    return t;
}

static void trial_free(struct trial *t)
{
    void *arrays[] = { t->x, t->w, t->dy, t->y, t->dx, t->dw, t->x64, t->w64, t->dy64, t->y64, t->dx64, t->dw64 };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

/* Batches of one image, of groups that are full, and of groups and trees that are not. */
static void test_convolutions(void **state)
{
    static const uint32_t batches[] = { 1, 4, 7 };
    (void)state;
    for (size_t i = 0; i < CONVOLUTION_COUNT; i++) {
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            struct trial t = trial_make(&CONVOLUTIONS[i], 3, batches[b]);
            expect_near(CONV_FORWARD, t.N * t.output, t.y, t.y64);
            if (t.d.C != 3)
                expect_near(CONV_DATA, t.N * t.input, t.dx, t.dx64);
            expect_near(CONV_WEIGHT, t.weights, t.dw, t.dw64);
            trial_free(&t);
        }
    }
}

static void test_projections(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONVOLUTION_COUNT; i++) {
        if (CONVOLUTIONS[i].stride == 1)
            continue;
        struct trial t = trial_make(&CONVOLUTIONS[i], 1, 7);
        expect_near(PROJECTION_FORWARD, t.N * t.output, t.y, t.y64);
        expect_near(PROJECTION_DATA, t.N * t.input, t.dx, t.dx64);
        expect_near(PROJECTION_WEIGHT, t.weights, t.dw, t.dw64);
        trial_free(&t);
    }
}

/* Section 2 by the letter: where the chains of a weight gradient end, and the bits that follow from it. */
static void expect_chains(const struct trial *t, uint32_t rows_per_group)
{
    const struct conv2d *d = &t->d;
    const uint32_t P = d->H / d->stride, total = t->N * P;
    for (uint32_t i = 0; i < t->weights; i += 97) {
        const uint32_t k = i / 9 / d->C, c = i / 9 % d->C, r = i / 3 % 3, s = i % 3;
        float sums[64] = { 0.0f };
        uint32_t count = 0;
        for (uint32_t row = 0; row < total; row++) {
            const uint32_t n = row / P, p = row % P;
            if (row % rows_per_group == 0)
                assert_in_range(++count, 1, 64);
            for (uint32_t q = 0; q < P; q++) {
                const uint32_t h = d->stride * p + r - 1, w = d->stride * q + s - 1; /* -1 wraps to what is outside */
                const bool inside = h < d->H && w < d->H;
                const float x = inside ? t->x[n * t->input + ((size_t)c * d->H + h) * d->H + w] : 0.0f;
                sums[count - 1] = fmaf(t->dy[n * t->output + ((size_t)k * P + p) * P + q], x, sums[count - 1]);
            }
        }
        const float expected = exact_tree32(sums, count, 1);
        assert_memory_equal(&expected, &t->dw[i], sizeof expected);
    }
}

static void test_groups(void **state)
{
    static const uint32_t batches[] = { 1, 2, 3, 5, 9 };
    (void)state;
    for (size_t i = 0; i < CONVOLUTION_COUNT; i++) {
        const uint32_t P = CONVOLUTIONS[i].H / CONVOLUTIONS[i].stride;
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            struct trial t = trial_make(&CONVOLUTIONS[i], 3, batches[b]);
            expect_chains(&t, P == 32 ? 16 : 32);
            trial_free(&t);
        }
    }
    /* Half an image; 2 images; 4 images; the last group smaller. */
    assert_int_equal(exact_group_count(32, 3), 6);
    assert_int_equal(exact_group_count(16, 3), 2);
    assert_int_equal(exact_group_count(8, 3), 1);
    assert_int_equal(exact_group_count(8, 5), 2);
    assert_int_equal(exact_group_count(8, 0), 0);
}

static double dot(size_t count, const double *a, const double *b, double *scale)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += a[i] * b[i];
        *scale += fabs(a[i] * b[i]);
    }
    return sum;
}

/* <conv(x), dy> = <x, conv'(dy)> = <w, dw>; the three are one sum of the same products. `data`: whether there is a
 * gradient by x. The error is relative to the sum of the terms' sizes. */
static void expect_adjoint(enum quantity quantity, const struct trial *t, const double *y, const double *dx,
                           const double *dw, bool data)
{
    double scale = 0.0, unused = 0.0;
    const double forward = dot(t->N * t->output, y, t->dy64, &scale), by_weight = dot(t->weights, t->w64, dw, &unused);
    expect_error(quantity, fabs(forward - by_weight) / scale);
    if (data)
        expect_error(quantity, fabs(forward - dot(t->N * t->input, t->x64, dx, &unused)) / scale);
}

static void test_adjoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONVOLUTION_COUNT; i++) {
        for (uint32_t taps = 1; taps <= 3; taps += 2) {
            if (taps == 1 && CONVOLUTIONS[i].stride == 1)
                continue;
            struct trial t = trial_make(&CONVOLUTIONS[i], taps, 3);
            double *y = widened(t.y, t.N * t.output), *dx = widened(t.dx, t.N * t.input),
                   *dw = widened(t.dw, t.weights);
            expect_adjoint(ADJOINT_FLOAT64, &t, t.y64, t.dx64, t.dw64, true);
            expect_adjoint(ADJOINT_FLOAT32, &t, y, dx, dw, t.d.C != 3);
            free(y);
            free(dx);
            free(dw);
            trial_free(&t);
        }
    }
}

/* Both places for the new channels. Forward it copies and backward it adds once to +0: no error at all. */
static void test_option_a(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONVOLUTION_COUNT; i++) {
        const struct conv2d *d = &CONVOLUTIONS[i];
        if (d->stride == 1)
            continue;
        for (uint32_t first = 0; first <= (d->K - d->C) / 2; first += (d->K - d->C) / 2) {
            struct trial t = trial_make(d, 3, 1);
            memset(t.dx, 0, t.input * sizeof *t.dx);
            memset(t.dx64, 0, t.input * sizeof *t.dx64);
            memset(t.y64, 0, t.output * sizeof *t.y64);
            option_a_forward(d, first, t.x, t.y);
            option_a64_forward_add(&t.d64, 1, first, t.x64, t.y64);
            expect_near(OPTION_A, t.output, t.y, t.y64);
            option_a_backward(d, first, t.dy, t.dx);
            option_a64_backward_add(&t.d64, 1, first, t.dy64, t.dx64);
            expect_near(OPTION_A, t.input, t.dx, t.dx64);
            trial_free(&t);
        }
    }
}

/* ---- batch norm, ReLU -------------------------------------------------------------------------------------------- */

/* T64 over the images of sums[n][at]. */
static double images_tree(uint32_t N, uint32_t K, const float *sums, uint32_t at)
{
    double column[8];
    assert_true(N <= sizeof column / sizeof *column);
    for (uint32_t n = 0; n < N; n++)
        column[n] = (double)sums[n * 2 * K + at];
    return exact_tree64(column, N, 1);
}

/* N images of K channels, whose means are `deviations` standard deviations from 0. */
static void batch_norm_trial(uint32_t N, uint32_t K, uint32_t pixels, double epsilon, float deviations)
{
    const size_t image = (size_t)K * pixels, count = N * image;
    float *y = normals(4, count, deviations), *g = normals(5, count, 0.125f), *gamma = normals(6, K, 1.0f),
          *beta = normals(7, K, 0.0f);
    float *u = zeros(count, sizeof *u), *dy = zeros(count, sizeof *dy), *sums = zeros(N * 2 * K, sizeof *sums);
    float *dgamma = zeros(K, sizeof *dgamma), *dbeta = zeros(K, sizeof *dbeta),
          *scratch = zeros(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
    double *y64 = widened(y, count), *g64 = widened(g, count), *u64 = zeros(count, sizeof *u64),
           *dy64 = zeros(count, sizeof *dy64);
    double *dgamma64 = zeros(K, sizeof *dgamma64), *dbeta64 = zeros(K, sizeof *dbeta64);
    struct exact_norm norm[64];
    struct exact_norm_gradient gradient[64];
    for (uint32_t n = 0; n < N; n++)
        batch_norm_sums(K, pixels, y + n * image, sums + n * 2 * K, scratch);
    for (uint32_t k = 0; k < K; k++)
        norm[k] = exact_norm_from_sums(images_tree(N, K, sums, k), images_tree(N, K, sums, K + k), (double)N * pixels,
                                       epsilon, gamma[k], beta[k]);
    for (uint32_t n = 0; n < N; n++) {
        batch_norm_forward(K, pixels, norm, y + n * image, u + n * image);
        batch_norm_backward_sums(K, pixels, norm, g + n * image, y + n * image, sums + n * 2 * K, scratch);
    }
    for (uint32_t k = 0; k < K; k++) {
        gradient[k] = exact_norm_backward(&norm[k], images_tree(N, K, sums, k), images_tree(N, K, sums, K + k),
                                          (double)N * pixels);
        dgamma[k] = gradient[k].dgamma;
        dbeta[k] = gradient[k].dbeta;
        const struct norm64 wide = norm64_statistics(N, K, pixels, k, epsilon, y64);
        norm64_forward(N, K, pixels, k, &wide, (double)gamma[k], (double)beta[k], y64, u64);
        norm64_backward(N, K, pixels, k, &wide, (double)gamma[k], y64, g64, dy64, &dgamma64[k], &dbeta64[k]);
        /* What the page says that one pass costs: about 1e-7 mean^2 / variance of the variance. */
        expect_error(NORM_VARIANCE, fabs(norm[k].variance - wide.variance) / (wide.variance + wide.mean * wide.mean));
    }
    for (uint32_t n = 0; n < N; n++)
        batch_norm_backward(K, pixels, norm, gradient, g + n * image, y + n * image, dy + n * image);
    const double loss = 1.0 + (double)(deviations * deviations);
    expect_error(NORM_FORWARD, relative_error(count, u, u64) / loss);
    expect_error(NORM_PARAMETERS, relative_error(K, dgamma, dgamma64) / loss);
    expect_error(NORM_PARAMETERS, relative_error(K, dbeta, dbeta64) / loss);
    expect_error(NORM_DATA, relative_error(count, dy, dy64) / loss);
    void *arrays[] = { y, g, gamma, beta, u, dy, sums, dgamma, dbeta, scratch, y64, g64, u64, dy64, dgamma64, dbeta64 };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

static void test_batch_norm(void **state)
{
    (void)state;
    for (uint32_t N = 1; N <= 8; N += N < 4 ? 2 : 4) {
        batch_norm_trial(N, 16, 1024, 1e-3, 0.0f);
        batch_norm_trial(N, 32, 256, 1e-5, 0.5f);
        batch_norm_trial(N, 64, 64, 1e-5, -3.0f);
        batch_norm_trial(N, 64, 64, 1e-3, 10.0f);
    }
}

static void test_relu(void **state)
{
    enum { COUNT = 4096 };
    float *u = normals(8, COUNT, 0.0f), *d = normals(9, COUNT, 0.0f), *g = zeros(COUNT, sizeof *g);
    double *a64 = widened(u, COUNT), *g64 = widened(d, COUNT);
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        g64[i] = a64[i] > 0.0 ? g64[i] : 0.0;
        a64[i] = fmax(a64[i], 0.0);
    }
    relu_forward(COUNT, u);
    relu_backward(COUNT, u, d, g);
    expect_near(RELU, COUNT, u, a64);
    expect_near(RELU, COUNT, g, g64);
    free(u);
    free(d);
    free(g);
    free(a64);
    free(g64);
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

enum { FEATURES = HEAD64_FEATURES, CLASSES = HEAD64_CLASSES, IMAGES_MAX = 7 };

static void test_pooling(void **state)
{
    enum { PIXELS = FEATURES * HEAD64_PIXELS };
    float *a = normals(10, PIXELS, 0.5f), *dpool = normals(11, FEATURES, 0.0f), *d = zeros(PIXELS, sizeof *d);
    float pool[FEATURES], scratch[REFERENCE_PATCH_FLOATS];
    double *a64 = widened(a, PIXELS), *dpool64 = widened(dpool, FEATURES), *d64 = zeros(PIXELS, sizeof *d64),
           pool64[FEATURES];
    (void)state;
    pool_forward(a, pool, scratch);
    pool64_forward(1, a64, pool64);
    expect_near(POOL, FEATURES, pool, pool64);
    pool_backward(dpool, d);
    pool64_backward(1, dpool64, d64);
    expect_near(POOL, PIXELS, d, d64);
    void *arrays[] = { a, dpool, d, a64, dpool64, d64 };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

static void linear_trial(uint32_t N, bool with_bias)
{
    float *pool = normals(12, N * FEATURES, 0.5f), *w = normals(13, CLASSES * FEATURES, 0.0f),
          *bias = normals(14, CLASSES, 0.0f);
    float *dz = normals(15, N * CLASSES, 0.0f);
    float z[IMAGES_MAX * CLASSES], dw[CLASSES * FEATURES], dbias[CLASSES], dpool[IMAGES_MAX * FEATURES];
    double *pool64 = widened(pool, N * FEATURES), *w64 = widened(w, CLASSES * FEATURES),
           *bias64 = widened(bias, CLASSES);
    double *dz64 = widened(dz, N * CLASSES);
    double z64[IMAGES_MAX * CLASSES], dw64[CLASSES * FEATURES], dbias64[CLASSES], dpool64[IMAGES_MAX * FEATURES],
        column[IMAGES_MAX];
    for (uint32_t n = 0; n < N; n++)
        linear_forward(pool + n * FEATURES, w, with_bias ? bias : NULL, z + n * CLASSES);
    linear64_forward(N, pool64, w64, with_bias ? bias64 : NULL, z64);
    expect_near(LINEAR_FORWARD, N * CLASSES, z, z64);
    linear_backward(N, pool, w, dz, dw, with_bias ? dbias : NULL, dpool, column);
    linear64_backward(N, pool64, w64, dz64, dw64, with_bias ? dbias64 : NULL, dpool64);
    expect_near(LINEAR_BACKWARD, CLASSES * FEATURES, dw, dw64);
    expect_near(LINEAR_BACKWARD, N * FEATURES, dpool, dpool64);
    if (with_bias)
        expect_near(LINEAR_BACKWARD, CLASSES, dbias, dbias64);
    void *arrays[] = { pool, w, bias, dz, pool64, w64, bias64, dz64 };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

static void test_linear(void **state)
{
    (void)state;
    for (uint32_t N = 1; N <= IMAGES_MAX; N += 3) {
        linear_trial(N, false);
        linear_trial(N, true);
    }
}

/* Not with one image, where every number is 0. */
static void test_logits_norm(void **state)
{
    const double epsilon = 1e-3;
    (void)state;
    for (uint32_t N = 2; N <= IMAGES_MAX; N++) {
        float *z = normals(16, N * CLASSES, 1.0f), *dz = normals(17, N * CLASSES, 0.0f),
              *gamma = normals(18, CLASSES, 1.0f);
        float u[IMAGES_MAX * CLASSES], dgamma[CLASSES], dbeta[CLASSES];
        double *z64 = widened(z, N * CLASSES), *dz64 = widened(dz, N * CLASSES), u64[IMAGES_MAX * CLASSES],
               column[IMAGES_MAX];
        double dgamma64[CLASSES], dbeta64[CLASSES];
        struct exact_norm norm[CLASSES];
        for (uint32_t k = 0; k < CLASSES; k++) {
            double mean, variance;
            logits_norm_statistics(N, k, z, &mean, &variance, column);
            norm[k] = exact_norm_constants(mean, variance, epsilon, gamma[k], 0.25f);
            const struct norm64 wide = norm64_statistics(N, CLASSES, 1, k, epsilon, z64);
            norm64_forward(N, CLASSES, 1, k, &wide, (double)gamma[k], 0.25, z64, u64);
            norm64_backward(N, CLASSES, 1, k, &wide, (double)gamma[k], z64, dz64, dz64, &dgamma64[k], &dbeta64[k]);
        }
        for (uint32_t n = 0; n < N; n++)
            logits_norm_forward(norm, z + n * CLASSES, u + n * CLASSES);
        for (uint32_t k = 0; k < CLASSES; k++) {
            const struct exact_norm_gradient gradient = logits_norm_backward(N, k, &norm[k], z, dz, column);
            dgamma[k] = gradient.dgamma;
            dbeta[k] = gradient.dbeta;
        }
        expect_near(LOGITS_NORM_FORWARD, N * CLASSES, u, u64);
        expect_near(LOGITS_NORM_BACKWARD, CLASSES, dgamma, dgamma64);
        expect_near(LOGITS_NORM_BACKWARD, CLASSES, dbeta, dbeta64);
        expect_near(LOGITS_NORM_BACKWARD, N * CLASSES, dz, dz64);
        void *arrays[] = { z, dz, gamma, z64, dz64 };
        for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
            free(arrays[i]);
    }
}

/* Logits near each other and far apart; two that are equal and largest: the lower class is predicted. */
static void test_softmax(void **state)
{
    static const float scales[] = { 0.01f, 1.0f, 10.0f, 100.0f };
    (void)state;
    for (size_t i = 0; i < 64 * sizeof scales / sizeof *scales; i++) {
        float *u = normals(100 + i, CLASSES, 0.0f), f[CLASSES], du[CLASSES];
        const uint32_t label = (uint32_t)i % CLASSES, N = 1 + (uint32_t)i % IMAGES_MAX;
        for (uint32_t k = 0; k < CLASSES; k++)
            u[k] *= scales[i % 4];
        double *u64 = widened(u, CLASSES), f64[CLASSES], du64[CLASSES];
        uint8_t prediction;
        const float loss = softmax_loss(u, label, f, &prediction);
        const double loss64 = softmax64_loss(u64, label, f64);
        /* Relative to the logits' range: the loss may be as good as 0 while they are not. */
        expect_error(SOFTMAX_LOSS, fabs((double)loss - loss64) / fmax(loss64, fabs(u64[prediction])));
        softmax_backward(N, label, f, du);
        softmax64_backward(N, label, f64, du64);
        for (uint32_t k = 0; k < CLASSES; k++) {
            assert_true(u[k] <= u[prediction]);
            expect_error(SOFTMAX_GRADIENT, fabs((double)du[k] - du64[k]) * N); /* du itself is at most 1 / N */
        }
        free(u);
        free(u64);
    }
    const float tie[CLASSES] = { 0.0f, 1.0f, 2.0f, 2.0f, 1.0f, 2.0f, 0.0f, 0.0f, 0.0f, 0.0f };
    float f[CLASSES];
    uint8_t prediction;
    softmax_loss(tie, 0, f, &prediction);
    assert_int_equal(prediction, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adjoints), cmocka_unit_test(test_convolutions), cmocka_unit_test(test_projections),
        cmocka_unit_test(test_option_a), cmocka_unit_test(test_batch_norm),   cmocka_unit_test(test_relu),
        cmocka_unit_test(test_pooling),  cmocka_unit_test(test_linear),       cmocka_unit_test(test_logits_norm),
        cmocka_unit_test(test_softmax),  cmocka_unit_test(test_groups),
    };
    (void)float_environment_enter(); /* as the engine does */
    return cmocka_run_group_tests(tests, NULL, print_errors);
}
