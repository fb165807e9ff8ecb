#include "fetch/obtain.h"

#include <stdio.h>
#include <string.h>

#include "fetch/archive.h"
#include "fetch/data/cifar10.h"

static const uint64_t file_limit_bytes = UINT64_C(1) << 30; /* where a manifest does not say how large a file is */

void obtain_name(const struct manifest_source *source, char name[256])
{
    const char *url = source->url_count > 0 ? source->urls[0] : "";
    size_t length = strcspn(url, "?#");
    size_t start = length;
    while (start > 0 && url[start - 1] != '/')
        start--;
    snprintf(name, 256, "%.*s", (int)(length - start), url + start);
}

struct waiting {
    const struct obtain_options *options;
    const char *name;
};

static void tell_waiting(void *context)
{
    const struct waiting *waiting = context;
    char message[512];
    snprintf(message, sizeof message, "another process is at %s; waiting for it", waiting->name);
    if (waiting->options->download.warn != NULL)
        waiting->options->download.warn(waiting->options->download.context, message);
}

static enum status lock(const struct store *store, const char *key, const char *name,
                        const struct obtain_options *options, int *descriptor, struct error *error)
{
    struct waiting waiting = { options, name };
    return store_lock(store, key, options->download.stop_requested, options->download.context, tell_waiting, &waiting,
                      descriptor, error);
}

static enum status download(const struct store *store, const struct manifest_source *source, const char *key,
                            const struct obtain_options *options, struct obtained *obtained, bool *mirrors_failed,
                            struct error *error)
{
    struct download_result result;
    char part[FILE_PATH_BYTES];
    enum status status = store_part(store, key, part, error);
    if (status != STATUS_OK)
        return status;
    status = download_file(source, obtained->name, file_limit_bytes, part, &options->download, &result, error);
    obtained->received += result.received;
    *mirrors_failed = result.mirrors_failed;
    if (status != STATUS_OK)
        return status;
    obtained->fetched = true;
    memcpy(obtained->sha256, result.sha256, sizeof obtained->sha256);
    return store_keep(store, source, part, result.sha256, obtained->path, error);
}

/* The source's file, from the store or else from the network. *mirrors_failed: it cannot be had, for all that this
 * machine can do. */
static enum status obtain_file(const struct store *store, const struct manifest_source *source,
                               const struct obtain_options *options, struct obtained *obtained, bool *mirrors_failed,
                               struct error *error)
{
    char key[STORE_KEY_BYTES];
    int descriptor;
    *mirrors_failed = false;
    obtain_name(source, obtained->name);
    enum status status = store_key(source, key, error);
    if (status == STATUS_OK)
        status = store_find(store, source, obtained->path, error);
    if (status != STATUS_OK || obtained->path[0] != '\0')
        return status == STATUS_OK ? store_digest(store, source, obtained->sha256, error) : status;
    if (options->offline) {
        *mirrors_failed = true;
        return error_set(error, STATUS_ENVIRONMENT, "%s is not in the store %s, and --offline forbids to download it",
                         obtained->name, store->folder);
    }
    status = lock(store, key, obtained->name, options, &descriptor, error);
    if (status != STATUS_OK)
        return status;
    status = store_find(store, source, obtained->path, error); /* another process may have fetched it meanwhile */
    if (status == STATUS_OK && obtained->path[0] != '\0')
        status = store_digest(store, source, obtained->sha256, error);
    else if (status == STATUS_OK)
        status = download(store, source, key, options, obtained, mirrors_failed, error);
    file_unlock(descriptor);
    return status;
}

enum status obtain_weights(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained, struct error *error)
{
    bool mirrors_failed;
    memset(obtained, 0, sizeof *obtained);
    if (manifest->weights.url_count == 0)
        return error_set(error, STATUS_INPUT,
                         "the manifest %s says of no weights where they are to be had (weights.urls)", manifest->name);
    enum status status = obtain_file(store, &manifest->weights, options, obtained, &mirrors_failed, error);
    return status == STATUS_OK ? status : error_prefix(error, "the weights of %s", manifest->name);
}

/* ---- the data set ------------------------------------------------------------------------------------------------ */

static enum status find_unpacked(const struct store *store, const struct manifest_source *archive,
                                 char sha256[DIGEST_HEX_BYTES], char folder[FILE_PATH_BYTES], struct error *error)
{
    folder[0] = '\0';
    enum status status = store_digest(store, archive, sha256, error);
    if (status == STATUS_OK && sha256[0] != '\0')
        status = store_unpacked(store, sha256, folder, error);
    if (status == STATUS_OK && folder[0] != '\0' && !file_is_folder(folder))
        folder[0] = '\0';
    return status;
}

