/* The names of the manifests in an experiments folder, and suggestions for a wrong one. */
#ifndef SELFSAME_MANIFEST_NAMES_H
#define SELFSAME_MANIFEST_NAMES_H

#include <stddef.h>

#include "base/error.h"

/* Paths below the folder, such as "msra/resnet20.yaml", in bytewise order. Files that are no manifest of their own,
 * such as base.yaml, are among them. */
struct names {
    char **list; /* `count` of them, then NULL */
    size_t count;
};

/* Every *.yaml at most three folders down; those that begin with '.' are skipped.
 * errors   STATUS_ENVIRONMENT where a folder cannot be read; `names` is empty then. The caller frees. */
enum status names_read(const char *folder, struct names *names, struct error *error) MUST_USE;
void names_free(struct names *names);

/* A hint for the message about a missing manifest; it begins with "; ". It names the manifests that `path` may mean:
 * those in a folder of that name, those of that name in several folders, and those with nearly the same spelling. "" if
 * there are none. */
void names_suggest(const struct names *names, const char *path, char *hint, size_t size);

#endif
