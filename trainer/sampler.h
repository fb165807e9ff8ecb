/* Which images a step gets, and how they are cropped and flipped: a pure function of (seed, step). There is no
 * generator state to save. ARITHMETIC.md section 9. */
#ifndef SELFSAME_SAMPLER_H
#define SELFSAME_SAMPLER_H

#include <stdint.h>

#include "base/error.h"
#include "trainer/random.h"
#include "trainer/recipe.h"

struct sample {
    uint32_t image;
    uint8_t row, column; /* the crop's corner in the padded image, 0..2*padding; the middle without random_crop */
    uint8_t flip;        /* 1: mirrored left to right, after the crop */
};

/* The sample of an image in a pass over the data, for the sampler and for engines that draw by themselves. */
EXACT struct sample sample_augmented(uint64_t seed, uint64_t pass, uint32_t image, uint32_t padding_pixels,
                                     bool random_crop, bool random_flip)
{
    const uint64_t positions = 2 * (uint64_t)padding_pixels + 1;
    struct sample sample;
    uint32_t random[4] = { 0 };
    if (random_crop || random_flip)
        random_block(seed, RANDOM_AUGMENT, pass, image, random);
    sample.image = image;
    sample.row = (uint8_t)(random_crop ? random[0] * positions >> 32 : padding_pixels);
    sample.column = (uint8_t)(random_crop ? random[1] * positions >> 32 : padding_pixels);
    sample.flip = (uint8_t)(random_flip ? random[2] >> 31 : 0);
    return sample;
}

struct sampler; /* caches the order of one pass; the cache never shows in the results */

enum status sampler_open(struct sampler **sampler, const struct recipe *recipe, uint32_t images,
                         struct error *error) MUST_USE;
/* Fills samples[0..schedule_batch) of a step, in batch order. samples holds batch_size entries. Any order of steps may
 * be asked. */
void sampler_batch(struct sampler *sampler, uint64_t step, struct sample *samples);
void sampler_close(struct sampler *sampler);

#endif
