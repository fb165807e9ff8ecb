/* A network's weights in a file: safetensors with the names that PyTorch users know. */
#ifndef SELFSAME_WEIGHTS_H
#define SELFSAME_WEIGHTS_H

#include "fetch/safetensors.h"
#include "trainer/network.h"

/* Every tensor of the network, and nothing else but the format's mark that PyTorch tools look for: equal weights give equal files. */
enum status weights_write(const char *path, const struct network *network, const float *values, struct error *error) MUST_USE;

/* Fills values (network->value_count floats). The names and shapes must be the network's exactly, all of them float32; what training
 * keeps beside them (`momentum.*` of our checkpoints, `*.num_batches_tracked`) is passed over. STATUS_INPUT names the file, the tensor and
 * what is wrong. Values may be anything, NaN included. */
enum status weights_read(const char *path, const struct network *network, float *values, struct error *error) MUST_USE;

/* For those who have opened the container: copies the tensors called prefix + name whose role is in `roles` (a bit mask of
 * 1 << enum tensor_role) to values; other values are left alone. */
enum status weights_take(const struct safetensors *safetensors, const char *path, const char *prefix, unsigned roles,
                         const struct network *network, float *values, struct error *error) MUST_USE;

#endif
