#include "commands/table_groups.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/table.h"
#include "results/imported.h"
#include "results/run_group.h"
#include "results/target.h"

/* ---- published results ------------------------------------------------------------------------------------------- */

const struct manifest_target *table_final_target(const struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->target_count; i++) {
        if (!manifest->targets[i].best)
            return &manifest->targets[i];
    }
    return NULL;
}

enum status table_published_error(const char *family, const struct record *record, double *value, struct error *error)
{
    char path[64];
    struct manifest manifest;
    bool there;
    *value = NAN;
    if (record->manifest.dataset_kind != DATASET_CIFAR10 || record->facts.depth > 10000)
        return STATUS_OK;
    snprintf(path, sizeof path, "%s/resnet%" PRIu64 ".yaml", family, record->facts.depth);
    enum status status = manifest_read_installed(path, &manifest, &there, error);
    if (status != STATUS_OK || !there)
        return status;
    const struct manifest_target *target = table_final_target(&manifest);
    if (target != NULL)
        *value = target->value;
    manifest_free(&manifest);
    return STATUS_OK;
}

/* ---- seeds ------------------------------------------------------------------------------------------------------- */

static const struct table_column seed_columns[] = {
    { "depth", true, 0 },   { "arithmetic", false, 2 }, { "runs", true, 0 },      { "mean %", true, 0 },
    { "sd", true, 0 },      { "low", true, 1 },         { "high", true, 1 },      { "2016 %", true, 0 },
    { "paper %", true, 0 }, { "verdict", false, 0 },    { "manifest", false, 4 },
};
static const struct table_column seed_keys[] = {
    { "depth", true, 0 },       { "arithmetic", false, 0 }, { "runs", true, 0 },      { "mean", true, 0 },
    { "sd", true, 0 },          { "low", true, 0 },         { "high", true, 0 },      { "error_2016", true, 0 },
    { "error_paper", true, 0 }, { "verdict", false, 0 },    { "manifest", false, 0 },
};

static enum status add_group(struct table *table, const struct run_group *group, struct error *error)
{
    const struct record *first = group->records[0];
    const struct manifest_target *target = table_final_target(&first->manifest);
    /* Without a target of its own there is nothing to judge, but its numbers are the same. */
    const struct manifest_target none = { .n = 1, .sd = NAN };
    struct judgement j;
    double published_2016, paper;
    enum status status = target_judge(group, &first->manifest, target != NULL ? target : &none, &j, error);
    if (status == STATUS_OK)
        status = table_published_error("msra", first, &published_2016, error);
    if (status == STATUS_OK)
        status = table_published_error("paper", first, &paper, error);
    if (status != STATUS_OK)
        return status;
    table_cell(table, "%" PRIu64, first->facts.depth);
    table_cell(table, "%s", imported_arithmetic(first));
    table_cell(table, "%zu", group->count);
    table_number(table, 2, j.sample.mean);
    table_number(table, 3, j.sample.sd);
    table_number(table, 2, group->count > 1 ? j.interval.low : NAN);
    table_number(table, 2, group->count > 1 ? j.interval.high : NAN);
    table_number(table, 2, published_2016);
    table_number(table, 2, paper);
    if (target == NULL && j.detail[0] == '\0')
        table_cell(table, "no target");
    else
        table_cell(table, "%s%s%s", target_verdict_name(j.verdict), j.detail[0] != '\0' ? ": " : "", j.detail);
    table_cell(table, "%s", first->facts.manifest_name);
    return STATUS_OK;
}

