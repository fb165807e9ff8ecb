/* YAML as manifests use it: maps, lists and scalars, each with the file and line it came from. A small tree over libyaml's events.
 *
 * Refused, with file and line: anchors, aliases, tags, more than one document, repeated keys, keys that are not scalars, more than
 * YAML_DEPTH_MAX levels, files over YAML_BYTES_MAX. */
#ifndef SELFSAME_YAML_H
#define SELFSAME_YAML_H

#include <stddef.h>

#include "trainer/common/error.h"

enum { YAML_DEPTH_MAX = 8, YAML_BYTES_MAX = 1 << 20 };

enum yaml_kind { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml {
    enum yaml_kind kind;
    char *file;             /* as in messages */
    size_t line;            /* from 1 */
    char *key;              /* in a map; else NULL */
    char *text;             /* of a scalar */
    int quoted;             /* of a scalar: written in quotes, so never a number or a truth value */
    struct yaml **children; /* of a map or list */
    size_t count;
};

/* Parses a text that is called `name` in messages. An empty document is an empty map. The caller frees with yaml_free. */
enum status yaml_parse(const char *text, size_t bytes, const char *name, struct yaml **root, struct error *error) MUST_USE;
void yaml_free(struct yaml *node);
/* The child of that key, or NULL. */
struct yaml *yaml_get(const struct yaml *map, const char *key);
/* Takes the child of that key out of a map; the caller frees it. NULL if there is none. */
struct yaml *yaml_take(struct yaml *map, const char *key);
/* Lays `over` on `base` and returns the result, which owns both: maps merge deeply, everything else replaces. NULL without memory. */
struct yaml *yaml_merge(struct yaml *base, struct yaml *over);

#endif
