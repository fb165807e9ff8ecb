/* Runs on an MLflow server: one run there for each run here, in an experiment of the manifest's name.
 *
 * same     The tag selfsame.run, which follows from the experiment's digest, the start and the host, finds a run that
 *          was sent before. What it has is not sent again: parameters by name, metrics by their last step, files by
 *          digest. So a transfer that was cut, and one during the training, go on with what is missing.
 * metrics  NAME for the columns of metrics.jsonl, over the epochs done; step/loss and step/errors, if asked for, over
 *          the steps from 0
 * files    the record's files, where the server takes them (artifact URI mlflow-artifacts:) */
#ifndef SELFSAME_MLFLOW_H
#define SELFSAME_MLFLOW_H

#include "exchange/mlflow_server.h"
#include "results/record.h"

struct mlflow_choice {
    const char *experiment; /* NULL: the manifest's name */
    bool steps;             /* every step, too */
    bool files;             /* the record's files, too */
};

struct mlflow_sent {
    char run_id[64], experiment_id[64];
    bool found; /* it was there before */
    size_t parameters, metrics, files;
    char no_files[256]; /* why none can be sent; "" otherwise */
};

/* Sends what the server does not have yet, and the run's state. */
enum status mlflow_send(struct mlflow_server *server, const struct record *record, const struct mlflow_choice *choice,
                        struct mlflow_sent *sent, struct error *error) MUST_USE;

#endif
