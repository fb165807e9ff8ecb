#include "check/support/pickle_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum status pickle_text_read(struct pickle *pickle, const char *data, size_t bytes, uint8_t **memory,
                             struct error *error)
{
    size_t end;
    *memory = malloc(bytes + (bytes == 0));
    assert_non_null(*memory);
    memcpy(*memory, data, bytes);
    return pickle_read(pickle, "file.p", *memory, bytes, 0, &end, error);
}
