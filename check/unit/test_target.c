/* Verdicts on published results, and on two groups of runs: records made up in memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "check/support/made_run.h"
#include "results/compare_groups.h"
#include "results/target.h"

enum { RUNS = 5, EPOCHS = MADE_EPOCHS };

struct fixture {
    struct made_run runs[2 * RUNS];
    struct record *list[2 * RUNS];
    struct run_group *groups;
    size_t count;
};

static void make_run(struct fixture *f, size_t i, const char *more, double final_error, char bits)
{
    f->list[i] = &f->runs[i].record;
    made_run_fill(&f->runs[i], i, more, final_error, bits);
}

static void group(struct fixture *f, size_t count)
{
    struct error error = { STATUS_OK, "" };
    assert_int_equal(run_groups_make(f->list, count, true, &f->groups, &f->count, &error), STATUS_OK);
}

static void tear_down(struct fixture *f)
{
    run_groups_free(f->groups, f->count);
    for (size_t i = 0; i < 2 * RUNS; i++)
        made_run_free(&f->runs[i]);
    free(f);
}

static struct fixture *set_up(size_t count, const char *more, const double *errors)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    for (size_t i = 0; i < count; i++)
        make_run(f, i, more, errors[i], (char)('a' + i));
    group(f, count);
    return f;
}

static struct judgement judge(const struct fixture *f)
{
    struct judgement judgement;
    struct error error = { STATUS_OK, "" };
    const struct manifest *manifest = &f->groups[0].records[0]->manifest;
    assert_int_equal(f->count, 1);
    assert_int_equal(target_judge(&f->groups[0], manifest, &manifest->targets[0], &judgement, &error), STATUS_OK);
    return judgement;
}

#define TARGET(more) "targets: [{metric: final_error, value: 8.29, tolerance: 0.3, source: a test" more "}]"

static const double near[RUNS] = { 8.2, 8.5, 8.4, 8.3, 8.6 };
static const double far[RUNS] = { 9.2, 9.4, 9.3, 9.1, 9.5 };
static const double wide[RUNS] = { 7.9, 10.3, 8.8, 9.9, 8.3 };
static const double beyond[RUNS] = { 8.4, 9.2, 8.7, 9.0, 8.6 };

static void test_met(void **state)
{
    (void)state;
    struct fixture *f = set_up(RUNS, TARGET(""), near);
    const struct judgement j = judge(f);
    assert_int_equal(j.verdict, TARGET_MET);
    assert_true(fabs(j.measured - 8.4) < 1e-12);
    assert_true(fabs(j.sample.sd - 0.158113883) < 1e-8);
    assert_non_null(strstr(j.because, "the mean of 5 runs, 8.40 % (sd 0.16, 95 % interval 8.20 to 8.60)"));
    tear_down(f);
}

static void test_missed(void **state)
{
    (void)state;
    struct fixture *f = set_up(RUNS, TARGET(""), far);
    const struct judgement j = judge(f);
    assert_int_equal(j.verdict, TARGET_MISSED);
    /* One published run against five: their spread for both, 4 degrees of freedom. */
    assert_true(fabs(j.test.t - 1.01 / (j.sample.sd * sqrt(1.2))) < 1e-9 && j.test.freedom == 4.0);
    assert_true(j.test.p < 0.05);
    tear_down(f);
}

/* Alone, one run is missed; with the others, the spread explains it. */
static void test_within_spread(void **state)
{
    (void)state;
    struct fixture *f = set_up(RUNS, TARGET(""), beyond);
    const struct judgement j = judge(f);
    assert_int_equal(j.verdict, TARGET_WITHIN_SPREAD);
    assert_non_null(strstr(j.because, "So few runs see a difference of "));
    assert_true(j.sees > 0.3 && j.sees < TARGET_WEAK * 0.3);
    tear_down(f);
    /* A spread that hides any difference is no excuse. */
    f = set_up(RUNS, TARGET(""), wide);
    const struct judgement weak = judge(f);
    assert_int_equal(weak.verdict, TARGET_MISSED);
    assert_true(weak.test.p > 0.05 && weak.sees > TARGET_WEAK * 0.3);
    assert_non_null(strstr(weak.because, "explains nothing"));
    tear_down(f);
    f = set_up(1, TARGET(""), &wide[3]);
    const struct judgement alone = judge(f);
    assert_int_equal(alone.verdict, TARGET_MISSED);
    assert_true(isnan(alone.test.p));
    assert_non_null(strstr(alone.because, "No spread is known"));
    assert_true(alone.interval.low < 9.9 && alone.interval.high > 9.9);
    tear_down(f);
}

