#include "commands/train_mlflow.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "exchange/mlflow.h"
#include "results/record.h"

/* Seconds: for a connection or a byte; between tries of a server that is away; for the rest at the end. */
enum { WAIT_S = 5, AWAY_S = 30, CLOSE_S = 30 };

struct sent_run {
    char folder[FILE_PATH_BYTES];
    bool waits; /* has something that was not sent */
};

struct train_mlflow {
    struct mlflow_server server;
    void (*say)(void *context, const char *message);
    void *context;
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    struct sent_run *runs; /* [room] */
    size_t count, room;
    bool away;         /* the server did not answer the last time, and that was told */
    bool closing;      /* nothing new comes */
    double deadline_s; /* of the rest, once closing */
};

/* ---- the thread -------------------------------------------------------------------------------------------------- */

/* Ends a request that takes too long at the end of the training. */
static bool is_late(void *context)
{
    struct train_mlflow *mlflow = context;
    pthread_mutex_lock(&mlflow->lock);
    const bool late = mlflow->closing && clock_seconds() > mlflow->deadline_s;
    pthread_mutex_unlock(&mlflow->lock);
    return late;
}

/* The files go along once nobody writes them. */
static enum status send_run(struct train_mlflow *mlflow, const char *folder, struct error *error)
{
    struct record *record;
    struct mlflow_sent sent;
    enum status status = record_open(&record, NULL, folder, error);
    if (status != STATUS_OK)
        return status;
    const struct mlflow_choice choice = { .files = record_state(record) != RUN_RUNNING };
    status = mlflow_send(&mlflow->server, record, &choice, &sent, error);
    record_close(record);
    return status;
}

/* "--mlflow: ", a text and what follows it. */
static void tell(const struct train_mlflow *mlflow, const char *text, const char *more)
{
    char message[FILE_PATH_BYTES + MLFLOW_URL_BYTES + ERROR_MESSAGE_BYTES];
    snprintf(message, sizeof message, "--mlflow: %s%s", text, more);
    mlflow->say(mlflow->context, message);
}

/* Waits until the run is to be sent: at once, or a while after the server was away. Under the lock; NULL to end. */
static struct sent_run *next_run(struct train_mlflow *mlflow)
{
    for (;;) {
        for (size_t i = 0; i < mlflow->count; i++) {
            if (mlflow->runs[i].waits)
                return &mlflow->runs[i];
        }
        if (mlflow->closing)
            return NULL;
        pthread_cond_wait(&mlflow->changed, &mlflow->lock);
    }
}

static void pause_away(struct train_mlflow *mlflow)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += AWAY_S;
    while (!mlflow->closing && pthread_cond_timedwait(&mlflow->changed, &mlflow->lock, &until) == 0)
        ;
}

static void *send_all(void *context)
{
    struct train_mlflow *mlflow = context;
    struct sent_run *run;
    pthread_mutex_lock(&mlflow->lock);
    while ((run = next_run(mlflow)) != NULL) {
        char folder[FILE_PATH_BYTES];
        struct error error;
        const bool was_away = mlflow->away, last = mlflow->closing;
        memcpy(folder, run->folder, sizeof folder);
        run->waits = false;
        pthread_mutex_unlock(&mlflow->lock);
        const enum status status = send_run(mlflow, folder, &error);
        if (status != STATUS_OK && !was_away)
            tell(mlflow, error.message, last ? "" : "; the training goes on, and the rest is sent later");
        else if (status == STATUS_OK && was_away)
            tell(mlflow, mlflow->server.url, " answers again");
        pthread_mutex_lock(&mlflow->lock);
        mlflow->away = status != STATUS_OK;
        if (status == STATUS_OK)
            continue;
        for (size_t i = 0; i < mlflow->count; i++)
            mlflow->runs[i].waits = mlflow->runs[i].waits || strcmp(mlflow->runs[i].folder, folder) == 0;
        if (last)
            break;
        pause_away(mlflow);
    }
    pthread_mutex_unlock(&mlflow->lock);
    return NULL;
}

/* ---- what the training calls ------------------------------------------------------------------------------------- */

enum status train_mlflow_open(struct train_mlflow **out, const char *url, size_t runs,
                              void (*say)(void *context, const char *message), void *context, struct error *error)
{
    *out = NULL;
    if (url == NULL)
        return STATUS_OK;
    struct train_mlflow *mlflow = calloc(1, sizeof *mlflow);
    if (mlflow == NULL)
        return error_out_of_memory(error, "--mlflow");
    const struct mlflow_connection connection = {
        .url = url, .wait_s = WAIT_S, .tries = 1, .stop_requested = is_late, .context = mlflow
    };
    mlflow->say = say;
    mlflow->context = context;
    mlflow->room = runs;
    mlflow->runs = calloc(runs + 1, sizeof *mlflow->runs);
    pthread_mutex_init(&mlflow->lock, NULL);
    pthread_cond_init(&mlflow->changed, NULL);
    enum status status = mlflow->runs != NULL ? mlflow_open(&mlflow->server, &connection, error)
                                              : error_out_of_memory(error, "--mlflow");
    if (status == STATUS_OK && pthread_create(&mlflow->thread, NULL, send_all, mlflow) != 0) {
        mlflow_close(&mlflow->server);
        status = error_set(error, STATUS_ENVIRONMENT, "--mlflow: the system gives no thread");
    }
    if (status == STATUS_OK) {
        *out = mlflow;
        return STATUS_OK;
    }
    pthread_cond_destroy(&mlflow->changed);
    pthread_mutex_destroy(&mlflow->lock);
    free(mlflow->runs);
    free(mlflow);
    return status;
}

void train_mlflow_note(struct train_mlflow *mlflow, const char *folder)
{
    size_t i = 0;
    if (mlflow == NULL)
        return;
    pthread_mutex_lock(&mlflow->lock);
    while (i < mlflow->count && strcmp(mlflow->runs[i].folder, folder) != 0)
        i++;
    if (i == mlflow->count && i < mlflow->room)
        snprintf(mlflow->runs[mlflow->count++].folder, FILE_PATH_BYTES, "%s", folder);
    if (i < mlflow->count)
        mlflow->runs[i].waits = true;
    if (!mlflow->away)
        pthread_cond_signal(&mlflow->changed);
    pthread_mutex_unlock(&mlflow->lock);
}

void train_mlflow_close(struct train_mlflow *mlflow)
{
    if (mlflow == NULL)
        return;
    pthread_mutex_lock(&mlflow->lock);
    mlflow->closing = true;
    mlflow->deadline_s = clock_seconds() + CLOSE_S;
    pthread_cond_signal(&mlflow->changed);
    pthread_mutex_unlock(&mlflow->lock);
    pthread_join(mlflow->thread, NULL);
    for (size_t i = 0; i < mlflow->count; i++) {
        char rest[FILE_PATH_BYTES + MLFLOW_URL_BYTES + 64];
        if (!mlflow->runs[i].waits)
            continue;
        snprintf(rest, sizeof rest, "selfsame export %s --format mlflow --to %s", mlflow->runs[i].folder,
                 mlflow->server.url);
        tell(mlflow, "not all of the run was sent; send the rest with: ", rest);
    }
    mlflow_close(&mlflow->server);
    pthread_cond_destroy(&mlflow->changed);
    pthread_mutex_destroy(&mlflow->lock);
    free(mlflow->runs);
    free(mlflow);
}
