/* Where manifests are: in the folder of the one that inherits them, in the current folder, or in an experiments
 * folder. */
#ifndef SELFSAME_SETTINGS_PLACES_H
#define SELFSAME_SETTINGS_PLACES_H

#include "base/file.h"
#include "experiments/manifest_names.h"

enum { SETTINGS_FOLDERS = 3 };

/* The folders that are searched for experiments, in this order: $SELFSAME_EXPERIMENTS (NULL or "" if not set), the
 * installed ones, the source tree's. */
void settings_folders(const char *folders[SETTINGS_FOLDERS]);

/* The first of them that exists; NULL if none does. */
const char *settings_folder(void);

/* What that folder has; none where there is no folder. The caller frees. */
enum status settings_names(struct names *names, struct error *error) MUST_USE;

/* Finds the manifest `path`: by this path itself (in the folder of the file `from`, unless that is NULL), else in an
 * experiments folder. STATUS_INPUT, with suggestions, if there is none. */
enum status settings_find(const char *path, const char *from, char found[FILE_PATH_BYTES],
                          struct error *error) MUST_USE;
/* The manifest `path` of the experiments folders; "" if none of them has it. */
enum status settings_find_installed(const char *path, char found[FILE_PATH_BYTES], struct error *error) MUST_USE;

#endif
