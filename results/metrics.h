/* The epochs of a run: `metrics.jsonl`, one JSON object a line, in order from epoch 0. One table (metrics_columns) has
 * the keys, for the writer, the reader, the views and the exports.
 *
 * imported   A line of a run of another tool (results/imported.h) has no digests: they are null. In such a line each
 *            number but the epoch may be null, which is NaN or METRICS_MISSING in memory. In any other line a null is
 *            an error. */
#ifndef SELFSAME_METRICS_H
#define SELFSAME_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define METRICS_FILE "metrics.jsonl"
#define METRICS_MISSING UINT64_MAX

struct metrics_row {
    uint64_t epoch, end_step;
    double learning_rate; /* of the epoch's last step: a binary32 */
    double training_loss, training_error, validation_loss, validation_error;
    uint64_t validation_errors, validation_images;
    double training_seconds, validation_seconds, images_per_second;
    char weights_sha256[DIGEST_HEX_BYTES], chain_sha256[DIGEST_HEX_BYTES]; /* "" in an imported run */
};

enum metrics_type { METRICS_INTEGER, METRICS_REAL, METRICS_DIGEST }; /* uint64_t, double, char[65] */

/* What a column follows from: the same on every exact engine for one experiment, for one experiment and one validation
 * set, or never. */
enum metrics_dependence { METRICS_TRAINING, METRICS_VALIDATION, METRICS_MACHINE };

struct metrics_column {
    const char *name;
    enum metrics_type type;
    size_t offset; /* in struct metrics_row */
    enum metrics_dependence depends;
    const char *unit; /* "" without one */
    const char *help;
};

extern const struct metrics_column metrics_columns[];
extern const size_t metrics_column_count;

/* A number of a row; NaN if it is missing, and for a digest. */
double metrics_value(const struct metrics_row *row, const struct metrics_column *column);
/* A row of an imported run in which everything but the epoch is missing. */
void metrics_clear(struct metrics_row *row, uint64_t epoch);
bool metrics_is_imported(const struct metrics_row *row);

/* One line with its newline; the caller frees it. */
enum status metrics_format(const struct metrics_row *row, char **line, struct error *error) MUST_USE;

/* The whole lines of a file. */
struct metrics_lines {
    struct metrics_row *rows; /* [epochs] */
    size_t epochs;
    char *text;   /* of them, each ended by a line feed alone */
    size_t *ends; /* [epochs]: the byte of the text after each line */
    size_t torn;  /* bytes of an unfinished last line that was left out; 0: none */
    bool changed; /* the file's own bytes are not those of text: a byte order mark, carriage returns, no last newline */
};

/* Reads a file. Anything but an unfinished end that does not fit is STATUS_INPUT, naming the file and line. Unknown
 * keys are skipped: a later version may have more. A missing file is one without epochs. */
enum status metrics_read(const char *path, struct metrics_lines *lines, struct error *error) MUST_USE;
void metrics_free(struct metrics_lines *lines);

#endif
