/* Finds the dict of named tensors in a pickled object, and reads it: what people call a state dict.
 *
 * where     Anywhere in dicts, lists and the attributes of objects. A dict counts if a tensor in it has a text as its
 *           name. One whose names have dots, as in a network, comes before one without, as in an optimizer.
 * several   The key that the caller names; else the usual keys (state_dict, model, ...), then the object itself. If
 *           that leaves a choice, it is refused, and the message has the keys. Notes say what was chosen, and what else
 *           there was.
 * claims    Texts and numbers on the way to the dict, such as epoch or best_prec1; a tensor of one number is one.
 * refused   A pickle without such a dict. A whole module has a message of its own, because its class would have to be
 *           imported. */
#ifndef SELFSAME_STATE_DICT_H
#define SELFSAME_STATE_DICT_H

#include "fetch/weights/torch_reader.h"

/* Adds the tensors of r->pickle's object, and its claims and notes, to r->tensors. */
enum status state_dict_read(struct torch_reader *r) MUST_USE;

#endif
