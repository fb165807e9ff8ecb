/* Records that agree with themselves, and are lies: one number was changed, and every digest and number that follows
 * from it computed anew. Only another record shows it, or the computation. */
#ifndef SELFSAME_FORGED_RECORD_H
#define SELFSAME_FORGED_RECORD_H

#include <stdint.h>

#include "results/record.h"

/* Writes a run's metrics, ledger and record over those of the folder `name` in runs_folder, one number changed or
 * several; now and then what follows is left as it was. `draw` gives a random number below its argument. Returns what
 * was changed, for messages. */
const char *forge_record(const struct record *record, const char *name, uint64_t (*draw)(uint64_t count));

/* The same of the first epochs alone, which end at other steps than the schedule's, rising. `chain_sha256`: after
 * them. */
void forge_epoch_ends(const struct record *record, const char *name, const uint64_t *ends, size_t epochs,
                      char chain_sha256[DIGEST_HEX_BYTES]);

#endif
