/* A run of another tool as a record in the runs folder: manifest.yaml, record.json and metrics.jsonl.
 *
 * The manifest says which experiment the run is of. Nothing of it is checked against the run, so its arithmetic becomes
 * `fast`: no bits are promised. The record has the state "imported", the source and its SHA-256. It says nothing about
 * an engine, a program or a machine. */
#ifndef SELFSAME_IMPORT_H
#define SELFSAME_IMPORT_H

#include "base/file.h"
#include "exchange/import_metrics.h"
#include "exchange/mlflow_server.h"

struct import_job {
    const char *runs;                /* the runs folder */
    const char *name;                /* --name; NULL: what the tool calls the run, or the source's own name */
    const struct manifest *manifest; /* in any arithmetic; its first seed is the run's */
    bool seed_given;                 /* whether anybody said what the run's seed is */
    struct import_choice choice;
};

/* What became of it. */
struct imported {
    char folder[FILE_PATH_BYTES];
    size_t epochs;
    bool has_error; /* whether there is any validation error */
};

/* Writes the run of a source that was read with import_wants. `notes` of the source are part of the record.
 * STATUS_INPUT for values that cannot be, and where a run of this name exists. */
enum status import_write(const struct import_job *job, struct import_source *source, struct imported *imported,
                         struct error *error) MUST_USE;

/* The runs of the runs folder that were imported before, and from where. */
struct import_known {
    char **sources, **names;
    size_t count;
};

/* import_known_free releases what was read, also after an error. Records that cannot be read are left out. */
enum status import_known_read(struct import_known *known, const char *runs, struct error *error) MUST_USE;
void import_known_free(struct import_known *known);
/* The name of the record of a run of an MLflow server, NULL if there is none. */
const char *import_known_mlflow(const struct import_known *known, const char *url, const char *run_id);

/* ---- the readers: each fills a zeroed source, which import_source_free releases, also after an error ------------- */

/* A file or a folder: CSV, an event file, a folder with event files, or a run's folder in mlruns. Known by what is in
 * it. */
enum status import_read_path(struct import_source *source, const struct import_choice *choice, const char *path,
                             struct error *error) MUST_USE;

/* One row each of what import_read_path knows. */
enum status import_read_csv(struct import_source *source, const struct import_choice *choice, const char *path,
                            struct error *error) MUST_USE;
enum status import_read_tensorboard(struct import_source *source, const char *path, struct error *error) MUST_USE;
enum status import_read_mlruns(struct import_source *source, const char *path, struct error *error) MUST_USE;

/* Whether a file begins as event files do, or its name is that of one. */
bool import_is_event_file(const char *name, const void *data, size_t bytes);

/* A run of an MLflow server. */
enum status import_read_mlflow(struct import_source *source, struct mlflow_server *server, const char *run_id,
                               struct error *error) MUST_USE;

/* The ids of all runs of an experiment, by its name or its id; the caller frees with text_free_list. */
enum status import_mlflow_runs(struct mlflow_server *server, const char *experiment, char ***ids, size_t *count,
                               struct error *error) MUST_USE;

/* Splits what people copy from the server's pages: http://host/#/experiments/1/runs/abc. `base` gets the server's URL;
 * `experiment` and `run` the two ids, or "". */
void import_split_url(const char *url, char base[MLFLOW_URL_BYTES], char experiment[IMPORT_NAME_BYTES],
                      char run[IMPORT_NAME_BYTES]);

#endif
