#include "plots/chart.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "plots/curve.h"
#include "plots/figure_kinds.h"

struct chart *chart_open(struct error *error)
{
    struct chart *chart = calloc(1, sizeof *chart);
    if (chart == NULL)
        error_out_of_memory(error, "a figure");
    return chart;
}

void chart_free(void *pointer)
{
    struct chart *chart = pointer;
    for (size_t s = 0; chart != NULL && s < chart->series_count; s++)
        free(chart->series[s].x);
    if (chart != NULL)
        free(chart->places);
    free(chart);
}

struct series *chart_add(struct chart *chart, enum series_look look, size_t style, size_t points, bool ranged,
                         struct error *error)
{
    const size_t parts = ranged ? 4 : 2;
    if (chart->series_count == CHART_SERIES_MAX) {
        error_set(error, STATUS_INPUT, "a figure shows at most %d lines; name fewer runs", CHART_SERIES_MAX);
        return NULL;
    }
    struct series *series = &chart->series[chart->series_count];
    *series = (struct series){ .look = look, .style = style, .count = points };
    series->x = calloc(parts * points + 1, sizeof *series->x);
    if (series->x == NULL) {
        error_out_of_memory(error, "a figure");
        return NULL;
    }
    chart->series_count++;
    for (size_t i = 0; i < parts * points; i++)
        series->x[i] = NAN;
    series->y = series->x + points;
    series->low = ranged ? series->y + points : NULL;
    series->high = ranged ? series->low + points : NULL;
    return series;
}

/* ---- the sheet --------------------------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Every x of every series once, rising; the caller frees. A point whose x is NaN is at no place. */
static enum status gather_places(const struct chart *chart, double **places, size_t *count, struct error *error)
{
    size_t all = 0, kept = 0;
    for (size_t s = 0; s < chart->series_count; s++)
        all += chart->series[s].count;
    *places = calloc(all + 1, sizeof **places);
    if (*places == NULL)
        return error_out_of_memory(error, "the data of a figure");
    all = 0;
    for (size_t s = 0; s < chart->series_count; s++) {
        for (size_t i = 0; i < chart->series[s].count; i++) {
            if (!isnan(chart->series[s].x[i]))
                (*places)[all++] = chart->series[s].x[i];
        }
    }
    qsort(*places, all, sizeof **places, compare_numbers);
    for (size_t i = 0; i < all; i++) {
        if (kept == 0 || (*places)[i] != (*places)[kept - 1])
            (*places)[kept++] = (*places)[i];
    }
    *count = kept;
    return STATUS_OK;
}

static void fill_column(struct sheet *sheet, const double *places, const struct series *series, const double *values,
                        size_t column)
{
    size_t row = 0;
    for (size_t i = 0; i < series->count; i++) {
        while (row < sheet->rows && places[row] < series->x[i])
            row++;
        if (row < sheet->rows && places[row] == series->x[i])
            *sheet_cell(sheet, row, column) = values[i];
    }
}

static enum status make_sheet(const struct chart *chart, struct sheet *sheet, struct error *error)
{
    double *places;
    size_t rows, columns = 0, column = 0;
    enum status status = gather_places(chart, &places, &rows, error);
    if (status != STATUS_OK)
        return status;
    for (size_t s = 0; s < chart->series_count; s++)
        columns += chart->series[s].low != NULL ? 3 : 1;
    status = sheet_open(sheet, rows, columns, error);
    if (status != STATUS_OK)
        goto out;
    sheet_name(sheet, -1, "%s", chart->x_column);
    for (size_t r = 0; r < rows; r++) {
        if (chart->places != NULL)
            sheet_label(sheet, r, "%s", chart->places[(size_t)places[r] - 1]);
        else
            sheet_label(sheet, r, "%.10g", places[r]);
    }
    for (size_t s = 0; s < chart->series_count; s++) {
        const struct series *series = &chart->series[s];
        sheet_name(sheet, (ptrdiff_t)column, "%s", series->column);
        fill_column(sheet, places, series, series->y, column++);
        if (series->low == NULL)
            continue;
        sheet_name(sheet, (ptrdiff_t)column, "%s, %s", series->column, series->low_column);
        fill_column(sheet, places, series, series->low, column++);
        sheet_name(sheet, (ptrdiff_t)column, "%s, %s", series->column, series->high_column);
        fill_column(sheet, places, series, series->high, column++);
    }
out:
    free(places);
    return status;
}

/* ---- the axes ---------------------------------------------------------------------------------------------------- */

struct range {
    double low, high;
};

/* NaN, which gnuplot leaves out, for what no axis can show: room is added above the largest value, and the sum must be
 * finite. */
static double drawable(double value)
{
    return fabs(value) <= 1e300 ? value : NAN;
}

static void extend(struct range *range, const double *values, size_t count)
{
    for (size_t i = 0; values != NULL && i < count; i++) {
        range->low = fmin(range->low, drawable(values[i])); /* of a number and NaN, the number */
        range->high = fmax(range->high, drawable(values[i]));
    }
}

