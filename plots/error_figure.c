/* The error of runs by epoch, drawn with plots/error.gp. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "plots/curve.h"
#include "plots/figure_kinds.h"
#include "results/imported.h"
#include "trainer/schedule.h"

/* The error of runs by epoch: all of it, or the part that matters in the end. */
struct error_figure {
    enum figure_kind kind;
    const struct record *const *runs;
    size_t count;
    struct curve curves[FIGURE_RUNS_MAX]; /* the published curve of each run; empty where there is none */
    bool shown[FIGURE_RUNS_MAX];          /* whether a run's curve is drawn, and where; each is drawn once */
    double x_low, x_high, y_low, y_high;  /* the part of the plane that is shown: epochs done, percent */
};

/* ---- what it shows ----------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static enum status read_curves(struct error_figure *figure, struct error *error)
{
    for (size_t i = 0; i < figure->count; i++) {
        const struct manifest *manifest = &figure->runs[i]->manifest;
        bool again = false;
        if (manifest->curve_file == NULL)
            continue;
        for (size_t k = 0; k < i; k++)
            again |= same_text(figure->runs[k]->manifest.curve_file, manifest->curve_file) &&
                     same_text(figure->runs[k]->manifest.curve_column, manifest->curve_column);
        enum status status = curve_read(manifest->curve_file, manifest->curve_column, &figure->curves[i], error);
        if (status != STATUS_OK)
            return status;
        figure->shown[i] = !again;
    }
    return STATUS_OK;
}

static uint64_t epochs_done(const struct error_figure *figure)
{
    uint64_t epochs = 0;
    for (size_t i = 0; i < figure->count; i++)
        epochs = figure->runs[i]->epochs > epochs ? figure->runs[i]->epochs : epochs;
    return epochs;
}

/* The end of the plot: if there is a published curve to compare with, the end of the training; else the run's last
 * epoch. */
static uint64_t last_epoch(const struct error_figure *figure)
{
    uint64_t last = epochs_done(figure);
    for (size_t i = 0; i < figure->count; i++) {
        if (figure->curves[i].epochs > 0 && figure->runs[i]->facts.epochs_wanted > last)
            last = figure->runs[i]->facts.epochs_wanted;
    }
    return last;
}

/* Epochs done at the first drop of the first run's learning rate; 0 without one. */
static uint64_t first_drop(const struct error_figure *figure)
{
    const struct manifest *manifest = &figure->runs[0]->manifest;
    return manifest->recipe.training.schedule.drop_count > 0 ? curve_drop_epoch(manifest, 0) : 0;
}

/* The least and the largest error between two epochs, counted from 1, of everything that is drawn. */
struct extent {
    double low, high;
};

static void extend(struct extent *extent, double value)
{
    extent->low = fmin(extent->low, value); /* of a number and NaN, the number */
    extent->high = fmax(extent->high, value);
}

static struct extent find_extent(const struct error_figure *figure, uint64_t from, uint64_t to)
{
    struct extent extent = { 100.0, 0.0 };
    for (size_t i = 0; i < figure->count; i++) {
        const struct record *record = figure->runs[i];
        const struct curve *curve = &figure->curves[i];
        for (uint64_t e = from; e <= to && e <= record->epochs; e++) {
            extend(&extent, record->metrics[e - 1].validation_error);
            if (figure->kind == FIGURE_FULL)
                extend(&extent, record->metrics[e - 1].training_error);
        }
        for (uint64_t e = from; e <= to && e <= curve->epochs; e++)
            extend(&extent, curve->errors[e - 1]);
    }
    return extent;
}

/* The end of the training from a little before its first drop of the learning rate; before a run is there, what is
 * done, without the first epochs, whose errors are far above the others. */
