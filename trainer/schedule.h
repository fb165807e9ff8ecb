/* The schedule: steps, epochs and learning rates as pure functions of the recipe and the training set's size.
 * ARITHMETIC.md section 12. */
#ifndef SELFSAME_SCHEDULE_H
#define SELFSAME_SCHEDULE_H

#include <stdint.h>

#include "trainer/recipe.h"

/* How many steps the whole training has, and how many epochs (the last may be a part of one). */
uint64_t schedule_steps(const struct training_config *training, uint32_t images);
uint64_t schedule_epochs(const struct training_config *training, uint32_t images);
/* The first step after epoch `epoch` (from 0): epoch e covers the steps from schedule_epoch_end(e-1), 0 for e = 0, to
 * before this. */
uint64_t schedule_epoch_end(const struct training_config *training, uint32_t images, uint64_t epoch);
/* The epoch that a step belongs to. */
uint64_t schedule_epoch_of(const struct training_config *training, uint32_t images, uint64_t step);
/* Images in the batch of a step: batch_size, or less in a short last batch. */
uint32_t schedule_batch(const struct training_config *training, uint32_t images, uint64_t step);
/* Where the images of a step begin: the pass over the data and the place in its order. They may run over into the next
 * pass. */
void schedule_place(const struct training_config *training, uint32_t images, uint64_t step, uint64_t *pass,
                    uint32_t *place);
/* The learning rate of a step, rounded once to binary32. */
float schedule_learning_rate(const struct training_config *training, uint32_t images, uint64_t step);
/* The first step after the warm-up; 0 without one. */
uint64_t schedule_warmup_end(const struct training_config *training, uint32_t images);
/* The first step after drop number `drop` of the learning rate, of schedule.drop_count. */
uint64_t schedule_drop_step(const struct training_config *training, uint32_t images, uint32_t drop);

#endif
