/* The projection of a shortcut, a 1x1 convolution of stride 2, and its gradients: ARITHMETIC.md section 3. Bandwidth
 * bounds all three (NOTES.md): they are plain. */
#include "trainer/cuda/kernels.h"
#include "trainer/gpu/kernel.cuh"

/* Pixels are those of the output, counted through the images; PIXELS neighbours lie in one image. */
template <int C_, int K_, int H_> struct projection_cut {
    enum {
        C = C_,
        K = K_,
        H = H_,
        P = H / 2,
        IMAGE = P * P,
        PIXELS = 64,
        OUTPUTS = 8, /* of a thread, forward and data */

        /* Weights */
        TILE_C = 16,
        TILE_K = 32,
        TILES = C / TILE_C * (K / TILE_K),
        THREADS = TILE_C / 2 * (TILE_K / 2),     /* a thread takes two channels and two filters */
        PITCH = PIXELS + 4,                      /* eight neighbouring filters lie in different banks */
        GROUP = 32 * P,                          /* exact_group_rows */
        X_LOADS = TILE_C * PIXELS / 2 / THREADS, /* of 16 bytes, two pixels each */
        G_LOADS = TILE_K * PIXELS / 4 / THREADS
    };
    static_assert(IMAGE % PIXELS == 0 && GROUP % PIXELS == 0 && P % 4 == 0, "pixels of a block lie in one image");
    static_assert(K % TILE_K == 0 && C % TILE_C == 0 && K % OUTPUTS == 0 && C % OUTPUTS == 0, "whole tiles");
    static_assert(X_LOADS * THREADS == TILE_C * PIXELS / 2 && G_LOADS * THREADS == TILE_K * PIXELS / 4, "whole loads");
};

/* Two pixels of x (N,C,H,H), of which the second and fourth number are not meant: channel c, pixel and pixel + 1. */
template <class T> DEVICE float4 subsampled2(const float *x, uint32_t c, uint32_t pixel)
{
    const uint32_t n = pixel / T::IMAGE, p = pixel % T::IMAGE / T::P, q = pixel % T::P;
    return *(const float4 *)(x + (((size_t)n * T::C + c) * T::H + 2 * p) * T::H + 2 * q);
}

/* Channel k, four pixels of g (N,CHANNELS,P,P). */
template <class T> DEVICE float4 pixels4(const float *g, uint32_t channels, uint32_t k, uint32_t pixel)
{
    const uint32_t n = pixel / T::IMAGE;
    return *(const float4 *)(g + ((size_t)n * channels + k) * T::IMAGE + pixel % T::IMAGE);
}

/* A thread's pixel by eight outputs: chains over DEPTH inputs. v [DEPTH][PIXELS], w [DEPTH][pitch], both shared; result
 * has T::IMAGE numbers to an output. */
