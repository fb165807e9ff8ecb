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

/* Filling a chunk's rows in shared memory takes several turns, in each of which a thread brings four pixels. Nothing on
 * the way there branches by thread, so that all loads of a batch of turns are in flight before the first store: a place
 * outside the images is loaded from the nearest one inside, and +0 is stored. */
template <class S, int THREADS> struct fill_shape {
    enum {
        QUADS = S::SIDE / 4,
        ITEMS = S::CHANNELS * S::IMAGES * S::ROWS * QUADS,
        TURNS = (ITEMS + THREADS - 1) / THREADS,
        BATCH = TURNS > 10 ? (TURNS + 1) / 2 : TURNS,
        WHOLE = ITEMS % THREADS == 0 && TURNS % BATCH == 0, /* every thread has an item in every turn of every batch */
        AHEAD = TURNS == BATCH                              /* the next chunk is on its way while one is multiplied */
    };
};

/* The thread's number, and the compiler does not know it: what it would keep of places from one use to the next costs
 * more registers than finding them again. */
DEVICE int thread_again()
{
    int thread = (int)threadIdx.x;
    asm volatile("" : "+r"(thread));
    return thread;
}

/* Where one turn's four pixels come from and go. */
struct fill_place {
    uint32_t image, channel, row, column; /* the nearest inside; the channel is the chunk's */
    int line;                             /* of the chunk, from its first row */
    int at;                               /* in shared memory */
    bool writes, inside;
};

/* Rows first_row .. first_row + ROWS - 1 of images first .. first + IMAGES - 1 of `count`. */
template <class S, int THREADS>
DEVICE struct fill_place fill_place(int turn, uint32_t first, uint32_t count, int first_row)
{
    typedef fill_shape<S, THREADS> F;
    const int item = thread_again() + turn * THREADS;
    const int known = F::WHOLE || item < F::ITEMS ? item : F::ITEMS - 1;
    const int column = known % F::QUADS * 4, line = known / F::QUADS, row = first_row + line % S::ROWS;
    const uint32_t image = first + line / S::ROWS % S::IMAGES;
    struct fill_place place;
    place.image = S::IMAGES == 1 || image < count ? image : count - 1;
    place.channel = line / (S::ROWS * S::IMAGES);
    place.row = row < 0 ? 0 : row < S::SIDE ? row : S::SIDE - 1;
    place.column = column;
    place.line = line % S::ROWS;
    place.at = line * S::PITCH + S::BEFORE + column;
    place.writes = item == known;
    place.inside = row >= 0 && row < S::SIDE && (S::IMAGES == 1 || image < count);
    return place;
}

DEVICE float4 only_if(bool condition, float4 v)
{
    return float4{ condition ? v.x : 0.0f, condition ? v.y : 0.0f, condition ? v.z : 0.0f, condition ? v.w : 0.0f };
}

/* The chunk's weights for the channels first .. first + KB - 1, from [3][CHANNELS][3][K] on their way to
 * [3][CHANNELS][3][KB]. */
template <int CHANNELS, int KB, int THREADS> struct weight_fill {
    enum { QUADS = KB / 4, ITEMS = 9 * CHANNELS * QUADS, TURNS = (ITEMS + THREADS - 1) / THREADS };
    float4 quads[TURNS];
};

template <int CHANNELS, int KB, int THREADS>
DEVICE void load_fill(struct weight_fill<CHANNELS, KB, THREADS> &fill, const float *packed, uint32_t K, uint32_t first)
{
    typedef weight_fill<CHANNELS, KB, THREADS> F;
#pragma unroll
    for (int turn = 0; turn < F::TURNS; turn++) {
        const int item = (int)threadIdx.x + turn * THREADS, known = item < F::ITEMS ? item : F::ITEMS - 1;
        fill.quads[turn] = __ldg((const float4 *)(packed + known / F::QUADS * K + first) + known % F::QUADS);
    }
}

template <int CHANNELS, int KB, int THREADS>
DEVICE void store_fill(float *w, const struct weight_fill<CHANNELS, KB, THREADS> &fill)
{
    typedef weight_fill<CHANNELS, KB, THREADS> F;
#pragma unroll
    for (int turn = 0; turn < F::TURNS; turn++) {
        const int item = (int)threadIdx.x + turn * THREADS;
        if (F::ITEMS % THREADS == 0 || item < F::ITEMS)
            ((float4 *)w)[item] = fill.quads[turn];
    }
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

#endif
