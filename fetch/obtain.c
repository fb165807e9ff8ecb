#include "fetch/obtain.h"

#include <stdio.h>
#include <string.h>

#include "fetch/archive.h"
#include "fetch/cifar10_archives.h"

static const uint64_t file_limit_bytes = UINT64_C(1) << 30; /* where a manifest does not say how large a file is */

static struct source source_of(const struct manifest_source *from)
{
    struct source source = { .urls = (const char *const *)from->urls,
                             .url_count = from->url_count,
                             .bytes = from->bytes };
    memcpy(source.sha256, from->sha256, sizeof source.sha256);
    memcpy(source.sha256_prefix, from->sha256_prefix, sizeof source.sha256_prefix);
    memcpy(source.md5, from->md5, sizeof source.md5);
    return source;
}

static void name_of(const struct source *source, char name[OBTAIN_NAME_BYTES])
{
    const char *url = source->url_count > 0 ? source->urls[0] : "";
    size_t length = strcspn(url, "?#");
    size_t start = length;
    while (start > 0 && url[start - 1] != '/')
        start--;
    snprintf(name, OBTAIN_NAME_BYTES, "%.*s", (int)(length - start), url + start);
}

struct waiting {
    const struct obtain_options *options;
    const char *name;
};

static void tell_waiting(void *context)
{
    const struct waiting *waiting = context;
    char message[512];
    snprintf(message, sizeof message, "another process is using %s; waiting for it", waiting->name);
    if (waiting->options->download.warn != NULL)
        waiting->options->download.warn(waiting->options->download.context, message);
}

static enum status lock_item(const struct store *store, const char *key, const char *name,
                             const struct obtain_options *options, struct lock *lock, struct error *error)
{
    struct waiting waiting = { options, name };
    char message[FILE_PATH_BYTES + OBTAIN_NAME_BYTES + 256];
    enum status status = store_lock(store, key, options->download.stop_requested, options->download.context,
                                    tell_waiting, &waiting, lock, error);
    if (status == STATUS_OK && lock->owner[0] != '\0' && options->download.warn != NULL) {
        snprintf(message, sizeof message,
                 "this file system has no locks; %s, which names this process, keeps others away from %s instead",
                 lock->owner, name);
        options->download.warn(options->download.context, message);
    }
    return status;
}

