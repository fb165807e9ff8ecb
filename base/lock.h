/* Locks between processes: a file that one of them holds until it releases it or ends, however that comes.
 *
 * Where the file system has no locks (Lustre without them, some NFS), a file beside it, FILE.owner, names the holder by
 * host, process and boot. It goes with lock_release; one that a killed process left is recognised on the same host. */
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

/* Tries to take the lock, making the file if need be; no link is followed. *taken is false where another process has
 * it, and `holder` then says which, such as "process 12", as far as that is known, or is "another process". */
enum status lock_try(struct lock *lock, const char *path, bool *taken, char holder[LOCK_HOLDER_BYTES],
                     struct error *error) MUST_USE;
/* Does nothing where the lock is not held, or where lock_try did not take it. */
void lock_release(struct lock *lock);

/* Whether another process holds the lock now. Nothing is made or changed. */
bool lock_is_held(const char *path);

#endif
