/* From bytes to the network's input: mean padding against numpy.pad, crops and flips against the definition, every
 * rounding. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "trainer/input.h"

enum { SIDE = DATASET_SIDE, PAD_MAX = 8, WIDE = SIDE + 2 * PAD_MAX };

static const uint32_t MULTIPLIER = 1664525, INCREMENT = 1013904223;

/* As make_image of check/goldens/input_padding.py. */
static void make_image(uint32_t seed, uint8_t *image)
{
    uint32_t random = seed;
    for (int at = 0; at < DATASET_IMAGE_BYTES; at++) {
        random = random * MULTIPLIER + INCREMENT;
        image[at] = (uint8_t)(seed < 4 ? random >> 24 : (random >> 31) + 7 * (seed - 4));
    }
}

static struct dataset make_training(uint32_t count)
{
    struct dataset training;
    struct error error;
    assert_int_equal(dataset_allocate(&training, count, &error), STATUS_OK);
    return training;
}

static struct input *open_input(const struct input_config *config, const struct dataset *training)
{
    struct error error;
    struct input *input;
    assert_int_equal(input_open(&input, config, training, &error), STATUS_OK);
    return input;
}

/* An input whose numbers are the bytes: the training set is black. */
static struct input *open_bytes(uint32_t padding_pixels, enum padding padding)
{
    struct dataset training = make_training(1);
    struct input_config config = { .padding_pixels = padding_pixels,
                                   .padding = padding,
                                   .normalization = NORMALIZE_CHANNEL_MEAN };
    struct input *input = open_input(&config, &training);
    dataset_free(&training);
    return input;
}

static void load(const struct input *input, const uint8_t *image, int row, int column, int flip, float x[3][SIDE][SIDE])
{
    struct sample sample = { .row = (uint8_t)row, .column = (uint8_t)column, .flip = (uint8_t)flip };
    input_load(input, image, &sample, &x[0][0][0], SIDE * SIDE, SIDE, 1);
}

/* The padded image, put together from its four corner crops. */
static void assemble(const struct input *input, const uint8_t *image, int pad, float padded[3][WIDE][WIDE])
{
    float x[3][SIDE][SIDE];
    for (int corner = 0; corner < 4; corner++) {
        int row = corner / 2 * 2 * pad, column = corner % 2 * 2 * pad;
        load(input, image, row, column, 0, x);
        for (int at = 0; at < DATASET_IMAGE_BYTES; at++)
            padded[at / DATASET_PIXELS][row + at / SIDE % SIDE][column + at % SIDE] = (&x[0][0][0])[at];
    }
}

static void test_mean_padding_as_numpy(void **state)
{
    (void)state;
    static const struct {
        uint32_t seed;
        int pad;
        uint32_t hash;
    } goldens[] = {
#define INPUT_PADDING_HASHES
#include "check/goldens/input_padding.h"
#undef INPUT_PADDING_HASHES
    };
    static float padded[3][WIDE][WIDE];
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        uint8_t image[DATASET_IMAGE_BYTES];
        int pad = goldens[i].pad;
        make_image(goldens[i].seed, image);
        struct input *input = open_bytes((uint32_t)pad, PADDING_MEAN);
        assemble(input, image, pad, padded);
        uint32_t hash = 0;
        for (int c = 0; c < 3; c++) {
            for (int row = 0; row < SIDE + 2 * pad; row++) {
                for (int column = 0; column < SIDE + 2 * pad; column++)
                    hash = hash * MULTIPLIER + (uint32_t)padded[c][row][column] + 1;
            }
        }
        assert_int_equal(hash, goldens[i].hash);
        input_close(input);
    }
}

static void test_mean_padding_corner(void **state)
{
    (void)state;
    static const uint8_t rows[3][SIDE + 8] = {
#define INPUT_PADDING_ROW
#include "check/goldens/input_padding.h"
#undef INPUT_PADDING_ROW
    };
    static float padded[3][WIDE][WIDE];
    uint8_t image[DATASET_IMAGE_BYTES];
    make_image(0, image);
    struct input *input = open_bytes(4, PADDING_MEAN);
    assemble(input, image, 4, padded);
    for (int c = 0; c < 3; c++) {
        for (int column = 0; column < SIDE + 8; column++)
            assert_true(padded[c][0][column] == (float)rows[c][column]);
    }
    input_close(input);
}