enum status obtain_find_dataset(const struct store *store, const struct manifest *manifest,
                                char folder[FILE_PATH_BYTES], struct error *error)
{
    enum status status = STATUS_OK;
    char sha256[DIGEST_HEX_BYTES];
    folder[0] = '\0';
    for (size_t i = 0; i < manifest->archive_count && status == STATUS_OK && folder[0] == '\0'; i++)
        status = find_unpacked(store, &manifest->archives[i], sha256, folder, error);
    return status;
}

/* Unpacks the archive at obtained->path, which then is the folder's. */
static enum status unpack(const struct store *store, const struct obtain_options *options, struct obtained *obtained,
                          struct error *error)
{
    char folder[FILE_PATH_BYTES];
    int descriptor;
    enum status status = store_unpacked(store, obtained->sha256, folder, error);
    if (status == STATUS_OK)
        status = lock(store, obtained->sha256, obtained->name, options, &descriptor, error);
    if (status != STATUS_OK)
        return status;
    if (!file_is_folder(folder))
        status = archive_unpack(obtained->path, cifar10_layouts, cifar10_layout_count, folder,
                                options->download.stop_requested, options->download.context, error);
    file_unlock(descriptor);
    memcpy(obtained->path, folder, sizeof folder);
    return status;
}

/* A file that has been in the store for a while may have been damaged since; a fetch is the moment to notice, and to
 * get it anew. */
static enum status recheck(const struct store *store, const struct obtain_options *options, struct obtained *obtained,
                           bool *damaged, struct error *error)
{
    struct store_item item = { .kind = "file" };
    char why[STORE_WHY_BYTES];
    snprintf(item.name, sizeof item.name, "%s", obtained->sha256);
    memcpy(item.path, obtained->path, sizeof item.path);
    enum status status = store_verify(store, &item, why, error);
    *damaged = status == STATUS_OK && why[0] != '\0';
    if (*damaged && options->download.warn != NULL) {
        char message[STORE_WHY_BYTES + 64];
        snprintf(message, sizeof message, "a damaged file was moved out of the way: %s", why);
        options->download.warn(options->download.context, message);
    }
    return status;
}

static enum status obtain_archive(const struct store *store, const struct manifest_source *archive,
                                  const struct obtain_options *options, struct obtained *obtained, bool *mirrors_failed,
                                  struct error *error)
{
    bool damaged = false;
    enum status status = obtain_file(store, archive, options, obtained, mirrors_failed, error);
    if (status == STATUS_OK && !obtained->fetched)
        status = recheck(store, options, obtained, &damaged, error);
    if (status == STATUS_OK && damaged)
        status = obtain_file(store, archive, options, obtained, mirrors_failed, error);
    return status == STATUS_OK ? unpack(store, options, obtained, error) : status;
}

enum status obtain_dataset(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained, struct error *error)
{
    struct error failed[2] = { { STATUS_OK, "" },
                               { STATUS_OK, "" } }; /* of the first archive, and of the others' last */
    enum status status = STATUS_OK;
    memset(obtained, 0, sizeof *obtained);
    for (size_t i = 0; i < manifest->archive_count; i++) {
        obtain_name(&manifest->archives[i], obtained->name);
        status = find_unpacked(store, &manifest->archives[i], obtained->sha256, obtained->path, error);
        if (status != STATUS_OK || obtained->path[0] != '\0')
            return status;
    }
    for (size_t i = 0; i < manifest->archive_count; i++) {
        bool mirrors_failed = false;
        status = obtain_archive(store, &manifest->archives[i], options, obtained, &mirrors_failed, error);
        if (status == STATUS_OK || !mirrors_failed)
            return status;
        failed[i > 0] = *error;
        if (i + 1 < manifest->archive_count && !options->offline && options->download.warn != NULL)
            options->download.warn(options->download.context, "trying the next archive of the data set");
    }
    if (manifest->archive_count == 0)
        return error_set(error, STATUS_INPUT,
                         "the manifest %s says of no archive where its data set is to be had (dataset.archives)",
                         manifest->name);
    *error = failed[0];
    if (failed[1].message[0] != '\0')
        error_set(error, failed[0].status == STATUS_INPUT ? failed[1].status : failed[0].status, "%.900s; and %.900s",
                  failed[0].message, failed[1].message);
    return error->status;
}
