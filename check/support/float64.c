#include "check/support/float64.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The outputs begin .. end-1 of a row (or column) whose tap lies inside the image. */
static uint32_t conv64_begin(const struct conv64 *d, uint32_t tap)
{
    return tap < d->taps / 2 ? 1 : 0;
}

static uint32_t conv64_end(const struct conv64 *d, uint32_t tap)
{
    const uint32_t P = d->H / d->stride, end = (d->H - 1 + d->taps / 2 - tap) / d->stride + 1;
    return end < P ? end : P;
}

/* Hands every product's place to `row`, a row of outputs at a time: the weight w[k,c,r,s] joins the pixel
 * x[n,c,stride p + r - 1,stride q + s - 1] to y[n,k,p,q] (without the -1 if there is one tap). */
static inline __attribute__((always_inline)) void
conv64_products(const struct conv64 *d, uint32_t N, double *x, double *w, double *y,
                void (*row)(uint32_t count, uint32_t stride, double *x, double *w, double *y))
{
    const size_t H = d->H, P = d->H / d->stride, taps = d->taps, pad = taps / 2;
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t k = 0; k < d->K; k++)
            for (uint32_t c = 0; c < d->C; c++)
                for (uint32_t r = 0; r < taps; r++)
                    for (uint32_t s = 0; s < taps; s++)
                        for (uint32_t p = conv64_begin(d, r); p < conv64_end(d, r); p++) {
                            const uint32_t q = conv64_begin(d, s);
                            row(conv64_end(d, s) - q, d->stride,
                                x + ((n * d->C + c) * H + d->stride * p + r - pad) * H + d->stride * q + s - pad,
                                w + ((k * d->C + c) * taps + r) * taps + s, y + ((n * d->K + k) * P + p) * P + q);
                        }
}

static void conv64_row_forward(uint32_t count, uint32_t stride, double *x, double *w, double *y)
{
    const double tap = *w;
    for (uint32_t q = 0; q < count; q++)
        y[q] += x[stride * q] * tap;
}

static void conv64_row_data(uint32_t count, uint32_t stride, double *x, double *w, double *y)
{
    const double tap = *w;
    for (uint32_t q = 0; q < count; q++)
        x[stride * q] += y[q] * tap;
}

static void conv64_row_weight(uint32_t count, uint32_t stride, double *x, double *w, double *y)
{
    double sum = 0.0;
    for (uint32_t q = 0; q < count; q++)
        sum += x[stride * q] * y[q];
    *w += sum;
}

void conv64_forward(const struct conv64 *d, uint32_t N, double *x, double *w, double *y)
{
    const size_t P = d->H / d->stride;
    memset(y, 0, N * d->K * P * P * sizeof *y);
    conv64_products(d, N, x, w, y, conv64_row_forward);
}

void conv64_backward_data_add(const struct conv64 *d, uint32_t N, double *dy, double *w, double *dx)
{
    conv64_products(d, N, dx, w, dy, conv64_row_data);
}

void conv64_backward_weight(const struct conv64 *d, uint32_t N, double *x, double *dy, double *dw)
{
    memset(dw, 0, (size_t)d->K * d->C * d->taps * d->taps * sizeof *dw);
    conv64_products(d, N, x, dw, dy, conv64_row_weight);
}

/* Hands every pixel that the shortcut passes on to `pixel`: x[n,c,2p,2q] and z[n,first + c,p,q]. */
static inline __attribute__((always_inline)) void option_a64_pixels(const struct conv64 *d, uint32_t N, uint32_t first,
                                                                    double *x, double *z,
                                                                    void (*pixel)(double *x, double *z))
{
    const size_t H = d->H, P = H / 2;
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t c = 0; c < d->C; c++)
            for (size_t p = 0; p < P; p++)
                for (size_t q = 0; q < P; q++)
                    pixel(x + ((n * d->C + c) * H + 2 * p) * H + 2 * q, z + ((n * d->K + c + first) * P + p) * P + q);
}

static void option_a64_pixel_forward(double *x, double *z)
{
    *z += *x;
}

static void option_a64_pixel_backward(double *x, double *z)
{
    *x += *z;
}

void option_a64_forward_add(const struct conv64 *d, uint32_t N, uint32_t first, double *x, double *z)
{
    option_a64_pixels(d, N, first, x, z, option_a64_pixel_forward);
}

void option_a64_backward_add(const struct conv64 *d, uint32_t N, uint32_t first, double *dz, double *dx)
{
    option_a64_pixels(d, N, first, dx, dz, option_a64_pixel_backward);
}

struct norm64 norm64_statistics(uint32_t N, uint32_t K, uint32_t pixels, uint32_t k, double epsilon, const double *y)
{
    struct norm64 norm = { 0.0, 0.0, 0.0 };
    const double M = (double)N * pixels;
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t i = 0; i < pixels; i++)
            norm.mean += y[((size_t)n * K + k) * pixels + i] / M;
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t i = 0; i < pixels; i++)
            norm.variance += pow(y[((size_t)n * K + k) * pixels + i] - norm.mean, 2.0) / M;
    norm.inverse = 1.0 / sqrt(norm.variance + epsilon);
    return norm;
}

