/* Where downloads are kept: files named by their SHA-256, each whole or not there at all.
 *
 * folder   --store DIR, else $SELFSAME_STORE, else $XDG_CACHE_HOME/selfsame, else ~/.cache/selfsame. In it:
 *            sha256/HEX      a file. If only an MD5 or the start of a SHA-256 is published, its name is the SHA-256
 *                            that was computed
 *            md5/HEX         one line: the SHA-256 of the file that was checked against that MD5
 *            unpacked/HEX/   what the archive of that SHA-256 holds, and SHA256SUMS, which sha256sum -c reads
 *            stamps/KIND-HEX how the files of an item looked when they were last hashed (fetch/stamp.h)
 *            partial/KEY     a download that is not finished (fetch/partial_download.h)
 *            damaged/        what store_set_aside took out of the way
 *            locks/KEY       empty files that processes lock
 *            index/NAME      what selfsame runs read of a runs folder (results/run_index.h), which is no item
 * sharing  Any number of processes. One of them fetches an item under store_lock; the others wait, and find it there.
 * trust    An item may have been damaged or changed since it was stored: call store_check before you use it. */
#ifndef SELFSAME_STORE_H
#define SELFSAME_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "base/lock.h"
#include "fetch/source.h"

struct store {
    char folder[FILE_PATH_BYTES];
};

enum { STORE_KEY_BYTES = 80 };

/* Only finds the folder's name. The folder is made when the first item is stored. STATUS_ENVIRONMENT if no environment
 * variable names a home. */
enum status store_open(struct store *store, const char *folder, struct error *error) MUST_USE;

/* What is published about a source, as a file name: its SHA-256, else "md5-..." or "prefix-...". STATUS_INPUT where
 * nothing is. */
enum status store_key(const struct source *source, char key[STORE_KEY_BYTES], struct error *error) MUST_USE;

/* The SHA-256 of the source's file, "" if it is not known here yet. It is known for an archive that was unpacked and
 * pruned. */
enum status store_digest(const struct store *store, const struct source *source, char sha256[DIGEST_HEX_BYTES],
                         struct error *error) MUST_USE;
/* The source's file, or "" if it is not there. store_check says whether it is undamaged. */
enum status store_find(const struct store *store, const struct source *source, char path[FILE_PATH_BYTES],
                       struct error *error) MUST_USE;
/* The folder that the archive of this SHA-256 is, or is to be, unpacked to. */
enum status store_unpacked(const struct store *store, const char *sha256, char path[FILE_PATH_BYTES],
                           struct error *error) MUST_USE;

/* Makes the folders, and locks the item of that key against other processes until lock_release. Where another has it,
 * calls `waiting` once and waits. STATUS_INTERRUPTED as soon as stop_requested, polled while waiting, is true (it may
 * be NULL). */
enum status store_lock(const struct store *store, const char *key, bool (*stop_requested)(void *context),
                       void *stop_context, void (*waiting)(void *context), void *waiting_context, struct lock *lock,
                       struct error *error) MUST_USE;
/* Under the lock: where the unfinished download of that key is. */
enum status store_part(const struct store *store, const char *key, char path[FILE_PATH_BYTES],
                       struct error *error) MUST_USE;
/* Under the lock: takes a finished, synced and checked part in as the file of that SHA-256. */
enum status store_keep(const struct store *store, const struct source *source, const char *part, const char *sha256,
                       char path[FILE_PATH_BYTES], struct error *error) MUST_USE;

/* One item of the store. */
struct store_item {
    const char *kind; /* "file", "unpacked", "partial", "damaged" */
    char name[STORE_KEY_BYTES];
    char path[FILE_PATH_BYTES];
    uint64_t bytes;
};

/* Calls `visit` for each item, by kind and name; another status than STATUS_OK ends it. A store that is not there is
 * empty. */
enum status store_each(const struct store *store,
                       enum status (*visit)(void *context, const struct store_item *item, struct error *error),
                       void *context, struct error *error) MUST_USE;

/* The item of that kind, "file" or "unpacked", and SHA-256; its size is left at 0. */
enum status store_item_of(const struct store *store, const char *kind, const char *sha256, struct store_item *item,
                          struct error *error) MUST_USE;

/* Whether a file, or the files of an unpacked folder, are unchanged: *why is "" if they are. They are hashed if they
 * changed since they were last hashed, or in any case with `anew`. */
enum { STORE_WHY_BYTES = 512 };
enum status store_check(const struct store *store, const struct store_item *item, bool anew, char why[STORE_WHY_BYTES],
                        struct error *error) MUST_USE;
/* Moves a damaged item to damaged/, so that the next fetch downloads it again. One that is gone already is no error. */
enum status store_set_aside(const struct store *store, const struct store_item *item, struct error *error) MUST_USE;

/* Removes an item that can be downloaded again or is useless: unfinished downloads, damaged items, what a killed
 * process left, and archives that are unpacked. *removed tells whether. An item that another process works on stays. */
enum status store_prune(const struct store *store, const struct store_item *item, bool *removed,
                        struct error *error) MUST_USE;

#endif
