/* Writes weights in torch.save's zip format: an OrderedDict of float32 tensors, each with a storage of its own, pickled
 * by protocol 2. */
#ifndef SELFSAME_TORCH_WRITE_H
#define SELFSAME_TORCH_WRITE_H

#include "fetch/weights/safetensors.h"

/* Writes a file durably (base/file.h), in the order given; equal contents give equal bytes. torch.load reads
 * it, with weights_only too, as does fetch/weights/torch.h. STATUS_INPUT for over 65,531 tensors, or a file that would
 * reach 4 GiB. */
enum status torch_write(const char *path, const struct safetensors_source *sources, size_t count,
                        struct error *error) MUST_USE;

#endif
