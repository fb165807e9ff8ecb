#include "results/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { LEDGER_STEP_DIGITS = 10 };
static const size_t LEDGER_FILE_LIMIT = (size_t)1 << 32;

void ledger_heading(char line[LEDGER_LINE_BYTES + 1])
{
    snprintf(line, LEDGER_LINE_BYTES + 1, "%*s %15s %6s %32s\n", LEDGER_STEP_DIGITS, "step", "loss", "errors",
             "weights digest");
}

bool ledger_format(char line[LEDGER_LINE_BYTES + 1], uint64_t step, const struct ledger_row *row)
{
    char wide[2 * LEDGER_LINE_BYTES];
    int length = snprintf(wide, sizeof wide, "%*" PRIu64 " %15.8e %6" PRIu32 " %016" PRIx64 "%016" PRIx64 "\n",
                          LEDGER_STEP_DIGITS, step, (double)row->loss, row->errors, row->digest[0], row->digest[1]);
    memcpy(line, wide, LEDGER_LINE_BYTES);
    line[LEDGER_LINE_BYTES] = '\0';
    return length == LEDGER_LINE_BYTES;
}

/* A line is good if it says what we would have written for the values that are read out of it. */
static int parse_line(const char *line, uint64_t step, struct ledger_row *row)
{
    char again[LEDGER_LINE_BYTES + 1];
    uint64_t read_step;
    if (sscanf(line, "%" SCNu64 " %f %" SCNu32 " %16" SCNx64 "%16" SCNx64, &read_step, &row->loss, &row->errors,
               &row->digest[0], &row->digest[1]) != 5)
        return 0;
    return ledger_format(again, step, row) && memcmp(line, again, LEDGER_LINE_BYTES) == 0;
}

enum status ledger_read(const char *path, size_t limit, struct ledger_row **rows, size_t *steps, size_t *torn,
                        struct error *error)
{
    char *text, heading[LEDGER_LINE_BYTES + 1];
    size_t bytes;
    *rows = NULL;
    *steps = *torn = 0;
    if (!file_exists(path))
        return STATUS_OK;
    enum status status = file_read(path, LEDGER_FILE_LIMIT, &text, &bytes, error);
    if (status != STATUS_OK)
        return status;
    size_t good = strnlen(text, bytes);
    size_t lines = good / LEDGER_LINE_BYTES;
    *torn = bytes - lines * LEDGER_LINE_BYTES;
    ledger_heading(heading);
    if (memcmp(text, heading, lines > 0 ? LEDGER_LINE_BYTES : good) != 0) {
        status = error_set(error, STATUS_INPUT, "%s:1: this is not a step ledger's heading", path);
        goto out;
    }
    if (lines <= 1)
        goto out;
    size_t count = lines - 1 < limit ? lines - 1 : limit;
    *rows = calloc(count > 0 ? count : 1, sizeof **rows);
    if (*rows == NULL) {
        status = error_out_of_memory(error, "the %zu steps of %s", count, path);
        goto out;
    }
    for (size_t step = 0; step < count; step++) {
        char line[LEDGER_LINE_BYTES + 1] = "";
        memcpy(line, text + (step + 1) * LEDGER_LINE_BYTES, LEDGER_LINE_BYTES);
        if (!parse_line(line, step, &(*rows)[step])) {
            line[LEDGER_LINE_BYTES - 1] = '\0';
            status = error_set(error, STATUS_INPUT, "%s:%zu: this is not the line of step %zu: %s", path, step + 2,
                               step, line);
            free(*rows);
            *rows = NULL;
            goto out;
        }
    }
    *steps = count;
out:
    free(text);
    return status;
}