static struct range x_range(const struct chart *chart)
{
    struct range range = { INFINITY, -INFINITY };
    for (size_t s = 0; s < chart->series_count; s++)
        extend(&range, chart->series[s].x, chart->series[s].count);
    if (chart->x_log)
        return (struct range){ range.low / 1.12, range.high * 1.12 };
    const double room = chart->places != NULL ? 0.5 : range.high > range.low ? 0.0 : 0.5;
    return (struct range){ range.low - room, range.high + room };
}

static struct range y_range(const struct chart *chart)
{
    struct range range = { INFINITY, -INFINITY };
    for (size_t s = 0; s < chart->series_count; s++) {
        const struct series *series = &chart->series[s];
        extend(&range, series->y, series->count);
        extend(&range, series->low, series->count);
        extend(&range, series->high, series->count);
    }
    if (!(range.low <= range.high)) /* not a single number */
        return (struct range){ chart->y_log ? 0.1 : 0.0, 1.0 };
    if (chart->y_log)
        return (struct range){ fmax(range.low, 1e-12) / 1.3, fmax(range.high, 1e-12) * 1.3 };
    const double room = range.high > range.low ? 0.06 * (range.high - range.low) : fmax(0.1 * fabs(range.high), 0.5);
    return (struct range){ chart->from_zero ? 0.0 : range.low - room, range.high + room };
}

/* A logarithmic axis has the marks 1, 2 and 5 of each power of ten, the powers alone where these are many, or some of
 * the powers where those are. */
static void print_log_tics(FILE *file, struct range range)
{
    static const double within[] = { 1.0, 2.0, 5.0 };
    const bool many = range.high / range.low > 2e3;
    const int first = (int)floor(log10(range.low)), last = (int)ceil(log10(range.high)),
              every = (last - first) / 12 + 1;
    const char *separator = "set ytics (";
    for (int power = first; power <= last; power += every) {
        for (int i = 0; i < (many ? 1 : 3); i++) {
            const double value = within[i] * pow(10.0, power);
            if (value < range.low || value > range.high)
                continue;
            fprintf(file, "%s'%.10g' %.10g", separator, value, value);
            separator = ", ";
        }
    }
    if (separator[0] == ',')
        fputs(")\n", file);
}

static void print_place_tics(FILE *file, const struct chart *chart)
{
    if (chart->places == NULL)
        return;
    fputs("set xtics (", file);
    for (size_t i = 0; i < chart->place_count; i++) {
        fputs(i > 0 ? ", " : "", file);
        text_write(file, TEXT_GNUPLOT, chart->places[i]);
        fprintf(file, " %zu", i + 1);
    }
    fputs(")\n", file);
}

