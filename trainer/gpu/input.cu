/* The order of images, the samples of a step, and the network's input from the bytes of the data set: ARITHMETIC.md
 * sections 9 and 10. */
#include "trainer/gpu/kernel.cuh"
#include "trainer/dataset.h"
#include "trainer/random.h"

enum { SIDE = DATASET_SIDE, PIXELS = DATASET_PIXELS, CHANNELS = DATASET_CHANNELS, IMAGE_BYTES = DATASET_IMAGE_BYTES };

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* TILE keys in shared memory at a time; the images of a block lie in one tile. */
enum { KEY_THREADS = 256, RANK_THREADS = 128, TILE = 8 * RANK_THREADS };

static __global__ void __launch_bounds__(KEY_THREADS) draw_keys(const struct gpu_shuffle_arguments arguments)
{
    const uint32_t image = blockIdx.x * KEY_THREADS + threadIdx.x;
    uint32_t random[4];
    if (image >= arguments.images)
        return;
    random_block(arguments.seed, RANDOM_SHUFFLE, arguments.pass, image, random);
    arguments.keys[image] = random[0];
}

/* An image's place is the number of (key, image) pairs below its own: images^2 compares, and no sorting. */
static __global__ void __launch_bounds__(RANK_THREADS) rank_keys(const struct gpu_shuffle_arguments arguments)
{
    __shared__ uint32_t tile[TILE];
    const uint32_t first = blockIdx.x * RANK_THREADS, image = first + threadIdx.x;
    const uint32_t key = image < arguments.images ? arguments.keys[image] : 0;
    uint32_t rank = 0;
    for (uint32_t begin = 0; begin < arguments.images; begin += TILE) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TILE; i += RANK_THREADS) {
            const uint32_t at = begin + i + threadIdx.x;
            tile[i + threadIdx.x] = at < arguments.images ? arguments.keys[at] : 0xffffffffu; /* below none */
        }
        __syncthreads();
        if (begin + TILE <= first) { /* before this block's images: of equal keys theirs come first */
#pragma unroll 16
            for (int i = 0; i < TILE; i++)
                rank += tile[i] <= key;
        } else if (begin > first) {
#pragma unroll 16
            for (int i = 0; i < TILE; i++)
                rank += tile[i] < key;
        } else {
#pragma unroll 16
            for (int i = 0; i < TILE; i++)
                rank += tile[i] < key || (tile[i] == key && begin + i < image);
        }
    }
    if (image < arguments.images)
        arguments.order[rank] = image;
}

cudaError_t gpu_shuffle(const struct gpu_shuffle_arguments *arguments, cudaStream_t stream)
{
    const cudaError_t drawn =
        launch(draw_keys, dim3(divide_up(arguments->images, KEY_THREADS)), dim3(KEY_THREADS), 0, stream, *arguments);
    if (drawn != cudaSuccess)
        return drawn;
    return launch(rank_keys, dim3(divide_up(arguments->images, RANK_THREADS)), dim3(RANK_THREADS), 0, stream,
                  *arguments);
}

/* ---- the step at hand -------------------------------------------------------------------------------------------- */

enum { BEGIN_THREADS = 256 };

/* One block: all threads need to know the slot before the first one moves on to the next. */
static __global__ void __launch_bounds__(BEGIN_THREADS) begin_step(const struct gpu_begin_arguments arguments)
{
    const uint32_t slot = arguments.current->next;
    const struct gpu_step_schedule schedule = arguments.schedules[slot];
    __syncthreads();
    if (threadIdx.x == 0) {
        const struct gpu_current current = { slot + 1, slot, schedule.rate };
        const struct gpu_step_result cleared = { 0.0f, 0, GPU_NO_CULPRIT, 0, { 0, 0 } };
        *arguments.current = current;
        arguments.results[slot] = cleared;
    }
    for (uint32_t i = threadIdx.x; i < arguments.count; i += BEGIN_THREADS) {
        const uint32_t left = arguments.images - schedule.place; /* in the first image's pass */
        const uint64_t pass = schedule.pass + (i >= left);
        const uint32_t place = i >= left ? i - left : schedule.place + i;
        const uint32_t *order = pass & 1 ? arguments.orders[1] : arguments.orders[0];
        const uint32_t image = order[place];
        arguments.samples[i] = sample_augmented(arguments.seed, pass, image, arguments.padding_pixels,
                                                arguments.crop != 0, arguments.flip != 0);
        arguments.batch_labels[i] = arguments.labels[image];
    }
}

