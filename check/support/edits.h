/* Random edits of a file's bytes, for tests of what readers make of damage. The settings of a test: EDITS=N does N
 * edits instead of 1,000, and SEED=N other ones. */
#ifndef SELFSAME_CHECK_EDITS_H
#define SELFSAME_CHECK_EDITS_H

#include <stddef.h>
#include <stdint.h>

/* Begins a sequence of random numbers, which SEED chooses. */
void edits_begin(void);
/* The next one, below `count`. */
uint64_t edits_below(uint64_t count);

unsigned long edits_wanted(void);

/* Bytes of memory that a file needs while it is edited, with another one that may replace it. */
size_t edits_room(size_t bytes, size_t foreign_bytes);
/* One edit: a cut, a flipped bit, another digit, bytes or lines that are gone or come twice, zeros, rubbish, or all of
 * the foreign file. Returns what it was, for messages. */
const char *edit_bytes(char *data, size_t *bytes, const char *foreign, size_t foreign_bytes);

#endif