static void choose_zoom(struct error_figure *figure)
{
    const uint64_t done = epochs_done(figure), drop = first_drop(figure);
    const bool dropped = drop > 0 && done > drop;
    const uint64_t to = dropped ? last_epoch(figure) : done,
                   from = dropped ? drop - (drop - 1 < to / 20 + 1 ? drop - 1 : to / 20 + 1) : done / 4 + 1;
    /* An epoch before the drop may stick out. */
    struct extent extent = find_extent(figure, dropped ? drop + 1 : from, to);
    for (size_t i = 0; i < figure->count; i++) {
        const struct manifest *manifest = &figure->runs[i]->manifest;
        for (size_t t = 0; t < manifest->target_count && dropped; t++)
            extend(&extent, manifest->targets[t].value);
    }
    const double room = fmax(0.08 * (extent.high - extent.low), to > from ? 0.5 : 2.0);
    figure->x_low = (double)from;
    figure->x_high = (double)to;
    figure->y_low = fmax(floor(2.0 * (extent.low - room)) / 2.0, 0.0);
    figure->y_high = fmin(ceil(2.0 * (extent.high + (dropped ? 3.0 : 1.0) * room)) / 2.0, 100.0);
}

static void choose_window(struct error_figure *figure)
{
    if (figure->kind == FIGURE_FULL) {
        figure->x_low = 0.0;
        figure->x_high = (double)last_epoch(figure);
        figure->y_low = 0.0;
        figure->y_high = fmin(ceil(1.03 * find_extent(figure, 1, last_epoch(figure)).high / 5.0) * 5.0, 100.0);
        figure->y_high = fmax(figure->y_high, 5.0);
    } else {
        choose_zoom(figure);
    }
    /* A curve that has no point in the window has no place in the legend. */
    for (size_t i = 0; i < figure->count; i++) {
        const struct curve *curve = &figure->curves[i];
        size_t points = 0;
        for (size_t e = 0; e < curve->epochs; e++)
            points += (double)e + 1.0 >= figure->x_low && (double)e + 1.0 <= figure->x_high && !isnan(curve->errors[e]);
        figure->shown[i] = figure->shown[i] && points > 0;
    }
    /* One epoch is in the middle. */
    if (figure->x_high - figure->x_low < 1.0) {
        figure->x_low -= 0.5;
        figure->x_high += 0.5;
    }
}

/* ---- what gnuplot reads ------------------------------------------------------------------------------------------ */

static enum status open_data(FILE **file, const char *folder, const char *kind, size_t i, char path[FILE_PATH_BYTES],
                             struct error *error)
{
    enum status status = file_path(path, error, "%s/%s%zu.dat", folder, kind, i + 1);
    if (status != STATUS_OK)
        return status;
    *file = fopen(path, "w");
    return *file != NULL ? STATUS_OK : error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be made", path);
}

static enum status write_data(const char *folder, const struct error_figure *figure, size_t i, struct error *error)
{
    const struct record *record = figure->runs[i];
    const struct curve *curve = &figure->curves[i];
    char path[FILE_PATH_BYTES];
    FILE *file;
    enum status status = open_data(&file, folder, "run", i, path, error);
    if (status != STATUS_OK)
        return status;
    for (size_t e = 0; e < record->epochs; e++)
        fprintf(file, "%zu %.10g %.10g\n", e + 1, record->metrics[e].training_error,
                record->metrics[e].validation_error);
    status = gnuplot_close(file, path, error);
    if (status != STATUS_OK || !figure->shown[i])
        return status;
    status = open_data(&file, folder, "curve", i, path, error);
    if (status != STATUS_OK)
        return status;
    for (size_t e = 0; e < curve->epochs; e++) {
        if (!isnan(curve->errors[e]))
            fprintf(file, "%zu %.10g\n", e + 1, curve->errors[e]);
    }
    return gnuplot_close(file, path, error);
}

/* Item i, from 0, of an array of texts. */
static void print_text_item(FILE *file, const char *array, size_t i, const char *text)
{
    fprintf(file, "%s[%zu] = ", array, i + 1);
    figure_print_legend(file, text);
    fputc('\n', file);
}

