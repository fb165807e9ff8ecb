/* From the last convolution to the logits, and back from their gradient: pooling and the linear layer; and the
 * activation alone. ARITHMETIC.md sections 5 and 6. */
#include "trainer/cuda/activation.cuh"
#include "trainer/cuda/statistics.cuh"

enum { FEATURES = GPU_FEATURES, CLASSES = GPU_CLASSES, POOL_SIDE = 8, POOL_PIXELS = POOL_SIDE * POOL_SIDE };

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
