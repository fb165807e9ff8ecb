/* How far a run is and how fast, from its record and the times of its files. */
#ifndef SELFSAME_RUN_PROGRESS_H
#define SELFSAME_RUN_PROGRESS_H

#include <stdint.h>

#include "results/record.h"

struct run_progress {
    uint64_t epoch;     /* the one that is being computed, from 1; at the end, the last */
    uint64_t step;      /* steps done */
    double steps_per_s; /* 0: not known */
    double left_s;      /* until the training's end, at this rate; negative: not known */
    double age_s;       /* since the run's files were last written; negative: not known */
};

/* The rate is that of the current epoch where it has enough steps and was begun by this process, else that of the last
 * epoch. What the process takes for evaluations is in left_s. */
void run_progress_read(const struct record *record, struct run_progress *progress);

#endif
