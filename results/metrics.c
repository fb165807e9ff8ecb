#include "results/metrics.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* clang-format off */
#define COLUMN(name, type, depends, unit, help) { #name, type, offsetof(struct metrics_row, name), depends, unit, help }
/* clang-format on */

const struct metrics_column metrics_columns[] = {
    COLUMN(epoch, METRICS_INTEGER, METRICS_TRAINING, "", "counted from 0"),
    COLUMN(end_step, METRICS_INTEGER, METRICS_TRAINING, "steps", "training steps done after it"),
    COLUMN(learning_rate, METRICS_REAL, METRICS_TRAINING, "", "of its last step"),
    COLUMN(training_loss, METRICS_REAL, METRICS_TRAINING, "",
           "mean cross entropy over its batches, each before its step"),
    COLUMN(training_error, METRICS_REAL, METRICS_TRAINING, "%", "wrong in its batches, each before its step"),
    COLUMN(validation_loss, METRICS_REAL, METRICS_VALIDATION, "",
           "mean cross entropy over the validation set, after it"),
    COLUMN(validation_error, METRICS_REAL, METRICS_VALIDATION, "%", "wrong in the validation set, after it"),
    COLUMN(validation_errors, METRICS_INTEGER, METRICS_VALIDATION, "images", "wrong in the validation set, after it"),
    COLUMN(validation_images, METRICS_INTEGER, METRICS_VALIDATION, "images", "in the validation set"),
    COLUMN(training_seconds, METRICS_REAL, METRICS_MACHINE, "s", "wall time of its training steps"),
    COLUMN(validation_seconds, METRICS_REAL, METRICS_MACHINE, "s", "wall time of its evaluation"),
    COLUMN(images_per_second, METRICS_REAL, METRICS_MACHINE, "images/s", "while training"),
    COLUMN(weights_sha256, METRICS_DIGEST, METRICS_TRAINING, "", "digest of the weights after it"),
    COLUMN(chain_sha256, METRICS_DIGEST, METRICS_TRAINING, "",
           "digest of all epochs up to it, their weights and their ledger"),
};
const size_t metrics_column_count = sizeof metrics_columns / sizeof *metrics_columns;

static const size_t METRICS_FILE_LIMIT = (size_t)1 << 28;

double metrics_value(const struct metrics_row *row, const struct metrics_column *column)
{
    const void *value = (const char *)row + column->offset;
    if (column->type == METRICS_REAL)
        return *(const double *)value;
    if (column->type != METRICS_INTEGER || *(const uint64_t *)value == METRICS_MISSING)
        return NAN;
    return (double)*(const uint64_t *)value;
}

bool metrics_is_imported(const struct metrics_row *row)
{
    return row->weights_sha256[0] == '\0';
}

static void clear_column(struct metrics_row *row, const struct metrics_column *column)
{
    void *value = (char *)row + column->offset;
    switch (column->type) {
    case METRICS_INTEGER:
        *(uint64_t *)value = METRICS_MISSING;
        break;
    case METRICS_REAL:
        *(double *)value = NAN;
        break;
    case METRICS_DIGEST:
        *(char *)value = '\0';
        break;
    }
}

void metrics_clear(struct metrics_row *row, uint64_t epoch)
{
    for (size_t i = 0; i < metrics_column_count; i++)
        clear_column(row, &metrics_columns[i]);
    row->epoch = epoch;
}

/* NULL if there is no JSON for the value. */
static json_t *json_of(const struct metrics_row *row, const struct metrics_column *column)
{
    const void *value = (const char *)row + column->offset;
    if (column->type == METRICS_DIGEST)
        return metrics_is_imported(row) ? json_null() : json_string(value);
    if (metrics_is_imported(row) && isnan(metrics_value(row, column)))
        return json_null();
    return column->type == METRICS_REAL ? json_real(*(const double *)value)
                                        : json_integer((json_int_t) * (const uint64_t *)value);
}

enum status metrics_format(const struct metrics_row *row, char **line, struct error *error)
{
    json_t *object = json_object();
    int failed = object == NULL;
    for (size_t i = 0; i < metrics_column_count; i++)
        failed |= json_object_set_new(object, metrics_columns[i].name, json_of(row, &metrics_columns[i]));
    char *text = failed ? NULL : json_dumps(object, JSON_REAL_PRECISION(17));
    json_decref(object);
    *line = text != NULL ? malloc(strlen(text) + 2) : NULL;
    if (*line != NULL)
        memcpy(stpcpy(*line, text), "\n", 2);
    free(text);
    if (*line == NULL)
        return error_set(error, STATUS_ENVIRONMENT,
                         "cannot record epoch %" PRIu64 ": a number is not finite, or there is not enough memory",
                         row->epoch);
    return STATUS_OK;
}