cudaError_t gpu_begin(const struct gpu_begin_arguments *arguments, cudaStream_t stream)
{
    return launch(begin_step, dim3(1), dim3(BEGIN_THREADS), 0, stream, *arguments);
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

enum { LOAD_THREADS = 256, ROW_BYTES = SIDE + 4 }; /* rows of shared memory begin in different banks */

/* An image, and the border of PADDING_MEAN: rows 0 .. 31 of a channel are the image's, row 32 is the one above and
 * below it; edge[c][row] is the pixel left and right of a row. */
struct image_planes {
    alignas(4) uint8_t row[CHANNELS][SIDE + 1][ROW_BYTES];
    uint8_t edge[CHANNELS][SIDE + 1];
};

/* All threads of the block call it; the planes may be read on return. */
DEVICE void take_image(const uint8_t *image, bool with_border, struct image_planes &planes)
{
    for (uint32_t at = 4 * threadIdx.x; at < IMAGE_BYTES; at += 4 * LOAD_THREADS)
        *(uint32_t *)&planes.row[at / PIXELS][at / SIDE % SIDE][at % SIDE] = *(const uint32_t *)(image + at);
    __syncthreads();
    if (!with_border)
        return;
    for (uint32_t at = threadIdx.x; at < CHANNELS * SIDE; at += LOAD_THREADS) {
        uint32_t sum = 0;
        for (int i = 0; i < SIDE; i++)
            sum += planes.row[at / SIDE][i][at % SIDE];
        planes.row[at / SIDE][SIDE][at % SIDE] = (uint8_t)exact_mean_of_32(sum);
    }
    __syncthreads();
    for (uint32_t at = threadIdx.x; at < CHANNELS * (SIDE + 1); at += LOAD_THREADS) {
        uint32_t sum = 0;
        for (int j = 0; j < SIDE; j++)
            sum += planes.row[at / (SIDE + 1)][at % (SIDE + 1)][j];
        planes.edge[at / (SIDE + 1)][at % (SIDE + 1)] = (uint8_t)exact_mean_of_32(sum);
    }
    __syncthreads();
}

/* A block per image. */
static __global__ void __launch_bounds__(LOAD_THREADS) load(const struct gpu_load_arguments arguments)
{
    __shared__ struct image_planes planes;
    const int pad = (int)arguments.padding_pixels;
    struct sample sample = { arguments.first + blockIdx.x, (uint8_t)pad, (uint8_t)pad, 0 };
    if (arguments.samples != NULL)
        sample = arguments.samples[blockIdx.x];
    const int down = sample.row - pad, right = sample.column - pad;
    const bool moved = down != 0 || right != 0;
    take_image(arguments.images + (size_t)sample.image * IMAGE_BYTES, moved && arguments.padding == PADDING_MEAN,
               planes);
    float *x = arguments.x + (size_t)blockIdx.x * IMAGE_BYTES;
#pragma unroll 4
    for (uint32_t at = threadIdx.x; at < IMAGE_BYTES; at += LOAD_THREADS) {
        const uint32_t c = at / PIXELS;
        const int i = (int)(at / SIDE % SIDE) + down, j = (int)(at % SIDE);
        const int column = (sample.flip ? SIDE - 1 - j : j) + right;
        const bool row_outside = i < 0 || i >= SIDE, outside = row_outside || column < 0 || column >= SIDE;
        const uint32_t row = row_outside ? SIDE : i;
        uint32_t byte = 0;
        if (!outside || (arguments.padding == PADDING_MEAN && column >= 0 && column < SIDE))
            byte = planes.row[c][row][column];
        else if (arguments.padding == PADDING_MEAN)
            byte = planes.edge[c][row];
        if (outside && arguments.padding == PADDING_ZERO)
            x[at] = 0.0f;
        else if (arguments.pixel_mean != NULL)
            x[at] = (float)byte - __ldg(&arguments.pixel_mean[c * PIXELS + i * SIDE + column]);
        else
            x[at] = __ldg(&arguments.value[c * 256 + byte]);
    }
}

cudaError_t gpu_load(const struct gpu_load_arguments *arguments, cudaStream_t stream)
{
    return launch(load, dim3(arguments->count), dim3(LOAD_THREADS), 0, stream, *arguments);
}