/* Every crop, flipped and not, is the definition's window of the padded image, whatever the padding. */
static void test_crops_and_flips(void **state)
{
    (void)state;
    static const enum padding paddings[] = { PADDING_MEAN, PADDING_ZERO, PADDING_ZERO_RAW };
    static float padded[3][WIDE][WIDE], x[3][SIDE][SIDE];
    uint8_t image[DATASET_IMAGE_BYTES];
    make_image(2, image);
    for (int pad = 0; pad <= PAD_MAX; pad++) {
        for (size_t kind = 0; kind < 3; kind++) {
            struct input *input = open_bytes((uint32_t)pad, paddings[kind]);
            assemble(input, image, pad, padded);
            for (int which = 0; which < 2 * (2 * pad + 1) * (2 * pad + 1); which++) {
                int flip = which % 2, row = which / 2 / (2 * pad + 1), column = which / 2 % (2 * pad + 1);
                load(input, image, row, column, flip, x);
                for (int at = 0; at < DATASET_IMAGE_BYTES; at++) {
                    int c = at / DATASET_PIXELS, i = at / SIDE % SIDE, j = at % SIDE;
                    if (x[c][i][j] != padded[c][row + i][column + (flip ? SIDE - 1 - j : j)])
                        fail_msg("padding %d of kind %zu, crop (%d, %d), flip %d: x[%d][%d][%d]", pad, kind, row,
                                 column, flip, c, i, j);
                }
            }
            input_close(input);
        }
    }
}

static void test_plain_and_strides(void **state)
{
    (void)state;
    enum { ROW = 34 * 4, PIXEL = 4 };
    static float x[3][SIDE][SIDE], bordered[34 * ROW], expected[34 * ROW];
    uint8_t image[DATASET_IMAGE_BYTES];
    make_image(1, image);
    struct input *input = open_bytes(4, PADDING_MEAN);
    input_load_plain(input, image, &x[0][0][0], SIDE * SIDE, SIDE, 1);
    for (int at = 0; at < DATASET_IMAGE_BYTES; at++)
        assert_true((&x[0][0][0])[at] == (float)image[at]);
    /* Interleaved inside a border: nothing else is touched. */
    for (int flip = 0; flip < 2; flip++) {
        struct sample sample = { .row = 1, .column = 7, .flip = (uint8_t)flip };
        load(input, image, 1, 7, flip, x);
        for (int at = 0; at < 34 * ROW; at++)
            bordered[at] = expected[at] = -5.0f;
        for (int at = 0; at < DATASET_IMAGE_BYTES; at++)
            expected[(at / SIDE % SIDE + 1) * ROW + (at % SIDE + 1) * PIXEL + at / DATASET_PIXELS] = (&x[0][0][0])[at];
        input_load(input, image, &sample, bordered + ROW + PIXEL, 1, ROW, PIXEL);
        assert_memory_equal(bordered, expected, sizeof bordered);
    }
    input_close(input);
}

static void test_channel_means(void **state)
{
    (void)state;
    static float padded[3][WIDE][WIDE];
    struct dataset training = make_training(3);
    uint64_t sums[3] = { 0 };
    for (uint32_t n = 0; n < 3; n++)
        make_image(n, training.images + n * DATASET_IMAGE_BYTES);
    for (size_t at = 0; at < 3 * DATASET_IMAGE_BYTES; at++)
        sums[at % DATASET_IMAGE_BYTES / DATASET_PIXELS] += training.images[at];
    struct input_config config = { .padding_pixels = 4,
                                   .padding = PADDING_ZERO_RAW,
                                   .normalization = NORMALIZE_CHANNEL_MEAN };
    struct input *input = open_input(&config, &training);
    assemble(input, training.images, 4, padded);
    for (int c = 0; c < 3; c++) {
        float mean = (float)((double)sums[c] / 3072.0);
        for (int i = 0; i < SIDE; i++) {
            for (int j = 0; j < SIDE; j++)
                assert_true(padded[c][4 + i][4 + j] ==
                            (float)training.images[c * DATASET_PIXELS + i * SIDE + j] - mean);
        }
        assert_true(padded[c][0][0] == -mean);
        assert_true(padded[c][20][39] == -mean);
    }
    input_close(input);
    dataset_free(&training);
}

