/* How far a run is, how fast, and how long it will still take. */
#ifndef SELFSAME_RUN_PROGRESS_H
#define SELFSAME_RUN_PROGRESS_H

#include <stdint.h>

#include "results/record.h"

/* The work of the first `steps` steps and of classifying so many images, in a unit of its own. So one share and one
 * time left can be told for networks of several depths, with their evaluations. */
uint64_t run_work(const struct recipe *recipe, uint64_t steps, uint64_t classified);

/* From a run's record, and the times of its files. */
struct run_progress {
    uint64_t epoch;     /* the one that is being computed, from 1; at the end, the last */
    uint64_t step;      /* steps done */
    double steps_per_s; /* 0: not known */
    double left_s;      /* until the training's end, at this rate of work; negative: not known */
    double age_s;       /* since the run's files were last written; negative: not known */
};

/* The rate is that of the current epoch where it has enough steps and was begun by this process, else that of the last
 * epoch, its evaluation included in left_s. */
void run_progress_read(const struct record *record, struct run_progress *progress);

#endif
