/* The order of images, the samples of a step and the input on the device: the same as the sampler's and the input's. */
#include "check/support/cuda_memory.h"
#include "trainer/gpu/kernels.h"
#include "trainer/input.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"

enum { SIDE = DATASET_SIDE };

static struct sampler *open_sampler(const struct recipe *recipe, uint32_t images)
{
    struct error error;
    struct sampler *sampler;
    assert_int_equal(sampler_open(&sampler, recipe, images, &error), STATUS_OK);
    return sampler;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static void check_order(uint64_t seed, uint64_t pass, uint32_t images)
{
    const struct recipe recipe = { .training = { .batch_size = images, .last_batch = LAST_BATCH_SHORT, .seed = seed } };
    struct sampler *sampler = open_sampler(&recipe, images);
    struct sample *samples = calloc(images, sizeof *samples);
    uint32_t *expected = calloc(images, sizeof *expected);
    struct cuda_memory memory = { .count = 0 };
    const struct gpu_shuffle_arguments arguments = { .seed = seed,
                                                     .pass = pass,
                                                     .images = images,
                                                     .keys = cuda_blank(&memory, images * sizeof(uint32_t)),
                                                     .order = cuda_blank(&memory, images * sizeof(uint32_t)) };
    assert_true(samples != NULL && expected != NULL);
    sampler_batch(sampler, pass, samples);
    for (uint32_t i = 0; i < images; i++)
        expected[i] = samples[i].image;
    cuda_expect(gpu_shuffle(&arguments, cuda_stream(&memory)));
    cuda_expect_equal(expected, arguments.order, images * sizeof *expected);
    cuda_release(&memory);
    free(samples);
    free(expected);
    sampler_close(sampler);
}

static void test_order(void **unused)
{
    static const uint32_t counts[] = { 1, 2, 3, 33, 127, 128, 129, 1000, 1023, 1024, 1025, 2049 };
    (void)unused;
    for (uint32_t order = 0; order < CUDA_ORDERS; order++) {
        cuda_order(order);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            check_order(0x123456789abcdef0, i + ((uint64_t)i << 33), counts[i]);
    }
}

/* Two images with one key: the lower one comes first, in whichever tiles of keys they lie. */
static void test_equal_keys(void **unused)
{
    static const struct {
        uint64_t seed;
        uint32_t images[2];
    } ties[] = { { 4705, { 892, 1019 } }, { 2078, { 2192, 2210 } }, { 3963, { 171, 1304 } }, { 7513, { 54, 2395 } } };
    (void)unused;
    for (size_t i = 0; i < sizeof ties / sizeof *ties; i++) {
        uint32_t words[2][4];
        for (int j = 0; j < 2; j++)
            random_block(ties[i].seed, RANDOM_SHUFFLE, 0, ties[i].images[j], words[j]);
        assert_int_equal(words[0][0], words[1][0]);
        check_order(ties[i].seed, 0, 2500);
    }
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

enum { STEPS = 9 };

/* What a host gives a series of steps, and the orders of the two passes at hand. */
static void check_steps(const struct recipe *recipe, uint32_t images, uint64_t first)
{
    const struct training_config *training = &recipe->training;
    const uint32_t batch = training->batch_size;
    struct sampler *sampler = open_sampler(recipe, images);
    struct sample *expected = calloc(batch, sizeof *expected), *found = calloc(batch, sizeof *found);
    uint8_t *labels = calloc(images, 1), *found_labels = calloc(batch, 1);
    assert_true(expected != NULL && found != NULL && labels != NULL && found_labels != NULL);
    for (uint32_t i = 0; i < images; i++)
        labels[i] = (uint8_t)(i * 7 % 10);
    struct gpu_step_schedule schedules[STEPS];
    for (uint32_t i = 0; i < STEPS; i++) {
        const uint64_t per_pass = (images + batch - 1) / batch, step = first + i;
        const bool continues = training->last_batch == LAST_BATCH_CONTINUE;
        schedules[i].pass = continues ? step * batch / images : step / per_pass;
        schedules[i].place = (uint32_t)(continues ? step * batch % images : step % per_pass * batch);
        schedules[i].rate = 0.125f * (float)(i + 1);
    }
    struct cuda_memory memory = { .count = 0 };
    const struct gpu_current start = { 0, 77, -1.0f };
    uint32_t *orders[2], *keys = cuda_blank(&memory, images * sizeof *keys);
    for (int i = 0; i < 2; i++)
        orders[i] = cuda_blank(&memory, images * sizeof *orders[i]);
    struct gpu_begin_arguments arguments = {
        .schedules = cuda_copy(&memory, schedules, sizeof schedules),
        .current = cuda_copy(&memory, &start, sizeof start),
        .results = cuda_blank(&memory, STEPS * sizeof(struct gpu_step_result)),
        .orders = { orders[0], orders[1] },
        .labels = cuda_copy(&memory, labels, images),
        .images = images,
        .seed = training->seed,
        .padding_pixels = recipe->input.padding_pixels,
        .crop = recipe->input.random_crop,
        .flip = recipe->input.random_flip,
        .samples = cuda_blank(&memory, batch * sizeof(struct sample)),
        .batch_labels = cuda_blank(&memory, batch),
    };
    for (uint32_t i = 0; i < STEPS; i++) {
        for (uint64_t pass = schedules[i].pass; pass < schedules[i].pass + 2; pass++) {
            const struct gpu_shuffle_arguments shuffle = { training->seed, pass, images, keys, orders[pass % 2] };
            cuda_expect(gpu_shuffle(&shuffle, cuda_stream(&memory)));
        }
        arguments.count = schedule_batch(training, images, first + i);
        cuda_expect(gpu_begin(&arguments, cuda_stream(&memory)));
        sampler_batch(sampler, first + i, expected);
        cuda_fetch(found, arguments.samples, batch * sizeof *found);
        cuda_fetch(found_labels, arguments.batch_labels, batch);
        for (uint32_t j = 0; j < arguments.count; j++) {
            assert_int_equal(found[j].image, expected[j].image);
            assert_int_equal(found[j].row, expected[j].row);
            assert_int_equal(found[j].column, expected[j].column);
            assert_int_equal(found[j].flip, expected[j].flip);
            assert_int_equal(found_labels[j], labels[expected[j].image]);
        }
        struct gpu_current current;
        cuda_fetch(&current, arguments.current, sizeof current);
        assert_int_equal(current.next, i + 1);
        assert_int_equal(current.slot, i);
        assert_true(current.rate == schedules[i].rate);
        struct gpu_step_result results[STEPS];
        cuda_fetch(results, arguments.results, sizeof results);
        assert_true(results[i].loss == 0.0f && results[i].digest[0] == 0 && results[i].digest[1] == 0);
        assert_int_equal(results[i].errors, 0);
        assert_int_equal(results[i].culprit, GPU_NO_CULPRIT);
        for (uint32_t j = i + 1; j < STEPS; j++)
            assert_int_equal(results[j].errors, UINT32_MAX);
    }
    cuda_release(&memory);
    sampler_close(sampler);
    free(expected);
    free(found);
    free(labels);
    free(found_labels);
}

static void test_steps(void **unused)
{
    static const uint32_t batches[] = { 1, 2, 3, 5, 7, 8, 33, 128, 129, 300 };
    (void)unused;
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct recipe recipe = { .input = { .padding_pixels = 4, .random_crop = true, .random_flip = true },
                                 .training = { .batch_size = batches[i], .seed = 5 + i } };
        cuda_order((uint32_t)i % CUDA_ORDERS);
        for (int continues = 0; continues < 2; continues++) {
            recipe.training.last_batch = continues ? LAST_BATCH_CONTINUE : LAST_BATCH_SHORT;
            check_steps(&recipe, 300, 0);
            check_steps(&recipe, 301, 300 / batches[i]); /* the first steps pass the end of a pass */
            check_steps(&recipe, 301, ((uint64_t)1 << 33) / batches[i]);
        }
        recipe.input.random_crop = i % 2;
        recipe.input.random_flip = !recipe.input.random_crop;
        check_steps(&recipe, 310, 3);
    }
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

enum { IMAGES = 12 };

static struct dataset make_images(void)
{
    struct dataset images;
    struct error error;
    assert_int_equal(dataset_allocate(&images, IMAGES, &error), STATUS_OK);
    for (uint32_t at = 0; at < IMAGES * DATASET_IMAGE_BYTES; at++) {
        uint32_t words[4];
        random_block(9, RANDOM_EMBEDDED, 0, at, words);
        /* Images of two values have means that lie in the middle. */
        images.images[at] = (uint8_t)(at / DATASET_IMAGE_BYTES % 2 == 0 ? words[0] >> 24 : words[0] >> 31);
    }
    return images;
}

/* Corners, borders and the middle, each both ways round. */
static struct sample sample_number(uint32_t i, uint32_t pad)
{
    static const uint8_t places[9][2] = { { 0, 0 }, { 0, 2 }, { 2, 0 }, { 2, 2 }, { 1, 1 },
                                          { 1, 0 }, { 0, 1 }, { 2, 1 }, { 1, 2 } };
    return (struct sample){ .image = i * 5 % IMAGES,
                            .row = (uint8_t)(places[i % 9][0] * pad),
                            .column = (uint8_t)(places[i % 9][1] * pad),
                            .flip = i / 9 % 2 };
}

static void check_load(const struct input_config *config, const struct dataset *images, uint32_t count, bool plain)
{
    struct error error;
    struct input *input;
    assert_int_equal(input_open(&input, config, images, &error), STATUS_OK);
    struct sample *samples = calloc(count, sizeof *samples);
    float *x = calloc(count, DATASET_IMAGE_BYTES * sizeof *x);
    assert_true(samples != NULL && x != NULL);
    const uint32_t first = plain ? IMAGES - count : 0;
    for (uint32_t i = 0; i < count; i++) {
        float *out = x + (size_t)i * DATASET_IMAGE_BYTES;
        samples[i] = sample_number(i + count, config->padding_pixels);
        if (plain)
            input_load_plain(input, images->images + (size_t)(first + i) * DATASET_IMAGE_BYTES, out, SIDE * SIDE, SIDE,
                             1);
        else
            input_load(input, images->images + (size_t)samples[i].image * DATASET_IMAGE_BYTES, &samples[i], out,
                       SIDE * SIDE, SIDE, 1);
    }
    struct cuda_memory memory = { .count = 0 };
    const float *value = input_values(input), *mean = input_pixel_mean(input);
    const size_t bytes = (size_t)count * DATASET_IMAGE_BYTES * sizeof *x;
    const struct gpu_load_arguments arguments = {
        .images = cuda_copy(&memory, images->images, (size_t)IMAGES * DATASET_IMAGE_BYTES),
        .samples = plain ? NULL : cuda_copy(&memory, samples, count * sizeof *samples),
        .first = first,
        .count = count,
        .value = value == NULL ? NULL : cuda_copy(&memory, value, DATASET_CHANNELS * 256 * sizeof *value),
        .pixel_mean = mean == NULL ? NULL : cuda_copy(&memory, mean, DATASET_IMAGE_BYTES * sizeof *mean),
        .padding = config->padding,
        .padding_pixels = config->padding_pixels,
        .x = cuda_blank(&memory, bytes),
    };
    cuda_expect(gpu_load(&arguments, cuda_stream(&memory)));
    cuda_expect_equal(x, arguments.x, bytes);
    cuda_release(&memory);
    free(samples);
    free(x);
    input_close(input);
}

static void test_load(void **unused)
{
    static const uint32_t pads[] = { 0, 1, 4, 8 };
    struct dataset images = make_images();
    (void)unused;
    for (int normalization = NORMALIZE_CHANNEL_MEAN; normalization <= NORMALIZE_CONSTANTS; normalization++) {
        for (int padding = PADDING_MEAN; padding <= PADDING_ZERO_RAW; padding++) {
            for (size_t i = 0; i < sizeof pads / sizeof *pads; i++) {
                const struct input_config config = { .padding_pixels = pads[i],
                                                     .padding = (enum padding)padding,
                                                     .normalization = (enum normalization)normalization,
                                                     .mean = { 0.4914, 0.4822, 0.4465 },
                                                     .deviation = { 0.247, 0.243, 0.261 } };
                if (normalization == NORMALIZE_PIXEL_MEAN && padding != PADDING_ZERO && pads[i] > 0)
                    continue;
                cuda_order((uint32_t)i % CUDA_ORDERS);
                check_load(&config, &images, 18, false);
                check_load(&config, &images, 5, true);
            }
        }
    }
    dataset_free(&images);
}

static void test_load_batches(void **unused)
{
    static const uint32_t counts[] = { 1, 2, 3, 7, 8, 33, 128, 129 };
    const struct input_config config = { .padding_pixels = 4,
                                         .padding = PADDING_MEAN,
                                         .normalization = NORMALIZE_CHANNEL_MEAN };
    struct dataset images = make_images();
    (void)unused;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_load(&config, &images, counts[i], false);
    dataset_free(&images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order), cmocka_unit_test(test_equal_keys),   cmocka_unit_test(test_steps),
        cmocka_unit_test(test_load),  cmocka_unit_test(test_load_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
