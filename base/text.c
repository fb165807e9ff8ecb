#include "base/text.h"

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

/* How many bytes at `c` make a character that may not be in a line; 0: none. */
static size_t unfit(const unsigned char *c)
{
    if (*c < ' ' || *c == 0x7f)
        return 1;
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
        return 2;
    return (c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)) ||
                   (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf) || (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe)
               ? 3
               : 0;
}

bool text_is_one_line(const char *text)
{
    for (; *text != '\0'; text++) {
        if (unfit((const unsigned char *)text) > 0)
            return false;
    }
    return true;
}

void text_one_line(const char *text, char *line, size_t size)
{
    size_t used = 0;
    while (*text != '\0' && used + 1 < size) {
        const size_t bytes = unfit((const unsigned char *)text);
        line[used++] = bytes > 0 ? '?' : *text;
        text += bytes > 0 ? bytes : 1;
    }
    line[used] = '\0';
}

size_t text_unify(char *text, size_t bytes)
{
    static const char mark[] = "\xef\xbb\xbf"; /* U+FEFF in UTF-8 */
    size_t from = bytes >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0, to = 0;
    for (; from < bytes; from++) {
        if (text[from] != '\r' || from + 1 == bytes || text[from + 1] != '\n')
            text[to++] = text[from];
    }
    text[to] = '\0';
    return to;
}
