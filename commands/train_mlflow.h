/* train --mlflow URL: sends runs to an MLflow server while they are trained, through the code of selfsame export.
 *
 * A thread of its own sends, so that no server can stop or slow a training. A server that is away is told once; what is
 * missing is sent after a later epoch, or at the end. */
#ifndef SELFSAME_TRAIN_MLFLOW_H
#define SELFSAME_TRAIN_MLFLOW_H

#include <stddef.h>

#include "base/error.h"

struct train_mlflow;

/* `runs` runs at most; `say` prints a message, from any thread. Without a URL *mlflow is NULL, which the functions
 * below take. STATUS_INPUT for what is no URL. */
enum status train_mlflow_open(struct train_mlflow **mlflow, const char *url, size_t runs,
                              void (*say)(void *context, const char *message), void *context,
                              struct error *error) MUST_USE;

/* The run in that folder has something new. Never waits for the server. */
void train_mlflow_note(struct train_mlflow *mlflow, const char *folder);

/* Sends what is left, for as long as a server answers, but no longer than half a minute. Says how to send the rest. */
void train_mlflow_close(struct train_mlflow *mlflow);

#endif
