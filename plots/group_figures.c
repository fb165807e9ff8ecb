/* Figures of runs together: seeds, depths, machines. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plots/chart.h"
#include "plots/figure_kinds.h"
#include "plots/published.h"
#include "results/imported.h"
#include "results/run_group.h"
#include "results/statistics.h"

/* The least and the largest of values. */
static struct interval range_of(const double *values, size_t count)
{
    struct interval range = { values[0], values[0] };
    for (size_t i = 1; i < count; i++) {
        range.low = fmin(range.low, values[i]);
        range.high = fmax(range.high, values[i]);
    }
    return range;
}

/* ---- seeds ------------------------------------------------------------------------------------------------------- */

/* The epochs that all runs of a group have. */
static size_t common_epochs(const struct run_group *group)
{
    size_t epochs = SIZE_MAX;
    for (size_t i = 0; i < group->count; i++)
        epochs = group->records[i]->epochs < epochs ? group->records[i]->epochs : epochs;
    return epochs;
}

static enum status add_band(struct chart *chart, size_t style, const struct run_group *group, struct error *error)
{
    const struct record_facts *facts = &group->records[0]->facts;
    const size_t epochs = common_epochs(group);
    struct series *series =
        chart_add(chart, group->count > 1 ? SERIES_BAND : SERIES_LINE, style, epochs, group->count > 1, error);
    double *values = calloc(group->count, sizeof *values);
    struct summary sample = { .n = 0 };
    enum status status = STATUS_OK;
    if (series == NULL) {
        free(values);
        return error->status;
    }
    if (values == NULL)
        status = error_out_of_memory(error, "a figure");
    for (size_t e = 0; status == STATUS_OK && e < epochs; e++) {
        for (size_t i = 0; i < group->count; i++)
            values[i] = group->records[i]->metrics[e].validation_error;
        sample = summary_of(values, group->count);
        series->x[e] = (double)(e + 1);
        series->y[e] = sample.mean;
        if (series->low != NULL) {
            series->low[e] = range_of(values, group->count).low;
            series->high[e] = range_of(values, group->count).high;
        }
    }
    if (status == STATUS_OK) {
        series->low_column = "least";
        series->high_column = "largest";
        snprintf(series->column, sizeof series->column, "%.60s %.20s, mean of %zu", facts->manifest_name,
                 imported_arithmetic(group->records[0]), group->count);
        if (group->count > 1)
            snprintf(series->title, sizeof series->title, "%.24s, %.12s, %zu seeds: mean %.2f %%, sd %.2f",
                     facts->manifest_name, imported_arithmetic(group->records[0]), group->count, sample.mean,
                     sample.sd);
        else
            snprintf(series->title, sizeof series->title, "%.24s, %.12s, one seed: %.2f %%", facts->manifest_name,
                     imported_arithmetic(group->records[0]), sample.mean);
    }
    free(values);
    return status;
}

enum status figure_open_seeds(struct figure *figure, const struct record *const *runs, size_t count,
                              struct error *error)
{
    struct run_group *groups = NULL;
    size_t group_count = 0, most = 0;
    struct chart *chart = NULL;
    enum status status = run_groups_make((struct record *const *)runs, count, false, &groups, &group_count, error);
    for (size_t g = 0; g < group_count && status == STATUS_OK; g++)
        most = groups[g].count > most ? groups[g].count : most;
    if (status == STATUS_OK && most <= 1)
        status = error_set(error, STATUS_NO, "no two of these runs differ in the seed alone");
    if (status == STATUS_OK && group_count > FIGURE_RUNS_MAX)
        status = error_set(error, STATUS_NO, "these runs are of %zu experiments; the figure shows at most %d",
                           group_count, FIGURE_RUNS_MAX);
    if (status == STATUS_OK && (chart = chart_open(error)) == NULL)
        status = error->status;
    if (status != STATUS_OK || chart == NULL)
        goto out;
    snprintf(chart->heading, sizeof chart->heading, "Error on %s: mean and range over seeds",
             figure_data_name(runs, count));
    chart->x_label = "training done (epochs)";
    chart->x_column = "epochs done";
    chart->y_label = "validation error (% of the test images)";
    chart->from_zero = true;
    for (size_t g = 0; g < group_count && status == STATUS_OK; g++)
        status = add_band(chart, g, &groups[g], error);
    status = chart_finish(chart, status, figure, error);
    snprintf(
        figure->description, sizeof figure->description,
        "The validation error after each epoch, for runs that differ in the seed alone. Lines are means, and bands "
        "go from the least to the largest value. The legend has the mean and the standard deviation (sd) after "
        "the last epoch that all of them have.");
out:
    run_groups_free(groups, group_count);
    return status;
}

