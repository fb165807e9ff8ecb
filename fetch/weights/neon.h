/* Models that neon (Nervana's framework, 2016) saved: a Python 2 pickle of a description of layers, with their weights.
 *
 * layout   {"model": {"config": {"layers": [...]}}, "epoch_index": ..., ...}; a container is a layer whose "config" has
 *          "layers". A layer with weights has "params": {"W": array} or the array itself; a batch norm {"beta",
 *          "gamma", "gmean", "gvar"}, each (features, 1).
 * network  The 6n+2 network of the 2016 replication: its 3x3 convolutions and batch norms in the order of the layers,
 *          its two 1x1 projections, in any place (their shapes tell them apart), the linear layer, the batch norm over
 *          the logits. The tensors get our names.
 * order    A convolution's W is (C R S, K), C slowest; ours is (K, C, R, S). The linear layer's is (10, 64), as ours.
 *          The first convolution's input channels are B, G, R there and R, G, B here.
 * source   The replication's scripts and neon 1.2.1. The published files are no longer available, so it is tested on
 *          files of this layout. */
#ifndef SELFSAME_NEON_H
#define SELFSAME_NEON_H

#include "fetch/weights/tensors.h"

/* Whether a pickled object is a model of neon's. */
bool neon_is(const struct pickle_value *root);
/* Adds its tensors and claims, as tensors.h says. STATUS_INPUT for layers that are not such a network's. */
enum status neon_read(struct tensors *tensors, const char *path, const struct pickle_value *root,
                      struct error *error) MUST_USE;

#endif
