/* exact-2's convolution by tiles: the reference against exact rational arithmetic (check/goldens/winograd.py, written
 * from ARITHMETIC.md alone) in every bit, and against binary64 for its errors, compared with those of the direct
 * convolution. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"
#include "base/hash.h"
#include "check/goldens/winograd.h"
#include "check/support/float64.h"
#include "trainer/cpu/reference.h"
#include "trainer/random.h"

static void *zeros(size_t count, size_t size)
{
    void *values = calloc(count, size);
    assert_non_null(values);
    return values;
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

/* As winograd.py makes them: multiples of 2^-22 between -2 and 2. */
static void fill_numbers(uint32_t seed, size_t count, float *values)
{
    uint32_t state = seed;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (float)((int32_t)(state >> 8) - (1 << 23)) * 0x1p-22f;
    }
}

static void expect_digest(const char *golden, const float *values, size_t count)
{
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    sha256_start(&sha256);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        const uint8_t bytes[4] = { (uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24) };
        sha256_add(&sha256, bytes, sizeof bytes);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
    assert_string_equal(hex, golden);
}

/* Usual numbers, numbers near the smallest, sizes that differ by 2^24, and zeros of both signs; then many usual ones:
 * each rounding shows in some. */
static void expect_transform(void (*transform)(float *v, size_t stride), size_t inputs, size_t outputs,
                             const uint32_t *golden, const char *many)
{
    enum { STRIDE = 3, MANY = 100 };
    float numbers[MANY * 6], results[MANY * 6];
    fill_numbers(1, 3 * inputs, numbers);
    for (size_t row = 0; row < 4; row++) {
        float v[6 * STRIDE] = { 0.0f };
        for (size_t i = 0; i < inputs; i++) {
            v[i * STRIDE] = row == 3 ? (i % 3 == 0 ? -0.0f : 0.0f) : numbers[row * inputs + i];
            if (row == 1)
                v[i * STRIDE] *= 0x1p-140f;
            if (row == 2 && i % 2 == 1)
                v[i * STRIDE] *= 0x1p+24f;
        }
        transform(v, STRIDE);
        for (size_t i = 0; i < outputs; i++) {
            uint32_t bits;
            memcpy(&bits, &v[i * STRIDE], sizeof bits);
            assert_int_equal(bits, golden[row * outputs + i]);
        }
    }
    fill_numbers(7, MANY * inputs, numbers);
    for (size_t row = 0; row < MANY; row++) {
        float v[6];
        memcpy(v, numbers + row * inputs, inputs * sizeof *v);
        transform(v, 1);
        memcpy(results + row * outputs, v, outputs * sizeof *v);
    }
    expect_digest(many, results, MANY * outputs);
}

static void test_transforms(void **state)
{
    (void)state;
    expect_transform(exact_winograd_input, 6, 6, GOLDEN_INPUT[0], GOLDEN_MANY_INPUT);
    expect_transform(exact_winograd_filter, 3, 6, GOLDEN_FILTER[0], GOLDEN_MANY_FILTER);
    expect_transform(exact_winograd_output, 6, 4, GOLDEN_OUTPUT[0], GOLDEN_MANY_OUTPUT);
    expect_transform(exact_winograd_gradient, 4, 6, GOLDEN_GRADIENT[0], GOLDEN_MANY_GRADIENT);
    expect_transform(exact_winograd_taps, 6, 3, GOLDEN_TAPS[0], GOLDEN_MANY_TAPS);
}

/* A batch through one layer, as the scalar backend goes. */
static void run_layer(const struct conv2d *d, uint32_t N, const float *x, const float *w, const float *dy, float *y,
                      float *dx, float *dw)
{
    const size_t image = (size_t)d->C * d->H * d->H, points = (size_t)d->C * d->C * EXACT_WINOGRAD_POINTS;
    const uint32_t images = exact_winograd_group_images(d->H), groups = (N + images - 1) / images;
    float *filters = zeros(points, sizeof *filters), *parts = zeros(groups * points, sizeof *parts),
          *scratch = zeros(REFERENCE_SCRATCH_FLOATS, sizeof *scratch);
    winograd_filters(d, w, false, filters);
    for (uint32_t n = 0; n < N; n++)
        winograd_forward(d, x + n * image, filters, y + n * image, scratch);
    winograd_filters(d, w, true, filters);
    for (uint32_t n = 0; n < N; n++)
        winograd_backward_data(d, dy + n * image, filters, dx + n * image, scratch);
    for (uint32_t g = 0; g < groups; g++)
        winograd_backward_weight(d, g * images, (g + 1) * images < N ? (g + 1) * images : N, x, dy, parts + g * points,
                                 scratch);
    group_tree(parts, groups, points, 0, points, parts);
    for (uint32_t k = 0; k < d->K; k++)
        winograd_taps(d, parts + (size_t)k * d->C * EXACT_WINOGRAD_POINTS, dw + (size_t)k * d->C * 9);
    free(filters);
    free(parts);
    free(scratch);
}

