/* The head and what surrounds it on the device: the scalar reference's bits, for batches of all sizes, and the culprits
 * of section 1. */
#include "check/support/cuda_cases.h"

enum { FEATURES = GPU_FEATURES, CLASSES = GPU_CLASSES, PIXELS = 64, CULPRIT = 7, LOSS_CULPRIT = 9 };

static const uint32_t BATCHES[] = { 1, 2, 3, 5, 7, 8, 33, 128, 129, 300, 1000, 2500 };
enum { BATCH_COUNT = sizeof BATCHES / sizeof *BATCHES, SMALL_BATCHES = 10 };

static float *copy_of(const float *values, size_t count)
{
    float *copy = cuda_array(count, sizeof *copy);
    memcpy(copy, values, count * sizeof *copy);
    return copy;
}

static float *sprinkled(uint64_t seed, size_t count, float mean)
{
    float *values = cuda_normals(seed, count, mean);
    cuda_sprinkle(count, values);
    return values;
}

static struct exact_norm *make_norms(uint32_t K)
{
    struct exact_norm *norm = cuda_array(K, sizeof *norm);
    cuda_draw_norm(11, K, norm);
    return norm;
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

enum in_place { APART, OVER_Y, OVER_SHORTCUT };

/* kind: of the shortcut; plain: without a norm. */
static void check_activate(uint32_t C, uint32_t side, uint32_t N, bool plain, enum cuda_shortcut kind,
                           uint32_t channels, uint32_t first, enum in_place place)
{
    const size_t image = (size_t)C * side * side, count = N * image, bytes = count * sizeof(float);
    const size_t source = kind == CUDA_SHORTCUT_SUBSAMPLED ? (size_t)channels * 4 * side * side : image;
    const struct conv2d d = { .C = channels, .K = C, .H = 2 * side, .stride = 2 };
    float *y = sprinkled(1, count, 0.0f), *z = sprinkled(2, N * source, 0.0f), *expected = copy_of(y, count);
    float *shortcut = cuda_array(image, sizeof *shortcut);
    struct exact_norm *norm = make_norms(C);
    y[0] = INFINITY;
    y[1] = -INFINITY;
    y[2] = NAN;
    for (uint32_t n = 0; n < N; n++) {
        float *out = expected + n * image;
        const float *add = z + n * source;
        memcpy(out, y + n * image, image * sizeof *out);
        if (plain)
            continue;
        batch_norm_forward(C, side * side, norm, out, out);
        if (kind == CUDA_SHORTCUT_SUBSAMPLED) {
            option_a_forward(&d, first, add, shortcut);
            add = shortcut;
        }
        for (size_t i = 0; i < image && kind != CUDA_SHORTCUT_NONE; i++)
            out[i] = out[i] + add[i];
        relu_forward(image, out);
    }
    struct cuda_memory memory = { .count = 0 };
    float *device_y = cuda_copy(&memory, y, bytes), *device_z = cuda_copy(&memory, z, N * source * sizeof *z);
    const struct cuda_activate_arguments arguments = {
        .shape = { .C = C, .K = C, .H = side, .stride = 1 },
        .count = N,
        .input = { .y = device_y,
                   .norm = plain ? NULL : cuda_copy(&memory, norm, C * sizeof *norm),
                   .shortcut = { .kind = kind, .channels = channels, .first = first, .array = device_z } },
        .activation = place == OVER_Y          ? device_y
                      : place == OVER_SHORTCUT ? device_z
                                               : cuda_blank(&memory, bytes),
    };
    cuda_expect(cuda_activate(&arguments, cuda_stream(&memory)));
    cuda_expect_equal(expected, arguments.activation, bytes);
    cuda_release(&memory);
    free(y);
    free(z);
    free(expected);
    free(shortcut);
    free(norm);
}

static void test_activate(void **unused)
{
    static const uint32_t shapes[][2] = { { 16, 32 }, { 32, 16 }, { 64, 8 } };
    (void)unused;
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t C = shapes[i][0], side = shapes[i][1];
        cuda_order(i);
        for (uint32_t N = 1; N <= 3; N += 2) {
            check_activate(C, side, N, true, CUDA_SHORTCUT_NONE, 0, 0, APART);
            check_activate(C, side, N, false, CUDA_SHORTCUT_NONE, 0, 0, OVER_Y);
            check_activate(C, side, N, false, CUDA_SHORTCUT_SAME, C, 0, APART);
            check_activate(C, side, N, false, CUDA_SHORTCUT_SAME, C, 0, OVER_Y);
            check_activate(C, side, N, false, CUDA_SHORTCUT_SAME, C, 0, OVER_SHORTCUT);
            check_activate(C, side, N, false, CUDA_SHORTCUT_SUBSAMPLED, C / 2, 0, APART);
            check_activate(C, side, N, false, CUDA_SHORTCUT_SUBSAMPLED, C / 2, C / 4, OVER_Y);
        }
    }
}

