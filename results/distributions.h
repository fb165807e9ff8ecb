/* The distributions that tests and intervals need. Formula numbers are those of Abramowitz and Stegun, Handbook of
 * Mathematical Functions (1964); "Loader" is C. Loader, Fast and Accurate Computation of Binomial Probabilities (2000).
 *
 * These numbers are for people and move no bit of a run. So they may use the C library's exp, log, erfc and lgamma.
 *
 * accuracy  Tails are computed as tails, never as 1 less a number near 1. check/unit/test_statistics.c holds every
 *           function to scipy. Relative errors were below 10^-13 in six tables of drawn arguments; the test allows
 *           10^-12. */
#ifndef SELFSAME_DISTRIBUTIONS_H
#define SELFSAME_DISTRIBUTIONS_H

#include <stdint.h>

/* The regularised incomplete beta function I_x(a, b), with y = 1 - x given apart, so that neither is rounded away.
 * The continued fraction 26.5.8 up to the mean, and the reflection 26.5.2 beyond it. Its factor x^a y^b / B(a, b) in
 * Loader's saddle-point form, which loses no digits at large a and b. a, b > 0. */
double beta_incomplete(double a, double b, double x, double y);

/* P(Z > z) of the standard normal distribution: 26.2.29 with erfc. */
double normal_upper(double z);
/* The z that is exceeded with probability p, 0 < p < 1. */
double normal_exceeded(double p);

/* P(T > t) of Student's t with `freedom` > 0 degrees of freedom, not only whole ones: 26.7.1, as a beta function. */
double student_upper(double t, double freedom);
/* The t that is exceeded with probability p, 0 < p < 1. */
double student_exceeded(double p, double freedom);

/* P(T > t) of the noncentral t distribution: the power of a t test. By its definition, 26.7.9's, as the integral of
 * normal tails over the distribution of the standard deviation: Simpson's rule at 2001 points, absolute error below
 * 10^-9 from 2 degrees of freedom on. */
double student_noncentral_upper(double t, double freedom, double noncentrality);

/* P(X <= k) of n trials with probability p each: 26.5.24. */
double binomial_lower(uint64_t k, uint64_t n, double p);

/* P(X > x) of chi square with one degree of freedom: 26.4.1, which then is a normal tail. */
double chi_square_1_upper(double x);

#endif
