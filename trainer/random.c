#include "trainer/random.h"

#include <math.h>

#include "trainer/exact.h"

/* c[0] + c[1] x + ... + c[7] x^7. */
static double polynomial(const double c[8], double x)
{
    double sum = c[7];
    for (int i = 6; i >= 0; i--)
        sum = fma(sum, x, c[i]);
    return sum;
}

/* source   M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
 *          Statistics 37 (1988), 477-484, routine PPND16. Its third interval (r > 5, p < 1.4e-11) cannot be reached
 *          from a 32-bit word: p >= 2^-33. */
static const double CENTRE_NUMERATOR[8] = { 3.3871328727963666080e0,  1.3314166789178437745e+2,
                                            1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                            4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                            3.3430575583588128105e+4, 2.5090809287301226727e+3 };
static const double CENTRE_DENOMINATOR[8] = { 1.0,
                                              4.2313330701600911252e+1,
                                              6.8718700749205790830e+2,
                                              5.3941960214247511077e+3,
                                              2.1213794301586595867e+4,
                                              3.9307895800092710610e+4,
                                              2.8729085735721942674e+4,
                                              5.2264952788528545610e+3 };
static const double TAIL_NUMERATOR[8] = { 1.42343711074968357734e0,  4.63033784615654529590e0,
                                          5.76949722146069140550e0,  3.64784832476320460504e0,
                                          1.27045825245236838258e0,  2.41780725177450611770e-1,
                                          2.27238449892691845833e-2, 7.74545014278341407640e-4 };
static const double TAIL_DENOMINATOR[8] = { 1.0,
                                            2.05319162663775882187e0,
                                            1.67638483018380384940e0,
                                            6.89767334985100004550e-1,
                                            1.48103976427480074590e-1,
                                            1.51986665636164571966e-2,
                                            5.47593808499534494600e-4,
                                            1.05075007164441684324e-9 };

double random_normal(uint32_t word)
{
    double p = ((double)word + 0.5) * 0x1p-32; /* exact, and so are q and 1 - p */
    double q = p - 0.5;
    if (q >= -0.425 && q <= 0.425) {
        double square = q * q; /* its own statement and rounding: ARITHMETIC.md, section 9 */
        double r = 0.180625 - square;
        return q * (polynomial(CENTRE_NUMERATOR, r) / polynomial(CENTRE_DENOMINATOR, r));
    }
    double r = sqrt(-exact_log(q < 0.0 ? p : 1.0 - p)) - 1.6;
    double tail = polynomial(TAIL_NUMERATOR, r) / polynomial(TAIL_DENOMINATOR, r);
    return q < 0.0 ? -tail : tail;
}
