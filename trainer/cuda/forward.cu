/* Convolution forward, from the output of the convolution below to the constants of this one's batch norm:
 * ARITHMETIC.md sections 2 and 4. */
#include "trainer/cuda/activation.cuh"
#include "trainer/cuda/convolution.cuh"
#include "trainer/cuda/statistics.cuh"

/* C input channels of side H, K filters; a block makes KB of them, for ROWS rows of IMAGES images; a thread TX pixels
 * of a row by TK filters. */
template <int C_, int K_, int H_, int STRIDE_, int IMAGES_, int ROWS_, int KB_, int TX_, int TK_> struct forward_tile {
    enum {
        C = C_,
        K = K_,
        H = H_,
        STRIDE = STRIDE_,
        P = H / STRIDE,
        IMAGES = IMAGES_,
        ROWS = ROWS_,
        KB = KB_,
        TX = TX_,
        TK = TK_,
        CHANNELS = C < EXACT_CHANNEL_BLOCK ? C : (int)EXACT_CHANNEL_BLOCK,
        CHUNKS = C / CHANNELS,
        COLUMNS = P / TX,
        PIXEL_THREADS = IMAGES * ROWS * COLUMNS,
        THREADS = PIXEL_THREADS * (KB / TK),
        BANDS = P / ROWS,                                                 /* of an image */
        IMAGE_LANES = ROWS * COLUMNS < WARP ? ROWS * COLUMNS : (int)WARP, /* of a warp, in one image */
        UNITS = P * COLUMNS / IMAGE_LANES,                                /* sums of an image */
        TAPS = STRIDE * (TX - 1) + 3                                      /* pixels of a row that a thread reads */
    };
    typedef chunk_shape<CHANNELS, IMAGES, STRIDE *(ROWS - 1) + 3, H, 4> chunk;
    enum { WEIGHT_FLOATS = CHANNELS * 9 * KB, SHARED_BYTES = (chunk::FLOATS + WEIGHT_FLOATS) * 4 };
    static_assert(PIXEL_THREADS % WARP == 0, "a warp reads the same weights");
    static_assert(IMAGES == 1 || BANDS == 1, "several images, or a part of one");
    static_assert(STRIDE * TX == 8, "a thread reads two aligned quads and their neighbours");
};

/* One chunk's part of the chains. */
template <class T> DEVICE void multiply(float (&acc)[T::TK][T::TX], const float *x, const float *w)
{
#pragma unroll 1
    for (int r = 0; r < 3; r++) {
#pragma unroll 4
        for (int c = 0; c < T::CHANNELS; c++) {
            const float *row = x + c * T::chunk::PLANE + r * T::chunk::PITCH,
                        *taps = w + (r * T::CHANNELS + c) * 3 * T::KB;
            const float4 left = *(const float4 *)row, right = *(const float4 *)(row + 4);
            float v[10];
            v[0] = row[-1];
            v[1] = left.x, v[2] = left.y, v[3] = left.z, v[4] = left.w;
            v[5] = right.x, v[6] = right.y, v[7] = right.z, v[8] = right.w;
            v[9] = T::TAPS > 9 ? row[8] : 0.0f;
#pragma unroll
            for (int s = 0; s < 3; s++) {
                float weights[T::TK];
                load_weights(weights, taps + s * T::KB);
#pragma unroll
                for (int k = 0; k < T::TK; k++) {
#pragma unroll
                    for (int i = 0; i < T::TX; i++)
                        acc[k][i] = fmaf(v[T::STRIDE * i + s], weights[k], acc[k][i]);
                }
            }
        }
    }
}

/* A batch of a chunk's rows on its way: the convolution's output below, and the shortcut. */
template <int N> struct activation_fill {
    float4 y[N], z[N];
};

