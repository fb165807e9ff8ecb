/* The operations of reference.h by which exact-2 computes its 3x3 convolutions of stride 1: ARITHMETIC.md section 2b in
 * plain loops. */
#include <string.h>

#include "trainer/cpu/reference.h"

enum { POINTS = EXACT_WINOGRAD_POINTS, INPUT = EXACT_WINOGRAD_INPUT, TILE = EXACT_WINOGRAD_TILE };

/* Applies a transform of one dimension down the first `columns` columns of a square of INPUT by INPUT numbers, then
 * along its first `rows` rows. */
static inline __attribute__((always_inline)) void transform(void (*one)(float *v, size_t stride), float *square,
                                                            uint32_t columns, uint32_t rows)
{
    for (uint32_t j = 0; j < columns; j++)
        one(square + j, INPUT);
    for (uint32_t i = 0; i < rows; i++)
        one(square + (size_t)i * INPUT, 1);
}

void winograd_filters(const struct conv2d *d, const float *w, bool mirrored, float *u)
{
    for (uint32_t o = 0; o < d->C; o++) {
        for (uint32_t i = 0; i < d->C; i++, u += POINTS) {
            const float *taps = w + (mirrored ? (size_t)i * d->C + o : (size_t)o * d->C + i) * 9;
            for (uint32_t tap = 0; tap < 9; tap++)
                u[tap / 3 * INPUT + tap % 3] = taps[mirrored ? 8 - tap : tap];
            transform(exact_winograd_filter, u, 3, INPUT);
        }
    }
}

/* The INPUT by INPUT numbers of an image's plane from `row` and `column` on, +0 outside the image, at a tile's
 * points. */
static void input_points(const float *plane, uint32_t side, int row, int column, float *v)
{
    for (int a = 0; a < INPUT; a++) {
        for (int b = 0; b < INPUT; b++) {
            const int h = row + a, w = column + b;
            const bool inside = h >= 0 && h < (int)side && w >= 0 && w < (int)side;
            v[a * INPUT + b] = inside ? plane[(uint32_t)h * side + (uint32_t)w] : 0.0f;
        }
    }
    transform(exact_winograd_input, v, INPUT, INPUT);
}

/* One image through the filters u. */
static void convolve(const struct conv2d *d, const float *x, const float *u, float *y, float *v)
{
    const uint32_t C = d->C, H = d->H, across = H / TILE;
    for (uint32_t tile = 0; tile < across * across; tile++) {
        const uint32_t row = tile / across * TILE, column = tile % across * TILE;
        for (uint32_t c = 0; c < C; c++)
            input_points(x + (size_t)c * H * H, H, (int)row - 1, (int)column - 1, v + (size_t)c * POINTS);
        for (uint32_t k = 0; k < C; k++) {
            float m[POINTS] = { 0.0f };
            for (uint32_t c = 0; c < C; c++) {
                const float *filter = u + ((size_t)k * C + c) * POINTS, *input = v + (size_t)c * POINTS;
                for (uint32_t point = 0; point < POINTS; point++)
                    m[point] = fmaf(input[point], filter[point], m[point]);
            }
            transform(exact_winograd_output, m, INPUT, TILE);
            for (uint32_t i = 0; i < TILE; i++)
                memcpy(y + ((size_t)k * H + row + i) * H + column, m + (size_t)i * INPUT, TILE * sizeof *y);
        }
    }
}

void winograd_forward(const struct conv2d *d, const float *x, const float *u, float *y, float *scratch)
{
    convolve(d, x, u, y, scratch);
}

void winograd_backward_data(const struct conv2d *d, const float *dy, const float *u, float *dx, float *scratch)
{
    convolve(d, dy, u, dx, scratch);
}

void winograd_backward_weight(const struct conv2d *d, uint32_t begin, uint32_t end, const float *x, const float *dy,
                              float *part, float *scratch)
{
    const uint32_t C = d->C, H = d->H, across = H / TILE;
    float *v = scratch, *z = scratch + REFERENCE_POINTS_FLOATS;
    memset(part, 0, (size_t)C * C * POINTS * sizeof *part);
    for (uint32_t n = begin; n < end; n++) {
        for (uint32_t tile = 0; tile < across * across; tile++) {
            const uint32_t row = tile / across * TILE, column = tile % across * TILE;
            for (uint32_t c = 0; c < C; c++) {
                const size_t plane = ((size_t)n * C + c) * H * H;
                float *points = z + (size_t)c * POINTS;
                input_points(x + plane, H, (int)row - 1, (int)column - 1, v + (size_t)c * POINTS);
                for (uint32_t i = 0; i < TILE; i++)
                    memcpy(points + (size_t)i * INPUT, dy + plane + (size_t)(row + i) * H + column,
                           TILE * sizeof *points);
                transform(exact_winograd_gradient, points, TILE, INPUT);
            }
            for (uint32_t k = 0; k < C; k++) {
                for (uint32_t c = 0; c < C; c++) {
                    const float *input = v + (size_t)c * POINTS, *gradient = z + (size_t)k * POINTS;
                    float *acc = part + ((size_t)k * C + c) * POINTS;
                    for (uint32_t point = 0; point < POINTS; point++)
                        acc[point] = fmaf(input[point], gradient[point], acc[point]);
                }
            }
        }
    }
}

void winograd_taps(const struct conv2d *d, float *sums, float *dw)
{
    for (uint32_t c = 0; c < d->C; c++, sums += POINTS) {
        transform(exact_winograd_taps, sums, INPUT, 3);
        for (uint32_t tap = 0; tap < 9; tap++)
            dw[c * 9 + tap] = sums[tap / 3 * INPUT + tap % 3];
    }
}
