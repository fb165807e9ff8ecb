#include "exchange/mlflow.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/export.h"
#include "results/imported.h"

/* What the server takes in one request. */
enum { METRICS_MAX = 1000, PARAMETERS_MAX = 100, TAG_BYTES_MAX = 5000, PATH_BYTES = 512 };

struct sending {
    struct mlflow_server *server;
    const struct record *record;
    struct mlflow_sent *sent;
    json_t *parameters, *metrics, *tags; /* what the server has: key to text, key to last step, key to text */
    char files[PATH_BYTES];              /* where its files go; "": nowhere */
    json_t *batch;                       /* the next request's */
    bool steps;
    enum status status;
    struct error *error;
};

/* ---- the experiment and the run ---------------------------------------------------------------------------------- */

static enum status find_experiment(struct sending *sending, const char *name, bool *found, struct error *error)
{
    json_t *answer;
    enum status status = mlflow_get_experiment(sending->server, name, &answer, error);
    *found = false;
    if (status != STATUS_OK || answer == NULL)
        return status;
    const json_t *experiment = json_object_get(answer, "experiment");
    snprintf(sending->sent->experiment_id, sizeof sending->sent->experiment_id, "%s",
             mlflow_text(experiment, "experiment_id"));
    *found = true;
    if (strcmp(mlflow_text(experiment, "lifecycle_stage"), "deleted") == 0)
        status =
            error_set(error, STATUS_INPUT,
                      "the experiment %s was deleted on the server; restore it there (mlflow experiments restore), "
                      "or name another with --experiment",
                      name);
    json_decref(answer);
    return status;
}

/* Another process may make it between the two requests. */
static enum status open_experiment(struct sending *sending, const char *name, struct error *error)
{
    char code[MLFLOW_CODE_BYTES];
    json_t *answer;
    bool found;
    enum status status = find_experiment(sending, name, &found, error);
    if (status != STATUS_OK || found)
        return status;
    status = mlflow_post(sending->server, "experiments/create", json_pack("{s:s}", "name", name), &answer, code, error);
    if (status != STATUS_OK && strcmp(code, "RESOURCE_ALREADY_EXISTS") == 0)
        return find_experiment(sending, name, &found, error);
    if (status != STATUS_OK)
        return status;
    snprintf(sending->sent->experiment_id, sizeof sending->sent->experiment_id, "%s",
             mlflow_text(answer, "experiment_id"));
    json_decref(answer);
    return STATUS_OK;
}

/* The same for copies of a record, and as long as the run goes on. */
static void identify(const struct record *record, char hex[DIGEST_HEX_BYTES])
{
    const struct record_facts *facts = &record->facts;
    const char *const parts[] = { facts->experiment_sha256, facts->name, facts->time_started,
                                  imported_is(record) ? facts->imported.sha256 : facts->host_name };
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    sha256_start(&sha256);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        sha256_add(&sha256, parts[i], strlen(parts[i]));
        sha256_add(&sha256, "\n", 1);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

static json_int_t milliseconds(double seconds)
{
    return (json_int_t)llround(1000.0 * seconds);
}

static enum status create_run(struct sending *sending, const char *id, json_t **run, bool *unknown, struct error *error)
{
    const struct record *record = sending->record;
    json_t *answer;
    json_t *body =
        json_pack("{s:s, s:s, s:I, s:[{s:s, s:s}, {s:s, s:s}]}", "experiment_id", sending->sent->experiment_id,
                  "run_name", record->facts.name, "start_time",
                  milliseconds(export_seconds(record->facts.time_started)), "tags", "key", "selfsame.run", "value", id,
                  "key", "mlflow.source.name", "value", imported_is(record) ? record->facts.imported.tool : "selfsame");
    enum status status = mlflow_post_once(sending->server, "runs/create", body, &answer, unknown, error);
    if (status == STATUS_OK)
        *run = json_incref(json_object_get(answer, "run"));
    json_decref(answer);
    return status;
}

/* The list of a key-value type as an object. */
static json_t *by_key(const json_t *list, const char *value)
{
    json_t *object = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        json_object_set(object, mlflow_text(entry, "key"), json_object_get(entry, value));
    }
    return object;
}

/* Where the server says that the run's files are, as a path below its artifacts: "1/7f.../artifacts". */
static void find_files(struct sending *sending, const char *uri)
{
    static const char scheme[] = "mlflow-artifacts:";
    const char *path = uri + strlen(scheme);
    if (strncmp(uri, scheme, strlen(scheme)) == 0) {
        if (strncmp(path, "//", 2) == 0)
            path = strchr(path + 2, '/');
        while (path != NULL && *path == '/')
            path++;
        if (path != NULL && path[0] != '\0' && strlen(path) < sizeof sending->files && strstr(path, "..") == NULL &&
            strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == strlen(path)) {
            snprintf(sending->files, sizeof sending->files, "%s", path);
            return;
        }
    }
    snprintf(sending->sent->no_files, sizeof sending->sent->no_files,
             "the server keeps this run's files at %.150s, to which it gives no access", uri);
}

