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

/* Times are those of one computation: `seconds` an epoch. */
static void make(struct run *run, double seconds)
{
    memset(run, 0, sizeof *run);
    run->record.facts.arithmetic = "exact-1";
    run->record.facts.exact = true;
    run->record.facts.epochs_wanted = EPOCHS + 1;
    run->record.facts.name = run->record.facts.host_name = "a";
    run->record.facts.time_started = "2026-01-01T00:00:00Z";
    memset(run->record.facts.validation_data_sha256, 'a', DIGEST_HEX_BYTES - 1);
    run->record.metrics = run->metrics;
    run->record.ledger = run->ledger;
    run->record.epochs = EPOCHS;
    run->record.steps = STEPS;
    for (uint64_t i = 0; i < STEPS; i++)
        run->ledger[i] = (struct ledger_row){ .loss = 1.0f / (float)(i + 1), .errors = 3, .digest = { i, ~i } };
    for (uint64_t i = 0; i < EPOCHS; i++) {
        run->metrics[i] = (struct metrics_row){
            .epoch = i, .end_step = 2 * (i + 1), .validation_error = 10.0, .training_seconds = seconds
        };
        memset(run->metrics[i].weights_sha256, 'a', DIGEST_HEX_BYTES - 1);
        memset(run->metrics[i].chain_sha256, 'b', DIGEST_HEX_BYTES - 1);
    }
}

static struct comparison compare(const struct run *a, const struct run *b)
{
    struct comparison c;
    compare_records(&a->record, &b->record, NULL, 0, &c);
    return c;
}

/* Both end with their last whole epoch. */
static void make_whole(struct run *run, double seconds)
{
    make(run, seconds);
    run->record.steps = STEPS - 1;
    run->record.facts.epochs_wanted = EPOCHS;
}

static void test_identical(void **state)
{
    (void)state;
    static struct run a, b;
    make_whole(&a, 5.0);
    make_whole(&b, 6.0);
    struct comparison c = compare(&a, &b);
    assert_int_equal(c.verdict, VERDICT_IDENTICAL);
    assert_int_equal(c.epochs, EPOCHS);
    assert_int_equal(c.steps, STEPS - 1);
    assert_int_equal(c.copied_epochs, 0);
    /* The same NaN is no difference; a zero of the other sign is. */
    a.ledger[2].loss = b.ledger[2].loss = NAN;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_IDENTICAL);
    a.ledger[3].loss = 0.0f;
    b.ledger[3].loss = -0.0f;
    c = compare(&a, &b);
    assert_int_equal(c.verdict, VERDICT_DIFFERS);
    assert_int_equal(c.step, 3);
}

static void test_copies(void **state)
{
    (void)state;
    static struct run a, b;
    make_whole(&a, 5.0);
    make_whole(&b, 5.0);
    struct comparison c = compare(&a, &b);
    assert_int_equal(c.verdict, VERDICT_SAME_DOCUMENT);
    assert_int_equal(c.copied_epochs, EPOCHS);
    /* A copy that went on is one still, as far as both go. */
    b.record.epochs--;
    b.record.steps -= 2;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_SAME_DOCUMENT);
    /* An epoch that was computed again is independent, and the sentence says how many are. */
    make_whole(&b, 5.0);
    b.metrics[2].training_seconds = 5.5;
    c = compare(&a, &b);
    assert_int_equal(c.verdict, VERDICT_IDENTICAL);
    assert_int_equal(c.copied_epochs, 2);
    assert_non_null(strstr(c.sentence, "1 of 3 epochs are independent"));
    /* A copy that was changed is no copy. */
    b.metrics[2].training_seconds = 5.0;
    b.ledger[4].digest[0] ^= 1;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_DIFFERS);
    /* Without a whole epoch, the process's start tells. */
    make(&a, 5.0);
    make(&b, 5.0);
    a.record.epochs = b.record.epochs = 0;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_SAME_DOCUMENT);
    b.record.facts.time_started = "2026-01-01T00:00:01Z";
    assert_int_equal(compare(&a, &b).verdict, VERDICT_INCOMPLETE);
}

