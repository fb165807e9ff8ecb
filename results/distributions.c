#include "results/distributions.h"

#include <math.h>
#include <stdbool.h>

static const double half_log_2_pi = 0.91893853320467274178;

/* ---- the beta function ------------------------------------------------------------------------------------------- */

/* log Gamma(x + 1) less Stirling's x log x - x + log(2 pi x) / 2. For large x the series 6.1.41, whose next term is
 * below 10^-17 from 16 on. */
static double stirling_error(double x)
{
    if (x < 16.0)
        return lgamma(x + 1.0) - (x + 0.5) * log(x) + x - half_log_2_pi;
    const double s = 1.0 / (x * x);
    return (1.0 / 12 - s * (1.0 / 360 - s * (1.0 / 1260 - s * (1.0 / 1680 - s * (1.0 / 1188 - s * 691.0 / 360360))))) /
           x;
}

/* x log(x / m) + m - x, at full precision also where x is near m (Loader's D0): the logarithm as the series of
 * 4.1.27 in (x - m) / (x + m), whose first terms cancel analytically. */
static double deviance(double x, double m)
{
    const double v = (x - m) / (x + m);
    if (fabs(v) > 0.1)
        return x * log(x / m) + m - x;
    double term = 2.0 * x * v, sum = (x - m) * v;
    for (int j = 3; j < 100; j += 2) {
        term *= v * v;
        const double next = sum + term / j;
        if (next == sum)
            break;
        sum = next;
    }
    return sum;
}

/* x^a y^b / B(a, b) */
static double beta_factor(double a, double b, double x, double y)
{
    const double n = a + b;
    const double logarithm =
        stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * x) - deviance(b, n * y);
    return exp(logarithm - half_log_2_pi) * sqrt(a * b / n);
}

/* What the factor must be divided by: the continued fraction 26.5.8 with every second term contracted, as DiDonato and
 * Morris give it (ACM Transactions on Mathematical Software 18, 1992). Its terms have y and a y - b x in them instead
 * of 1 - x, so nothing cancels where x is near 1. By Lentz's method: quotients of successive numerators (c) and
 * denominators (d), none of them 0. */
static double beta_fraction(double a, double b, double x, double y)
{
    enum { TERMS = 100000 }; /* it takes about the square root of the larger of a and b */
    static const double tiny = 1e-300;
    const double lambda = a * y - b * x;
    double f = a * (lambda + 1.0) / (a + 1.0), c, d = 0.0;
    f = fabs(f) < tiny ? tiny : f;
    c = f;
    for (int m = 1; m < TERMS; m++) {
        const double n = a + 2.0 * m - 1.0;
        const double numerator = (a + m - 1.0) / n * ((a + b + m - 1.0) / n) * m * (b - m) * x * x;
        const double denominator = m + m * (b - m) * x / n + (a + m) * (lambda + 1.0 + m * (1.0 + y)) / (n + 2.0);
        d = denominator + numerator * d;
        d = 1.0 / (fabs(d) < tiny ? tiny : d);
        c = denominator + numerator / c;
        c = fabs(c) < tiny ? tiny : c;
        f *= c * d;
        if (fabs(c * d - 1.0) < 1e-16)
            break;
    }
    return f;
}

double beta_incomplete(double a, double b, double x, double y)
{
    if (!(x > 0.0) || !(y > 0.0))
        return x > 0.0 ? 1.0 : x == x ? 0.0 : NAN;
    const double factor = beta_factor(a, b, x, y);
    return a * y >= b * x ? factor / beta_fraction(a, b, x, y) : 1.0 - factor / beta_fraction(b, a, y, x);
}

/* ---- tails, and where they begin --------------------------------------------------------------------------------- */

double normal_upper(double z)
{
    return 0.5 * erfc(z * M_SQRT1_2);
}

double student_upper(double t, double freedom)
{
    if (isinf(freedom))
        return normal_upper(t);
    const double square = t / freedom * t;
    const double tail = 0.5 * beta_incomplete(0.5 * freedom, 0.5, 1.0 / (1.0 + square), 1.0 / (1.0 + 1.0 / square));
    return t < 0.0 ? 1.0 - tail : tail;
}

/* Where the tail is p, by bisection down to neighbouring numbers: slow, but as accurate as the tail itself. */
static double exceeded(double p, double (*upper)(double, double), double freedom)
{
    const bool below = p > 0.5;
    double low = 0.0, high = 1.0;
    p = below ? 1.0 - p : p;
    while (upper(high, freedom) > p && isfinite(high)) {
        low = high;
        high *= 2.0;
    }
    for (;;) {
        const double middle = low + 0.5 * (high - low);
        if (middle <= low || middle >= high)
            break;
        if (upper(middle, freedom) > p)
            low = middle;
        else
            high = middle;
    }
    return below ? -high : high;
}

double student_exceeded(double p, double freedom)
{
    return exceeded(p, student_upper, freedom);
}

double normal_exceeded(double p)
{
    return exceeded(p, student_upper, INFINITY);
}

double student_noncentral_upper(double t, double freedom, double noncentrality)
{
    enum { INTERVALS = 2000 };
    const double z = 0.5 * freedom, reach = 10.0 / sqrt(2.0 * freedom);
    const double first = reach < 1.0 ? 1.0 - reach : 0.0, step = (1.0 + reach - first) / INTERVALS;
    /* The logarithm of the density's constant times exp(-freedom / 2), with Stirling's terms taken out. */
    const double constant = M_LN2 + 0.5 * log(z) - half_log_2_pi - stirling_error(z);
    double sum = 0.0;
    for (int i = 0; i <= INTERVALS; i++) {
        const double s = first + i * step;
        const double weight = i == 0 || i == INTERVALS ? 1.0 : i % 2 == 1 ? 4.0 : 2.0;
        const double power = freedom == 1.0 ? 0.0 : (freedom - 1.0) * log(s);
        sum += weight * exp(constant + power - 0.5 * freedom * (s - 1.0) * (s + 1.0)) *
               normal_upper(t * s - noncentrality);
    }
    return sum * step / 3.0;
}

double binomial_lower(uint64_t k, uint64_t n, double p)
{
    return k >= n ? 1.0 : beta_incomplete((double)(n - k), (double)k + 1.0, 1.0 - p, p);
}

double chi_square_1_upper(double x)
{
    return erfc(sqrt(0.5 * x));
}
