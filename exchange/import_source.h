/* What another tool recorded of a run, in memory: series of numbers, and what the tool says about the run. The readers
 * (exchange/import_csv.c and others) fill it, and exchange/import_metrics.c turns it into the rows of metrics.jsonl.
 *
 * A point keeps its place in its file, so that a message about a value names it. */
#ifndef SELFSAME_IMPORT_SOURCE_H
#define SELFSAME_IMPORT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

enum {
    IMPORT_SERIES_MAX = 10000,
    IMPORT_SETTINGS_MAX = 1000,
    IMPORT_NOTES_MAX = 100,
    IMPORT_FILES_MAX = 10000,
    IMPORT_NAME_BYTES = 300,
    IMPORT_TIME_BYTES = 32
};

struct import_point {
    int64_t number; /* of the epoch or the step, as the tool counts */
    double value;
    uint64_t place; /* in its file */
    uint32_t file;
};

struct import_series {
    char *name;
    struct import_point *points; /* [count], in the order in which they were read */
    size_t count, room;
};

/* A file, or an answer of a server, and its SHA-256. */
struct import_file {
    char *name;  /* for the digest of all of them: below the source's folder */
    char *shown; /* for messages: a path or a URL */
    char sha256[DIGEST_HEX_BYTES];
};

/* A list of texts, ended by a NULL. */
struct import_texts {
    char **texts;
    size_t count;
};

struct import_source {
    const char *tool;  /* such as "TensorBoard" */
    const char *place; /* what stands between a file and a place in messages: ":" before a line, ": byte " */
    char *name;        /* a path or a URL, as in the record */
    char run[IMPORT_NAME_BYTES], status[IMPORT_NAME_BYTES];      /* "" if the tool does not say */
    char started[IMPORT_TIME_BYTES], updated[IMPORT_TIME_BYTES]; /* the same */
    struct import_texts settings, notes;                         /* NAME=VALUE; what was left out */
    struct import_file *files;
    size_t file_count;
    struct import_series *series;
    size_t series_count, found; /* the one that was found last */
    /* Whether the points of a series are kept. A source may have a million that nobody asks for. */
    bool (*wants)(void *context, const char *name);
    void *context;
};

/* Of a source that is zero, but for `tool`, `place`, `wants` and `context`. */
enum status import_source_name(struct import_source *source, const char *name, struct error *error) MUST_USE;
void import_source_free(struct import_source *source);

/* Reads a whole file, which may be compressed with gzip, and adds it. The caller frees *data, which a NUL ends. `name`
 * is for the digest, of the bytes as they lie on the disk. */
enum status import_read_file(struct import_source *source, const char *path, const char *name, char **data,
                             size_t *bytes, struct error *error) MUST_USE;

/* Adds a file that was read, whose number is then source->file_count - 1. */
enum status import_add_file(struct import_source *source, const char *name, const char *shown, const void *data,
                            size_t bytes, struct error *error) MUST_USE;
/* SHA-256 of the source: of its one file, or else of the lines "SHA-256, two spaces, name" of all in their order, which
 * is what sha256sum prints. */
void import_source_digest(const struct import_source *source, char hex[DIGEST_HEX_BYTES]);

/* The series of a name, which is made if it is not there. The name may be any bytes. */
enum status import_find_series(struct import_source *source, const char *name, struct import_series **series,
                               struct error *error) MUST_USE;
/* Adds a point unless nobody wants the series. */
enum status import_add_point(struct import_source *source, struct import_series *series, struct import_point point,
                             struct error *error) MUST_USE;

/* Adds a text, which may be any bytes: it is escaped as for a terminal. */
enum status import_texts_add(struct import_texts *list, const char *text, struct error *error) MUST_USE;

/* Adds NAME=VALUE, and a note. What is too much is left out, and the last text says so. */
enum status import_add_setting(struct import_source *source, const char *name, const char *value,
                               struct error *error) MUST_USE;
enum status import_add_note(struct import_source *source, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4), warn_unused_result));

/* "2026-11-24T03:54:00Z" of seconds since 1970; "" for what is no time. */
void import_time(double seconds, char text[IMPORT_TIME_BYTES]);

/* "FILE:LINE", "FILE: byte N": where a point was read. */
enum { IMPORT_WHERE_BYTES = 1024 };
void import_where(const struct import_source *source, const struct import_point *point, char text[IMPORT_WHERE_BYTES]);

#endif
