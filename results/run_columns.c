#include "results/run_columns.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define FACT(member) FROM_FACTS, offsetof(struct record_facts, member)
#define KNOWN(member) FROM_KNOWN, offsetof(struct record_facts, member)
#define LAST(member) FROM_LAST, offsetof(struct metrics_row, member)
#define LISTED(member) FROM_LISTED, offsetof(struct listed_run, member)

/* In the order in which they are shown. */
const struct run_column run_columns[] = {
    { "run", "name", RUN_COLUMN_TEXT, LISTED(name), 0, 0, true },
    { "manifest", NULL, RUN_COLUMN_TEXT, FACT(manifest_name), 0, 5, true },
    { "seed", NULL, RUN_COLUMN_INTEGER, FACT(seed), 0, 4, true },
    { "state", NULL, RUN_COLUMN_TEXT, LISTED(state), 0, 0, true },
    { "epochs", "epoch", RUN_COLUMN_INTEGER, LISTED(epochs), 0, 0, true },
    { "of", NULL, RUN_COLUMN_INTEGER, FACT(epochs_wanted), 0, 0, true },
    { "error", "val_error", RUN_COLUMN_REAL, LAST(validation_error), 2, 0, true },
    { "best", "best_error", RUN_COLUMN_REAL, LISTED(best), 2, 1, true },
    { "engine", NULL, RUN_COLUMN_TEXT, FACT(engine_description), 0, 6, true },
    { "weights", NULL, RUN_COLUMN_DIGEST, LAST(weights_sha256), 16, 2, true },
    { "started", NULL, RUN_COLUMN_TEXT, FACT(time_started), 0, 3, true },
    { "depth", NULL, RUN_COLUMN_INTEGER, FACT(depth), 0, 0, false },
    { "parameters", NULL, RUN_COLUMN_INTEGER, KNOWN(parameters), 0, 0, false },
    { "arithmetic", NULL, RUN_COLUMN_TEXT, FACT(arithmetic), 0, 0, false },
    { "train_error", NULL, RUN_COLUMN_REAL, LAST(training_error), 2, 0, false },
    { "loss", "train_loss", RUN_COLUMN_REAL, LAST(training_loss), 6, 0, false },
    { "val_loss", NULL, RUN_COLUMN_REAL, LAST(validation_loss), 6, 0, false },
    { "steps", "step", RUN_COLUMN_INTEGER, LAST(end_step), 0, 0, false },
    { "experiment", NULL, RUN_COLUMN_DIGEST, FACT(experiment_sha256), 16, 0, false },
    { "recipe", NULL, RUN_COLUMN_DIGEST, LISTED(recipe_sha256), 16, 0, false },
    { "data", NULL, RUN_COLUMN_DIGEST, FACT(training_data_sha256), 16, 0, false },
    { "test_data", NULL, RUN_COLUMN_DIGEST, FACT(validation_data_sha256), 16, 0, false },
    { "experiment_sha256", NULL, RUN_COLUMN_DIGEST, FACT(experiment_sha256), 64, 0, false },
    { "weights_sha256", NULL, RUN_COLUMN_DIGEST, LAST(weights_sha256), 64, 0, false },
    { "failure", NULL, RUN_COLUMN_TEXT, FACT(failure), 0, 0, false },
    { "version", NULL, RUN_COLUMN_TEXT, FACT(program_version), 0, 0, false },
    { "compiler", NULL, RUN_COLUMN_TEXT, FACT(program_compiler), 0, 0, false },
    { "host", NULL, RUN_COLUMN_TEXT, FACT(host_name), 0, 0, false },
    { "cpu", NULL, RUN_COLUMN_TEXT, FACT(host_cpu), 0, 0, false },
    { "updated", NULL, RUN_COLUMN_TEXT, FACT(time_updated), 0, 0, false },
    { "wall_seconds", NULL, RUN_COLUMN_REAL, KNOWN(wall_seconds), 1, 0, false },
    { "sessions", NULL, RUN_COLUMN_INTEGER, KNOWN(sessions), 0, 0, false },
    { "images_per_s", NULL, RUN_COLUMN_REAL, LAST(images_per_second), 1, 0, false },
    { "peak_memory", NULL, RUN_COLUMN_INTEGER, KNOWN(peak_memory_bytes), 0, 0, false },
    { "path", NULL, RUN_COLUMN_TEXT, FROM_FOLDER, 0, 0, 0, false },
    { "tags", "tag", RUN_COLUMN_TAGS, LISTED(tags), 0, 0, false },
    { "note", NULL, RUN_COLUMN_TEXT, LISTED(note), 0, 0, false },
};
const size_t run_column_count = sizeof run_columns / sizeof *run_columns;

const struct run_column *run_column_find(const char *name)
{
    for (size_t i = 0; i < run_column_count; i++) {
        if (strcmp(run_columns[i].name, name) == 0 ||
            (run_columns[i].alias != NULL && strcmp(run_columns[i].alias, name) == 0))
            return &run_columns[i];
    }
    return NULL;
}

void run_column_unknown(const char *name, char *text, size_t size)
{
    const char *names[2 * sizeof run_columns / sizeof *run_columns + 1];
    size_t count = 0;
    for (size_t i = 0; i < run_column_count; i++) {
        names[count++] = run_columns[i].name;
        if (run_columns[i].alias != NULL)
            names[count++] = run_columns[i].alias;
    }
    names[count] = NULL;
    const char *nearest = nearest_word(name, names);
    if (nearest != NULL) {
        snprintf(text, size, "there is no column '%.40s'; did you mean '%s'?", name, nearest);
        return;
    }
    int length = snprintf(text, size, "there is no column '%.40s'; the columns are", name);
    for (size_t i = 0; i < run_column_count && length >= 0 && (size_t)length < size; i++)
        length += snprintf(text + length, size - (size_t)length, "%s %s", i > 0 ? "," : "", run_columns[i].name);
}