/* The run's name, its last error, and how far it is if it has not finished. */
static void print_run_title(FILE *file, size_t i, const struct record *record)
{
    const struct metrics_row *last = &record->metrics[record->epochs - 1];
    const char *mark = manifest_test_mark(&record->manifest, record->facts.validation_data_sha256);
    char name[FIGURE_NAME_BYTES], value[32] = "no error", title[200];
    figure_name_run(record, name);
    if (!isnan(last->validation_error))
        snprintf(value, sizeof value, "%.2f %%", last->validation_error);
    if (record->epochs < record->facts.epochs_wanted)
        snprintf(title, sizeof title, "%s: %s, epoch %zu of %" PRIu64 "%s%s", name, value, record->epochs,
                 record->facts.epochs_wanted, mark != NULL ? ", " : "", mark != NULL ? mark : "");
    else
        snprintf(title, sizeof title, "%s: %s%s%s", name, value, mark != NULL ? ", " : "", mark != NULL ? mark : "");
    print_text_item(file, "title", i, title);
}

static void print_runs(FILE *file, const struct error_figure *figure)
{
    const uint64_t shown = (uint64_t)(figure->x_high - figure->x_low), every = shown / 16 + 1;
    fprintf(file, "runs = %zu\nevery = %" PRIu64 "\ntraining = %d\nsingle = %d\narray file[%zu]\narray title[%zu]\n",
            figure->count, every, figure->kind == FIGURE_FULL, epochs_done(figure) == 1, figure->count, figure->count);
    for (size_t i = 0; i < figure->count; i++) {
        fprintf(file, "file[%zu] = 'run%zu.dat'\n", i + 1, i + 1);
        print_run_title(file, i, figure->runs[i]);
    }
}

static void print_curves(FILE *file, const struct error_figure *figure)
{
    size_t curves = 0;
    fprintf(file, "array curve_file[%d]\narray curve_title[%d]\narray curve_style[%d]\n", FIGURE_RUNS_MAX,
            FIGURE_RUNS_MAX, FIGURE_RUNS_MAX);
    for (size_t i = 0; i < figure->count; i++) {
        const struct manifest *manifest = &figure->runs[i]->manifest;
        char title[256];
        if (!figure->shown[i])
            continue;
        fprintf(file, "curve_file[%zu] = 'curve%zu.dat'\ncurve_style[%zu] = %zu\n", curves + 1, i + 1, curves + 1,
                i + 1);
        snprintf(title, sizeof title, "%s, %s", manifest->curve_source, manifest->curve_column);
        print_text_item(file, "curve_title", curves++, title);
    }
    fprintf(file, "curves = %zu\n", curves);
}

/* A published value, its run, and the height of its label at the right, percent. */
struct target_line {
    double value, label;
    size_t run;
};

enum { TARGET_LINES_MAX = 4 * FIGURE_RUNS_MAX };

