/* MLflow, through its REST interface: a run's metrics with their whole history, its parameters, status and times. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "exchange/import.h"

enum { PAGE = 20000, RUNS_PAGE = 100, RUNS_MAX = 10000, PATH_BYTES = 1900 };
/* So that a server that repeats itself cannot hold us: more values than this of one metric are an error. */
enum { VALUES_MAX = 10 * 1000 * 1000 };

struct mlflow_reader {
    struct import_source *source;
    struct mlflow_server *server;
    const char *run_id;
    struct error *error;
};

/* Asks, and adds the answer to what the record has a digest of. */
static enum status ask(const struct mlflow_reader *reader, const char *path, json_t **answer)
{
    char *text = NULL, shown[PATH_BYTES + MLFLOW_URL_BYTES + 64];
    size_t bytes;
    enum status status = mlflow_get_text(reader->server, path, answer, &text, &bytes, NULL, reader->error);
    snprintf(shown, sizeof shown, "%s/api/2.0/mlflow/%s", reader->server->url, path);
    if (status == STATUS_OK)
        status = import_add_file(reader->source, path, shown, text, bytes, reader->error);
    free(text);
    return status;
}

static enum status unexpected(const struct mlflow_reader *reader, const char *what)
{
    return error_set(reader->error, STATUS_ENVIRONMENT, "%s: %s; is %s the URL of an MLflow server?",
                     reader->source->files[reader->source->file_count - 1].shown, what, reader->server->url);
}

/* ---- metrics ----------------------------------------------------------------------------------------------------- */

/* A number, or one of the words for those that JSON has none for. */
static bool read_value(const json_t *value, double *number)
{
    const char *text = json_string_value(value);
    char *end;
    if (json_is_number(value)) {
        *number = json_number_value(value);
        return true;
    }
    if (text == NULL || text[0] == '\0')
        return false;
    *number = strtod(text, &end);
    return *end == '\0';
}

static enum status read_entry(const struct mlflow_reader *reader, struct import_series *series, const json_t *entry,
                              uint64_t place)
{
    struct import_point point = { .place = place, .file = (uint32_t)reader->source->file_count - 1 };
    const double step = mlflow_number(json_object_get(entry, "step")); /* 0 is left out by some servers */
    if (!read_value(json_object_get(entry, "value"), &point.value))
        return unexpected(reader, "a metric has no value");
    if (!(fabs(step) < 9007199254740992.0) || floor(step) != step)
        return unexpected(reader, "a metric's step is no whole number");
    point.number = (int64_t)step;
    return import_add_point(reader->source, series, point, reader->error);
}

/* All values of a metric, page by page. */
static enum status read_history(const struct mlflow_reader *reader, const char *key)
{
    char path[PATH_BYTES], token[512] = "";
    struct import_series *series;
    uint64_t read = 0;
    char *escaped = http_escape(key);
    if (escaped == NULL)
        return error_out_of_memory(reader->error, "a request");
    enum status status = import_find_series(reader->source, key, &series, reader->error);
    do {
        json_t *answer = NULL;
        char *escaped_token = http_escape(token);
        snprintf(path, sizeof path, "metrics/get-history?run_id=%s&metric_key=%.900s&max_results=%d%s%.600s",
                 reader->run_id, escaped, PAGE, token[0] != '\0' ? "&page_token=" : "",
                 escaped_token != NULL ? escaped_token : "");
        free(escaped_token);
        if (status == STATUS_OK)
            status = ask(reader, path, &answer);
        const json_t *list = json_object_get(answer, "metrics");
        for (size_t i = 0; i < json_array_size(list) && status == STATUS_OK; i++)
            status = read_entry(reader, series, json_array_get(list, i), ++read);
        snprintf(token, sizeof token, "%s", mlflow_text(answer, "next_page_token"));
        if (status == STATUS_OK && (read > VALUES_MAX || (token[0] != '\0' && json_array_size(list) == 0)))
            status = unexpected(reader, "the history of a metric does not end");
        json_decref(answer);
    } while (status == STATUS_OK && token[0] != '\0');
    free(escaped);
    return status;
}

static enum status read_metrics(const struct mlflow_reader *reader, const json_t *list)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(list) && status == STATUS_OK; i++) {
        struct import_series *series;
        const char *key = mlflow_text(json_array_get(list, i), "key");
        if (reader->source->wants(reader->source->context, key))
            status = read_history(reader, key);
        else
            status = import_find_series(reader->source, key, &series, reader->error);
    }
    return status;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

static enum status read_run(const struct mlflow_reader *reader, const json_t *run)
{
    const json_t *info = json_object_get(run, "info"), *data = json_object_get(run, "data"),
                 *parameters = json_object_get(data, "params");
    struct import_source *source = reader->source;
    enum status status = STATUS_OK;
    if (!json_is_object(info))
        return unexpected(reader, "the answer has no run");
    snprintf(source->run, sizeof source->run, "%s", mlflow_text(info, "run_name"));
    snprintf(source->status, sizeof source->status, "%s", mlflow_text(info, "status"));
    import_time(mlflow_number(json_object_get(info, "start_time")) / 1000.0, source->started);
    import_time(mlflow_number(json_object_get(info, "end_time")) / 1000.0, source->updated);
    for (size_t i = 0; i < json_array_size(parameters) && status == STATUS_OK; i++) {
        const json_t *parameter = json_array_get(parameters, i);
        status =
            import_add_setting(source, mlflow_text(parameter, "key"), mlflow_text(parameter, "value"), reader->error);
    }
    return status == STATUS_OK ? read_metrics(reader, json_object_get(data, "metrics")) : status;
}

