/* How the sources of a program differed from the commit that it names: a file of a run's record.
 *
 * file     SOURCE_CHANGES_FILE: what `git diff` printed when the program was built, compressed with gzip. record.json
 *          has the text's bytes and SHA-256, and neither if nothing differed. A text above SOURCE_CHANGES_MOST has no
 *          file. */
#ifndef SELFSAME_SOURCE_CHANGES_H
#define SELFSAME_SOURCE_CHANGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "results/record_data.h"

#define SOURCE_CHANGES_FILE "source-changes.diff.gz"
enum { SOURCE_CHANGES_MOST = 256 * 1024 };

struct source_changes {
    const void *text; /* NULL above the limit */
    size_t bytes;     /* 0: nothing differed, or it is not known */
    const char *sha256;
};

/* Writes the file into a run's folder; without a text, removes what an earlier session left there. */
enum status source_changes_write(const struct source_changes *changes, const char *folder,
                                 struct error *error) MUST_USE;

/* Whether the file is there, and what record.json says. If it is another, STATUS_INPUT names it, unless the run may
 * have been killed between the writing of the two. */
enum status source_changes_check(const struct record *record, bool *there, struct error *error) MUST_USE;

#endif
