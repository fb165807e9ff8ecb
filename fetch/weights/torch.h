/* What torch.save writes, read as data: the legacy format (before torch 1.6) and the zip format.
 *
 * legacy   Five pickles, one behind the other: a magic number, the version 1001, the writer's sizes, the object, the
 *          keys of its storages; then for each key its number of elements (i64) and the elements.
 * zip      Stored entries below one folder: data.pkl is the object, data/KEY a storage, byteorder must be little.
 * object   A dict of tensors, or a dict that holds one as state_dict, model_state_dict, model, net, params or weights,
 *          at most two dicts deep. Texts and numbers beside it become claims, such as best_prec1.
 * tensors  Views of storages, which may be shared, with any strides that stay inside and do not repeat elements.
 * refused  TorchScript, big-endian files, a whole module (its class would have to be imported), everything that
 *          pickle.h refuses.
 * source   torch/serialization.py and caffe2/serialize/inline_container.h describe both. */
#ifndef SELFSAME_TORCH_H
#define SELFSAME_TORCH_H

#include <stdbool.h>

#include "fetch/weights/tensors.h"

/* Whether a file begins as a legacy file does. */
bool torch_is_legacy(const uint8_t *file, size_t bytes);

/* Add the file's tensors and claims, as tensors.h says; names are as in the file. STATUS_INPUT names path, and byte,
 * entry or tensor. */
enum status torch_read_legacy(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                              struct error *error) MUST_USE;
enum status torch_read_zip(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                           struct error *error) MUST_USE;

#endif
