/* Steps, epochs and learning rates of the recipes: numbers worked out by hand from the recipes' texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "trainer/schedule.h"

enum { CIFAR = 50000 };

static const struct training_config MSRA = {
    .batch_size = 128,
    .last_batch = LAST_BATCH_CONTINUE,
    .length_unit = UNIT_EPOCH,
    .length = 180,
    .schedule = { .learning_rate = 0.1,
                  .drop_factor = 0.1,
                  .drop_unit = UNIT_EPOCH,
                  .drop_count = 2,
                  .drops = { 90, 135 } },
};
static const struct training_config PAPER = {
    .batch_size = 128,
    .last_batch = LAST_BATCH_CONTINUE,
    .length_unit = UNIT_STEP,
    .length = 64000,
    .schedule = { .learning_rate = 0.1,
                  .drop_factor = 0.1,
                  .drop_unit = UNIT_STEP,
                  .drop_count = 2,
                  .drops = { 32000, 48000 },
                  .warmup_unit = UNIT_STEP,
                  .warmup_length = 400,
                  .warmup_learning_rate = 0.01 },
};
static const struct training_config AKAMASTER = {
    .batch_size = 128,
    .last_batch = LAST_BATCH_SHORT,
    .length_unit = UNIT_EPOCH,
    .length = 200,
    .schedule = { .learning_rate = 0.1,
                  .drop_factor = 0.1,
                  .drop_unit = UNIT_EPOCH,
                  .drop_count = 2,
                  .drops = { 100, 150 },
                  .warmup_unit = UNIT_EPOCH,
                  .warmup_length = 1,
                  .warmup_learning_rate = 0.01 },
};

/* 390.625 steps an epoch: 5 epochs of 8 have 391, and 180 epochs 70,312.5 steps, rounded up. */
static void test_msra_epochs(void **state)
{
    (void)state;
    static const uint64_t steps[8] = { 391, 391, 390, 391, 391, 390, 391, 390 };
    uint64_t end = 0;
    for (uint64_t epoch = 0; epoch < 180; epoch++) {
        end += steps[epoch % 8];
        assert_int_equal(schedule_epoch_end(&MSRA, CIFAR, epoch), end);
        assert_int_equal(schedule_epoch_of(&MSRA, CIFAR, end - 1), epoch);
        assert_int_equal(schedule_epoch_of(&MSRA, CIFAR, end), epoch + 1);
    }
    assert_int_equal(end, 70313);
    assert_int_equal(schedule_steps(&MSRA, CIFAR), 70313);
    assert_int_equal(schedule_epochs(&MSRA, CIFAR), 180);
    assert_int_equal(schedule_batch(&MSRA, CIFAR, 390), 128);
    assert_int_equal(schedule_batch(&MSRA, CIFAR, 70312), 128);
}

/* 64,000 steps of 128 images are 163.84 passes over 50,000. */
static void test_paper_epochs(void **state)
{
    (void)state;
    assert_int_equal(schedule_steps(&PAPER, CIFAR), 64000);
    assert_int_equal(schedule_epochs(&PAPER, CIFAR), 164);
    assert_int_equal(schedule_epoch_end(&PAPER, CIFAR, 0), 391);
    assert_int_equal(schedule_epoch_end(&PAPER, CIFAR, 162), 63672);
    assert_int_equal(schedule_epoch_end(&PAPER, CIFAR, 163), 64000);
    assert_int_equal(schedule_epoch_of(&PAPER, CIFAR, 63999), 163);
    struct training_config whole = PAPER;
    whole.length = 391; /* ends exactly with an epoch */
    assert_int_equal(schedule_epochs(&whole, CIFAR), 1);
    whole.length = 392;
    assert_int_equal(schedule_epochs(&whole, CIFAR), 2);
    assert_int_equal(schedule_epoch_end(&whole, CIFAR, 1), 392);
}

