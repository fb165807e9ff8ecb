#include "experiments/catalog.h"

#include <string.h>

#include "experiments/manifest_names.h"
#include "experiments/settings_places.h"

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

static enum status look_in(struct search *search, const char *folder)
{
    struct names names;
    enum status status = names_read(folder, &names, search->error);
    for (size_t i = 0; status == STATUS_OK && i < names.count; i++) {
        char path[FILE_PATH_BYTES];
        status = file_path(path, search->error, "%s/%s", folder, names.list[i]);
        if (status == STATUS_OK)
            look_at(search, path);
    }
    names_free(&names);
    return status;
}

enum status catalog_find_weights(const char sha256[DIGEST_HEX_BYTES], char path[FILE_PATH_BYTES], struct error *error)
{
    struct search search = { sha256, path, error };
    const char *folder = settings_folder();
    path[0] = '\0';
    return folder != NULL ? look_in(&search, folder) : STATUS_OK;
}
