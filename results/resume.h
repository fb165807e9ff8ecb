/* Finds where a stopped run continues: at its newest checkpoint that is good and belongs to the metrics and the
 * ledger. */
#ifndef SELFSAME_RESUME_H
#define SELFSAME_RESUME_H

#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "results/ledger.h"
#include "results/metrics.h"
#include "results/record_json.h"
#include "trainer/network.h"
#include "trainer/recipe.h"
#include "trainer/train.h"

struct resume_options {
    const char *folder; /* the run's */
    const char *experiment_sha256;
    const struct network *network;
    const struct training_config *training;
    uint32_t images;                  /* to train on */
    uint64_t epochs;                  /* that record.json tells of, */
    const char *metrics_sha256;       /* and the digest of their lines; "" in a record of 0.1.0 */
    void (*say)(const char *message); /* called with what a user should know; may be NULL */
};

struct resume_point {
    uint64_t step;                /* the next; 0 where there is no checkpoint yet */
    uint64_t epochs;              /* whole, before it */
    uint64_t begin;               /* the first step after them */
    uint8_t chain[DIGEST_BYTES];  /* after them; before the first, that of the experiment */
    struct metrics_lines metrics; /* the first `epochs` belong to the point */
    struct ledger_lines ledger;   /* its `step` steps */
};

/* Finds the point and reads its state, whose arrays the caller has allocated; a state without a step is left alone.
 * What was written after the point may be damaged. STATUS_INPUT where no checkpoint is good, or there is none of a run
 * that has some epochs. */
enum status resume_find(const struct resume_options *options, struct training_state *state, struct resume_point *point,
                        struct error *error) MUST_USE;

/* Brings metrics.jsonl and ledger.txt into the form in which they are appended to: without carriage returns, and not
 * compressed. *metrics_bytes and *ledger_bytes of them belong to the point; the rest is still to be cut off. */
enum status resume_unify(const struct resume_options *options, const struct resume_point *point,
                         uint64_t *metrics_bytes, uint64_t *ledger_bytes, struct error *error) MUST_USE;
void resume_free(struct resume_point *point);

/* STATUS_INPUT for a run whose data changed in memory while it was trained. It is worth nothing, and no checkpoint says
 * when that was. */
enum status resume_check_memory(const char *folder, const struct record_facts *facts, struct error *error) MUST_USE;
/* STATUS_INPUT where the test data are not those of SHA-256 `sha256`. The experiment does not depend on them, but the
 * errors of all epochs must be of the same. */
enum status resume_check_test_data(const char *folder, const struct record_facts *facts, const char *sha256,
                                   struct error *error) MUST_USE;

/* Whether a folder without a record.json is free for a new run. STATUS_INPUT names what is there. */
enum status resume_check_free(const char *folder, struct error *error) MUST_USE;

#endif
