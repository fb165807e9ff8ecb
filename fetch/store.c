#include "fetch/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fetch/archive.h"
#include "fetch/partial_download.h"
#include "fetch/stamp.h"

static const char *const FOLDERS[] = { "sha256", "md5", "unpacked", "stamps", "partial", "damaged", "locks" };
enum { FOLDER_COUNT = sizeof FOLDERS / sizeof *FOLDERS };

enum status store_open(struct store *store, const char *folder, struct error *error)
{
    const char *variable = getenv("SELFSAME_STORE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (folder != NULL)
        return file_path(store->folder, error, "%s", folder);
    if (variable != NULL && variable[0] != '\0')
        return file_path(store->folder, error, "%s", variable);
    if (cache != NULL && cache[0] == '/') /* a relative one is to be ignored, says its specification */
        return file_path(store->folder, error, "%s/selfsame", cache);
    if (home != NULL && home[0] != '\0')
        return file_path(store->folder, error, "%s/.cache/selfsame", home);
    return error_set(
        error, STATUS_ENVIRONMENT,
        "no folder for downloads: neither SELFSAME_STORE nor XDG_CACHE_HOME nor HOME is set; name one with --store");
}

enum status store_key(const struct source *source, char key[STORE_KEY_BYTES], struct error *error)
{
    if (source->sha256[0] != '\0')
        snprintf(key, STORE_KEY_BYTES, "%s", source->sha256);
    else if (source->md5[0] != '\0')
        snprintf(key, STORE_KEY_BYTES, "md5-%s", source->md5);
    else if (source->sha256_prefix[0] != '\0')
        snprintf(key, STORE_KEY_BYTES, "prefix-%s", source->sha256_prefix);
    else
        return error_set(error, STATUS_INPUT,
                         "the manifest gives no sha256, sha256_prefix or md5, so the bytes cannot be checked; add "
                         "one of them");
    return STATUS_OK;
}

static bool is_digest(const char *name)
{
    uint8_t digest[DIGEST_BYTES];
    return digest_from_hex(name, digest) == 1;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* The file or unpacked folder whose name begins so, "" if there is none. */
static enum status find_prefix(const struct store *store, const char *folder, const char *prefix,
                               char sha256[DIGEST_HEX_BYTES], struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = file_path(path, error, "%s/%s", store->folder, folder);
    DIR *list = status == STATUS_OK ? opendir(path) : NULL;
    sha256[0] = '\0';
    if (status == STATUS_OK && list == NULL && errno != ENOENT)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", path);
    for (struct dirent *entry; list != NULL && sha256[0] == '\0' && (entry = readdir(list)) != NULL;) {
        if (is_digest(entry->d_name) && strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            memcpy(sha256, entry->d_name, DIGEST_HEX_BYTES);
    }
    if (list != NULL)
        closedir(list);
    return status;
}

enum status store_digest(const struct store *store, const struct source *source, char sha256[DIGEST_HEX_BYTES],
                         struct error *error)
{
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes;
    sha256[0] = '\0';
    if (source->sha256[0] != '\0') {
        memcpy(sha256, source->sha256, DIGEST_HEX_BYTES);
        return STATUS_OK;
    }
    if (source->md5[0] == '\0') {
        enum status status = source->sha256_prefix[0] == '\0'
                                 ? STATUS_OK
                                 : find_prefix(store, "sha256", source->sha256_prefix, sha256, error);
        if (status == STATUS_OK && source->sha256_prefix[0] != '\0' && sha256[0] == '\0')
            status = find_prefix(store, "unpacked", source->sha256_prefix, sha256, error);
        return status;
    }
    enum status status = file_path(path, error, "%s/md5/%s", store->folder, source->md5);
    if (status != STATUS_OK || !file_exists(path))
        return status;
    status = file_read(path, DIGEST_HEX_BYTES, &text, &bytes, error);
    if (status != STATUS_OK)
        return status;
    text[strcspn(text, "\n")] = '\0';
    if (is_digest(text) && strncmp(text, source->sha256_prefix, strlen(source->sha256_prefix)) == 0)
        memcpy(sha256, text, DIGEST_HEX_BYTES); /* anything else is ignored */
    free(text);
    return STATUS_OK;
}

enum status store_find(const struct store *store, const struct source *source, char path[FILE_PATH_BYTES],
                       struct error *error)
{
    char sha256[DIGEST_HEX_BYTES];
    path[0] = '\0';
    enum status status = store_digest(store, source, sha256, error);
    if (status == STATUS_OK && sha256[0] != '\0')
        status = file_path(path, error, "%s/sha256/%s", store->folder, sha256);
    if (status == STATUS_OK && path[0] != '\0' && !file_exists(path))
        path[0] = '\0';
    return status;
}

enum status store_unpacked(const struct store *store, const char *sha256, char path[FILE_PATH_BYTES],
                           struct error *error)
{
    return file_path(path, error, "%s/unpacked/%s", store->folder, sha256);
}

/* ---- taking in --------------------------------------------------------------------------------------------------- */

static enum status make_folders(const struct store *store, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < FOLDER_COUNT && status == STATUS_OK; i++) {
        char path[FILE_PATH_BYTES];
        status = file_path(path, error, "%s/%s", store->folder, FOLDERS[i]);
        if (status == STATUS_OK && !file_is_folder(path))
            status = file_make_folders(path, error);
    }
    return status;
}

enum status store_lock(const struct store *store, const char *key, bool (*stop_requested)(void *context),
                       void *stop_context, void (*waiting)(void *context), void *waiting_context, struct lock *lock,
                       struct error *error)
{
    const struct timespec pause = { 0, 100000000 };
    char path[FILE_PATH_BYTES], holder[LOCK_HOLDER_BYTES];
    bool taken = false, waited = false;
    lock->descriptor = -1;
    enum status status = make_folders(store, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/locks/%s", store->folder, key);
    while (status == STATUS_OK && !taken) {
        status = lock_try(lock, path, &taken, holder, error);
        if (status != STATUS_OK || taken)
            break;
        if (stop_requested != NULL && stop_requested(stop_context))
            return error_set(error, STATUS_INTERRUPTED, "stopped on request while %s fetched %s", holder, key);
        if (!waited)
            waiting(waiting_context);
        waited = true;
        nanosleep(&pause, NULL);
    }
    return status;
}

enum status store_part(const struct store *store, const char *key, char path[FILE_PATH_BYTES], struct error *error)
{
    return file_path(path, error, "%s/partial/%s", store->folder, key);
}

enum status store_keep(const struct store *store, const struct source *source, const char *part, const char *sha256,
                       char path[FILE_PATH_BYTES], struct error *error)
{
    char folder[FILE_PATH_BYTES], name[FILE_PATH_BYTES], line[DIGEST_HEX_BYTES + 1];
    enum status status = file_path(path, error, "%s/sha256/%s", store->folder, sha256);
    if (status == STATUS_OK)
        status = file_path(folder, error, "%s/sha256", store->folder);
    if (status == STATUS_OK && rename(part, path) != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot rename the finished file to %s", path);
    if (status == STATUS_OK)
        status = file_sync_folder(folder, error);
    if (status == STATUS_OK)
        status = part_remove(part, error);
    if (status != STATUS_OK || source->sha256[0] != '\0' || source->md5[0] == '\0')
        return status;
    int length = snprintf(line, sizeof line, "%s\n", sha256);
    status = file_path(name, error, "%s/md5/%s", store->folder, source->md5);
    return status == STATUS_OK ? file_write(name, line, (size_t)length, error) : status;
}

/* ---- the whole of it --------------------------------------------------------------------------------------------- */

/* A file's size, or that of the files in a folder and the folders in it. */
static uint64_t size_of(const char *path, int depth)
{
    struct stat about;
    uint64_t bytes = 0;
    if (lstat(path, &about) != 0)
        return 0;
    if (!S_ISDIR(about.st_mode))
        return (uint64_t)about.st_size;
    DIR *list = depth > 0 ? opendir(path) : NULL;
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        char below[FILE_PATH_BYTES];
        struct error ignored;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            file_path(below, &ignored, "%s/%s", path, entry->d_name) == STATUS_OK)
            bytes += size_of(below, depth - 1);
    }
    if (list != NULL)
        closedir(list);
    return bytes;
}

static int wanted(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length < STORE_KEY_BYTES &&
           (length < 7 || strcmp(entry->d_name + length - 7, ".origin") != 0);
}

static enum status each_in(const struct store *store, const char *folder, const char *kind,
                           enum status (*visit)(void *context, const struct store_item *item, struct error *error),
                           void *context, struct error *error)
{
    struct store_item item = { .kind = kind };
    struct dirent **entries;
    char path[FILE_PATH_BYTES];
    enum status status = file_path(path, error, "%s/%s", store->folder, folder);
    if (status != STATUS_OK || !file_exists(path))
        return status;
    int count = scandir(path, &entries, wanted, alphasort);
    if (count < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", path);
    for (int i = 0; i < count; i++) {
        if (status == STATUS_OK)
            status = file_path(item.path, error, "%s/%s", path, entries[i]->d_name);
        if (status == STATUS_OK) {
            snprintf(item.name, sizeof item.name, "%.*s", STORE_KEY_BYTES - 1,
                     entries[i]->d_name); /* no longer, says wanted() */
            item.bytes = size_of(item.path, 3);
            /* A folder that is being unpacked, or whose process was killed. */
            item.kind = strcmp(kind, "unpacked") == 0 && !is_digest(item.name) ? "partial" : kind;
            status = visit(context, &item, error);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

enum status store_each(const struct store *store,
                       enum status (*visit)(void *context, const struct store_item *item, struct error *error),
                       void *context, struct error *error)
{
    static const char *const kinds[][2] = {
        { "sha256", "file" }, { "unpacked", "unpacked" }, { "partial", "partial" }, { "damaged", "damaged" }
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && status == STATUS_OK; i++)
        status = each_in(store, kinds[i][0], kinds[i][1], visit, context, error);
    return status;
}

/* ---- whether it is still good ------------------------------------------------------------------------------------ */

enum status store_item_of(const struct store *store, const char *kind, const char *sha256, struct store_item *item,
                          struct error *error)
{
    *item = (struct store_item){ .kind = kind };
    snprintf(item->name, sizeof item->name, "%s", sha256);
    return file_path(item->path, error, "%s/%s/%s", store->folder, strcmp(kind, "file") == 0 ? "sha256" : kind, sha256);
}

/* The files of an item and the digests that they must have: one file, or the lines of SHA256SUMS. */
struct sums {
    char *text; /* names point into it */
    size_t count;
    struct {
        const char *name; /* in the folder; NULL: the item itself */
        char sha256[DIGEST_HEX_BYTES];
    } files[ARCHIVE_FILES_MAX];
};

static enum status file_of(const struct store_item *item, const char *name, char path[FILE_PATH_BYTES],
                           struct error *error)
{
    return name == NULL ? file_path(path, error, "%s", item->path) : file_path(path, error, "%s/%s", item->path, name);
}

/* Reads SHA256SUMS: lines of 64 digits, two blanks and a name. */
static enum status read_sums(const struct store_item *item, struct sums *sums, char why[STORE_WHY_BYTES],
                             struct error *error)
{
    enum { SUMS_BYTES_MAX = 1 << 16, DIGITS = DIGEST_HEX_BYTES - 1 };
    char path[FILE_PATH_BYTES];
    size_t bytes;
    if (strcmp(item->kind, "file") == 0) {
        memcpy(sums->files[sums->count++].sha256, item->name, DIGEST_HEX_BYTES);
        return STATUS_OK;
    }
    enum status status = file_of(item, ARCHIVE_SUMS, path, error);
    if (status == STATUS_OK && !file_exists(path)) {
        snprintf(why, STORE_WHY_BYTES, "%.300s is missing", path);
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        status = file_read(path, SUMS_BYTES_MAX, &sums->text, &bytes, error);
    if (status != STATUS_OK)
        return status;
    for (char *line = sums->text, *end; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        if (end == NULL || end - line < DIGITS + 3 || memcmp(line + DIGITS, "  ", 2) != 0 ||
            sums->count == ARCHIVE_FILES_MAX) {
            snprintf(why, STORE_WHY_BYTES, "%.300s is not a list of digests", path);
            return STATUS_OK;
        }
        *end = '\0';
        snprintf(sums->files[sums->count].sha256, DIGEST_HEX_BYTES, "%.64s", line);
        sums->files[sums->count++].name = line + DIGITS + 2;
    }
    if (sums->count == 0)
        snprintf(why, STORE_WHY_BYTES, "%.300s is empty", path);
    return STATUS_OK;
}

enum { STAMPS_BYTES = (ARCHIVE_FILES_MAX + 1) * STAMP_BYTES };

/* The stamps of all files of an item, a line each. */
static enum status take_stamps(const struct store_item *item, const struct sums *sums, char text[STAMPS_BYTES],
                               bool *settled, struct error *error)
{
    size_t used = 0;
    *settled = true;
    text[0] = '\0';
    for (size_t i = 0; i <= sums->count; i++) {
        char path[FILE_PATH_BYTES], stamp[STAMP_BYTES];
        bool this_settled;
        if (i == sums->count && strcmp(item->kind, "file") == 0)
            break;
        enum status status = file_of(item, i < sums->count ? sums->files[i].name : ARCHIVE_SUMS, path, error);
        if (status != STATUS_OK)
            return status;
        stamp_of(path, stamp, &this_settled);
        *settled = *settled && this_settled;
        used += (size_t)snprintf(text + used, STAMPS_BYTES - used, "%s\n", stamp);
    }
    return STATUS_OK;
}

static bool has_stamps(const char *path, const char *stamps)
{
    struct error ignored;
    char *text;
    size_t bytes;
    if (file_read(path, STAMPS_BYTES, &text, &bytes, &ignored) != STATUS_OK)
        return false;
    const bool same = strcmp(text, stamps) == 0;
    free(text);
    return same;
}

/* Hashes all files; *why says the first that is not what it was. */
static enum status hash_files(const struct store_item *item, const struct sums *sums, char why[STORE_WHY_BYTES],
                              struct error *error)
{
    for (size_t i = 0; i < sums->count && why[0] == '\0'; i++) {
        char path[FILE_PATH_BYTES], found[DIGEST_HEX_BYTES];
        enum status status = file_of(item, sums->files[i].name, path, error);
        if (status == STATUS_OK && !file_exists(path)) {
            snprintf(why, STORE_WHY_BYTES, "%.300s is missing", path);
            return STATUS_OK;
        }
        if (status == STATUS_OK)
            status = file_sha256(path, found, error);
        if (status != STATUS_OK)
            return status;
        if (strcmp(found, sums->files[i].sha256) != 0)
            snprintf(why, STORE_WHY_BYTES, "%.300s has SHA-256 %s, not %s", path, found, sums->files[i].sha256);
    }
    return STATUS_OK;
}

enum status store_check(const struct store *store, const struct store_item *item, bool anew, char why[STORE_WHY_BYTES],
                        struct error *error)
{
    char path[FILE_PATH_BYTES], stamps[STAMPS_BYTES];
    struct sums sums = { .text = NULL };
    struct error ignored;
    bool settled = false;
    why[0] = '\0';
    enum status status = file_path(path, error, "%s/stamps/%s-%s", store->folder, item->kind, item->name);
    if (status == STATUS_OK)
        status = read_sums(item, &sums, why, error);
    if (status == STATUS_OK && why[0] == '\0')
        status = take_stamps(item, &sums, stamps, &settled, error);
    if (status != STATUS_OK || why[0] != '\0' || (!anew && has_stamps(path, stamps)))
        goto out;
    status = hash_files(item, &sums, why, error);
    /* A stamp that cannot be written costs no more than another hashing. */
    if (status == STATUS_OK && why[0] == '\0' && settled && make_folders(store, &ignored) == STATUS_OK)
        (void)!file_write(path, stamps, strlen(stamps), &ignored);
out:
    free(sums.text);
    return status;
}

enum status store_set_aside(const struct store *store, const struct store_item *item, struct error *error)
{
    char to[FILE_PATH_BYTES] = "";
    if (!file_exists(item->path)) /* what an earlier call has moved stays where it is */
        return STATUS_OK;
    enum status status = make_folders(store, error);
    if (status == STATUS_OK)
        status = file_path(to, error, "%s/damaged/%s-%s", store->folder, item->kind, item->name);
    if (status == STATUS_OK)
        status = file_remove_tree(to, error);
    if (status == STATUS_OK && rename(item->path, to) != 0 && errno != ENOENT)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot move the damaged %s out of the way", item->path);
    return status;
}

/* ---- pruning ----------------------------------------------------------------------------------------------------- */

/* Whether nothing is lost with an item. */
static enum status dispensable(const struct store *store, const struct store_item *item, bool *yes, struct error *error)
{
    char unpacked[FILE_PATH_BYTES];
    *yes = strcmp(item->kind, "partial") == 0 || strcmp(item->kind, "damaged") == 0;
    if (strcmp(item->kind, "file") != 0)
        return STATUS_OK;
    enum status status = store_unpacked(store, item->name, unpacked, error);
    *yes = status == STATUS_OK && file_is_folder(unpacked);
    return status;
}

enum status store_prune(const struct store *store, const struct store_item *item, bool *removed, struct error *error)
{
    char path[FILE_PATH_BYTES], holder[LOCK_HOLDER_BYTES];
    struct lock lock;
    enum status status = dispensable(store, item, removed, error);
    if (status != STATUS_OK || !*removed)
        return status;
    /* A folder that grows is locked by its digest, which its name begins with. */
    status = file_path(path, error, "%s/locks/%.*s", store->folder, (int)strcspn(item->name, "."), item->name);
    if (status != STATUS_OK)
        return status;
    status = lock_try(&lock, path, removed, holder, error);
    if (status == STATUS_OK && *removed)
        status = strcmp(item->kind, "partial") == 0 && !file_is_folder(item->path)
                     ? part_remove(item->path, error)
                     : file_remove_tree(item->path, error);
    lock_release(&lock);
    return status;
}
