/* The run record: a folder that you can read without selfsame. This header reads it; results/recorder.h writes it.
 *
 * manifest.yaml        resolved: with every default filled in
 * record.json          state, identity, engine, host, times, final numbers, digests (results/record_json.h)
 * metrics.jsonl        a line for each epoch (results/metrics.h)
 * ledger.txt           a line for each training step (results/ledger.h); ledger.txt.gz in published runs
 * weights.safetensors  after the last whole epoch
 * source-changes.diff.gz
 *                      how the sources of the program differed from its commit (results/source_changes.h)
 * checkpoints/         step-NNNNNNNN.safetensors (results/checkpoint.h)
 * attestations/        signed statements (results/attestation.h)
 * tags/, note.txt      what people say about it (results/labels.h); no part of the record
 * .lock                held while a process writes (base/lock.h)
 *
 * The four texts may have a byte order mark and carriage returns: they are read, and their digests are computed, as if
 * these were not there. */
#ifndef SELFSAME_RECORD_H
#define SELFSAME_RECORD_H

#include "base/error.h"
#include "results/find_run.h"
#include "results/record_data.h"

/* The state of a run, from its lock and its folder. */
enum run_state {
    RUN_RUNNING,  /* a process holds its lock */
    RUN_STOPPED,  /* unfinished, and no process trains it: interrupted, or killed; --resume continues it */
    RUN_FINISHED, /* all wanted epochs are done: `epochs` of facts.epochs_wanted */
    RUN_FAILED,   /* facts.failure says why */
    RUN_IMPORTED  /* of another tool; it may have fewer epochs than facts.epochs_wanted */
};

/* Opens a run (results/find_run.h says how it may be named) and compares its files with each other
 * (results/record_check.h). STATUS_INPUT if there is no such run, if a file is wrong (naming file and line), or if two
 * of them contradict each other (naming both). A packed run (results/pack.h) is unpacked into a temporary folder, which
 * record_close removes. */
enum status record_open(struct record **record, const char *runs, const char *run, struct error *error) MUST_USE;
/* The same of record.json alone: there are no manifest, metrics and ledger. */
enum status record_open_head(struct record **record, const char *runs, const char *run, struct error *error) MUST_USE;
void record_close(struct record *record);
/* Several runs, up to the first that cannot be opened. records_close releases them, also after an error. */
enum status records_open(struct record ***records, const char *runs, const char *const *names, size_t count,
                         struct error *error) MUST_USE;
void records_close(struct record **records, size_t count);

enum run_state record_state(const struct record *record);
/* In words: "running", "stopped", "finished", "finished 3 of 180", "failed", "imported", "imported 3 of 180". */
enum { RECORD_STATE_BYTES = 64 };
const char *record_state_text(const struct record *record, char text[RECORD_STATE_BYTES]);

#endif
