/* numpy's .npz files: a zip file of arrays, each an entry NAME.npy with a header of text.
 * source   numpy/lib/format.py: "\x93NUMPY", a version, the header's length, then a Python dict of descr,
 *          fortran_order and shape, then the numbers. */
#ifndef SELFSAME_NPY_H
#define SELFSAME_NPY_H

#include "fetch/weights/torch_reader.h"

/* Adds every array of r->zip to r->tensors; one that cannot be read is listed with its reason. STATUS_INPUT for a zip
 * file without any. */
enum status npy_read_archive(struct torch_reader *r) MUST_USE;

#endif