/* The oldest run with our tag; NULL if there is none. */
static enum status find_run_on_server(struct sending *sending, const char *id, json_t **run, struct error *error)
{
    char filter[128];
    json_t *answer = NULL;
    snprintf(filter, sizeof filter, "tags.`selfsame.run` = '%s'", id);
    enum status status =
        mlflow_post(sending->server, "runs/search",
                    json_pack("{s:[s], s:s, s:i, s:[s]}", "experiment_ids", sending->sent->experiment_id, "filter",
                              filter, "max_results", 1, "order_by", "attributes.start_time ASC"),
                    &answer, NULL, error);
    *run = status == STATUS_OK ? json_incref(json_array_get(json_object_get(answer, "runs"), 0)) : NULL;
    json_decref(answer);
    return status;
}

/* Where the server does not answer, or is busy, it may have made the run. So it is asked for it before it is asked to
 * make one again. */
static enum status open_run(struct sending *sending, struct error *error)
{
    char id[DIGEST_HEX_BYTES];
    json_t *run = NULL;
    bool unknown = false;
    identify(sending->record, id);
    enum status status = find_run_on_server(sending, id, &run, error);
    sending->sent->found = run != NULL;
    for (unsigned try = 1; status == STATUS_OK && run == NULL; try++) {
        status = create_run(sending, id, &run, &unknown, error);
        if (status == STATUS_OK || !unknown || try >= sending->server->tries)
            break;
        mlflow_pause(try);
        *error = (struct error){ STATUS_OK, "" };
        status = find_run_on_server(sending, id, &run, error);
    }
    if (status != STATUS_OK)
        return status;
    const json_t *info = json_object_get(run, "info"), *data = json_object_get(run, "data");
    snprintf(sending->sent->run_id, sizeof sending->sent->run_id, "%s", mlflow_text(info, "run_id"));
    sending->parameters = by_key(json_object_get(data, "params"), "value");
    sending->metrics = by_key(json_object_get(data, "metrics"), "step");
    sending->tags = by_key(json_object_get(data, "tags"), "value");
    find_files(sending, mlflow_text(info, "artifact_uri"));
    json_decref(run);
    if (sending->sent->run_id[0] == '\0')
        return error_set(error, STATUS_ENVIRONMENT, "%s: the server names no run", sending->server->url);
    return STATUS_OK;
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

/* Sends the batch as the metrics, params or tags of a request, and begins the next. */
static void flush(struct sending *sending, const char *kind)
{
    json_t *answer = NULL;
    const size_t count = json_array_size(sending->batch);
    if (sending->status != STATUS_OK || count == 0)
        return;
    sending->status = mlflow_post(sending->server, "runs/log-batch",
                                  json_pack("{s:s, s:O}", "run_id", sending->sent->run_id, kind, sending->batch),
                                  &answer, NULL, sending->error);
    json_decref(answer);
    json_array_clear(sending->batch);
}

static void add(struct sending *sending, json_t *entry, const char *kind, size_t most)
{
    if (sending->status != STATUS_OK)
        json_decref(entry);
    else if (json_array_append_new(sending->batch, entry) != 0)
        sending->status = error_out_of_memory(sending->error, "a request to %s", sending->server->url);
    if (json_array_size(sending->batch) >= most)
        flush(sending, kind);
}

static void add_parameter(void *context, const char *key, const char *value)
{
    struct sending *sending = context;
    if (json_object_get(sending->parameters, key) != NULL)
        return;
    add(sending, json_pack("{s:s, s:s}", "key", key, "value", value), "params", PARAMETERS_MAX);
    sending->sent->parameters++;
}

static void add_metric(struct sending *sending, const char *key, double value, const struct export_point *point)
{
    const json_t *last = json_object_get(sending->metrics, key);
    if (last != NULL && mlflow_number(last) >= (double)point->number)
        return;
    add(sending,
        json_pack("{s:s, s:f, s:I, s:I}", "key", key, "value", value, "timestamp", milliseconds(point->time_s), "step",
                  (json_int_t)point->number),
        "metrics", METRICS_MAX);
    sending->sent->metrics++;
}

static bool add_point(void *context, const struct export_point *point)
{
    struct sending *sending = context;
    if (point->step != NULL && sending->steps) {
        add_metric(sending, "step/loss", (double)point->step->loss, point);
        add_metric(sending, "step/errors", (double)point->step->errors, point);
    }
    for (size_t i = 0; point->row != NULL && i < metrics_column_count; i++) {
        const struct metrics_column *column = &metrics_columns[i];
        if (export_is_curve(column) && !isnan(metrics_value(point->row, column)))
            add_metric(sending, column->name, metrics_value(point->row, column), point);
    }
    return sending->status == STATUS_OK;
}

/* A tag that the server does not have with this value. */
static void add_tag(struct sending *sending, const char *key, const char *value)
{
    const char *had = mlflow_text(sending->tags, key);
    if (value[0] == '\0' || strcmp(had, value) == 0 || strlen(value) > TAG_BYTES_MAX)
        return;
    add(sending, json_pack("{s:s, s:s}", "key", key, "value", value), "tags", PARAMETERS_MAX);
}

static void add_tags(struct sending *sending)
{
    const struct record *record = sending->record;
    const struct record_facts *facts = &record->facts;
    char state[RECORD_STATE_BYTES];
    add_tag(sending, "mlflow.note.content", record->manifest.description);
    add_tag(sending, "selfsame.state", record_state_text(record, state));
    add_tag(sending, "selfsame.failure", facts->failure);
    if (imported_is(record)) {
        char origin[IMPORTED_ORIGIN_BYTES];
        imported_origin(record, origin);
        add_tag(sending, "selfsame.imported", origin);
        add_tag(sending, "selfsame.imported_sha256", facts->imported.sha256);
    }
    add_tag(sending, "selfsame.manifest", facts->manifest_name);
    add_tag(sending, "selfsame.experiment_sha256", facts->experiment_sha256);
    add_tag(sending, "selfsame.arithmetic", facts->arithmetic);
    add_tag(sending, "selfsame.engine", facts->engine_description);
    add_tag(sending, "selfsame.program", facts->program_version);
    add_tag(sending, "selfsame.host", facts->host_name);
    add_tag(sending, "selfsame.cpu", facts->host_cpu);
    if (record->epochs > 0) {
        add_tag(sending, "selfsame.weights_sha256", record->metrics[record->epochs - 1].weights_sha256);
        add_tag(sending, "selfsame.chain_sha256", record->metrics[record->epochs - 1].chain_sha256);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* The tag with a file's digest is set after the file, so it says that the server has it. */
static void send_file(struct sending *sending, const char *name)
{
    static const size_t limit = (size_t)1 << 30;
    char path[FILE_PATH_BYTES], to[PATH_BYTES + 64], hex[DIGEST_HEX_BYTES], key[64], *data = NULL;
    size_t bytes;
    if (sending->status == STATUS_OK)
        sending->status = file_path(path, sending->error, "%s/%s", sending->record->path, name);
    if (sending->status != STATUS_OK || !file_exists(path))
        return;
    sending->status = file_read(path, limit, &data, &bytes, sending->error);
    if (sending->status != STATUS_OK)
        return;
    sha256_hex(data, bytes, hex);
    snprintf(key, sizeof key, "selfsame.sha256.%s", name);
    if (strcmp(mlflow_text(sending->tags, key), hex) != 0) {
        snprintf(to, sizeof to, "%s/%s", sending->files, name);
        sending->status = mlflow_put_artifact(sending->server, to, data, bytes, sending->error);
        add_tag(sending, key, hex);
        sending->sent->files += sending->status == STATUS_OK;
    }
    free(data);
}

static void send_files(struct sending *sending)
{
    for (size_t i = 0; i < EXPORT_RUN_FILES && sending->files[0] != '\0'; i++)
        send_file(sending, export_run_files[i].name);
    flush(sending, "tags");
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static enum status set_state(struct sending *sending, struct error *error)
{
    static const char *const words[] = {
        [RUN_RUNNING] = "RUNNING", [RUN_STOPPED] = "KILLED",    [RUN_FINISHED] = "FINISHED",
        [RUN_FAILED] = "FAILED",   [RUN_IMPORTED] = "FINISHED",
    };
    const enum run_state state = record_state(sending->record);
    json_t *answer, *body = json_pack("{s:s, s:s}", "run_id", sending->sent->run_id, "status", words[state]);
    if (body != NULL && state != RUN_RUNNING)
        json_object_set_new(body, "end_time",
                            json_integer(milliseconds(export_seconds(sending->record->facts.time_updated))));
    enum status status = mlflow_post(sending->server, "runs/update", body, &answer, NULL, error);
    json_decref(answer);
    return status;
}

enum status mlflow_send(struct mlflow_server *server, const struct record *record, const struct mlflow_choice *choice,
                        struct mlflow_sent *sent, struct error *error)
{
    struct sending sending = {
        .server = server, .record = record, .sent = sent, .steps = choice->steps, .error = error
    };
    const char *name = choice->experiment != NULL ? choice->experiment : record->facts.manifest_name;
    *sent = (struct mlflow_sent){ .found = false };
    sending.batch = json_array();
    sending.status = sending.batch != NULL ? open_experiment(&sending, name, error)
                                           : error_out_of_memory(error, "a request to %s", server->url);
    if (sending.status == STATUS_OK)
        sending.status = open_run(&sending, error);
    if (sending.status == STATUS_OK) {
        enum status status = export_parameters(record, add_parameter, &sending, error);
        sending.status = sending.status == STATUS_OK ? status : sending.status;
        flush(&sending, "params");
        export_points(record, add_point, &sending);
        flush(&sending, "metrics");
        add_tags(&sending);
        flush(&sending, "tags");
        if (choice->files)
            send_files(&sending);
    }
    if (sending.status == STATUS_OK)
        sending.status = set_state(&sending, error);
    json_decref(sending.batch);
    json_decref(sending.parameters);
    json_decref(sending.metrics);
    json_decref(sending.tags);
    return sending.status;
}