static enum status download(const struct store *store, const struct source *source, const char *key,
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

/* ---- what is there already --------------------------------------------------------------------------------------- */

/* An item of the store whose place is known: "" in *why if it is still good. */
static enum status check(const struct store *store, const char *kind, const char *sha256, char why[STORE_WHY_BYTES],
                         struct error *error)
{
    struct store_item item;
    enum status status = store_item_of(store, kind, sha256, &item, error);
    return status == STATUS_OK ? store_check(store, &item, false, why, error) : status;
}

/* Takes a damaged item out of the way: what is wanted is then as if it had never been there. Under the lock of what is
 * wanted, and after a check under that lock: another process may have put a good one there. */
static enum status set_aside(const struct store *store, const char *kind, const char *sha256, const char *why,
                             const struct obtain_options *options, struct error *error)
{
    struct store_item item;
    char message[STORE_WHY_BYTES + FILE_PATH_BYTES];
    enum status status = store_item_of(store, kind, sha256, &item, error);
    if (status == STATUS_OK)
        status = store_set_aside(store, &item, error);
    if (status == STATUS_OK && options->download.warn != NULL) {
        snprintf(message, sizeof message, "damaged, and moved to %.*s/damaged: %s", FILE_PATH_BYTES - 32, store->folder,
                 why);
        options->download.warn(options->download.context, message);
    }
    return status;
}

/* The source's file, checked; "" in obtained->path if it is not there, or damaged; then *why says how. */
static enum status find_stored(const struct store *store, const struct source *source, struct obtained *obtained,
                               char why[STORE_WHY_BYTES], struct error *error)
{
    why[0] = '\0';
    enum status status = store_find(store, source, obtained->path, error);
    if (status != STATUS_OK || obtained->path[0] == '\0')
        return status;
    status = store_digest(store, source, obtained->sha256, error);
    if (status == STATUS_OK)
        status = check(store, "file", obtained->sha256, why, error);
    if (status == STATUS_OK && why[0] != '\0')
        obtained->path[0] = '\0';
    return status;
}

/* The folder that the archive is unpacked to, "" if it is not. It is not checked. */
static enum status find_unpacked(const struct store *store, const struct source *archive, char sha256[DIGEST_HEX_BYTES],
                                 char folder[FILE_PATH_BYTES], struct error *error)
{
    folder[0] = '\0';
    enum status status = store_digest(store, archive, sha256, error);
    if (status == STATUS_OK && sha256[0] != '\0')
        status = store_unpacked(store, sha256, folder, error);
    if (status == STATUS_OK && folder[0] != '\0' && !file_is_folder(folder))
        folder[0] = '\0';
    return status;
}

enum status obtain_find_weights(const struct store *store, const struct manifest *manifest, char path[FILE_PATH_BYTES],
                                struct error *error)
{
    const struct source source = source_of(&manifest->weights);
    char sha256[DIGEST_HEX_BYTES], why[STORE_WHY_BYTES];
    enum status status = store_find(store, &source, path, error);
    if (status == STATUS_OK && path[0] == '\0')
        return error_set(error, STATUS_ENVIRONMENT,
                         "the weights of %s are not in the store %s; selfsame fetch %s downloads them, if their "
                         "publisher still has them; or name their file with --weights",
                         manifest->name, store->folder, manifest->path);
    if (status == STATUS_OK)
        status = store_digest(store, &source, sha256, error);
    if (status == STATUS_OK)
        status = check(store, "file", sha256, why, error);
    if (status == STATUS_OK && why[0] != '\0')
        status = error_set(error, STATUS_INPUT,
                           "the stored weights of %s are damaged: %s; selfsame fetch %s downloads "
                           "them again",
                           manifest->name, why, manifest->path);
    return status;
}

enum status obtain_find_dataset(const struct store *store, const struct manifest *manifest,
                                char folder[FILE_PATH_BYTES], struct error *error)
{
    char sha256[DIGEST_HEX_BYTES], why[STORE_WHY_BYTES];
    enum status status = STATUS_OK;
    folder[0] = '\0';
    for (size_t i = 0; i < manifest->archive_count && status == STATUS_OK && folder[0] == '\0'; i++) {
        const struct source archive = source_of(&manifest->archives[i]);
        status = find_unpacked(store, &archive, sha256, folder, error);
    }
    if (status == STATUS_OK && folder[0] == '\0')
        return error_set(error, STATUS_ENVIRONMENT,
                         "%s needs CIFAR-10, which is not in the store %s; selfsame fetch %s downloads it (170 MB); "
                         "if you already have it, name its folder or archive with --data",
                         manifest->name, store->folder, manifest->path);
    if (status == STATUS_OK)
        status = check(store, "unpacked", sha256, why, error);
    if (status == STATUS_OK && why[0] != '\0')
        status = error_set(error, STATUS_INPUT,
                           "the stored data set is damaged: %s; selfsame fetch %s downloads it "
                           "again",
                           why, manifest->path);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* The source's file, from the store or else from the network. *mirrors_failed: it cannot be had, for all that this
 * machine can do. */
static enum status obtain_file(const struct store *store, const struct source *source,
                               const struct obtain_options *options, struct obtained *obtained, bool *mirrors_failed,
                               struct error *error)
{
    char key[STORE_KEY_BYTES], why[STORE_WHY_BYTES] = "";
    struct lock lock = { .descriptor = -1 };
    *mirrors_failed = false;
    name_of(source, obtained->name);
    enum status status = store_key(source, key, error);
    if (status == STATUS_OK)
        status = find_stored(store, source, obtained, why, error);
    if (status != STATUS_OK || obtained->path[0] != '\0')
        return status;
    if (!options->offline || why[0] != '\0') {
        status = lock_item(store, key, obtained->name, options, &lock, error);
        if (status != STATUS_OK)
            return status;
        /* Another process may have fetched it meanwhile. */
        status = find_stored(store, source, obtained, why, error);
        if (status == STATUS_OK && why[0] != '\0')
            status = set_aside(store, "file", obtained->sha256, why, options, error);
    }
    if (status == STATUS_OK && obtained->path[0] == '\0' && !options->offline)
        status = download(store, source, key, options, obtained, mirrors_failed, error);
    lock_release(&lock);
    *mirrors_failed = *mirrors_failed || (options->offline && obtained->path[0] == '\0');
    return status == STATUS_OK && obtained->path[0] == '\0'
               ? error_set(error, STATUS_ENVIRONMENT, "%s is not in the store %s, and --offline forbids downloading it",
                           obtained->name, store->folder)
               : status;
}

enum status obtain_weights(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained, struct error *error)
{
    bool mirrors_failed;
    memset(obtained, 0, sizeof *obtained);
    if (manifest->weights.url_count == 0)
        return error_set(error, STATUS_INPUT, "the manifest %s names no URL for its weights (weights.urls)",
                         manifest->path);
    const struct source source = source_of(&manifest->weights);
    enum status status = obtain_file(store, &source, options, obtained, &mirrors_failed, error);
    return status == STATUS_OK ? status : error_prefix(error, "the weights of %s", manifest->name);
}

/* ---- the data set ------------------------------------------------------------------------------------------------ */

/* Unpacks the archive at obtained->path, which then is the folder's. */
static enum status unpack(const struct store *store, const struct obtain_options *options, struct obtained *obtained,
                          struct error *error)
{
    char folder[FILE_PATH_BYTES];
    struct lock lock = { .descriptor = -1 };
    enum status status = store_unpacked(store, obtained->sha256, folder, error);
    if (status == STATUS_OK)
        status = lock_item(store, obtained->sha256, obtained->name, options, &lock, error);
    if (status != STATUS_OK)
        return status;
    if (!file_is_folder(folder))
        status = archive_unpack(obtained->path, cifar10_layouts, cifar10_layout_count, folder,
                                options->download.stop_requested, options->download.context, error);
    lock_release(&lock);
    memcpy(obtained->path, folder, sizeof folder);
    return status;
}

/* The data set if it is already unpacked; "" in obtained->path if it is not, or damaged; then *why says how. */
static enum status find_whole(const struct store *store, const struct source *archive, struct obtained *obtained,
                              char why[STORE_WHY_BYTES], struct error *error)
{
    why[0] = '\0';
    enum status status = find_unpacked(store, archive, obtained->sha256, obtained->path, error);
    if (status != STATUS_OK || obtained->path[0] == '\0')
        return status;
    status = check(store, "unpacked", obtained->sha256, why, error);
    if (status == STATUS_OK && why[0] != '\0')
        obtained->path[0] = '\0';
    return status;
}

/* The data set if it is already unpacked and undamaged; else "" in obtained->path, and its place is free. */
static enum status take_unpacked(const struct store *store, const struct source *archive,
                                 const struct obtain_options *options, struct obtained *obtained, struct error *error)
{
    char why[STORE_WHY_BYTES];
    struct lock lock = { .descriptor = -1 };
    name_of(archive, obtained->name);
    enum status status = find_whole(store, archive, obtained, why, error);
    if (status != STATUS_OK || why[0] == '\0')
        return status;
    status = lock_item(store, obtained->sha256, obtained->name, options, &lock, error);
    if (status != STATUS_OK)
        return status;
    status = find_whole(store, archive, obtained, why, error);
    if (status == STATUS_OK && why[0] != '\0')
        status = set_aside(store, "unpacked", obtained->sha256, why, options, error);
    lock_release(&lock);
    return status;
}

enum status obtain_dataset(const struct store *store, const struct manifest *manifest,
                           const struct obtain_options *options, struct obtained *obtained, struct error *error)
{
    struct error first = { STATUS_OK, "" }, last = { STATUS_OK, "" }; /* of the archives that could not be had */
    enum status status = STATUS_OK;
    memset(obtained, 0, sizeof *obtained);
    if (manifest->archive_count == 0)
        return error_set(error, STATUS_INPUT, "the manifest %s names no archive for its data set (dataset.archives)",
                         manifest->path);
    for (size_t i = 0; i < manifest->archive_count; i++) {
        const struct source archive = source_of(&manifest->archives[i]);
        status = take_unpacked(store, &archive, options, obtained, error);
        if (status != STATUS_OK || obtained->path[0] != '\0')
            return status;
    }
    for (size_t i = 0; i < manifest->archive_count; i++) {
        const struct source archive = source_of(&manifest->archives[i]);
        bool mirrors_failed = false;
        status = obtain_file(store, &archive, options, obtained, &mirrors_failed, error);
        if (status == STATUS_OK)
            return unpack(store, options, obtained, error);
        if (!mirrors_failed)
            return status;
        *(i == 0 ? &first : &last) = *error;
        if (i + 1 < manifest->archive_count && !options->offline && options->download.warn != NULL)
            options->download.warn(options->download.context, "trying the next archive of the data set");
    }
    const char *hint = "if you already have CIFAR-10, name its folder or archive with --data of train and eval";
    if (last.message[0] != '\0')
        return error_set(error, first.status == STATUS_INPUT ? last.status : first.status, "%.900s; and %.900s; %s",
                         first.message, last.message, hint);
    return error_set(error, first.status, "%.1900s; %s", first.message, hint);
}
