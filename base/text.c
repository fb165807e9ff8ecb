#include "base/text.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static size_t edit_distance(const char *a, const char *b)
{
    enum { LENGTH_MAX = 48 };
    size_t row[LENGTH_MAX + 1], columns = strlen(b);
    if (columns > LENGTH_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    return row[columns];
}

const char *nearest_word(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 + 2; /* farther than this is no help */
    for (; *words != NULL; words++) {
        size_t distance = edit_distance(word, *words);
        if (distance < least) {
            least = distance;
            nearest = *words;
        }
    }
    return nearest;
}
