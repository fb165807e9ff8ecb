/* The run record: a folder that you can read without selfsame. This header reads it; results/recorder.h writes it.
 *
 * manifest.yaml        resolved: with every default filled in
 * record.json          state, identity, engine, host, times, final numbers, digests (results/record_json.h)
 * metrics.jsonl        a line for each epoch (results/metrics.h)
 * ledger.txt           a line for each training step (results/ledger.h); ledger.txt.gz in published runs
 * weights.safetensors  after the last whole epoch
 * checkpoints/         step-NNNNNNNN.safetensors (results/checkpoint.h)
 * attestations/        signed statements (results/attestation.h)
 * tags/, note.txt      what people say about it (results/labels.h); no part of the record
 * .lock                held while a process writes (base/lock.h)
 *
 * The four texts may have a byte order mark and carriage returns: they are read, and their digests are computed, as if
 * these were not there. */
#ifndef SELFSAME_RECORD_H
#define SELFSAME_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "experiments/manifest.h"
#include "results/find_run.h"
#include "results/ledger.h"
#include "results/metrics.h"
#include "results/record_json.h"

#define RECORD_MANIFEST_FILE "manifest.yaml"
#define RECORD_WEIGHTS_FILE "weights.safetensors"
#define RECORD_CHECKPOINTS_FOLDER "checkpoints"
#define RECORD_ATTESTATIONS_FOLDER "attestations"
#define RECORD_LOCK_FILE ".lock"

/* The state of a run, from its lock and its folder. */
enum run_state {
    RUN_RUNNING,  /* a process holds its lock */
    RUN_STOPPED,  /* unfinished, and no process trains it: interrupted, or killed; --resume continues it */
    RUN_FINISHED, /* all wanted epochs are done: `epochs` of facts.epochs_wanted */
    RUN_FAILED    /* facts.failure says why */
};

/* A run that was read. Everything is owned by the struct and lives until record_close. */
struct record {
    char path[FILE_PATH_BYTES];  /* the folder; of a packed run, a temporary one */
    char shown[FILE_PATH_BYTES]; /* how people call it: the folder, or the packed run's path or URL */
    char name[RUN_NAME_BYTES];   /* the folder's, or the packed run's without its suffix */
    struct scratch scratch;      /* of a packed run; a path of "" for none */
    bool locked;                 /* by another process, when it was opened */
    struct record_facts facts;   /* record.json */
    char *manifest_text;         /* manifest.yaml */
    struct manifest manifest;    /* the same, read */
    struct metrics_row *metrics; /* [epochs]; an unfinished run may have more than facts.result.epochs */
    size_t epochs;
    struct ledger_row *ledger; /* [steps]; may go beyond the last epoch's end while a run is unfinished */
    size_t steps;
    struct metrics_lines metrics_lines; /* the files that the two above are of */
    struct ledger_lines ledger_lines;
};

/* Opens a run (results/find_run.h says how it may be named) and compares its files with each other
 * (results/record_check.h). STATUS_INPUT if there is no such run, if a file is wrong (naming file and line), or if two
 * of them contradict each other (naming both). A packed run (results/pack.h) is unpacked into a temporary folder, which
 * record_close removes. */
enum status record_open(struct record **record, const char *runs, const char *run, struct error *error) MUST_USE;
/* The same of record.json alone: there are no manifest, metrics and ledger. */
enum status record_open_head(struct record **record, const char *runs, const char *run, struct error *error) MUST_USE;
void record_close(struct record *record);

enum run_state record_state(const struct record *record);
/* In words: "running", "stopped", "finished", "finished 3 of 180", "failed". */
enum { RECORD_STATE_BYTES = 64 };
const char *record_state_text(const struct record *record, char text[RECORD_STATE_BYTES]);

#endif
