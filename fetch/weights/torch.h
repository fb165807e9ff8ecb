/* What torch.save writes, read as data: the legacy format (before torch 1.6) and the zip format; also numpy's .npz
 * files and plain pickles, of torch's tensors or of numpy's arrays.
 *
 * legacy   Five pickles, one after the other: a magic number, the version 1001, the writer's sizes, the object, the
 *          keys of its storages; then for each key its number of elements (i64) and the elements.
 * zip      Entries below one folder: data.pkl is the object, data/KEY a storage, byteorder must be little. Stored, or
 *          deflated by a program that packed them again.
 * object   A dict of tensors, at the top or inside (fetch/weights/state_dict.h).
 * tensors  Views of storages, which may be shared, with any strides that stay inside; a stride of 0 repeats.
 * opaque   Anything else in the object is ignored. A tensor that cannot be read is listed with the reason.
 * refused  TorchScript, big-endian files, and everything that pickle.h refuses.
 * source   torch/serialization.py and caffe2/serialize/inline_container.h describe both. */
#ifndef SELFSAME_TORCH_H
#define SELFSAME_TORCH_H

#include <stdbool.h>

#include "fetch/weights/tensors.h"

/* Whether a file begins as a legacy file does. */
bool torch_is_legacy(const uint8_t *file, size_t bytes);

/* Add the file's tensors and claims, as tensors.h says; names are as in the file. key is that of the dict of tensors to
 * read where an object has several, or NULL. STATUS_INPUT names path, and byte, entry or tensor. */
enum status torch_read_legacy(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                              const char *key, struct error *error) MUST_USE;
/* *npz tells whether it was one of numpy's. */
enum status torch_read_zip(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                           const char *key, bool *npz, struct error *error) MUST_USE;
/* Of an object that was read already. */
enum status torch_read_object(struct tensors *tensors, const char *path, size_t bytes, const struct pickle *pickle,
                              const char *key, struct error *error) MUST_USE;

#endif