static bool is_id(const char *id)
{
    size_t length = 0;
    while (isalnum((unsigned char)id[length]) || (id[length] != '\0' && strchr("_-", id[length]) != NULL))
        length++;
    return length > 0 && length < 256 && id[length] == '\0';
}

enum status import_read_mlflow(struct import_source *source, struct mlflow_server *server, const char *run_id,
                               struct error *error)
{
    const struct mlflow_reader reader = { .source = source, .server = server, .run_id = run_id, .error = error };
    char name[MLFLOW_URL_BYTES + 600], path[PATH_BYTES];
    json_t *answer = NULL;
    source->tool = "MLflow";
    source->place = ", value ";
    if (!is_id(run_id))
        return error_set(error, STATUS_INPUT,
                         "--run %.100s is no id of a run of MLflow, which has letters, digits, '_' and '-'", run_id);
    snprintf(path, sizeof path, "runs/get?run_id=%s", run_id);
    enum status status = import_source_name(source, server->url, error);
    if (status == STATUS_OK)
        status = ask(&reader, path, &answer);
    const json_t *run = json_object_get(answer, "run");
    /* The address under which people see it. */
    snprintf(name, sizeof name, "%s/#/experiments/%.200s/runs/%s", server->url,
             mlflow_text(json_object_get(run, "info"), "experiment_id"), run_id);
    if (status == STATUS_OK) {
        free(source->name);
        status = import_source_name(source, name, error);
    }
    if (status == STATUS_OK)
        status = read_run(&reader, run);
    json_decref(answer);
    return status;
}

/* ---- an experiment ----------------------------------------------------------------------------------------------- */

static enum status find_experiment(struct mlflow_server *server, const char *experiment, char id[IMPORT_NAME_BYTES],
                                   struct error *error)
{
    json_t *answer;
    enum status status = mlflow_get_experiment(server, experiment, &answer, error);
    if (status != STATUS_OK)
        return status;
    snprintf(id, IMPORT_NAME_BYTES, "%s", mlflow_text(json_object_get(answer, "experiment"), "experiment_id"));
    json_decref(answer);
    if (id[0] != '\0')
        return STATUS_OK;
    if (strspn(experiment, "0123456789") == strlen(experiment)) {
        snprintf(id, IMPORT_NAME_BYTES, "%s", experiment);
        return STATUS_OK;
    }
    return error_set(error, STATUS_INPUT, "%s has no experiment '%.200s'", server->url, experiment);
}

enum status import_mlflow_runs(struct mlflow_server *server, const char *experiment, char ***ids, size_t *count,
                               struct error *error)
{
    char id[IMPORT_NAME_BYTES], token[512] = "";
    *ids = NULL;
    *count = 0;
    enum status status = find_experiment(server, experiment, id, error);
    if (status != STATUS_OK)
        return status;
    do {
        json_t *answer = NULL, *body = json_pack("{s:[s], s:i, s:[s]}", "experiment_ids", id, "max_results", RUNS_PAGE,
                                                 "order_by", "attributes.start_time ASC");
        if (token[0] != '\0')
            json_object_set_new(body, "page_token", json_string(token));
        status = mlflow_post(server, "runs/search", body, &answer, NULL, error);
        const json_t *runs = json_object_get(answer, "runs");
        char **more = status == STATUS_OK ? realloc(*ids, (*count + json_array_size(runs) + 1) * sizeof *more) : NULL;
        if (status == STATUS_OK && more == NULL)
            status = error_out_of_memory(error, "a list of runs");
        *ids = more != NULL ? more : *ids;
        for (size_t i = 0; i < json_array_size(runs) && status == STATUS_OK; i++) {
            (*ids)[*count] = strdup(mlflow_text(json_object_get(json_array_get(runs, i), "info"), "run_id"));
            if ((*ids)[(*count)++] == NULL)
                status = error_out_of_memory(error, "a list of runs");
        }
        snprintf(token, sizeof token, "%s", mlflow_text(answer, "next_page_token"));
        if (status == STATUS_OK && (*count > RUNS_MAX || (token[0] != '\0' && json_array_size(runs) == 0)))
            status = error_set(error, STATUS_ENVIRONMENT, "%s: the list of runs does not end", server->url);
        json_decref(answer);
    } while (status == STATUS_OK && token[0] != '\0');
    if (status == STATUS_OK && *count == 0)
        status = error_set(error, STATUS_INPUT, "%s: the experiment '%.200s' has no runs", server->url, experiment);
    return status;
}

/* Copies what follows a word in a URL, up to the next slash or question mark. */
static void copy_part(const char *url, const char *word, char part[IMPORT_NAME_BYTES])
{
    const char *found = strstr(url, word);
    part[0] = '\0';
    if (found == NULL)
        return;
    found += strlen(word);
    snprintf(part, IMPORT_NAME_BYTES, "%.*s", (int)strcspn(found, "/?#"), found);
}

void import_split_url(const char *url, char base[MLFLOW_URL_BYTES], char experiment[IMPORT_NAME_BYTES],
                      char run[IMPORT_NAME_BYTES])
{
    const char *page = strstr(url, "/#/");
    snprintf(base, MLFLOW_URL_BYTES, "%.*s", (int)(page != NULL ? (size_t)(page - url) : strlen(url)), url);
    copy_part(page != NULL ? page : "", "/experiments/", experiment);
    copy_part(page != NULL ? page : "", "/runs/", run);
}
