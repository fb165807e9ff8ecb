/* Convolution backward to its input, on to the gradient and the constants of the batch norm below: ARITHMETIC.md
 * sections 2, 4 and 5. */
#include "trainer/cuda/convolution.cuh"
#include "trainer/cuda/statistics.cuh"

/* K filters with outputs of side P, C input channels; a block makes CB of them, for ROWS rows of IMAGES images. With
 * stride 1 a thread makes 8 pixels of a row by TC channels; with stride 2 four columns of two rows, 2m and 2m + 1: so
 * all threads have the same taps. */
template <int K_, int C_, int P_, int STRIDE_, int IMAGES_, int ROWS_, int CB_, int TC_> struct backward_tile {
    enum {
        K = K_,
        C = C_,
        P = P_,
        STRIDE = STRIDE_,
        H = P * STRIDE,
        IMAGES = IMAGES_,
        ROWS = ROWS_,
        CB = CB_,
        TC = TC_,
        LINES = STRIDE, /* rows of a thread */
        TX = 8 / LINES, /* columns of a thread */
        CHANNELS = EXACT_CHANNEL_BLOCK,
        CHUNKS = K / CHANNELS,
        COLUMNS = H / TX,
        PIXEL_THREADS = IMAGES * ROWS / LINES * COLUMNS,
        THREADS = PIXEL_THREADS * (CB / TC),
        BANDS = H / ROWS,
        IMAGE_THREADS = ROWS / LINES * COLUMNS, /* of a band */
        IMAGE_LANES = IMAGE_THREADS < WARP ? IMAGE_THREADS : (int)WARP,
        UNITS = BANDS * IMAGE_THREADS / IMAGE_LANES,
        /* Blocks that find room for their registers on a multiprocessor: two of these, and a weight kernel's block at
         * the same time; of K = 32 there is one. */
        BESIDE = STRIDE == 1 && K != 32 ? 3 : 2,
        /* The first chunk's weights are on their way with its rows, where there are registers for both. */
        WEIGHTS_FIRST = BESIDE == 2 || CHUNKS == 1
    };
    typedef chunk_shape<CHANNELS, IMAGES, STRIDE == 1 ? ROWS + 2 : ROWS / 2 + 1, P, STRIDE == 1 ? 4 : 0> chunk;
    enum { WEIGHT_FLOATS = CHANNELS * 9 * CB, SHARED_BYTES = (chunk::FLOATS + WEIGHT_FLOATS) * 4 };
    static_assert(PIXEL_THREADS % WARP == 0, "a warp reads the same weights");
    static_assert(IMAGES == 1 || BANDS == 1, "several images, or a part of one");
};

/* One chunk's part of the chains, stride 1. */
template <class T> DEVICE void multiply_all(float (&acc)[T::TC][8], const float *x, const float *w)
{
#pragma unroll 1
    for (int r = 0; r < 3; r++) {
#pragma unroll 4
        for (int k = 0; k < T::CHANNELS; k++) {
            const float *row = x + k * T::chunk::PLANE + r * T::chunk::PITCH,
                        *taps = w + (r * T::CHANNELS + k) * 3 * T::CB;
            const float4 left = *(const float4 *)row, right = *(const float4 *)(row + 4);
            const float v[10] = { row[-1], left.x, left.y, left.z, left.w, right.x, right.y, right.z, right.w, row[8] };
#pragma unroll
            for (int s = 0; s < 3; s++) {
                float weights[T::TC];
                load_weights(weights, taps + s * T::CB);
#pragma unroll
                for (int c = 0; c < T::TC; c++) {
#pragma unroll
                    for (int i = 0; i < 8; i++)
                        acc[c][i] = fmaf(v[i + s], weights[c], acc[c][i]);
                }
            }
        }
    }
}

/* The same with stride 2, over the taps that exist: acc[c][0..3] is the even row and acc[c][4..7] the odd one; x the
 * row m of dy from column w0 / 2 on. */
template <class T> DEVICE void multiply_existing(float (&acc)[T::TC][8], const float *x, const float *w)
{
#pragma unroll
    for (int r = 0; r < 3; r++) {
        const int line = r == 1 ? 0 : 4;
#pragma unroll 4
        for (int k = 0; k < T::CHANNELS; k++) {
            const float *row = x + k * T::chunk::PLANE + (r == 2 ? T::chunk::PITCH : 0),
                        *taps = w + (r * T::CHANNELS + k) * 3 * T::CB;
            const float v[3] = { row[0], row[1], row[2] };
            float weights[3][T::TC];
#pragma unroll
            for (int s = 0; s < 3; s++)
                load_weights(weights[s], taps + s * T::CB);
#pragma unroll
            for (int c = 0; c < T::TC; c++) {
                acc[c][line + 1] = fmaf(v[0], weights[0][c], acc[c][line + 1]);
                acc[c][line + 3] = fmaf(v[1], weights[0][c], acc[c][line + 3]);
                acc[c][line] = fmaf(v[0], weights[1][c], acc[c][line]);
                acc[c][line + 2] = fmaf(v[1], weights[1][c], acc[c][line + 2]);
                acc[c][line + 1] = fmaf(v[1], weights[2][c], acc[c][line + 1]);
                acc[c][line + 3] = fmaf(v[2], weights[2][c], acc[c][line + 3]);
            }
        }
    }
}

