#include "check/support/cuda_cases.h"

enum { SLOT = 1 };

void *cuda_array(size_t count, size_t size)
{
    void *array = calloc(count, size);
    assert_non_null(array);
    return array;
}

float *cuda_numbers(uint64_t seed, size_t count, float mean)
{
    float *values = cuda_normals(seed, count, mean);
    cuda_sprinkle(count, values);
    for (size_t i = seed % 101; i < count && seed % 2; i += 211)
        values[i] *= 0x1p30f;
    return values;
}

void cuda_draw_norm(uint64_t seed, uint32_t count, struct exact_norm *norm)
{
    float *values = cuda_normals(seed, 4 * (size_t)count, 0.0f);
    memset(norm, 0, count * sizeof *norm);
    for (uint32_t k = 0; k < count; k++, values += 4)
        norm[k] =
            exact_norm_constants((double)values[0], (double)(values[1] * values[1]), 1e-3, values[2], 0.5f * values[3]);
    free(values - 4 * (size_t)count);
}

struct conv2d cuda_reference_shape(struct cuda_shape shape)
{
    return (struct conv2d){ .C = shape.C, .K = shape.K, .H = shape.H, .stride = shape.stride };
}

double cuda_images_tree(uint32_t count, uint32_t K, const float *sums, uint32_t i)
{
    double *column = cuda_array(count, sizeof *column);
    for (uint32_t n = 0; n < count; n++)
        column[n] = (double)sums[(size_t)n * 2 * K + i];
    const double total = exact_tree64(column, count, 1);
    free(column);
    return total;
}

struct gpu_report cuda_make_report(struct cuda_memory *memory, uint32_t culprit)
{
    struct gpu_step_result results[2];
    const struct gpu_current current = { .next = SLOT + 1, .slot = SLOT };
    memset(results, 0, sizeof results);
    for (int i = 0; i < 2; i++)
        results[i].culprit = GPU_NO_CULPRIT;
    return (struct gpu_report){ .current = cuda_copy(memory, &current, sizeof current),
                                .results = cuda_copy(memory, results, sizeof results),
                                .culprit = culprit };
}

struct gpu_step_result cuda_result_of(const struct gpu_report *report)
{
    struct gpu_step_result results[2];
    cuda_fetch(results, report->results, sizeof results);
    assert_int_equal(results[1 - SLOT].culprit, GPU_NO_CULPRIT);
    return results[SLOT];
}

void cuda_expect_report(const struct gpu_report *report, bool finite)
{
    struct gpu_step_result results[2];
    memset(results, 0, sizeof results);
    results[1 - SLOT].culprit = GPU_NO_CULPRIT;
    results[SLOT].culprit = finite ? GPU_NO_CULPRIT : report->culprit;
    cuda_expect_equal(results, report->results, sizeof results);
}

struct gpu_sums cuda_make_sums(struct cuda_memory *memory, uint32_t count, uint32_t K)
{
    return (struct gpu_sums){ .sums = cuda_blank(memory, (size_t)GPU_UNITS * count * 2 * K * sizeof(float)),
                              .arrived = cuda_zeros(memory, GPU_ARRIVALS * sizeof(uint32_t)) };
}

void cuda_expect_none_arrived(const struct gpu_sums *sums)
{
    static const uint32_t none[GPU_ARRIVALS];
    cuda_expect_equal(none, sums->arrived, sizeof none);
}
