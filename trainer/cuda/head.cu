/* From the last convolution to the loss and back: pooling, linear layer, logits' batch norm, softmax; and what
 * evaluation makes of the logits. ARITHMETIC.md sections 5, 6 and 8. */
#include "trainer/cuda/activation.cuh"
#include "trainer/cuda/statistics.cuh"

enum { FEATURES = CUDA_FEATURES, CLASSES = CUDA_CLASSES, POOL_SIDE = 8, POOL_PIXELS = POOL_SIDE * POOL_SIDE };

/* ---- activation, pooling, linear layer --------------------------------------------------------------------------- */

enum { ACTIVATE_THREADS = 256 };

/* Four pixels a thread; what a thread reads of arrays that may be overwritten, it overwrites itself. */
static __global__ void __launch_bounds__(ACTIVATE_THREADS) activate(const struct cuda_activate_arguments arguments)
{
    const uint32_t side = arguments.shape.H, C = arguments.shape.C, quarter = side * side / 4;
    const uint32_t at = blockIdx.x * ACTIVATE_THREADS + threadIdx.x;
    if (at >= arguments.count * C * quarter)
        return;
    const uint32_t image_channel = at / quarter, pixel = at % quarter * 4;
    const struct activation_plane plane =
        activation_plane(arguments.input, C, side, image_channel / C, image_channel % C);
    ((float4 *)arguments.activation)[at] = activation_load4(arguments.input, plane, side, pixel / side, pixel % side);
}

cudaError_t cuda_activate(const struct cuda_activate_arguments *arguments, cudaStream_t stream)
{
    const uint32_t H = arguments->shape.H, fours = arguments->count * arguments->shape.C * (H * H / 4);
    return launch(activate, dim3(divide_up(fours, ACTIVATE_THREADS)), dim3(ACTIVATE_THREADS), 0, stream, *arguments);
}

/* A channel's 64 pixels are four for each of 16 lanes. */
enum { POOL_THREADS = 256, POOL_LANES = POOL_PIXELS / 4, POOL_CHANNELS = POOL_THREADS / POOL_LANES };

/* A block per image. */
static __global__ void __launch_bounds__(POOL_THREADS) pool(const struct cuda_pool_arguments arguments)
{
    __shared__ float weights[CLASSES][FEATURES + 1], features[FEATURES]; /* rows begin in different banks */
    const uint32_t n = blockIdx.x, lane = threadIdx.x % POOL_LANES;
    for (uint32_t i = threadIdx.x; i < CLASSES * FEATURES; i += POOL_THREADS)
        weights[i / FEATURES][i % FEATURES] = arguments.w[i];
#pragma unroll
    for (int turn = 0; turn < FEATURES / POOL_CHANNELS; turn++) {
        const uint32_t c = turn * POOL_CHANNELS + threadIdx.x / POOL_LANES, pixel = 4 * lane;
        const struct activation_plane plane = activation_plane(arguments.input, FEATURES, POOL_SIDE, n, c);
        const float4 a = activation_load4(arguments.input, plane, POOL_SIDE, pixel / POOL_SIDE, pixel % POOL_SIDE);
        if (arguments.activation != NULL)
            ((float4 *)arguments.activation)[(n * FEATURES + c) * POOL_LANES + lane] = a;
        const float sum = lane_tree((a.x + a.y) + (a.z + a.w), POOL_LANES);
        if (lane == 0) {
            features[c] = sum * 0x1p-6f;
            arguments.pool[n * FEATURES + c] = features[c];
        }
    }
    __syncthreads();
    if (threadIdx.x < CLASSES) {
        const uint32_t k = threadIdx.x;
        float acc = 0.0f;
#pragma unroll 16
        for (int c = 0; c < FEATURES; c++)
            acc = fmaf(features[c], weights[k][c], acc);
        arguments.z[n * CLASSES + k] = arguments.bias == NULL ? acc : acc + arguments.bias[k];
    }
}

