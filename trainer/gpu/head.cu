/* From the logits to the loss and its gradient: the logits' batch norm, softmax; and what evaluation makes of the
 * logits. ARITHMETIC.md sections 6 and 8. */
#include "trainer/gpu/kernel.cuh"

enum { FEATURES = GPU_FEATURES, CLASSES = GPU_CLASSES };

/* ---- softmax and loss -------------------------------------------------------------------------------------------- */

/* An image's loss; f: the probabilities; *prediction: the lowest class of the largest u. */
DEVICE float softmax(const float (&u)[CLASSES], uint32_t label, float (&f)[CLASSES], uint32_t *prediction)
{
    float largest = u[0], of_label = u[0], sum = 0.0f;
    *prediction = 0;
#pragma unroll
    for (uint32_t k = 1; k < CLASSES; k++) {
        if (u[k] > largest) {
            largest = u[k];
            *prediction = k;
        }
        if (k == label)
            of_label = u[k];
    }
#pragma unroll
    for (int k = 0; k < CLASSES; k++) {
        f[k] = exact_expf(u[k] - largest);
        sum = k == 0 ? f[0] : sum + f[k];
    }
#pragma unroll
    for (int k = 0; k < CLASSES; k++)
        f[k] = f[k] / sum;
    return exact_logf(sum) - (of_label - largest);
}

DEVICE void load_logits(const float *z, uint32_t n, const struct exact_norm *norm, float (&u)[CLASSES])
{
#pragma unroll
    for (int k = 0; k < CLASSES; k++) {
        u[k] = z[n * CLASSES + k];
        if (norm != NULL)
            u[k] = fmaf(u[k], norm[k].scale, norm[k].shift);
    }
}

/* T64 over load(0 .. count-1) by one warp; every lane gets it. */
template <class Load> DEVICE double warp_tree(uint32_t count, Load load)
{
    enum { LOADS = 8 };
    const uint32_t width = power_of_two_at_least(count), parts = width < WARP ? width : (uint32_t)WARP;
    const uint32_t lane = threadIdx.x % WARP, span = width / parts;
    const double part = lane < parts ? list_tree<LOADS, double>(lane * span, span, count, load) : 0.0;
    return __shfl_sync(WHOLE_WARP, lane_tree(part, parts), 0);
}

/* One block, so that nothing waits for a grid: a warp for each tree, a thread for each image. The last tree's warp is
 * number 20. */
enum { HEAD_WARPS = 24, HEAD_THREADS = HEAD_WARPS * WARP, LOSS_WARP = 2 * CLASSES };

struct head_shared {
    struct exact_norm norm[CLASSES];
    struct exact_norm_gradient gradient[CLASSES];
    double G[2][CLASSES];
    uint32_t errors;
};

/* Class k's statistics, by a warp. */
DEVICE void take_logits_norm(const struct gpu_head_arguments &arguments, uint32_t k, struct exact_norm *norm)
{
    const struct gpu_statistics &to = arguments.norm;
    const float *z = arguments.z + k;
    const double N = (double)arguments.count;
    const double mean = warp_tree(arguments.count, [&](uint32_t n) { return (double)z[n * CLASSES]; }) / N;
    const double variance = warp_tree(arguments.count,
                                      [&](uint32_t n) {
                                          const double e = (double)z[n * CLASSES] - mean;
                                          return e * e;
                                      }) /
                            N;
    if (threadIdx.x % WARP != 0)
        return;
    *norm = exact_norm_constants(mean, variance, to.epsilon, to.gamma[k], to.beta[k]);
    to.norm[k] = *norm;
    if (to.running_mean != NULL) {
        to.running_mean[k] = exact_running(to.running_mean[k], mean, to.rate);
        to.running_variance[k] =
            exact_running(to.running_variance[k], to.unbiased ? exact_unbiased(variance, N) : variance, to.rate);
    }
    if (!exact_norm_finite(norm))
        report(to.report, to.report.culprit);
}

/* G1, then G2 of class k, by a warp. */
DEVICE void sum_logits_gradient(const struct gpu_head_arguments &arguments, uint32_t which, uint32_t k,
                                struct head_shared &shared)
{
    const double mean = shared.norm[k].mean;
    const double G = warp_tree(arguments.count, [&](uint32_t n) {
        const double du = (double)arguments.dz[n * CLASSES + k];
        return which == 0 ? du : du * ((double)arguments.z[n * CLASSES + k] - mean);
    });
    if (threadIdx.x % WARP == 0)
        shared.G[which][k] = G;
}

DEVICE void take_loss(const struct gpu_head_arguments &arguments, uint32_t errors)
{
    const struct gpu_report &to = arguments.loss;
    const double sum = warp_tree(arguments.count, [&](uint32_t n) { return arguments.scratch[n]; });
    const float loss = (float)(sum / (double)arguments.count);
    if (threadIdx.x % WARP != 0)
        return;
    struct gpu_step_result *result = &to.results[to.current->slot];
    result->loss = loss;
    result->errors = errors;
    if (!exact_finite((double)loss))
        report(to, to.culprit);
}

