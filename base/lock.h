/* Locks between processes: a file that one process holds until it releases it, or until it ends in any way.
 *
 * Some file systems have no locks (Lustre without them, some NFS). There a file next to it, FILE.owner, names the
 * holder by host, process and boot. lock_release removes it. If a killed process left one, it is recognised on the same
 * host. */
#ifndef SELFSAME_LOCK_H
#define SELFSAME_LOCK_H

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"

#define LOCK_OWNER_SUFFIX ".owner"
enum { LOCK_HOLDER_BYTES = 512 };

struct lock {
    int descriptor;              /* -1: not held */
    char owner[FILE_PATH_BYTES]; /* the owner file, where the file system has no locks: worth a warning; else "" */
};

/* Tries to take the lock, making the file if need be; no link is followed. *taken is false if another process has it.
 * `holder` then says which, such as "process 12", or "another process" if it is not known. */
enum status lock_try(struct lock *lock, const char *path, bool *taken, char holder[LOCK_HOLDER_BYTES],
                     struct error *error) MUST_USE;
/* Does nothing if the lock is not held, or if lock_try did not take it. */
void lock_release(struct lock *lock);

/* Whether another process holds the lock now. Nothing is made or changed. */
bool lock_is_held(const char *path);

#endif
