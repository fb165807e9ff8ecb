/* What the parts of `selfsame sweep` share: the list of tasks, a manifest with a seed each. sweep.c makes it,
 * sweep_jobs.c trains it here, sweep_slurm.c submits it, and sweep_summary.c shows what came of it. */
#ifndef SELFSAME_SWEEP_H
#define SELFSAME_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/file.h"
#include "base/hash.h"
#include "commands/command.h"
#include "experiments/manifest.h"
#include "results/find_run.h"

/* Logs and the array's script are in this folder of the runs folder. */
#define SWEEP_FOLDER "sweep-logs"

struct sweep_task {
    const char *path; /* the manifest, as the command line has it */
    const struct manifest *manifest;
    uint64_t seed;
    char name[RUN_NAME_BYTES]; /* the run's */
    char experiment_sha256[DIGEST_HEX_BYTES];
};

struct sweep {
    const struct arguments *arguments;
    const char *runs;
    struct manifest *manifests; /* one for each operand */
    size_t manifest_count;
    struct sweep_task *tasks; /* by manifest, and then by seed */
    size_t task_count;
};

/* Whether the task's run has nothing left to do. */
bool sweep_task_is_finished(const struct sweep *sweep, const struct sweep_task *task);

/* The command line that trains a task: a NULL-terminated list whose words belong to `sweep` and to the struct. */
enum { SWEEP_WORDS_MAX = 40 };
struct sweep_words {
    char *list[SWEEP_WORDS_MAX];
    char seed[24], threads[24];
};
/* threads: for train's --threads where the sweep has no such option; 0: none. */
void sweep_train_words(const struct sweep *sweep, const struct sweep_task *task, uint32_t threads,
                       struct sweep_words *words);

/* The program that is running: its path, or what starts it where its file has been replaced. */
void sweep_program(char path[FILE_PATH_BYTES]);

/* arguments_write_line as a text. The caller frees; NULL without memory. */
char *sweep_command_line(const struct arguments *arguments, const char *const *without, const char *also);

/* Trains all tasks that are not finished here, `jobs` processes at a time.
 * errors   STATUS_INTERRUPTED after a signal: every process has written its checkpoint. Otherwise that of the first
 *          task that failed; a failing one leaves the others alone. */
enum status sweep_run_jobs(const struct sweep *sweep, size_t jobs, struct error *error) MUST_USE;

/* Submits all tasks that are not finished as one array; with --dry-run, prints its script. STATUS_INPUT for a template
 * that cannot be filled in, STATUS_ENVIRONMENT where there is no sbatch, or where it refuses. */
enum status sweep_submit(const struct sweep *sweep, struct error *error) MUST_USE;

/* Prints the runs, and for each manifest the mean and the standard deviation of its finished runs. */
enum status sweep_print_summary(const struct sweep *sweep, struct error *error) MUST_USE;

#endif