template <class T, int N>
DEVICE void load_fill(struct activation_fill<N> &fill, const struct cuda_forward_arguments &arguments, uint32_t chunk,
                      int turn, uint32_t image0, int first_row)
{
    const struct cuda_shortcut_source &shortcut = arguments.input.shortcut;
#pragma unroll
    for (int i = 0; i < N; i++) {
        const struct fill_place place =
            fill_place<typename T::chunk, T::THREADS>(turn + i, image0, arguments.count, first_row);
        const uint32_t c = chunk * T::CHANNELS + place.channel;
        fill.y[i] = *(const float4 *)(arguments.input.y + (((size_t)place.image * T::C + c) * T::H + place.row) * T::H +
                                      place.column);
        fill.z[i] = float4{ 0.0f, 0.0f, 0.0f, 0.0f };
    }
    if (T::C > 3 && shortcut.kind == CUDA_SHORTCUT_SAME) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const struct fill_place place =
                fill_place<typename T::chunk, T::THREADS>(turn + i, image0, arguments.count, first_row);
            const uint32_t c = chunk * T::CHANNELS + place.channel;
            fill.z[i] = *(const float4 *)(shortcut.array +
                                          (((size_t)place.image * T::C + c) * T::H + place.row) * T::H + place.column);
        }
    }
    if (T::C > 16 && shortcut.kind == CUDA_SHORTCUT_SUBSAMPLED) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            const struct fill_place place =
                fill_place<typename T::chunk, T::THREADS>(turn + i, image0, arguments.count, first_row);
            const uint32_t c = chunk * T::CHANNELS + place.channel - shortcut.first;
            if (c < shortcut.channels) {
                const float *array =
                    shortcut.array +
                    (((size_t)place.image * shortcut.channels + c) * 2 * T::H + 2 * place.row) * 2 * T::H +
                    2 * place.column;
                fill.z[i] = float4{ array[0], array[2], array[4], array[6] };
            }
        }
    }
}

/* Forms the activation, and keeps it in `kept` unless that is NULL: rows that are not another block's. */
template <class T, int N>
DEVICE void store_fill(float *x, const struct activation_fill<N> &fill, const struct cuda_forward_arguments &arguments,
                       const float2 *factors, uint32_t chunk, int turn, uint32_t image0, int first_row, float *kept)
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        const struct fill_place place =
            fill_place<typename T::chunk, T::THREADS>(turn + i, image0, arguments.count, first_row);
        const uint32_t c = chunk * T::CHANNELS + place.channel;
        float4 v = fill.y[i];
        if (arguments.input.norm != NULL) {
            const float4 z = fill.z[i];
            const float2 factor = factors[c];
            v = float4{ activation_of(v.x, factor.x, factor.y, z.x), activation_of(v.y, factor.x, factor.y, z.y),
                        activation_of(v.z, factor.x, factor.y, z.z), activation_of(v.w, factor.x, factor.y, z.w) };
        }
        v = only_if(place.inside, v);
        if (place.writes) {
            *(float4 *)(x + place.at) = v;
            if (kept != NULL && place.inside && place.line >= 1 && place.line <= T::STRIDE * T::ROWS)
                *(float4 *)(kept + (((size_t)place.image * T::C + c) * T::H + place.row) * T::H + place.column) = v;
        }
    }
}

