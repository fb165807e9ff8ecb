/* The options of the commands that read a file of weights, and the messages that say how it was read. */
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

/* Says on standard error how the tensors were found, named and rounded, a line for each. */
void weights_tell(const char *command, const char *path, const struct weights *weights);

#endif
