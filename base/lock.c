#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool without_locks(int number)
{
    return number == ENOLCK || number == ENOSYS || number == EOPNOTSUPP;
}

/* Up to the first newline of a file; "" where it cannot be read. */
static void read_line(int descriptor, char *line, size_t size)
{
    ssize_t got = descriptor >= 0 ? pread(descriptor, line, size - 1, 0) : 0;
    line[got > 0 ? got : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static void pause_briefly(void)
{
    const struct timespec time = { .tv_nsec = 20 * 1000 * 1000 };
    (void)nanosleep(&time, NULL);
}

/* ---- owner files ------------------------------------------------------------------------------------------------- */

enum { HOST_BYTES = 256, BOOT_BYTES = 64 };

/* The holder of a lock. The boot is named by its identifier, because its time moves when the clock is set. */
struct owner {
    char host[HOST_BYTES], boot[BOOT_BYTES];
    long process;
};

static void read_self(struct owner *owner)
{
    int descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    *owner = (struct owner){ .process = (long)getpid() };
    if (gethostname(owner->host, sizeof owner->host - 1) != 0 || owner->host[0] == '\0')
        snprintf(owner->host, sizeof owner->host, "unknown");
    read_line(descriptor, owner->boot, sizeof owner->boot);
    if (owner->boot[0] == '\0')
        snprintf(owner->boot, sizeof owner->boot, "unknown");
    if (descriptor >= 0)
        close(descriptor);
}

/* False where there is no owner file, or it names nobody (yet). */
static bool read_owner(const char *path, struct owner *owner)
{
    char line[LOCK_HOLDER_BYTES];
    int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    read_line(descriptor, line, sizeof line);
    if (descriptor >= 0)
        close(descriptor);
    return sscanf(line, "host %255s process %ld boot %63s", owner->host, &owner->process, owner->boot) == 3;
}

/* Of another host nothing can be known. */
static bool has_ended(const struct owner *owner, const struct owner *self)
{
    if (strcmp(owner->host, self->host) != 0)
        return false;
    return strcmp(owner->boot, self->boot) != 0 || owner->process <= 0 ||
           (kill((pid_t)owner->process, 0) != 0 && errno == ESRCH);
}

static enum status write_owner(const char *path, const struct owner *self, bool *made, struct error *error)
{
    char line[LOCK_HOLDER_BYTES];
    int length = snprintf(line, sizeof line, "host %s process %ld boot %s\n", self->host, self->process, self->boot);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    *made = descriptor >= 0;
    if (descriptor < 0 && errno == EEXIST)
        return STATUS_OK;
    if (descriptor < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot make %s", path);
    const bool good = file_write_all(descriptor, line, (size_t)length) == 0 && fsync(descriptor) == 0;
    enum status status = good ? STATUS_OK : error_set_errno(error, STATUS_ENVIRONMENT, "cannot write %s", path);
    close(descriptor);
    if (status != STATUS_OK)
        unlink(path);
    return status;
}

static bool same_owner(const struct owner *a, const struct owner *b)
{
    return a->process == b->process && strcmp(a->host, b->host) == 0 && strcmp(a->boot, b->boot) == 0;
}

/* In the place of an owner that has ended. Two processes may find the same one: then the second takes away what the
 * first has just made, sees that, and puts it back. */
static enum status take_over(const char *path, const struct owner *ended, const struct owner *self, bool *taken,
                             struct error *error)
{
    char moved[FILE_PATH_BYTES];
    struct owner found;
    enum status status = file_temporary_name(path, moved, error);
    if (status != STATUS_OK)
        return status;
    if (rename(path, moved) != 0)
        return errno == ENOENT ? STATUS_OK : error_set_errno(error, STATUS_ENVIRONMENT, "cannot take over %s", path);
    const bool good = read_owner(moved, &found) && same_owner(&found, ended);
    if (!good)
        (void)link(moved, path);
    unlink(moved);
    return good ? write_owner(path, self, taken, error) : STATUS_OK;
}

/* Takes the lock by its owner file. */
static enum status own(const char *path, bool *taken, char holder[LOCK_HOLDER_BYTES], struct error *error)
{
    struct owner self, other, again;
    bool took_over = false;
    read_self(&self);
    enum status status = write_owner(path, &self, taken, error);
    if (status == STATUS_OK && !*taken && read_owner(path, &other) && has_ended(&other, &self)) {
        status = take_over(path, &other, &self, taken, error);
        took_over = *taken;
    }
    if (status != STATUS_OK)
        return status;
    /* The file may be away for a moment, in the hands of such a second process, and a third may make one then. */
    if (took_over) {
        pause_briefly();
        *taken = read_owner(path, &again) && same_owner(&again, &self);
    }
    if (*taken)
        return STATUS_OK;
    if (!read_owner(path, &other))
        snprintf(holder, LOCK_HOLDER_BYTES,
                 "another process (this file system has no locks, and %.200s does not name it: remove that file if "
                 "there is no such process)",
                 path);
    else if (strcmp(other.host, self.host) == 0)
        snprintf(holder, LOCK_HOLDER_BYTES, "process %ld", other.process);
    else
        snprintf(holder, LOCK_HOLDER_BYTES,
                 "process %ld on the host %.100s (or it was killed; this file system has no locks, so remove %.200s "
                 "once that "
                 "process has ended)",
                 other.process, other.host, path);
    return STATUS_OK;
}

/* ---- locks ------------------------------------------------------------------------------------------------------- */

/* lock_is_held holds the lock for a moment when it looks: that is waited out. */
static int lock_patiently(int descriptor)
{
    enum { TRIES = 10 };
    for (int i = 1; flock(descriptor, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK || i == TRIES)
            return -1;
        pause_briefly();
    }
    return 0;
}

/* Opens and locks a file. -1 with errno where it cannot be locked: EWOULDBLOCK if another process holds it. A lock on a
 * file that was removed or replaced meanwhile, such as that of a run that was deleted, keeps nobody away. */
static enum status open_locked(const char *path, int *descriptor, int *locked, struct error *error)
{
    enum { TRIES = 10 };
    for (int i = 1;; i++) {
        enum status status = file_open_own(path, O_RDWR, descriptor, error);
        if (status != STATUS_OK)
            return status;
        *locked = lock_patiently(*descriptor);
        if (*locked != 0 || file_is_named(*descriptor, path))
            return STATUS_OK;
        if (i == TRIES) {
            *locked = -1;
            errno = EWOULDBLOCK;
            return STATUS_OK;
        }
        close(*descriptor);
    }
}

/* The number of the holder. It only serves messages, and the lock holds without it, as on a full disk. */
static void write_number(int descriptor)
{
    char line[32];
    const int length = snprintf(line, sizeof line, "%ld\n", (long)getpid());
    if (ftruncate(descriptor, 0) == 0)
        (void)!pwrite(descriptor, line, (size_t)length, 0);
}

enum status lock_try(struct lock *lock, const char *path, bool *taken, char holder[LOCK_HOLDER_BYTES],
                     struct error *error)
{
    char line[32];
    int descriptor, locked;
    *lock = (struct lock){ .descriptor = -1 };
    *taken = false;
    holder[0] = '\0';
    enum status status = open_locked(path, &descriptor, &locked, error);
    if (status != STATUS_OK)
        return status;
    if (locked == 0) {
        *taken = true;
        write_number(descriptor);
    } else if (errno == EWOULDBLOCK) {
        read_line(descriptor, line, sizeof line);
        snprintf(holder, LOCK_HOLDER_BYTES, "%s%s", line[0] != '\0' ? "process " : "another process", line);
    } else if (without_locks(errno)) {
        status = file_path(lock->owner, error, "%s" LOCK_OWNER_SUFFIX, path);
        if (status == STATUS_OK)
            status = own(lock->owner, taken, holder, error);
    } else {
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot lock %s", path);
    }
    if (status == STATUS_OK && *taken) {
        lock->descriptor = descriptor;
    } else {
        close(descriptor);
        lock->owner[0] = '\0';
    }
    return status;
}

void lock_release(struct lock *lock)
{
    if (lock->descriptor < 0)
        return;
    if (lock->owner[0] != '\0')
        unlink(lock->owner);
    close(lock->descriptor);
    lock->descriptor = -1;
}

bool lock_is_held(const char *path)
{
    char owner_path[FILE_PATH_BYTES];
    struct owner owner, self;
    struct error ignored;
    bool held = false;
    int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    if (flock(descriptor, LOCK_SH | LOCK_NB) == 0) {
        (void)flock(descriptor, LOCK_UN);
    } else if (errno == EWOULDBLOCK) {
        held = true;
    } else if (file_path(owner_path, &ignored, "%s" LOCK_OWNER_SUFFIX, path) == STATUS_OK &&
               read_owner(owner_path, &owner)) {
        read_self(&self);
        held = !has_ended(&owner, &self);
    }
    close(descriptor);
    return held;
}