/* The mean belongs to the source position, wherever the crop and the flip put it; outside is +0. */
static void test_pixel_means(void **state)
{
    (void)state;
    static float x[3][SIDE][SIDE];
    struct dataset training = make_training(7);
    for (uint32_t n = 0; n < 7; n++)
        make_image(n, training.images + n * DATASET_IMAGE_BYTES);
    struct input_config config = { .padding_pixels = 4,
                                   .padding = PADDING_ZERO,
                                   .normalization = NORMALIZE_PIXEL_MEAN };
    struct input *input = open_input(&config, &training);
    load(input, training.images, 1, 6, 1, x);
    for (int at = 0; at < DATASET_IMAGE_BYTES; at++) {
        int c = at / DATASET_PIXELS, i = at / SIDE % SIDE, j = at % SIDE, row = i + 1 - 4,
            column = SIDE - 1 - j + 6 - 4;
        float expected = 0.0f;
        if (row >= 0 && row < SIDE && column >= 0 && column < SIDE) {
            uint32_t sum = 0;
            int source = c * DATASET_PIXELS + row * SIDE + column;
            for (int n = 0; n < 7; n++)
                sum += training.images[n * DATASET_IMAGE_BYTES + source];
            expected = (float)training.images[source] - (float)(sum / 7.0);
        }
        assert_true(x[c][i][j] == expected);
        assert_true(expected != 0.0f || !signbit(x[c][i][j]));
    }
    input_close(input);
    dataset_free(&training);
}

/* Each operation is rounded to binary32; a black border is not a zero one. */
static void test_constants(void **state)
{
    (void)state;
    static float padded[3][WIDE][WIDE];
    uint8_t image[DATASET_IMAGE_BYTES];
    make_image(3, image);
    struct input_config config = { .padding_pixels = 4,
                                   .padding = PADDING_ZERO_RAW,
                                   .normalization = NORMALIZE_CONSTANTS,
                                   .mean = { 0.485, 0.456, 0.406 },
                                   .deviation = { 0.229, 0.224, 0.225 } };
    struct input *input = open_input(&config, NULL);
    assemble(input, image, 4, padded);
    for (int c = 0; c < 3; c++) {
        volatile float mean = (float)config.mean[c]; /* volatile: no wider steps */
        volatile float deviation = (float)config.deviation[c];
        for (int i = 0; i < SIDE; i++) {
            for (int j = 0; j < SIDE; j++) {
                volatile float unit = (float)image[c * DATASET_PIXELS + i * SIDE + j] / 255.0f;
                volatile float centred = unit - mean;
                assert_true(padded[c][4 + i][4 + j] == centred / deviation);
            }
        }
        assert_true(padded[c][3][4] == -mean / deviation);
    }
    input_close(input);
}

static void test_errors(void **state)
{
    (void)state;
    struct error error;
    struct input *input;
    struct dataset empty = { 0 };
    struct input_config config = { .padding_pixels = 4,
                                   .padding = PADDING_ZERO,
                                   .normalization = NORMALIZE_CHANNEL_MEAN };
    assert_int_equal(input_open(&input, &config, NULL, &error), STATUS_INPUT);
    assert_int_equal(input_open(&input, &config, &empty, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "no training images"));
    struct dataset training = make_training(1);
    config.normalization = NORMALIZE_PIXEL_MEAN;
    config.padding = PADDING_MEAN;
    assert_int_equal(input_open(&input, &config, &training, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "padding.mode: zero"));
    assert_null(input);
    input_close(NULL);
    dataset_free(&training);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_padding_as_numpy),
        cmocka_unit_test(test_mean_padding_corner),
        cmocka_unit_test(test_crops_and_flips),
        cmocka_unit_test(test_plain_and_strides),
        cmocka_unit_test(test_channel_means),
        cmocka_unit_test(test_pixel_means),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