/* ---- pooling and linear layer ------------------------------------------------------------------------------------ */

static void check_pool(uint32_t N, bool with_bias, bool kept)
{
    const size_t image = FEATURES * PIXELS, count = N * image, bytes = count * sizeof(float);
    float *y = sprinkled(1, count, 0.0f), *z = sprinkled(2, count, 0.0f), *a = copy_of(y, count);
    float *w = sprinkled(3, CLASSES * FEATURES, 0.0f), *bias = cuda_normals(4, CLASSES, 0.0f);
    float *pool = cuda_array((size_t)N * FEATURES, sizeof *pool),
          *logits = cuda_array((size_t)N * CLASSES, sizeof *logits);
    float scratch[PIXELS];
    struct exact_norm *norm = make_norms(FEATURES);
    for (uint32_t n = 0; n < N; n++) {
        float *out = a + n * image;
        batch_norm_forward(FEATURES, PIXELS, norm, out, out);
        for (size_t i = 0; i < image; i++)
            out[i] = out[i] + z[n * image + i];
        relu_forward(image, out);
        pool_forward(out, pool + n * FEATURES, scratch);
        linear_forward(pool + n * FEATURES, w, with_bias ? bias : NULL, logits + n * CLASSES);
    }
    struct cuda_memory memory = { .count = 0 };
    const struct cuda_pool_arguments arguments = {
        .count = N,
        .input = { .y = cuda_copy(&memory, y, bytes),
                   .norm = cuda_copy(&memory, norm, FEATURES * sizeof *norm),
                   .shortcut = { .kind = CUDA_SHORTCUT_SAME,
                                 .channels = FEATURES,
                                 .array = cuda_copy(&memory, z, bytes) } },
        .activation = kept ? cuda_blank(&memory, bytes) : NULL,
        .w = cuda_copy(&memory, w, CLASSES * FEATURES * sizeof *w),
        .bias = with_bias ? cuda_copy(&memory, bias, CLASSES * sizeof *bias) : NULL,
        .pool = cuda_blank(&memory, (size_t)N * FEATURES * sizeof *pool),
        .z = cuda_blank(&memory, (size_t)N * CLASSES * sizeof *logits),
    };
    cuda_expect(cuda_pool(&arguments, cuda_stream(&memory)));
    if (kept)
        cuda_expect_equal(a, arguments.activation, bytes);
    cuda_expect_equal(pool, arguments.pool, (size_t)N * FEATURES * sizeof *pool);
    cuda_expect_equal(logits, arguments.z, (size_t)N * CLASSES * sizeof *logits);
    cuda_release(&memory);
    free(y);
    free(z);
    free(a);
    free(w);
    free(bias);
    free(pool);
    free(logits);
    free(norm);
}