static int compare_target_lines(const void *a, const void *b)
{
    const struct target_line *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* Each value of the targets that is in the window once, rising, with labels that do not cover one another. */
static size_t gather_targets(const struct error_figure *figure, struct target_line lines[TARGET_LINES_MAX])
{
    const double gap = (figure->y_high - figure->y_low) / 18.0; /* a label's height */
    size_t kept = 0, all = 0;
    for (size_t i = 0; i < figure->count; i++) {
        const struct manifest *manifest = &figure->runs[i]->manifest;
        for (size_t t = 0; t < manifest->target_count && all < TARGET_LINES_MAX; t++) {
            double value = manifest->targets[t].value;
            if (value > figure->y_low && value < figure->y_high)
                lines[all++] = (struct target_line){ .value = value, .run = i };
        }
    }
    qsort(lines, all, sizeof *lines, compare_target_lines);
    for (size_t i = 0; i < all; i++) {
        if (kept > 0 && lines[i].value == lines[kept - 1].value)
            continue;
        lines[kept] = lines[i];
        lines[kept].label = lines[i].value;
        if (kept > 0 && lines[kept].label < lines[kept - 1].label + gap)
            lines[kept].label = lines[kept - 1].label + gap;
        kept++;
    }
    return kept;
}

static void print_targets(FILE *file, const struct error_figure *figure)
{
    struct target_line lines[TARGET_LINES_MAX];
    const size_t targets = gather_targets(figure, lines);
    fprintf(file, "targets = %zu\ntarget_title = 'published error, last epoch (values at the right)'\n", targets);
    fprintf(file, "array target[%d]\narray target_label[%d]\narray target_style[%d]\n", TARGET_LINES_MAX,
            TARGET_LINES_MAX, TARGET_LINES_MAX);
    for (size_t i = 0; i < targets; i++)
        fprintf(file, "target[%zu] = %.10g\ntarget_label[%zu] = %.10g\ntarget_style[%zu] = %zu\n", i + 1,
                lines[i].value, i + 1, lines[i].label, i + 1, lines[i].run + 1);
}

/* A run's learning rates within a figure, and the epochs at which they begin; the first begins at the left edge. */
struct rates {
    double begins[SCHEDULE_DROPS_MAX + 2]; /* the warm-up, its end and the drops */
    float rates[SCHEDULE_DROPS_MAX + 2];
    size_t count;
};

static void add_rate(struct rates *rates, const struct error_figure *figure, const struct manifest *manifest,
                     uint64_t step)
{
    const struct training_config *training = &manifest->recipe.training;
    const double epoch = (double)schedule_epoch_of(training, manifest->training_images, step);
    const bool before = step == 0 || epoch <= figure->x_low;
    if (epoch >= figure->x_high)
        return;
    const size_t place = before ? 0 : rates->count++;
    rates->begins[place] = before ? figure->x_low : epoch;
    rates->rates[place] = schedule_learning_rate(training, manifest->training_images, step);
}

static struct rates find_rates(const struct error_figure *figure, const struct manifest *manifest)
{
    const struct training_config *training = &manifest->recipe.training;
    const uint64_t warmup_end = schedule_warmup_end(training, manifest->training_images);
    struct rates rates = { .count = 1 };
    add_rate(&rates, figure, manifest, 0);
    if (warmup_end > 0)
        add_rate(&rates, figure, manifest, warmup_end);
    for (uint32_t d = 0; d < training->schedule.drop_count; d++)
        add_rate(&rates, figure, manifest, schedule_drop_step(training, manifest->training_images, d));
    return rates;
}

static bool same_rates(const struct rates *a, const struct rates *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = a->begins[i] == b->begins[i] && a->rates[i] == b->rates[i];
    return same;
}

/* The learning rate above the frame, at the epochs where it changes; nothing if the runs differ in it. The words are
 * where there is room for them. */
static void print_rates(FILE *file, const struct error_figure *figure)
{
    const double words = 0.3 * (figure->x_high - figure->x_low);
    struct rates rates = find_rates(figure, &figure->runs[0]->manifest);
    bool said = false;
    for (size_t i = 1; i < figure->count; i++) {
        const struct rates other = find_rates(figure, &figure->runs[i]->manifest);
        if (!same_rates(&rates, &other))
            rates.count = 0;
    }
    fprintf(file, "rates = %zu\narray rate_begin[%zu]\narray rate_label[%zu]\n", rates.count, rates.count + 1,
            rates.count + 1);
    for (size_t i = 0; i < rates.count; i++) {
        const double end = i + 1 < rates.count ? rates.begins[i + 1] : figure->x_high;
        char text[64];
        const bool say = !said && (end - rates.begins[i] > words || i + 1 == rates.count);
        snprintf(text, sizeof text, "%s%.6g", say ? "learning rate " : "", (double)rates.rates[i]);
        said |= say;
        fprintf(file, "rate_begin[%zu] = %.10g\n", i + 1, rates.begins[i]);
        print_text_item(file, "rate_label", i, text);
    }
}

/* "ResNet-20 on CIFAR-10", or what the runs have in common. */
static void make_heading(const struct error_figure *figure, char heading[FIGURE_TITLE_BYTES])
{
    const struct manifest *first = &figure->runs[0]->manifest;
    char networks[64];
    snprintf(networks, sizeof networks, "ResNet-%" PRIu32, first->recipe.model.depth);
    for (size_t i = 1; i < figure->count; i++) {
        if (figure->runs[i]->manifest.recipe.model.depth != first->recipe.model.depth)
            snprintf(networks, sizeof networks, "Residual networks");
    }
    snprintf(heading, FIGURE_TITLE_BYTES, "%s on %s: validation error%s", networks,
             figure_data_name(figure->runs, figure->count), figure->kind == FIGURE_ZOOM ? ", enlarged" : "");
}

/* One for each run, published curve, and for what they share. */
static size_t legend_lines(const struct error_figure *figure)
{
    struct target_line lines[TARGET_LINES_MAX];
    size_t count = figure->count + (figure->kind == FIGURE_FULL) + (gather_targets(figure, lines) > 0);
    for (size_t i = 0; i < figure->count; i++)
        count += figure->shown[i];
    return count;
}

static enum status write_figure(const char *folder, FILE *script, const void *context, struct error *error)
{
    const struct error_figure *figure = context;
    char path[FILE_PATH_BYTES], heading[FIGURE_TITLE_BYTES];
    enum status status = STATUS_OK;
    for (size_t i = 0; i < figure->count && status == STATUS_OK; i++)
        status = write_data(folder, figure, i, error);
    if (status == STATUS_OK)
        status = plots_find("error.gp", path, error);
    if (status != STATUS_OK)
        return status;
    fprintf(script, "x_low = %.10g\nx_high = %.10g\ny_low = %.10g\ny_high = %.10g\n", figure->x_low, figure->x_high,
            figure->y_low, figure->y_high);
    make_heading(figure, heading);
    fputs("heading = ", script);
    text_write(script, TEXT_GNUPLOT, heading);
    fputc('\n', script);
    print_runs(script, figure);
    print_curves(script, figure);
    print_targets(script, figure);
    print_rates(script, figure);
    fputs("load ", script);
    text_write(script, TEXT_GNUPLOT, path);
    fputc('\n', script);
    return STATUS_OK;
}

/* ---- for figure.c ------------------------------------------------------------------------------------------------ */

static void free_error_figure(void *content)
{
    struct error_figure *figure = content;
    for (size_t i = 0; i < figure->count; i++)
        curve_free(&figure->curves[i]);
    free(figure);
}

/* The epochs in the window, counted from 1: the errors of each run, and of each curve that is drawn. */
static enum status make_sheet(const struct error_figure *figure, struct sheet *sheet, struct error *error)
{
    const size_t first = figure->x_low < 1.0 ? 1 : (size_t)ceil(figure->x_low), last = (size_t)figure->x_high;
    const bool training = figure->kind == FIGURE_FULL;
    size_t columns = 0, column = 0;
    for (size_t i = 0; i < figure->count; i++)
        columns += 1u + training + figure->shown[i];
    enum status status = sheet_open(sheet, last - first + 1, columns, error);
    if (status != STATUS_OK)
        return status;
    sheet_name(sheet, -1, "epochs done");
    for (size_t e = first; e <= last; e++)
        sheet_label(sheet, e - first, "%zu", e);
    for (size_t i = 0; i < figure->count; i++) {
        const struct record *record = figure->runs[i];
        const struct curve *curve = &figure->curves[i];
        const struct manifest *manifest = &record->manifest;
        if (training)
            sheet_name(sheet, (ptrdiff_t)column, "%s training error %%", record->name);
        sheet_name(sheet, (ptrdiff_t)(column + training), "%s validation error %%", record->name);
        for (size_t e = first; e <= last && e <= record->epochs; e++) {
            if (training)
                *sheet_cell(sheet, e - first, column) = record->metrics[e - 1].training_error;
            *sheet_cell(sheet, e - first, column + training) = record->metrics[e - 1].validation_error;
        }
        column += 1u + training;
        if (!figure->shown[i])
            continue;
        sheet_name(sheet, (ptrdiff_t)column, "%s, %s, error %%", manifest->curve_source, manifest->curve_column);
        for (size_t e = first; e <= last && e <= curve->epochs; e++)
            *sheet_cell(sheet, e - first, column) = curve->errors[e - 1];
        column++;
    }
    return STATUS_OK;
}

static double last_error(const struct record *record)
{
    return record->metrics[record->epochs - 1].validation_error;
}

/* The legend has every run's error, too. */
static void describe(const struct error_figure *figure, char description[FIGURE_DESCRIPTION_BYTES])
{
    enum { DESCRIBED_MAX = 4 };
    size_t length = (size_t)snprintf(description, FIGURE_DESCRIPTION_BYTES, "%s after each epoch, in percent.",
                                     figure->kind == FIGURE_FULL ? "Validation error as a line with marks, training "
                                                                   "error as a dotted line,"
                                                                 : "Validation error");
    const struct record *least = figure->runs[0], *largest = figure->runs[0];
    for (size_t i = 0; i < figure->count; i++) {
        const struct record *record = figure->runs[i];
        const double error = last_error(record);
        char value[32] = "missing";
        if (!isnan(error))
            snprintf(value, sizeof value, "%.2f", error);
        least = isnan(last_error(least)) || error < last_error(least) ? record : least;
        largest = isnan(last_error(largest)) || error > last_error(largest) ? record : largest;
        if (figure->count <= DESCRIBED_MAX && length < FIGURE_DESCRIPTION_BYTES)
            length += (size_t)snprintf(description + length, FIGURE_DESCRIPTION_BYTES - length,
                                       " %.64s%s: validation error %s after epoch %zu.", record->name,
                                       imported_is(record) ? " (imported)" : "", value, record->epochs);
    }
    if (figure->count > DESCRIBED_MAX && !isnan(last_error(least)))
        snprintf(description + length, FIGURE_DESCRIPTION_BYTES - length,
                 " After their last epoch, the %zu runs have from %.2f (%.64s) to %.2f (%.64s).", figure->count,
                 last_error(least), least->name, last_error(largest), largest->name);
}

static enum status open_error_figure(struct figure *to, enum figure_kind kind, const struct record *const *runs,
                                     size_t count, struct error *error)
{
    if (count > FIGURE_RUNS_MAX)
        return error_set(error, STATUS_NO, "a figure by epoch shows at most %d runs, and these are %zu",
                         FIGURE_RUNS_MAX, count);
    struct error_figure *figure = calloc(1, sizeof *figure);
    if (figure == NULL)
        return error_out_of_memory(error, "a figure");
    *figure = (struct error_figure){ .kind = kind, .runs = runs, .count = count };
    to->content = figure;
    to->free_content = free_error_figure;
    enum status status = read_curves(figure, error);
    if (status != STATUS_OK)
        return status;
    choose_window(figure);
    make_heading(figure, to->title);
    describe(figure, to->description);
    to->drawing.legend_lines = legend_lines(figure);
    to->drawing.writer = write_figure;
    return make_sheet(figure, &to->sheet, error);
}

enum status figure_open_full(struct figure *figure, const struct record *const *runs, size_t count, struct error *error)
{
    return open_error_figure(figure, FIGURE_FULL, runs, count, error);
}

enum status figure_open_zoom(struct figure *figure, const struct record *const *runs, size_t count, struct error *error)
{
    return open_error_figure(figure, FIGURE_ZOOM, runs, count, error);
}
