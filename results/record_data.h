/* A run record in memory: what results/record.h opens, and results/record_check.h checks. */
#ifndef SELFSAME_RECORD_DATA_H
#define SELFSAME_RECORD_DATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/file.h"
#include "experiments/manifest.h"
#include "results/ledger.h"
#include "results/metrics.h"
#include "results/record_json.h"

#define RECORD_MANIFEST_FILE "manifest.yaml"
#define RECORD_WEIGHTS_FILE "weights.safetensors"
#define RECORD_CHECKPOINTS_FOLDER "checkpoints"
#define RECORD_ATTESTATIONS_FOLDER "attestations"
#define RECORD_LOCK_FILE ".lock"

enum { RUN_NAME_BYTES = 256 };

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

#endif
