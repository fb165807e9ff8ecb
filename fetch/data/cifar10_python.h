/* A batch of CIFAR-10's Python version: a pickle of a dict with "data", uint8 (10000, 3072), and "labels", a list of
 * 10,000 integers. A row is an image as the binary version has it: the red, green and blue planes, each row by row. */
#ifndef SELFSAME_CIFAR10_PYTHON_H
#define SELFSAME_CIFAR10_PYTHON_H

#include "trainer/dataset.h"

/* Reads the batch into the data set's images and labels from `first` on, which has room for them. STATUS_INPUT for
 * anything else than such a batch, naming the file and the byte; STATUS_ENVIRONMENT for one that cannot be read, and
 * without memory. */
enum status cifar10_python_read(const char *path, struct dataset *dataset, uint32_t first,
                                struct error *error) MUST_USE;

#endif