/* The published spread serves for a single run, and says what is too good. */
static void test_published_spread(void **state)
{
    (void)state;
    const double low[1] = { 7.7 }, high[1] = { 8.7 };
    struct fixture *f = set_up(1, TARGET(", n: 5, sd: 0.2"), high);
    assert_int_equal(judge(f).verdict, TARGET_WITHIN_SPREAD);
    tear_down(f);
    f = set_up(1, TARGET(", n: 5, sd: 0.2"), low);
    const struct judgement j = judge(f);
    assert_non_null(strstr(j.because, "too good for chance"));
    tear_down(f);
}

static void test_protocols(void **state)
{
    (void)state;
    struct fixture *f = set_up(RUNS, TARGET(", n: 3, protocol: median"), near);
    struct judgement j = judge(f);
    assert_true(j.measured == 8.4 && isnan(j.test.p));
    tear_down(f);
    f = set_up(RUNS, TARGET(", n: 5, protocol: best"), near);
    j = judge(f);
    assert_true(j.measured == 8.2 && j.verdict == TARGET_MET);
    tear_down(f);
    f = set_up(3, TARGET(", n: 5, protocol: best"), near);
    j = judge(f);
    assert_int_equal(j.verdict, TARGET_UNFINISHED);
    assert_string_equal(j.detail, "3 of 5 runs");
    tear_down(f);
    f = set_up(RUNS, TARGET(", n: 3, protocol: best"), near);
    assert_int_equal(judge(f).verdict, TARGET_NOT_COMPARABLE);
    tear_down(f);
}

static void test_unfinished(void **state)
{
    (void)state;
    struct fixture *f = set_up(RUNS, TARGET(""), near);
    f->runs[1].record.epochs = 1;
    const struct judgement j = judge(f);
    assert_int_equal(j.verdict, TARGET_UNFINISHED);
    assert_string_equal(j.detail, "4 of 5 runs");
    tear_down(f);
}

static void test_not_comparable(void **state)
{
    (void)state;
    struct judgement j;
    struct error error;
    struct fixture *f = set_up(1, TARGET(""), near);
    struct manifest deeper = made_manifest("model: {depth: 32}\n" TARGET(""));
    assert_int_equal(target_judge(&f->groups[0], &deeper, &deeper.targets[0], &j, &error), STATUS_OK);
    assert_int_equal(j.verdict, TARGET_NOT_COMPARABLE);
    assert_string_equal(j.detail, "depth 20 by a target for depth 32");
    memset(f->runs[0].record.facts.validation_data_sha256, '7', DIGEST_HEX_BYTES - 1);
    assert_int_equal(judge(f).verdict, TARGET_NOT_COMPARABLE);
    f->runs[0].record.facts.validation_data_sha256[0] = '\0';
    j = judge(f);
    assert_int_equal(j.verdict, TARGET_NOT_COMPARABLE);
    assert_string_equal(j.detail, "on images that nobody names");
    manifest_free(&deeper);
    tear_down(f);
}

/* An imported run may have no error, and then nothing can be said about the group. */
static void test_missing_error(void **state)
{
    static const char *const protocols[] = { TARGET(""), TARGET(", n: 5, protocol: median"),
                                             TARGET(", n: 5, protocol: best") };
    (void)state;
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        for (size_t missing = 0; missing < RUNS; missing++) {
            struct fixture *f = set_up(RUNS, protocols[i], near);
            assert_int_equal(judge(f).verdict, TARGET_MET);
            f->runs[missing].metrics[EPOCHS - 1].validation_error = NAN;
            const struct judgement j = judge(f);
            assert_int_equal(j.verdict, TARGET_NOT_COMPARABLE);
            assert_string_equal(j.detail, "no validation error for the last epoch");
            tear_down(f);
        }
    }
}

