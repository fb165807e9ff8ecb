#include "trainer/sampler.h"

#include <stdbool.h>
#include <stdlib.h>

#include "trainer/random.h"
#include "trainer/schedule.h"

struct keyed {
    uint32_t key, image;
};

struct sampler {
    struct training_config training;
    struct input_config input;
    uint32_t images;
    bool cached; /* order holds that of cached_pass */
    uint64_t cached_pass;
    struct keyed *order, *spare;
};

enum status sampler_open(struct sampler **out, const struct recipe *recipe, uint32_t images, struct error *error)
{
    const struct training_config *training = &recipe->training;
    *out = NULL;
    if (images == 0)
        return error_set(error, STATUS_INPUT, "the training set has no images");
    if (training->last_batch == LAST_BATCH_CONTINUE && training->batch_size > images)
        return error_set(error, STATUS_INPUT,
                         "batch size %u is more than the training set's %u images, so a step would contain some "
                         "images twice",
                         training->batch_size, images);
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler != NULL) {
        sampler->training = *training;
        sampler->input = recipe->input;
        sampler->images = images;
        sampler->order = calloc(images, sizeof *sampler->order);
        sampler->spare = calloc(images, sizeof *sampler->spare);
    }
    if (sampler == NULL || sampler->order == NULL || sampler->spare == NULL) {
        sampler_close(sampler);
        return error_out_of_memory(error, "the order of %u images", images);
    }
    *out = sampler;
    return STATUS_OK;
}

void sampler_close(struct sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->order);
    free(sampler->spare);
    free(sampler);
}

/* Sorts by (key, image): the images come in ascending order and a radix sort keeps the order of equal keys. */
static void make_order(struct sampler *sampler, uint64_t pass)
{
    struct keyed *from = sampler->order, *to = sampler->spare;
    for (uint32_t image = 0; image < sampler->images; image++) {
        uint32_t random[4];
        random_block(sampler->training.seed, RANDOM_SHUFFLE, pass, image, random);
        from[image] = (struct keyed){ random[0], image };
    }
    for (int shift = 0; shift < 32; shift += 8) {
        uint32_t starts[257] = { 0 };
        for (uint32_t i = 0; i < sampler->images; i++)
            starts[(from[i].key >> shift & 255) + 1]++;
        for (int digit = 0; digit < 256; digit++)
            starts[digit + 1] += starts[digit];
        for (uint32_t i = 0; i < sampler->images; i++)
            to[starts[from[i].key >> shift & 255]++] = from[i];
        struct keyed *swap = from;
        from = to;
        to = swap;
    }
    sampler->cached = true; /* after an even number of rounds the result is in order again */
    sampler->cached_pass = pass;
}

void sampler_batch(struct sampler *sampler, uint64_t step, struct sample *samples)
{
    const struct training_config *training = &sampler->training;
    const struct input_config *input = &sampler->input;
    uint32_t count = schedule_batch(training, sampler->images, step);
    uint64_t pass;
    uint32_t place;
    schedule_place(training, sampler->images, step, &pass, &place);
    for (uint32_t i = 0; i < count; i++, place++) {
        if (place == sampler->images) {
            place = 0;
            pass++;
        }
        if (!sampler->cached || sampler->cached_pass != pass)
            make_order(sampler, pass);
        samples[i] = sample_augmented(training->seed, pass, sampler->order[place].image, input->padding_pixels,
                                      input->random_crop, input->random_flip);
    }
}
