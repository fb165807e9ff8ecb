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
    { "run", "name", RUN_COLUMN_TEXT, LISTED(name), 0, 0, true, NULL },
    { "manifest", NULL, RUN_COLUMN_TEXT, FACT(manifest_name), 0, 5, true, NULL },
    { "seed", NULL, RUN_COLUMN_INTEGER, FACT(seed), 0, 4, true, NULL },
    { "state", NULL, RUN_COLUMN_TEXT, LISTED(state), 0, 0, true, NULL },
    { "epochs", "epoch", RUN_COLUMN_INTEGER, LISTED(epochs), 0, 0, true, NULL },
    { "of", NULL, RUN_COLUMN_INTEGER, FACT(epochs_wanted), 0, 0, true, NULL },
    { "error", "val_error", RUN_COLUMN_REAL, LAST(validation_error), 2, 0, true, NULL },
    { "best", "best_error", RUN_COLUMN_REAL, LISTED(best), 2, 1, true, NULL },
    { "engine", NULL, RUN_COLUMN_TEXT, FACT(engine_description), 0, 6, true, NULL },
    { "weights", NULL, RUN_COLUMN_DIGEST, LAST(weights_sha256), 16, 2, true, NULL },
    { "started", NULL, RUN_COLUMN_TEXT, FACT(time_started), 0, 3, true, NULL },
    { "depth", NULL, RUN_COLUMN_INTEGER, FACT(depth), 0, 0, false, NULL },
    { "parameters", NULL, RUN_COLUMN_INTEGER, KNOWN(parameters), 0, 0, false, NULL },
    { "arithmetic", NULL, RUN_COLUMN_TEXT, FACT(arithmetic), 0, 0, false, NULL },
    { "train_error", NULL, RUN_COLUMN_REAL, LAST(training_error), 2, 0, false, NULL },
    { "loss", "train_loss", RUN_COLUMN_REAL, LAST(training_loss), 6, 0, false, NULL },
    { "val_loss", NULL, RUN_COLUMN_REAL, LAST(validation_loss), 6, 0, false, NULL },
    { "steps", "step", RUN_COLUMN_INTEGER, LAST(end_step), 0, 0, false, NULL },
    { "experiment", NULL, RUN_COLUMN_DIGEST, FACT(experiment_sha256), 16, 0, false, NULL },
    { "recipe", NULL, RUN_COLUMN_DIGEST, LISTED(recipe_sha256), 16, 0, false, NULL },
    { "data", NULL, RUN_COLUMN_DIGEST, FACT(training_data_sha256), 16, 0, false, NULL },
    { "test_data", NULL, RUN_COLUMN_DIGEST, FACT(validation_data_sha256), 16, 0, false, NULL },
    { "experiment_sha256", NULL, RUN_COLUMN_DIGEST, FROM_COLUMN, 0, 64, 0, false, "experiment" },
    { "weights_sha256", NULL, RUN_COLUMN_DIGEST, FROM_COLUMN, 0, 64, 0, false, "weights" },
    { "failure", NULL, RUN_COLUMN_TEXT, FACT(failure), 0, 0, false, NULL },
    { "version", NULL, RUN_COLUMN_TEXT, FACT(program_version), 0, 0, false, NULL },
    { "compiler", NULL, RUN_COLUMN_TEXT, FACT(program_compiler), 0, 0, false, NULL },
    { "host", NULL, RUN_COLUMN_TEXT, FACT(host_name), 0, 0, false, NULL },
    { "cpu", NULL, RUN_COLUMN_TEXT, FACT(host_cpu), 0, 0, false, NULL },
    { "updated", NULL, RUN_COLUMN_TEXT, FACT(time_updated), 0, 0, false, NULL },
    { "wall_seconds", NULL, RUN_COLUMN_REAL, KNOWN(wall_seconds), 1, 0, false, NULL },
    { "sessions", NULL, RUN_COLUMN_INTEGER, KNOWN(sessions), 0, 0, false, NULL },
    { "images_per_s", NULL, RUN_COLUMN_REAL, LAST(images_per_second), 1, 0, false, NULL },
    { "peak_memory", NULL, RUN_COLUMN_INTEGER, KNOWN(peak_memory_bytes), 0, 0, false, NULL },
    { "path", NULL, RUN_COLUMN_TEXT, FROM_FOLDER, 0, 0, 0, false, NULL },
    { "tags", "tag", RUN_COLUMN_TAGS, LISTED(tags), 0, 0, false, NULL },
    { "note", NULL, RUN_COLUMN_TEXT, LISTED(note), 0, 0, false, NULL },
};
const size_t run_column_count = sizeof run_columns / sizeof *run_columns;

bool run_column_is_stored(const struct run_column *column)
{
    return column->source != FROM_COLUMN && column->source != FROM_FOLDER;
}

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