static void test_akamaster_epochs(void **state)
{
    (void)state;
    assert_int_equal(schedule_steps(&AKAMASTER, CIFAR), 200 * 391);
    assert_int_equal(schedule_epochs(&AKAMASTER, CIFAR), 200);
    for (uint64_t epoch = 0; epoch < 200; epoch++) {
        uint64_t end = schedule_epoch_end(&AKAMASTER, CIFAR, epoch);
        assert_int_equal(end, 391 * (epoch + 1));
        assert_int_equal(schedule_batch(&AKAMASTER, CIFAR, end - 1), 80);
        assert_int_equal(schedule_batch(&AKAMASTER, CIFAR, end - 2), 128);
        assert_int_equal(schedule_epoch_of(&AKAMASTER, CIFAR, end - 1), epoch);
        assert_int_equal(schedule_epoch_of(&AKAMASTER, CIFAR, end), epoch + 1);
    }
    /* A multiple of the batch has no short batch; fewer images than a batch make one short step an epoch. */
    assert_int_equal(schedule_epoch_end(&AKAMASTER, 256, 0), 2);
    assert_int_equal(schedule_batch(&AKAMASTER, 256, 1), 128);
    assert_int_equal(schedule_epoch_end(&AKAMASTER, 100, 4), 5);
    assert_int_equal(schedule_batch(&AKAMASTER, 100, 3), 100);
}

/* 0.1 * 0.1 and that again * 0.1 in binary64, which are not the nearest to 0.01 and 0.001 there, rounded to binary32 at
 * the end. */
static void test_drops_by_epoch(void **state)
{
    (void)state;
    uint64_t first = schedule_epoch_end(&MSRA, CIFAR, 89), second = schedule_epoch_end(&MSRA, CIFAR, 134);
    assert_int_equal(first, 35157);  /* ceil(90 * 390.625) */
    assert_int_equal(second, 52735); /* ceil(135 * 390.625) */
    assert_true(schedule_learning_rate(&MSRA, CIFAR, 0) == 0.1f);
    assert_true(schedule_learning_rate(&MSRA, CIFAR, first - 1) == 0.1f);
    assert_true(schedule_learning_rate(&MSRA, CIFAR, first) == (float)0x1.47ae147ae147cp-7);
    assert_true(schedule_learning_rate(&MSRA, CIFAR, second - 1) == (float)0x1.47ae147ae147cp-7);
    assert_true(schedule_learning_rate(&MSRA, CIFAR, second) == (float)0x1.0624dd2f1a9fdp-10);
    assert_int_equal(schedule_drop_step(&MSRA, CIFAR, 0), first);
    assert_int_equal(schedule_drop_step(&MSRA, CIFAR, 1), second);
}

static void test_drops_by_step(void **state)
{
    (void)state;
    assert_true(schedule_learning_rate(&PAPER, CIFAR, 399) == 0.01f);
    assert_true(schedule_learning_rate(&PAPER, CIFAR, 400) == 0.1f);
    assert_true(schedule_learning_rate(&PAPER, CIFAR, 31999) == 0.1f);
    assert_true(schedule_learning_rate(&PAPER, CIFAR, 32000) == (float)(0.1 * 0.1));
    assert_true(schedule_learning_rate(&PAPER, CIFAR, 48000) == (float)(0.1 * 0.1 * 0.1));
    assert_int_equal(schedule_drop_step(&PAPER, CIFAR, 1), 48000);
}

/* The order of the products shows in the bits: three drops by 0.3 from 0.7 are ((0.7 * 0.3) * 0.3) * 0.3. */
static void test_product_order(void **state)
{
    (void)state;
    struct training_config training = MSRA;
    training.schedule = (struct schedule_config){
        .learning_rate = 0.7, .drop_factor = 0.3, .drop_unit = UNIT_STEP, .drop_count = 3, .drops = { 0, 1, 2 }
    };
    double expected = 0.7;
    for (uint64_t step = 0; step < 3; step++) {
        expected *= 0.3;
        assert_true(schedule_learning_rate(&training, CIFAR, step) == (float)expected);
    }
}

static void test_warmup_by_epoch(void **state)
{
    (void)state;
    assert_true(schedule_learning_rate(&AKAMASTER, CIFAR, 390) == 0.01f);
    assert_true(schedule_learning_rate(&AKAMASTER, CIFAR, 391) == 0.1f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msra_epochs),      cmocka_unit_test(test_paper_epochs),
        cmocka_unit_test(test_akamaster_epochs), cmocka_unit_test(test_drops_by_epoch),
        cmocka_unit_test(test_drops_by_step),    cmocka_unit_test(test_product_order),
        cmocka_unit_test(test_warmup_by_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