static void test_pool(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < SMALL_BATCHES; i++) {
        cuda_order(i % CUDA_ORDERS);
        check_pool(BATCHES[i], i % 2 == 0, i % 3 != 0);
    }
}

/* ---- from logits to their gradient ------------------------------------------------------------------------------- */

struct head_case {
    uint32_t N;
    bool has_norm, has_bias, unbiased, running;
    float spread;  /* of the logits */
    float trouble; /* 0, or what one logit is */
    uint32_t at;   /* which one */
    uint32_t culprit;
};

/* The head as trainer/cpu/reference.c has it. */
struct head_outcome {
    struct exact_norm norm[CLASSES];
    float running[2][CLASSES], dgamma[CLASSES], dbeta[CLASSES], dbias[CLASSES], loss;
    uint32_t errors;
};

static void head_here(const struct head_case *c, const float *z, const uint8_t *labels, const float *gamma,
                      const float *beta, float *dz, struct head_outcome *out)
{
    const uint32_t N = c->N;
    double *column = cuda_array(N, sizeof *column);
    float *pool = cuda_array((size_t)N * FEATURES, sizeof *pool),
          *dpool = cuda_array((size_t)N * FEATURES, sizeof *dpool);
    float w[CLASSES * FEATURES] = { 0 }, dw[CLASSES * FEATURES];
    for (uint32_t k = 0; k < CLASSES && c->has_norm; k++) {
        double mean, variance;
        logits_norm_statistics(N, k, z, &mean, &variance, column);
        out->norm[k] = exact_norm_constants(mean, variance, 1e-3, gamma[k], beta[k]);
        out->running[0][k] = exact_running(out->running[0][k], mean, 0.1);
        out->running[1][k] =
            exact_running(out->running[1][k], c->unbiased ? exact_unbiased(variance, (double)N) : variance, 0.1);
    }
    for (uint32_t n = 0; n < N; n++) {
        float u[CLASSES];
        uint8_t prediction;
        memcpy(u, z + n * CLASSES, sizeof u);
        if (c->has_norm)
            logits_norm_forward(out->norm, u, u);
        column[n] = (double)softmax_loss(u, labels[n], dz + n * CLASSES, &prediction);
        out->errors += prediction != labels[n];
        softmax_backward(N, labels[n], dz + n * CLASSES, dz + n * CLASSES);
    }
    out->loss = (float)(exact_tree64(column, N, 1) / (double)N);
    for (uint32_t k = 0; k < CLASSES && c->has_norm; k++) {
        const struct exact_norm_gradient gradient = logits_norm_backward(N, k, &out->norm[k], z, dz, column);
        out->dgamma[k] = gradient.dgamma;
        out->dbeta[k] = gradient.dbeta;
    }
    linear_backward(N, pool, w, dz, dw, out->dbias, dpool, column);
    free(column);
    free(pool);
    free(dpool);
}