void norm64_forward(uint32_t N, uint32_t K, uint32_t pixels, uint32_t k, const struct norm64 *norm, double gamma,
                    double beta, const double *y, double *u)
{
    for (uint32_t n = 0; n < N; n++)
        for (size_t i = ((size_t)n * K + k) * pixels; i < ((size_t)n * K + k + 1) * pixels; i++)
            u[i] = gamma * (y[i] - norm->mean) * norm->inverse + beta;
}

void norm64_backward(uint32_t N, uint32_t K, uint32_t pixels, uint32_t k, const struct norm64 *norm, double gamma,
                     const double *y, const double *g, double *dy, double *dgamma, double *dbeta)
{
    const double M = (double)N * pixels;
    *dgamma = *dbeta = 0.0;
    for (uint32_t n = 0; n < N; n++) {
        for (size_t i = ((size_t)n * K + k) * pixels; i < ((size_t)n * K + k + 1) * pixels; i++) {
            *dbeta += g[i];
            *dgamma += g[i] * (y[i] - norm->mean) * norm->inverse;
        }
    }
    for (uint32_t n = 0; n < N; n++)
        for (size_t i = ((size_t)n * K + k) * pixels; i < ((size_t)n * K + k + 1) * pixels; i++)
            dy[i] = gamma * norm->inverse * (g[i] - *dbeta / M - (y[i] - norm->mean) * norm->inverse * *dgamma / M);
}

void pool64_forward(uint32_t N, const double *a, double *pool)
{
    for (size_t i = 0; i < (size_t)N * HEAD64_FEATURES; i++) {
        pool[i] = 0.0;
        for (uint32_t j = 0; j < HEAD64_PIXELS; j++)
            pool[i] += a[i * HEAD64_PIXELS + j] / HEAD64_PIXELS;
    }
}

void pool64_backward(uint32_t N, const double *dpool, double *d)
{
    for (size_t i = 0; i < (size_t)N * HEAD64_FEATURES * HEAD64_PIXELS; i++)
        d[i] = dpool[i / HEAD64_PIXELS] / HEAD64_PIXELS;
}

void linear64_forward(uint32_t N, const double *pool, const double *w, const double *bias, double *z)
{
    for (uint32_t n = 0; n < N; n++) {
        for (uint32_t k = 0; k < HEAD64_CLASSES; k++) {
            double sum = bias == NULL ? 0.0 : bias[k];
            for (uint32_t c = 0; c < HEAD64_FEATURES; c++)
                sum += pool[n * HEAD64_FEATURES + c] * w[k * HEAD64_FEATURES + c];
            z[n * HEAD64_CLASSES + k] = sum;
        }
    }
}

void linear64_backward(uint32_t N, const double *pool, const double *w, const double *dz, double *dw, double *dbias,
                       double *dpool)
{
    memset(dw, 0, (size_t)HEAD64_CLASSES * HEAD64_FEATURES * sizeof *dw);
    memset(dpool, 0, (size_t)N * HEAD64_FEATURES * sizeof *dpool);
    for (uint32_t n = 0; n < N; n++) {
        for (uint32_t k = 0; k < HEAD64_CLASSES; k++) {
            for (uint32_t c = 0; c < HEAD64_FEATURES; c++) {
                dw[k * HEAD64_FEATURES + c] += dz[n * HEAD64_CLASSES + k] * pool[n * HEAD64_FEATURES + c];
                dpool[n * HEAD64_FEATURES + c] += dz[n * HEAD64_CLASSES + k] * w[k * HEAD64_FEATURES + c];
            }
        }
    }
    for (uint32_t k = 0; k < HEAD64_CLASSES && dbias != NULL; k++) {
        dbias[k] = 0.0;
        for (uint32_t n = 0; n < N; n++)
            dbias[k] += dz[n * HEAD64_CLASSES + k];
    }
}

double softmax64_loss(const double *u, uint32_t label, double *f)
{
    double largest = u[0], sum = 0.0;
    for (uint32_t k = 1; k < HEAD64_CLASSES; k++)
        largest = fmax(largest, u[k]);
    for (uint32_t k = 0; k < HEAD64_CLASSES; k++)
        sum += exp(u[k] - largest);
    for (uint32_t k = 0; k < HEAD64_CLASSES; k++)
        f[k] = exp(u[k] - largest) / sum;
    return log(sum) - (u[label] - largest);
}

void softmax64_backward(uint32_t N, uint32_t label, const double *f, double *du)
{
    for (uint32_t k = 0; k < HEAD64_CLASSES; k++)
        du[k] = (f[k] - (k == label ? 1.0 : 0.0)) / N;
}

double *widened(const float *values, size_t count)
{
    double *wide = malloc(count * sizeof *wide);
    if (wide == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        wide[i] = (double)values[i];
    return wide;
}

double relative_error(size_t count, const float *ours, const double *wide)
{
    double error = 0.0, largest = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)ours[i] - wide[i]);
        error =
            difference > error || difference != difference ? (difference != difference ? INFINITY : difference) : error;
        largest = fmax(largest, fabs(wide[i]));
    }
    return error == 0.0 ? 0.0 : error / largest;
}
