#include "results/run_progress.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static const uint64_t STEPS_ENOUGH = 20;
static const double SESSION_GAP_S = 30.0; /* record.json is written within seconds of an epoch's line */

static double seconds(struct timespec time)
{
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* When a file of the run was last written; NaN if it does not exist. */
static double written(const struct record *record, const char *name)
{
    char path[FILE_PATH_BYTES];
    struct error ignored;
    struct stat about;
    if (file_path(path, &ignored, "%s/%s", record->path, name) != STATUS_OK || lstat(path, &about) != 0)
        return NAN;
    return seconds(about.st_mtim);
}

/* Of the epoch that is being computed: its steps so far, over the time from the last epoch's end to the last step. If a
 * record was written in between, a process resumed the run, so there was a pause. */
static double current_rate(const struct record *record, uint64_t steps)
{
    const double ledger = written(record, LEDGER_FILE), metrics = written(record, METRICS_FILE),
                 fields = written(record, RECORD_FILE);
    if (steps < STEPS_ENOUGH || !(ledger > metrics) || !(fabs(fields - metrics) < SESSION_GAP_S))
        return 0.0;
    return (double)steps / (ledger - metrics);
}

void run_progress_read(const struct record *record, struct run_progress *progress)
{
    const struct record_facts *facts = &record->facts;
    const struct metrics_row *last = record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
    const uint64_t begun = last != NULL ? last->end_step : 0, epochs_left = facts->epochs_wanted - record->epochs;
    struct timespec now;
    *progress = (struct run_progress){
        .epoch = record->epochs + (epochs_left > 0),
        .step = record->steps > begun ? record->steps : begun,
        .left_s = -1.0,
        .age_s = -1.0,
    };
    if (record_state(record) == RUN_RUNNING)
        progress->steps_per_s = current_rate(record, progress->step - begun);
    if (progress->steps_per_s <= 0.0 && last != NULL)
        progress->steps_per_s = last->images_per_second / (double)record->manifest.recipe.training.batch_size;
    if (progress->steps_per_s > 0.0 && facts->steps_wanted >= progress->step)
        progress->left_s = (double)(facts->steps_wanted - progress->step) / progress->steps_per_s +
                           (last != NULL ? last->validation_seconds * (double)epochs_left : 0.0);
    clock_gettime(CLOCK_REALTIME, &now);
    const double age = seconds(now) - fmax(written(record, LEDGER_FILE), written(record, RECORD_FILE));
    progress->age_s = age >= 0.0 ? age : -1.0; /* not for NaN, nor where the clock was set back */
}