/* ---- depth ------------------------------------------------------------------------------------------------------- */

/* One value at a depth, of a line that is known by its name. */
struct depth_value {
    char line[SHEET_TEXT_BYTES];
    double depth, value;
};

static int compare_depth_values(const void *a, const void *b)
{
    const struct depth_value *x = a, *y = b;
    const int line = strcmp(x->line, y->line);
    if (line != 0)
        return line;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

/* Adds a series for each line of sorted values: their mean, or with `quartiles` their median, at each depth, with the
 * range. */
static enum status add_lines(struct chart *chart, struct depth_value *values, size_t count, bool quartiles,
                             struct error *error)
{
    double *sample = calloc(count + 1, sizeof *sample);
    enum status status = sample != NULL ? STATUS_OK : error_out_of_memory(error, "a figure");
    qsort(values, count, sizeof *values, compare_depth_values);
    for (size_t begin = 0, end; begin < count && status == STATUS_OK; begin = end) {
        size_t depths = 1, most = 0, place = 0;
        for (end = begin + 1; end < count && strcmp(values[end].line, values[begin].line) == 0; end++)
            depths += values[end].depth != values[end - 1].depth;
        struct series *series = chart_add(chart, SERIES_POINTS, chart->series_count, depths, true, error);
        if (series == NULL) {
            status = error->status;
            break;
        }
        for (size_t i = begin, next; i < end; i = next, place++) {
            for (next = i; next < end && values[next].depth == values[i].depth; next++)
                sample[next - i] = values[next].value;
            const size_t n = next - i;
            const struct interval range = range_of(sample, n);
            most = n > most ? n : most;
            series->x[place] = values[i].depth;
            series->y[place] = quartiles ? (sample[n / 2] + sample[(n - 1) / 2]) / 2.0 : summary_of(sample, n).mean;
            series->low[place] = quartiles ? sample[(n - 1) / 4] : range.low;
            series->high[place] = quartiles ? sample[(n - 1) * 3 / 4] : range.high;
        }
        series->low_column = quartiles ? "lower quartile" : "least";
        series->high_column = quartiles ? "upper quartile" : "largest";
        snprintf(series->column, sizeof series->column, "%s", values[begin].line);
        if (quartiles || most == 1)
            snprintf(series->title, sizeof series->title, "%s", values[begin].line);
        else
            snprintf(series->title, sizeof series->title, "%.40s: mean of up to %zu seeds", values[begin].line, most);
    }
    free(sample);
    return status;
}

/* A series for each source of published values. */
static enum status add_published(struct chart *chart, const char *quantity, struct error *error)
{
    struct published_value *values;
    size_t count;
    enum status status = published_read(quantity, &values, &count, error);
    for (size_t begin = 0, end; status == STATUS_OK && begin < count; begin = end) {
        for (end = begin + 1; end < count && strcmp(values[end].source, values[begin].source) == 0; end++)
            ;
        struct series *series = chart_add(chart, SERIES_PUBLISHED, chart->series_count, end - begin, true, error);
        if (series == NULL) {
            status = error->status;
            break;
        }
        for (size_t i = begin; i < end; i++) {
            series->x[i - begin] = values[i].depth;
            series->y[i - begin] = values[i].value;
            series->low[i - begin] = values[i].value - values[i].spread;
            series->high[i - begin] = values[i].value + values[i].spread;
        }
        series->low_column = "one standard deviation less";
        series->high_column = "one standard deviation more";
        snprintf(series->title, sizeof series->title, "%s", values[begin].source);
        snprintf(series->column, sizeof series->column, "%s", values[begin].source);
    }
    free(values);
    return status;
}

/* The experiment apart from what depends on the depth: the name of its lines' values. */
static void name_line(const struct record *record, char line[SHEET_TEXT_BYTES])
{
    const char *name = record->facts.manifest_name, *depth = strstr(name, "resnet");
    const size_t digits = depth != NULL ? strspn(depth + strlen("resnet"), "0123456789") : 0;
    if (digits == 0)
        snprintf(line, SHEET_TEXT_BYTES, "%.60s, %.20s", name, imported_arithmetic(record));
    else /* msra-resnet20 and msra-resnet110 are of one line, msra-resnet* */
        snprintf(line, SHEET_TEXT_BYTES, "%.*s*%.40s, %.20s", (int)(depth - name) + (int)strlen("resnet"), name,
                 depth + strlen("resnet") + digits, imported_arithmetic(record));
}

/* Tells these runs from what others published, which is in the same legend. */
static void call_ours(struct chart *chart)
{
    for (size_t i = 0; i < chart->series_count; i++) {
        char *title = chart->series[i].title;
        const size_t length = strlen(title);
        snprintf(title + length, sizeof chart->series[i].title - length, " (these runs)");
    }
}

static bool is_on_cifar10(const struct record *record)
{
    return record->manifest.dataset_kind == DATASET_CIFAR10 &&
           manifest_test_mark(&record->manifest, record->facts.validation_data_sha256) == NULL;
}

static struct chart *open_depth_chart(const char *heading, const char *y_label, struct error *error)
{
    struct chart *chart = chart_open(error);
    if (chart == NULL)
        return NULL;
    snprintf(chart->heading, sizeof chart->heading, "%s", heading);
    chart->x_label = "depth of the network (logarithmic)";
    chart->x_column = "depth";
    chart->y_label = y_label;
    chart->x_log = true;
    chart->apart = true;
    return chart;
}

enum status figure_open_depth(struct figure *figure, const struct record *const *runs, size_t count,
                              struct error *error)
{
    struct depth_value *values = calloc(count, sizeof *values);
    struct run_group *groups = NULL; /* which leave out runs with the same bits */
    size_t group_count = 0, used = 0;
    struct chart *chart = NULL;
    bool cifar10 = false, embedded = false;
    char heading[FIGURE_TITLE_BYTES];
    enum status status = run_groups_make((struct record *const *)runs, count, false, &groups, &group_count, error);
    if (status == STATUS_OK && values == NULL)
        status = error_out_of_memory(error, "a figure of %zu runs", count);
    for (size_t g = 0; g < group_count && status == STATUS_OK; g++) {
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct record *record = groups[g].records[i];
            if (!run_group_is_whole(record) || isnan(run_group_error(record, false)) ||
                manifest_test_mark(&record->manifest, record->facts.validation_data_sha256) != NULL)
                continue;
            values[used].depth = (double)record->facts.depth;
            values[used].value = run_group_error(record, false);
            name_line(record, values[used++].line);
            cifar10 |= is_on_cifar10(record);
            embedded |= !is_on_cifar10(record);
        }
    }
    if (status == STATUS_OK && used == 0)
        status = error_set(error, STATUS_NO, "none of these runs is finished, on its data set's own test images");
    if (status == STATUS_OK && cifar10 && embedded)
        status = error_set(error, STATUS_NO, "these runs are on two data sets, whose errors cannot be compared");
    if (status == STATUS_OK) {
        snprintf(heading, sizeof heading, "Final error by depth on %s", figure_data_name(runs, count));
        chart = open_depth_chart(heading, "error after the last epoch (% of the test images)", error);
        status = chart != NULL ? add_lines(chart, values, used, false, error) : error->status;
    }
    if (status == STATUS_OK && cifar10) {
        call_ours(chart);
        status = add_published(chart, "error", error);
    }
    status = chart_finish(chart, status, figure, error);
    snprintf(
        figure->description, sizeof figure->description,
        "The error after the last epoch, by depth. Filled points are these runs: the mean over the seeds, with a bar "
        "from the least to the largest.%s",
        cifar10 ? " Open points are what others published, with a bar of one standard deviation up and down "
                  "where one was published. Points of one depth are drawn next to each other."
                : "");
    run_groups_free(groups, group_count);
    free(values);
    return status;
}

