/* YAML as manifests use it: maps, lists and scalars, each with the file and line it came from. A small tree over
 * libyaml's events.
 *
 * Refused, with file and line: anchors, aliases, tags, more than one document, repeated keys, keys that are empty or
 * not scalars, more than NODE_DEPTH_MAX levels, more than NODE_CHILDREN_MAX entries in one map or list, files over
 * NODE_BYTES_MAX. */
#ifndef SELFSAME_NODE_H
#define SELFSAME_NODE_H

#include <stddef.h>

#include "base/error.h"

enum { NODE_DEPTH_MAX = 8, NODE_CHILDREN_MAX = 256, NODE_BYTES_MAX = 1 << 20 };

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
    enum node_kind kind;
    char *file;             /* as in messages */
    size_t line;            /* from 1 */
    size_t level;           /* how many manifests inherit from its file; 0 in the one that was asked for */
    char *key;              /* in a map; else NULL */
    char *text;             /* of a scalar */
    int quoted;             /* of a scalar: written in quotes, so never a number or a truth value */
    struct node **children; /* of a map or list */
    size_t count;
};

/* Parses a text that is called `name` in messages. An empty document is an empty map. The caller frees with
 * node_free. */
enum status node_parse(const char *text, size_t bytes, const char *name, size_t level, struct node **root,
                       struct error *error) MUST_USE;
void node_free(struct node *node);
/* The child of that key, or NULL. */
struct node *node_get(const struct node *map, const char *key);
/* Takes the child of that key out of a map; the caller frees it. NULL if there is none. */
struct node *node_take(struct node *map, const char *key);
/* Merges `over` into `base` and returns the result, which owns both. Maps are merged key by key; anything else
 * replaces. NULL without memory. */
struct node *node_merge(struct node *base, struct node *over);

#endif
