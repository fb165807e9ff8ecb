/* TensorBoard: one event file for each run, in a folder of the run's name.
 *
 * epoch/NAME   a column of metrics.jsonl, over the epochs done
 * step/NAME    loss and errors of a step's batch, over the step, as in the ledger
 * hparams      the settings, for the tab of that name
 *
 * A scalar is a float there; the record has the doubles. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/event_file.h"
#include "exchange/export.h"

struct event_writer {
    struct message file, event, summary, value;
};

/* ---- scalars ----------------------------------------------------------------------------------------------------- */

static void begin_event(struct event_writer *writer, double time_s, uint64_t step)
{
    message_clear(&writer->event);
    message_clear(&writer->summary);
    message_add_double(&writer->event, EVENT_WALL_TIME, time_s);
    if (step > 0)
        message_add_integer(&writer->event, EVENT_STEP, step);
}

static void add_scalar(struct event_writer *writer, const char *group, const char *name, double value)
{
    char tag[64];
    snprintf(tag, sizeof tag, "%s/%s", group, name);
    message_clear(&writer->value);
    message_add_text(&writer->value, VALUE_TAG, tag);
    message_add_float(&writer->value, VALUE_SIMPLE, (float)value);
    message_add_message(&writer->summary, SUMMARY_VALUE, &writer->value);
}

static void end_event(struct event_writer *writer)
{
    message_add_message(&writer->event, EVENT_SUMMARY, &writer->summary);
    event_file_append(&writer->file, writer->event.data, writer->event.bytes);
    writer->file.failed = writer->file.failed || writer->event.failed;
}

