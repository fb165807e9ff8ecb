#include "fetch/data/cifar10_places.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LEVELS = 4, PLACES_MAX = 32, ENTRIES_MAX = 10000 };

struct search {
    const char *const *names;
    size_t name_count;
    struct cifar10_place *places;
    size_t *levels; /* [count] */
    size_t count;
    bool cifar100; /* seen */
};

static bool ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name), end = strlen(ending);
    return length > end && strcasecmp(name + length - end, ending) == 0;
}

static bool is_archive(const char *name)
{
    return ends_with(name, ".tar.gz") || ends_with(name, ".tgz");
}

static bool is_cifar100(const char *name)
{
    return strncasecmp(name, "cifar-100", 9) == 0 || strncasecmp(name, "cifar100", 8) == 0;
}

static void add(struct search *search, const char *path, enum cifar10_kind kind, size_t missing, size_t level)
{
    struct error ignored;
    struct cifar10_place *place = &search->places[search->count];
    if (search->count == PLACES_MAX || file_path(place->path, &ignored, "%s", path) != STATUS_OK)
        return;
    place->kind = kind;
    place->missing = missing;
    search->levels[search->count++] = level;
}

/* How many of the wanted batches are missing from a folder, in one version. */
static size_t missing_in(const struct search *search, const char *folder, const char *suffix)
{
    size_t missing = search->name_count;
    for (size_t i = 0; i < search->name_count; i++) {
        char path[FILE_PATH_BYTES];
        struct error ignored;
        if (file_path(path, &ignored, "%s/%s%s", folder, search->names[i], suffix) == STATUS_OK && file_exists(path))
            missing--;
    }
    return missing;
}

static enum status look_in(struct search *search, const char *folder, size_t level, struct error *error);

/* Goes into the folders that may hold it, and notes the archives. An only folder may have any name. */
static enum status look_below(struct search *search, const char *folder, size_t level, struct error *error)
{
    char path[FILE_PATH_BYTES], only_folder[FILE_PATH_BYTES] = "", only_archive[FILE_PATH_BYTES] = "";
    size_t folders = 0, archives = 0, entries = 0;
    enum status status = STATUS_OK;
    DIR *list = opendir(folder);
    if (list == NULL)
        return error_set_errno(error, STATUS_INPUT, "cannot list the folder %s", folder);
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(list)) != NULL && entries++ < ENTRIES_MAX;) {
        const char *name = entry->d_name;
        const bool named = strncasecmp(name, "cifar", 5) == 0 && !is_cifar100(name);
        if (name[0] == '.' || file_path(path, error, "%s/%s", folder, name) != STATUS_OK)
            continue;
        search->cifar100 = search->cifar100 || is_cifar100(name);
        if (file_is_folder(path)) {
            folders++;
            memcpy(only_folder, path, sizeof only_folder);
            if (named && level + 1 < LEVELS)
                status = look_in(search, path, level + 1, error);
        } else if (is_archive(name)) {
            archives++;
            memcpy(only_archive, path, sizeof only_archive);
            if (named)
                add(search, path, CIFAR10_ARCHIVE, 0, level);
        }
    }
    closedir(list);
    if (status == STATUS_OK && search->count == 0 && archives == 1 && !search->cifar100)
        add(search, only_archive, CIFAR10_ARCHIVE, 0, level);
    if (status == STATUS_OK && search->count == 0 && folders == 1 && level + 1 < LEVELS && !search->cifar100)
        status = look_in(search, only_folder, level + 1, error);
    return status;
}

static enum status look_in(struct search *search, const char *folder, size_t level, struct error *error)
{
    const size_t binary = missing_in(search, folder, ".bin"), python = missing_in(search, folder, "");
    if (binary < search->name_count)
        add(search, folder, CIFAR10_BINARY, binary, level);
    if (python < search->name_count)
        add(search, folder, CIFAR10_PYTHON, python, level);
    return look_below(search, folder, level, error);
}

/* Lower is better. */
static size_t rank(const struct search *search, size_t i)
{
    const struct cifar10_place *place = &search->places[i];
    const size_t group = place->kind == CIFAR10_ARCHIVE ? 1 : place->missing > 0 ? 2 : 0;
    return ((group * 8 + place->missing) * 4 + place->kind) * LEVELS + search->levels[i];
}

static void sort(struct search *search)
{
    for (size_t i = 1; i < search->count; i++) {
        for (size_t k = i; k > 0 && rank(search, k) < rank(search, k - 1); k--) {
            struct cifar10_place place = search->places[k];
            size_t level = search->levels[k];
            search->places[k] = search->places[k - 1];
            search->levels[k] = search->levels[k - 1];
            search->places[k - 1] = place;
            search->levels[k - 1] = level;
        }
    }
}

/* Whether the path's last part says CIFAR-100. */
static bool names_cifar100(const char *path)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return is_cifar100(path + start);
}

enum status cifar10_find(const char *path, const char *const *names, size_t name_count, struct cifar10_place **places,
                         size_t *count, struct error *error)
{
    size_t levels[PLACES_MAX];
    struct search search = { .names = names, .name_count = name_count, .levels = levels };
    *places = NULL;
    *count = 0;
    if (!file_exists(path))
        return error_set_errno(error, STATUS_INPUT,
                               "cannot open %s, which --data names; expected CIFAR-10's folder or archive", path);
    search.places = calloc(PLACES_MAX, sizeof *search.places);
    if (search.places == NULL)
        return error_out_of_memory(error, "the places where CIFAR-10 may be");
    search.cifar100 = names_cifar100(path);
    enum status status = STATUS_OK;
    if (file_is_folder(path))
        status = look_in(&search, path, 0, error);
    else if (!search.cifar100)
        add(&search, path, CIFAR10_ARCHIVE, 0, 0);
    if (status == STATUS_OK && search.count == 0)
        status =
            search.cifar100
                ? error_set(error, STATUS_INPUT, "%s contains CIFAR-100; this program reads CIFAR-10", path)
                : error_set(error, STATUS_INPUT,
                            "%s does not contain CIFAR-10: there is no data_batch_1.bin or data_batch_1 and so on, "
                            "no folder cifar-10-batches-bin or cifar-10-batches-py with them, and no archive "
                            "cifar-10-binary.tar.gz or cifar-10-python.tar.gz",
                            path);
    if (status != STATUS_OK) {
        free(search.places);
        return status;
    }
    sort(&search);
    *places = search.places;
    *count = search.count;
    return STATUS_OK;
}
