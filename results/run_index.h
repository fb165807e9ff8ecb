/* The runs of a runs folder, as a table that can be asked (SQLite). The folders are the truth, and the index is a cache
 * of them, which any process may delete.
 *
 * place    STORE/index/UID-HEX, where HEX follows from the path of the runs folder: nothing is written into a runs
 *          folder, so that one that is read-only, or somebody else's, is as good as any. Without a store, or with one
 *          that cannot be written, all runs are read each time
 * file     one line that names the version of the program, a SHA-256 and the runs folder, then an SQLite database. The
 *          SHA-256 is over all of it. A file that is damaged, of another version, of another folder or of another user
 *          is not read, and made anew
 * fresh    Opening the index looks at the size, inode and times of every run's folder and record.json, and of its tags
 *          and note if it has any. It reads a run again if one of them changed, or if they changed so recently that the
 *          next change might not show (fetch/stamp.h). That shows whatever replaces, adds or removes a file, and each
 *          epoch of a training. If somebody edits another file of a record in place, the list goes on to show what the
 *          record said before, and every command that opens the run says what is wrong. A damaged run is read each
 *          time, so that one that is mended in place is listed again
 * sharing  A process works on a copy in memory, and replaces the file as a whole. So any number of processes may read
 *          and write it without locks, on any file system; of two that write, one must look at some runs again */
#ifndef SELFSAME_RUN_INDEX_H
#define SELFSAME_RUN_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "results/run_query.h"

struct run_index;

/* Reads the index and makes it fresh. `store` is the folder of the store (fetch/store.h); NULL: without a file.
 * `reading` (may be NULL) is called before a run is read: `done` of at most `total` runs. A runs folder that does not
 * exist has no runs. */
enum status run_index_open(struct run_index **index, const char *runs, const char *store,
                           void (*reading)(void *context, size_t done, size_t total), void *context,
                           struct error *error) MUST_USE;
void run_index_close(struct run_index *index);

/* Calls `visit` for each run that was left out, with the reason. */
enum status run_index_problems(struct run_index *index, void (*visit)(void *context, const char *problem),
                               void *context, struct error *error) MUST_USE;

/* A value of a run: `text` is NULL for numbers; both are missing where `present` is false. */
struct run_value {
    bool present;
    const char *text;
    int64_t integer;
    double real;
};

/* Calls `visit` for each run that the query asks for, in its order, with the values of its columns. `mark`: the note
 * about the test data (experiments/manifest.h), NULL for none. */
enum status run_index_select(struct run_index *index, const struct run_query *query,
                             void (*visit)(void *context, const char *run, const char *mark,
                                           const struct run_value *values),
                             void *context, struct error *error) MUST_USE;

/* Removes the indexes in a store whose runs folder is gone, and those of other versions. */
enum status run_index_prune(const char *store, void (*removed)(void *context, const char *path, uint64_t bytes),
                            void *context, struct error *error) MUST_USE;

#endif
