#include "trainer/schedule.h"

/* Steps in the first `epochs` epochs, whatever the training's length. In a continuous stream an epoch ends with the
 * step that passes its last image; with short last batches every epoch has the same number of steps. */
static uint64_t steps_of(const struct training_config *training, uint32_t images, uint64_t epochs)
{
    uint64_t batch = training->batch_size;
    if (training->last_batch == LAST_BATCH_SHORT)
        return epochs * ((images + batch - 1) / batch);
    return (epochs * images + batch - 1) / batch;
}

/* A count of epochs or steps from the start, in steps. */
static uint64_t to_steps(const struct training_config *training, uint32_t images, enum time_unit unit, uint64_t length)
{
    return unit == UNIT_STEP ? length : steps_of(training, images, length);
}

void schedule_place(const struct training_config *training, uint32_t images, uint64_t step, uint64_t *pass,
                    uint32_t *place)
{
    const uint64_t batch = training->batch_size;
    if (training->last_batch == LAST_BATCH_CONTINUE) {
        *pass = step * batch / images;
        *place = (uint32_t)(step * batch % images);
    } else {
        const uint64_t steps_per_pass = steps_of(training, images, 1);
        *pass = step / steps_per_pass;
        *place = (uint32_t)(step % steps_per_pass * batch);
    }
}

uint64_t schedule_steps(const struct training_config *training, uint32_t images)
{
    return to_steps(training, images, training->length_unit, training->length);
}

uint64_t schedule_epoch_of(const struct training_config *training, uint32_t images, uint64_t step)
{
    if (training->last_batch == LAST_BATCH_SHORT)
        return step / steps_of(training, images, 1);
    return step * training->batch_size / images;
}

uint64_t schedule_epochs(const struct training_config *training, uint32_t images)
{
    if (training->length_unit == UNIT_EPOCH)
        return training->length;
    return training->length == 0 ? 0 : schedule_epoch_of(training, images, training->length - 1) + 1;
}

uint64_t schedule_epoch_end(const struct training_config *training, uint32_t images, uint64_t epoch)
{
    uint64_t end = steps_of(training, images, epoch + 1), steps = schedule_steps(training, images);
    return end < steps ? end : steps;
}

uint32_t schedule_batch(const struct training_config *training, uint32_t images, uint64_t step)
{
    if (training->last_batch == LAST_BATCH_CONTINUE)
        return training->batch_size;
    uint64_t place = step % steps_of(training, images, 1) * training->batch_size;
    return images - place < training->batch_size ? (uint32_t)(images - place) : training->batch_size;
}

uint64_t schedule_warmup_end(const struct training_config *training, uint32_t images)
{
    return to_steps(training, images, training->schedule.warmup_unit, training->schedule.warmup_length);
}

uint64_t schedule_drop_step(const struct training_config *training, uint32_t images, uint32_t drop)
{
    return to_steps(training, images, training->schedule.drop_unit, training->schedule.drops[drop]);
}

float schedule_learning_rate(const struct training_config *training, uint32_t images, uint64_t step)
{
    const struct schedule_config *schedule = &training->schedule;
    if (step < schedule_warmup_end(training, images))
        return (float)schedule->warmup_learning_rate;
    double rate = schedule->learning_rate;
    for (uint32_t drop = 0; drop < schedule->drop_count && step >= schedule_drop_step(training, images, drop); drop++)
        rate *= schedule->drop_factor;
    return (float)rate;
}
