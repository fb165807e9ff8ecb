#include "results/imported.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool imported_is(const struct record *record)
{
    return record->facts.state == RECORD_IMPORTED;
}

const char *imported_arithmetic(const struct record *record)
{
    return imported_is(record) ? "imported" : record->facts.arithmetic;
}

void imported_origin(const struct record *record, char text[IMPORTED_ORIGIN_BYTES])
{
    snprintf(text, IMPORTED_ORIGIN_BYTES, "%.100s, from %.400s", record->facts.imported.tool,
             record->facts.imported.source);
}

enum status imported_refuse(const struct record *record, const char *what, struct error *error)
{
    char origin[IMPORTED_ORIGIN_BYTES];
    if (!imported_is(record))
        return STATUS_OK;
    imported_origin(record, origin);
    return error_set(error, STATUS_INPUT,
                     "%s was imported (%s): selfsame did not compute it, so there are no weights and no ledger, and "
                     "nothing to %s",
                     record->shown, origin, what);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

static enum status wrong_line(const struct record *record, const struct metrics_row *row, const char *what,
                              struct error *error)
{
    return error_set(error, STATUS_INPUT, "%s/%s:%" PRIu64 ": %s", record->path, METRICS_FILE, row->epoch + 1, what);
}

static enum status check_row(const struct record *record, const struct metrics_row *row, struct error *error)
{
    const double percentages[] = { row->training_error, row->validation_error },
                 others[] = { row->learning_rate,    row->training_loss,      row->validation_loss,
                              row->training_seconds, row->validation_seconds, row->images_per_second };
    if (!metrics_is_imported(row))
        return wrong_line(record, row, "the run was imported, but the line has a digest of weights", error);
    for (size_t i = 0; i < sizeof percentages / sizeof *percentages; i++) {
        if (percentages[i] < 0.0 || percentages[i] > 100.0)
            return wrong_line(record, row, "an error is not between 0 and 100 percent", error);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (isinf(others[i]))
            return wrong_line(record, row, "a number is not finite", error);
    }
    if (row->validation_errors != METRICS_MISSING && row->validation_images != METRICS_MISSING &&
        row->validation_errors > row->validation_images)
        return wrong_line(record, row, "there are more validation errors than images", error);
    return STATUS_OK;
}

/* What only selfsame writes. */
static enum status check_files(const struct record *record, struct error *error)
{
    static const char *const names[] = { LEDGER_FILE, LEDGER_GZIP_FILE, RECORD_WEIGHTS_FILE, RECORD_CHECKPOINTS_FOLDER,
                                         RECORD_ATTESTATIONS_FOLDER };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[FILE_PATH_BYTES];
        enum status status = file_path(path, error, "%s/%s", record->path, names[i]);
        if (status == STATUS_OK && file_exists(path))
            status = error_set(error, STATUS_INPUT, "%s: the run was imported, but there is %s, which it cannot have",
                               record->path, names[i]);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status imported_check(const struct record *record, struct error *error)
{
    enum status status = check_files(record, error);
    if (status == STATUS_OK && (record->facts.exact || record->facts.claims[0] != NULL))
        status = error_set(error, STATUS_INPUT, "%s/%s: the run was imported, but the record says that its bits repeat",
                           record->path, RECORD_FILE);
    for (size_t i = 0; i < record->epochs && status == STATUS_OK; i++)
        status = check_row(record, &record->metrics[i], error);
    return status;
}