/* What N neighbouring pixels of a channel are finished with, on its way. */
template <int N> struct finish_fill {
    float below[N], mask[N], shortcut[N];
};

/* Of the norm below, for one of its channels. */
struct finish_factors {
    float scale, shift, mean;
};

template <int N> DEVICE void load_floats(float (&v)[N], const float *from)
{
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        const float4 quad = *(const float4 *)(from + i);
        v[i] = quad.x, v[i + 1] = quad.y, v[i + 2] = quad.z, v[i + 3] = quad.w;
    }
}

/* For CHANNELS channels from c on, pixels from column w of row h on. Nothing is stored before all of it is loaded: a
 * store to g may be to the shortcut's array. */
template <int CHANNELS, int LINES, int N>
DEVICE void load_fill(struct finish_fill<N> (&fill)[CHANNELS][LINES],
                      const struct cuda_backward_data_arguments &arguments, uint32_t n, uint32_t c, uint32_t h,
                      uint32_t w)
{
    const struct cuda_shortcut_source &shortcut = arguments.shortcut;
    const uint32_t C = arguments.shape.C, side = arguments.shape.H, half = side / 2;
#pragma unroll
    for (int i = 0; i < CHANNELS; i++) {
#pragma unroll
        for (int line = 0; line < LINES; line++)
            load_floats(fill[i][line].below, arguments.below + (((size_t)n * C + c + i) * side + h + line) * side + w);
    }
    if (arguments.mask != NULL) {
#pragma unroll
        for (int i = 0; i < CHANNELS; i++) {
#pragma unroll
            for (int line = 0; line < LINES; line++)
                load_floats(fill[i][line].mask,
                            arguments.mask + (((size_t)n * C + c + i) * side + h + line) * side + w);
        }
    }
    if (shortcut.kind == CUDA_SHORTCUT_SAME) {
#pragma unroll
        for (int i = 0; i < CHANNELS; i++) {
#pragma unroll
            for (int line = 0; line < LINES; line++)
                load_floats(fill[i][line].shortcut,
                            shortcut.array + (((size_t)n * C + c + i) * side + h + line) * side + w);
        }
    }
    if (shortcut.kind == CUDA_SHORTCUT_SUBSAMPLED && h % 2 == 0) { /* the first line alone has any */
#pragma unroll
        for (int i = 0; i < CHANNELS; i++) {
            const float *array = shortcut.array +
                                 (((size_t)n * shortcut.channels + c + i + shortcut.first) * half + h / 2) * half +
                                 w / 2;
#pragma unroll
            for (int j = 0; j < N; j += 2)
                fill[i][0].shortcut[j] = array[j / 2];
        }
    }
}

/* From N pixels of d, in a row, to g where the ReLU let through, and to the products for the second sum. */
template <int N>
DEVICE void finish_row(float (&d)[N], float (&products)[N], const struct finish_fill<N> &fill,
                       const struct cuda_backward_data_arguments &arguments, const struct finish_factors &norm,
                       uint32_t n, uint32_t c, uint32_t h, uint32_t w)
{
    const uint32_t C = arguments.shape.C, side = arguments.shape.H, kind = arguments.shortcut.kind;
    if (kind != CUDA_SHORTCUT_NONE) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            if (kind == CUDA_SHORTCUT_SAME || (i % 2 == 0 && h % 2 == 0))
                d[i] = d[i] + fill.shortcut[i];
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float mask = arguments.mask != NULL ? fill.mask[i] : fmaf(fill.below[i], norm.scale, norm.shift);
        d[i] = mask > 0.0f ? d[i] : 0.0f;
        products[i] = d[i] * (fill.below[i] - norm.mean);
    }
    float *g = arguments.g + (((size_t)n * C + c) * side + h) * side + w;
#pragma unroll
    for (int i = 0; i < N; i += 4)
        *(float4 *)(g + i) = float4{ d[i], d[i + 1], d[i + 2], d[i + 3] };
}

/* Of the norm that follows the convolution, for one of its channels. */
struct gradient_factors {
    float scale, slope, constant;
};

