/* Files that appear whole or not at all, and folders.
 *
 * Every message names the operation and the path. STATUS_ENVIRONMENT is for what the owner of the machine must mend: a
 * disk that is full, forbidden or read-only. STATUS_INPUT is for a file that is missing or too large. */
#ifndef SELFSAME_FILE_H
#define SELFSAME_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/hash.h"

enum { FILE_PATH_BYTES = 4096 };

/* printf into path; STATUS_INPUT where it does not fit. */
enum status file_path(char path[FILE_PATH_BYTES], struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4), warn_unused_result));

/* The whole of a regular file, followed by a NUL that *bytes does not count; the caller frees *data. Over `limit` bytes
 * is STATUS_INPUT. On an error *data is NULL. */
enum status file_read(const char *path, size_t limit, char **data, size_t *bytes, struct error *error) MUST_USE;
/* The same, but STATUS_INPUT for a symbolic link: for words that we show to others, which must not be those of another
 * file of ours. */
enum status file_read_unlinked(const char *path, size_t limit, char **data, size_t *bytes,
                               struct error *error) MUST_USE;

/* The same for a text that people exchange: text_unify (base/text.h) removes what editors add. *changed (may be NULL):
 * whether it removed anything. STATUS_INPUT for UTF-16. */
enum status file_read_text(const char *path, size_t limit, char **text, size_t *bytes, bool *changed,
                           struct error *error) MUST_USE;

/* The SHA-256 of a whole file, which may be large. */
enum status file_sha256(const char *path, char hex[DIGEST_HEX_BYTES], struct error *error) MUST_USE;

/* Writes a file durably: under another name in the same folder, fsync, rename, fsync of the folder. After an error the
 * old file, if there was one, is untouched, and the other name is gone. Only if the very last sync failed, the new file
 * is in place. A killed process leaves the other name; the next write of the same file removes it. file_write_parts
 * writes several pieces, one after the other. */
enum status file_write(const char *path, const void *data, size_t bytes, struct error *error) MUST_USE;
enum status file_write_parts(const char *path, const struct iovec *parts, size_t count, struct error *error) MUST_USE;

/* The same in steps, for a file that is too large for the memory, or is looked at before it gets its name. After
 * draft_open, and after any error, draft_drop removes what is not published. */
struct draft {
    int descriptor; /* -1: published or dropped */
    char path[FILE_PATH_BYTES], temporary[FILE_PATH_BYTES];
};
enum status draft_open(struct draft *draft, const char *path, struct error *error) MUST_USE;
enum status draft_write(struct draft *draft, const void *data, size_t bytes, struct error *error) MUST_USE;
enum status draft_publish(struct draft *draft, struct error *error) MUST_USE;
void draft_drop(struct draft *draft);

/* A name next to `path` that nothing has, and that file_temporary_of knows. */
enum status file_temporary_name(const char *path, char temporary[FILE_PATH_BYTES], struct error *error) MUST_USE;
/* write, until all is written. 0, or -1 with errno. */
int file_write_all(int descriptor, const void *data, size_t bytes) MUST_USE;

/* Makes a folder and those above it, durably; what exists already is fine. */
enum status file_make_folders(const char *path, struct error *error) MUST_USE;
/* fsync of a folder: makes what was created, renamed or removed in it last. */
enum status file_sync_folder(const char *path, struct error *error) MUST_USE;
/* Removes all that killed processes left half-written in a folder. Call it only where no other process writes and all
 * files are ours. */
enum status file_sweep(const char *folder, struct error *error) MUST_USE;
/* How many bytes of `name` are the final name of a half-written file; 0 if it is not a half-written file. Those of
 * 0.1.0 count, too. */
size_t file_temporary_of(const char *name);
bool file_exists(const char *path);
bool file_is_folder(const char *path);
/* Whether a name still leads to the file or folder that was opened under it. */
bool file_is_named(int descriptor, const char *path);
enum status file_size(const char *path, uint64_t *bytes, struct error *error) MUST_USE;
/* Removes a file; one that does not exist is fine. */
enum status file_remove(const char *path, struct error *error) MUST_USE;
/* Removes a folder with all that is in it, or a file; follows no link, crosses into no other file system; one that does
 * not exist is fine. */
enum status file_remove_tree(const char *path, struct error *error) MUST_USE;

/* ---- folders in which others can write: what they put there must not lead us to another file --------------------- */

/* Opens a file to be written in place, and makes it if it is not there. STATUS_INPUT for a symbolic link, a file with a
 * second name (a hard link), or not a regular file. If everybody may write in the folder, also for a file that does not
 * belong to this user, to root or to the folder's owner. O_CREAT, O_NOFOLLOW, O_CLOEXEC are added to `flags`. */
enum status file_open_own(const char *path, int flags, int *descriptor, struct error *error) MUST_USE;
/* Whether we may write in a folder. It must not be a symbolic link (with may_be_link: except one of this user), and the
 * owner must be as above. */
enum status file_check_folder(const char *path, bool may_be_link, struct error *error) MUST_USE;

/* ---- a folder of our own for a while ----------------------------------------------------------------------------- */

struct scratch {
    char path[FILE_PATH_BYTES];
    int lock;
};

/* Makes PREFIX-XXXXXX, which nobody else may enter, and removes those that killed processes left. file_scratch_close
 * removes it with all that is in it. */
enum status file_scratch_open(struct scratch *scratch, const char *prefix, struct error *error) MUST_USE;
void file_scratch_close(struct scratch *scratch);

/* Removes a folder with all that is in it. It gets the name PREFIX-XXXXXX at once, so that nothing half-removed has its
 * own name; if the process is killed, the next call with that prefix removes the rest. Needs no room on the disk.
 * `left` is that name: after an error it is there if the folder could be renamed, but not removed. */
enum status file_discard_folder(const char *path, const char *prefix, char left[FILE_PATH_BYTES],
                                struct error *error) MUST_USE;

#endif
