#include "experiments/manifest_names.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

enum { LEVELS_MAX = 3 };
static const char ending[] = ".yaml";

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool is_manifest(const char *name)
{
    const size_t length = strlen(name), tail = strlen(ending);
    return length > tail && strcmp(name + length - tail, ending) == 0;
}

static enum status add(struct names *names, const char *name, struct error *error)
{
    char **list = realloc(names->list, (names->count + 2) * sizeof *list);
    if (list == NULL)
        return error_out_of_memory(error, "the names of the experiments");
    names->list = list;
    list[names->count] = strdup(name);
    if (list[names->count] == NULL)
        return error_out_of_memory(error, "the names of the experiments");
    list[++names->count] = NULL;
    return STATUS_OK;
}

/* below: "" or "msra/". */
static enum status read_folder(struct names *names, const char *folder, const char *below, int level,
                               struct error *error)
{
    char path[FILE_PATH_BYTES], name[FILE_PATH_BYTES];
    enum status status = file_path(path, error, "%s/%s", folder, below);
    DIR *directory = status == STATUS_OK ? opendir(path) : NULL;
    if (status == STATUS_OK && directory == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s could not be read", path);
    for (const struct dirent *entry; status == STATUS_OK && (errno = 0, entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        status = file_path(name, error, "%s%s", below, entry->d_name);
        if (status == STATUS_OK)
            status = file_path(path, error, "%s/%s", folder, name);
        if (status == STATUS_OK && is_manifest(name)) {
            status = add(names, name, error);
        } else if (status == STATUS_OK && level < LEVELS_MAX && file_is_folder(path)) {
            status = file_path(name, error, "%s%s/", below, entry->d_name);
            if (status == STATUS_OK)
                status = read_folder(names, folder, name, level + 1, error);
        }
    }
    if (status == STATUS_OK && errno != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "%s could not be read", folder);
    if (directory != NULL)
        closedir(directory);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status names_read(const char *folder, struct names *names, struct error *error)
{
    *names = (struct names){ .list = NULL };
    enum status status = read_folder(names, folder, "", 0, error);
    if (status != STATUS_OK)
        names_free(names);
    else if (names->count > 0)
        qsort(names->list, names->count, sizeof *names->list, compare);
    return status;
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct names){ .list = NULL };
}

/* ---- suggesting -------------------------------------------------------------------------------------------------- */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The name of an experiment: its file's name, unless the file is only for others to inherit. */
static bool is_called(const char *name, const char *wanted)
{
    const char *base = base_of(name);
    const size_t length = strlen(wanted);
    return strncmp(base, wanted, length) == 0 && (base[length] == '\0' || strcmp(base + length, ending) == 0);
}

static bool is_in(const char *name, const char *folder)
{
    const size_t length = strcspn(folder, "/");
    return folder[length + strspn(folder + length, "/")] == '\0' && strncmp(name, folder, length) == 0 &&
           name[length] == '/' && strcmp(base_of(name), "base.yaml") != 0;
}

/* Adds those that fit to the hint. */
static void add_fitting(const struct names *names, const char *path, bool (*fits)(const char *name, const char *path),
                        const char *words, char *hint, size_t size)
{
    for (size_t i = 0; i < names->count; i++) {
        const size_t used = strlen(hint);
        if (fits(names->list[i], path))
            snprintf(hint + used, size - used, "%s%s", used == 0 ? words : ", ", names->list[i]);
    }
}

/* Names with nearly the same spelling: a whole name, or the name of a file in some folder. Endings do not count. */
static void add_nearest(const struct names *names, const char *path, char *hint, size_t size)
{
    const char **words = calloc(2 * names->count + 1, sizeof *words), *nearest = NULL;
    for (size_t i = 0; words != NULL && i < names->count; i++) {
        char *word = strndup(names->list[i], strlen(names->list[i]) - strlen(ending));
        words[i] = word != NULL ? word : "";
        words[names->count + i] = base_of(words[i]);
    }
    if (words != NULL)
        nearest = nearest_word(path, words);
    if (nearest != NULL && strchr(nearest, '/') != NULL)
        snprintf(hint, size, "; did you mean %s%s?", nearest, ending);
    else if (nearest != NULL)
        add_fitting(names, nearest, is_called, "; did you mean one of ", hint, size);
    for (size_t i = 0; words != NULL && i < names->count; i++) {
        if (words[i][0] != '\0')
            free((char *)words[i]);
    }
    free(words);
}

void names_suggest(const struct names *names, const char *path, char *hint, size_t size)
{
    char word[FILE_PATH_BYTES];
    size_t length = (size_t)snprintf(word, sizeof word, "%s", path);
    hint[0] = '\0';
    if (length >= sizeof word)
        return;
    if (is_manifest(word))
        word[length - strlen(ending)] = '\0';
    add_fitting(names, word, is_in, "; in that folder there are ", hint, size);
    if (hint[0] == '\0')
        add_fitting(names, word, is_called, "; there are ", hint, size);
    if (hint[0] == '\0')
        add_nearest(names, word, hint, size);
}
