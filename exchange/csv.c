/* Tables: a file for each run, NAME.csv, with a row for each epoch. The column "step" counts the epochs that are done,
 * and "timestamp" says when. A number has all its digits. What an imported run does not have is an empty cell.
 *
 * csv      all columns of metrics.jsonl, for a spreadsheet, a script or selfsame import
 * trackio  the curves, for Trackio's import_csv: it keeps ten letters and digits of a name, so they have short ones */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/export.h"
#include "exchange/import_source.h"

/* A table under way. */
struct csv_writer {
    FILE *file;
    bool trackio;
};

static bool is_shown(const struct csv_writer *writer, const struct metrics_column *column)
{
    return !writer->trackio || export_is_curve(column);
}

static const char *name_of(const struct csv_writer *writer, const struct metrics_column *column)
{
    static const struct {
        const char *metric, *name;
    } names[] = {
        { "end_step", "endstep" },           { "learning_rate", "lr" },
        { "training_loss", "trainloss" },    { "training_error", "trainerror" },
        { "validation_loss", "valloss" },    { "validation_error", "valerror" },
        { "validation_errors", "valwrong" }, { "training_seconds", "trainsecs" },
        { "validation_seconds", "valsecs" }, { "images_per_second", "imgpersec" },
    };
    for (size_t i = 0; writer->trackio && i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].metric, column->name) == 0)
            return names[i].name;
    }
    return column->name;
}

static void write_heading(const struct csv_writer *writer)
{
    fputs("step,timestamp", writer->file);
    for (size_t c = 0; c < metrics_column_count; c++) {
        if (is_shown(writer, &metrics_columns[c]))
            fprintf(writer->file, ",%s", name_of(writer, &metrics_columns[c]));
    }
    fputs("\r\n", writer->file); /* RFC 4180 */
}

static void write_cell(FILE *file, const struct metrics_row *row, const struct metrics_column *column)
{
    const void *value = (const char *)row + column->offset;
    if (column->type == METRICS_DIGEST)
        fputs(value, file);
    else if (!isnan(metrics_value(row, column)) && column->type == METRICS_INTEGER)
        fprintf(file, "%" PRIu64, *(const uint64_t *)value);
    else if (!isnan(metrics_value(row, column)))
        fprintf(file, "%.17g", *(const double *)value);
}

static bool write_row(void *context, const struct export_point *point)
{
    const struct csv_writer *writer = context;
    char time[IMPORT_TIME_BYTES];
    if (point->row == NULL)
        return true;
    import_time(point->time_s, time);
    fprintf(writer->file, "%" PRIu64 ",%s", point->number, time);
    for (size_t c = 0; c < metrics_column_count; c++) {
        if (!is_shown(writer, &metrics_columns[c]))
            continue;
        fputc(',', writer->file);
        write_cell(writer->file, point->row, &metrics_columns[c]);
    }
    return fputs("\r\n", writer->file) >= 0;
}

static enum status write_run(const struct export_job *job, const struct record *record, bool trackio,
                             struct error *error)
{
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes;
    struct csv_writer writer = { .file = open_memstream(&text, &bytes), .trackio = trackio };
    if (writer.file == NULL)
        return error_out_of_memory(error, "the epochs of %s", record->shown);
    write_heading(&writer);
    export_points(record, write_row, &writer);
    const bool good = ferror(writer.file) == 0;
    enum status status = fclose(writer.file) == 0 && good
                             ? file_path(path, error, "%s/%s.csv", job->out, record->name)
                             : error_out_of_memory(error, "the epochs of %s", record->shown);
    if (status == STATUS_OK)
        status = export_file(job, path, text, bytes, error);
    free(text);
    return status;
}

static enum status write_runs(const struct export_job *job, bool trackio, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < job->count && status == STATUS_OK; i++)
        status = write_run(job, job->records[i], trackio, error);
    return status;
}

enum status export_csv(const struct export_job *job, struct error *error)
{
    return write_runs(job, false, error);
}

enum status export_trackio(const struct export_job *job, struct error *error)
{
    return write_runs(job, true, error);
}
