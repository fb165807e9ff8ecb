#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* What marks a file that is being written, after the name that it is to have. */
#define RANDOM_LETTERS "XXXXXX"
#define TEMPORARY_RANDOM "." RANDOM_LETTERS
#define TEMPORARY_SUFFIX ".selfsame.tmp"
#define TEMPORARY_SUFFIX_OF_0_1 ".tmp"

/* How many bytes of `name` come before a random part and that suffix; 0 where they are not there. */
static size_t before_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), mark = strlen(TEMPORARY_RANDOM) + strlen(suffix);
    if (length <= mark || strcmp(name + length - strlen(suffix), suffix) != 0 || name[length - mark] != '.' ||
        strcspn(name + length - mark + 1, ".") != strlen(TEMPORARY_RANDOM) - 1)
        return 0;
    return length - mark;
}

size_t file_temporary_of(const char *name)
{
    size_t length = before_suffix(name, TEMPORARY_SUFFIX);
    return length > 0 ? length : before_suffix(name, TEMPORARY_SUFFIX_OF_0_1);
}

enum status file_path(char path[FILE_PATH_BYTES], struct error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path, FILE_PATH_BYTES, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= FILE_PATH_BYTES)
        return error_set(error, STATUS_INPUT, "the path %.200s... is longer than %d bytes", path, FILE_PATH_BYTES - 1);
    return STATUS_OK;
}

