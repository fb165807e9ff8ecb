/* The graphs of plans.c mean what they should: run by a stand-in of cuDNN on host memory, which interprets their
 * descriptions, they give the scalar reference's numbers to rounding. Needs neither cuDNN nor a device. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/cpu/reference.h"
#include "trainer/cudnn/plans.h"

enum { IMAGES = 2, CHANNELS_MAX = 64, FLOATS = IMAGES * 16 * 32 * 32, WEIGHTS = 64 * 64 * 9 };

/* The reference sums up to 2048 numbers in float32, the stand-in in float64: 2048 roundings of 2^-24 are 1.2e-4 at
 * worst, some 3e-6 as they fall. */
static const double tolerance = 2e-5;
static const float epsilon = 1e-3f;

static struct cudnn_library library;
static cudnnHandle_t handle;
static struct network *network;
static struct cudnn_plans step, evaluation;

static int open_all(void **state)
{
    (void)state;
    const struct model_config model = { .depth = 8, .shortcut = SHORTCUT_PROJECTION };
    struct error error;
    setenv("SELFSAME_CUDNN_LIBRARY", CUDNN_FAKE, 1);
    setenv("SELFSAME_CUBLAS_LIBRARY", CUDNN_FAKE, 1);
    if (cudnn_library_open(&library, &error) != STATUS_OK || network_open(&network, &model, &error) != STATUS_OK ||
        cudnn_check(&library, library.cudnnCreate(&handle), "cudnnCreate", &error) != STATUS_OK) {
        print_error("%s\n", error.message);
        return -1;
    }
    const struct cudnn_planner planner = { .library = &library, .handle = handle };
    if (cudnn_plans_open(&step, &planner, network, CUDNN_PRECISION_FP32, IMAGES, true, &error) != STATUS_OK ||
        cudnn_plans_open(&evaluation, &planner, network, CUDNN_PRECISION_FP32, IMAGES, false, &error) != STATUS_OK) {
        print_error("%s\n", error.message);
        return -1;
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    cudnn_plans_close(&step);
    cudnn_plans_close(&evaluation);
    network_close(network);
    library.cudnnDestroy(handle);
    cudnn_library_close(&library);
    return 0;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static void draw(float *values, size_t count, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
}

/* (N,C,H,W) to (N,H,W,padded) and back; weights are images of K. */
static void to_channels_last(const float *x, uint32_t N, uint32_t C, uint32_t padded, uint32_t pixels, float *y)
{
    memset(y, 0, (size_t)N * padded * pixels * sizeof *y);
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t c = 0; c < C; c++)
            for (uint32_t i = 0; i < pixels; i++)
                y[((size_t)n * pixels + i) * padded + c] = x[((size_t)n * C + c) * pixels + i];
}

static void same(const char *what, const float *expected, const float *last, uint32_t N, uint32_t C, uint32_t padded,
                 uint32_t pixels)
{
    double largest = 0.0, error = 0.0;
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t c = 0; c < C; c++)
            for (uint32_t i = 0; i < pixels; i++) {
                const double a = (double)expected[((size_t)n * C + c) * pixels + i];
                largest = fmax(largest, fabs(a));
                error = fmax(error, fabs(a - (double)last[((size_t)n * pixels + i) * padded + c]));
            }
    if (!(error <= tolerance * largest) || largest == 0.0)
        fail_msg("%s: error %g of %g", what, error, largest);
}

static void run(const struct cudnn_plan *plan, const struct plan_argument *arguments, size_t count)
{
    struct error error;
    assert_non_null(plan->plan);
    if (plan_run(&library, handle, plan, arguments, count, NULL, &error) != STATUS_OK)
        fail_msg("%s", error.message);
}

#define RUN(plan, ...)                                              \
    do {                                                            \
        const struct plan_argument arguments[] = { __VA_ARGS__ };   \
        run(plan, arguments, sizeof arguments / sizeof *arguments); \
    } while (0)

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static float x[FLOATS], w[WEIGHTS], dy[FLOATS], before[FLOATS], expected[FLOATS], scratch[REFERENCE_SCRATCH_FLOATS];
static float x_last[2 * FLOATS], w_last[WEIGHTS], y_last[FLOATS], dw[WEIGHTS];
static uint8_t mask[FLOATS];

