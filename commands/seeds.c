/* selfsame seeds: how many runs it takes to see a difference. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "commands/command.h"
#include "commands/decimal_option.h"
#include "commands/table.h"
#include "results/statistics.h"

struct plan {
    double points, sd, power, level;
    uint64_t runs; /* on each side */
    double sees;   /* points, with so many */
};

static enum status read_options(const struct arguments *arguments, struct plan *plan, struct error *error)
{
    enum status status = decimal_option(arguments, "points", 100.0, 0.3, &plan->points, error);
    if (status == STATUS_OK)
        status = decimal_option(arguments, "sd", 100.0, 0.26, &plan->sd, error);
    if (status == STATUS_OK)
        status = decimal_option(arguments, "power", 1.0, STATISTICS_POWER, &plan->power, error);
    if (status == STATUS_OK)
        status = decimal_option(arguments, "level", 1.0, STATISTICS_LEVEL, &plan->level, error);
    return status;
}

static enum status print(const struct plan *plan, bool json, struct error *error)
{
    if (json)
        return json_print(json_pack("{s:f, s:f, s:f, s:f, s:I, s:f}", "points", plan->points, "sd", plan->sd, "power",
                                    plan->power, "level", plan->level, "runs_per_side", (json_int_t)plan->runs,
                                    "difference_seen", plan->sees),
                          error);
    printf("%" PRIu64 " runs on each side see a difference of %.3g points in %g of 100 cases, with a\n"
           "two-sided t test at a level of %g %%, if seeds spread by %g points (sd).\n",
           plan->runs, plan->sees, 100.0 * plan->power, 100.0 * plan->level, plan->sd);
    return STATUS_OK;
}

static enum status run_seeds(const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    struct plan plan;
    enum status status = read_options(arguments, &plan, error);
    if (status != STATUS_OK)
        return status;
    plan.runs = arguments_integer(arguments, "runs-per-side", 0);
    if (plan.runs == 0) {
        plan.runs = seeds_needed(plan.points, plan.sd, plan.power, plan.level);
        plan.sees = plan.points;
    } else {
        plan.sees = test_sees(plan.runs, plan.runs, plan.sd, plan.power, plan.level);
    }
    if (plan.runs == UINT64_MAX)
        return error_set(error, STATUS_INPUT, "more than a million runs on each side would be needed");
    return print(&plan, format != NULL && strcmp(format, "json") == 0, error);
}

static const struct option_definition options[] = {
    { "points", "X", OPTION_TEXT, 0, 0, NULL, "the difference to see, percentage points; default: 0.3" },
    { "sd", "X", OPTION_TEXT, 0, 0, NULL,
      "the standard deviation over seeds, percentage points; default: 0.26, as measured for a ResNet-14 over 100 "
      "seeds (MLRC 2021)" },
    { "power", "P", OPTION_TEXT, 0, 0, NULL, "how often the difference is to be seen, from 0 to 1; default: 0.8" },
    { "level", "P", OPTION_TEXT, 0, 0, NULL, "how often one is seen where there is none, from 0 to 1; default: 0.05" },
    { "runs-per-side", "N", OPTION_INTEGER, 2, 1000000, NULL, "instead: say which difference N runs on each side see" },
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|json", "text or json; default: text" },
    OPTIONS_END,
};

const struct command seeds_command = {
    .name = "seeds",
    .operands = "",
    .summary = "say how many runs it takes to tell two recipes apart",
    .options = options,
    .description =
        "Before you train: how many seeds each of two recipes needs, so that a two-sided t test sees a difference of "
        "their mean errors with a given power. With --runs-per-side, it says which difference so many seeds see. "
        "After you trained, selfsame compare --statistics says both for the spread that your runs have.",
    .examples = "selfsame seeds --points 0.3 --sd 0.26\tto tell 0.3 points apart\n"
                "selfsame seeds --runs-per-side 5\twhat five seeds each can show\n",
    .operands_min = 0,
    .operands_max = 0,
    .run = run_seeds,
};
