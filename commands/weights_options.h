/* What the commands that read a file of weights share: how a person says what is in it, and is told what was done. */
#ifndef SELFSAME_WEIGHTS_OPTIONS_H
#define SELFSAME_WEIGHTS_OPTIONS_H

#include "commands/command.h"
#include "fetch/weights/weights.h"

#define OPTION_KEY                                                                                             \
    {                                                                                                          \
        "key", "KEY", OPTION_TEXT, 0, 0, NULL,                                                                 \
            "the key of the weights if a file has several, such as model_ema; default: state_dict, model and " \
            "similar keys, or the only one"                                                                    \
    }
#define OPTION_RENAME                                                                                                \
    {                                                                                                                \
        "rename", "OLD=NEW", OPTION_LIST, 0, 0, NULL,                                                                \
            "replace a part of the tensors' names, between dots: fc=linear renames it, model= removes it. A tensor " \
            "without any other part is left out. You may give --rename several times"                                \
    }

/* Tells on standard error how the tensors were found, named and rounded, a line each. */
void weights_tell(const char *command, const char *path, const struct weights *weights);

#endif
