/* What can be said about the results of several runs: means, intervals and tests.
 *
 * A value is a validation error in percent, and a sample the errors of runs that differ in their seeds. Two runs whose
 * weights have the same bits are one computation, so the caller must count them once.
 *
 * level    of a test: how often it sees a difference where there is none. Of an interval: how often it holds what it is
 *          for. Both are between 0 and 1.
 * spread   A sample of one value has none: its sd is NaN. If a spread is 0, two means differ for certain or not at all:
 *          p is 0 or 1. */
#ifndef SELFSAME_STATISTICS_H
#define SELFSAME_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is customary, and what every command uses unless told otherwise. */
#define STATISTICS_LEVEL 0.05
#define STATISTICS_CONFIDENCE 0.95
#define STATISTICS_POWER 0.8

/* Of a sample. */
struct summary {
    uint64_t n;
    double mean, sd; /* the standard deviation with n - 1; NaN for one value */
};

/* n at least 1. */
struct summary summary_of(const double *values, size_t n);
/* Reorders the values. */
double sample_median(double *values, size_t n);
/* Whether its sd says anything. */
bool summary_has_spread(const struct summary *sample);

struct interval {
    double low, high;
};

/* Of the mean, by Student's t; NaN for one value. */
struct interval interval_of_mean(const struct summary *sample, double level);
/* Of the probability of an error, `errors` of `images`, in percent: Wilson's score interval. */
struct interval interval_wilson(uint64_t errors, uint64_t images, double level);

struct t_test {
    double t, freedom;
    double p;       /* two-sided */
    double p_lower; /* one-sided: that the first mean is so low by chance */
    double error;   /* the standard error of the difference */
};

/* Whether the mean of a sample is `value`. */
struct t_test test_one_sample(const struct summary *sample, double value);
/* Whether two means are equal. Welch's test where both have a spread. If one of them is a single value, Student's test,
 * with the spread of the other for both. If neither has a spread, all of it is NaN. */
struct t_test test_two_samples(const struct summary *a, const struct summary *b);
/* Student's test, with one spread for both. At least one has one. */
struct t_test test_equal_spreads(const struct summary *a, const struct summary *b);

/* The lowest mean of n runs that a reference accepts: below it, one would say with a one-sided test at this level that
 * they compute something easier. MLPerf's reference convergence points are used so: both sides are taken to have the
 * reference's spread. (MLPerf divides by n in its standard deviation, and we by n - 1.) */
double reference_lowest(const struct summary *reference, uint64_t n, double level);

/* Two sets of predictions of the same images; only images that one of them gets right and the other wrong count. */
struct mcnemar {
    uint64_t first_only, second_only; /* right in the first alone, in the second alone */
    double exact;                     /* two-sided p by the binomial distribution */
    double chi_square; /* (|difference| - 1)^2 / sum: with the correction for continuity; 0 where equal */
    double p;          /* of chi_square */
};
struct mcnemar test_mcnemar(uint64_t first_only, uint64_t second_only);

/* How often a two-sided t test with n_a and n_b runs, together at least 3, sees a difference of two means. */
double test_power(uint64_t n_a, uint64_t n_b, double difference, double sd, double level);
/* The difference that it sees as often as `power` says. */
double test_sees(uint64_t n_a, uint64_t n_b, double sd, double power, double level);
/* The least number of runs on each side to see a difference that often; UINT64_MAX for more than a million. */
uint64_t seeds_needed(double difference, double sd, double power, double level);
/* The spread of two samples together; NaN where neither has one. */
double pooled_sd(const struct summary *a, const struct summary *b);

#endif