/* Equal bits are one computation; other targets and other recipes are other groups. */
static void test_groups(void **state)
{
    (void)state;
    struct fixture *f = set_up(2, TARGET(""), near);
    run_groups_free(f->groups, f->count);
    make_run(f, 2, TARGET(""), 8.2, 'a');
    make_run(f, 3, TARGET(", n: 2, sd: 0.1"), 8.2, 'd');
    make_run(f, 4, "training: {batch_size: 32}\n" TARGET(""), 8.2, 'e');
    group(f, 5);
    assert_int_equal(f->count, 3);
    assert_int_equal(f->groups[0].count, 2);
    assert_int_equal(f->groups[0].repeats, 1);
    assert_true(run_group_same_recipe(f->list[0], f->list[3]) && !run_group_same_recipe(f->list[0], f->list[4]));
    tear_down(f);
}

/* ---- two groups -------------------------------------------------------------------------------------------------- */

static struct groups_comparison compare(const char *more, const double *first, const double *second, char bits,
                                        bool known_images)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct groups_comparison c;
    struct error error = { STATUS_OK, "" };
    size_t counts[2];
    struct run_group *made[2], groups[2];
    assert_non_null(f);
    for (size_t i = 0; i < RUNS; i++) {
        make_run(f, i, "", first[i], (char)('a' + i));
        make_run(f, RUNS + i, more, second[i], (char)(bits + (char)i));
        for (size_t side = 0; side < 2 && !known_images; side++)
            f->list[side * RUNS + i]->facts.validation_data_sha256[0] = '\0';
    }
    for (size_t side = 0; side < 2; side++) {
        assert_int_equal(run_groups_make(f->list + side * RUNS, RUNS, false, &made[side], &counts[side], &error),
                         STATUS_OK);
        assert_int_equal(counts[side], 1);
        groups[side] = made[side][0];
    }
    assert_int_equal(compare_groups(groups, &c, &error), STATUS_OK);
    for (size_t side = 0; side < 2; side++)
        run_groups_free(made[side], counts[side]);
    tear_down(f);
    return c;
}

static void test_two_groups(void **state)
{
    (void)state;
    struct groups_comparison c = compare("", near, wide, 'k', true);
    assert_int_equal(c.verdict, VERDICT_WITHIN_SPREAD);
    assert_true(c.tested && c.test.p > 0.05 && c.sees > 0.0);
    c = compare("arithmetic: exact-2", near, far, 'k', true);
    assert_int_equal(c.verdict, VERDICT_DIFFERS);
    c = compare("training: {batch_size: 32}", near, near, 'k', true);
    assert_int_equal(c.verdict, VERDICT_OTHER_EXPERIMENT);
    /* The last run of one side has the bits of the first of the other. */
    c = compare("", near, wide, 'e', true);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    assert_non_null(strstr(c.sentence, "the same bits"));
    /* On images that nobody names, the same error says nothing. */
    c = compare("", near, wide, 'k', false);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    assert_non_null(strstr(c.sentence, "it is not known on which images"));
    assert_false(c.tested);
}

static void test_manifest_keys(void **state)
{
    static const struct {
        const char *more, *said;
    } bad[] = {
        { TARGET(", sd: 0.2"), "entry 1 has an sd, which needs an n of 2 or more" },
        { TARGET(", n: 1, sd: 0.2"), "entry 1 has an sd" },
        { TARGET(", protocol: best"), "entry 1 has the protocol best, which needs an n of 2 or more" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct manifest manifest;
        struct error error = { STATUS_OK, "" };
        char text[512];
        snprintf(text, sizeof text, "inherit: quick/resnet20.yaml\nname: made\n%s\n", bad[i].more);
        assert_int_equal(manifest_read_text(text, strlen(text), "made.yaml", &manifest, &error), STATUS_INPUT);
        assert_non_null(strstr(error.message, bad[i].said));
    }
    /* What is not given changes neither the text nor the digest. */
    struct manifest plain = made_manifest(TARGET("")), full = made_manifest(TARGET(", n: 5, sd: 0.2, protocol: mean"));
    assert_null(strstr(plain.resolved, "protocol"));
    assert_true(plain.targets[0].n == 1 && isnan(plain.targets[0].sd));
    assert_true(full.targets[0].n == 5 && full.targets[0].sd == 0.2);
    assert_string_equal(plain.experiment, full.experiment);
    manifest_free(&plain);
    manifest_free(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_met),
        cmocka_unit_test(test_missed),
        cmocka_unit_test(test_within_spread),
        cmocka_unit_test(test_published_spread),
        cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_not_comparable),
        cmocka_unit_test(test_missing_error),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_two_groups),
        cmocka_unit_test(test_manifest_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
