/* Figures of single runs by epoch: learning rate, loss, time. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plots/chart.h"
#include "plots/figure_kinds.h"

static enum status check_count(size_t count, struct error *error)
{
    if (count > FIGURE_RUNS_MAX)
        return error_set(error, STATUS_NO, "a figure by epoch shows at most %d runs, and these are %zu",
                         FIGURE_RUNS_MAX, count);
    return STATUS_OK;
}

static struct chart *open_chart(const char *heading, const char *y_label, struct error *error)
{
    struct chart *chart = chart_open(error);
    if (chart != NULL) {
        snprintf(chart->heading, sizeof chart->heading, "%s", heading);
        chart->y_label = y_label;
        chart->x_label = "training done (epochs)";
        chart->x_column = "epochs done";
    }
    return chart;
}

/* A series of one column of the metrics; NULL if it cannot be had. */
static struct series *add_metric(struct chart *chart, enum series_look look, size_t style, const struct record *record,
                                 double (*value)(const struct metrics_row *row), struct error *error)
{
    struct series *series = chart_add(chart, look, style, record->epochs, false, error);
    for (size_t e = 0; series != NULL && e < record->epochs; e++) {
        series->x[e] = (double)(e + 1);
        series->y[e] = value(&record->metrics[e]);
    }
    return series;
}

static enum status finish(struct chart *chart, enum status status, struct figure *figure, const char *description,
                          struct error *error)
{
    snprintf(figure->description, sizeof figure->description, "%s", description);
    return chart_finish(chart, status, figure, error);
}

static double learning_rate(const struct metrics_row *row)
{
    return row->learning_rate;
}

static double training_loss(const struct metrics_row *row)
{
    return row->training_loss;
}

static double validation_loss(const struct metrics_row *row)
{
    return row->validation_loss;
}

static double seconds(const struct metrics_row *row)
{
    return row->training_seconds + row->validation_seconds;
}

static bool has_same_rates(const struct record *a, const struct record *b)
{
    bool same = a->epochs == b->epochs;
    for (size_t e = 0; same && e < a->epochs; e++)
        same = a->metrics[e].learning_rate == b->metrics[e].learning_rate;
    return same;
}

/* Runs with the same rates are one line. */
enum status figure_open_rate(struct figure *figure, const struct record *const *runs, size_t count, struct error *error)
{
    enum status status = check_count(count, error);
    struct chart *chart =
        status == STATUS_OK ? open_chart("Learning rate of each epoch", "learning rate of the epoch's last step", error)
                            : NULL;
    if (chart == NULL)
        return error->status;
    chart->y_log = true;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        char name[FIGURE_NAME_BYTES];
        size_t first = 0, others = 0;
        while (first < i && !has_same_rates(runs[first], runs[i]))
            first++;
        if (first < i)
            continue;
        for (size_t k = i + 1; k < count; k++)
            others += has_same_rates(runs[i], runs[k]);
        struct series *series = add_metric(chart, SERIES_STEPS, i, runs[i], learning_rate, error);
        if (series == NULL) {
            status = error->status;
            break;
        }
        figure_name_run(runs[i], name);
        if (others > 0)
            snprintf(series->title, sizeof series->title, "%s and %zu more like it", name, others);
        else
            snprintf(series->title, sizeof series->title, "%s", name);
        snprintf(series->column, sizeof series->column, "%s", runs[i]->name);
    }
    return finish(chart, status, figure,
                  "The learning rate after each epoch, on a logarithmic axis. It falls in steps. Runs with the same "
                  "rates share a line.",
                  error);
}

enum status figure_open_loss(struct figure *figure, const struct record *const *runs, size_t count, struct error *error)
{
    enum status status = check_count(count, error);
    struct chart *chart = status == STATUS_OK ? open_chart("Training and validation loss by epoch",
                                                           "loss (cross entropy, mean of the images)", error)
                                              : NULL;
    if (chart == NULL)
        return error->status;
    chart->y_log = true;
    snprintf(chart->legend, sizeof chart->legend, "training loss, in the colour of its run");
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct series *training = add_metric(chart, SERIES_DOTTED, i, runs[i], training_loss, error),
                      *validation = add_metric(chart, SERIES_LINE, i, runs[i], validation_loss, error);
        if (training == NULL || validation == NULL) {
            status = error->status;
            break;
        }
        figure_name_run(runs[i], validation->title);
        snprintf(training->column, sizeof training->column, "%s training", runs[i]->name);
        snprintf(validation->column, sizeof validation->column, "%s validation", runs[i]->name);
    }
    return finish(chart, status, figure,
                  "The loss after each epoch, on a logarithmic axis: on the validation images as a line with marks, on "
                  "the training images as a dotted line.",
                  error);
}

enum status figure_open_time(struct figure *figure, const struct record *const *runs, size_t count, struct error *error)
{
    enum status status = check_count(count, error);
    struct chart *chart = status == STATUS_OK
                              ? open_chart("Time that each epoch took", "seconds (training and validation)", error)
                              : NULL;
    if (chart == NULL)
        return error->status;
    double least = INFINITY, most = 0.0;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct series *series = add_metric(chart, SERIES_LINE, i, runs[i], seconds, error);
        if (series == NULL) {
            status = error->status;
            break;
        }
        for (size_t e = 0; e < series->count; e++) {
            least = fmin(least, series->y[e]);
            most = fmax(most, series->y[e]);
        }
        figure_name_run(runs[i], series->title);
        snprintf(series->column, sizeof series->column, "%s", runs[i]->name);
    }
    chart->y_log = least > 0.0 && most > 20.0 * least; /* else the fast runs lie on the axis */
    chart->from_zero = !chart->y_log;
    return finish(chart, status, figure,
                  "The seconds that each epoch took, training and validation together. A line that rises for a while "
                  "shows that the machine was busy with something else.",
                  error);
}
