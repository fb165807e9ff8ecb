#include "commands/compare_statistics.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/decimal_option.h"
#include "commands/table.h"
#include "experiments/settings_difference.h"
#include "results/compare_groups.h"
#include "results/imported.h"
#include "results/weights_check.h"

static const char separator[] = "vs"; /* between the two sides */

struct job {
    struct record **records; /* [count]; NULL for the separator */
    size_t count;
    struct run_group *made[2]; /* what the groups were taken from */
    size_t made_count[2];
    struct run_group groups[2];
    struct groups_comparison comparison;
    double points; /* --points */
};

/* ---- the two sides ----------------------------------------------------------------------------------------------- */

/* A record that contradicts itself has a verdict like any other comparison. */
static enum status open_runs(struct job *job, const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    for (size_t i = 0; i < job->count; i++) {
        const char *operand = arguments->operands[i];
        struct weights_found found;
        char folder[FILE_PATH_BYTES];
        if (strcmp(operand, separator) == 0)
            continue;
        enum status status = find_run(runs, operand, folder, error);
        if (status != STATUS_OK)
            return status;
        status = record_open_whole(&job->records[i], runs, operand, &found, error);
        if (status == STATUS_INPUT)
            text_fact(stdout, 2, "%s: the files of %s cannot be read, or contradict each other",
                      verdict_name(VERDICT_MALFORMED), operand);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status make_groups(struct job *job, size_t part, size_t first, size_t last, struct error *error)
{
    enum status status =
        run_groups_make(job->records + first, last - first, false, &job->made[part], &job->made_count[part], error);
    for (size_t g = 0; status == STATUS_OK && g < job->made_count[part]; g++) {
        if (job->made[part][g].repeats > 0)
            text_line(stderr, "selfsame compare: %zu of the runs with %s left out: the same bits are here already",
                      job->made[part][g].repeats, job->made[part][g].records[0]->shown);
    }
    return status;
}

/* The sides are what is before and after the separator. Without one they are the two recipes or arithmetics that the
 * runs have, or the two runs. */
static enum status find_sides(struct job *job, const char *const *operands, struct error *error)
{
    size_t middle = 0, separators = 0;
    for (size_t i = 0; i < job->count; i++) {
        if (job->records[i] == NULL) {
            middle = i;
            separators++;
        }
    }
    if (separators > 1 || (separators == 1 && (middle == 0 || middle + 1 == job->count)))
        return error_set(error, STATUS_INPUT, "there must be one '%s', with runs before and after it", separator);
    if (separators == 0 && job->count == 2) {
        enum status status = make_groups(job, 0, 0, 1, error);
        if (status == STATUS_OK)
            status = make_groups(job, 1, 1, 2, error);
        job->groups[0] = job->made[0][0];
        job->groups[1] = status == STATUS_OK ? job->made[1][0] : job->groups[0];
        return status;
    }
    if (separators == 0) {
        enum status status = make_groups(job, 0, 0, job->count, error);
        if (status == STATUS_OK && job->made_count[0] != 2)
            return error_set(error, STATUS_INPUT,
                             "these runs have %zu recipes or arithmetics, and two sides are compared; put %s between "
                             "the sides",
                             job->made_count[0], separator);
        for (size_t side = 0; status == STATUS_OK && side < 2; side++)
            job->groups[side] = job->made[0][side];
        return status;
    }
    for (size_t side = 0; side < 2; side++) {
        enum status status = make_groups(job, side, side == 0 ? 0 : middle + 1, side == 0 ? middle : job->count, error);
        if (status != STATUS_OK)
            return status;
        if (job->made_count[side] != 1)
            return error_set(error, STATUS_INPUT, "%s and other runs %s '%s' have different recipes or arithmetics",
                             operands[side == 0 ? 0 : middle + 1], side == 0 ? "before" : "after", separator);
        job->groups[side] = job->made[side][0];
    }
    return STATUS_OK;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

static enum status print_table(const struct job *job, const char *format, struct error *error)
{
    static const struct table_column columns[] = {
        { "runs", false, 0 }, { "arithmetic", false, 1 }, { "n", true, 0 },    { "mean", true, 0 },
        { "sd", true, 0 },    { "low", true, 0 },         { "high", true, 0 }, { "verdict", false, 5 },
    };
    const struct groups_comparison *c = &job->comparison;
    const size_t count = sizeof columns / sizeof *columns - (format == NULL);
    struct table *table = table_open(columns, count);
    if (table == NULL)
        return error_out_of_memory(error, "a table");
    for (size_t side = 0; side < 2; side++) {
        char name[RUN_NAME_BYTES + 32];
        run_group_name(&job->groups[side], name, sizeof name);
        table_cell(table, "%s", name);
        table_cell(table, "%s", imported_arithmetic(job->groups[side].records[0]));
        table_cell(table, "%zu", job->groups[side].count);
        table_number(table, 2, c->samples[side].n > 0 ? c->samples[side].mean : NAN);
        table_number(table, 3, c->samples[side].n > 0 ? c->samples[side].sd : NAN);
        table_number(table, 2, c->samples[side].n > 0 ? c->intervals[side].low : NAN);
        table_number(table, 2, c->samples[side].n > 0 ? c->intervals[side].high : NAN);
        if (format != NULL)
            table_cell(table, "%s", verdict_name(c->verdict));
    }
    enum status status = table_print(table, format, error);
    table_close(table);
    return status;
}

/* The keys of the recipes that differ; the seeds are meant to. */
static enum status print_recipes(const struct job *job, struct error *error)
{
    const struct record *a = job->groups[0].records[0], *b = job->groups[1].records[0];
    struct settings_difference *differences;
    size_t count;
    enum status status =
        settings_differences(a->manifest_text, a->path, b->manifest_text, b->path, &differences, &count, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (differences[i].moves_bits && strncmp(differences[i].key, "training.seed", 13) != 0)
            text_fact(stdout, 4, "  %s: %s and %s", differences[i].key, differences[i].first, differences[i].second);
    }
    settings_differences_free(differences, count);
    return STATUS_OK;
}

static uint64_t needed(const struct job *job)
{
    const double sd = job->comparison.sd;
    return sd > 0.0 ? seeds_needed(job->points, sd, STATISTICS_POWER, STATISTICS_LEVEL) : 2;
}

static enum status print_text(const struct job *job, struct error *error)
{
    const struct groups_comparison *c = &job->comparison;
    text_fact(stdout, 2, "%s: %s", verdict_name(c->verdict), c->sentence);
    enum status status = c->verdict == VERDICT_OTHER_EXPERIMENT ? print_recipes(job, error) : STATUS_OK;
    if (status != STATUS_OK || c->samples[0].n == 0)
        return status;
    printf("\n");
    status = print_table(job, NULL, error);
    if (status != STATUS_OK || !c->tested)
        return status;
    const bool welch = summary_has_spread(&c->samples[0]) && summary_has_spread(&c->samples[1]);
    printf("\nValidation errors after the last epoch, percent; intervals of 95 %%.\n");
    printf("%s: t = %.3f, %.3g degrees of freedom, two-sided p = %.3g.\n", welch ? "Welch's test" : "Student's test",
           c->test.t, c->test.freedom, c->test.p);
    printf("Samples of this size see a difference of %.2f points in 4 of 5 cases.\n", c->sees);
    if (needed(job) != UINT64_MAX)
        printf("To see %g points in 4 of 5 cases, each side needs %" PRIu64 " runs.\n", job->points, needed(job));
    return STATUS_OK;
}

static enum status print_json(const struct job *job, struct error *error)
{
    const struct groups_comparison *c = &job->comparison;
    json_t *sides = json_array();
    json_t *json = json_pack("{s:s, s:o}", "verdict", verdict_name(c->verdict), "sentence", json_text(c->sentence));
    for (size_t side = 0; side < 2; side++) {
        const struct run_group *group = &job->groups[side];
        json_t *names = json_array(), *one = json_object();
        for (size_t i = 0; i < group->count; i++)
            json_add(&names, json_text(group->records[i]->shown));
        json_put(&one, "runs", names);
        json_put(&one, "arithmetic", json_string(imported_arithmetic(group->records[0])));
        if (c->samples[side].n > 0) {
            json_put(&one, "n", json_integer((json_int_t)c->samples[side].n));
            json_put(&one, "mean", json_number(c->samples[side].mean));
            json_put(&one, "sd", json_number(c->samples[side].sd));
            json_put(&one, "low", json_number(c->intervals[side].low));
            json_put(&one, "high", json_number(c->intervals[side].high));
        }
        json_add(&sides, one);
    }
    json_put(&json, "sides", sides);
    if (c->tested) {
        json_put(&json, "t", json_number(c->test.t));
        json_put(&json, "degrees_of_freedom", json_number(c->test.freedom));
        json_put(&json, "p", json_number(c->test.p));
        json_put(&json, "difference_seen", json_number(c->sees));
        json_put(&json, "points", json_number(job->points));
        json_put(&json, "runs_needed", needed(job) != UINT64_MAX ? json_integer((json_int_t)needed(job)) : json_null());
    }
    return json_print(json, error);
}

/* ---- the option -------------------------------------------------------------------------------------------------- */

static enum status print_job(const struct job *job, const char *format, struct error *error)
{
    if (format == NULL || strcmp(format, "text") == 0)
        return print_text(job, error);
    return strcmp(format, "json") == 0 ? print_json(job, error) : print_table(job, format, error);
}

enum status compare_statistics(const struct arguments *arguments, struct error *error)
{
    struct job job = { .count = arguments->operand_count };
    enum status status = decimal_option(arguments, "points", 100.0, 0.3, &job.points, error);
    if (status != STATUS_OK)
        return status;
    job.records = calloc(job.count, sizeof *job.records);
    status =
        job.records != NULL ? open_runs(&job, arguments, error) : error_out_of_memory(error, "%zu runs", job.count);
    if (status == STATUS_OK)
        status = find_sides(&job, arguments->operands, error);
    if (status == STATUS_OK)
        status = compare_groups(job.groups, &job.comparison, error);
    if (status == STATUS_OK)
        status = print_job(&job, arguments_text(arguments, "format"), error);
    if (status == STATUS_OK && job.comparison.verdict == VERDICT_NOT_COMPARABLE)
        status = error_set(error, STATUS_INPUT, "the two sides are not comparable: %s", job.comparison.sentence);
    else if (status == STATUS_OK)
        status = verdict_status(job.comparison.verdict);
    for (size_t part = 0; part < 2; part++)
        run_groups_free(job.made[part], job.made_count[part]);
    for (size_t i = 0; job.records != NULL && i < job.count; i++)
        record_close(job.records[i]);
    free(job.records);
    return status;
}
