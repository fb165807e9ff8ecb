#include "exchange/mlflow_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

enum status mlflow_open(struct mlflow_server *server, const struct mlflow_connection *connection, struct error *error)
{
    const char *url = connection->url;
    const char *host = strncmp(url, "https://", 8) == 0 ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;
    size_t length = strlen(url);
    *server = (struct mlflow_server){ .tries = connection->tries };
    if (host == NULL || host[0] == '\0' || host[0] == '/' || strpbrk(url, " ?#\"\\<>") != NULL)
        return error_set(error, STATUS_INPUT,
                         "'%s' is no URL of an MLflow server; write it as http://HOST:PORT or https://HOST", url);
    if (memchr(host, '@', strcspn(host, "/")) != NULL)
        return error_set(error, STATUS_INPUT,
                         "the URL of the MLflow server holds a user and password; put them into "
                         "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead");
    while (url[length - 1] == '/')
        length--;
    if (length >= sizeof server->url)
        return error_set(error, STATUS_INPUT, "the URL of the MLflow server is longer than %zu bytes",
                         sizeof server->url - 1);
    memcpy(server->url, url, length);
    enum status status = http_open(&server->client, connection->cacert, connection->wait_s, connection->stop_requested,
                                   connection->context, error);
    if (status == STATUS_OK)
        status = http_set_login(server->client, environment("MLFLOW_TRACKING_USERNAME"),
                                environment("MLFLOW_TRACKING_PASSWORD"), environment("MLFLOW_TRACKING_TOKEN"), error);
    if (status != STATUS_OK)
        mlflow_close(server);
    return status;
}

void mlflow_close(struct mlflow_server *server)
{
    http_close(server->client);
    server->client = NULL;
}

const char *mlflow_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

