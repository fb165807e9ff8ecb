/* One run of `selfsame train`: a manifest with one seed. Opens its engine and its record, trains, and prints. */
#ifndef SELFSAME_TRAIN_RUN_H
#define SELFSAME_TRAIN_RUN_H

#include <pthread.h>

#include "base/progress.h"
#include "commands/after.h"
#include "commands/command.h"
#include "commands/shared_data.h"
#include "commands/train_mlflow.h"
#include "experiments/manifest.h"
#include "ranks/ranks.h"
#include "results/find_run.h"
#include "trainer/engine.h"

/* What the runs of one call share. */
struct train_session {
    const struct arguments *arguments;
    struct ranks *ranks;   /* that train together; NULL: this process alone */
    size_t runs, together; /* of the call, and how many of them at a time */
    int name_width;        /* of the runs' names, where several runs print at a time; else 0 */
    struct shared_data *data;
    struct after_runs *after;    /* what --after runs, with the runs that are finished */
    struct train_mlflow *mlflow; /* what --mlflow sends; NULL for nothing */

    pthread_mutex_t opening;    /* engines are opened and closed one at a time */
    pthread_mutex_t after_lock; /* of --after's list of runs */
    pthread_mutex_t lock;       /* of all that follows, and of standard output */
    struct progress progress;
    uint64_t work, done; /* of all runs together: see train_run_work */
    uint64_t steps;      /* that were computed in this call */
    size_t finished;     /* runs that are finished, or were */
    bool heading;        /* is printed */
};

struct train_run {
    struct train_session *session;
    const struct manifest *manifest;
    uint64_t seed;
    size_t number; /* of the call's runs, from 1 */
    const struct engine_operations *operations;
    char name[RUN_NAME_BYTES]; /* --name, or the default */
};

/* With ranks, all of them take the same way: what one alone can know or do (a signal, the record, the output), it tells
 * the others by ranks_agree. Only rank 0 prints and writes. */
bool train_leads(const struct train_session *session);
/* Whether any rank was asked to stop. Collective. */
bool train_stop_requested(struct train_session *session);

/* Reads a manifest as the options of train change it: --arithmetic. STATUS_INPUT where --epochs is more than it has;
 * STATUS_INPUT or STATUS_ENVIRONMENT where no engine (or not that of --engine) can compute it. */
enum status train_run_read_manifest(const char *path, const struct arguments *arguments, struct manifest *manifest,
                                    struct error *error) MUST_USE;

/* The name of a manifest's run with a seed: the manifest's with the arithmetic and the seed. */
void train_run_default_name(const struct manifest *manifest, uint64_t seed, char name[RUN_NAME_BYTES]);

/* Whether the run exists and has nothing left to do: it is of this experiment, and has `epochs` epochs (0: all). */
bool train_run_is_finished(const char *runs, const char *name, const char *experiment_sha256, uint64_t epochs);

/* The epochs of a manifest's training up to --epochs. */
uint64_t train_run_epochs(const struct arguments *arguments, const struct manifest *manifest);

/* The work of a run (results/run_progress.h) up to --epochs. */
uint64_t train_run_work(const struct arguments *arguments, const struct manifest *manifest);

/* Trains it. Several threads may train runs of one session.
 * errors   STATUS_INTERRUPTED after a signal, with a checkpoint; everything else as train, recorder_open, data_load and
 *          the engine say. */
enum status train_run_train(struct train_run *run, struct error *error) MUST_USE;

/* --dry-run: prints what would be done, without data, engine or record. *bytes: the memory that its engine would
 * take. */
enum status train_run_describe(const struct train_run *run, size_t *bytes, struct error *error) MUST_USE;

#endif