static void test_incomplete(void **state)
{
    (void)state;
    static struct run a, b;
    struct comparison c;
    /* Both end inside an epoch: no digest covers the last step yet. */
    make(&a, 5.0);
    make(&b, 6.0);
    assert_int_equal(compare(&a, &b).verdict, VERDICT_INCOMPLETE);
    b.record.steps = 5;
    b.record.epochs = 2;
    c = compare(&a, &b);
    assert_int_equal(c.verdict, VERDICT_INCOMPLETE);
    assert_true(c.longer_first && !c.longer_second);
    assert_int_equal(c.steps, 5);
    assert_int_equal(c.epochs, 2);
    /* Without a step there is nothing that could differ, and nothing that is identical. */
    b.record.steps = b.record.epochs = 0;
    b.record.facts.name = "b";
    assert_int_equal(compare(&a, &b).verdict, VERDICT_INCOMPLETE);
    assert_int_equal(compare(&b, &a).verdict, VERDICT_INCOMPLETE);
    /* A difference counts, whichever run is longer. */
    b.record.steps = 5;
    b.ledger[4].errors = 4;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_DIFFERS);
}

static void test_differences(void **state)
{
    (void)state;
    static struct run a, b;
    struct comparison c;
    make(&a, 5.0);
    make(&b, 6.0);
    b.ledger[5].digest[1] ^= 1;
    c = compare(&a, &b);
    assert_true(c.step_differs && !c.epoch_differs);
    assert_int_equal(c.verdict, VERDICT_DIFFERS);
    assert_int_equal(c.step, 5);
    assert_int_equal(c.epoch_of_step, 2);
    assert_string_equal(c.step_what, "weights after it");
    make(&b, 6.0);
    b.ledger[0].errors++;
    c = compare(&a, &b);
    assert_string_equal(c.step_what, "errors in the batch");
    assert_int_equal(c.epoch_of_step, 0);
    make(&b, 6.0);
    b.metrics[1].weights_sha256[63] = 'b';
    b.metrics[2].validation_error = 12.5;
    c = compare(&a, &b);
    assert_true(c.epoch_differs && !c.step_differs);
    assert_int_equal(c.verdict, VERDICT_DIFFERS);
    assert_int_equal(c.epoch, 1);
    assert_string_equal(c.epoch_what, "weights_sha256");
    assert_true(c.largest_error_difference == 2.5);
    assert_int_equal(c.largest_error_epoch, 2);
}

/* Every field that is compared, each alone, is seen to be compared. */
static void test_every_field(void **state)
{
    (void)state;
    static struct run a, b;
    make_whole(&a, 5.0);
    for (size_t i = 0; i < metrics_column_count; i++) {
        make_whole(&b, 6.0);
        ((char *)&b.metrics[EPOCHS - 1])[metrics_columns[i].offset] ^= 1;
        const bool machine = metrics_columns[i].depends == METRICS_MACHINE;
        assert_int_equal(compare(&a, &b).verdict, machine ? VERDICT_IDENTICAL : VERDICT_DIFFERS);
    }
    for (size_t byte = 0; byte < sizeof a.ledger[0]; byte++) {
        make_whole(&b, 6.0);
        ((char *)&b.ledger[STEPS - 2])[byte] ^= 1;
        assert_int_equal(compare(&a, &b).verdict, VERDICT_DIFFERS);
    }
}

static void test_not_the_same(void **state)
{
    (void)state;
    static struct run a, b;
    make_whole(&a, 5.0);
    make_whole(&b, 6.0);
    b.record.facts.arithmetic = "exact-2";
    assert_int_equal(compare(&a, &b).verdict, VERDICT_NOT_COMPARABLE);
    assert_false(compare(&a, &b).same_arithmetic);
    make_whole(&b, 6.0);
    b.record.facts.exact = false;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_NOT_COMPARABLE);
    make_whole(&b, 6.0);
    b.record.facts.experiment_sha256[0] = 'c';
    assert_int_equal(compare(&a, &b).verdict, VERDICT_OTHER_EXPERIMENT);
    assert_false(compare(&a, &b).same_experiment);
    /* On other validation images, only what they move may differ. */
    make_whole(&b, 6.0);
    b.record.facts.validation_data_sha256[0] = 'c';
    b.metrics[0].validation_error = 11.0;
    b.metrics[0].validation_errors = 1;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_IDENTICAL);
    b.metrics[0].training_loss = 1.0;
    assert_int_equal(compare(&a, &b).verdict, VERDICT_DIFFERS);
}

