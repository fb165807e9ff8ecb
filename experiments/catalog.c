#include "experiments/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "experiments/settings.h"

enum { LEVELS_MAX = 3 };

struct search {
    const char *sha256;
    char *found; /* [FILE_PATH_BYTES], "" until there is one */
    struct error *error;
};

bool catalog_names(const struct manifest_source *weights, const char *sha256)
{
    if (weights->sha256[0] != '\0')
        return strcmp(weights->sha256, sha256) == 0;
    return weights->sha256_prefix[0] != '\0' &&
           strncmp(weights->sha256_prefix, sha256, strlen(weights->sha256_prefix)) == 0;
}

static bool is_better(const char *path, const char *than)
{
    size_t length = strlen(path), other = strlen(than);
    return than[0] == '\0' || length < other || (length == other && strcmp(path, than) < 0);
}

static void look_at(struct search *search, const char *path)
{
    struct manifest manifest;
    struct error ignored;
    if (manifest_read(path, &manifest, &ignored) != STATUS_OK)
        return;
    if (catalog_names(&manifest.weights, search->sha256) && is_better(path, search->found))
        memcpy(search->found, path, strlen(path) + 1);
    manifest_free(&manifest);
}

static enum status look_in(struct search *search, const char *folder, int level)
{
    enum status status = STATUS_OK;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return error_set_errno(search->error, STATUS_ENVIRONMENT, "%s could not be read", folder);
    for (const struct dirent *entry; status == STATUS_OK && (errno = 0, entry = readdir(directory)) != NULL;) {
        char path[FILE_PATH_BYTES];
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        status = file_path(path, search->error, "%s/%s", folder, entry->d_name);
        if (status == STATUS_OK && length > 5 && strcmp(entry->d_name + length - 5, ".yaml") == 0)
            look_at(search, path);
        else if (status == STATUS_OK && level < LEVELS_MAX && file_is_folder(path))
            status = look_in(search, path, level + 1);
    }
    if (status == STATUS_OK && errno != 0)
        status = error_set_errno(search->error, STATUS_ENVIRONMENT, "%s could not be read", folder);
    closedir(directory);
    return status;
}

enum status catalog_find_weights(const char sha256[DIGEST_HEX_BYTES], char path[FILE_PATH_BYTES], struct error *error)
{
    const char *folders[SETTINGS_FOLDERS];
    struct search search = { sha256, path, error };
    path[0] = '\0';
    settings_folders(folders);
    for (int i = 0; i < SETTINGS_FOLDERS; i++) {
        if (folders[i] != NULL && folders[i][0] != '\0' && file_is_folder(folders[i]))
            return look_in(&search, folders[i], 0);
    }
    return STATUS_OK;
}