/* Filters 0 and 7 with channels 0, 5 and 15, from two groups. */
static void test_layer_against_rationals(void **state)
{
    enum { C = 16, H = 8, N = 17, IMAGE = C * H * H, SOME = 6 };
    static const uint32_t some[SOME][2] = { { 0, 0 }, { 0, 5 }, { 0, 15 }, { 7, 0 }, { 7, 5 }, { 7, 15 } };
    const struct conv2d d = { .C = C, .K = C, .H = H, .stride = 1 };
    float *x = zeros(N * IMAGE, sizeof *x), *dy = zeros(N * IMAGE, sizeof *dy), *y = zeros(N * IMAGE, sizeof *y),
          *dx = zeros(N * IMAGE, sizeof *dx), w[C * C * 9], dw[C * C * 9], chosen[SOME * 9];
    (void)state;
    fill_numbers(2, C * C * 9, w);
    fill_numbers(3, N * IMAGE, x);
    fill_numbers(4, N * IMAGE, dy);
    run_layer(&d, N, x, w, dy, y, dx, dw);
    for (size_t i = 0; i < SOME; i++)
        memcpy(chosen + i * 9, dw + (size_t)(some[i][0] * C + some[i][1]) * 9, 9 * sizeof *dw);
    expect_digest(GOLDEN_Y, y, IMAGE);
    expect_digest(GOLDEN_DX, dx, IMAGE);
    expect_digest(GOLDEN_DW, chosen, SOME * 9);
    free(x);
    free(dy);
    free(y);
    free(dx);
}

