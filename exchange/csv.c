/* csv: the epochs of a run as a table, in a file of the run's name. The column "step" counts the epochs that are done,
 * and "timestamp" says when, so that Trackio's import_csv takes the file as it is. A number has all its digits. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "exchange/export.h"

static void write_heading(FILE *file)
{
    fputs("step,timestamp", file);
    for (size_t c = 0; c < metrics_column_count; c++) {
        if (export_is_curve(&metrics_columns[c]))
            fprintf(file, ",%s", metrics_columns[c].name);
    }
    fputs("\r\n", file); /* RFC 4180 */
}

static bool write_epoch(void *context, const struct export_point *point)
{
    FILE *file = context;
    const time_t second = (time_t)point->time_s;
    struct tm utc;
    char text[32] = "";
    if (point->row == NULL)
        return true;
    if (gmtime_r(&second, &utc) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    fprintf(file, "%" PRIu64 ",%s", point->number, text);
    for (size_t c = 0; c < metrics_column_count; c++) {
        if (!export_is_curve(&metrics_columns[c]))
            continue;
        const double value = export_value(point->row, &metrics_columns[c]);
        fputc(',', file);
        if (isfinite(value)) /* else the cell is empty */
            fprintf(file, "%.17g", value);
    }
    return fputs("\r\n", file) >= 0;
}

static enum status write_run(const struct export_job *job, const struct record *record, struct error *error)
{
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL)
        return error_out_of_memory(error, "the table of %s", record->shown);
    write_heading(file);
    export_points(record, write_epoch, file);
    enum status status = fclose(file) == 0 ? file_path(path, error, "%s/%s.csv", job->out, record->name)
                                           : error_out_of_memory(error, "the table of %s", record->shown);
    if (status == STATUS_OK)
        status = export_file(job, path, text, bytes, error);
    free(text);
    return status;
}

enum status export_csv(const struct export_job *job, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < job->count && status == STATUS_OK; i++)
        status = write_run(job, job->records[i], error);
    return status;
}