template <class T>
static __global__ void __launch_bounds__(T::THREADS, 2) forward_kernel(const struct cuda_forward_arguments arguments)
{
    extern __shared__ float4 dynamic_shared[];
    __shared__ float2 factors[T::C]; /* scale and shift of the input's norm */
    float *x = (float *)dynamic_shared, *w = x + T::chunk::FLOATS;
    const uint32_t pixel = threadIdx.x % T::PIXEL_THREADS, slice = threadIdx.x / T::PIXEL_THREADS;
    const uint32_t column = pixel % T::COLUMNS * T::TX, row = pixel / T::COLUMNS % T::ROWS,
                   within = pixel / (T::COLUMNS * T::ROWS);
    const uint32_t image0 = blockIdx.x / T::BANDS * T::IMAGES, row0 = blockIdx.x % T::BANDS * T::ROWS;
    const uint32_t first = blockIdx.y * T::KB, count = arguments.count, image = image0 + within;
    float acc[T::TK][T::TX];
#pragma unroll
    for (int k = 0; k < T::TK; k++) {
#pragma unroll
        for (int i = 0; i < T::TX; i++)
            acc[k][i] = 0.0f;
    }
    float *kept = blockIdx.y == 0 ? arguments.activation : NULL; /* once for all blocks of filters */
    const int first_row = (int)(T::STRIDE * row0) - 1;
    typedef fill_shape<typename T::chunk, T::THREADS> F;
    struct activation_fill<F::BATCH> fill;
    struct weight_fill<T::CHANNELS, T::KB, T::THREADS> weights;
    load_fill<T>(fill, arguments, 0, 0, image0, first_row);
    load_fill(weights, arguments.weights, T::K, first);
    clear_borders<typename T::chunk, T::THREADS>(x);
    if (arguments.input.norm != NULL) {
        if (threadIdx.x < T::C)
            factors[threadIdx.x] =
                make_float2(arguments.input.norm[threadIdx.x].scale, arguments.input.norm[threadIdx.x].shift);
        __syncthreads();
    }
    for (uint32_t chunk = 0; chunk < T::CHUNKS; chunk++) {
        if (chunk > 0) {
            load_fill(weights, arguments.weights + (size_t)chunk * 9 * T::CHANNELS * T::K, T::K, first);
            if (!F::AHEAD)
                load_fill<T>(fill, arguments, chunk, 0, image0, first_row);
            __syncthreads();
        }
        store_fill<T>(x, fill, arguments, factors, chunk, 0, image0, first_row, kept);
        for (int turn = F::BATCH; turn < F::TURNS; turn += F::BATCH) {
            load_fill<T>(fill, arguments, chunk, turn, image0, first_row);
            store_fill<T>(x, fill, arguments, factors, chunk, turn, image0, first_row, kept);
        }
        store_fill(w, weights);
        __syncthreads();
        if (F::AHEAD && chunk + 1 < T::CHUNKS) /* on their way while this chunk is multiplied */
            load_fill<T>(fill, arguments, chunk + 1, 0, image0, first_row);
        multiply<T>(acc, x + (within * T::chunk::ROWS + T::STRIDE * row) * T::chunk::PITCH + 4 + T::STRIDE * column,
                    w + slice * T::TK);
    }
    const uint32_t k0 = first + slice * T::TK;
    const bool inside = image < count;
#pragma unroll
    for (int k = 0; k < T::TK; k++) {
        float *y = arguments.y + (((size_t)image * T::K + k0 + k) * T::P + row0 + row) * T::P + column;
        if (inside) {
#pragma unroll
            for (int i = 0; i < T::TX; i += 4)
                *(float4 *)(y + i) = float4{ acc[k][i], acc[k][i + 1], acc[k][i + 2], acc[k][i + 3] };
        }
    }
    if (!arguments.training)
        return;
    const uint32_t unit = image * T::UNITS + (row0 + row) * T::COLUMNS / T::IMAGE_LANES;
    float *sums = arguments.statistics.sums.sums + (size_t)unit * 2 * T::K + k0;
#pragma unroll
    for (int k = 0; k < T::TK; k++) {
        float squares[T::TX];
#pragma unroll
        for (int i = 0; i < T::TX; i++)
            squares[i] = acc[k][i] * acc[k][i];
        const float sum = lane_tree_between(tree_of(acc[k]), 1, T::IMAGE_LANES),
                    square = lane_tree_between(tree_of(squares), 1, T::IMAGE_LANES);
        if (inside && threadIdx.x % T::IMAGE_LANES == 0) {
            sums[k] = sum;
            sums[T::K + k] = square;
        }
    }
    const struct sums_shape shape = { T::K, first, count, T::UNITS, (double)count * (T::P * T::P) };
    finish_statistics<T::THREADS, T::KB>(arguments.statistics, shape, gridDim.x);
}

template <class T> static cudaError_t forward(const struct cuda_forward_arguments *arguments, cudaStream_t stream)
{
    const dim3 grid(divide_up(arguments->count, T::IMAGES) * T::BANDS, T::K / T::KB);
    static_assert((int)T::K / (int)T::KB <= (int)GPU_ARRIVALS && (int)T::UNITS <= (int)GPU_UNITS,
                  "what the caller allocates");
    return launch(forward_kernel<T>, grid, dim3(T::THREADS), T::SHARED_BYTES, stream, *arguments);
}

extern "C" cudaError_t cuda_forward(const struct cuda_forward_arguments *arguments, cudaStream_t stream)
{
    const struct cuda_shape *shape = &arguments->shape;
    switch (shape->H / shape->stride) {
    case 32:
        return shape->C == 3 ? forward<forward_tile<3, 16, 32, 1, 1, 16, 16, 8, 8>>(arguments, stream)
                             : forward<forward_tile<16, 16, 32, 1, 1, 16, 16, 8, 8>>(arguments, stream);
    case 16:
        return shape->stride == 2 ? forward<forward_tile<16, 32, 32, 2, 1, 8, 32, 4, 8>>(arguments, stream)
                                  : forward<forward_tile<32, 32, 16, 1, 1, 16, 32, 8, 8>>(arguments, stream);
    case 8:
        return shape->stride == 2 ? forward<forward_tile<32, 64, 16, 2, 2, 8, 32, 4, 8>>(arguments, stream)
                                  : forward<forward_tile<64, 64, 8, 1, 4, 8, 16, 8, 4>>(arguments, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