/* A batch of a chunk's rows on its way. */
template <int N> struct gradient_fill {
    float4 g[N], y[N];
};

template <class T, int N>
DEVICE void load_fill(struct gradient_fill<N> &fill, const struct cuda_backward_data_arguments &arguments,
                      uint32_t chunk, int turn, uint32_t image0, int first_row)
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        const struct fill_place place =
            fill_place<typename T::chunk, T::THREADS>(turn + i, image0, arguments.count, first_row);
        const size_t at =
            (((size_t)place.image * T::K + chunk * T::CHANNELS + place.channel) * T::P + place.row) * T::P +
            place.column;
        fill.g[i] = *(const float4 *)(arguments.output.g + at);
        fill.y[i] = *(const float4 *)(arguments.output.y + at);
    }
}

template <class T, int N>
DEVICE void store_fill(float *x, const struct gradient_fill<N> &fill,
                       const struct cuda_backward_data_arguments &arguments, const struct gradient_factors *factors,
                       uint32_t chunk, int turn, uint32_t image0, int first_row)
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        const struct fill_place place =
            fill_place<typename T::chunk, T::THREADS>(turn + i, image0, arguments.count, first_row);
        const uint32_t k = chunk * T::CHANNELS + place.channel;
        const float4 g = fill.g[i], y = fill.y[i];
        const struct gradient_factors f = factors[k];
        const float4 v = { fmaf(g.x, f.scale, fmaf(f.slope, y.x, f.constant)),
                           fmaf(g.y, f.scale, fmaf(f.slope, y.y, f.constant)),
                           fmaf(g.z, f.scale, fmaf(f.slope, y.z, f.constant)),
                           fmaf(g.w, f.scale, fmaf(f.slope, y.w, f.constant)) };
        if (place.writes)
            *(float4 *)(x + place.at) = only_if(place.inside, v);
    }
}

