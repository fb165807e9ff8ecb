/* What the two halves of the index share: run_index.c has the database and its file, run_index_refresh.c reads the
 * runs. */
#ifndef SELFSAME_RUN_INDEX_STATE_H
#define SELFSAME_RUN_INDEX_STATE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"

struct run_index {
    sqlite3 *database;
    sqlite3_stmt *put_run, *put_seen, *put_tag, *drop_run, *drop_seen, *drop_tags;
    char runs[FILE_PATH_BYTES];   /* as it was named */
    char folder[FILE_PATH_BYTES]; /* its own path, one line */
    char path[FILE_PATH_BYTES];   /* the index's file; "" for none */
    char *schema;
    char *file_data; /* the file, of which the database is a part; NULL once it has memory of its own */
    size_t database_at, database_bytes; /* in it */
    bool changed;                       /* since the file was read or written */
};

/* The table `run` has why a run is left out, the note about its test data, and the columns of run_columns.h. The table
 * `seen` has how its files looked when they were read (NULL: too new to know), whether it has tags or a note, whether
 * its lock was held, and whether it may go on (unfinished or locked). */

enum status run_index_sql_error(const struct run_index *index, struct error *error);
enum status run_index_execute(struct run_index *index, const char *sql, struct error *error) MUST_USE;
enum status run_index_prepare(struct run_index *index, const char *sql, sqlite3_stmt **statement,
                              struct error *error) MUST_USE;
/* Comes before the first change: gives the database room to grow, and prepares what changes it. */
enum status run_index_begin(struct run_index *index, struct error *error) MUST_USE;
/* Writes the file. Where it cannot be written, the next process reads the runs again: that is no error. */
void run_index_save(struct run_index *index);

/* Begins to list the runs and to look at their files; the index's runs folder is known. run_index_refresh takes what
 * was found, and reads the runs that changed. run_index_look_end takes NULL, too. */
struct run_index_look;
enum status run_index_look_begin(struct run_index_look **looking, const struct run_index *index,
                                 struct error *error) MUST_USE;
enum status run_index_refresh(struct run_index *index, struct run_index_look *looking,
                              void (*reading)(void *context, size_t done, size_t total), void *context,
                              struct error *error) MUST_USE;
void run_index_look_end(struct run_index_look *looking);

#endif
