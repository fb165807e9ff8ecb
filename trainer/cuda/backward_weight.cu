/* Weight gradients of the 3x3 convolutions: ARITHMETIC.md section 2, backward weights. NOTES.md counts operations,
 * bytes and registers, and says why the shapes are cut as they are. */
#include "trainer/cuda/kernels.h"
#include "trainer/gpu/kernel.cuh"

/* How a shape is cut. A block takes GROUPS neighbouring groups, CB channels and KB filters of one of them each; a
 * thread one channel, FILTERS filters and their nine taps. ROWS output rows at a time go through shared memory: while
 * they are multiplied, the next ones are on their way in registers.
 *
 * Input rows are counted through the images, as output rows are; a chunk that begins at output row G brings the ROWS *
 * STRIDE input rows from STRIDE * G + AHEAD on, so that the chunks' new rows meet whatever the images' borders. They go
 * to a ring of rows or, where a chunk is an image, to either of two images between rows of zeros. */
template <int C_, int K_, int H_, int STRIDE_, int CB_, int KB_, int FILTERS_, int ROWS_, int GROUPS_>
struct weight_cut {
    enum {
        C = C_,
        K = K_,
        H = H_,
        STRIDE = STRIDE_,
        CB = CB_,
        KB = KB_,
        FILTERS = FILTERS_,
        ROWS = ROWS_,
        GROUPS = GROUPS_,
        P = H / STRIDE,
        GROUP_ROWS = P == 32 ? 16 : 32, /* exact_group_rows */
        TILES = K / KB * (C / CB),
        LANES = KB / FILTERS,       /* threads side by side over the filters */
        GROUP_THREADS = CB * LANES, /* that compute; the others only load */
        THREADS = (GROUPS * GROUP_THREADS + WARP - 1) / WARP * WARP,

        WHOLE = STRIDE == 1 && ROWS == P,
        AHEAD = STRIDE == 1 && !WHOLE, /* the first new row of a chunk */
        NEW_ROWS = ROWS * STRIDE,
        FIRST_OFFSET = WHOLE ? 1 : 3 - STRIDE, /* of the new rows, from the row above */
        RING = 2 * NEW_ROWS + 3 - STRIDE,
        SLOTS = WHOLE ? 2 * H + 3 : RING + 1,
        ZERO_SLOT = SLOTS - 1,

        /* Floats of shared memory. A channel or filter further is 16 bytes further, modulo 32: eight of them lie in
         * different banks. */
        X_PITCH = SLOTS * H + 4,
        DY_CHUNK = ROWS * P,
        DY_PITCH = 2 * DY_CHUNK + 4,
        X_FLOATS = GROUPS * CB * X_PITCH,
        DY_FLOATS = GROUPS * KB * DY_PITCH,
        PART_PITCH = CB * 9 % 4 == 0 ? CB * 9 + 4 : CB * 9,
        PART_FLOATS = GROUPS * KB * PART_PITCH,
        SHARED_FLOATS = X_FLOATS + DY_FLOATS > PART_FLOATS ? X_FLOATS + DY_FLOATS : PART_FLOATS,

        /* Loads of 16 bytes to a chunk: of a channel or filter, of the block, of a thread. */
        X_QUADS = NEW_ROWS * H / 4,
        DY_QUADS = DY_CHUNK / 4,
        X_TOTAL = GROUPS * CB * X_QUADS,
        DY_TOTAL = GROUPS * KB * DY_QUADS,
        X_LOADS = (X_TOTAL + THREADS - 1) / THREADS,
        DY_LOADS = (DY_TOTAL + THREADS - 1) / THREADS
    };
    static_assert(P % ROWS == 0 && P % 8 == 0, "a chunk lies in one image, a row is pairs of quads");
    static_assert(K % KB == 0 && C % CB == 0 && KB % FILTERS == 0, "whole tiles");
};

/* What does not change while a block runs. */
struct weight_block {
    uint32_t group;      /* the first */
    uint32_t begin;      /* its first output row */
    uint32_t input_rows; /* of the batch */
    uint32_t c, k;       /* the first channel and filter */
};

