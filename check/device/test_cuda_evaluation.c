/* What an evaluation ends with on the device: the constants of the running statistics, predictions and losses, and the
 * mean loss. The scalar reference's bits, for batches of all sizes. */
#include "check/support/cuda_cases.h"

enum { FEATURES = GPU_FEATURES, CLASSES = GPU_CLASSES };

static const uint32_t BATCHES[] = { 1, 2, 3, 5, 7, 8, 33, 128, 129, 300, 1000, 2500 };
enum { BATCH_COUNT = sizeof BATCHES / sizeof *BATCHES };

static void test_running_norms(void **unused)
{
    static const struct gpu_norm_place places[] = { { 0, 16, 32, 48, 16 },
                                                    { 80, 70, 64, 100, 6 },
                                                    { 300, 200, 130, 400, 64 } };
    enum { VALUES = 500, COUNT = sizeof places / sizeof *places };
    float *values = cuda_normals(1, VALUES, 3.0f);
    struct exact_norm *found = cuda_array((size_t)COUNT * FEATURES, sizeof *found);
    struct cuda_memory memory = { .count = 0 };
    (void)unused;
    for (uint32_t i = 0; i < VALUES; i++)
        values[i] = fabsf(values[i]);
    const struct gpu_running_norms_arguments arguments = {
        .values = cuda_copy(&memory, values, VALUES * sizeof *values),
        .places = cuda_copy(&memory, places, sizeof places),
        .count = COUNT,
        .epsilon = 1e-5,
        .norm = cuda_blank(&memory, COUNT * FEATURES * sizeof(struct exact_norm)),
    };
    cuda_expect(gpu_running_norms(&arguments, cuda_stream(&memory)));
    cuda_fetch(found, arguments.norm, COUNT * FEATURES * sizeof *found);
    for (uint32_t i = 0; i < COUNT; i++) {
        for (uint32_t k = 0; k < places[i].channels; k++) {
            const struct exact_norm norm = exact_norm_constants(
                (double)values[places[i].running_mean + k], (double)values[places[i].running_variance + k], 1e-5,
                values[places[i].gamma + k], values[places[i].beta + k]);
            assert_memory_equal(&found[i * FEATURES + k].scale, &norm.scale, sizeof norm.scale);
            assert_memory_equal(&found[i * FEATURES + k].shift, &norm.shift, sizeof norm.shift);
        }
    }
    cuda_release(&memory);
    free(values);
    free(found);
}

/* Images first .. first+N-1 of a data set that is larger. */
static void check_predict(uint32_t first, uint32_t N, bool has_norm)
{
    const uint32_t all = first + N + 3;
    float *z = cuda_normals(1, (size_t)N * CLASSES, 0.0f), *losses = cuda_array(all, sizeof *losses);
    uint8_t *labels = cuda_array(all, 1), *predictions = cuda_array(all, 1);
    struct exact_norm norm[CLASSES];
    cuda_draw_norm(11, CLASSES, norm);
    cuda_sprinkle((size_t)N * CLASSES, z);
    memset(losses, 0xff, all * sizeof *losses);
    memset(predictions, 0xff, all);
    for (uint32_t i = 0; i < all; i++)
        labels[i] = (uint8_t)(i * 3 % CLASSES);
    for (uint32_t n = 0; n < N; n++) {
        float u[CLASSES], f[CLASSES];
        memcpy(u, z + n * CLASSES, sizeof u);
        if (has_norm)
            logits_norm_forward(norm, u, u);
        losses[first + n] = softmax_loss(u, labels[first + n], f, &predictions[first + n]);
    }
    struct cuda_memory memory = { .count = 0 };
    const struct gpu_predict_arguments arguments = {
        .first = first,
        .count = N,
        .z = cuda_copy(&memory, z, (size_t)N * CLASSES * sizeof *z),
        .norm = has_norm ? cuda_copy(&memory, norm, sizeof norm) : NULL,
        .labels = cuda_copy(&memory, labels, all),
        .predictions = cuda_blank(&memory, all),
        .losses = cuda_blank(&memory, all * sizeof *losses),
    };
    cuda_expect(gpu_predict(&arguments, cuda_stream(&memory)));
    cuda_expect_equal(losses, arguments.losses, all * sizeof *losses);
    cuda_expect_equal(predictions, arguments.predictions, all);
    cuda_release(&memory);
    free(z);
    free(losses);
    free(labels);
    free(predictions);
}

static void test_predict(void **unused)
{
    (void)unused;
    for (uint32_t i = 0; i < BATCH_COUNT; i++) {
        cuda_order(i % CUDA_ORDERS);
        check_predict(i * 17, BATCHES[i], i % 2);
    }
}

static void test_mean_loss(void **unused)
{
    static const uint32_t counts[] = { 1, 2, 3, 33, 1000, 1023, 1024, 1025, 2047, 2048, 10000, 50000 };
    (void)unused;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const uint32_t count = counts[i];
        float *losses = cuda_normals(i, count, 1.0f);
        double *column = cuda_array(count, sizeof *column);
        for (uint32_t n = 0; n < count; n++)
            column[n] = (double)losses[n];
        const double expected = exact_tree64(column, count, 1) / (double)count;
        struct cuda_memory memory = { .count = 0 };
        const struct gpu_mean_loss_arguments arguments = { .losses = cuda_copy(&memory, losses, count * sizeof *losses),
                                                           .count = count,
                                                           .loss = cuda_blank(&memory, sizeof(double)) };
        cuda_order((uint32_t)i % CUDA_ORDERS);
        cuda_expect(gpu_mean_loss(&arguments, cuda_stream(&memory)));
        cuda_expect_equal(&expected, arguments.loss, sizeof expected);
        cuda_release(&memory);
        free(losses);
        free(column);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running_norms),
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_mean_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
