/* Texts that people write and read. A leaf room. */
#ifndef SELFSAME_TEXT_H
#define SELFSAME_TEXT_H

/* The word of the NULL-terminated list nearest to `word` by edit distance, or NULL when none is near. */
const char *nearest_word(const char *word, const char *const *words);

#endif