/* ---- loading ----------------------------------------------------------------------------------------------------- */

template <class T> struct weight_stage {
    float4 x[T::X_LOADS], g[T::DY_LOADS], y[T::DY_LOADS];
};

template <class T>
DEVICE void stage_load(const struct cuda_backward_weight_arguments &a, const struct weight_block &block, uint32_t chunk,
                       struct weight_stage<T> &stage)
{
#pragma unroll
    for (int j = 0; j < T::X_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS, at = i % T::X_QUADS * 4, c = i / T::X_QUADS % T::CB;
        const uint32_t group = i / (T::X_QUADS * T::CB);
        const uint32_t row = T::STRIDE * (block.begin + group * T::GROUP_ROWS + chunk * T::ROWS) + T::AHEAD + at / T::H;
        stage.x[j] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (i < T::X_TOTAL && row < block.input_rows)
            stage.x[j] =
                *(const float4 *)(a.input.y + (((size_t)(row / T::H) * T::C + block.c + c) * T::H + row % T::H) * T::H +
                                  at % T::H);
    }
#pragma unroll
    for (int j = 0; j < T::DY_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS, at = i % T::DY_QUADS * 4, k = i / T::DY_QUADS % T::KB;
        const uint32_t group = i / (T::DY_QUADS * T::KB);
        const uint32_t row = block.begin + group * T::GROUP_ROWS + chunk * T::ROWS + at / T::P;
        if (i < T::DY_TOTAL) {
            const size_t from = (((size_t)(row / T::P) * T::K + block.k + k) * T::P + row % T::P) * T::P + at % T::P;
            stage.g[j] = *(const float4 *)(a.output.g + from);
            stage.y[j] = *(const float4 *)(a.output.y + from);
        }
    }
}

DEVICE float4 activated(const struct cuda_activation &input, uint32_t c, float4 v)
{
    if (input.norm != NULL) {
        const float scale = input.norm[c].scale, shift = input.norm[c].shift;
        v.x = exact_relu(fmaf(v.x, scale, shift));
        v.y = exact_relu(fmaf(v.y, scale, shift));
        v.z = exact_relu(fmaf(v.z, scale, shift));
        v.w = exact_relu(fmaf(v.w, scale, shift));
    }
    return v;
}

/* Where a chunk's input row lies, counted from the row above its first output row. */
template <class T> DEVICE uint32_t slot_of(uint32_t chunk, uint32_t row)
{
    return T::WHOLE ? chunk % 2 * (T::H + 1) + row : (chunk * T::NEW_ROWS + row) % T::RING;
}

template <class T>
DEVICE void stage_store(const struct cuda_backward_weight_arguments &a, const struct weight_block &block,
                        uint32_t chunk, const struct weight_stage<T> &stage, float *x, float *dy)
{
#pragma unroll
    for (int j = 0; j < T::X_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS, at = i % T::X_QUADS * 4, plane = i / T::X_QUADS;
        if (i < T::X_TOTAL) {
            const uint32_t slot = slot_of<T>(chunk, at / T::H + T::FIRST_OFFSET);
            *(float4 *)(x + plane * T::X_PITCH + slot * T::H + at % T::H) =
                activated(a.input, block.c + plane % T::CB, stage.x[j]);
        }
    }
#pragma unroll
    for (int j = 0; j < T::DY_LOADS; j++) {
        const uint32_t i = threadIdx.x + j * T::THREADS, at = i % T::DY_QUADS * 4, plane = i / T::DY_QUADS;
        if (i < T::DY_TOTAL) {
            const uint32_t k = block.k + plane % T::KB;
            const float scale = a.output.norm[k].scale, slope = a.output.gradient[k].slope,
                        constant = a.output.gradient[k].constant;
            const float4 g = stage.g[j], y = stage.y[j];
            *(float4 *)(dy + plane * T::DY_PITCH + chunk % 2 * T::DY_CHUNK + at) =
                make_float4(fmaf(g.x, scale, fmaf(slope, y.x, constant)), fmaf(g.y, scale, fmaf(slope, y.y, constant)),
                            fmaf(g.z, scale, fmaf(slope, y.z, constant)), fmaf(g.w, scale, fmaf(slope, y.w, constant)));
        }
    }
}

