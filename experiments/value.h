/* One value of a manifest: from YAML to its canonical text, checked against its row of the schema. */
#ifndef SELFSAME_VALUE_H
#define SELFSAME_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "experiments/schema.h"
#include "experiments/yaml.h"

enum { VALUE_PATH_BYTES = 128, SETTING_NUMBERS_MAX = 64 };

/* What a manifest says about a key. */
struct setting {
    const struct schema_key *key;
    bool given;              /* by a manifest or by the table's default */
    const struct node *node; /* its place in the manifest; NULL for a default or when not given */
    char *text;              /* canonical: "1, 2" for a list, no quotes round a text; NULL for URLs and maps */
    int choice;              /* VALUE_CHOICE: its meaning */
    double numbers[SETTING_NUMBERS_MAX];
    size_t count;            /* of the numbers, URLs or maps */
    struct setting *entries; /* VALUE_MAPS: [count][keys of the list] */
};

/* STATUS_INPUT "file:line: path: message". */
enum status value_error(const struct node *node, const char *path, struct error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Fills the setting, whose key is set, from a node: type, bounds and form; `path` is for messages. settings_free
 * releases what comes of it, also after an error. */
enum status value_parse(struct setting *setting, const char *path, const struct node *node,
                        struct error *error) MUST_USE;

/* As YAML that reads back to the same value; not for a list of maps, which settings_resolved writes. */
void value_print(FILE *file, const struct setting *setting);

#endif