static void check_head(const struct head_case *c)
{
    const uint32_t N = c->N;
    const size_t count = (size_t)N * CLASSES, bytes = count * sizeof(float), classes = CLASSES * sizeof(float);
    float *z = cuda_normals(5, count, 0.25f), *dz = cuda_array(count, sizeof *dz);
    uint8_t *labels = cuda_array(N, 1);
    float *gamma = cuda_normals(6, CLASSES, 1.0f), *beta = cuda_normals(7, CLASSES, 0.0f);
    struct head_outcome expected = { .errors = 0 }, start;
    for (size_t i = 0; i < count; i++)
        z[i] = z[i] * c->spread;
    for (uint32_t n = 0; n < N; n += 3) /* two classes with one logit; signs of zero */
        z[n * CLASSES + n % CLASSES] = z[n * CLASSES + (n + 3) % CLASSES] = n % 2 ? 30.0f * c->spread : -0.0f;
    for (uint32_t n = 0; n < N; n++)
        labels[n] = (uint8_t)(n * 7 % CLASSES);
    if (c->culprit != GPU_NO_CULPRIT)
        z[c->at] = c->trouble;
    for (uint32_t k = 0; k < CLASSES; k++) {
        expected.running[0][k] = 0.5f + (float)k;
        expected.running[1][k] = 1.5f + (float)k;
    }
    start = expected;

    struct cuda_memory memory = { .count = 0 };
    struct gpu_report report = cuda_make_report(&memory, LOSS_CULPRIT);
    struct gpu_head_arguments arguments = {
        .count = N,
        .z = cuda_copy(&memory, z, bytes),
        .labels = cuda_copy(&memory, labels, N),
        .dz = cuda_blank(&memory, bytes),
        .scratch = cuda_blank(&memory, N * GPU_HEAD_SCRATCH * sizeof(double)),
        .has_norm = c->has_norm,
        .dgamma = cuda_blank(&memory, classes),
        .dbeta = cuda_blank(&memory, classes),
        .dbias = c->has_bias ? cuda_blank(&memory, classes) : NULL,
        .loss = report,
    };
    report.culprit = CULPRIT;
    if (c->has_norm)
        arguments.norm = (struct gpu_statistics){
            .gamma = cuda_copy(&memory, gamma, classes),
            .beta = cuda_copy(&memory, beta, classes),
            .running_mean = c->running ? cuda_copy(&memory, start.running[0], classes) : NULL,
            .running_variance = c->running ? cuda_copy(&memory, start.running[1], classes) : NULL,
            .norm = cuda_blank(&memory, CLASSES * sizeof(struct exact_norm)),
            .epsilon = 1e-3,
            .rate = 0.1,
            .unbiased = c->unbiased,
            .report = report,
        };
    cuda_expect(gpu_head(&arguments, cuda_stream(&memory)));
    head_here(c, z, labels, gamma, beta, dz, &expected);
    const struct gpu_step_result result = cuda_result_of(&report);
    assert_int_equal(result.culprit, c->culprit);
    if (c->culprit == GPU_NO_CULPRIT) {
        assert_memory_equal(&result.loss, &expected.loss, sizeof result.loss);
        assert_int_equal(result.errors, expected.errors);
        cuda_expect_equal(dz, arguments.dz, bytes);
        if (c->has_bias)
            cuda_expect_equal(expected.dbias, arguments.dbias, classes);
        if (c->has_norm) {
            struct exact_norm norm[CLASSES];
            cuda_fetch(norm, arguments.norm.norm, sizeof norm);
            for (uint32_t k = 0; k < CLASSES; k++) {
                assert_memory_equal(&norm[k].mean, &expected.norm[k].mean, sizeof norm[k].mean);
                assert_memory_equal(&norm[k].inverse, &expected.norm[k].inverse, sizeof norm[k].inverse);
                assert_memory_equal(&norm[k].scale, &expected.norm[k].scale, sizeof norm[k].scale);
                assert_memory_equal(&norm[k].shift, &expected.norm[k].shift, sizeof norm[k].shift);
            }
            cuda_expect_equal(expected.dgamma, arguments.dgamma, classes);
            cuda_expect_equal(expected.dbeta, arguments.dbeta, classes);
        }
        if (c->has_norm && c->running) {
            cuda_expect_equal(expected.running[0], arguments.norm.running_mean, classes);
            cuda_expect_equal(expected.running[1], arguments.norm.running_variance, classes);
        }
    }
    cuda_release(&memory);
    free(z);
    free(dz);
    free(labels);
    free(gamma);
    free(beta);
}

static void test_head(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < BATCH_COUNT; i++) {
        cuda_order(i % CUDA_ORDERS);
        struct head_case c = { .N = BATCHES[i], .spread = 1.0f, .culprit = GPU_NO_CULPRIT, .running = true };
        check_head(&c);
        c.has_bias = true;
        check_head(&c);
        c.has_norm = c.unbiased = true;
        check_head(&c);
        c.has_bias = c.unbiased = false;
        c.running = i % 2;
        check_head(&c);
    }
}

