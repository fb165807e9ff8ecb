/* The run record: a folder that is readable without us. This header reads it; results/recorder.h writes it.
 *
 * manifest.yaml        resolved: nothing left to a default
 * record.json          state, identity, engine, host, times, final numbers, digests
 * metrics.jsonl        a line per epoch (results/metrics.h)
 * ledger.txt           a line per training step (results/ledger.h)
 * weights.safetensors  after the last whole epoch
 * checkpoints/         step-NNNNNNNN.safetensors (results/checkpoint.h)
 * .lock                held while a process writes */
#ifndef SELFSAME_RECORD_H
#define SELFSAME_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "results/ledger.h"
#include "results/metrics.h"

#define RECORD_FILE "record.json"
#define RECORD_MANIFEST_FILE "manifest.yaml"
#define RECORD_WEIGHTS_FILE "weights.safetensors"
#define RECORD_CHECKPOINTS_FOLDER "checkpoints"

enum record_state {
    RECORD_RUNNING,     /* a process is at it, or was killed */
    RECORD_INTERRUPTED, /* stopped with a checkpoint; --resume goes on */
    RECORD_FINISHED,    /* all epochs that were asked for are done */
    RECORD_FAILED       /* became non-finite, or met an error: record.json's "failure" says what */
};

const char *record_state_name(enum record_state state);

/* A run that was read. Everything is owned by the struct and lives until record_close. What is not in record.json is ""
 * or 0. */
struct record {
    char path[FILE_PATH_BYTES]; /* the folder */
    char name[256];
    enum record_state state;
    char manifest_name[256];
    char experiment_sha256[DIGEST_HEX_BYTES], manifest_sha256[DIGEST_HEX_BYTES];
    char training_data_sha256[DIGEST_HEX_BYTES], validation_data_sha256[DIGEST_HEX_BYTES];
    char arithmetic[32]; /* such as "exact-1" */
    bool exact;          /* its digests may be compared with those of any other exact run of this arithmetic */
    uint64_t seed;
    uint64_t epochs_wanted; /* by the recipe; --epochs may have stopped earlier */
    uint64_t steps_wanted;
    char *manifest;              /* text of manifest.yaml */
    json_t *fields;              /* the whole of record.json, for what is not above */
    struct metrics_row *metrics; /* [epochs] */
    size_t epochs;
    struct ledger_row *ledger; /* [steps]; may go beyond the last epoch's end while a run is unfinished */
    size_t steps;
    size_t torn_metrics, torn_ledger; /* bytes of an unfinished last line that was left out; 0: none */
};

/* The runs folder: `option` (of --runs) unless NULL, else the environment's SELFSAME_RUNS unless empty, else "runs". */
const char *record_runs_folder(const char *option);

/* Opens a run by its folder (anything with a slash, and every existing folder that holds a record.json) or its name
 * under `runs`. STATUS_INPUT where there is no such run or its files do not fit, naming file and line. */
enum status record_open(struct record **record, const char *runs, const char *run, struct error *error) MUST_USE;
/* The same without manifest, metrics and ledger: record.json alone is read. */
enum status record_open_head(struct record **record, const char *runs, const char *run, struct error *error) MUST_USE;
void record_close(struct record *record);

/* Recomputes the chain of all epochs from the experiment digest, the weights digests and the ledger of `steps` steps.
 * STATUS_INPUT names `path` and the first epoch where it does not agree: a file was damaged or changed. */
enum status record_check_chain(const char *path, const char *experiment_sha256, const struct metrics_row *metrics,
                               size_t epochs, const struct ledger_row *ledger, size_t steps,
                               struct error *error) MUST_USE;

/* The names of the runs in a runs folder, sorted; a folder that does not exist has none. The caller frees with
 * record_list_free. */
enum status record_list(const char *runs, char ***names, size_t *count, struct error *error) MUST_USE;
void record_list_free(char **names, size_t count);

#endif