/* ---- multiplying: four pixels at a time -------------------------------------------------------------------------- */

template <class T> struct weight_window {
    float x[3][4 * T::STRIDE], dy[T::FILTERS][4];
};

template <class T>
DEVICE void window_load(const float *x, const uint32_t (&row)[3], uint32_t q, const float *dy,
                        struct weight_window<T> &to)
{
#pragma unroll
    for (int r = 0; r < 3; r++) {
#pragma unroll
        for (int i = 0; i < T::STRIDE; i++) {
            const float4 v = *(const float4 *)(x + row[r] + T::STRIDE * q + 4 * i);
            to.x[r][4 * i] = v.x;
            to.x[r][4 * i + 1] = v.y;
            to.x[r][4 * i + 2] = v.z;
            to.x[r][4 * i + 3] = v.w;
        }
    }
#pragma unroll
    for (int f = 0; f < T::FILTERS; f++) {
        const float4 v = *(const float4 *)(dy + f * T::LANES * T::DY_PITCH + q);
        to.dy[f][0] = v.x;
        to.dy[f][1] = v.y;
        to.dy[f][2] = v.z;
        to.dy[f][3] = v.w;
    }
}

template <class T>
DEVICE void window_multiply(float (&acc)[T::FILTERS][9], const float (&before)[3], const struct weight_window<T> &at,
                            const float (&after)[3])
{
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int f = 0; f < T::FILTERS; f++) {
#pragma unroll
            for (int t = 0; t < 9; t++) {
                const int r = t / 3, i = j * T::STRIDE + t % 3 - 1;
                const float x = i < 0               ? before[r]
                                : i < 4 * T::STRIDE ? at.x[r][i < 0 ? 0 : i % (4 * T::STRIDE)]
                                                    : after[r];
                acc[f][t] = fmaf(at.dy[f][j], x, acc[f][t]);
            }
        }
    }
}

template <class T> DEVICE void rows_of(uint32_t chunk, uint32_t begin, uint32_t j, uint32_t (&row)[3])
{
    const uint32_t p = (begin + chunk * T::ROWS + j) % T::P;
#pragma unroll
    for (int r = 0; r < 3; r++) {
        const bool outside = !T::WHOLE && ((r == 0 && p == 0) || (T::STRIDE == 1 && r == 2 && p == T::P - 1));
        row[r] = (outside ? (uint32_t)T::ZERO_SLOT : slot_of<T>(chunk, T::STRIDE * j + r)) * T::H;
    }
}

/* Two windows in turn, each loaded while the other is multiplied. */
template <class T>
DEVICE void chunk_multiply(float (&acc)[T::FILTERS][9], const float *x, const float *dy, uint32_t chunk, uint32_t begin)
{
    struct weight_window<T> a, b;
    uint32_t row[3], next[3];
    dy += chunk % 2 * T::DY_CHUNK;
    rows_of<T>(chunk, begin, 0, row);
    window_load<T>(x, row, 0, dy, a);
#pragma unroll 1
    for (uint32_t j = 0; j < T::ROWS; j++) {
        const uint32_t following = j + 1 < T::ROWS ? j + 1 : 0;
        float before[3] = { 0.0f, 0.0f, 0.0f };
        rows_of<T>(chunk, begin, following, next);
#pragma unroll 1
        for (uint32_t q = 0; q < T::P; q += 8) {
            const bool last = q + 8 == T::P;
            float middle[3], after[3];
            window_load<T>(x, row, q + 4, dy + j * T::P, b);
#pragma unroll
            for (int r = 0; r < 3; r++) {
                middle[r] = a.x[r][4 * T::STRIDE - 1];
                after[r] = b.x[r][0];
            }
            window_multiply<T>(acc, before, a, after);
            if (last) {
#pragma unroll
                for (int r = 0; r < 3; r++)
                    row[r] = next[r];
            }
            window_load<T>(x, row, last ? 0 : q + 8, dy + (last ? following : j) * T::P, a);
#pragma unroll
            for (int r = 0; r < 3; r++) {
                before[r] = b.x[r][4 * T::STRIDE - 1];
                after[r] = last ? 0.0f : a.x[r][0];
            }
            window_multiply<T>(acc, middle, b, after);
        }
    }
}

