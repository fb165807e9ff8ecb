/* The order of images, crops and flips: every image once a pass, whatever the order of questions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "trainer/random.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"

enum { IMAGES = 1000, BATCH = 64 };

static struct recipe recipe_of(enum last_batch last_batch)
{
    struct recipe recipe = {
        .input = { .padding_pixels = 4, .random_crop = true, .random_flip = true },
        .training = { .batch_size = BATCH, .last_batch = last_batch, .length = 20, .seed = 0x123456789abcdef0 }
    };
    return recipe;
}

static struct sampler *open_sampler(const struct recipe *recipe, uint32_t images)
{
    struct error error;
    struct sampler *sampler;
    assert_int_equal(sampler_open(&sampler, recipe, images, &error), STATUS_OK);
    return sampler;
}

struct keyed {
    uint32_t key, image;
};

static int by_key_and_image(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

/* The definition, with a comparison sort. */
static void expect_pass(uint64_t seed, uint64_t pass, const struct sample *samples)
{
    struct keyed order[IMAGES];
    uint32_t random[4];
    for (uint32_t image = 0; image < IMAGES; image++) {
        random_block(seed, RANDOM_SHUFFLE, pass, image, random);
        order[image] = (struct keyed){ random[0], image };
    }
    qsort(order, IMAGES, sizeof *order, by_key_and_image);
    for (uint32_t place = 0; place < IMAGES; place++) {
        assert_int_equal(samples[place].image, order[place].image);
        random_block(seed, RANDOM_AUGMENT, pass, order[place].image, random);
        assert_int_equal(samples[place].row, (uint64_t)random[0] * 9 >> 32);
        assert_int_equal(samples[place].column, (uint64_t)random[1] * 9 >> 32);
        assert_int_equal(samples[place].flip, random[2] >> 31);
    }
}

static void check_passes(enum last_batch last_batch)
{
    struct recipe recipe = recipe_of(last_batch);
    struct sampler *sampler = open_sampler(&recipe, IMAGES);
    static struct sample stream[5 * IMAGES + BATCH];
    uint32_t used = 0;
    for (uint64_t step = 0; used < 5 * IMAGES; step++) {
        sampler_batch(sampler, step, stream + used);
        used += schedule_batch(&recipe.training, IMAGES, step);
    }
    for (uint64_t pass = 0; pass < 5; pass++)
        expect_pass(recipe.training.seed, pass, stream + pass * IMAGES);
    assert_true(memcmp(stream, stream + IMAGES, IMAGES * sizeof *stream) != 0);
    sampler_close(sampler);
}

static void test_continuous_stream(void **state)
{
    (void)state;
    check_passes(LAST_BATCH_CONTINUE);
}

static void test_short_last_batch(void **state)
{
    (void)state;
    check_passes(LAST_BATCH_SHORT);
}

/* A question's answer does not depend on those before it. */
static void test_any_order_of_steps(void **state)
{
    (void)state;
    struct recipe recipe = recipe_of(LAST_BATCH_CONTINUE);
    struct sampler *sampler = open_sampler(&recipe, IMAGES);
    static const uint64_t steps[] = { 15, 3, 250, 15, 16, 0, 31, 249 };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct sample asked[BATCH] = { { 0 } }, fresh[BATCH] = { { 0 } };
        struct sampler *other = open_sampler(&recipe, IMAGES);
        sampler_batch(sampler, steps[i], asked);
        sampler_batch(other, steps[i], fresh);
        for (int j = 0; j < BATCH; j++) {
            assert_int_equal(asked[j].image, fresh[j].image);
            assert_int_equal(asked[j].row << 16 | asked[j].column << 8 | asked[j].flip,
                             fresh[j].row << 16 | fresh[j].column << 8 | fresh[j].flip);
        }
        sampler_close(other);
    }
    sampler_close(sampler);
}

static void test_without_augmentation(void **state)
{
    (void)state;
    struct recipe recipe = recipe_of(LAST_BATCH_SHORT);
    struct sample samples[BATCH];
    recipe.input.random_crop = recipe.input.random_flip = false;
    struct sampler *sampler = open_sampler(&recipe, IMAGES);
    sampler_batch(sampler, 2, samples);
    for (int i = 0; i < BATCH; i++) {
        assert_int_equal(samples[i].row, 4);
        assert_int_equal(samples[i].column, 4);
        assert_int_equal(samples[i].flip, 0);
    }
    sampler_close(sampler);
}

/* Positions and flips are spread evenly: chi-square over 81 crops, 80 degrees of freedom, 99.9 % below 125. */
static void test_augmentation_is_even(void **state)
{
    (void)state;
    struct recipe recipe = recipe_of(LAST_BATCH_CONTINUE);
    enum { MANY = 40960 };
    struct sampler *sampler = open_sampler(&recipe, MANY);
    struct sample samples[BATCH];
    uint32_t counts[9][9] = { { 0 } }, flips = 0;
    for (uint64_t step = 0; step < MANY / BATCH; step++) {
        sampler_batch(sampler, step, samples);
        for (int i = 0; i < BATCH; i++) {
            counts[samples[i].row][samples[i].column]++;
            flips += samples[i].flip;
        }
    }
    double expected = MANY / 81.0, chi_square = 0.0;
    for (int i = 0; i < 81; i++) {
        double difference = counts[i / 9][i % 9] - expected;
        chi_square += difference * difference / expected;
    }
    assert_true(chi_square < 125.0);
    assert_in_range(flips, MANY / 2 - 350, MANY / 2 + 350);
    sampler_close(sampler);
}

static void test_errors(void **state)
{
    (void)state;
    struct error error;
    struct sampler *sampler;
    struct recipe recipe = recipe_of(LAST_BATCH_CONTINUE);
    assert_int_equal(sampler_open(&sampler, &recipe, 0, &error), STATUS_INPUT);
    assert_int_equal(sampler_open(&sampler, &recipe, BATCH - 1, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "batch size 64"));
    assert_non_null(strstr(error.message, "63 images"));
    assert_null(sampler);
    sampler_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_continuous_stream),    cmocka_unit_test(test_short_last_batch),
        cmocka_unit_test(test_any_order_of_steps),   cmocka_unit_test(test_without_augmentation),
        cmocka_unit_test(test_augmentation_is_even), cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