template <class T, int DEPTH> DEVICE void eight_outputs(const float *v, const float *w, uint32_t pitch, float *result)
{
    float acc[T::OUTPUTS];
#pragma unroll
    for (int j = 0; j < T::OUTPUTS; j++)
        acc[j] = 0.0f;
#pragma unroll 4
    for (int i = 0; i < DEPTH; i++) {
        const float x = v[i * T::PIXELS];
        const float4 a = *(const float4 *)(w + i * pitch), b = *(const float4 *)(w + i * pitch + 4);
        acc[0] = fmaf(x, a.x, acc[0]);
        acc[1] = fmaf(x, a.y, acc[1]);
        acc[2] = fmaf(x, a.z, acc[2]);
        acc[3] = fmaf(x, a.w, acc[3]);
        acc[4] = fmaf(x, b.x, acc[4]);
        acc[5] = fmaf(x, b.y, acc[5]);
        acc[6] = fmaf(x, b.z, acc[6]);
        acc[7] = fmaf(x, b.w, acc[7]);
    }
#pragma unroll
    for (int j = 0; j < T::OUTPUTS; j++)
        result[j * T::IMAGE] = acc[j];
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

template <class T>
__global__ void __launch_bounds__(T::PIXELS *T::K / T::OUTPUTS) projection(const struct cuda_projection_arguments a)
{
    enum { THREADS = T::PIXELS * T::K / T::OUTPUTS, W_PITCH = T::K + 4 };
    alignas(16) __shared__ float x[T::C * T::PIXELS];
    alignas(16) __shared__ float w[T::C * W_PITCH];
    const uint32_t first = blockIdx.x * T::PIXELS;
    for (uint32_t i = threadIdx.x; i < T::C * T::PIXELS / 2; i += THREADS) {
        const float4 v = subsampled2<T>(a.x, i / (T::PIXELS / 2), first + i % (T::PIXELS / 2) * 2);
        *(float2 *)(x + 2 * i) = make_float2(v.x, v.z);
    }
    for (uint32_t i = threadIdx.x; i < T::K * T::C; i += THREADS)
        w[i % T::C * W_PITCH + i / T::C] = a.w[i];
    __syncthreads();
    const uint32_t pixel = threadIdx.x % T::PIXELS, k = threadIdx.x / T::PIXELS * T::OUTPUTS;
    eight_outputs<T, T::C>(x + pixel, w + k, W_PITCH,
                           a.z + ((size_t)(first / T::IMAGE) * T::K + k) * T::IMAGE + first % T::IMAGE + pixel);
}

template <class T>
static cudaError_t launch_projection(const struct cuda_projection_arguments *arguments, cudaStream_t stream)
{
    return launch(projection<T>, dim3(arguments->count * (T::IMAGE / T::PIXELS)), dim3(T::PIXELS * T::K / T::OUTPUTS),
                  0, stream, *arguments);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

template <class T>
__global__ void __launch_bounds__(T::PIXELS *T::C / T::OUTPUTS)
    projection_data(const struct cuda_projection_data_arguments a)
{
    enum { THREADS = T::PIXELS * T::C / T::OUTPUTS };
    alignas(16) __shared__ float g[T::K * T::PIXELS];
    alignas(16) __shared__ float w[T::K * T::C];
    const uint32_t first = blockIdx.x * T::PIXELS;
    for (uint32_t i = threadIdx.x; i < T::K * T::PIXELS / 4; i += THREADS)
        *(float4 *)(g + 4 * i) = pixels4<T>(a.g, T::K, i / (T::PIXELS / 4), first + i % (T::PIXELS / 4) * 4);
    for (uint32_t i = threadIdx.x; i < T::K * T::C / 4; i += THREADS)
        *(float4 *)(w + 4 * i) = *(const float4 *)(a.w + 4 * i);
    __syncthreads();
    const uint32_t pixel = threadIdx.x % T::PIXELS, c = threadIdx.x / T::PIXELS * T::OUTPUTS;
    eight_outputs<T, T::K>(g + pixel, w + c, T::C,
                           a.dx + ((size_t)(first / T::IMAGE) * T::C + c) * T::IMAGE + first % T::IMAGE + pixel);
}

template <class T>
static cudaError_t launch_projection_data(const struct cuda_projection_data_arguments *arguments, cudaStream_t stream)
{
    return launch(projection_data<T>, dim3(arguments->count * (T::IMAGE / T::PIXELS)),
                  dim3(T::PIXELS * T::C / T::OUTPUTS), 0, stream, *arguments);
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* A chunk of pixels on its way to shared memory. */
template <class T> struct projection_stage {
    float4 x[T::X_LOADS], g[T::G_LOADS];
};

template <class T>
DEVICE void stage_load(const struct cuda_projection_weight_arguments &a, uint32_t c, uint32_t k, uint32_t pixel,
                       struct projection_stage<T> &stage)
{
#pragma unroll
    for (int j = 0; j < T::X_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS;
        stage.x[j] = subsampled2<T>(a.x, c + i / (T::PIXELS / 2), pixel + i % (T::PIXELS / 2) * 2);
    }
#pragma unroll
    for (int j = 0; j < T::G_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS;
        stage.g[j] = pixels4<T>(a.g, T::K, k + i / (T::PIXELS / 4), pixel + i % (T::PIXELS / 4) * 4);
    }
}

template <class T> DEVICE void stage_store(const struct projection_stage<T> &stage, float *x, float *g)
{
#pragma unroll
    for (int j = 0; j < T::X_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS;
        *(float2 *)(x + i / (T::PIXELS / 2) * T::PITCH + i % (T::PIXELS / 2) * 2) =
            make_float2(stage.x[j].x, stage.x[j].z);
    }
#pragma unroll
    for (int j = 0; j < T::G_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS;
        *(float4 *)(g + i / (T::PIXELS / 4) * T::PITCH + i % (T::PIXELS / 4) * 4) = stage.g[j];
    }
}

/* A block takes a tile of one group's weights. */
template <class T>
__global__ void __launch_bounds__(T::THREADS) projection_weight(const struct cuda_projection_weight_arguments a)
{
    alignas(16) __shared__ float x[T::TILE_C * T::PITCH];
    alignas(16) __shared__ float g[T::TILE_K * T::PITCH];
    const uint32_t c = blockIdx.y % (T::C / T::TILE_C) * T::TILE_C, k = blockIdx.y / (T::C / T::TILE_C) * T::TILE_K;
    const uint32_t begin = blockIdx.x * T::GROUP, left = a.count * T::IMAGE - begin;
    const uint32_t pixels = left < T::GROUP ? left : (uint32_t)T::GROUP;
    const uint32_t filter = threadIdx.x % (T::TILE_K / 2), channel = threadIdx.x / (T::TILE_K / 2);
    float acc[2][2] = { { 0.0f, 0.0f }, { 0.0f, 0.0f } };
    struct projection_stage<T> stage;
    stage_load<T>(a, c, k, begin, stage);
    for (uint32_t pixel = 0; pixel < pixels; pixel += T::PIXELS) {
        stage_store<T>(stage, x, g);
        __syncthreads();
        if (pixel + T::PIXELS < pixels)
            stage_load<T>(a, c, k, begin + pixel + T::PIXELS, stage);
#pragma unroll 4
        for (int i = 0; i < T::PIXELS; i += 4) {
            float4 u[2], v[2];
#pragma unroll
            for (int j = 0; j < 2; j++) {
                u[j] = *(const float4 *)(g + (filter + j * (T::TILE_K / 2)) * T::PITCH + i);
                v[j] = *(const float4 *)(x + (channel + j * (T::TILE_C / 2)) * T::PITCH + i);
            }
#pragma unroll
            for (int f = 0; f < 2; f++) {
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    acc[f][j] = fmaf(u[f].x, v[j].x, acc[f][j]);
                    acc[f][j] = fmaf(u[f].y, v[j].y, acc[f][j]);
                    acc[f][j] = fmaf(u[f].z, v[j].z, acc[f][j]);
                    acc[f][j] = fmaf(u[f].w, v[j].w, acc[f][j]);
                }
            }
        }
        __syncthreads();
    }
    float *part = a.parts + ((size_t)blockIdx.x * T::K + k + filter) * T::C + c + channel;
#pragma unroll
    for (int f = 0; f < 2; f++) {
#pragma unroll
        for (int j = 0; j < 2; j++)
            part[f * (T::TILE_K / 2) * T::C + j * (T::TILE_C / 2)] = acc[f][j];
    }
}

template <class T>
static cudaError_t launch_projection_weight(const struct cuda_projection_weight_arguments *arguments,
                                            cudaStream_t stream)
{
    return launch(projection_weight<T>, dim3(divide_up(arguments->count * T::IMAGE, T::GROUP), T::TILES),
                  dim3(T::THREADS), 0, stream, *arguments);
}

/* ---- the two that there are -------------------------------------------------------------------------------------- */

typedef projection_cut<16, 32, 32> second_stage;
typedef projection_cut<32, 64, 16> third_stage;

static bool is(const struct cuda_shape *s, uint32_t C, uint32_t K, uint32_t H)
{
    return s->C == C && s->K == K && s->H == H && s->stride == 2;
}

cudaError_t cuda_projection(const struct cuda_projection_arguments *arguments, cudaStream_t stream)
{
    if (is(&arguments->shape, 16, 32, 32))
        return launch_projection<second_stage>(arguments, stream);
    if (is(&arguments->shape, 32, 64, 16))
        return launch_projection<third_stage>(arguments, stream);
    return cudaErrorInvalidValue;
}

cudaError_t cuda_projection_data(const struct cuda_projection_data_arguments *arguments, cudaStream_t stream)
{
    if (is(&arguments->shape, 16, 32, 32))
        return launch_projection_data<second_stage>(arguments, stream);
    if (is(&arguments->shape, 32, 64, 16))
        return launch_projection_data<third_stage>(arguments, stream);
    return cudaErrorInvalidValue;
}

cudaError_t cuda_projection_weight(const struct cuda_projection_weight_arguments *arguments, cudaStream_t stream)
{
    if (is(&arguments->shape, 16, 32, 32))
        return launch_projection_weight<second_stage>(arguments, stream);
    if (is(&arguments->shape, 32, 64, 16))
        return launch_projection_weight<third_stage>(arguments, stream);
    return cudaErrorInvalidValue;
}