static void convolutions(void **state)
{
    (void)state;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *layer = &network->convs[l];
        const struct conv2d d = { layer->channels, layer->filters, layer->side, layer->stride };
        const uint32_t P = d.H / d.stride, padded = d.C == 3 ? cudnn_input_channels(CUDNN_PRECISION_FP32) : d.C;
        const size_t in = (size_t)d.C * d.H * d.H, out = (size_t)d.K * P * P;
        const struct cudnn_plan *plans = step.convolution[cudnn_convolution_of(layer)];
        draw(x, IMAGES * in, l);
        draw(w, (size_t)d.K * d.C * 9, l + 100);
        draw(dy, IMAGES * out, l + 200);
        to_channels_last(x, IMAGES, d.C, padded, d.H * d.H, x_last);
        to_channels_last(w, d.K, d.C, padded, 9, w_last);
        for (uint32_t n = 0; n < IMAGES; n++)
            conv2d_forward(&d, x + n * in, w, expected + n * out, scratch);
        RUN(&plans[CUDNN_FORWARD], { CUDNN_X, x_last }, { CUDNN_W, w_last }, { CUDNN_Y, y_last });
        same("forward", expected, y_last, IMAGES, d.K, d.K, P * P);
        RUN(&evaluation.convolution[cudnn_convolution_of(layer)][CUDNN_FORWARD], { CUDNN_X, x_last },
            { CUDNN_W, w_last }, { CUDNN_Y, y_last });
        same("forward, evaluation", expected, y_last, IMAGES, d.K, d.K, P * P);

        to_channels_last(dy, IMAGES, d.K, d.K, P * P, y_last);
        conv2d_backward_weight(&d, 0, IMAGES * P, x, dy, expected, scratch);
        RUN(&plans[CUDNN_BACKWARD_WEIGHT], { CUDNN_X, x_last }, { CUDNN_W, dw }, { CUDNN_Y, y_last });
        same("backward weights", expected, dw, d.K, d.C, padded, 9);
        if (d.C == 3)
            continue;
        for (uint32_t n = 0; n < IMAGES; n++)
            conv2d_backward_data(&d, dy + n * out, w, expected + n * in, scratch);
        RUN(&plans[CUDNN_BACKWARD_DATA], { CUDNN_X, x_last }, { CUDNN_W, w_last }, { CUDNN_Y, y_last });
        same("backward data", expected, x_last, IMAGES, d.C, d.C, d.H * d.H);
        if (d.stride == 2)
            continue;
        draw(before, IMAGES * in, l + 300);
        to_channels_last(before, IMAGES, d.C, d.C, d.H * d.H, x_last);
        for (size_t i = 0; i < IMAGES * in; i++)
            expected[i] += before[i];
        RUN(&plans[CUDNN_BACKWARD_DATA_ADD], { CUDNN_X, x_last }, { CUDNN_W, w_last }, { CUDNN_Y, y_last });
        same("backward data, added", expected, x_last, IMAGES, d.C, d.C, d.H * d.H);
    }
}