template <class T>
static __global__ void __launch_bounds__(T::THREADS, T::BESIDE)
    backward_data_kernel(const struct cuda_backward_data_arguments arguments)
{
    extern __shared__ float4 dynamic_shared[];
    __shared__ struct gradient_factors factors[T::K];
    float *x = (float *)dynamic_shared, *w = x + T::chunk::FLOATS;
    const uint32_t pixel = threadIdx.x % T::PIXEL_THREADS, slice = threadIdx.x / T::PIXEL_THREADS;
    const uint32_t column = pixel % T::COLUMNS * T::TX, line = pixel / T::COLUMNS % (T::ROWS / T::LINES),
                   within = pixel / T::IMAGE_THREADS;
    const uint32_t image0 = blockIdx.x / T::BANDS * T::IMAGES, row0 = blockIdx.x % T::BANDS * T::ROWS;
    const uint32_t first = blockIdx.y * T::CB, count = arguments.count, image = image0 + within;
    float acc[T::TC][8];
#pragma unroll
    for (int c = 0; c < T::TC; c++) {
#pragma unroll
        for (int i = 0; i < 8; i++)
            acc[c][i] = 0.0f;
    }
    const int first_row = T::STRIDE == 1 ? (int)row0 - 1 : (int)row0 / 2;
    typedef fill_shape<typename T::chunk, T::THREADS> F;
    struct gradient_fill<F::BATCH> fill;
    struct weight_fill<T::CHANNELS, T::CB, T::THREADS> weights;
    static_assert((bool)F::AHEAD || (int)T::CHUNKS == 1, "every next chunk is on its way in time");
    load_fill<T>(fill, arguments, 0, 0, image0, first_row);
    if (T::WEIGHTS_FIRST)
        load_fill(weights, arguments.weights, T::C, first);
    clear_borders<typename T::chunk, T::THREADS>(x);
    if (threadIdx.x < T::K)
        factors[threadIdx.x] =
            gradient_factors{ arguments.output.norm[threadIdx.x].scale, arguments.output.gradient[threadIdx.x].slope,
                              arguments.output.gradient[threadIdx.x].constant };
    __syncthreads();
    for (uint32_t chunk = 0; chunk < T::CHUNKS; chunk++) {
        if (chunk > 0 || !T::WEIGHTS_FIRST)
            load_fill(weights, arguments.weights + (size_t)chunk * 9 * T::CHANNELS * T::C, T::C, first);
        if (chunk > 0)
            __syncthreads();
        store_fill<T>(x, fill, arguments, factors, chunk, 0, image0, first_row);
        for (int turn = F::BATCH; turn < F::TURNS; turn += F::BATCH) {
            load_fill<T>(fill, arguments, chunk, turn, image0, first_row);
            store_fill<T>(x, fill, arguments, factors, chunk, turn, image0, first_row);
        }
        store_fill(w, weights);
        __syncthreads();
        if (chunk + 1 < T::CHUNKS) /* on their way while this chunk is multiplied */
            load_fill<T>(fill, arguments, chunk + 1, 0, image0, first_row);
        const float *rows =
            x + (within * T::chunk::ROWS + line) * T::chunk::PITCH + T::chunk::BEFORE + column / T::STRIDE;
        if (T::STRIDE == 1)
            multiply_all<T>(acc, rows, w + slice * T::TC);
        else
            multiply_existing<T>(acc, rows, w + slice * T::TC);
    }
    const uint32_t c0 = first + slice * T::TC, h = row0 + line * T::LINES;
    const bool inside = image < count;
    const uint32_t unit = image * T::UNITS + ((row0 / T::LINES + line) * T::COLUMNS) / T::IMAGE_LANES;
    float *sums = arguments.statistics.sums.sums + (size_t)unit * 2 * T::C + c0;
    enum { AT_ONCE = T::BESIDE > 2 && T::TC > 4 ? 2 : 4 }; /* channels */
#pragma unroll
    for (int c1 = 0; c1 < T::TC; c1 += AT_ONCE) {
        struct finish_fill<T::TX> fill[AT_ONCE][T::LINES];
        struct finish_factors norms[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            const struct exact_norm *norm = &arguments.statistics.norm[c0 + c1 + i];
            norms[i] = finish_factors{ norm->scale, norm->shift, norm->mean32 };
        }
        if (inside)
            load_fill(fill, arguments, image, c0 + c1, h, column);
#pragma unroll
        for (int c = c1; c < c1 + AT_ONCE; c++) {
            float sum, product;
            float products[T::LINES][T::TX], d[T::LINES][T::TX];
#pragma unroll
            for (int i = 0; i < T::LINES; i++) {
#pragma unroll
                for (int j = 0; j < T::TX; j++) {
                    d[i][j] = acc[c][i * T::TX + j];
                    products[i][j] = 0.0f;
                }
                if (inside)
                    finish_row(d[i], products[i], fill[c - c1][i], arguments, norms[c - c1], image, c0 + c, h + i,
                               column);
            }
            if (T::LINES == 1) {
                sum = lane_tree_between(tree_of(d[0]), 1, T::IMAGE_LANES);
                product = lane_tree_between(tree_of(products[0]), 1, T::IMAGE_LANES);
            } else { /* each row first */
                sum = lane_tree_between(tree_of(d[0]), 1, T::COLUMNS) +
                      lane_tree_between(tree_of(d[T::LINES - 1]), 1, T::COLUMNS);
                product = lane_tree_between(tree_of(products[0]), 1, T::COLUMNS) +
                          lane_tree_between(tree_of(products[T::LINES - 1]), 1, T::COLUMNS);
                sum = lane_tree_between(sum, T::COLUMNS, T::IMAGE_LANES);
                product = lane_tree_between(product, T::COLUMNS, T::IMAGE_LANES);
            }
            if (inside && threadIdx.x % T::IMAGE_LANES == 0) {
                sums[c] = sum;
                sums[T::C + c] = product;
            }
        }
    }
    const struct sums_shape shape = { T::C, first, count, T::UNITS, (double)count * (T::H * T::H) };
    finish_gradient_statistics<T::THREADS, T::CB>(arguments.statistics, shape, gridDim.x);
}

template <class T>
static cudaError_t backward(const struct cuda_backward_data_arguments *arguments, cudaStream_t stream)
{
    const dim3 grid(divide_up(arguments->count, T::IMAGES) * T::BANDS, T::C / T::CB);
    static_assert((int)T::C / (int)T::CB <= (int)GPU_ARRIVALS && (int)T::UNITS <= (int)GPU_UNITS,
                  "what the caller allocates");
    return launch(backward_data_kernel<T>, grid, dim3(T::THREADS), T::SHARED_BYTES, stream, *arguments);
}

extern "C" cudaError_t cuda_backward_data(const struct cuda_backward_data_arguments *arguments, cudaStream_t stream)
{
    const struct cuda_shape *shape = &arguments->shape;
    switch (shape->H) {
    case 32:
        return shape->stride == 2 ? backward<backward_tile<32, 16, 16, 2, 1, 16, 16, 8>>(arguments, stream)
                                  : backward<backward_tile<16, 16, 32, 1, 1, 16, 16, 8>>(arguments, stream);
    case 16:
        return shape->stride == 2 ? backward<backward_tile<64, 32, 8, 2, 1, 16, 32, 8>>(arguments, stream)
                                  : backward<backward_tile<32, 32, 16, 1, 1, 16, 32, 8>>(arguments, stream);
    case 8:
        return backward<backward_tile<64, 64, 8, 1, 4, 8, 16, 4>>(arguments, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
