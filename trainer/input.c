#include "trainer/input.h"

#include <stdbool.h>
#include <stdlib.h>

#include "trainer/exact.h"

enum { SIDE = DATASET_SIDE };

struct input {
    struct input_config config;
    float value[DATASET_CHANNELS][256];    /* every byte, normalised; not used with pixel means */
    float pixel_mean[DATASET_IMAGE_BYTES]; /* NORMALIZE_PIXEL_MEAN */
};

/* The training set's means: per byte of an image, summed over the images, and per channel over the pixels too. */
static void take_means(const struct dataset *training, float *pixel_mean, float channel_mean[DATASET_CHANNELS])
{
    uint64_t sums[DATASET_IMAGE_BYTES] = { 0 }, channel_sum[DATASET_CHANNELS] = { 0 };
    for (size_t image = 0; image < training->count; image++) {
        for (size_t at = 0; at < DATASET_IMAGE_BYTES; at++)
            sums[at] += training->images[image * DATASET_IMAGE_BYTES + at];
    }
    for (size_t at = 0; at < DATASET_IMAGE_BYTES; at++) {
        pixel_mean[at] = (float)((double)sums[at] / (double)training->count);
        channel_sum[at / DATASET_PIXELS] += sums[at];
    }
    for (int c = 0; c < DATASET_CHANNELS; c++)
        channel_mean[c] = (float)((double)channel_sum[c] / ((double)training->count * DATASET_PIXELS));
}

enum status input_open(struct input **out, const struct input_config *config, const struct dataset *training,
                       struct error *error)
{
    *out = NULL;
    if (config->normalization != NORMALIZE_CONSTANTS && (training == NULL || training->count == 0))
        return error_set(error, STATUS_INPUT,
                         "the input is normalised by the training set's means, but there are no training images");
    if (config->normalization == NORMALIZE_PIXEL_MEAN && config->padding != PADDING_ZERO && config->padding_pixels > 0)
        return error_set(error, STATUS_INPUT,
                         "normalization.kind: pixel-mean needs padding.mode: zero, because the bytes of a border "
                         "have no mean");
    struct input *input = calloc(1, sizeof *input);
    if (input == NULL)
        return error_out_of_memory(error, "the input's tables");
    float mean[DATASET_CHANNELS];
    input->config = *config;
    if (config->normalization != NORMALIZE_CONSTANTS)
        take_means(training, input->pixel_mean, mean);
    for (int c = 0; c < DATASET_CHANNELS; c++) {
        for (int byte = 0; byte < 256; byte++) {
            if (config->normalization == NORMALIZE_CONSTANTS)
                input->value[c][byte] = ((float)byte / 255.0f - (float)config->mean[c]) / (float)config->deviation[c];
            else
                input->value[c][byte] = (float)byte - mean[c];
        }
    }
    *out = input;
    return STATUS_OK;
}

void input_close(struct input *input)
{
    free(input);
}

const float *input_values(const struct input *input)
{
    return input->config.normalization == NORMALIZE_PIXEL_MEAN ? NULL : &input->value[0][0];
}

const float *input_pixel_mean(const struct input *input)
{
    return input->config.normalization == NORMALIZE_PIXEL_MEAN ? input->pixel_mean : NULL;
}

static uint8_t row_mean(const uint8_t row[SIDE])
{
    uint32_t sum = 0;
    for (int j = 0; j < SIDE; j++)
        sum += row[j];
    return (uint8_t)exact_mean_of_32(sum);
}

static void column_means(const uint8_t *plane, uint8_t means[SIDE])
{
    uint16_t sums[SIDE] = { 0 };
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++)
            sums[j] = (uint16_t)(sums[j] + plane[i * SIDE + j]);
    }
    for (int j = 0; j < SIDE; j++)
        means[j] = (uint8_t)exact_mean_of_32(sums[j]);
}

static void fill(float *out, ptrdiff_t step, int first, int end, float value)
{
    for (int k = first; k < end; k++)
        out[k * step] = value;
}

/* The row above and below channel c's plane: all its rows are the same. */
static void make_border(const struct input *input, const uint8_t *plane, uint8_t border[SIDE])
{
    if (input->config.padding == PADDING_MEAN) {
        column_means(plane, border);
        return;
    }
    for (int j = 0; j < SIDE; j++)
        border[j] = 0;
}

/* The pixels left and right of a row. */
static float edge_value(const struct input *input, const float value[256], const uint8_t row[SIDE])
{
    switch (input->config.padding) {
    case PADDING_MEAN:
        return value[row_mean(row)];
    case PADDING_ZERO_RAW:
        return value[0];
    default:
        return 0.0f;
    }
}

void input_load(const struct input *input, const uint8_t *image, const struct sample *sample, float *x,
                ptrdiff_t channel, ptrdiff_t row, ptrdiff_t pixel)
{
    const int pad = (int)input->config.padding_pixels;
    const int down = sample->row - pad, right = sample->column - pad; /* source of the crop's corner */
    /* The columns that come from the image. */
    const int first = right < 0 ? -right : 0, end = right > 0 ? SIDE - right : SIDE;
    const ptrdiff_t step = sample->flip ? -pixel : pixel; /* the crop's column k goes to out[k * step] */
    const bool zero = input->config.padding == PADDING_ZERO;
    for (int c = 0; c < DATASET_CHANNELS; c++) {
        const uint8_t *plane = image + c * DATASET_PIXELS;
        const float *value = input->value[c];
        uint8_t border[SIDE];
        if (down != 0 && !zero)
            make_border(input, plane, border);
        for (int i = 0; i < SIDE; i++) {
            float *out = x + c * channel + i * row + (sample->flip ? (SIDE - 1) * pixel : 0);
            bool outside = down + i < 0 || down + i >= SIDE;
            if (outside && zero) {
                fill(out, step, 0, SIDE, 0.0f);
                continue;
            }
            const uint8_t *source = outside ? border : plane + (down + i) * SIDE;
            if (right != 0) {
                float edge = edge_value(input, value, source);
                fill(out, step, 0, first, edge);
                fill(out, step, end, SIDE, edge);
            }
            if (input->config.normalization == NORMALIZE_PIXEL_MEAN) {
                const float *mean = input->pixel_mean + (source - image);
                for (int k = first; k < end; k++)
                    out[k * step] = (float)source[k + right] - mean[k + right];
            } else {
                for (int k = first; k < end; k++)
                    out[k * step] = value[source[k + right]];
            }
        }
    }
}

void input_load_plain(const struct input *input, const uint8_t *image, float *x, ptrdiff_t channel, ptrdiff_t row,
                      ptrdiff_t pixel)
{
    uint8_t middle = (uint8_t)input->config.padding_pixels;
    input_load(input, image, &(struct sample){ .row = middle, .column = middle }, x, channel, row, pixel);
}