static void projections(void **state)
{
    (void)state;
    uint32_t seen = 0;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        if (network->convs[l].projection < 0)
            continue;
        const uint32_t K = network->convs[l].filters, H = 2 * network->convs[l].side;
        const struct conv2d d = { K / 2, K, H, 2 };
        const struct cudnn_plan *plans = step.convolution[cudnn_projection_of(&network->convs[l])];
        const size_t in = (size_t)d.C * H * H, out = (size_t)K * (H / 2) * (H / 2);
        draw(x, IMAGES * in, l);
        draw(w, (size_t)K * d.C, l + 100);
        to_channels_last(x, IMAGES, d.C, d.C, H * H, x_last);
        for (uint32_t n = 0; n < IMAGES; n++)
            projection_forward(&d, x + n * in, w, expected + n * out);
        RUN(&plans[CUDNN_FORWARD], { CUDNN_X, x_last }, { CUDNN_W, w }, { CUDNN_Y, y_last });
        same("projection", expected, y_last, IMAGES, K, K, H / 2 * (H / 2));
        draw(dy, IMAGES * out, l + 200);
        to_channels_last(dy, IMAGES, K, K, H / 2 * (H / 2), y_last);
        projection_backward_weight(&d, 0, IMAGES * H / 2, x, dy, expected);
        RUN(&plans[CUDNN_BACKWARD_WEIGHT], { CUDNN_X, x_last }, { CUDNN_W, dw }, { CUDNN_Y, y_last });
        same("projection, backward weights", expected, dw, K, d.C, d.C, 1);
        for (uint32_t n = 0; n < IMAGES; n++)
            projection_backward_data(&d, dy + n * out, w, x + n * in);
        RUN(&plans[CUDNN_BACKWARD_DATA_ADD], { CUDNN_X, x_last }, { CUDNN_W, w }, { CUDNN_Y, y_last });
        same("projection, backward data, added", x, x_last, IMAGES, d.C, d.C, H * H);
        seen++;
    }
    assert_int_equal(seen, 2);
}

/* Batch norm's constants over all images, as the reference takes them. */
static void constants(uint32_t K, uint32_t pixels, const float *y, const float *gamma, const float *beta,
                      struct exact_norm *norm)
{
    float sums[IMAGES][2 * CHANNELS_MAX];
    for (uint32_t n = 0; n < IMAGES; n++)
        batch_norm_sums(K, pixels, y + (size_t)n * K * pixels, sums[n], scratch);
    for (uint32_t k = 0; k < K; k++)
        norm[k] = exact_norm_from_sums((double)sums[0][k] + (double)sums[1][k],
                                       (double)sums[0][K + k] + (double)sums[1][K + k], (double)IMAGES * pixels,
                                       (double)epsilon, gamma[k], beta[k]);
}