template <class T>
__global__ void __launch_bounds__(T::THREADS) backward_weight(const struct cuda_backward_weight_arguments a)
{
    alignas(16) __shared__ float shared[T::SHARED_FLOATS];
    float *x = shared, *dy = shared + T::X_FLOATS;
    struct weight_block block;
    block.group = blockIdx.x * T::GROUPS;
    block.begin = block.group * T::GROUP_ROWS;
    block.input_rows = a.count * T::H;
    block.c = blockIdx.y % (T::C / T::CB) * T::CB;
    block.k = blockIdx.y / (T::C / T::CB) * T::KB;
    const uint32_t left = a.count * T::P - block.begin, rows = left < T::GROUP_ROWS ? left : (uint32_t)T::GROUP_ROWS;
    const uint32_t chunks = rows / T::ROWS;
    struct weight_stage<T> stage;
    stage_load<T>(a, block, 0, stage);

    for (uint32_t i = threadIdx.x; i < T::X_FLOATS; i += T::THREADS)
        x[i] = 0.0f;
    __syncthreads();
    if (T::AHEAD) { /* the rows above and at the first output row */
        for (uint32_t i = threadIdx.x; i < T::GROUPS * T::CB * 2 * (T::H / 4); i += T::THREADS) {
            const uint32_t at = i % (T::H / 4) * 4, up = i / (T::H / 4) % 2, plane = i / (T::H / 4) / 2;
            const uint32_t row = block.begin + plane / T::CB * T::GROUP_ROWS, c = block.c + plane % T::CB;
            if (up && row % T::H == 0)
                continue;
            const uint32_t from = row - up;
            const float4 v =
                *(const float4 *)(a.input.y + (((size_t)(from / T::H) * T::C + c) * T::H + from % T::H) * T::H + at);
            *(float4 *)(x + plane * T::X_PITCH + (1 - up) * T::H + at) = activated(a.input, c, v);
        }
    }
    stage_store<T>(a, block, 0, stage, x, dy);
    __syncthreads();

    const uint32_t group = threadIdx.x / T::GROUP_THREADS, t = threadIdx.x % T::GROUP_THREADS;
    const bool computes = group < T::GROUPS;
    /* Neighbouring threads differ in the filter, those two apart in the channel: half a warp reads eight of either. */
    const uint32_t c = T::CB % 8 ? t % T::CB : (t >> 1) % 8 + 8 * (t / WARP % (T::CB / 8 ? T::CB / 8 : 1));
    const uint32_t k = T::CB % 8 ? t / T::CB : t % 2 + 2 * (t >> 4 & 1) + 4 * (t / WARP / (T::CB / 8 ? T::CB / 8 : 1));
    float acc[T::FILTERS][9];
#pragma unroll
    for (int f = 0; f < T::FILTERS; f++)
#pragma unroll
        for (int i = 0; i < 9; i++)
            acc[f][i] = 0.0f;
    for (uint32_t chunk = 0; chunk < chunks; chunk++) {
        if (chunk + 1 < chunks)
            stage_load<T>(a, block, chunk + 1, stage);
        if (computes)
            chunk_multiply<T>(acc, x + (group * T::CB + c) * T::X_PITCH, dy + (group * T::KB + k) * T::DY_PITCH, chunk,
                              block.begin + group * T::GROUP_ROWS);
        if (chunk + 1 < chunks)
            stage_store<T>(a, block, chunk + 1, stage, x, dy);
        __syncthreads();
    }

    /* Through shared memory, so that neighbouring threads write neighbouring weights. */
    if (computes) {
#pragma unroll
        for (int f = 0; f < T::FILTERS; f++)
#pragma unroll
            for (int i = 0; i < 9; i++)
                shared[(group * T::KB + k + f * T::LANES) * T::PART_PITCH + c * 9 + i] = acc[f][i];
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < T::GROUPS * T::KB * T::CB * 9; i += T::THREADS) {
        const uint32_t plane = i / (T::CB * 9), at = i % (T::CB * 9);
        a.parts[((size_t)(block.group + plane / T::KB) * T::K + block.k + plane % T::KB) * (T::C * 9) + block.c * 9 +
                at] = shared[plane * T::PART_PITCH + at];
    }
}