/* Of five groups the tree is no chain. */
static void test_groups_against_rationals(void **state)
{
    enum { C = 16, H = 16, N = 17, IMAGE = C * H * H };
    const struct conv2d d = { .C = C, .K = C, .H = H, .stride = 1 };
    float *x = zeros(N * IMAGE, sizeof *x), *dy = zeros(N * IMAGE, sizeof *dy), *y = zeros(N * IMAGE, sizeof *y),
          *dx = zeros(N * IMAGE, sizeof *dx), w[C * C * 9] = { 0.0f }, dw[C * C * 9];
    (void)state;
    fill_numbers(5, N * IMAGE, x);
    fill_numbers(6, N * IMAGE, dy);
    run_layer(&d, N, x, w, dy, y, dx, dw);
    expect_digest(GOLDEN_DW_16, dw + (size_t)(7 * C + 5) * 9, 9);
    free(x);
    free(dy);
    free(y);
    free(dx);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* RMS error over the exact values' RMS. */
static double rms_error(size_t count, const float *ours, const double *wide)
{
    double error = 0.0, size = 0.0;
    for (size_t i = 0; i < count; i++) {
        error += ((double)ours[i] - wide[i]) * ((double)ours[i] - wide[i]);
        size += wide[i] * wide[i];
    }
    return sqrt(error / size);
}

/* exact-2's errors in 1e-7. Its bits are given, hence these numbers to the last of their digits: another point, or
 * another order of a sum, has another error (check/cli/mutations.sh). */
struct errors {
    double y, dx, dw;
};

/* `ratio`: how many times exact-1's error it may be. */
static void expect_error(const char *what, uint32_t C, double winograd, double direct, double measured, double ratio)
{
    print_message("%2u channels, %s: %.7ge-7, %.2f times exact-1's %.3ge-7\n", C, what, winograd * 1e7,
                  winograd / direct, direct * 1e7);
    if (fabs(winograd * 1e7 - measured) > 1e-6 * measured)
        fail_msg("%u channels, %s: RMS error %.7ge-7, not the %.7ge-7 that was measured", C, what, winograd * 1e7,
                 measured);
    if (winograd > ratio * direct)
        fail_msg("%u channels, %s: %.3g times exact-1's error, more than %.1f", C, what, winograd / direct, ratio);
}

/* Like activations and gradients of a network: x is the ReLU of 0.3 and normal deviates of which half the variance is
 * smooth (means of 3x3), dy is normal, half of it masked, and shifted everywhere as by a batch norm's backward pass. */
static void fill_like_a_network(uint32_t stage, uint32_t N, const struct conv2d *d, float *x, float *dy)
{
    const int H = (int)d->H, W = H + 2;
    double noise[34 * 34];
    for (size_t plane = 0; plane < (size_t)N * d->C; plane++) {
        uint32_t words[4];
        for (int i = 0; i < W * W; i++) {
            random_block(1, RANDOM_WEIGHTS, stage, (uint32_t)(plane * W * W) + (uint32_t)i, words);
            noise[i] = random_normal(words[0]);
        }
        for (int i = 0; i < H * H; i++, x++, dy++) {
            double smooth = 0.0;
            for (int j = 0; j < 9; j++)
                smooth += noise[(i / H + j / 3) * W + i % H + j % 3] / 3.0;
            random_block(2, RANDOM_WEIGHTS, stage, (uint32_t)(plane * H * H) + (uint32_t)i, words);
            *x = exact_relu((float)(0.3 + sqrt(0.5) * (smooth + random_normal(words[0]))));
            *dy =
                (float)(1e-4 * ((words[2] % 2 == 0 ? 0.0 : random_normal(words[1])) + 0.02 * random_normal(words[3])));
        }
    }
}

/* Of 32 images, with He's weights. */
static void expect_errors(uint32_t stage, const struct errors *measured)
{
    enum { N = 32 };
    const uint32_t C = 16u << stage, H = 32u >> stage, rows = exact_group_rows(H), groups = exact_group_count(H, N);
    const struct conv2d d = { .C = C, .K = C, .H = H, .stride = 1 };
    const struct conv64 d64 = { .C = C, .K = C, .H = H, .stride = 1, .taps = 3 };
    const size_t image = (size_t)C * H * H, weights = (size_t)C * C * 9;
    float *x = zeros(N * image, sizeof *x), *dy = zeros(N * image, sizeof *dy), *w = zeros(weights, sizeof *w);
    float *y = zeros(N * image, sizeof *y), *dx = zeros(N * image, sizeof *dx), *dw = zeros(weights, sizeof *dw);
    double *y64 = zeros(N * image, sizeof *y64), *dx64 = zeros(N * image, sizeof *dx64),
           *dw64 = zeros(weights, sizeof *dw64);
    fill_like_a_network(stage, N, &d, x, dy);
    for (size_t i = 0; i < weights; i++) {
        uint32_t words[4];
        random_block(3, RANDOM_WEIGHTS, stage, (uint32_t)i, words);
        w[i] = (float)(sqrt(2.0 / (9.0 * C)) * random_normal(words[0]));
    }
    double *x64 = widened(x, N * image), *dyw = widened(dy, N * image), *w64 = widened(w, weights);
    conv64_forward(&d64, N, x64, w64, y64);
    conv64_backward_data_add(&d64, N, dyw, w64, dx64);
    conv64_backward_weight(&d64, N, x64, dyw, dw64);

    float *scratch = zeros(REFERENCE_SCRATCH_FLOATS, sizeof *scratch), *parts = zeros(groups * weights, sizeof *parts);
    for (uint32_t n = 0; n < N; n++) {
        conv2d_forward(&d, x + n * image, w, y + n * image, scratch);
        conv2d_backward_data(&d, dy + n * image, w, dx + n * image, scratch);
    }
    for (uint32_t g = 0; g < groups; g++)
        conv2d_backward_weight(&d, g * rows, (g + 1) * rows < N * H ? (g + 1) * rows : N * H, x, dy,
                               parts + g * weights, scratch);
    group_tree(parts, groups, weights, 0, weights, dw);
    const struct errors direct = { rms_error(N * image, y, y64), rms_error(N * image, dx, dx64),
                                   rms_error(weights, dw, dw64) };
    run_layer(&d, N, x, w, dy, y, dx, dw);
    expect_error("outputs", C, rms_error(N * image, y, y64), direct.y, measured->y, 3.0);
    expect_error("data gradients", C, rms_error(N * image, dx, dx64), direct.dx, measured->dx, 3.0);
    expect_error("weight gradients", C, rms_error(weights, dw, dw64), direct.dw, measured->dw, 4.0);
    void *all[] = { x, dy, w, y, dx, dw, y64, dx64, dw64, x64, dyw, w64, scratch, parts };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void test_errors_16(void **state)
{
    (void)state;
    expect_errors(0, &(struct errors){ 3.432199, 4.780665, 5.911348 });
}

static void test_errors_32(void **state)
{
    (void)state;
    expect_errors(1, &(struct errors){ 4.464180, 6.019037, 5.950796 });
}

static void test_errors_64(void **state)
{
    (void)state;
    expect_errors(2, &(struct errors){ 5.619392, 8.101968, 5.840314 });
}

/* An argument runs the tests that it names, as cmocka's patterns do. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transforms),
        cmocka_unit_test(test_layer_against_rationals),
        cmocka_unit_test(test_groups_against_rationals),
        cmocka_unit_test(test_errors_16),
        cmocka_unit_test(test_errors_32),
        cmocka_unit_test(test_errors_64),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    (void)float_environment_enter(); /* as the engine does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
