#include "results/statistics.h"

#include <math.h>
#include <stdlib.h>

#include "results/distributions.h"

/* ---- samples and intervals --------------------------------------------------------------------------------------- */

struct summary summary_of(const double *values, size_t n)
{
    double sum = 0.0, squares = 0.0, rest = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        squares += (values[i] - mean) * (values[i] - mean);
        rest += values[i] - mean;
    }
    /* `rest` is what the rounding of the mean left: 0 but for it. */
    const double variance = (squares - rest * rest / (double)n) / (double)(n - 1);
    return (struct summary){ n, mean + rest / (double)n, n < 2 ? NAN : sqrt(variance > 0.0 ? variance : 0.0) };
}

static int compare_values(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sample_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_values);
    return 0.5 * (values[n / 2] + values[(n - 1) / 2]);
}

bool summary_has_spread(const struct summary *sample)
{
    return sample->n > 1 && isfinite(sample->sd);
}

struct interval interval_of_mean(const struct summary *sample, double level)
{
    if (!summary_has_spread(sample))
        return (struct interval){ NAN, NAN };
    const double n = (double)sample->n;
    const double half = student_exceeded(0.5 * (1.0 - level), n - 1.0) * sample->sd / sqrt(n);
    return (struct interval){ sample->mean - half, sample->mean + half };
}

struct interval interval_wilson(uint64_t errors, uint64_t images, double level)
{
    const double n = (double)images, z = normal_exceeded(0.5 * (1.0 - level)), share = (double)errors / n;
    const double middle = (share + 0.5 * z * z / n) / (1.0 + z * z / n);
    const double half = z / (1.0 + z * z / n) * sqrt(share * (1.0 - share) / n + 0.25 * z * z / (n * n));
    return (struct interval){ errors == 0 ? 0.0 : 100.0 * (middle - half),
                              errors == images ? 100.0 : 100.0 * (middle + half) };
}

/* ---- t tests ----------------------------------------------------------------------------------------------------- */

static struct t_test test_of(double difference, double error, double freedom)
{
    struct t_test test = { .error = error, .freedom = freedom };
    if (error == 0.0) { /* without any spread nothing is left to chance */
        test.t = difference == 0.0 ? 0.0 : copysign(INFINITY, difference);
        test.p = difference == 0.0 ? 1.0 : 0.0;
        test.p_lower = difference == 0.0 ? 0.5 : difference < 0.0 ? 0.0 : 1.0;
        return test;
    }
    test.t = difference / error;
    test.p = 2.0 * student_upper(fabs(test.t), freedom);
    test.p_lower = student_upper(-test.t, freedom);
    return test;
}

struct t_test test_one_sample(const struct summary *sample, double value)
{
    const double n = (double)sample->n;
    return test_of(sample->mean - value, sample->sd / sqrt(n), n - 1.0);
}

double pooled_sd(const struct summary *a, const struct summary *b)
{
    const double freedom_a = summary_has_spread(a) ? (double)a->n - 1.0 : 0.0,
                 freedom_b = summary_has_spread(b) ? (double)b->n - 1.0 : 0.0;
    const double squares =
        (freedom_a > 0.0 ? freedom_a * a->sd * a->sd : 0.0) + (freedom_b > 0.0 ? freedom_b * b->sd * b->sd : 0.0);
    return sqrt(squares / (freedom_a + freedom_b)); /* NaN for 0 / 0 */
}

struct t_test test_equal_spreads(const struct summary *a, const struct summary *b)
{
    const double freedom =
        (summary_has_spread(a) ? (double)a->n - 1.0 : 0.0) + (summary_has_spread(b) ? (double)b->n - 1.0 : 0.0);
    const double error = pooled_sd(a, b) * sqrt(1.0 / (double)a->n + 1.0 / (double)b->n);
    return test_of(a->mean - b->mean, error, freedom);
}

struct t_test test_two_samples(const struct summary *a, const struct summary *b)
{
    if (!summary_has_spread(a) && !summary_has_spread(b))
        return (struct t_test){ NAN, NAN, NAN, NAN, NAN };
    if (!summary_has_spread(a) || !summary_has_spread(b))
        return test_equal_spreads(a, b);
    const double v_a = a->sd * a->sd / (double)a->n, v_b = b->sd * b->sd / (double)b->n, v = v_a + v_b;
    const double freedom = v * v / (v_a * v_a / ((double)a->n - 1.0) + v_b * v_b / ((double)b->n - 1.0));
    return test_of(a->mean - b->mean, sqrt(v), freedom);
}

double reference_lowest(const struct summary *reference, uint64_t n, double level)
{
    const double n_reference = (double)reference->n, n_runs = (double)n;
    return reference->mean -
           student_exceeded(level, n_reference + n_runs - 2.0) * reference->sd * sqrt(1.0 / n_reference + 1.0 / n_runs);
}

/* ---- predictions ------------------------------------------------------------------------------------------------- */

struct mcnemar test_mcnemar(uint64_t first_only, uint64_t second_only)
{
    const uint64_t fewer = first_only < second_only ? first_only : second_only, n = first_only + second_only;
    struct mcnemar test = { first_only, second_only, 1.0, 0.0, 1.0 };
    if (first_only == second_only)
        return test;
    test.exact = fmin(1.0, 2.0 * binomial_lower(fewer, n, 0.5));
    const double excess = (double)(n - 2 * fewer) - 1.0;
    test.chi_square = excess * excess / (double)n;
    test.p = chi_square_1_upper(test.chi_square);
    return test;
}

/* ---- power ------------------------------------------------------------------------------------------------------- */

double test_power(uint64_t n_a, uint64_t n_b, double difference, double sd, double level)
{
    const double freedom = (double)n_a + (double)n_b - 2.0, t = student_exceeded(0.5 * level, freedom),
                 shift = difference / (sd * sqrt(1.0 / (double)n_a + 1.0 / (double)n_b));
    return student_noncentral_upper(t, freedom, shift) + student_noncentral_upper(t, freedom, -shift);
}

double test_sees(uint64_t n_a, uint64_t n_b, double sd, double power, double level)
{
    double low = 0.0, high = sd;
    while (test_power(n_a, n_b, high, sd, level) < power && high < 1e6 * sd)
        high *= 2.0;
    for (int i = 0; i < 40; i++) {
        const double middle = 0.5 * (low + high);
        if (test_power(n_a, n_b, middle, sd, level) < power)
            low = middle;
        else
            high = middle;
    }
    return high;
}

uint64_t seeds_needed(double difference, double sd, double power, double level)
{
    enum { MOST = 1000000 };
    uint64_t few = 1, many = 2; /* too few; perhaps enough */
    while (test_power(many, many, difference, sd, level) < power) {
        if (many > MOST)
            return UINT64_MAX;
        few = many;
        many *= 2;
    }
    while (many - few > 1) {
        const uint64_t middle = few + (many - few) / 2;
        if (test_power(middle, middle, difference, sd, level) < power)
            few = middle;
        else
            many = middle;
    }
    return many > MOST ? UINT64_MAX : many;
}
