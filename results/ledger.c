#include "results/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fetch/gunzip.h"
#include "trainer/engine.h"

enum { LEDGER_STEP_DIGITS = 10, LEDGER_LOSS_DIGITS = 15, LEDGER_ERROR_DIGITS = 6 };
static const size_t LEDGER_FILE_LIMIT = (size_t)1 << 32;

void ledger_heading(char line[LEDGER_LINE_BYTES + 1])
{
    snprintf(line, LEDGER_LINE_BYTES + 1, "%*s %*s %*s %32s\n", LEDGER_STEP_DIGITS, "step", LEDGER_LOSS_DIGITS, "loss",
             LEDGER_ERROR_DIGITS, "errors", "weights digest");
}

bool ledger_format(char line[LEDGER_LINE_BYTES + 1], uint64_t step, const struct ledger_row *row)
{
    char wide[2 * LEDGER_LINE_BYTES];
    int length = snprintf(wide, sizeof wide, "%*" PRIu64 " %*.8e %*" PRIu32 " %016" PRIx64 "%016" PRIx64 "\n",
                          LEDGER_STEP_DIGITS, step, LEDGER_LOSS_DIGITS, (double)row->loss, LEDGER_ERROR_DIGITS,
                          row->errors, row->digest[0], row->digest[1]);
    memcpy(line, wide, LEDGER_LINE_BYTES);
    line[LEDGER_LINE_BYTES] = '\0';
    return length == LEDGER_LINE_BYTES;
}

/* The number in a column, right-aligned, without leading zeros. */
static bool parse_integer(const char *column, size_t width, uint64_t *number)
{
    size_t i = 0;
    while (i + 1 < width && column[i] == ' ')
        i++;
    if (column[i] == '0' && i + 1 < width)
        return false;
    for (*number = 0; i < width; i++) {
        if (column[i] < '0' || column[i] > '9')
            return false;
        *number = 10 * *number + (uint64_t)(column[i] - '0');
    }
    return true;
}

static bool parse_hex(const char *digits, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < 16; i++) {
        const char digit = digits[i];
        const bool decimal = digit >= '0' && digit <= '9';
        if (!decimal && (digit < 'a' || digit > 'f'))
            return false;
        *number = *number << 4 | (uint64_t)(decimal ? digit - '0' : digit - 'a' + 10);
    }
    return true;
}

/* A loss is good if it is written as we would write it. */
static bool parse_loss(const char column[LEDGER_LOSS_DIGITS], float *loss)
{
    char text[LEDGER_LOSS_DIGITS + 1], again[32];
    memcpy(text, column, LEDGER_LOSS_DIGITS);
    text[LEDGER_LOSS_DIGITS] = '\0';
    *loss = strtof(text, NULL);
    snprintf(again, sizeof again, "%*.8e", LEDGER_LOSS_DIGITS, (double)*loss);
    return strcmp(text, again) == 0;
}

/* Only what ledger_format would have written is a line. */
static bool parse_line(const char *line, uint64_t step, struct ledger_row *row)
{
    enum {
        LOSS = LEDGER_STEP_DIGITS + 1,
        ERRORS = LOSS + LEDGER_LOSS_DIGITS + 1,
        DIGEST = ERRORS + LEDGER_ERROR_DIGITS + 1
    };
    uint64_t said_step, errors;
    if (!parse_integer(line, LEDGER_STEP_DIGITS, &said_step) || said_step != step || line[LOSS - 1] != ' ' ||
        !parse_loss(line + LOSS, &row->loss) || line[ERRORS - 1] != ' ' ||
        !parse_integer(line + ERRORS, LEDGER_ERROR_DIGITS, &errors) || line[DIGEST - 1] != ' ')
        return false;
    row->errors = (uint32_t)errors;
    return parse_hex(line + DIGEST, &row->digest[0]) && parse_hex(line + DIGEST + 16, &row->digest[1]) &&
           line[LEDGER_LINE_BYTES - 1] == '\n';
}

bool ledger_parse(const char *line, uint64_t step, struct ledger_row *row)
{
    char whole[LEDGER_LINE_BYTES + 1];
    size_t length = strcspn(line, "\n");
    if (length != LEDGER_LINE_BYTES - 1)
        return false;
    memcpy(whole, line, length);
    whole[length] = '\n';
    whole[length + 1] = '\0';
    return parse_line(whole, step, row);
}

struct ledger_row ledger_row_of(const struct step_result *result)
{
    return (struct ledger_row){ .loss = result->loss,
                                .errors = result->errors,
                                .digest = { result->digest[0], result->digest[1] } };
}

