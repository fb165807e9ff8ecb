/* The embedded data set: ten classes of shapes, drawn by integer arithmetic alone, so that a machine without a network
 * has something to train on whose every byte is known. Image i is a function of i alone: a larger set begins with a
 * smaller one.
 *
 * drawing    a shape, turned, of random size, place and colours (lighter or darker than the ground, channel by
 *            channel), over a colour gradient, two faint lines and two short strokes; noise of up to 18 levels on
 *            every byte.
 * hardness   measured in PyTorch: 2,000 training and 1,000 test images, the msra network and recipe at batch 64,
 *            12 epochs, the rate dropping at 8 and 10. Test error of ResNet-20 with three seeds, %: 79, 86, 80 after
 *            two epochs; 24, 60, 17 before the first drop and 4.5, 8.1, 3.5 an epoch after it; 4.3, 15.1, 3.0 before
 *            the second and 3.7, 5.7, 2.9 an epoch after it; 3.5, 5.3, 2.9 at the end. ResNet-110 ends at 3.9. A
 *            linear softmax classifier on the pixels learns the training set by heart at a weight decay of 1e-4, and
 *            its test error stays above 85 at 1e-4, 0.01 and 0.1. */
#ifndef SELFSAME_EMBEDDED_H
#define SELFSAME_EMBEDDED_H

#include "trainer/dataset.h"

/* The names of the ten classes. */
extern const char *const EMBEDDED_CLASSES[DATASET_CLASSES];

/* Draws both sets, labels 0, 1, ..., 9, 0, ... in turn, and takes their digests. The caller frees both.
 * errors   STATUS_ENVIRONMENT without memory; then both are empty. */
enum status embedded_make(struct dataset *training, uint32_t training_images, struct dataset *test,
                          uint32_t test_images, struct error *error) MUST_USE;

#endif