/* NULL, or what is wrong with the column. */
static const char *read_column(const json_t *object, const struct metrics_column *column, bool imported,
                               struct metrics_row *row)
{
    const json_t *value = json_object_get(object, column->name);
    void *field = (char *)row + column->offset;
    uint8_t digest[DIGEST_BYTES];
    if (value == NULL)
        return "is missing";
    if (imported && json_is_null(value) && field != &row->epoch) {
        clear_column(row, column);
        return NULL;
    }
    if (imported && column->type == METRICS_DIGEST)
        return "is not null, but another digest of the line is";
    switch (column->type) {
    case METRICS_INTEGER:
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return "is not a whole number";
        *(uint64_t *)field = (uint64_t)json_integer_value(value);
        break;
    case METRICS_REAL:
        if (!json_is_number(value))
            return "is not a number";
        *(double *)field = json_number_value(value);
        break;
    case METRICS_DIGEST:
        if (!json_is_string(value) || !digest_from_hex(json_string_value(value), digest))
            return "is not a digest of 64 digits";
        digest_to_hex(digest, field);
        break;
    }
    return NULL;
}

static enum status parse_line(const char *path, size_t number, const char *line, size_t bytes, struct metrics_row *row,
                              struct error *error)
{
    json_error_t where;
    json_t *object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &where);
    if (object == NULL)
        return error_set(error, STATUS_INPUT, "%s:%zu: %s", path, number, where.text);
    const bool imported = json_is_null(json_object_get(object, "weights_sha256"));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < metrics_column_count && status == STATUS_OK; i++) {
        const char *wrong = read_column(object, &metrics_columns[i], imported, row);
        if (wrong != NULL)
            status = error_set(error, STATUS_INPUT, "%s:%zu: \"%s\" %s", path, number, metrics_columns[i].name, wrong);
    }
    if (status == STATUS_OK && row->epoch != number - 1)
        status = error_set(error, STATUS_INPUT, "%s:%zu: this is epoch %" PRIu64 ", where epoch %zu should be", path,
                           number, row->epoch, number - 1);
    json_decref(object);
    return status;
}

/* What follows the last newline counts if it is a whole line: editors take the last newline away. Else it is what a
 * killed process or a power cut left. */
static bool ends_in_line(const char *path, size_t number, const char *end, size_t bytes)
{
    struct metrics_row row;
    struct error ignored;
    return bytes > 0 && parse_line(path, number, end, bytes, &row, &ignored) == STATUS_OK;
}

static enum status parse_lines(const char *path, size_t count, struct metrics_lines *lines, struct error *error)
{
    const char *line = lines->text;
    uint64_t steps = 0; /* done, as far as the lines say */
    for (size_t i = 0; i < count; i++) {
        const char *newline = strchr(line, '\n');
        struct metrics_row *row = &lines->rows[i];
        enum status status = parse_line(path, i + 1, line, (size_t)(newline - line), row, error);
        if (status == STATUS_OK && row->end_step <= steps)
            status = error_set(error, STATUS_INPUT, "%s:%zu: \"end_step\" does not rise", path, i + 1);
        if (status != STATUS_OK)
            return status;
        if (row->end_step != METRICS_MISSING)
            steps = row->end_step;
        line = newline + 1;
        lines->ends[i] = (size_t)(line - lines->text);
    }
    lines->epochs = count;
    return STATUS_OK;
}

enum status metrics_read(const char *path, struct metrics_lines *lines, struct error *error)
{
    size_t bytes, good, count = 0;
    *lines = (struct metrics_lines){ .epochs = 0 };
    if (!file_exists(path))
        return STATUS_OK;
    enum status status = file_read_text(path, METRICS_FILE_LIMIT, &lines->text, &bytes, &lines->changed, error);
    if (status != STATUS_OK)
        return status;
    for (good = strnlen(lines->text, bytes); good > 0 && lines->text[good - 1] != '\n';)
        good--;
    for (size_t i = 0; i < good; i++)
        count += lines->text[i] == '\n';
    if (ends_in_line(path, count + 1, lines->text + good, bytes - good)) {
        lines->text[bytes] = '\n'; /* in the place of the NUL that ends what was read: nothing looks beyond it */
        lines->changed = true;
        count++;
    } else {
        lines->torn = bytes - good;
    }
    lines->rows = calloc(count + 1, sizeof *lines->rows);
    lines->ends = calloc(count + 1, sizeof *lines->ends);
    if (lines->rows != NULL && lines->ends != NULL)
        status = parse_lines(path, count, lines, error);
    else
        status = error_out_of_memory(error, "the %zu epochs of %s", count, path);
    if (status != STATUS_OK)
        metrics_free(lines);
    return status;
}

void metrics_free(struct metrics_lines *lines)
{
    free(lines->rows);
    free(lines->text);
    free(lines->ends);
    *lines = (struct metrics_lines){ .epochs = 0 };
}