/* Losses by their bits, so that -0 and +0 differ and equal NaNs do not. */
const char *ledger_difference(const struct ledger_row *a, const struct ledger_row *b)
{
    if (memcmp(&a->loss, &b->loss, sizeof a->loss) != 0)
        return "loss";
    if (a->errors != b->errors)
        return "errors in the batch";
    return memcmp(a->digest, b->digest, sizeof a->digest) != 0 ? "weights after it" : NULL;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A gzip file's text, followed by a NUL: all of it (*whole), or the first `limit` bytes. */
static enum status read_gzip(const char *path, size_t limit, char **text, size_t *bytes, bool *whole,
                             struct error *error)
{
    struct gunzip *gunzip;
    size_t room = 0;
    assert(limit > 0);
    *text = NULL;
    *bytes = 0;
    enum status status = gunzip_open(&gunzip, path, LEDGER_FILE_LIMIT, error);
    for (size_t got = 1; status == STATUS_OK && got > 0 && *bytes < limit; *bytes += got) {
        const void *data;
        status = gunzip_next(gunzip, &data, &got, error);
        if (status != STATUS_OK)
            break;
        if (*bytes + got >= room) {
            room = 2 * room + got + 1;
            char *more = realloc(*text, room);
            if (more == NULL) {
                status = error_out_of_memory(error, "what %s unfolds to", path);
                break;
            }
            *text = more;
        }
        memcpy(*text + *bytes, data, got);
    }
    gunzip_close(gunzip);
    if (status == STATUS_OK) {
        *whole = *bytes < limit;
        *bytes = text_unify(*text, *whole ? *bytes : limit);
    } else {
        free(*text);
        *text = NULL;
    }
    return status;
}

static enum status parse_lines(const char *text, size_t bytes, size_t limit, struct ledger_lines *lines,
                               struct error *error)
{
    char heading[LEDGER_LINE_BYTES + 1];
    const size_t good = strnlen(text, bytes), whole = good / LEDGER_LINE_BYTES;
    lines->torn = bytes - whole * LEDGER_LINE_BYTES;
    ledger_heading(heading);
    if (memcmp(text, heading, whole > 0 ? LEDGER_LINE_BYTES : good) != 0)
        return error_set(error, STATUS_INPUT, "%s:1: this is not a step ledger's heading", lines->path);
    if (whole <= 1)
        return STATUS_OK;
    const size_t count = whole - 1 < limit ? whole - 1 : limit;
    lines->rows = calloc(count > 0 ? count : 1, sizeof *lines->rows);
    if (lines->rows == NULL)
        return error_out_of_memory(error, "the %zu steps of %s", count, lines->path);
    for (size_t step = 0; step < count; step++) {
        const char *line = text + (step + 1) * LEDGER_LINE_BYTES;
        if (!parse_line(line, step, &lines->rows[step]))
            return error_set(
                error, STATUS_INPUT, "%s:%zu: this is not the line of step %zu: %.*s", lines->path, step + 2, step,
                (int)strcspn(line, "\n") < LEDGER_LINE_BYTES ? (int)strcspn(line, "\n") : LEDGER_LINE_BYTES - 1, line);
    }
    lines->steps = count;
    return STATUS_OK;
}

enum status ledger_read(const char *folder, size_t limit, struct ledger_lines *lines, struct error *error)
{
    char *text = NULL;
    bool whole = true;
    size_t bytes = 0, bytes_limit = LEDGER_FILE_LIMIT;
    *lines = (struct ledger_lines){ .steps = 0 };
    if (limit < LEDGER_FILE_LIMIT / (LEDGER_LINE_BYTES + 1) - 2)
        bytes_limit = (limit + 2) * (LEDGER_LINE_BYTES + 1); /* a line more, each with a carriage return */
    enum status status = file_path(lines->path, error, "%s/%s", folder, LEDGER_FILE);
    if (status == STATUS_OK && file_exists(lines->path)) {
        status = file_read_text(lines->path, LEDGER_FILE_LIMIT, &text, &bytes, &lines->changed, error);
    } else {
        if (status == STATUS_OK)
            status = file_path(lines->path, error, "%s/%s", folder, LEDGER_GZIP_FILE);
        if (status != STATUS_OK || !file_exists(lines->path))
            return status;
        lines->changed = true;
        status = read_gzip(lines->path, bytes_limit, &text, &bytes, &whole, error);
    }
    if (status == STATUS_OK && bytes % LEDGER_LINE_BYTES == LEDGER_LINE_BYTES - 1) {
        text[bytes++] = '\n'; /* an editor took the last one away; in the place of the NUL */
        lines->changed = true;
    }
    if (status == STATUS_OK)
        status = parse_lines(text, bytes, limit, lines, error);
    if (!whole)
        lines->torn = 0; /* it was not read to its end */
    free(text);
    if (status != STATUS_OK)
        ledger_free(lines);
    return status;
}

enum status ledger_write(const char *folder, const struct ledger_row *rows, size_t steps, struct error *error)
{
    char path[FILE_PATH_BYTES];
    char *text = malloc((steps + 1) * LEDGER_LINE_BYTES + 1);
    if (text == NULL)
        return error_out_of_memory(error, "the ledger of %s", folder);
    ledger_heading(text);
    for (size_t step = 0; step < steps; step++)
        (void)ledger_format(text + (step + 1) * LEDGER_LINE_BYTES, step, &rows[step]);
    enum status status = file_path(path, error, "%s/%s", folder, LEDGER_FILE);
    if (status == STATUS_OK)
        status = file_write(path, text, (steps + 1) * LEDGER_LINE_BYTES, error);
    free(text);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/%s", folder, LEDGER_GZIP_FILE);
    return status == STATUS_OK ? file_remove(path, error) : status;
}

void ledger_free(struct ledger_lines *lines)
{
    free(lines->rows);
    lines->rows = NULL;
    lines->steps = 0;
}

const char *ledger_name(const struct ledger_lines *lines)
{
    const char *slash = strrchr(lines->path, '/');
    return slash != NULL ? slash + 1 : LEDGER_FILE;
}
