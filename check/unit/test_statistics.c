/* Distributions, intervals and tests, held to scipy's numbers: check/goldens/statistics.py made them, and checked its
 * beta functions with mpmath. check/cli/statistics.sh runs this test again on a fresh table. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "results/distributions.h"
#include "results/statistics.h"

/* ---- one line of the table --------------------------------------------------------------------------------------- */

enum { ARGUMENTS_MAX = 32 };

static double first_sample_test(const double *x, const char *what)
{
    const struct summary a = { (uint64_t)x[0], x[1], x[2] }, b = { (uint64_t)x[3], x[4], x[5] };
    const struct t_test two = test_two_samples(&a, &b), equal = test_equal_spreads(&a, &b);
    return strcmp(what, "two_samples_t") == 0     ? two.t
           : strcmp(what, "two_samples_p") == 0   ? two.p
           : strcmp(what, "equal_spreads_p") == 0 ? equal.p
                                                  : equal.p_lower;
}

static double of_sample(const char *name, const double *x, size_t n)
{
    struct summary sample = summary_of(x, n);
    if (strcmp(name, "mean") == 0)
        return sample.mean;
    if (strcmp(name, "sd") == 0)
        return sample.sd;
    const struct interval interval = interval_of_mean(&sample, 0.95);
    return strcmp(name, "interval_low") == 0 ? interval.low : interval.high;
}

/* The function of that name; NaN for none. */
static double value_of(const char *name, const double *x, size_t n)
{
    const uint64_t whole[2] = { x[0] >= 0.0 ? (uint64_t)x[0] : 0, n > 1 && x[1] >= 0.0 ? (uint64_t)x[1] : 0 };
    if (strcmp(name, "beta") == 0)
        return beta_incomplete(x[0], x[1], x[2], x[3]);
    if (strcmp(name, "student_upper") == 0)
        return student_upper(x[0], x[1]);
    if (strcmp(name, "student_exceeded") == 0)
        return student_exceeded(x[0], x[1]);
    if (strcmp(name, "normal_upper") == 0)
        return normal_upper(x[0]);
    if (strcmp(name, "normal_exceeded") == 0)
        return normal_exceeded(x[0]);
    if (strcmp(name, "noncentral") == 0)
        return student_noncentral_upper(x[0], x[1], x[2]);
    if (strcmp(name, "binomial_lower") == 0)
        return binomial_lower(whole[0], whole[1], x[2]);
    if (strcmp(name, "chi_square") == 0)
        return chi_square_1_upper(x[0]);
    if (strcmp(name, "mean") == 0 || strcmp(name, "sd") == 0 || strncmp(name, "interval_", 9) == 0)
        return of_sample(name, x, n);
    if (strncmp(name, "one_sample_", 11) == 0) {
        const struct summary sample = summary_of(x + 1, n - 1);
        const struct t_test test = test_one_sample(&sample, x[0]);
        return name[11] == 't' ? test.t : test.p;
    }
    if (strcmp(name, "wilson_low") == 0)
        return interval_wilson(whole[0], whole[1], 0.95).low;
    if (strcmp(name, "wilson_high") == 0)
        return interval_wilson(whole[0], whole[1], 0.95).high;
    if (strncmp(name, "two_samples_", 12) == 0 || strncmp(name, "equal_spreads_", 14) == 0)
        return first_sample_test(x, name);
    if (strcmp(name, "reference_lowest") == 0)
        return reference_lowest(&(struct summary){ whole[0], x[1], x[2] }, (uint64_t)x[3], x[4]);
    if (strcmp(name, "mcnemar_exact") == 0)
        return test_mcnemar(whole[0], whole[1]).exact;
    if (strcmp(name, "mcnemar_square") == 0)
        return test_mcnemar(whole[0], whole[1]).chi_square;
    if (strcmp(name, "mcnemar_p") == 0)
        return test_mcnemar(whole[0], whole[1]).p;
    if (strcmp(name, "power") == 0)
        return test_power(whole[0], whole[1], x[2], x[3], x[4]);
    if (strcmp(name, "seeds") == 0)
        return (double)seeds_needed(x[0], x[1], x[2], x[3]);
    return NAN;
}

