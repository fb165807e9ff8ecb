/* What `selfsame runs` can show, sort and ask about: one table of columns, for the index, the query and the command. */
#ifndef SELFSAME_RUN_COLUMNS_H
#define SELFSAME_RUN_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/labels.h"
#include "results/record.h"

enum run_column_type {
    RUN_COLUMN_TEXT,
    RUN_COLUMN_INTEGER,
    RUN_COLUMN_REAL,
    RUN_COLUMN_DIGEST, /* compared by its first digits */
    RUN_COLUMN_TAGS    /* compared tag by tag */
};

/* Where the index finds a column's value when it reads a run. */
enum run_column_source {
    FROM_FACTS,  /* a member of struct record_facts */
    FROM_KNOWN,  /* the same, where 0 means that it is not known */
    FROM_LAST,   /* a member of struct metrics_row, of the last epoch */
    FROM_LISTED, /* a member of struct listed_run */
    FROM_COLUMN, /* nowhere: it is the value of the column `same` */
    FROM_FOLDER  /* nowhere: it is the path of the run's folder, as you name the runs folder now */
};

struct run_column {
    const char *name, *alias; /* alias: NULL for none */
    enum run_column_type type;
    enum run_column_source source;
    size_t offset;
    unsigned digits; /* that are shown: of a digest, and of a real number after the point */
    unsigned rank;   /* as in commands/table.h */
    bool shown;      /* without --columns */
    const char *same;
};

/* A run as it is put into the index. Texts are owned by the caller. */
struct listed_run {
    const char *name, *state, *tags, *note;
    uint64_t epochs; /* done; without any there is no last one, no best one */
    double best;
    char recipe_sha256[DIGEST_HEX_BYTES]; /* the same for runs that differ in the seed alone */
};

extern const struct run_column run_columns[];
extern const size_t run_column_count;

/* Whether the index has it. */
bool run_column_is_stored(const struct run_column *column);
/* A column by its name or alias; NULL for another. */
const struct run_column *run_column_find(const char *name);
/* The text "there is no column 'x'; did you mean 'y'?", or all names. */
void run_column_unknown(const char *name, char *text, size_t size);

#endif
