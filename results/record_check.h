/* Checks a record against itself. Its files repeat each other; if two of them disagree, one was changed or damaged
 * after it was written.
 *
 * record.json      its own digest; the manifest's digest, and what follows from the manifest: experiment digest,
 *                  length, depth, data; the last epoch, the best one, and the digest of metrics.jsonl
 * metrics.jsonl    steps and learning rates, which follow from the manifest; errors, from their counts
 * ledger.txt       the chain of digests over it and the metrics; the training losses and errors, which are its means
 * weights          results/weights_check.h
 * imported runs    no ledger and no chain; instead what results/imported.h says
 *
 * Records of 0.1.0 have no digests of record.json and metrics.jsonl. In these, validation losses before the last epoch
 * and times cannot be checked. */
#ifndef SELFSAME_RECORD_CHECK_H
#define SELFSAME_RECORD_CHECK_H

#include "results/record_data.h"

/* All but the weights: what record_open does. STATUS_INPUT names the run, the two files that contradict each other, and
 * what each says. */
enum status record_check(const struct record *record, struct error *error) MUST_USE;

/* Which of the data in memory, "training" or "validation", had another SHA-256 after the training than before it; NULL:
 * none, or it is not known. */
const char *record_check_memory(const struct record_facts *facts, const char **before, const char **after);

/* Recomputes the chain of the first `epochs` epochs. STATUS_INPUT names `path` and the first epoch where it does not
 * agree. */
enum status record_check_chain(const char *path, const char *experiment_sha256, const struct metrics_row *metrics,
                               size_t epochs, const struct ledger_row *ledger, size_t steps,
                               struct error *error) MUST_USE;

#endif
