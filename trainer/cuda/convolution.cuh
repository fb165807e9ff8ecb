/* What the two kernels of a 3x3 convolution share. NOTES.md says why the tiles are what they are.
 *
 * A block makes KB channels of some rows of its images. The channels that it reads come in chunks of 16 (3 in the first
 * layer): their rows lie in shared memory with a border of zeros, and so do the chunk's weights, in the order of the
 * chain. A thread makes a few pixels by TK channels; the lanes of a warp are different pixels and read the same
 * weights. */
#ifndef SELFSAME_CUDA_CONVOLUTION_CUH
#define SELFSAME_CUDA_CONVOLUTION_CUH

#include "trainer/cuda/kernels.h"
#include "trainer/gpu/kernel.cuh"

/* Rows of a chunk in shared memory. A row is BEFORE floats of which the last is the left border, SIDE pixels, and the
 * right border, which is the next row's first float where BEFORE is not 0. */
template <int CHANNELS_, int IMAGES_, int ROWS_, int SIDE_, int BEFORE_> struct chunk_shape {
    enum {
        CHANNELS = CHANNELS_,
        IMAGES = IMAGES_,
        ROWS = ROWS_,
        SIDE = SIDE_,
        BEFORE = BEFORE_,
        PITCH = SIDE + 4,
        PLANE = IMAGES * ROWS * PITCH,
        FLOATS = CHANNELS * PLANE + 4
    };
};

template <class S, int THREADS> DEVICE void clear_borders(float *x)
{
    const float4 zero = { 0.0f, 0.0f, 0.0f, 0.0f };
    for (int i = threadIdx.x; i < S::CHANNELS * S::IMAGES * S::ROWS; i += THREADS)
        *(float4 *)(x + i * S::PITCH + (S::BEFORE != 0 ? 0 : S::SIDE)) = zero;
    if (threadIdx.x == 0)
        *(float4 *)(x + S::CHANNELS * S::PLANE) = zero;
}

/* Fills the rows first_row .. first_row + ROWS - 1 of images first .. first + IMAGES - 1; what lies outside is +0.
 * load(image, channel of the chunk, row, column) gives four pixels, `at` being where they go. */
template <class S, int THREADS, class Load>
DEVICE void fill_rows(float *x, uint32_t first, uint32_t count, int first_row, Load load)
{
    enum { QUADS = S::SIDE / 4, ITEMS = S::CHANNELS * S::IMAGES * S::ROWS * QUADS };
#pragma unroll 4
    for (int item = threadIdx.x; item < ITEMS; item += THREADS) {
        const int column = item % QUADS * 4, line = item / QUADS, row = line % S::ROWS;
        const uint32_t image = first + line / S::ROWS % S::IMAGES;
        const int h = first_row + row;
        float4 v = { 0.0f, 0.0f, 0.0f, 0.0f };
        if (h >= 0 && h < S::SIDE && image < count)
            v = load(image, line / (S::ROWS * S::IMAGES), h, column, row);
        *(float4 *)(x + line * S::PITCH + S::BEFORE + column) = v;
    }
}

/* The chunk's weights for the channels first .. first + KB - 1: from [3][CHANNELS][3][K] to [3][CHANNELS][3][KB]. */
template <int CHANNELS, int KB, int THREADS>
DEVICE void fill_weights(float *w, const float *packed, uint32_t K, uint32_t first)
{
    enum { QUADS = KB / 4 };
#pragma unroll 4
    for (int item = threadIdx.x; item < 9 * CHANNELS * QUADS; item += THREADS)
        ((float4 *)w)[item] = __ldg((const float4 *)(packed + item / QUADS * K + first) + item % QUADS);
}

template <int TK> DEVICE void load_weights(float (&v)[TK], const float *w)
{
#pragma unroll
    for (int i = 0; i < TK; i += 4) {
        const float4 quad = *(const float4 *)(w + i);
        v[i] = quad.x, v[i + 1] = quad.y, v[i + 2] = quad.z, v[i + 3] = quad.w;
    }
}

/* T over values of lanes first, first + distance, ... for distances from `from` to before `to`. */
template <class T> DEVICE T lane_tree_between(T v, uint32_t from, uint32_t to)
{
#pragma unroll
    for (uint32_t distance = from; distance < to; distance *= 2)
        v = v + __shfl_xor_sync(WHOLE_WARP, v, distance);
    return v;
}

template <int N> DEVICE float tree_of(const float (&v)[N])
{
    float copy[N];
#pragma unroll
    for (int i = 0; i < N; i++)
        copy[i] = v[i];
    return register_tree(copy, (uint32_t)N);
}

/* Allows a kernel the dynamic shared memory that it needs. */
template <class Arguments>
static cudaError_t launch_large(void (*kernel)(const Arguments), dim3 grid, dim3 block, size_t shared_bytes,
                                cudaStream_t stream, const Arguments &arguments)
{
    if (shared_bytes > 48 * 1024) {
        cudaError_t status =
            cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
        if (status != cudaSuccess)
            return status;
    }
    return launch(kernel, grid, block, shared_bytes, stream, arguments);
}

#endif