static __global__ void __launch_bounds__(HEAD_THREADS) head(const struct gpu_head_arguments arguments)
{
    __shared__ struct head_shared shared;
    const uint32_t count = arguments.count, warp = threadIdx.x / WARP, k = warp % CLASSES;
    if (threadIdx.x == 0)
        shared.errors = 0;
    if (arguments.has_norm && warp < CLASSES)
        take_logits_norm(arguments, k, &shared.norm[k]);
    __syncthreads();
    for (uint32_t n = threadIdx.x; n < count; n += HEAD_THREADS) {
        const uint32_t label = arguments.labels[n];
        float u[CLASSES], f[CLASSES];
        uint32_t prediction;
        load_logits(arguments.z, n, arguments.has_norm ? shared.norm : NULL, u);
        arguments.scratch[n] = (double)softmax(u, label, f, &prediction);
        if (prediction != label)
            atomicAdd(&shared.errors, 1u);
#pragma unroll
        for (uint32_t i = 0; i < CLASSES; i++)
            arguments.dz[n * CLASSES + i] = (i == label ? f[i] - 1.0f : f[i]) / (float)count;
    }
    __syncthreads();
    if (warp == LOSS_WARP)
        take_loss(arguments, shared.errors);
    if (arguments.has_norm) {
        if (warp < 2 * CLASSES)
            sum_logits_gradient(arguments, warp / CLASSES, k, shared);
        __syncthreads();
        if (threadIdx.x < CLASSES) {
            const uint32_t i = threadIdx.x;
            const struct exact_norm norm = shared.norm[i];
            const struct exact_norm_gradient gradient =
                exact_norm_backward(&norm, shared.G[0][i], shared.G[1][i], (double)count);
            shared.gradient[i] = gradient;
            arguments.dgamma[i] = gradient.dgamma;
            arguments.dbeta[i] = gradient.dbeta;
        }
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < count * CLASSES; i += HEAD_THREADS) {
            const struct exact_norm_gradient &gradient = shared.gradient[i % CLASSES];
            arguments.dz[i] = fmaf(arguments.dz[i], shared.norm[i % CLASSES].scale,
                                   fmaf(gradient.slope, arguments.z[i], gradient.constant));
        }
        __syncthreads();
    }
    if (arguments.dbias != NULL && warp < CLASSES) {
        const double sum = warp_tree(count, [&](uint32_t n) { return (double)arguments.dz[n * CLASSES + k]; });
        if (threadIdx.x % WARP == 0)
            arguments.dbias[k] = (float)sum;
    }
}

cudaError_t gpu_head(const struct gpu_head_arguments *arguments, cudaStream_t stream)
{
    return launch(head, dim3(1), dim3(HEAD_THREADS), 0, stream, *arguments);
}

/* ---- evaluation -------------------------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(FEATURES) running_norms(const struct gpu_running_norms_arguments arguments)
{
    const struct gpu_norm_place place = arguments.places[blockIdx.x];
    const float *values = arguments.values;
    const uint32_t k = threadIdx.x;
    if (k < place.channels)
        arguments.norm[blockIdx.x * FEATURES + k] =
            exact_norm_constants((double)values[place.running_mean + k], (double)values[place.running_variance + k],
                                 arguments.epsilon, values[place.gamma + k], values[place.beta + k]);
}

cudaError_t gpu_running_norms(const struct gpu_running_norms_arguments *arguments, cudaStream_t stream)
{
    return launch(running_norms, dim3(arguments->count), dim3(FEATURES), 0, stream, *arguments);
}

enum { PREDICT_THREADS = 64 };

static __global__ void __launch_bounds__(PREDICT_THREADS) predict(const struct gpu_predict_arguments arguments)
{
    const uint32_t n = blockIdx.x * PREDICT_THREADS + threadIdx.x, image = arguments.first + n;
    float u[CLASSES], f[CLASSES];
    uint32_t prediction;
    if (n >= arguments.count)
        return;
    load_logits(arguments.z, n, arguments.norm, u);
    arguments.losses[image] = softmax(u, arguments.labels[image], f, &prediction);
    arguments.predictions[image] = (uint8_t)prediction;
}

cudaError_t gpu_predict(const struct gpu_predict_arguments *arguments, cudaStream_t stream)
{
    return launch(predict, dim3(divide_up(arguments->count, PREDICT_THREADS)), dim3(PREDICT_THREADS), 0, stream,
                  *arguments);
}

enum { LOSS_THREADS = 1024 };

static __global__ void __launch_bounds__(LOSS_THREADS) mean_loss(const struct gpu_mean_loss_arguments arguments)
{
    enum { LOADS = 8 };
    __shared__ double shared[LOSS_THREADS];
    const double sum =
        block_tree<LOADS, double>(arguments.count, shared, [&](uint32_t n) { return (double)arguments.losses[n]; });
    if (threadIdx.x == 0)
        *arguments.loss = sum / (double)arguments.count;
}

cudaError_t gpu_mean_loss(const struct gpu_mean_loss_arguments *arguments, cudaStream_t stream)
{
    return launch(mean_loss, dim3(1), dim3(LOSS_THREADS), 0, stream, *arguments);
}