static void print_number_tics(FILE *file, const struct chart *chart, struct range x)
{
    double *places;
    size_t count;
    struct error ignored;
    if (chart->places != NULL || gather_places(chart, &places, &count, &ignored) != STATUS_OK)
        return;
    if (chart->x_log) { /* those that are there */
        fputs("set xtics (", file);
        for (size_t i = 0; i < count; i++)
            fprintf(file, "%s'%.10g' %.10g", i > 0 ? ", " : "", places[i], places[i]);
        fputs(")\n", file);
    } else if (x.high - x.low <= 12.0) {
        fputs("set xtics 1\n", file);
    }
    free(places);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

/* What a plot command is made of. */
struct clauses {
    FILE *file;
    const char *separator;
};

static void __attribute__((format(printf, 2, 3))) clause(struct clauses *clauses, const char *format, ...)
{
    va_list arguments;
    fputs(clauses->separator, clauses->file);
    clauses->separator = ", \\\n    ";
    va_start(arguments, format);
    vfprintf(clauses->file, format, arguments);
    va_end(arguments);
}

enum { LINE_STYLE_BYTES = 48 };

static void name_line_style(const struct series *series, char text[LINE_STYLE_BYTES])
{
    snprintf(text, LINE_STYLE_BYTES, "linestyle %s + style_of(%zu)",
             series->look == SERIES_DOTTED      ? "of_training"
             : series->look == SERIES_PUBLISHED ? "of_others"
                                                : "of_run",
             series->style + 1);
}

enum { X_BYTES = 32 };

/* How far the points of a series are moved, so that those of another series do not cover them. */
static void print_x(const struct chart *chart, size_t s, char text[X_BYTES])
{
    const double from_middle = (double)s - (double)(chart->series_count - 1) / 2.0;
    if (!chart->apart)
        snprintf(text, X_BYTES, "1");
    else if (chart->x_log)
        snprintf(text, X_BYTES, "($1*%.6g)", pow(1.012, from_middle));
    else
        snprintf(text, X_BYTES, "($1+%.6g)", from_middle * 0.6 / (double)chart->series_count);
}

static void plot_series(struct clauses *clauses, const struct chart *chart, size_t s)
{
    const struct series *series = &chart->series[s];
    const size_t every = series->count / 24 + 1, first = s % every;
    char x[X_BYTES], line[LINE_STYLE_BYTES];
    print_x(chart, s, x);
    name_line_style(series, line);
    if (series->low != NULL && series->look != SERIES_BAND)
        clause(clauses, "'data' index %zu using %s:3:(0):($4-$3) with vectors nohead %s dashtype solid notitle", s, x,
               line);
    switch (series->look) {
    case SERIES_BAND:
        clause(clauses, "'data' index %zu using %s:3:4 with filledcurves fillcolor rgb tint(%zu) notitle", s, x,
               series->style + 1);
        for (int column = 3; column <= 4; column++)
            clause(clauses, "'data' index %zu using %s:%d with lines linestyle of_edge + style_of(%zu) notitle", s, x,
                   column, series->style + 1);
        /* fall through */
    case SERIES_LINE:
    case SERIES_PUBLISHED:
    case SERIES_STEPS:
        clause(clauses, "'data' index %zu using %s:2 with %s %s notitle", s, x,
               series->look == SERIES_STEPS ? "fsteps" : "lines", line);
        /* fall through */
    case SERIES_POINTS:
        clause(clauses, "'data' index %zu using %s:2 every %zu::%zu with points %s%s notitle", s, x, every, first, line,
               series->look == SERIES_POINTS ? " pointsize 1.4" : "");
        break;
    case SERIES_DOTTED:
        clause(clauses, "'data' index %zu using %s:2 with %s %s notitle", s, x, series->count > 1 ? "lines" : "points",
               line);
        break;
    }
}

static void plot_legend(struct clauses *clauses, const struct chart *chart)
{
    for (size_t s = 0; s < chart->series_count; s++) {
        const struct series *series = &chart->series[s];
        char line[LINE_STYLE_BYTES];
        if (series->title[0] == '\0')
            continue;
        name_line_style(series, line);
        clause(clauses, "NaN with %s %s title ", series->look == SERIES_POINTS ? "points" : "linespoints", line);
        figure_print_legend(clauses->file, series->title);
    }
    if (chart->legend[0] != '\0') {
        clause(clauses, "NaN with lines linestyle of_ink title ");
        figure_print_legend(clauses->file, chart->legend);
    }
}

static enum status write_data(const struct chart *chart, const char *folder, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = file_path(path, error, "%s/data", folder);
    if (status != STATUS_OK)
        return status;
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be made", path);
    for (size_t s = 0; s < chart->series_count; s++) {
        const struct series *series = &chart->series[s];
        for (size_t i = 0; i < series->count; i++) {
            fprintf(file, "%.10g %.10g", series->x[i], drawable(series->y[i]));
            if (series->low != NULL)
                fprintf(file, " %.10g %.10g", drawable(series->low[i]), drawable(series->high[i]));
            fputc('\n', file);
        }
        fputs("\n\n", file); /* gnuplot's end of a data set */
    }
    return gnuplot_close(file, path, error);
}

static void print_text(FILE *file, const char *name, const char *text)
{
    fprintf(file, "%s = ", name);
    text_write(file, TEXT_GNUPLOT, text);
    fputc('\n', file);
}

static enum status write_chart(const char *folder, FILE *script, const void *context, struct error *error)
{
    const struct chart *chart = context;
    char path[FILE_PATH_BYTES];
    enum status status = write_data(chart, folder, error);
    if (status == STATUS_OK)
        status = plots_find("chart.gp", path, error);
    if (status != STATUS_OK)
        return status;
    const struct range x = x_range(chart), y = y_range(chart);
    print_text(script, "heading", chart->heading);
    print_text(script, "x_label", chart->x_label);
    print_text(script, "y_label", chart->y_label);
    fprintf(script, "x_log = %d\ny_log = %d\nx_low = %.10g\nx_high = %.10g\ny_low = %.10g\ny_high = %.10g\n",
            chart->x_log, chart->y_log, x.low, x.high, y.low, y.high);
    fputs("load ", script);
    text_write(script, TEXT_GNUPLOT, path);
    fputc('\n', script);
    if (chart->y_log)
        print_log_tics(script, y);
    print_place_tics(script, chart);
    print_number_tics(script, chart, x);
    struct clauses clauses = { .file = script, .separator = "plot " };
    for (size_t s = 0; s < chart->series_count; s++)
        plot_series(&clauses, chart, s);
    plot_legend(&clauses, chart);
    fputc('\n', script);
    return STATUS_OK;
}

enum status chart_finish(struct chart *chart, enum status status, struct figure *figure, struct error *error)
{
    if (chart == NULL)
        return status;
    figure->content = chart;
    figure->free_content = chart_free;
    figure->drawing.writer = write_chart;
    figure->drawing.legend_lines = chart->legend[0] != '\0';
    for (size_t s = 0; s < chart->series_count; s++)
        figure->drawing.legend_lines += chart->series[s].title[0] != '\0';
    snprintf(figure->title, sizeof figure->title, "%s", chart->heading);
    return status == STATUS_OK ? make_sheet(chart, &figure->sheet, error) : status;
}