/* Softmax at the ends of exp, and logits that are subnormal. */
static void test_head_ranges(void **unused)
{
    static const float spreads[] = { 40.0f, 100.0f, 1e4f, 1e-30f, 0x1p-140f };
    (void)unused;
    for (uint32_t i = 0; i < 2 * sizeof spreads / sizeof *spreads; i++)
        check_head(&(struct head_case){
            .N = 37, .has_norm = i % 2, .has_bias = true, .spread = spreads[i / 2], .culprit = GPU_NO_CULPRIT });
}

static void test_head_culprits(void **unused)
{
    static const float troubles[] = { NAN, INFINITY, -INFINITY };
    (void)unused;
    for (uint32_t order = 0; order < CUDA_ORDERS; order++) {
        cuda_order(order);
        for (uint32_t i = 0; i < 3; i++) {
            struct head_case c = { .N = 33, .spread = 1.0f, .trouble = troubles[i], .at = 20, .culprit = LOSS_CULPRIT };
            c.at = 2 * CLASSES + 2 * 7 % CLASSES; /* the label's, so that -infinity is seen as well */
            check_head(&c);
            c.has_norm = true;
            c.culprit = CULPRIT;
            check_head(&c);
        }
    }
}

/* ---- gradients below the logits ---------------------------------------------------------------------------------- */

static void check_backward(uint32_t N, uint32_t trouble)
{
    const size_t image = FEATURES * PIXELS, count = N * image, bytes = count * sizeof(float);
    const size_t features = (size_t)N * FEATURES, classes = (size_t)N * CLASSES;
    float *pool = sprinkled(1, features, 0.5f), *dz = sprinkled(2, classes, 0.0f);
    float *w = sprinkled(3, CLASSES * FEATURES, 0.0f), *a = sprinkled(4, count, 0.0f), *y = sprinkled(5, count, 0.0f);
    float *g = cuda_array(count, sizeof *g), *dpool = cuda_array(features, sizeof *dpool);
    float *sums = cuda_array((size_t)N * 2 * FEATURES, sizeof *sums);
    float dw[CLASSES * FEATURES], scratch[PIXELS], dgamma[FEATURES], dbeta[FEATURES];
    double *column = cuda_array(N, sizeof *column);
    struct exact_norm *norm = make_norms(FEATURES);
    struct exact_norm_gradient gradient[FEATURES];
    if (trouble != GPU_NO_CULPRIT) {
        dz[classes - 1] = 3e38f;
        w[CLASSES * FEATURES - 1] = 3e38f;
        a[count - 1] = 1.0f;
    }
    linear_backward(N, pool, w, dz, dw, NULL, dpool, column);
    for (uint32_t n = 0; n < N; n++) {
        pool_backward(dpool + n * FEATURES, g + n * image);
        relu_backward(image, a + n * image, g + n * image, g + n * image);
        batch_norm_backward_sums(FEATURES, PIXELS, norm, g + n * image, y + n * image, sums + n * 2 * FEATURES,
                                 scratch);
    }
    for (uint32_t k = 0; k < FEATURES; k++) {
        double G[2];
        for (uint32_t which = 0; which < 2; which++) {
            for (uint32_t n = 0; n < N; n++)
                column[n] = (double)sums[(n * 2 + which) * FEATURES + k];
            G[which] = exact_tree64(column, N, 1);
        }
        gradient[k] = exact_norm_backward(&norm[k], G[0], G[1], (double)N * PIXELS);
        dgamma[k] = gradient[k].dgamma;
        dbeta[k] = gradient[k].dbeta;
    }

    struct cuda_memory memory = { .count = 0 };
    const struct cuda_linear_weight_arguments linear = {
        .count = N,
        .pool = cuda_copy(&memory, pool, features * sizeof *pool),
        .dz = cuda_copy(&memory, dz, classes * sizeof *dz),
        .dw = cuda_blank(&memory, sizeof dw),
    };
    const struct cuda_pool_backward_arguments arguments = {
        .count = N,
        .dz = linear.dz,
        .w = cuda_copy(&memory, w, CLASSES * FEATURES * sizeof *w),
        .activation = cuda_copy(&memory, a, bytes),
        .y = cuda_copy(&memory, y, bytes),
        .g = cuda_blank(&memory, bytes),
        .statistics = { .sums = { .sums = cuda_blank(&memory, (size_t)N * 2 * FEATURES * sizeof *sums),
                                  .arrived = cuda_zeros(&memory, GPU_ARRIVALS * sizeof(uint32_t)) },
                        .norm = cuda_copy(&memory, norm, FEATURES * sizeof *norm),
                        .gradient = cuda_blank(&memory, sizeof gradient),
                        .dgamma = cuda_blank(&memory, sizeof dgamma),
                        .dbeta = cuda_blank(&memory, sizeof dbeta),
                        .report = cuda_make_report(&memory, CULPRIT) },
    };
    cuda_expect(cuda_linear_weight(&linear, cuda_stream(&memory)));
    cuda_expect(cuda_pool_backward(&arguments, cuda_stream(&memory)));
    assert_int_equal(cuda_result_of(&arguments.statistics.report).culprit, trouble);
    if (trouble == GPU_NO_CULPRIT) {
        const uint32_t arrived[GPU_ARRIVALS] = { 0 };
        cuda_expect_equal(dw, linear.dw, sizeof dw);
        cuda_expect_equal(g, arguments.g, bytes);
        cuda_expect_equal(gradient, arguments.statistics.gradient, sizeof gradient);
        cuda_expect_equal(dgamma, arguments.statistics.dgamma, sizeof dgamma);
        cuda_expect_equal(dbeta, arguments.statistics.dbeta, sizeof dbeta);
        cuda_expect_equal(arrived, arguments.statistics.sums.arrived, sizeof arrived);
    }
    cuda_release(&memory);
    free(pool);
    free(dz);
    free(w);
    free(a);
    free(y);
    free(g);
    free(dpool);
    free(sums);
    free(column);
    free(norm);
}

