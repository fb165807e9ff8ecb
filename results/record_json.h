/* record.json: what a run says about itself. One table (in record_json.c) names every key; the writer, the reader and
 * the comparison of two records go through it.
 *
 * format         RECORD_FORMAT. Keys may be added within a format, since unknown keys are skipped; a change of meaning
 *                is a new format, which readers of the old one refuse.
 * record_sha256  of the file's text without that line, so that a later change shows:
 *                grep -v '"record_sha256"' record.json | sha256sum
 * imported       A run of another tool has the state RECORD_IMPORTED and a section that says where it came from
 *                (results/imported.h). What is not known of it is null, and sections on engine, program and machine
 *                are not there. Versions before it refuse the state, so none takes such a record for its own.
 * memory         Texts belong to the writer, or, once read, to the struct, until record_json_free. */
#ifndef SELFSAME_RECORD_JSON_H
#define SELFSAME_RECORD_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "results/metrics.h"

#define RECORD_FILE "record.json"
enum { RECORD_FORMAT = 1 };

/* The state that the writing process recorded last. Only the run's lock tells whether a process trains it now:
 * record_state() in results/record.h. */
enum record_said_state {
    RECORD_RUNNING,     /* a process is at it, or was killed */
    RECORD_INTERRUPTED, /* stopped with a checkpoint; --resume continues it */
    RECORD_FINISHED,    /* all epochs that were asked for are done */
    RECORD_FAILED,      /* became non-finite, or met an error: `failure` says what */
    RECORD_IMPORTED     /* computed by another tool; `imported` says which */
};

struct record_facts {
    uint64_t format;
    char record_sha256[DIGEST_HEX_BYTES]; /* "" in records of 0.1.0 */
    const char *name;                     /* the folder's when it was begun; copies may be called otherwise */
    enum record_said_state state;
    const char *failure; /* "" for none */

    struct {
        uint64_t epochs;                       /* done; without any, the rest of this section is not there */
        struct metrics_row last;               /* of it the numbers that record.json repeats, and the digests */
        double best_validation_error;          /* the lowest so far, percent, and where it was first */
        uint64_t best_epoch;                   /* from 0; METRICS_MISSING if no error is known */
        char metrics_sha256[DIGEST_HEX_BYTES]; /* of the lines of these epochs; "" in records of 0.1.0 */
    } result;

    /* Of RECORD_IMPORTED, else all empty. Lists are NULL if they are empty. */
    struct {
        const char *tool;              /* such as "TensorBoard" */
        const char *source;            /* a path or a URL */
        char sha256[DIGEST_HEX_BYTES]; /* of what was read; the manual page of import says how it is formed */
        const char *time;              /* when it was read */
        const char *version;           /* of the selfsame that read it */
        const char *run, *status;    /* what the tool calls the run, and how it says that it ended; "" if it does not */
        const char *const *columns;  /* how each metric follows from the source's: "validation_error = test_err" */
        const char *const *settings; /* what the tool says about the run, as NAME=VALUE; nothing checks it */
        const char *const *notes;    /* what was left out */
    } imported;

    const char *manifest_name;
    char manifest_sha256[DIGEST_HEX_BYTES]; /* of manifest.yaml's text, its lines ended by a line feed alone */
    char experiment_sha256[DIGEST_HEX_BYTES];
    uint64_t seed, epochs_wanted, steps_wanted; /* by the recipe; --epochs may have stopped earlier */
    const char *arithmetic;                     /* such as "exact-1" */
    bool exact;                /* its digests may be compared with those of any other exact run of this arithmetic */
    const char *const *claims; /* which repetitions give the same bits */
    uint64_t depth, parameters;
    uint64_t training_images, validation_images;
    char training_data_sha256[DIGEST_HEX_BYTES], validation_data_sha256[DIGEST_HEX_BYTES];
    const char *const *data_notes;

    /* Circumstances: they move no bits, and may be missing. Lists end with a NULL. */
    const char *engine_name, *engine_description;
    uint64_t engine_memory_bytes;
    const char *const *engine_facts; /* NULL: no such list */
    uint64_t ranks;                  /* 0: one process */
    const char *ranks_description;   /* their MPI library and hosts */
    const char *program_commit;      /* of its source, in full */
    char program_sha256[DIGEST_HEX_BYTES];
    const char *program_version, *program_compiler, *program_flags, *program_configured;
    /* How its source differed from the commit (results/source_changes.h): the bytes of that text, and their digest. */
    uint64_t source_changes_bytes;
    char source_changes_sha256[DIGEST_HEX_BYTES];
    const char *libc_version, *libcrypto_version, *jansson_version, *libz_version, *libyaml_version,
        *libarchive_version, *libcurl_version, *sqlite_version;
    const char *host_name, *host_system, *host_cpu;
    uint64_t host_cpus;
    const char *host_microcode, *host_caches, *host_container; /* of the first processor; the kind of container */
    uint64_t host_memory_bytes;
    const char *gpu_driver, *gpu_uuid, *gpu_vbios; /* of the card that computes, as its driver's library tells (NVML) */
    double gpu_power_limit_watts;
    uint64_t gpu_clock_mhz;
    const char *const *environment; /* variables that matter, as NAME=VALUE; NULL: none of them is set */
    const char *time_started, *time_updated;
    double wall_seconds;
    double cpu_seconds;    /* of all threads; 0: not known */
    double package_joules; /* of the machine's processors, with all that ran on them; 0: not known */
    double gpu_joules;     /* of the card, likewise */
    uint64_t sessions;
    uint64_t peak_memory_bytes;
    /* When the training ended, of the data in memory, which are the same as before it if the memory is good; and of the
     * program's file and manifest.yaml. */
    char training_data_after_sha256[DIGEST_HEX_BYTES], validation_data_after_sha256[DIGEST_HEX_BYTES];
    char program_after_sha256[DIGEST_HEX_BYTES], manifest_after_sha256[DIGEST_HEX_BYTES];

    json_t *document; /* what was read, which owns the texts; NULL where none was */
};

/* Reads a file. Texts that are missing become "", lists an empty list, numbers 0. STATUS_INPUT names the file and the
 * key that is missing, of another type, or contradicted by record_sha256; or the format, where it is not known. */
enum status record_json_read(const char *path, struct record_facts *facts, struct error *error) MUST_USE;
/* Writes the file durably, as `format` and with `record_sha256` of its own. */
enum status record_json_write(const char *path, const struct record_facts *facts, struct error *error) MUST_USE;
void record_json_free(struct record_facts *facts);

/* Counts an epoch in: result.epochs, last and best. */
void record_json_add_epoch(struct record_facts *facts, const struct metrics_row *row);

/* The first key of a section in which two records differ, such as "result.steps", with both values as texts; NULL:
 * none. A key that the first does not have ("", or missing) is skipped. */
enum { RECORD_VALUE_BYTES = 96 };
const char *record_json_difference(const struct record_facts *a, const struct record_facts *b, const char *section,
                                   char value_a[RECORD_VALUE_BYTES], char value_b[RECORD_VALUE_BYTES]);

/* Calls `visit` for every key of a record, with both values as texts, "" for one that a record has not. */
void record_json_pairs(const struct record_facts *a, const struct record_facts *b,
                       void (*visit)(void *context, const char *key, const char *value_a, const char *value_b),
                       void *context);

/* A section as an object of its own, such as "host"; NULL without memory. */
json_t *record_json_section(const struct record_facts *facts, const char *section);

const char *record_said_state_name(enum record_said_state state);

#endif
