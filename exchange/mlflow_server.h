/* An MLflow server, as its REST interface shows it: what every caller of it needs.
 *
 * login    MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, from the environment, as
 *          for MLflow's own clients; never in a URL, and in no message
 * again    a server that is busy (429, 5xx) or does not answer is asked three times, but for mlflow_post_once */
#ifndef SELFSAME_MLFLOW_SERVER_H
#define SELFSAME_MLFLOW_SERVER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "fetch/http.h"

enum { MLFLOW_URL_BYTES = 1024, MLFLOW_CODE_BYTES = 64, MLFLOW_TRIES = 3 };

struct mlflow_server {
    struct http_client *client;
    char url[MLFLOW_URL_BYTES]; /* without a slash at its end */
    unsigned tries;             /* at each request */
};

struct mlflow_connection {
    const char *url;
    const char *cacert; /* --cacert; may be NULL */
    uint64_t wait_s;
    unsigned tries;
    bool (*stop_requested)(void *context); /* may be NULL */
    void *context;
};

/* Asks nothing of the server yet. STATUS_INPUT for what is no URL of a server. */
enum status mlflow_open(struct mlflow_server *server, const struct mlflow_connection *connection,
                        struct error *error) MUST_USE;
void mlflow_close(struct mlflow_server *server);

/* GET and POST of /api/2.0/mlflow/PATH. The latter takes over the body; NULL is one for which there was no memory. The
 * caller decrefs *answer. After an error `code` (may be NULL) is the server's own word for it, such as
 * RESOURCE_DOES_NOT_EXIST, or "". */
enum status mlflow_get(struct mlflow_server *server, const char *path, json_t **answer, char code[MLFLOW_CODE_BYTES],
                       struct error *error) MUST_USE;
enum status mlflow_post(struct mlflow_server *server, const char *path, json_t *body, json_t **answer,
                        char code[MLFLOW_CODE_BYTES], struct error *error) MUST_USE;

/* The same as mlflow_post, asked once whatever happens: for what would be there twice if the server did it and its
 * answer was lost. *unknown: whether it may have done it. */
enum status mlflow_post_once(struct mlflow_server *server, const char *path, json_t *body, json_t **answer,
                             bool *unknown, struct error *error) MUST_USE;

/* The same as mlflow_get, with the text of the answer, which the caller frees. */
enum status mlflow_get_text(struct mlflow_server *server, const char *path, json_t **answer, char **text, size_t *bytes,
                            char code[MLFLOW_CODE_BYTES], struct error *error) MUST_USE;

/* The server's answer about an experiment of this name; NULL if there is none. */
enum status mlflow_get_experiment(struct mlflow_server *server, const char *name, json_t **answer,
                                  struct error *error) MUST_USE;

/* Writes a file where the server keeps its artifacts; `path` is below its root. */
enum status mlflow_put_artifact(struct mlflow_server *server, const char *path, const void *data, size_t bytes,
                                struct error *error) MUST_USE;

/* Waits before the request is made again that was in vain `try` times. */
void mlflow_pause(unsigned try);

/* A whole number that some servers write as a text, as the JSON form of protocol buffers does. */
double mlflow_number(const json_t *value);

/* The text of a key in an object of an answer; "" if there is none. */
const char *mlflow_text(const json_t *object, const char *key);

#endif
