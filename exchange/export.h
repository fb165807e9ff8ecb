/* Runs in the formats of other tools. One table (export_formats) has the formats that are files; exchange/mlflow.h
 * sends runs to a server.
 *
 * Every format is made from records alone, and the same records give the same bytes. A file appears whole or not at
 * all. */
#ifndef SELFSAME_EXPORT_H
#define SELFSAME_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "results/record.h"

struct export_job {
    struct record *const *records; /* [count], at least one; no two of one name */
    size_t count;
    const char *out;                   /* the file or folder to write */
    bool force;                        /* replace files that exist */
    void (*written)(const char *path); /* told each file; may be NULL */
    const char *license;               /* --license: of what is published; NULL: not said */
    const char *author;                /* --author: a person or organisation; NULL: not said */
};

struct export_format {
    const char *name;
    const char *out; /* what --out names: "FOLDER" or "FILE" */
    bool one;        /* takes one run only */
    bool own;        /* says that selfsame computed the run, so it takes no imported one */
    enum status (*write)(const struct export_job *job, struct error *error);
};

extern const struct export_format export_formats[]; /* up to one whose name is NULL */

/* One row each. */
enum status export_csv(const struct export_job *job, struct error *error) MUST_USE;
enum status export_trackio(const struct export_job *job, struct error *error) MUST_USE;
enum status export_tensorboard(const struct export_job *job, struct error *error) MUST_USE;
enum status export_model_card(const struct export_job *job, struct error *error) MUST_USE;
enum status export_ro_crate(const struct export_job *job, struct error *error) MUST_USE;
enum status export_mllog(const struct export_job *job, struct error *error) MUST_USE;
enum status export_croissant(const struct export_job *job, struct error *error) MUST_USE;

/* STATUS_INPUT if a file exists, and may not be replaced. export_file writes one file of a job unless it is so, and
 * makes its folder. */
enum status export_may_write(const struct export_job *job, const char *path, struct error *error) MUST_USE;
enum status export_file(const struct export_job *job, const char *path, const void *data, size_t bytes,
                        struct error *error) MUST_USE;

/* ---- what several formats say of a run --------------------------------------------------------------------------- */

/* The files of a run that go along with it; any may be missing in its folder. */
struct export_run_file {
    const char *name, *what, *type; /* in words; its media type */
};
enum { EXPORT_RUN_FILES = 6 };
extern const struct export_run_file export_run_files[EXPORT_RUN_FILES];

/* What people call the run's data set: "CIFAR-10", or that it is drawn by the program. */
const char *export_dataset_name(const struct record *record);

/* Seconds since 1970 of a time in a record, such as "2026-11-24T03:54:00Z"; 0 if it is none. */
double export_seconds(const char *time);

/* A step or an epoch, with the time at which it was done. A record has the times of its sessions' epochs alone, so
 * breaks between sessions are left out, and the steps of an epoch are spread evenly over it. */
struct export_point {
    double time_s;                 /* since 1970 */
    uint64_t number;               /* of a step from 0; of an epoch from 1: epochs that are done */
    const struct metrics_row *row; /* of an epoch; else NULL */
    const struct ledger_row *step; /* of a step; else NULL */
};
/* Calls `visit` for every step and epoch, in the order in which they were done, until it returns false. */
void export_points(const struct record *record, bool (*visit)(void *context, const struct export_point *point),
                   void *context);

/* The columns of an epoch that are exported as curves. */
bool export_is_curve(const struct metrics_column *column);
/* The share of the validation images that were right after an epoch, 0 to 1; NaN if an imported run does not say. */
double export_accuracy(const struct metrics_row *row);

/* Calls `visit` for everything that decides a run's bits, under the names that a manifest has: its settings, its seed
 * and the version of its arithmetic. */
enum status export_parameters(const struct record *record,
                              void (*visit)(void *context, const char *key, const char *value), void *context,
                              struct error *error) MUST_USE;

#endif
