/* A pickle that a test wrote as a string, read. */
#ifndef SELFSAME_PICKLE_TEXT_H
#define SELFSAME_PICKLE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/weights/pickle.h"

/* As pickle_read, from *memory of exactly that size, so that a sanitizer sees every byte too far. The caller frees it,
 * after what was read. A message names "file.p". */
enum status pickle_text_read(struct pickle *pickle, const char *data, size_t bytes, uint8_t **memory,
                             struct error *error) MUST_USE;

#endif
