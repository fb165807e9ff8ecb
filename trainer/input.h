/* From the bytes of an image to the network's input: padding, crop, mirror, normalisation. ARITHMETIC.md section 10. */
#ifndef SELFSAME_INPUT_H
#define SELFSAME_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/dataset.h"
#include "trainer/recipe.h"
#include "trainer/sampler.h"

struct input; /* the means and tables of normalised bytes; read-only once open, so threads may share it */

/* `training` gives the means; NULL will do for NORMALIZE_CONSTANTS.
 * errors   STATUS_INPUT for a missing or empty training set that is needed, and for a padding by bytes where they are
 *          normalised by the mean of their pixel: a border has none. STATUS_ENVIRONMENT without memory. */
enum status input_open(struct input **input, const struct input_config *config, const struct dataset *training,
                       struct error *error) MUST_USE;
void input_close(struct input *input);

/* What an engine needs that loads images by itself: input_values[c * 256 + byte], each byte normalised, or, with
 * NORMALIZE_PIXEL_MEAN, input_pixel_mean[(c * 32 + i) * 32 + j]. The other one is NULL; both live as long as the
 * input. */
const float *input_values(const struct input *input);
const float *input_pixel_mean(const struct input *input);

/* x[c * channel + i * row + j * pixel] = padded[c][sample.row + i][sample.column + (sample.flip ? 31 - j : j)],
 * normalised, for c = 0..2 and i, j = 0..31.
 * shapes   image (3,32,32) uint8; channel, row, pixel are strides in floats: 1024, 32, 1 for a (3,32,32) array.
 * order    ARITHMETIC.md section 10. */
void input_load(const struct input *input, const uint8_t *image, const struct sample *sample, float *x,
                ptrdiff_t channel, ptrdiff_t row, ptrdiff_t pixel);
/* As above for evaluation: the plain image, neither padded nor mirrored. */
void input_load_plain(const struct input *input, const uint8_t *image, float *x, ptrdiff_t channel, ptrdiff_t row,
                      ptrdiff_t pixel);

#endif
