#include "commands/runs_grouped.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/table.h"
#include "results/statistics.h"

/* A run, as the index gives it. */
struct member {
    char manifest[RUN_NAME_BYTES], recipe[DIGEST_HEX_BYTES], weights[DIGEST_HEX_BYTES];
    int64_t epochs, of, seed;
    double error;
};

struct members {
    struct member *list; /* those of one group next to each other, by seed */
    size_t count, room;
    bool lost; /* there was no memory for one */
};

/* Members list[first] up to list[first + count]. */
struct group {
    const struct member *first;
    size_t count;
};

static const char columns_asked[] = "manifest,recipe,weights_sha256,epochs,of,seed,error,state";

static void copy_text(char *to, size_t size, const char *from)
{
    const size_t length = strnlen(from, size - 1);
    *(char *)mempcpy(to, from, length) = '\0';
}

static void add_member(void *context, const char *run, const char *mark, const struct run_value *values)
{
    struct members *members = context;
    (void)run;
    (void)mark;
    if (!values[6].present) /* no epoch yet */
        return;
    if (members->count == members->room) {
        const size_t room = 2 * members->room + 64;
        struct member *list = realloc(members->list, room * sizeof *list);
        members->lost = members->lost || list == NULL;
        if (list == NULL)
            return;
        members->list = list;
        members->room = room;
    }
    struct member *member = &members->list[members->count++];
    *member = (struct member){
        .epochs = values[3].integer, .of = values[4].integer, .seed = values[5].integer, .error = values[6].real
    };
    const bool imported = strncmp(values[7].text, "imported", strlen("imported")) == 0;
    if (imported)
        snprintf(member->manifest, sizeof member->manifest, "%.200s (imported)", values[0].text);
    else
        copy_text(member->manifest, sizeof member->manifest, values[0].text);
    copy_text(member->recipe, sizeof member->recipe, values[1].text);
    copy_text(member->weights, sizeof member->weights, values[2].text);
}

/* By recipe, epochs, seed and weights: those of a group next to each other. */
static int by_group(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    const int recipes = strcmp(x->recipe, y->recipe);
    return recipes != 0             ? recipes
           : x->epochs != y->epochs ? (x->epochs > y->epochs) - (x->epochs < y->epochs)
           : x->seed != y->seed     ? (x->seed > y->seed) - (x->seed < y->seed)
                                    : strcmp(x->weights, y->weights);
}

static int by_manifest(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    const int names = strcmp(x->first->manifest, y->first->manifest),
              recipes = strcmp(x->first->recipe, y->first->recipe);
    return names != 0     ? names
           : recipes != 0 ? recipes
                          : (x->first->epochs > y->first->epochs) - (x->first->epochs < y->first->epochs);
}

/* Cuts the members into groups; room for a group a member. Returns how many there are. */
static size_t find_groups(struct members *members, struct group *groups)
{
    size_t count = 0;
    if (members->count > 0) /* here, since SQLite takes twice as long */
        qsort(members->list, members->count, sizeof *members->list, by_group);
    for (size_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i], *last = count > 0 ? groups[count - 1].first : NULL;
        if (last != NULL && last->epochs == member->epochs && strcmp(last->recipe, member->recipe) == 0)
            groups[count - 1].count++;
        else
            groups[count++] = (struct group){ member, 1 };
    }
    qsort(groups, count, sizeof *groups, by_manifest);
    return count;
}

/* "1-3 7": the seeds of a group. NULL without memory. */
static char *seeds_of(const struct group *group)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL)
        return NULL;
    for (size_t i = 0, next; i < group->count; i = next) {
        const int64_t first = group->first[i].seed;
        int64_t last = first;
        for (next = i + 1; next < group->count && group->first[next].seed <= last + 1; next++)
            last = group->first[next].seed;
        fprintf(file, "%s%" PRId64, i > 0 ? " " : "", first);
        if (last > first)
            fprintf(file, "-%" PRId64, last);
    }
    if (fclose(file) == 0)
        return text;
    free(text);
    return NULL;
}

static const struct table_column columns[] = {
    { "manifest", false, 0 }, { "epochs", true, 0 }, { "of", true, 2 },      { "runs", true, 3 },
    { "n", true, 0 },         { "mean", true, 0 },   { "sd", true, 0 },      { "low", true, 1 },
    { "high", true, 1 },      { "seeds", false, 0 }, { "recipe", false, 4 },
};

/* Runs of one seed with the same weights are one computation, and count once. `errors`: room for the group's. */
static bool add_group(struct table *table, const struct group *group, double *errors)
{
    size_t n = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (i == 0 || group->first[i].weights[0] == '\0' || /* imported: there are none */
            strcmp(group->first[i].weights, group->first[i - 1].weights) != 0)
            errors[n++] = group->first[i].error;
    }
    const struct summary sample = summary_of(errors, n);
    const struct interval interval = interval_of_mean(&sample, STATISTICS_CONFIDENCE);
    const bool spread = summary_has_spread(&sample);
    char *seeds = seeds_of(group);
    if (seeds == NULL)
        return false;
    table_cell(table, "%s", group->first->manifest);
    table_cell(table, "%" PRId64, group->first->epochs);
    table_cell(table, "%" PRId64, group->first->of);
    table_cell(table, "%zu", group->count);
    table_cell(table, "%zu", n);
    table_number(table, 3, sample.mean);
    table_cell_if(table, spread, "%.3f", sample.sd);
    table_cell_if(table, spread, "%.3f", interval.low);
    table_cell_if(table, spread, "%.3f", interval.high);
    table_cell(table, "%s", seeds);
    table_cell(table, "%.16s", group->first->recipe);
    free(seeds);
    return true;
}

static enum status print_groups(struct members *members, const char *format, struct error *error)
{
    struct group *groups = malloc((members->count + 1) * sizeof *groups);
    double *errors = malloc((members->count + 1) * sizeof *errors);
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    bool good = groups != NULL && errors != NULL && table != NULL && !members->lost;
    const size_t count = good ? find_groups(members, groups) : 0;
    for (size_t i = 0; i < count && good; i++)
        good = add_group(table, &groups[i], errors);
    const enum status status =
        good ? table_print(table, format, error) : error_out_of_memory(error, "the groups of runs");
    table_close(table);
    free(groups);
    free(errors);
    return status;
}

enum status print_grouped_runs(struct run_index *index, const char *where, const char *format, struct error *error)
{
    struct run_query query;
    struct members members = { .count = 0 };
    enum status status = run_query_parse(&query, where, NULL, columns_asked, error);
    if (status == STATUS_OK)
        status = run_index_select(index, &query, add_member, &members, error);
    if (status == STATUS_OK)
        status = print_groups(&members, format, error);
    run_query_free(&query);
    free(members.list);
    return status;
}
