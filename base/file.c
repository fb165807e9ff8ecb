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
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* What marks a file that is being written, after the name that it is to have. */
#define TEMPORARY_RANDOM ".XXXXXX"
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

/* Makes and locks a temporary file that will be renamed; `temporary` has its name. -1 with errno. */
static int make_temporary(char temporary[FILE_PATH_BYTES])
{
    enum { TRIES = 100 };
    char pattern[FILE_PATH_BYTES];
    struct stat about;
    memcpy(pattern, temporary, sizeof pattern);
    for (int i = 0; i < TRIES; i++) {
        memcpy(temporary, pattern, sizeof pattern);
        int descriptor = mkostemps(temporary, strlen(TEMPORARY_SUFFIX), O_CLOEXEC);
        if (descriptor < 0)
            return -1;
        /* Another process's sweep may have come between. A file system without locks has no sweep. */
        bool taken = !lock_is_free(descriptor) && errno == EWOULDBLOCK;
        if (!taken && fstat(descriptor, &about) == 0 && about.st_nlink > 0)
            return descriptor;
        close(descriptor);
    }
    errno = EAGAIN;
    return -1;
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

enum status file_scratch_open(struct scratch *scratch, const char *prefix, struct error *error)
{
    scratch->lock = -1;
    enum status status = file_path(scratch->path, error, "%s-XXXXXX", prefix);
    if (status != STATUS_OK)
        return status;
    sweep_folders(prefix);
    if (mkdtemp(scratch->path) == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot make the temporary folder %s", scratch->path);
    scratch->lock = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (scratch->lock >= 0)
        (void)lock_is_free(scratch->lock); /* without locks there is no sweep either */
    return STATUS_OK;
}

void file_scratch_close(struct scratch *scratch)
{
    struct error ignored;
    (void)!file_remove_tree(scratch->path, &ignored);
    if (scratch->lock >= 0)
        close(scratch->lock);
    scratch->lock = -1;
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
    const size_t unified = text_unify(*text, *bytes);
    if (changed != NULL)
        *changed = unified != *bytes;
    *bytes = unified;
    return STATUS_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* 0 when all is written, else -1 with errno. */
static int write_all(int descriptor, const void *data, size_t bytes)
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

enum status file_write_parts(const char *path, const struct iovec *parts, size_t count, struct error *error)
{
    char temporary[FILE_PATH_BYTES], folder[FILE_PATH_BYTES];
    enum status status = file_path(temporary, error, "%s" TEMPORARY_RANDOM TEMPORARY_SUFFIX, path);
    if (status != STATUS_OK)
        return status;
    folder_of(path, folder);
    sweep_beside(path);
    int descriptor = make_temporary(temporary);
    if (descriptor < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot make a file in %s to write %s", folder, path);
    /* mkostemps gives rights only to the owner; a record gets those that the umask allows. */
    mode_t mask = umask(0);
    umask(mask);
    const char *failed = fchmod(descriptor, 0666 & ~mask) != 0 ? "set the permissions of" : NULL;
    for (size_t i = 0; i < count && failed == NULL; i++)
        if (write_all(descriptor, parts[i].iov_base, parts[i].iov_len) != 0)
            failed = "write";
    if (failed == NULL && fsync(descriptor) != 0)
        failed = "sync";
    int number = errno;
    if (close(descriptor) != 0 && failed == NULL) {
        failed = "close";
        number = errno;
    }
    if (failed == NULL && rename(temporary, path) != 0) {
        failed = "rename the finished file to";
        number = errno;
    }
    if (failed != NULL) {
        unlink(temporary);
        errno = number;
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot %s %s", failed, path);
    }
    return file_sync_folder(folder, error);
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
                status = error_set(error, STATUS_ENVIRONMENT,
                                   "cannot make the folder %s: %s is a file; name another folder", path, part);
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

/* ---- appending --------------------------------------------------------------------------------------------------- */

enum status append_open(struct appender *appender, const char *path, uint64_t keep, struct error *error)
{
    struct stat about;
    int descriptor;
    appender->descriptor = -1;
    enum status status = file_path(appender->path, error, "%s", path);
    if (status == STATUS_OK)
        status = file_open_own(path, O_WRONLY | O_APPEND, &descriptor, error);
    if (status != STATUS_OK)
        return status;
    if (fstat(descriptor, &about) != 0) {
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot examine %s", path);
    } else {
        appender->bytes = (uint64_t)about.st_size;
        if (keep < appender->bytes) {
            appender->bytes = keep;
            if (ftruncate(descriptor, (off_t)keep) != 0)
                status =
                    error_set_errno(error, STATUS_ENVIRONMENT, "cannot shorten %s to %" PRIu64 " bytes", path, keep);
        }
    }
    if (status != STATUS_OK) {
        close(descriptor);
        return status;
    }
    appender->descriptor = descriptor;
    return STATUS_OK;
}

enum status append_write(struct appender *appender, const void *data, size_t bytes, struct error *error)
{
    if (write_all(appender->descriptor, data, bytes) != 0) {
        error_set_errno(error, STATUS_ENVIRONMENT, "cannot append to %s", appender->path);
        if (ftruncate(appender->descriptor, (off_t)appender->bytes) != 0)
            return error_prefix(error, "%s ends in an unfinished line", appender->path);
        return error->status;
    }
    appender->bytes += bytes;
    return STATUS_OK;
}

enum status append_sync(struct appender *appender, struct error *error)
{
    if (fsync(appender->descriptor) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot sync %s", appender->path);
    return STATUS_OK;
}

void append_close(struct appender *appender)
{
    if (appender->descriptor >= 0)
        close(appender->descriptor);
    appender->descriptor = -1;
}
