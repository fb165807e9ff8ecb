/* The step ledger: `ledger.txt` of a run, or `ledger.txt.gz` of one that is published. A heading and one line for every
 * training step, all of LEDGER_LINE_BYTES, so that step s (from 0) is at byte (s + 1) * LEDGER_LINE_BYTES:
 *
 *          step            loss errors                  weights digest
 *             0  2.87112403e+00    115 6f0c...(32 digits: digest[0], digest[1])
 *
 * The loss has nine significant digits, which is its binary32 exactly. */
#ifndef SELFSAME_LEDGER_H
#define SELFSAME_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"

enum { LEDGER_LINE_BYTES = 67 };
#define LEDGER_FILE "ledger.txt"
#define LEDGER_GZIP_FILE "ledger.txt.gz"

struct ledger_row {
    float loss;         /* of the batch, before the step */
    uint32_t errors;    /* in the batch */
    uint64_t digest[2]; /* of the weights after the step */
};

/* line gets LEDGER_LINE_BYTES and a NUL. ledger_format is false where a number is too wide for its column: a step from
 * 10^10 on, or a million errors in a batch. ledger_parse is true for what ledger_format would have written for that
 * step, of which the line's end may be missing. */
void ledger_heading(char line[LEDGER_LINE_BYTES + 1]);
bool ledger_format(char line[LEDGER_LINE_BYTES + 1], uint64_t step, const struct ledger_row *row);
bool ledger_parse(const char *line, uint64_t step, struct ledger_row *row);
struct step_result; /* trainer/engine.h */
struct ledger_row ledger_row_of(const struct step_result *result);
/* The first thing in which two rows differ, such as "loss"; NULL where they are the same bits. */
const char *ledger_difference(const struct ledger_row *a, const struct ledger_row *b);

/* The whole lines of a ledger. */
struct ledger_lines {
    struct ledger_row *rows; /* [steps] */
    size_t steps;
    size_t torn;  /* bytes of an unfinished last line (part of a line, or NUL bytes) that was left out; 0: none */
    bool changed; /* the file is not ledger.txt byte for byte: it is compressed, or went through an editor */
    char path[FILE_PATH_BYTES]; /* the file that was read */
};

/* Reads the ledger in a run's folder, ledger.txt or else ledger.txt.gz: at most `limit` steps. What does not fit is
 * STATUS_INPUT, naming the file and line. Where neither is there, there are no steps. */
enum status ledger_read(const char *folder, size_t limit, struct ledger_lines *lines, struct error *error) MUST_USE;
/* Writes a run's first `steps` steps as ledger.txt, durably, and removes ledger.txt.gz. */
enum status ledger_write(const char *folder, const struct ledger_row *rows, size_t steps, struct error *error) MUST_USE;
void ledger_free(struct ledger_lines *lines);
/* The name of the file that was read, in its folder. */
const char *ledger_name(const struct ledger_lines *lines);

#endif
