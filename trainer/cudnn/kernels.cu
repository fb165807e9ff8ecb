/* The kernels of kernels.h. All but one only move bytes: a thread has one number, or a few of one array. */
#include "trainer/cudnn/kernels.h"

#include "trainer/gpu/kernel.cuh"

enum { THREADS = 256, FEATURES = GPU_FEATURES, CLASSES = GPU_CLASSES, SIDE = 32, PIXELS = SIDE * SIDE };

typedef uint16_t bf16;

DEVICE float widen(float a)
{
    return a;
}

DEVICE float widen(bf16 a)
{
    return __uint_as_float((uint32_t)a << 16);
}

DEVICE void narrow(float a, float *to)
{
    *to = a;
}

/* To nearest, ties to even; a NaN stays one. */
DEVICE void narrow(float a, bf16 *to)
{
    const uint32_t bits = __float_as_uint(a);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    *to = (bf16)(nan ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

/* A thread per pixel. */
template <class T> static __global__ void __launch_bounds__(THREADS) pad(const struct cudnn_pad_arguments arguments)
{
    const uint32_t at = blockIdx.x * THREADS + threadIdx.x, n = at / PIXELS, pixel = at % PIXELS;
    T *to = (T *)arguments.input + (size_t)at * arguments.channels;
    for (uint32_t c = 0; c < arguments.channels; c++)
        narrow(c < 3 ? arguments.x[(n * 3 + c) * PIXELS + pixel] : 0.0f, &to[c]);
}

cudaError_t cudnn_pad(const struct cudnn_pad_arguments *arguments, cudaStream_t stream)
{
    return launch(arguments->narrow ? pad<bf16> : pad<float>, dim3(arguments->count * PIXELS / THREADS), dim3(THREADS),
                  0, stream, *arguments);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

enum { PACK_PARTS = 16 };

/* PACK_PARTS blocks per convolution, a thread per number of the packed array. */
template <class T> static __global__ void __launch_bounds__(THREADS) pack(const struct cudnn_pack_arguments arguments)
{
    const struct cudnn_weight_place place = arguments.places[blockIdx.x];
    const uint32_t count = place.K * place.taps * place.channels;
    float *values = arguments.values + place.at;
    T *packed = (T *)arguments.packed + place.packed_at;
    for (uint32_t i = blockIdx.y * THREADS + threadIdx.x; i < count; i += PACK_PARTS * THREADS) {
        const uint32_t c = i % place.channels, tap = i / place.channels % place.taps,
                       k = i / place.channels / place.taps, at = (k * place.C + c) * place.taps + tap;
        if (!arguments.back)
            narrow(c < place.C ? values[at] : 0.0f, &packed[i]);
        else if (c < place.C)
            values[at] = widen(packed[i]);
    }
}

cudaError_t cudnn_pack(const struct cudnn_pack_arguments *arguments, cudaStream_t stream)
{
    return launch(arguments->narrow ? pack<bf16> : pack<float>, dim3(arguments->place_count, PACK_PARTS), dim3(THREADS),
                  0, stream, *arguments);
}

/* ---- option A ---------------------------------------------------------------------------------------------------- */

/* A thread per number of z. */
template <class T>
static __global__ void __launch_bounds__(THREADS) subsample(const struct cudnn_subsample_arguments arguments)
{
    const uint32_t C = arguments.C, P = arguments.P, K = 2 * C, at = blockIdx.x * THREADS + threadIdx.x;
    const uint32_t k = at % K, q = at / K % P, p = at / K / P % P, n = at / K / P / P;
    if (n >= arguments.count)
        return;
    const bool carried = k >= arguments.first && k < arguments.first + C;
    T *z = (T *)arguments.z + at,
      *x = (T *)arguments.x + (((size_t)n * 2 * P + 2 * p) * 2 * P + 2 * q) * C + (carried ? k - arguments.first : 0);
    if (!arguments.back)
        *z = carried ? *x : T(0);
    else if (carried)
        narrow(widen(*x) + widen(*z), x);
}

cudaError_t cudnn_subsample(const struct cudnn_subsample_arguments *arguments, cudaStream_t stream)
{
    const uint32_t numbers = arguments->count * arguments->P * arguments->P * 2 * arguments->C;
    return launch(arguments->narrow ? subsample<bf16> : subsample<float>, dim3(divide_up(numbers, THREADS)),
                  dim3(THREADS), 0, stream, *arguments);
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

template <class T> struct alignas(4 * sizeof(T)) four {
    T of[4];
};

/* A thread per four channels of a pixel. */
template <class T>
static __global__ void __launch_bounds__(THREADS) activate(const struct cudnn_activate_arguments arguments)
{
    const uint32_t at = blockIdx.x * THREADS + threadIdx.x, first = 4 * at % arguments.channels;
    if (4 * at >= arguments.numbers)
        return;
    const four<T> y = ((const four<T> *)arguments.y)[at];
    four<T> shortcut = {}, output;
    four<uint8_t> mask;
    if (arguments.shortcut != NULL)
        shortcut = ((const four<T> *)arguments.shortcut)[at];
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t c = first + i;
        const float norm = (widen(y.of[i]) - arguments.mean[c]) * arguments.inverse[c] * arguments.gamma[c];
        const float sum = norm + arguments.beta[c] + widen(shortcut.of[i]);
        narrow(sum < 0.0f ? 0.0f : sum, &output.of[i]);
        mask.of[i] = widen(output.of[i]) > 0.0f;
    }
    if (arguments.output != NULL)
        ((four<T> *)arguments.output)[at] = output;
    if (arguments.mask != NULL)
        ((four<uint8_t> *)arguments.mask)[at] = mask;
}

cudaError_t cudnn_activate(const struct cudnn_activate_arguments *arguments, cudaStream_t stream)
{
    return launch(arguments->narrow ? activate<bf16> : activate<float>,
                  dim3(divide_up(arguments->numbers / 4, THREADS)), dim3(THREADS), 0, stream, *arguments);
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS) bias(const struct cudnn_bias_arguments arguments)
{
    const uint32_t at = blockIdx.x * THREADS + threadIdx.x;
    if (at < arguments.count * CLASSES)
        arguments.z[at] = arguments.bias[at % CLASSES];
}

cudaError_t cudnn_bias(const struct cudnn_bias_arguments *arguments, cudaStream_t stream)
{
    return launch(bias, dim3(divide_up(arguments->count * CLASSES, THREADS)), dim3(THREADS), 0, stream, *arguments);
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

/* A block per layer, a thread per channel. */
static __global__ void __launch_bounds__(FEATURES) running(const struct cudnn_running_arguments arguments)
{
    const struct gpu_norm_place place = arguments.places[blockIdx.x];
    const uint32_t k = threadIdx.x, at = blockIdx.x * FEATURES + k;
    if (k >= place.channels)
        return;
    const uint32_t side = 16 * SIDE / place.channels;
    const double inverse = (double)arguments.inverse[at], M = (double)arguments.count * side * side;
    const double taken = 1.0 / (inverse * inverse) - arguments.epsilon;
    const double variance = taken < 0.0 ? 0.0 : taken; /* a NaN stays one */
    float *mean = arguments.values + place.running_mean + k, *running = arguments.values + place.running_variance + k;
    *mean = exact_running(*mean, (double)arguments.mean[at], arguments.rate);
    *running = exact_running(*running, arguments.unbiased ? exact_unbiased(variance, M) : variance, arguments.rate);
}

cudaError_t cudnn_running(const struct cudnn_running_arguments *arguments, cudaStream_t stream)
{
    return launch(running, dim3(arguments->layers), dim3(FEATURES), 0, stream, *arguments);
}

static __global__ void __launch_bounds__(FEATURES) constants(const struct cudnn_constants_arguments arguments)
{
    const uint32_t at = blockIdx.x * FEATURES + threadIdx.x;
    arguments.scale[at] = arguments.norms[at].scale;
    arguments.shift[at] = arguments.norms[at].shift;
}

cudaError_t cudnn_constants(const struct cudnn_constants_arguments *arguments, cudaStream_t stream)
{
    return launch(constants, dim3(arguments->layers), dim3(FEATURES), 0, stream, *arguments);
}
