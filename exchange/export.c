#include "exchange/export.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct export_format export_formats[] = {
    { "tensorboard", "FOLDER", false, false, export_tensorboard },
    { "csv", "FOLDER", false, false, export_csv },
    { "trackio", "FOLDER", false, false, export_trackio },
    { "model-card", "FILE", true, true, export_model_card },
    { "ro-crate", "FOLDER", false, true, export_ro_crate },
    { "mllog", "FOLDER", false, true, export_mllog },
    { "croissant", "FILE", true, false, export_croissant },
    { NULL, NULL, false, false, NULL },
};

enum status export_may_write(const struct export_job *job, const char *path, struct error *error)
{
    if (!file_exists(path) || job->force)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT, "%s exists: give another name, or --force to replace it", path);
}

enum status export_file(const struct export_job *job, const char *path, const void *data, size_t bytes,
                        struct error *error)
{
    char folder[FILE_PATH_BYTES];
    enum status status = file_path(folder, error, "%s", path);
    char *slash = status == STATUS_OK ? strrchr(folder, '/') : NULL;
    if (status == STATUS_OK)
        status = export_may_write(job, path, error);
    if (status != STATUS_OK)
        return status;
    if (slash != NULL && slash != folder) {
        *slash = '\0';
        status = file_make_folders(folder, error);
    }
    if (status == STATUS_OK)
        status = file_write(path, data, bytes, error);
    if (status == STATUS_OK && job->written != NULL)
        job->written(path);
    return status;
}

const struct export_run_file export_run_files[EXPORT_RUN_FILES] = {
    { RECORD_MANIFEST_FILE, "the experiment: data, network, training and seed, every default filled in",
      "application/yaml" },
    { RECORD_FILE, "state, result, machine, program and digests", "application/json" },
    { METRICS_FILE, "a line for each epoch: losses, errors, digests", "application/jsonl" },
    { LEDGER_FILE, "a line for each training step: loss, errors, digest of the weights", "text/plain" },
    { LEDGER_GZIP_FILE, "a line for each training step: loss, errors, digest of the weights", "application/gzip" },
    { RECORD_WEIGHTS_FILE, "the weights after the last whole epoch", "application/octet-stream" },
};

const char *export_dataset_name(const struct record *record)
{
    return record->manifest.dataset_kind == DATASET_CIFAR10 ? "CIFAR-10" : "the data set that selfsame draws";
}

double export_seconds(const char *time)
{
    struct tm utc = { .tm_year = 0 };
    const char *end = time != NULL ? strptime(time, "%Y-%m-%dT%H:%M:%SZ", &utc) : NULL;
    return end != NULL && *end == '\0' ? (double)timegm(&utc) : 0.0;
}

void export_points(const struct record *record, bool (*visit)(void *context, const struct export_point *point),
                   void *context)
{
    double began = export_seconds(record->facts.time_started), per_step = 0.0;
    uint64_t step = 0;
    for (size_t epoch = 0; epoch <= record->epochs; epoch++) {
        const struct metrics_row *row = epoch < record->epochs ? &record->metrics[epoch] : NULL;
        const uint64_t first = step, end = row == NULL                        ? record->steps
                                           : row->end_step != METRICS_MISSING ? row->end_step
                                                                              : step;
        if (row != NULL && isfinite(row->training_seconds) && end > first)
            per_step = row->training_seconds / (double)(end - first);
        for (; step < end && step < record->steps; step++) {
            const struct export_point point = { .time_s = began + per_step * (double)(step - first + 1),
                                                .number = step,
                                                .step = &record->ledger[step] };
            if (!visit(context, &point))
                return;
        }
        if (row == NULL)
            return;
        step = end;
        began += isfinite(row->training_seconds) ? row->training_seconds : 0.0;
        began += isfinite(row->validation_seconds) ? row->validation_seconds : 0.0;
        const struct export_point point = { .time_s = began, .number = epoch + 1, .row = row };
        if (!visit(context, &point))
            return;
    }
}

bool export_is_curve(const struct metrics_column *column)
{
    return column->type == METRICS_REAL || strcmp(column->name, "end_step") == 0 ||
           strcmp(column->name, "validation_errors") == 0;
}

double export_accuracy(const struct metrics_row *row)
{
    const double images = (double)row->validation_images;
    if (metrics_is_imported(row))
        return 1.0 - row->validation_error / 100.0;
    return (images - (double)row->validation_errors) / images;
}

enum status export_parameters(const struct record *record,
                              void (*visit)(void *context, const char *key, const char *value), void *context,
                              struct error *error)
{
    char number[32];
    char *lines = strdup(record->manifest.experiment), *rest = NULL;
    if (lines == NULL)
        return error_out_of_memory(error, "the settings of %s", record->shown);
    for (char *line = strtok_r(lines, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *equals = strchr(line, '=');
        if (equals == NULL || strncmp(line, "arithmetic=", 11) == 0)
            continue;
        *equals = '\0';
        visit(context, line, equals + 1);
    }
    free(lines);
    visit(context, "arithmetic", record->facts.arithmetic);
    snprintf(number, sizeof number, "%" PRIu64, record->facts.seed);
    visit(context, "training.seed", number);
    return STATUS_OK;
}
