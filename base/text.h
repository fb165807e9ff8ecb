/* Texts that people write and read. A leaf room. */
#ifndef SELFSAME_TEXT_H
#define SELFSAME_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* The word of the NULL-terminated list nearest to `word` by edit distance, or NULL when none is near. */
const char *nearest_word(const char *word, const char *const *words);

/* Whether a text is one line that may be shown as it is: no ASCII control character, and none of those of Unicode that
 * end a line or that YAML refuses: U+0080 to U+009F, U+2028, U+2029, U+FEFF, U+FFFE and U+FFFF. */
bool text_is_one_line(const char *text);

/* Copies a text and makes it one such line: what may not be in it becomes a '?'. */
void text_one_line(const char *text, char *line, size_t size);

/* Takes away, in place, what editors and file transfers put into texts: a byte order mark at the beginning, and the
 * carriage return before each line feed. Returns the new length; a NUL follows. */
size_t text_unify(char *text, size_t bytes);

#endif