enum status table_print_seeds(struct record *const *records, size_t count, const char *format, struct error *error)
{
    const bool people = strcmp(format, "table") == 0 || strcmp(format, "markdown") == 0;
    struct run_group *groups;
    size_t group_count;
    struct table *table = table_open(people ? seed_columns : seed_keys, sizeof seed_columns / sizeof *seed_columns);
    enum status status = run_groups_make(records, count, true, &groups, &group_count, error);
    if (status == STATUS_OK && table == NULL)
        status = error_out_of_memory(error, "a table");
    for (size_t g = 0; status == STATUS_OK && g < group_count; g++) {
        if (groups[g].repeats > 0)
            text_line(stderr, "selfsame table: %zu of the runs of %s left out: the same bits are here already",
                      groups[g].repeats, groups[g].records[0]->facts.manifest_name);
        status = add_group(table, &groups[g], error);
    }
    if (status == STATUS_OK)
        status = table_print(table, format, error);
    table_close(table);
    run_groups_free(groups, group_count);
    return status;
}

/* ---- machines ---------------------------------------------------------------------------------------------------- */

static const struct table_column machine_columns[] = {
    { "depth", true, 0 }, { "arithmetic", false, 1 }, { "runs", true, 0 },       { "s/epoch", true, 0 },
    { "MiB", true, 0 },   { "engine", false, 0 },     { "processor", false, 0 },
};
static const struct table_column machine_keys[] = {
    { "depth", true, 0 },      { "arithmetic", false, 0 }, { "runs", true, 0 },       { "seconds_per_epoch", true, 0 },
    { "memory_mib", true, 0 }, { "engine", false, 0 },     { "processor", false, 0 },
};

static bool same_machine(const struct record_facts *a, const struct record_facts *b)
{
    return a->depth == b->depth && strcmp(a->arithmetic, b->arithmetic) == 0 && a->state != RECORD_IMPORTED &&
           strcmp(a->engine_description, b->engine_description) == 0 && strcmp(a->host_cpu, b->host_cpu) == 0;
}

/* A line for the runs of the first one's machine from it on; the others of them are marked as done. */
static enum status add_machine(struct table *table, struct record *const *records, size_t count, size_t first,
                               bool *done, struct error *error)
{
    const struct record_facts *facts = &records[first]->facts;
    double *seconds = calloc(count + 1, sizeof *seconds);
    size_t runs = 0, timed = 0;
    uint64_t bytes = 0;
    if (seconds == NULL)
        return error_out_of_memory(error, "the times of %zu runs", count);
    for (size_t i = first; i < count; i++) {
        if (done[i] || !same_machine(facts, &records[i]->facts))
            continue;
        done[i] = true;
        runs++;
        seconds[timed] = run_group_seconds(records[i]->metrics, records[i]->epochs);
        timed += !isnan(seconds[timed]);
        bytes = records[i]->facts.peak_memory_bytes > bytes ? records[i]->facts.peak_memory_bytes : bytes;
    }
    const double median = timed > 0 ? sample_median(seconds, timed) : NAN;
    free(seconds);
    table_cell(table, "%" PRIu64, facts->depth);
    table_cell(table, "%s", facts->arithmetic);
    table_cell(table, "%zu", runs);
    table_number(table, median < 10.0 ? 1 : 0, median);
    table_number(table, 0, bytes > 0 ? (double)bytes / 1048576.0 : NAN);
    table_cell(table, "%s", facts->engine_description);
    table_cell(table, "%s", facts->host_cpu);
    return STATUS_OK;
}

enum status table_print_machines(struct record *const *records, size_t count, const char *format, struct error *error)
{
    const bool people = strcmp(format, "table") == 0 || strcmp(format, "markdown") == 0;
    struct table *table =
        table_open(people ? machine_columns : machine_keys, sizeof machine_columns / sizeof *machine_columns);
    bool *done = calloc(count + 1, sizeof *done);
    enum status status = table != NULL && done != NULL ? STATUS_OK : error_out_of_memory(error, "a table");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        if (!done[i] && !imported_is(records[i])) /* their machines are not known */
            status = add_machine(table, records, count, i, done, error);
    }
    if (status == STATUS_OK)
        status = table_print(table, format, error);
    table_close(table);
    free(done);
    return status;
}