cudaError_t cuda_pool(const struct cuda_pool_arguments *arguments, cudaStream_t stream)
{
    return launch(pool, dim3(arguments->count), dim3(POOL_THREADS), 0, stream, *arguments);
}

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
DEVICE void take_logits_norm(const struct cuda_head_arguments &arguments, uint32_t k, struct exact_norm *norm)
{
    const struct cuda_statistics &to = arguments.norm;
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
DEVICE void sum_logits_gradient(const struct cuda_head_arguments &arguments, uint32_t which, uint32_t k,
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

DEVICE void take_loss(const struct cuda_head_arguments &arguments, uint32_t errors)
{
    const struct cuda_report &to = arguments.loss;
    const double sum = warp_tree(arguments.count, [&](uint32_t n) { return arguments.scratch[n]; });
    const float loss = (float)(sum / (double)arguments.count);
    if (threadIdx.x % WARP != 0)
        return;
    struct cuda_step_result *result = &to.results[to.current->slot];
    result->loss = loss;
    result->errors = errors;
    if (!exact_finite((double)loss))
        report(to, to.culprit);
}

static __global__ void __launch_bounds__(HEAD_THREADS) head(const struct cuda_head_arguments arguments)
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

cudaError_t cuda_head(const struct cuda_head_arguments *arguments, cudaStream_t stream)
{
    return launch(head, dim3(1), dim3(HEAD_THREADS), 0, stream, *arguments);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

enum { LINEAR_COLUMNS = WARP, LINEAR_PARTS = 16, LINEAR_THREADS = LINEAR_COLUMNS * LINEAR_PARTS };

/* A block per class and 32 features; a thread takes a feature's tree over an aligned part of the images. */
static __global__ void __launch_bounds__(LINEAR_THREADS)
    linear_weight(const struct cuda_linear_weight_arguments arguments)
{
    enum { LOADS = 8 };
    __shared__ double partial[LINEAR_PARTS][LINEAR_COLUMNS];
    const uint32_t column = threadIdx.x % LINEAR_COLUMNS, part = threadIdx.x / LINEAR_COLUMNS;
    const uint32_t k = blockIdx.x, c = blockIdx.y * LINEAR_COLUMNS + column;
    const uint32_t width = power_of_two_at_least(arguments.count);
    const uint32_t parts = width < LINEAR_PARTS ? width : (uint32_t)LINEAR_PARTS, span = width / parts;
    if (part < parts)
        partial[part][column] = list_tree<LOADS, double>(part * span, span, arguments.count, [&](uint32_t n) {
            return (double)(arguments.dz[n * CLASSES + k] * arguments.pool[n * FEATURES + c]);
        });
    __syncthreads();
    if (part != 0)
        return;
    double v[LINEAR_PARTS];
#pragma unroll
    for (int i = 0; i < LINEAR_PARTS; i++)
        v[i] = (uint32_t)i < parts ? partial[i][column] : 0.0;
    arguments.dw[k * FEATURES + c] = (float)register_tree(v, parts);
}

cudaError_t cuda_linear_weight(const struct cuda_linear_weight_arguments *arguments, cudaStream_t stream)
{
    return launch(linear_weight, dim3(CLASSES, FEATURES / LINEAR_COLUMNS), dim3(LINEAR_THREADS), 0, stream, *arguments);
}

/* A block per image and 16 channels. */
static __global__ void __launch_bounds__(POOL_THREADS)
    pool_backward(const struct cuda_pool_backward_arguments arguments)
{
    const uint32_t n = blockIdx.x, first = blockIdx.y * POOL_CHANNELS;
    const uint32_t lane = threadIdx.x % POOL_LANES, c = first + threadIdx.x / POOL_LANES;
    const uint32_t at = (n * FEATURES + c) * POOL_LANES + lane;
    const float mean = arguments.statistics.norm[c].mean32;
    const float4 a = ((const float4 *)arguments.activation)[at], y = ((const float4 *)arguments.y)[at];
    float d = 0.0f;
#pragma unroll
    for (int k = 0; k < CLASSES; k++)
        d = fmaf(arguments.dz[n * CLASSES + k], arguments.w[k * FEATURES + c], d);
    d = d * 0x1p-6f;
    const float4 g = { a.x > 0.0f ? d : 0.0f, a.y > 0.0f ? d : 0.0f, a.z > 0.0f ? d : 0.0f, a.w > 0.0f ? d : 0.0f };
    ((float4 *)arguments.g)[at] = g;
    const float sum = lane_tree((g.x + g.y) + (g.z + g.w), POOL_LANES);
    const float products =
        lane_tree((g.x * (y.x - mean) + g.y * (y.y - mean)) + (g.z * (y.z - mean) + g.w * (y.w - mean)), POOL_LANES);
    if (lane == 0) {
        float *sums = arguments.statistics.sums.sums + (size_t)n * 2 * FEATURES;
        sums[c] = sum;
        sums[FEATURES + c] = products;
    }
    const struct sums_shape shape = { FEATURES, first, arguments.count, 1, (double)arguments.count * POOL_PIXELS };
    finish_gradient_statistics<POOL_THREADS, POOL_CHANNELS>(arguments.statistics, shape, gridDim.x);
}

cudaError_t cuda_pool_backward(const struct cuda_pool_backward_arguments *arguments, cudaStream_t stream)
{
    return launch(pool_backward, dim3(arguments->count, FEATURES / POOL_CHANNELS), dim3(POOL_THREADS), 0, stream,
                  *arguments);
}

/* ---- evaluation -------------------------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(FEATURES) running_norms(const struct cuda_running_norms_arguments arguments)
{
    const struct cuda_norm_place place = arguments.places[blockIdx.x];
    const float *values = arguments.values;
    const uint32_t k = threadIdx.x;
    if (k < place.channels)
        arguments.norm[blockIdx.x * FEATURES + k] =
            exact_norm_constants((double)values[place.running_mean + k], (double)values[place.running_variance + k],
                                 arguments.epsilon, values[place.gamma + k], values[place.beta + k]);
}

cudaError_t cuda_running_norms(const struct cuda_running_norms_arguments *arguments, cudaStream_t stream)
{
    return launch(running_norms, dim3(arguments->count), dim3(FEATURES), 0, stream, *arguments);
}

enum { PREDICT_THREADS = 64 };

static __global__ void __launch_bounds__(PREDICT_THREADS) predict(const struct cuda_predict_arguments arguments)
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

cudaError_t cuda_predict(const struct cuda_predict_arguments *arguments, cudaStream_t stream)
{
    return launch(predict, dim3(divide_up(arguments->count, PREDICT_THREADS)), dim3(PREDICT_THREADS), 0, stream,
                  *arguments);
}

enum { LOSS_THREADS = 1024 };

static __global__ void __launch_bounds__(LOSS_THREADS) mean_loss(const struct cuda_mean_loss_arguments arguments)
{
    enum { LOADS = 8 };
    __shared__ double shared[LOSS_THREADS];
    const double sum =
        block_tree<LOADS, double>(arguments.count, shared, [&](uint32_t n) { return (double)arguments.losses[n]; });
    if (threadIdx.x == 0)
        *arguments.loss = sum / (double)arguments.count;
}

cudaError_t cuda_mean_loss(const struct cuda_mean_loss_arguments *arguments, cudaStream_t stream)
{
    return launch(mean_loss, dim3(1), dim3(LOSS_THREADS), 0, stream, *arguments);
}