static void test_tolerance(void **state)
{
    (void)state;
    static struct run a, b;
    struct tolerance t;
    struct comparison c;
    struct error error;
    static const char *const bad[] = {
        "validation_error",           "validation_error=0.3",     "validation_error=rel:1",
        "validation_error=abs:",      "validation_error=abs:-1",  "validation_error=abs:1x",
        "validation_error=abs:1e999", "validation_error=abs:0x1", "weights_sha256=abs:1"
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(tolerance_parse(bad[i], &t, &error), STATUS_INPUT);
    assert_int_equal(tolerance_parse("validation_eror=abs:0.3", &t, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "did you mean 'validation_error'"));
    assert_int_equal(tolerance_parse("validation_error=abs:0.3", &t, &error), STATUS_OK);
    make_whole(&a, 5.0);
    make_whole(&b, 6.0);
    b.record.facts.exact = false;
    a.metrics[2].validation_error = 8.75;
    b.metrics[2].validation_error = 8.45; /* in binary, a little more than 0.3 away */
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_WITHIN_TOLERANCE);
    b.metrics[2].validation_error = 8.44;
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_DIFFERS);
    assert_non_null(strstr(c.sentence, "validation_error differs by 0.31"));
    b.record.facts.experiment_sha256[0] = 'c';
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_OTHER_EXPERIMENT);
    /* Complete runs are held against each other at their ends, others where both are. */
    make_whole(&b, 6.0);
    b.record.epochs = 2;
    b.record.steps = 4;
    a.metrics[1].validation_error = b.metrics[1].validation_error = 20.0;
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_WITHIN_TOLERANCE);
    b.record.facts.epochs_wanted = 2;
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_DIFFERS);
    /* What cannot be compared is never within. */
    make_whole(&b, 6.0);
    b.record.facts.validation_data_sha256[0] = 'c';
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    make_whole(&b, 6.0);
    b.record.epochs = 0;
    b.record.facts.name = "b";
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
}

/* A run of another tool: no times, unless somebody measured them, and known by what was read. */
static void make_imported(struct run *run, char read)
{
    make_whole(run, NAN);
    run->record.facts.state = RECORD_IMPORTED;
    run->record.facts.imported.tool = "CSV";
    memset(run->record.facts.imported.sha256, read, DIGEST_HEX_BYTES - 1);
    run->record.steps = 0;
    for (uint64_t i = 0; i < EPOCHS; i++)
        run->metrics[i].validation_seconds = run->metrics[i].images_per_second = NAN;
}

static void test_imported(void **state)
{
    (void)state;
    static struct run a, b;
    make_imported(&a, '1');
    make_imported(&b, '2');
    struct comparison c = compare(&a, &b);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    assert_int_equal(c.copied_epochs, 0);
    make_imported(&b, '1');
    assert_int_equal(compare(&a, &b).verdict, VERDICT_SAME_DOCUMENT);
    b.metrics[1].validation_error = 11.0; /* other columns of the same bytes */
    assert_int_equal(compare(&a, &b).verdict, VERDICT_NOT_COMPARABLE);
}

/* Images that nobody names are not the same images. */
static void test_unknown_images(void **state)
{
    (void)state;
    static struct run a, b;
    struct tolerance t;
    struct comparison c;
    struct error error;
    assert_int_equal(tolerance_parse("validation_error=abs:0.3", &t, &error), STATUS_OK);
    make_imported(&a, '1');
    make_imported(&b, '2');
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_WITHIN_TOLERANCE);
    a.record.facts.validation_data_sha256[0] = b.record.facts.validation_data_sha256[0] = '\0';
    compare_records(&a.record, &b.record, &t, 1, &c);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    assert_false(c.same_validation || c.validation_known);
    assert_non_null(strstr(c.sentence, "it is not known on which images"));
}

static void test_worse(void **state)
{
    (void)state;
    static const enum verdict order[] = { VERDICT_MALFORMED,  VERDICT_NOT_COMPARABLE, VERDICT_OTHER_EXPERIMENT,
                                          VERDICT_DIFFERS,    VERDICT_SAME_DOCUMENT,  VERDICT_WITHIN_TOLERANCE,
                                          VERDICT_INCOMPLETE, VERDICT_IDENTICAL };
    for (size_t i = 0; i + 1 < sizeof order / sizeof *order; i++) {
        assert_int_equal(verdict_worse(order[i], order[i + 1]), order[i]);
        assert_int_equal(verdict_worse(order[i + 1], order[i]), order[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identical),   cmocka_unit_test(test_copies),      cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_differences), cmocka_unit_test(test_every_field), cmocka_unit_test(test_not_the_same),
        cmocka_unit_test(test_tolerance),   cmocka_unit_test(test_imported),    cmocka_unit_test(test_unknown_images),
        cmocka_unit_test(test_worse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
