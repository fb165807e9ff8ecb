#include "results/run_progress.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static const uint64_t STEPS_ENOUGH = 20;
static const double SESSION_GAP_S = 30.0; /* record.json is written within seconds of an epoch's line */

uint64_t run_work(const struct recipe *recipe, uint64_t steps, uint64_t classified)
{
    /* An image costs its network's layers, and one that is trained with 17 fifths of one that is only classified:
     * measured on the engine cpu, at all four depths. */
    enum { TRAINED = 17, CLASSIFIED = 5 };
    return (recipe->model.depth - 2) * (TRAINED * steps * recipe->training.batch_size + CLASSIFIED * classified);
}

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

/* The work in a second of the last epoch; 0: not known. */
static double last_work(const struct record *record, const struct metrics_row *last)
{
    const uint64_t before = record->epochs > 1 ? last[-1].end_step : 0;
    const double took = last->training_seconds + last->validation_seconds;
    return took > 0.0
               ? (double)run_work(&record->manifest.recipe, last->end_step - before, last->validation_images) / took
               : 0.0;
}

void run_progress_read(const struct record *record, struct run_progress *progress)
{
    const struct record_facts *facts = &record->facts;
    const struct recipe *recipe = &record->manifest.recipe;
    const struct metrics_row *last = record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
    const uint64_t begun = last != NULL && last->end_step != METRICS_MISSING ? last->end_step : 0,
                   epochs_left = facts->epochs_wanted - record->epochs;
    double work_per_s = 0.0;
    struct timespec now;
    *progress = (struct run_progress){
        .epoch = record->epochs + (epochs_left > 0),
        .step = record->steps > begun ? record->steps : begun,
        .left_s = -1.0,
        .age_s = -1.0,
    };
    if (record_state(record) == RUN_RUNNING)
        progress->steps_per_s = current_rate(record, progress->step - begun);
    if (progress->steps_per_s > 0.0) {
        work_per_s = progress->steps_per_s * (double)run_work(recipe, 1, 0);
    } else if (last != NULL) {
        progress->steps_per_s = last->images_per_second / (double)recipe->training.batch_size;
        work_per_s = last_work(record, last);
    }
    if (work_per_s > 0.0 && facts->steps_wanted >= progress->step)
        progress->left_s =
            (double)run_work(recipe, facts->steps_wanted - progress->step, epochs_left * facts->validation_images) /
            work_per_s;
    clock_gettime(CLOCK_REALTIME, &now);
    const double age = seconds(now) - fmax(written(record, LEDGER_FILE), written(record, RECORD_FILE));
    progress->age_s = age >= 0.0 ? age : -1.0; /* not for NaN, nor where the clock was set back */
}