static void test_scipy(void **state)
{
    const char *path = getenv("SELFSAME_STATISTICS");
    FILE *file = fopen(path != NULL ? path : SOURCE_DIR "/check/goldens/statistics.tsv", "r");
    char line[4096];
    size_t lines = 0, bad = 0;
    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        double x[ARGUMENTS_MAX];
        size_t n = 0;
        char *save, *name = strtok_r(line, "\t", &save), *word, *bound = NULL;
        while ((word = strtok_r(NULL, "\t\n", &save)) != NULL && n < ARGUMENTS_MAX) {
            x[n++] = strtod(word, NULL);
            bound = word;
        }
        assert_true(n >= 3 && bound != NULL);
        const double wanted = x[n - 2], got = value_of(name, x, n - 2);
        const double most = bound[0] == 'a' ? strtod(bound + 1, NULL) : strtod(bound, NULL) * fabs(wanted);
        lines++;
        /* A number next to 0 that was the difference of two others is as near as their rounding lets it. */
        if (!(fabs(got - wanted) <= most + 1e-300)) {
            print_error("line %zu, %s: %.17g instead of %.17g, off by %.2g\n", lines, name, got, wanted,
                        fabs(got - wanted) / fabs(wanted));
            bad++;
        }
    }
    fclose(file);
    assert_true(lines > 300);
    assert_int_equal(bad, 0);
}

/* ---- what no table has ------------------------------------------------------------------------------------------- */

/* Printed tables: Abramowitz and Stegun's 26.10 (t) and 26.1 (normal), to their digits. */
static void test_printed_tables(void **state)
{
    (void)state;
    assert_true(fabs(student_exceeded(0.025, 10) - 2.228) < 0.0005);
    assert_true(fabs(student_exceeded(0.05, 1) - 6.314) < 0.0005);
    assert_true(fabs(student_exceeded(0.005, 30) - 2.750) < 0.0005);
    assert_true(fabs(normal_exceeded(0.025) - 1.95996) < 0.000005);
    assert_true(fabs(chi_square_1_upper(3.84146) - 0.05) < 0.00001);
}

static void test_edges(void **state)
{
    const double equal[] = { 8.3, 8.3, 8.3 }, one[] = { 8.3 };
    const struct summary three = summary_of(equal, 3), single = summary_of(one, 1), other = { 3, 8.4, 0.0 };
    (void)state;
    assert_true(three.mean == 8.3 && three.sd == 0.0);
    assert_true(single.mean == 8.3 && isnan(single.sd));
    assert_false(summary_has_spread(&single));
    assert_true(isnan(interval_of_mean(&single, 0.95).low));
    assert_true(isnan(test_two_samples(&single, &single).p));
    /* Without a spread, nothing is left to chance. */
    assert_true(test_two_samples(&three, &three).p == 1.0);
    assert_true(test_two_samples(&three, &other).p == 0.0);
    assert_true(test_one_sample(&three, 8.3).p == 1.0);
    assert_true(test_one_sample(&three, 8.4).p_lower == 0.0);
    assert_true(beta_incomplete(2, 3, 0, 1) == 0.0 && beta_incomplete(2, 3, 1, 0) == 1.0);
    assert_true(isnan(beta_incomplete(2, 3, NAN, NAN)));
    assert_true(student_upper(0, 5) == 0.5 && student_upper(INFINITY, 5) == 0.0 && student_upper(1e200, 5) < 1e-300);
    assert_true(binomial_lower(5, 5, 0.5) == 1.0);
    assert_true(seeds_needed(1e-6, 1, 0.8, 0.05) == UINT64_MAX);
}

static void test_median(void **state)
{
    double odd[] = { 9, 7, 8 }, even[] = { 9, 7, 8, 6 };
    (void)state;
    assert_true(sample_median(odd, 3) == 8.0 && sample_median(even, 4) == 7.5);
}

/* The difference that is seen with a power has that power; more runs see less. */
static void test_power_inverse(void **state)
{
    (void)state;
    const double five = test_sees(5, 5, 0.26, 0.8, 0.05), ten = test_sees(10, 10, 0.26, 0.8, 0.05);
    assert_true(fabs(test_power(5, 5, five, 0.26, 0.05) - 0.8) < 1e-9);
    assert_true(ten < five);
    const uint64_t n = seeds_needed(0.3, 0.26, 0.8, 0.05);
    assert_true(test_power(n, n, 0.3, 0.26, 0.05) >= 0.8 && test_power(n - 1, n - 1, 0.3, 0.26, 0.05) < 0.8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scipy),  cmocka_unit_test(test_printed_tables), cmocka_unit_test(test_edges),
        cmocka_unit_test(test_median), cmocka_unit_test(test_power_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
