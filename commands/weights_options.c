#include "commands/weights_options.h"

#include "base/text.h"

void weights_tell(const char *command, const char *path, const struct weights *weights)
{
    char rounding[WEIGHTS_ROUNDING_BYTES];
    for (size_t i = 0; i < weights->tensors.note_count; i++)
        text_line(stderr, "selfsame %s: %s: %s", command, path, weights->tensors.notes[i]);
    weights_tell_rounding(weights, rounding);
    if (rounding[0] != '\0')
        text_line(stderr, "selfsame %s: %s: the weights are %s", command, path, rounding);
}