double mlflow_number(const json_t *value)
{
    return json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* What the server said against a request. */
static enum status refused(const struct mlflow_server *server, const struct http_request *request,
                           const struct http_answer *answer, char code[MLFLOW_CODE_BYTES], struct error *error)
{
    json_t *said = json_loadb(answer->text, answer->bytes, 0, NULL);
    const char *word = mlflow_text(said, "error_code"), *message = mlflow_text(said, "message");
    if (code != NULL)
        snprintf(code, MLFLOW_CODE_BYTES, "%s", word);
    if (answer->code == 401 || answer->code == 403)
        error_set(error, STATUS_ENVIRONMENT,
                  "%s refuses the request (%ld); set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and "
                  "MLFLOW_TRACKING_PASSWORD",
                  server->url, answer->code);
    else if (word[0] != '\0')
        error_set(error, STATUS_ENVIRONMENT, "%s: the server says %s: %.300s", request->url, word, message);
    else
        error_set(error, STATUS_ENVIRONMENT, "%s answers %ld; is %s the URL of an MLflow server?", request->url,
                  answer->code, server->url);
    json_decref(said);
    return STATUS_ENVIRONMENT;
}

static bool is_busy(long code)
{
    return code == 429 || (code >= 500 && code <= 504);
}

void mlflow_pause(unsigned try)
{
    const struct timespec pause = { .tv_sec = try };
    (void)nanosleep(&pause, NULL);
}

/* STATUS_OK with a code of 2xx alone; then *text is to be freed. *unknown: whether the last of `tries` was in vain, and
 * the server may have done what it asks. */
static enum status ask(struct mlflow_server *server, const struct http_request *request, unsigned tries,
                       struct http_answer *answer, bool *unknown, char code[MLFLOW_CODE_BYTES], struct error *error)
{
    enum status status = STATUS_OK;
    for (unsigned try = 1;; try++) {
        status = http_send(server->client, request, answer, error);
        *unknown = status == STATUS_ENVIRONMENT || (status == STATUS_OK && is_busy(answer->code));
        if (!*unknown || try >= tries)
            break;
        if (status == STATUS_OK)
            free(answer->text);
        mlflow_pause(try);
    }
    if (status != STATUS_OK || (answer->code >= 200 && answer->code < 300))
        return status;
    status = refused(server, request, answer, code, error);
    free(answer->text);
    return status;
}

/* With a text POST, else GET. `said` may be NULL; else the caller frees said->text. */
static enum status call(struct mlflow_server *server, const char *path, const char *text, unsigned tries,
                        json_t **answer, struct http_answer *said, bool *unknown, char code[MLFLOW_CODE_BYTES],
                        struct error *error)
{
    char url[MLFLOW_URL_BYTES + 2048];
    struct http_answer got;
    const struct http_request request = { .method = text != NULL ? "POST" : "GET",
                                          .url = url,
                                          .content_type = "application/json",
                                          .body = text,
                                          .body_bytes = text != NULL ? strlen(text) : 0 };
    *answer = NULL;
    if (code != NULL)
        code[0] = '\0';
    snprintf(url, sizeof url, "%s/api/2.0/mlflow/%s", server->url, path);
    enum status status = ask(server, &request, tries, &got, unknown, code, error);
    if (status != STATUS_OK)
        return status;
    *answer = json_loadb(got.text, got.bytes, 0, NULL);
    if (json_is_object(*answer) && said != NULL) {
        *said = got;
        return STATUS_OK;
    }
    free(got.text);
    if (json_is_object(*answer))
        return STATUS_OK;
    json_decref(*answer);
    *answer = NULL;
    return error_set(error, STATUS_ENVIRONMENT, "%s: the answer is no JSON object; is %s the URL of an MLflow server?",
                     url, server->url);
}

enum status mlflow_get(struct mlflow_server *server, const char *path, json_t **answer, char code[MLFLOW_CODE_BYTES],
                       struct error *error)
{
    bool unknown;
    return call(server, path, NULL, server->tries, answer, NULL, &unknown, code, error);
}

enum status mlflow_get_text(struct mlflow_server *server, const char *path, json_t **answer, char **text, size_t *bytes,
                            char code[MLFLOW_CODE_BYTES], struct error *error)
{
    struct http_answer said = { .text = NULL };
    bool unknown;
    enum status status = call(server, path, NULL, server->tries, answer, &said, &unknown, code, error);
    *text = said.text;
    *bytes = said.bytes;
    return status;
}

enum status mlflow_get_experiment(struct mlflow_server *server, const char *name, json_t **answer, struct error *error)
{
    char path[1600], code[MLFLOW_CODE_BYTES];
    char *escaped = http_escape(name);
    *answer = NULL;
    if (escaped == NULL)
        return error_out_of_memory(error, "a request");
    snprintf(path, sizeof path, "experiments/get-by-name?experiment_name=%.1500s", escaped);
    free(escaped);
    enum status status = mlflow_get(server, path, answer, code, error);
    return strcmp(code, "RESOURCE_DOES_NOT_EXIST") == 0 ? STATUS_OK : status;
}

static enum status post(struct mlflow_server *server, const char *path, json_t *body, unsigned tries, json_t **answer,
                        bool *unknown, char code[MLFLOW_CODE_BYTES], struct error *error)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(body);
    *answer = NULL;
    *unknown = false;
    if (text == NULL)
        return error_out_of_memory(error, "a request to %s", server->url);
    enum status status = call(server, path, text, tries, answer, NULL, unknown, code, error);
    free(text);
    return status;
}

enum status mlflow_post(struct mlflow_server *server, const char *path, json_t *body, json_t **answer,
                        char code[MLFLOW_CODE_BYTES], struct error *error)
{
    bool unknown;
    return post(server, path, body, server->tries, answer, &unknown, code, error);
}

enum status mlflow_post_once(struct mlflow_server *server, const char *path, json_t *body, json_t **answer,
                             bool *unknown, struct error *error)
{
    return post(server, path, body, 1, answer, unknown, NULL, error);
}

enum status mlflow_put_artifact(struct mlflow_server *server, const char *path, const void *data, size_t bytes,
                                struct error *error)
{
    char url[MLFLOW_URL_BYTES + 2048];
    struct http_answer answer;
    const struct http_request request = {
        .method = "PUT", .url = url, .content_type = "application/octet-stream", .body = data, .body_bytes = bytes
    };
    bool unknown;
    snprintf(url, sizeof url, "%s/api/2.0/mlflow-artifacts/artifacts/%s", server->url, path);
    enum status status = ask(server, &request, server->tries, &answer, &unknown, NULL, error);
    if (status == STATUS_OK)
        free(answer.text);
    return status;
}