static bool add_point(void *context, const struct export_point *point)
{
    struct event_writer *writer = context;
    begin_event(writer, point->time_s, point->number);
    if (point->step != NULL) {
        add_scalar(writer, "step", "loss", (double)point->step->loss);
        add_scalar(writer, "step", "errors", (double)point->step->errors);
    }
    for (size_t i = 0; point->row != NULL && i < metrics_column_count; i++) {
        const struct metrics_column *column = &metrics_columns[i];
        if (export_is_curve(column) && !isnan(metrics_value(point->row, column)))
            add_scalar(writer, "epoch", column->name, metrics_value(point->row, column));
    }
    end_event(writer);
    return !writer->file.failed;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

/* Fields of the plugin's messages, and of google.protobuf.Value. */
enum {
    PLUGIN_START = 3,
    PLUGIN_END = 4,
    START_PARAMETERS = 1,
    START_GROUP = 4,
    START_TIME = 5,
    END_STATUS = 1,
    END_TIME = 2,
    MAP_KEY = 1,
    MAP_VALUE = 2,
    ANY_NUMBER = 2,
    ANY_TEXT = 3,
    ANY_BOOLEAN = 4,
    METADATA_PLUGIN = 1,
    PLUGIN_NAME = 1,
    PLUGIN_CONTENT = 2,
    TENSOR_TYPE = 1,
    TENSOR_SHAPE = 2,
    SHAPE_DIMENSION = 2,
    TYPE_FLOAT = 1
};

static void add_parameter(void *context, const char *key, const char *value)
{
    struct message *start = context, entry = { .bytes = 0 }, any = { .bytes = 0 };
    char *end;
    const double number = strtod(value, &end);
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        message_add_integer(&any, ANY_BOOLEAN, value[0] == 't');
    else if (end != value && *end == '\0')
        message_add_double(&any, ANY_NUMBER, number);
    else
        message_add_text(&any, ANY_TEXT, value);
    message_add_text(&entry, MAP_KEY, key);
    message_add_message(&entry, MAP_VALUE, &any);
    message_add_message(start, START_PARAMETERS, &entry);
    message_free(&entry);
    message_free(&any);
}

/* The plugin's data hang on a value without numbers: a float tensor of no elements. */
static void add_plugin_event(struct event_writer *writer, double time_s, const char *tag, uint32_t field,
                             const struct message *content)
{
    struct message data = { .bytes = 0 }, plugin = { .bytes = 0 }, metadata = { .bytes = 0 }, tensor = { .bytes = 0 },
                   shape = { .bytes = 0 };
    message_add_message(&data, field, content);
    message_add_text(&plugin, PLUGIN_NAME, "hparams");
    message_add_message(&plugin, PLUGIN_CONTENT, &data);
    message_add_message(&metadata, METADATA_PLUGIN, &plugin);
    message_add_bytes(&shape, SHAPE_DIMENSION, "", 0);
    message_add_integer(&tensor, TENSOR_TYPE, TYPE_FLOAT);
    message_add_message(&tensor, TENSOR_SHAPE, &shape);
    begin_event(writer, time_s, 0);
    message_clear(&writer->value);
    message_add_text(&writer->value, VALUE_TAG, tag);
    message_add_message(&writer->value, VALUE_TENSOR, &tensor);
    message_add_message(&writer->value, VALUE_METADATA, &metadata);
    message_add_message(&writer->summary, SUMMARY_VALUE, &writer->value);
    end_event(writer);
    message_free(&data);
    message_free(&plugin);
    message_free(&metadata);
    message_free(&tensor);
    message_free(&shape);
}

static enum status add_settings(struct event_writer *writer, const struct record *record, struct error *error)
{
    const double began = export_seconds(record->facts.time_started);
    struct message start = { .bytes = 0 };
    enum status status = export_parameters(record, add_parameter, &start, error);
    message_add_text(&start, START_GROUP, record->name);
    message_add_double(&start, START_TIME, began);
    add_plugin_event(writer, began, "_hparams_/session_start_info", PLUGIN_START, &start);
    message_free(&start);
    return status;
}

static void add_outcome(struct event_writer *writer, const struct record *record)
{
    enum { SUCCESS = 1, FAILURE = 2 };
    const enum run_state state = record_state(record);
    const double ended = export_seconds(record->facts.time_updated);
    struct message end = { .bytes = 0 };
    if (state != RUN_FINISHED && state != RUN_FAILED)
        return;
    message_add_integer(&end, END_STATUS, state == RUN_FINISHED ? SUCCESS : FAILURE);
    message_add_double(&end, END_TIME, ended);
    add_plugin_event(writer, ended, "_hparams_/session_end_info", PLUGIN_END, &end);
    message_free(&end);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void add_heading(struct event_writer *writer, double time_s)
{
    message_clear(&writer->event);
    message_add_double(&writer->event, EVENT_WALL_TIME, time_s);
    message_add_text(&writer->event, EVENT_FILE_VERSION, "brain.Event:2");
    event_file_append(&writer->file, writer->event.data, writer->event.bytes);
}

static enum status write_run(const struct export_job *job, const struct record *record, struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct event_writer writer = { .file = { .bytes = 0 } };
    const double began = export_seconds(record->facts.time_started);
    add_heading(&writer, began);
    enum status status = add_settings(&writer, record, error);
    export_points(record, add_point, &writer);
    add_outcome(&writer, record);
    if (status == STATUS_OK && writer.file.failed)
        status = error_out_of_memory(error, "the events of %s", record->shown);
    /* TensorBoard reads every file whose name has "tfevents" in it: one name, so that a later export replaces it. */
    if (status == STATUS_OK)
        status =
            file_path(path, error, "%s/%s/events.out.tfevents.%010.0f.selfsame.0.0", job->out, record->name, began);
    if (status == STATUS_OK)
        status = export_file(job, path, writer.file.data, writer.file.bytes, error);
    message_free(&writer.file);
    message_free(&writer.event);
    message_free(&writer.summary);
    message_free(&writer.value);
    return status;
}

enum status export_tensorboard(const struct export_job *job, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < job->count && status == STATUS_OK; i++)
        status = write_run(job, job->records[i], error);
    return status;
}