/* ---- machines ---------------------------------------------------------------------------------------------------- */

/* A card is its own machine, whatever processor it is plugged into. */
static void name_machine(const struct record_facts *facts, char line[SHEET_TEXT_BYTES])
{
    const char *engine = facts->engine_name != NULL ? facts->engine_name : "";
    const bool card = strcmp(engine, "cuda") == 0 || strcmp(engine, "cudnn") == 0;
    snprintf(line, SHEET_TEXT_BYTES, "%.60s; %.12s%s%.60s", facts->engine_description, facts->arithmetic,
             card ? "" : "; ", card ? "" : facts->host_cpu);
}

enum status figure_open_machines(struct figure *figure, const struct record *const *runs, size_t count,
                                 struct error *error)
{
    size_t epochs = 0, used = 0;
    bool cifar10 = true;
    struct chart *chart = NULL;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        epochs += runs[i]->epochs;
        cifar10 = cifar10 && runs[i]->manifest.dataset_kind == DATASET_CIFAR10;
        if (status == STATUS_OK && runs[i]->facts.training_images != runs[0]->facts.training_images)
            status =
                error_set(error, STATUS_NO, "an epoch of %s has %" PRIu64 " images and one of %s has %" PRIu64,
                          runs[0]->name, runs[0]->facts.training_images, runs[i]->name, runs[i]->facts.training_images);
    }
    struct depth_value *values = calloc(epochs + 1, sizeof *values);
    if (status == STATUS_OK && values == NULL)
        status = error_out_of_memory(error, "a figure of %zu runs", count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct record_facts *facts = &runs[i]->facts;
        for (size_t e = 0; e < runs[i]->epochs; e++, used++) {
            const struct metrics_row *row = &runs[i]->metrics[e];
            if (imported_is(runs[i])) /* of machines that are not known */
                break;
            values[used].depth = (double)facts->depth;
            values[used].value = row->training_seconds + row->validation_seconds;
            name_machine(facts, values[used].line);
        }
    }
    if (status == STATUS_OK && used == 0)
        status = error_set(error, STATUS_NO, "none of these runs says on which machine it ran");
    if (status == STATUS_OK) {
        chart = open_depth_chart("Time per epoch by depth, on each machine", "seconds per epoch (median, quartiles)",
                                 error);
        status = chart != NULL ? add_lines(chart, values, used, true, error) : error->status;
    }
    if (status == STATUS_OK && cifar10)
        status = add_published(chart, "seconds", error);
    if (status == STATUS_OK)
        chart->y_log = true;
    status = chart_finish(chart, status, figure, error);
    snprintf(figure->description, sizeof figure->description,
             "The seconds of an epoch (training and validation) by depth, for each machine and arithmetic: the median, "
             "with a bar between the quartiles. Both axes are logarithmic.%s",
             cifar10 ? " Open points are published times." : "");
    free(values);
    return status;
}