template <class T>
static cudaError_t launch_weight(const struct cuda_backward_weight_arguments *arguments, cudaStream_t stream)
{
    const uint32_t groups = divide_up(arguments->count * T::P, T::GROUP_ROWS);
    return launch(backward_weight<T>, dim3(divide_up(groups, T::GROUPS), T::TILES), dim3(T::THREADS), 0, stream,
                  *arguments);
}

cudaError_t cuda_backward_weight(const struct cuda_backward_weight_arguments *arguments, cudaStream_t stream)
{
    const struct cuda_shape *s = &arguments->shape;
    if (s->C == 3 && s->K == 16 && s->H == 32 && s->stride == 1)
        return launch_weight<weight_cut<3, 16, 32, 1, 3, 16, 1, 2, 2>>(arguments, stream);
    if (s->C == 16 && s->K == 16 && s->H == 32 && s->stride == 1)
        return launch_weight<weight_cut<16, 16, 32, 1, 16, 16, 4, 2, 2>>(arguments, stream);
    if (s->C == 16 && s->K == 32 && s->H == 32 && s->stride == 2)
        return launch_weight<weight_cut<16, 32, 32, 2, 16, 16, 2, 4, 1>>(arguments, stream);
    if (s->C == 32 && s->K == 32 && s->H == 16 && s->stride == 1)
        return launch_weight<weight_cut<32, 32, 16, 1, 32, 16, 4, 4, 1>>(arguments, stream);
    if (s->C == 32 && s->K == 64 && s->H == 16 && s->stride == 2)
        return launch_weight<weight_cut<32, 64, 16, 2, 32, 16, 4, 4, 1>>(arguments, stream);
    if (s->C == 64 && s->K == 64 && s->H == 8 && s->stride == 1)
        return launch_weight<weight_cut<64, 64, 8, 1, 32, 16, 4, 8, 1>>(arguments, stream);
    return cudaErrorInvalidValue;
}

/* ---- the tree over the groups ------------------------------------------------------------------------------------ */

enum { TREE_THREADS = 256, TREE_COLUMNS = 32, TREE_SLICES = TREE_THREADS / TREE_COLUMNS, TREE_LEAVES = 16 };

__global__ void __launch_bounds__(TREE_THREADS) group_tree(const struct cuda_tree_arguments a)
{
    __shared__ float partial[TREE_SLICES][TREE_COLUMNS];
    const uint32_t column = threadIdx.x % TREE_COLUMNS, slice = threadIdx.x / TREE_COLUMNS;
    const uint32_t i = blockIdx.x * TREE_COLUMNS + column, width = power_of_two_at_least(a.groups);
    const uint32_t slices = width < TREE_SLICES ? width : (uint32_t)TREE_SLICES;
    if (i < a.size && slice < slices)
        partial[slice][column] =
            list_tree<TREE_LEAVES, float>(slice * (width / slices), width / slices, a.groups,
                                          [&](uint32_t group) { return a.parts[(size_t)group * a.size + i]; });
    __syncthreads();
    if (i < a.size && slice == 0) {
        float v[TREE_SLICES];
#pragma unroll
        for (int s = 0; s < TREE_SLICES; s++)
            v[s] = (uint32_t)s < slices ? partial[s][column] : 0.0f;
        a.result[i] = register_tree(v, slices);
    }
}

cudaError_t cuda_tree(const struct cuda_tree_arguments *arguments, cudaStream_t stream)
{
    return launch(group_tree, dim3(divide_up(arguments->size, TREE_COLUMNS)), dim3(TREE_THREADS), 0, stream,
                  *arguments);
}
