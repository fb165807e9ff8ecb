/* Finds the tensors of a 6n+2 network in a file, under the names that its author chose.
 *
 * by name   A prefix that all of them have (module., model., _orig_mod., ema., ... as long as it is) is taken off, and
 *           the usual names are known: conv or stem.0 for conv1, bn or stem.1 for bn1, stage1 or block1 for layer1,
 *           norm1 for bn1, downsample for shortcut, fc, classifier or head for linear. Of several networks in a file
 *           the one without a prefix is taken.
 * by order  Otherwise by the order of the modules and their shapes, if these leave no choice. A note says so.
 * beside    Other tensors, such as copies of the network: tensors[].beside. But if a parameter is among the network's
 *           own and the network has no place for it, the file is refused, because that parameter computes something.
 * refused   A network with other shapes, such as ImageNet's, or CIFAR-100's 100 classes: with what is different. */
#ifndef SELFSAME_WEIGHTS_NAMES_H
#define SELFSAME_WEIGHTS_NAMES_H

#include "fetch/weights/tensors.h"
#include "trainer/recipe.h"

/* Renames the tensors of a network to ours. Of option A's two kinds, which weights cannot tell, *model has PAD_END;
 * what weights do not say at all is a manifest's.
 * returns   STATUS_OK; STATUS_INPUT if no network is recognised; then *why has the reason, and the tensors are
 *           unchanged; STATUS_ENVIRONMENT. */
enum status names_recognise(struct tensors *tensors, const char *path, struct model_config *model,
                            struct error *why) MUST_USE;

/* Replaces a run of a name's whole parts (between dots) by another, in all names: "fc=linear", "model=" takes a part
 * off. A tensor whose name becomes empty is left out. STATUS_INPUT for a text without =, or a part that no name has. */
enum status names_replace(struct tensors *tensors, const char *path, const char *rule, struct error *error) MUST_USE;

/* For names.c and names_order.c: tensor i of a network is tensors->list[chosen[i]]. Gives these their names, and marks
 * the others as `beside`. STATUS_INPUT where a shape differs or a tensor could not be read. */
struct network;
enum status names_apply(struct tensors *tensors, const char *path, const struct network *network, const size_t *chosen,
                        struct error *why) MUST_USE;
/* The same after the order and shapes of the modules; STATUS_INPUT where they do not fit or leave a choice. */
enum status names_fit_order(struct tensors *tensors, const char *path, struct model_config *model,
                            struct error *why) MUST_USE;
/* Whether training tools keep such a tensor with the weights: counters, momentum, operation counts. */
bool names_is_harmless(const char *name);

#endif