static void test_backward(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < SMALL_BATCHES; i++) {
        cuda_order(i % CUDA_ORDERS);
        check_backward(BATCHES[i], GPU_NO_CULPRIT);
    }
    check_backward(5, CULPRIT);
}

/* Every height of the trees over images. */
static void test_linear_weight_of_many(void **unused)
{
    (void)unused;
    for (uint32_t N = 1000; N <= 5000; N += 1333) {
        float *pool = cuda_normals(1, (size_t)N * FEATURES, 0.5f), *dz = cuda_normals(2, (size_t)N * CLASSES, 0.0f);
        float w[CLASSES * FEATURES] = { 0 }, dw[CLASSES * FEATURES],
                          *dpool = cuda_array((size_t)N * FEATURES, sizeof *dpool);
        double *column = cuda_array(N, sizeof *column);
        linear_backward(N, pool, w, dz, dw, NULL, dpool, column);
        struct cuda_memory memory = { .count = 0 };
        const struct cuda_linear_weight_arguments arguments = {
            .count = N,
            .pool = cuda_copy(&memory, pool, (size_t)N * FEATURES * sizeof *pool),
            .dz = cuda_copy(&memory, dz, (size_t)N * CLASSES * sizeof *dz),
            .dw = cuda_blank(&memory, sizeof dw),
        };
        cuda_expect(cuda_linear_weight(&arguments, cuda_stream(&memory)));
        cuda_expect_equal(dw, arguments.dw, sizeof dw);
        cuda_release(&memory);
        free(pool);
        free(dz);
        free(dpool);
        free(column);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activate),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_head_ranges),
        cmocka_unit_test(test_head_culprits),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_linear_weight_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
