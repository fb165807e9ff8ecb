/* Two manifests, key by key. A default counts as its value: what neither manifest changes is no difference, also where
 * only one of them was written by a version that knows the key. */
#ifndef SELFSAME_SETTINGS_DIFFERENCE_H
#define SELFSAME_SETTINGS_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct settings_difference {
    const char *key;      /* such as "training.batch_size" */
    char *first, *second; /* the values; "" for none */
    bool moves_bits;      /* the experiment digest follows from it */
};

/* All differences of two resolved manifests: those of the data that move bits first, then the others that do, then the
 * rest, each in the schema's order. The names are for messages. The caller frees with settings_differences_free. */
enum status settings_differences(const char *first, const char *first_name, const char *second, const char *second_name,
                                 struct settings_difference **differences, size_t *count, struct error *error) MUST_USE;
void settings_differences_free(struct settings_difference *differences, size_t count);

#endif
