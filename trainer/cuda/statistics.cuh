/* The constants of a convolution's batch norm, from the sums that the blocks of a grid have left: ARITHMETIC.md section
 * 4. The last block of the channels at hand takes T64 over the images. */
#ifndef SELFSAME_CUDA_STATISTICS_CUH
#define SELFSAME_CUDA_STATISTICS_CUH

#include "trainer/cuda/kernels.h"
#include "trainer/gpu/kernel.cuh"

/* Where a block's channels lie, and how the sums of an image are spread. */
struct sums_shape {
    uint32_t K, first; /* channels first .. first + KB - 1 of K */
    uint32_t count;    /* images */
    uint32_t units;    /* of an image: 1, 2, 4 */
    double M;          /* numbers in each sum */
};

/* One image's sum of one column, from its units. */
DEVICE float image_sum(const float *sums, uint32_t columns, uint32_t column, uint32_t image, uint32_t units)
{
    const float *at = sums + (size_t)image * units * columns + column;
    if (units == 1)
        return __ldcg(at);
    if (units == 2)
        return __ldcg(at) + __ldcg(at + columns);
    return (__ldcg(at) + __ldcg(at + columns)) + (__ldcg(at + 2 * columns) + __ldcg(at + 3 * columns));
}

/* T64 over the images of both sums of each channel: total[k] and total[KB + k]. All THREADS threads call it; totals may
 * be read on return. */
template <int THREADS, int KB>
DEVICE void image_trees(const float *sums, const struct sums_shape &shape, double (&total)[2 * KB])
{
    enum { COLUMNS = 2 * KB, PARTS = THREADS / COLUMNS, LOADS = 32 };
    static_assert(PARTS >= 1 && PARTS * COLUMNS == THREADS, "whole columns for every thread");
    __shared__ double partial[PARTS][COLUMNS];
    const uint32_t column = threadIdx.x % COLUMNS, part = threadIdx.x / COLUMNS;
    const uint32_t width = power_of_two_at_least(shape.count), parts = width < PARTS ? width : (uint32_t)PARTS;
    const uint32_t at = column < KB ? shape.first + column : shape.K + shape.first + column - KB;
    if (part < parts)
        partial[part][column] =
            list_tree<LOADS, double>(part * (width / parts), width / parts, shape.count, [&](uint32_t image) {
                return (double)image_sum(sums, 2 * shape.K, at, image, shape.units);
            });
    __syncthreads();
    if (part == 0) {
        double v[PARTS];
#pragma unroll
        for (int i = 0; i < PARTS; i++)
            v[i] = (uint32_t)i < parts ? partial[i][column] : 0.0;
        total[column] = register_tree(v, parts);
    }
    __syncthreads();
}

/* To be called by all threads of every block, after their sums are written. blocks: how many share these channels. */
template <int THREADS, int KB>
DEVICE void finish_statistics(const struct gpu_statistics &to, const struct sums_shape &shape, uint32_t blocks)
{
    __shared__ double total[2 * KB];
    if (!last_to_arrive(to.sums.arrived + shape.first / KB, blocks))
        return;
    image_trees<THREADS, KB>(to.sums.sums, shape, total);
    if (threadIdx.x < KB) {
        const uint32_t k = shape.first + threadIdx.x;
        const struct exact_norm norm = exact_norm_from_sums(total[threadIdx.x], total[KB + threadIdx.x], shape.M,
                                                            to.epsilon, to.gamma[k], to.beta[k]);
        const double spread = to.unbiased ? exact_unbiased(norm.variance, shape.M) : norm.variance;
        to.norm[k] = norm;
        to.running_mean[k] = exact_running(to.running_mean[k], norm.mean, to.rate);
        to.running_variance[k] = exact_running(to.running_variance[k], spread, to.rate);
        if (!exact_norm_finite(&norm))
            report(to.report, to.report.culprit);
    }
}

template <int THREADS, int KB>
DEVICE void finish_gradient_statistics(const struct cuda_gradient_statistics &to, const struct sums_shape &shape,
                                       uint32_t blocks)
{
    __shared__ double total[2 * KB];
    if (!last_to_arrive(to.sums.arrived + shape.first / KB, blocks))
        return;
    image_trees<THREADS, KB>(to.sums.sums, shape, total);
    if (threadIdx.x < KB) {
        const uint32_t k = shape.first + threadIdx.x;
        const double G1 = total[threadIdx.x], G2 = total[KB + threadIdx.x];
        const struct exact_norm norm = to.norm[k];
        const struct exact_norm_gradient gradient = exact_norm_backward(&norm, G1, G2, shape.M);
        to.gradient[k] = gradient;
        to.dgamma[k] = gradient.dgamma;
        to.dbeta[k] = gradient.dbeta;
        if (!exact_finite(G1) || !exact_finite(G2))
            report(to.report, to.report.culprit);
    }
}

#endif
