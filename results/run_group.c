#include "results/run_group.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/imported.h"
#include "results/statistics.h"

bool run_group_is_whole(const struct record *record)
{
    return record->epochs > 0 && record->epochs == record->facts.epochs_wanted;
}

double run_group_error(const struct record *record, bool best)
{
    double value = record->epochs > 0 ? record->metrics[record->epochs - 1].validation_error : NAN;
    for (size_t i = 0; best && i < record->epochs; i++)
        value = fmin(value, record->metrics[i].validation_error); /* of a number and NaN, the number */
    return value;
}

double *run_group_errors(const struct run_group *group, bool best)
{
    double *errors = calloc(group->count + 1, sizeof *errors);
    for (size_t i = 0; errors != NULL && i < group->count; i++)
        errors[i] = run_group_error(group->records[i], best);
    return errors;
}

double run_group_seconds(const struct metrics_row *rows, size_t epochs)
{
    double *seconds = calloc(epochs + 1, sizeof *seconds), median = NAN;
    size_t known = 0;
    for (size_t e = 0; seconds != NULL && e < epochs; e++) {
        seconds[known] = rows[e].training_seconds + rows[e].validation_seconds;
        known += !isnan(seconds[known]);
    }
    if (known > 0)
        median = sample_median(seconds, known);
    free(seconds);
    return median;
}

void run_group_name(const struct run_group *group, char *name, size_t size)
{
    const bool imported = imported_is(group->records[0]);
    if (group->count == 1)
        snprintf(name, size, "%s%s", group->records[0]->name, imported ? " (imported)" : "");
    else
        snprintf(name, size, "%s, %zu %sruns", group->records[0]->facts.manifest_name, group->count,
                 imported ? "imported " : "");
}

/* ---- what belongs together --------------------------------------------------------------------------------------- */

/* The next line of an experiment's text that is not about its arithmetic. */
static const char *recipe_line(const char *text)
{
    while (strncmp(text, "arithmetic=", 11) == 0 || strncmp(text, "precision=", 10) == 0) {
        const char *end = strchr(text, '\n');
        text = end != NULL ? end + 1 : text + strlen(text);
    }
    return text;
}

bool run_group_same_recipe(const struct record *a, const struct record *b)
{
    const char *x = recipe_line(a->manifest.experiment), *y = recipe_line(b->manifest.experiment);
    while (*x != '\0' || *y != '\0') {
        const size_t length = strcspn(x, "\n"), other = strcspn(y, "\n");
        if (length != other || memcmp(x, y, length) != 0)
            return false;
        x = recipe_line(x + length + (x[length] == '\n'));
        y = recipe_line(y + other + (y[other] == '\n'));
    }
    return true;
}

static bool same_number(double x, double y)
{
    return memcmp(&x, &y, sizeof x) == 0;
}

static bool same_targets(const struct manifest *a, const struct manifest *b)
{
    if (a->target_count != b->target_count)
        return false;
    for (size_t i = 0; i < a->target_count; i++) {
        const struct manifest_target *x = &a->targets[i], *y = &b->targets[i];
        if (x->best != y->best || x->n != y->n || x->protocol != y->protocol || !same_number(x->value, y->value) ||
            !same_number(x->tolerance, y->tolerance) || !same_number(x->sd, y->sd) || strcmp(x->source, y->source) != 0)
            return false;
    }
    return true;
}

static bool belongs(const struct record *a, const struct record *b, bool by_targets)
{
    return strcmp(a->manifest.experiment, b->manifest.experiment) == 0 &&
           strcmp(imported_arithmetic(a), imported_arithmetic(b)) == 0 &&
           strcmp(a->facts.validation_data_sha256, b->facts.validation_data_sha256) == 0 &&
           (!by_targets || same_targets(&a->manifest, &b->manifest));
}

bool run_group_is_same_run(const struct record *a, const struct record *b)
{
    if (a->epochs == 0 || b->epochs == 0)
        return false;
    if (imported_is(a) || imported_is(b))
        return strcmp(a->facts.imported.sha256, b->facts.imported.sha256) == 0;
    return strcmp(a->metrics[a->epochs - 1].weights_sha256, b->metrics[b->epochs - 1].weights_sha256) == 0;
}

/* Whether a run is already there. An unfinished run may still become another. */
static bool is_repeat(const struct run_group *group, const struct record *record)
{
    for (size_t i = 0; i < group->count; i++) {
        if (group->records[i]->epochs == record->epochs && run_group_is_same_run(group->records[i], record))
            return true;
    }
    return false;
}

enum status run_groups_make(struct record *const *records, size_t count, bool by_targets, struct run_group **groups,
                            size_t *group_count, struct error *error)
{
    *group_count = 0;
    *groups = calloc(count + 1, sizeof **groups);
    if (*groups == NULL)
        return error_out_of_memory(error, "%zu runs", count);
    for (size_t i = 0; i < count; i++) {
        size_t g = 0;
        while (g < *group_count && !belongs((*groups)[g].records[0], records[i], by_targets))
            g++;
        struct run_group *group = &(*groups)[g];
        if (g == *group_count) {
            group->records = calloc(count, sizeof *group->records);
            if (group->records == NULL)
                return error_out_of_memory(error, "%zu runs", count);
            ++*group_count;
        }
        if (is_repeat(group, records[i]))
            group->repeats++;
        else
            group->records[group->count++] = records[i];
    }
    return STATUS_OK;
}

void run_groups_free(struct run_group *groups, size_t count)
{
    for (size_t i = 0; groups != NULL && i < count; i++)
        free(groups[i].records);
    free(groups);
}
