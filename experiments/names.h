/* The names of the manifests in an experiments folder, and suggestions for a wrong one. */
#ifndef SELFSAME_NAMES_H
#define SELFSAME_NAMES_H

#include <stddef.h>

#include "base/error.h"

/* Paths below the folder, such as "msra/resnet20.yaml", in bytewise order. Files that are no manifest of their own,
 * such as base.yaml, are among them. */
struct names {
    char **list; /* `count` of them, then NULL */
    size_t count;
};

/* Every *.yaml at most three folders down; those that begin with '.' are passed over.
 * errors   STATUS_ENVIRONMENT where a folder cannot be read; `names` is empty then. The caller frees. */
enum status names_read(const char *folder, struct names *names, struct error *error) MUST_USE;
void names_free(struct names *names);

/* For the message about a manifest that is not there, a hint that begins with "; ": those that `path` may have meant,
 * which lie in a folder of that name, are called so in several folders, or are spelled nearly so. "" if none may. */
void names_suggest(const struct names *names, const char *path, char *hint, size_t size);

#endif
