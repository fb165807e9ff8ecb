/* Comparisons of two records, made up in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "results/compare.h"

enum { EPOCHS = 3, STEPS = 7 }; /* the last step is of an epoch that is not whole */

struct run {
    struct record record;
    struct metrics_row metrics[EPOCHS];
    struct ledger_row ledger[STEPS];
};

static void make(struct run *run)
{
    memset(run, 0, sizeof *run);
    run->record.facts.arithmetic = "exact-1";
    run->record.metrics = run->metrics;
    run->record.ledger = run->ledger;
    run->record.epochs = EPOCHS;
    run->record.steps = STEPS;
    for (uint64_t i = 0; i < STEPS; i++)
        run->ledger[i] = (struct ledger_row){ .loss = 1.0f / (float)(i + 1), .errors = 3, .digest = { i, ~i } };
    for (uint64_t i = 0; i < EPOCHS; i++) {
        run->metrics[i] = (struct metrics_row){
            .epoch = i, .end_step = 2 * (i + 1), .validation_error = 10.0, .training_seconds = 5.0
        };
        memset(run->metrics[i].weights_sha256, 'a', DIGEST_HEX_BYTES - 1);
        memset(run->metrics[i].chain_sha256, 'b', DIGEST_HEX_BYTES - 1);
    }
}

static struct comparison compare(const struct run *a, const struct run *b)
{
    struct comparison c;
    compare_records(&a->record, &b->record, &c);
    return c;
}

static void test_identical(void **state)
{
    (void)state;
    static struct run a, b;
    make(&a);
    make(&b);
    b.metrics[1].training_seconds = 6.0; /* the machine's */
    b.metrics[1].images_per_second = 1.0;
    struct comparison c = compare(&a, &b);
    assert_true(c.identical);
    assert_false(c.incomplete);
    assert_int_equal(c.epochs, EPOCHS);
    assert_int_equal(c.steps, STEPS);
    /* The same NaN is no difference; a zero of the other sign is. */
    a.ledger[2].loss = b.ledger[2].loss = NAN;
    assert_true(compare(&a, &b).identical);
    a.ledger[3].loss = 0.0f;
    b.ledger[3].loss = -0.0f;
    c = compare(&a, &b);
    assert_false(c.identical);
    assert_int_equal(c.step, 3);
}

static void test_incomplete(void **state)
{
    (void)state;
    static struct run a, b;
    make(&a);
    make(&b);
    b.record.steps = 5;
    b.record.epochs = 2;
    struct comparison c = compare(&a, &b);
    assert_true(c.identical && c.incomplete && c.longer_first && !c.longer_second);
    assert_int_equal(c.steps, 5);
    assert_int_equal(c.epochs, 2);
    /* Without a step there is nothing that could differ, and nothing that is identical. */
    b.record.steps = b.record.epochs = 0;
    c = compare(&a, &b);
    assert_true(c.incomplete);
    assert_false(c.identical);
    c = compare(&b, &b);
    assert_true(c.incomplete);
    assert_false(c.identical);
    /* A difference is one, whoever goes on. */
    b.record.steps = 5;
    b.ledger[4].errors = 4;
    c = compare(&a, &b);
    assert_false(c.incomplete);
    assert_false(c.identical);
}

static void test_differences(void **state)
{
    (void)state;
    static struct run a, b;
    struct comparison c;
    make(&a);
    make(&b);
    b.ledger[5].digest[1] ^= 1;
    c = compare(&a, &b);
    assert_true(c.step_differs && !c.epoch_differs && !c.identical);
    assert_int_equal(c.step, 5);
    assert_int_equal(c.epoch_of_step, 2);
    assert_string_equal(c.step_what, "weights after it");
    make(&b);
    b.ledger[0].errors++;
    c = compare(&a, &b);
    assert_string_equal(c.step_what, "errors in the batch");
    assert_int_equal(c.epoch_of_step, 0);
    make(&b);
    b.metrics[1].weights_sha256[63] = 'b';
    b.metrics[2].validation_error = 12.5;
    c = compare(&a, &b);
    assert_true(c.epoch_differs && !c.identical);
    assert_int_equal(c.epoch, 1);
    assert_string_equal(c.epoch_what, "weights_sha256");
    assert_true(c.largest_error_difference == 2.5);
    assert_int_equal(c.largest_error_epoch, 2);
}

static void test_not_the_same(void **state)
{
    (void)state;
    static struct run a, b;
    make(&a);
    make(&b);
    b.record.facts.arithmetic = "exact-2";
    assert_false(compare(&a, &b).identical);
    assert_false(compare(&a, &b).same_arithmetic);
    make(&b);
    b.record.facts.experiment_sha256[0] = 'c';
    assert_false(compare(&a, &b).identical);
    assert_false(compare(&a, &b).same_experiment);
    /* On other validation images, only what they move may differ. */
    make(&b);
    b.record.facts.validation_data_sha256[0] = 'c';
    b.metrics[0].validation_error = 11.0;
    b.metrics[0].validation_errors = 1;
    assert_true(compare(&a, &b).identical);
    b.metrics[0].training_loss = 1.0;
    assert_false(compare(&a, &b).identical);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identical),
        cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_not_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
