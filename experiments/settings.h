/* The settings of a manifest, inherited ones included: one for each key of the schema, with its type and bounds
 * checked, and the file and line it came from. */
#ifndef SELFSAME_SETTINGS_H
#define SELFSAME_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "experiments/value.h"

enum { INHERIT_MAX = 16 };

struct settings {
    char *name;               /* the manifest's file, for messages */
    struct node *root;        /* after inheritance */
    struct setting *settings; /* [schema_key_count] */
};

/* Reads, inherits, and checks every key on its own: unknown and repeated keys, types, bounds, required ones. manifest.h
 * says where files are searched. settings_free releases everything, also after an error. */
enum status settings_read(const char *path, struct settings *settings, struct error *error) MUST_USE;
enum status settings_read_text(const char *text, size_t bytes, const char *name, struct settings *settings,
                               struct error *error) MUST_USE;
/* The same of a text that must not inherit, such as a run's: it says everything itself, and no other file counts. */
enum status settings_read_resolved(const char *text, size_t bytes, const char *name, struct settings *settings,
                                   struct error *error) MUST_USE;
/* The same of a file in an experiments folder, whatever the current folder holds. *there: whether it is there. */
enum status settings_read_installed(const char *path, struct settings *settings, bool *there,
                                    struct error *error) MUST_USE;
void settings_free(struct settings *settings);

/* The setting of a path that the schema has. */
const struct setting *settings_get(const struct settings *settings, const char *path);
/* The setting called `name` of one map in a list of maps. */
const struct setting *settings_of_entry(const struct setting *list, size_t entry, const char *name);

/* STATUS_INPUT "file:line: path: message", the file alone for a key that no manifest gives. */
enum status settings_error(const struct settings *settings, const char *path, struct error *error, const char *format,
                           ...) __attribute__((format(printf, 4, 5)));

/* The same for a key, paths[0], that contradicts others, up to a NULL. If it is inherited, and another of them is
 * nearer to the manifest that was asked for, the message names that one, because its author can mend it. */
enum status settings_conflict(const struct settings *settings, const char *const *paths, struct error *error,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The canonical text, and the lines of the keys that move bits: see manifest.h. The caller frees; NULL without
 * memory. */
char *settings_resolved(const struct settings *settings);
char *settings_experiment(const struct settings *settings);

/* A setting's value on one line, as a manifest may have it; "" for none. The caller frees; NULL without memory. */
char *settings_value(const struct setting *setting);

#endif