static void folder_of(const char *path, char folder[FILE_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(folder, FILE_PATH_BYTES, ".");
    else
        snprintf(folder, FILE_PATH_BYTES, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

bool file_is_named(int descriptor, const char *path)
{
    struct stat held, named;
    return fstat(descriptor, &held) == 0 && lstat(path, &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* ---- what others may have put there ------------------------------------------------------------------------------ */

/* Whether an owner is to be trusted with a name in `folder`: where everybody may write, only we, root and the folder's
 * owner are. */
static enum status check_owner(const char *path, const char *folder, uid_t owner, struct error *error)
{
    struct stat about;
    if (stat(folder, &about) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot examine the folder %s", folder);
    if ((about.st_mode & S_IWOTH) == 0 || owner == geteuid() || owner == 0 || owner == about.st_uid)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s belongs to another user (%ld), and everybody may write in %s; remove it, or work in a folder "
                     "of your own",
                     path, (long)owner, folder);
}

enum status file_check_folder(const char *path, bool may_be_link, struct error *error)
{
    struct stat about;
    char folder[FILE_PATH_BYTES];
    folder_of(path, folder);
    if (lstat(path, &about) != 0)
        return error_set_errno(error, STATUS_INPUT, "cannot examine the folder %s", path);
    if (S_ISLNK(about.st_mode) && !(may_be_link && about.st_uid == geteuid()))
        return error_set(error, STATUS_INPUT,
                         "%s is a symbolic link%s, which is not followed; put a folder in its place", path,
                         may_be_link ? " of another user" : "");
    if (!S_ISLNK(about.st_mode) && !S_ISDIR(about.st_mode))
        return error_set(error, STATUS_INPUT, "%s is not a folder; remove it", path);
    return check_owner(path, folder, about.st_uid, error);
}

enum status file_open_own(const char *path, int flags, int *descriptor, struct error *error)
{
    struct stat about;
    char folder[FILE_PATH_BYTES];
    folder_of(path, folder);
    *descriptor = -1;
    /* O_NONBLOCK: a pipe without a reader would make it wait. */
    int opened = open(path, flags | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (opened < 0 && errno == ELOOP)
        return error_set(error, STATUS_INPUT, "%s is a symbolic link, which is not followed; remove it", path);
    if (opened < 0 && (errno == ENXIO || errno == EISDIR)) /* a pipe that nobody reads, a socket; a folder */
        return error_set(error, STATUS_INPUT, "%s is not a regular file; remove it", path);
    if (opened < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot open %s to write it", path);
    enum status status = STATUS_OK;
    if (fstat(opened, &about) != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot examine %s", path);
    else if (!S_ISREG(about.st_mode))
        status = error_set(error, STATUS_INPUT, "%s is not a regular file; remove it", path);
    else if (about.st_nlink > 1)
        status =
            error_set(error, STATUS_INPUT,
                      "%s has %" PRIu64 " names (hard links), and writing it would change the file under its other "
                      "names; put a copy in its place",
                      path, (uint64_t)about.st_nlink);
    else
        status = check_owner(path, folder, about.st_uid, error);
    if (status != STATUS_OK)
        close(opened);
    else
        *descriptor = opened;
    return status;
}

enum { TRIES = 100 };

/* ---- what is there only while a process works -------------------------------------------------------------------- */

/* Its process holds a lock on a temporary file or folder, so that one that a killed process left can be told. True if
 * nobody holds `descriptor`, which then is ours. */
static bool lock_is_free(int descriptor)
{
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0;
}

/* Removes the half-written files that killed processes left next to `path`. If one cannot be removed, it stays. */
static void sweep_beside(const char *path)
{
    char folder[FILE_PATH_BYTES];
    const char *name = name_of(path);
    folder_of(path, folder);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        size_t length = before_suffix(entry->d_name, TEMPORARY_SUFFIX);
        struct stat about;
        if (length == 0 || length != strlen(name) || strncmp(entry->d_name, name, length) != 0)
            continue;
        int left = openat(dirfd(list), entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (left < 0)
            continue;
        if (fstat(left, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid() && lock_is_free(left))
            (void)unlinkat(dirfd(list), entry->d_name, 0);
        close(left);
    }
    if (list != NULL)
        closedir(list);
}

/* Draws the letters of a name, which end it or come before `after`. False with errno. */
static bool draw_letters(char *name, const char *after)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
    uint8_t random[sizeof RANDOM_LETTERS - 1];
    char *to = name + strlen(name) - strlen(after) - sizeof random;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        to[i] = letters[random[i] % (sizeof letters - 1)];
    return true;
}

enum status file_temporary_name(const char *path, char temporary[FILE_PATH_BYTES], struct error *error)
{
    enum status status = file_path(temporary, error, "%s" TEMPORARY_RANDOM TEMPORARY_SUFFIX, path);
    if (status == STATUS_OK && !draw_letters(temporary, TEMPORARY_SUFFIX))
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot draw a name for %s", path);
    return status;
}

/* Removes the folders PREFIX-XXXXXX of killed processes. */
static void sweep_folders(const char *prefix)
{
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    const char *name = name_of(prefix);
    const size_t length = strlen(name);
    struct error ignored;
    folder_of(prefix, folder);
    DIR *list = opendir(folder);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        struct stat about;
        if (strncmp(entry->d_name, name, length) != 0 || strlen(entry->d_name) != length + strlen("-XXXXXX") ||
            entry->d_name[length] != '-')
            continue;
        int left = openat(dirfd(list), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (left < 0)
            continue;
        if (fstat(left, &about) == 0 && about.st_uid == geteuid() && lock_is_free(left) &&
            file_path(path, &ignored, "%s/%s", folder, entry->d_name) == STATUS_OK)
            (void)!file_remove_tree(path, &ignored);
        close(left);
    }
    if (list != NULL)
        closedir(list);
}

/* Opens and locks a folder that was just made. False if another process's sweep came between: the folder is gone then,
 * or goes. A file system without locks has no sweep. */
static bool lock_scratch(struct scratch *scratch)
{
    scratch->lock = open(scratch->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (scratch->lock < 0)
        return errno != ENOENT;
    const bool taken = !lock_is_free(scratch->lock) && errno == EWOULDBLOCK;
    if (!taken && file_is_named(scratch->lock, scratch->path))
        return true;
    close(scratch->lock);
    scratch->lock = -1;
    return false;
}

enum status file_scratch_open(struct scratch *scratch, const char *prefix, struct error *error)
{
    scratch->lock = -1;
    sweep_folders(prefix);
    for (int i = 0; i < TRIES; i++) {
        enum status status = file_path(scratch->path, error, "%s-" RANDOM_LETTERS, prefix);
        if (status != STATUS_OK)
            return status;
        if (mkdtemp(scratch->path) == NULL)
            return error_set_errno(error, STATUS_ENVIRONMENT, "cannot make the temporary folder %s", scratch->path);
        if (lock_scratch(scratch))
            return STATUS_OK;
    }
    return error_set(error, STATUS_ENVIRONMENT,
                     "other processes removed %d temporary folders %s as soon as they were made", TRIES, scratch->path);
}

void file_scratch_close(struct scratch *scratch)
{
    struct error ignored;
    (void)!file_remove_tree(scratch->path, &ignored);
    if (scratch->lock >= 0)
        close(scratch->lock);
    scratch->lock = -1;
}

enum status file_discard_folder(const char *path, const char *prefix, char left[FILE_PATH_BYTES], struct error *error)
{
    enum status status = file_path(left, error, "%s-" RANDOM_LETTERS, prefix);
    if (status != STATUS_OK)
        return status;
    sweep_folders(prefix);
    /* While it is held, no other sweep works on it. */
    const int lock = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (lock >= 0)
        (void)lock_is_free(lock);
    if (!draw_letters(left, "") || rename(path, left) != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot delete %s", path);
    if (status == STATUS_OK)
        status = file_remove_tree(left, error);
    if (lock >= 0)
        close(lock);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum status read_all(int descriptor, const char *path, char *data, size_t bytes, struct error *error)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read(descriptor, data + done, bytes - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, STATUS_ENVIRONMENT, "cannot read %s at byte %zu", path, done);
        if (got == 0)
            return error_set(error, STATUS_INPUT, "%s became shorter while it was read: %zu of %zu bytes", path, done,
                             bytes);
        done += (size_t)got;
    }
    return STATUS_OK;
}

/* `flags`: 0 or O_NOFOLLOW. */
static enum status read_file(const char *path, int flags, size_t limit, char **data, size_t *bytes, struct error *error)
{
    struct stat about;
    enum status status;
    *data = NULL;
    /* O_NONBLOCK: a pipe without a writer would make it wait. */
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | flags);
    if (descriptor < 0 && errno == ELOOP && flags != 0)
        return error_set(error, STATUS_INPUT, "%s is a symbolic link, which is not followed; remove it", path);
    if (descriptor < 0)
        return error_set_errno(error, STATUS_INPUT, "cannot open %s", path);
    if (fstat(descriptor, &about) != 0) {
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot examine %s", path);
    } else if (!S_ISREG(about.st_mode)) {
        status = error_set(error, STATUS_INPUT, "%s is not a regular file", path);
    } else if ((uint64_t)about.st_size > limit) {
        status = error_set(error, STATUS_INPUT, "%s has %" PRIu64 " bytes, more than the %zu that such a file may have",
                           path, (uint64_t)about.st_size, limit);
    } else {
        *bytes = (size_t)about.st_size;
        *data = malloc(*bytes + 1);
        if (*data == NULL)
            status = error_out_of_memory(error, "the %zu bytes of %s", *bytes, path);
        else
            status = read_all(descriptor, path, *data, *bytes, error);
    }
    close(descriptor);
    if (status != STATUS_OK) {
        free(*data);
        *data = NULL;
        return status;
    }
    (*data)[*bytes] = '\0';
    return STATUS_OK;
}

enum status file_read(const char *path, size_t limit, char **data, size_t *bytes, struct error *error)
{
    return read_file(path, 0, limit, data, bytes, error);
}

enum status file_read_unlinked(const char *path, size_t limit, char **data, size_t *bytes, struct error *error)
{
    return read_file(path, O_NOFOLLOW, limit, data, bytes, error);
}

enum status file_sha256(const char *path, char hex[DIGEST_HEX_BYTES], struct error *error)
{
    enum { READ_BYTES = 1 << 20 };
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    ssize_t got = -1;
    char *buffer = malloc(READ_BYTES);
    if (buffer == NULL)
        return error_out_of_memory(error, "%s", path);
    enum status status = STATUS_OK;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot open %s", path);
    sha256_start(&sha256);
    while (status == STATUS_OK && (got = read(descriptor, buffer, READ_BYTES)) != 0) {
        if (got > 0)
            sha256_add(&sha256, buffer, (size_t)got);
        else if (errno != EINTR)
            status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot read %s", path);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
    free(buffer);
    if (descriptor >= 0)
        close(descriptor);
    return status;
}

enum status file_read_text(const char *path, size_t limit, char **text, size_t *bytes, bool *changed,
                           struct error *error)
{
    enum status status = file_read(path, limit, text, bytes, error);
    if (status != STATUS_OK)
        return status;
    if (text_is_utf16(*text, *bytes)) {
        free(*text);
        *text = NULL;
        return error_set(error, STATUS_INPUT, "%s is a text in UTF-16: save it as UTF-8", path);
    }
    const size_t unified = text_unify(*text, *bytes);
    if (changed != NULL)
        *changed = unified != *bytes;
    *bytes = unified;
    return STATUS_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

int file_write_all(int descriptor, const void *data, size_t bytes)
{
    const char *next = data;
    while (bytes > 0) {
        ssize_t put = write(descriptor, next, bytes < SSIZE_MAX ? bytes : SSIZE_MAX);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        next += put;
        bytes -= (size_t)put;
    }
    return 0;
}

enum status file_sync_folder(const char *path, struct error *error)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot open the folder %s", path);
    enum status status = STATUS_OK;
    /* Some file systems cannot sync a folder and say EINVAL: there is nothing more to be done there. */
    if (fsync(descriptor) != 0 && errno != EINVAL)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot sync the folder %s", path);
    close(descriptor);
    return status;
}

/* Makes and locks the file that will be renamed. Another process's sweep may come between, and a name may be taken. */
enum status draft_open(struct draft *draft, const char *path, struct error *error)
{
    char folder[FILE_PATH_BYTES];
    struct stat about;
    draft->descriptor = -1;
    enum status status = file_path(draft->path, error, "%s", path);
    if (status != STATUS_OK)
        return status;
    folder_of(path, folder);
    sweep_beside(path);
    for (int i = 0; i < TRIES; i++) {
        status = file_temporary_name(path, draft->temporary, error);
        if (status != STATUS_OK)
            return status;
        /* With all rights that the umask allows, as any file that people make. */
        const int made = open(draft->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (made < 0 && errno != EEXIST)
            break;
        if (made < 0)
            continue;
        const bool taken = !lock_is_free(made) && errno == EWOULDBLOCK;
        if (!taken && fstat(made, &about) == 0 && about.st_nlink > 0) {
            draft->descriptor = made;
            return STATUS_OK;
        }
        close(made);
    }
    return error_set_errno(error, STATUS_ENVIRONMENT, "cannot make a file in %s to write %s", folder, path);
}

enum status draft_write(struct draft *draft, const void *data, size_t bytes, struct error *error)
{
    if (file_write_all(draft->descriptor, data, bytes) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot write %s", draft->path);
    return STATUS_OK;
}

enum status draft_publish(struct draft *draft, struct error *error)
{
    char folder[FILE_PATH_BYTES];
    if (fsync(draft->descriptor) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot sync %s", draft->path);
    /* The lock is held until the file has its name: without it, another process's sweep would take the file for one
     * that was left. */
    if (rename(draft->temporary, draft->path) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot rename the finished file to %s", draft->path);
    close(draft->descriptor); /* what is synced is there, whatever this says */
    draft->descriptor = -1;
    folder_of(draft->path, folder);
    return file_sync_folder(folder, error);
}

void draft_drop(struct draft *draft)
{
    if (draft->descriptor < 0)
        return;
    unlink(draft->temporary);
    close(draft->descriptor);
    draft->descriptor = -1;
}

enum status file_write_parts(const char *path, const struct iovec *parts, size_t count, struct error *error)
{
    struct draft draft;
    enum status status = draft_open(&draft, path, error);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = draft_write(&draft, parts[i].iov_base, parts[i].iov_len, error);
    if (status == STATUS_OK)
        status = draft_publish(&draft, error);
    draft_drop(&draft);
    return status;
}

enum status file_write(const char *path, const void *data, size_t bytes, struct error *error)
{
    struct iovec part = { .iov_base = (void *)data, .iov_len = bytes };
    return file_write_parts(path, &part, 1, error);
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

bool file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

enum status file_size(const char *path, uint64_t *bytes, struct error *error)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return error_set_errno(error, STATUS_INPUT, "cannot examine %s", path);
    *bytes = (uint64_t)about.st_size;
    return STATUS_OK;
}

bool file_is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

enum status file_make_folders(const char *path, struct error *error)
{
    char part[FILE_PATH_BYTES];
    enum status status = file_path(part, error, "%s", path);
    if (path[0] == '\0')
        return error_set(error, STATUS_INPUT, "the name of a folder is empty");
    for (char *slash = part; status == STATUS_OK && slash != NULL;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(part, 0777) == 0) {
            char parent[FILE_PATH_BYTES];
            folder_of(part, parent);
            status = file_sync_folder(parent, error);
        } else {
            int number = errno;
            if (number == EEXIST && !file_is_folder(part)) {
                status =
                    error_set(error, STATUS_ENVIRONMENT, "cannot make the folder %s: %s is a %s; name another folder",
                              path, part, file_exists(part) ? "file" : "link that leads nowhere");
            } else if (!file_is_folder(part)) {
                errno = number;
                status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot make the folder %s", part);
            }
        }
        if (slash != NULL)
            *slash = '/';
    }
    return status;
}

enum status file_remove(const char *path, struct error *error)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot remove %s", path);
    return STATUS_OK;
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about, (void)kind, (void)place;
    return remove(path);
}

enum status file_remove_tree(const char *path, struct error *error)
{
    enum { DESCRIPTORS = 8 };
    if (nftw(path, remove_entry, DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot remove %s", path);
    return STATUS_OK;
}

enum status file_sweep(const char *folder, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = STATUS_OK;
    DIR *list = opendir(folder);
    if (list == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", folder);
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(list)) != NULL;) {
        if (file_temporary_of(entry->d_name) == 0)
            continue;
        status = file_path(path, error, "%s/%s", folder, entry->d_name);
        if (status == STATUS_OK)
            status = file_remove(path, error);
    }
    closedir(list);
    return status;
}
