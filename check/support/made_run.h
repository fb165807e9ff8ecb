/* Finished runs that are made up in memory, for tests of what judges and draws records. */
#ifndef SELFSAME_MADE_RUN_H
#define SELFSAME_MADE_RUN_H

#include "results/record_data.h"

enum { MADE_EPOCHS = 2 };

struct made_run {
    struct record record;
    struct metrics_row metrics[MADE_EPOCHS];
};

/* A manifest of quick's depth 20, with more lines; the caller frees. */
struct manifest made_manifest(const char *more);

/* Makes the run made-seedN of depth 20 on the embedded data set; `run` was zeroed.
 * more         lines for its manifest
 * final_error  percent, after the last epoch; 5 before it. Training took N + 1 seconds in each epoch
 * bits         a letter, of which its weights digests are made
 *
 * made_run_free releases what the run's manifest holds. */
void made_run_fill(struct made_run *run, size_t n, const char *more, double final_error, char bits);
void made_run_free(struct made_run *run);

#endif
