/* The step ledger: `ledger.txt` of a run. A heading and one line for every training step, all of LEDGER_LINE_BYTES, so
 * that step s (from 0) stands at byte (s + 1) * LEDGER_LINE_BYTES:
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

enum { LEDGER_LINE_BYTES = 67 };
#define LEDGER_FILE "ledger.txt"

struct ledger_row {
    float loss;         /* of the batch, before the step */
    uint32_t errors;    /* in the batch */
    uint64_t digest[2]; /* of the weights after the step */
};

/* line gets LEDGER_LINE_BYTES and a NUL. ledger_format is false where a number is too wide for its column: a step from
 * 10^10 on, or a million errors in a batch. */
void ledger_heading(char line[LEDGER_LINE_BYTES + 1]);
bool ledger_format(char line[LEDGER_LINE_BYTES + 1], uint64_t step, const struct ledger_row *row);

/* Reads the whole lines, at most `limit` steps; the caller frees *rows. What a killed process or a power cut left
 * unfinished at the end (part of a line, or NUL bytes) is dropped, and *torn tells how many bytes of it there are.
 * Anything else that does not fit is STATUS_INPUT, naming the file and line. A missing file is one without steps. */
enum status ledger_read(const char *path, size_t limit, struct ledger_row **rows, size_t *steps, size_t *torn,
                        struct error *error) MUST_USE;

#endif