static void norms(void **state)
{
    (void)state;
    static float gamma[CHANNELS_MAX], beta[CHANNELS_MAX], mean[CHANNELS_MAX], inverse[CHANNELS_MAX];
    static float dgamma[CHANNELS_MAX], dbeta[CHANNELS_MAX], column[CHANNELS_MAX], shortcut[FLOATS], output[FLOATS];
    static float shortcut_last[FLOATS], output_last[FLOATS], g_last[FLOATS], dx_last[FLOATS];
    static float scale[CHANNELS_MAX], shift[CHANNELS_MAX];
    for (uint32_t stage = 0; stage < CUDNN_STAGES; stage++) {
        const uint32_t K = 16u << stage, pixels = (32u >> stage) * (32u >> stage);
        const size_t image = (size_t)K * pixels;
        for (int add = 0; add < 2; add++) {
            struct exact_norm norm[CHANNELS_MAX];
            draw(x, IMAGES * image, stage);
            draw(shortcut, IMAGES * image, stage + 10);
            draw(gamma, K, stage + 20);
            draw(beta, K, stage + 30);
            draw(dy, IMAGES * image, stage + 40);
            constants(K, pixels, x, gamma, beta, norm);
            for (uint32_t n = 0; n < IMAGES; n++)
                batch_norm_forward(K, pixels, norm, x + n * image, output + n * image);
            for (size_t i = 0; add && i < IMAGES * image; i++)
                output[i] += shortcut[i];
            relu_forward(IMAGES * image, output);
            to_channels_last(x, IMAGES, K, K, pixels, x_last);
            to_channels_last(shortcut, IMAGES, K, K, pixels, shortcut_last);
            const struct plan_argument forward[] = { { CUDNN_X, x_last },           { CUDNN_GAMMA, gamma },
                                                     { CUDNN_BETA, beta },          { CUDNN_EPSILON, &epsilon },
                                                     { CUDNN_MEAN, mean },          { CUDNN_INVERSE, inverse },
                                                     { CUDNN_OUTPUT, output_last }, { CUDNN_SHORTCUT, shortcut_last } };
            run(&step.norm[stage][add ? CUDNN_NORM_ADD_RELU : CUDNN_NORM_RELU], forward, add ? 8 : 7);
            same("batch norm", output, output_last, IMAGES, K, K, pixels);
            for (size_t i = 0; i < IMAGES * image; i++)
                mask[i] = output_last[i] > 0.0f;
            for (uint32_t k = 0; k < K; k++)
                column[k] = (float)norm[k].inverse;
            same("inverse deviation", column, inverse, 1, K, K, 1);

            /* Evaluation's form, with the same constants. */
            for (uint32_t k = 0; k < K; k++) {
                scale[k] = norm[k].scale;
                shift[k] = norm[k].shift;
            }
            const struct plan_argument activate[] = { { CUDNN_X, x_last },
                                                      { CUDNN_SCALE, scale },
                                                      { CUDNN_SHIFT, shift },
                                                      { CUDNN_OUTPUT, output_last },
                                                      { CUDNN_SHORTCUT, shortcut_last } };
            run(&evaluation.activate[stage][add ? CUDNN_ACTIVATE_ADD : CUDNN_ACTIVATE], activate, add ? 5 : 4);
            same("scale and shift", output, output_last, IMAGES, K, K, pixels);

            float sums[IMAGES][2 * CHANNELS_MAX];
            struct exact_norm_gradient gradient[CHANNELS_MAX];
            relu_backward(IMAGES * image, output, dy, expected);
            to_channels_last(dy, IMAGES, K, K, pixels, y_last);
            RUN(&step.norm[stage][CUDNN_NORM_BACKWARD], { CUDNN_X, x_last }, { CUDNN_DY, y_last }, { CUDNN_MASK, mask },
                { CUDNN_MEAN, mean }, { CUDNN_INVERSE, inverse }, { CUDNN_GAMMA, gamma }, { CUDNN_G, g_last },
                { CUDNN_DX, dx_last }, { CUDNN_DGAMMA, dgamma }, { CUDNN_DBETA, dbeta });
            same("behind the mask", expected, g_last, IMAGES, K, K, pixels);
            for (uint32_t n = 0; n < IMAGES; n++)
                batch_norm_backward_sums(K, pixels, norm, expected + n * image, x + n * image, sums[n], scratch);
            for (uint32_t k = 0; k < K; k++) {
                gradient[k] =
                    exact_norm_backward(&norm[k], (double)sums[0][k] + (double)sums[1][k],
                                        (double)sums[0][K + k] + (double)sums[1][K + k], (double)IMAGES * pixels);
                column[k] = gradient[k].dgamma;
            }
            same("dgamma", column, dgamma, 1, K, K, 1);
            for (uint32_t k = 0; k < K; k++)
                column[k] = gradient[k].dbeta;
            same("dbeta", column, dbeta, 1, K, K, 1);
            for (uint32_t n = 0; n < IMAGES; n++)
                batch_norm_backward(K, pixels, norm, gradient, expected + n * image, x + n * image, before + n * image);
            same("batch norm backward", before, dx_last, IMAGES, K, K, pixels);
        }
    }
}

static void pooling(void **state)
{
    (void)state;
    static float small[IMAGES * CHANNELS_MAX], pooled[IMAGES * CHANNELS_MAX];
    draw(x, (size_t)IMAGES * 64 * 64, 1);
    to_channels_last(x, IMAGES, 64, 64, 64, x_last);
    for (uint32_t n = 0; n < IMAGES; n++)
        pool_forward(x + (size_t)n * 64 * 64, small + (size_t)n * 64, scratch);
    RUN(&step.pool[CUDNN_POOL], { CUDNN_X, x_last }, { CUDNN_Y, pooled });
    same("pooling", small, pooled, IMAGES, 64, 64, 1);
    for (uint32_t n = 0; n < IMAGES; n++)
        pool_backward(small + (size_t)n * 64, expected + (size_t)n * 64 * 64);
    RUN(&step.pool[CUDNN_POOL_BACKWARD], { CUDNN_X, x_last }, { CUDNN_Y, small });
    same("pooling backward", expected, x_last, IMAGES, 64, 64, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(projections),
        cmocka_unit_test(norms),
        cmocka_unit_test(pooling),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
