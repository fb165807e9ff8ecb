/* mllog: the log of a run as MLPerf's tools read it, a line for each event. Runs of several seeds become result_0.txt,
 * result_1.txt and so on, as in a submission. It is the form alone: no run of ours is an MLPerf submission, and the
 * lines say so (division open, status research). */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/export.h"

struct log_writer {
    FILE *file;
    bool failed;
};

/* Takes the value over, and so the metadata, which may be NULL. */
static void log_event(struct log_writer *log, double time_s, const char *type, const char *key, json_t *value,
                      json_t *metadata)
{
    json_t *about = json_pack("{s:s, s:i}", "file", RECORD_FILE, "lineno", 0);
    if (metadata != NULL)
        json_object_update(about, metadata);
    json_decref(metadata);
    json_t *line =
        json_pack("{s:s, s:I, s:s, s:s, s:o, s:o}", "namespace", "", "time_ms", (json_int_t)llround(1000.0 * time_s),
                  "event_type", type, "key", key, "value", value, "metadata", about);
    char *text = line != NULL ? json_dumps(line, JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17)) : NULL;
    log->failed = log->failed || text == NULL || fprintf(log->file, ":::MLLOG %s\n", text) < 0;
    free(text);
    json_decref(line);
}

static void log_point(struct log_writer *log, double time_s, const char *key, json_t *value)
{
    log_event(log, time_s, "POINT_IN_TIME", key, value, NULL);
}

static void log_interval(struct log_writer *log, double time_s, bool start, const char *key, uint64_t epoch)
{
    log_event(log, time_s, start ? "INTERVAL_START" : "INTERVAL_END", key, json_null(),
              json_pack("{s:I}", "epoch_num", (json_int_t)epoch));
}

static void log_settings(struct log_writer *log, const struct record *record, double began)
{
    const struct record_facts *facts = &record->facts;
    const struct training_config *training = &record->manifest.recipe.training;
    log_point(log, began, "submission_benchmark", json_string(facts->manifest_name));
    log_point(log, began, "submission_division", json_string("open"));
    log_point(log, began, "submission_org", json_string("none"));
    log_point(log, began, "submission_platform", json_string(facts->host_cpu));
    log_point(log, began, "submission_status", json_string("research"));
    log_point(log, began, "cache_clear", json_false());
    log_event(log, began, "INTERVAL_START", "init_start", json_null(), NULL);
    log_point(log, began, "seed", json_integer((json_int_t)facts->seed));
    log_point(log, began, "global_batch_size", json_integer((json_int_t)training->batch_size));
    log_point(log, began, "train_samples", json_integer((json_int_t)facts->training_images));
    log_point(log, began, "eval_samples", json_integer((json_int_t)facts->validation_images));
    log_point(log, began, "opt_name", json_string("sgd"));
    log_point(log, began, "gradient_accumulation_steps", json_integer(1));
    log_event(log, began, "INTERVAL_END", "init_stop", json_null(), NULL);
    log_event(log, began, "INTERVAL_START", "run_start", json_null(), NULL);
}

static double seconds(double measured)
{
    return isfinite(measured) ? measured : 0.0;
}

static bool log_epoch(void *context, const struct export_point *point)
{
    struct log_writer *log = context;
    const struct metrics_row *row = point->row;
    if (row == NULL)
        return true;
    const double trained = point->time_s - seconds(row->validation_seconds),
                 began = trained - seconds(row->training_seconds);
    log_interval(log, began, true, "epoch_start", point->number);
    log_interval(log, trained, false, "epoch_stop", point->number);
    log_interval(log, trained, true, "eval_start", point->number);
    log_event(log, point->time_s, "POINT_IN_TIME", "eval_accuracy", json_real(export_accuracy(row)),
              json_pack("{s:I, s:s}", "epoch_num", (json_int_t)point->number, "weights_sha256", row->weights_sha256));
    log_interval(log, point->time_s, false, "eval_stop", point->number);
    return !log->failed;
}

/* The end of the last epoch, which no later event may come before. */
static bool find_end(void *context, const struct export_point *point)
{
    *(double *)context = point->time_s;
    return true;
}

static enum status write_log(const struct export_job *job, const struct record *record, size_t number,
                             struct error *error)
{
    const double began = export_seconds(record->facts.time_started);
    const enum run_state state = record_state(record);
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes;
    struct log_writer log = { .file = open_memstream(&text, &bytes) };
    double end = began;
    if (log.file == NULL)
        return error_out_of_memory(error, "the log of %s", record->shown);
    log_settings(&log, record, began);
    export_points(record, log_epoch, &log);
    export_points(record, find_end, &end);
    if (state != RUN_RUNNING)
        log_event(&log, end, "INTERVAL_END", "run_stop", json_null(),
                  json_pack("{s:s}", "status", state == RUN_FINISHED ? "success" : "aborted"));
    const bool closed = fclose(log.file) == 0;
    enum status status = closed && !log.failed ? file_path(path, error, "%s/result_%zu.txt", job->out, number)
                                               : error_out_of_memory(error, "the log of %s", record->shown);
    if (status == STATUS_OK)
        status = export_file(job, path, text, bytes, error);
    free(text);
    return status;
}

enum status export_mllog(const struct export_job *job, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < job->count && status == STATUS_OK; i++)
        status = write_log(job, job->records[i], i, error);
    return status;
}
