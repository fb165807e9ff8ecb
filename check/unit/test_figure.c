/* What figures show, before gnuplot draws it: the numbers of each kind, of runs made up in memory; the sheet of a chart
 * whose series have different places; and what becomes of an SVG file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "check/support/made_run.h"
#include "plots/chart.h"
#include "plots/svg.h"

enum { RUNS = 3 };
static struct made_run runs[RUNS];
static const struct record *list[RUNS];

/* Three seeds, of which the last has the bits of the second. */
static int set_up(void **state)
{
    static const double errors[RUNS] = { 8.0, 9.0, 9.0 };
    (void)state;
    memset(runs, 0, sizeof runs);
    for (size_t i = 0; i < RUNS; i++) {
        made_run_fill(&runs[i], i, "targets: []", errors[i], i == 0 ? 'a' : 'b');
        runs[i].record.facts.engine_description = i == 0 ? "one machine" : "another";
        runs[i].record.facts.host_cpu = "a processor";
        runs[i].record.facts.training_images = 1600;
        for (size_t e = 0; e < MADE_EPOCHS; e++)
            runs[i].metrics[e].learning_rate = e == 0 ? 0.1 : 0.01;
        list[i] = &runs[i].record;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < RUNS; i++)
        made_run_free(&runs[i]);
    return 0;
}

static void expect_row(const struct sheet *sheet, size_t row, const char *label, const double *values)
{
    assert_true(row < sheet->rows);
    assert_string_equal(sheet->labels[row].text, label);
    for (size_t c = 0; c < sheet->columns; c++) {
        const double cell = sheet->cells[row * sheet->columns + c];
        if (!(fabs(cell - values[c]) < 1e-12 || (isnan(cell) && isnan(values[c]))))
            fail_msg("row %s, column %s: %g, expected %g", label, sheet->names[1 + c].text, cell, values[c]);
    }
}

static void open_figure(struct figure *figure, enum figure_kind kind, size_t count)
{
    struct error error = { STATUS_OK, "" };
    if (figure_open(figure, kind, list, count, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_true(figure->title[0] != '\0' && figure->description[0] != '\0' && figure->drawing.writer != NULL);
    assert_ptr_equal(figure->drawing.title, figure->title);
}

static void test_seeds(void **state)
{
    struct figure figure;
    (void)state;
    open_figure(&figure, FIGURE_SEEDS, RUNS);
    assert_int_equal(figure.sheet.rows, 2);
    assert_string_equal(figure.sheet.names[1].text, "made exact-1, mean of 2"); /* a repeat is no seed */
    expect_row(&figure.sheet, 0, "1", (const double[]){ 5.0, 5.0, 5.0 });
    expect_row(&figure.sheet, 1, "2", (const double[]){ 8.5, 8.0, 9.0 });
    figure_close(&figure);
}

static void test_depth(void **state)
{
    struct figure figure;
    struct error error;
    (void)state;
    open_figure(&figure, FIGURE_DEPTH, RUNS);
    assert_int_equal(figure.sheet.rows, 1);
    expect_row(&figure.sheet, 0, "20", (const double[]){ 8.5, 8.0, 9.0 }); /* the repeat counts once here, too */
    figure_close(&figure);
    for (size_t i = 0; i < RUNS; i++)
        runs[i].record.facts.epochs_wanted = MADE_EPOCHS + 1;
    assert_int_equal(figure_open(&figure, FIGURE_DEPTH, list, RUNS, &error), STATUS_NO);
    assert_non_null(strstr(error.message, "none of these runs is finished"));
}

static void test_rate_and_time(void **state)
{
    struct figure figure;
    (void)state;
    open_figure(&figure, FIGURE_RATE, RUNS);
    assert_int_equal(figure.sheet.columns, 1); /* runs with the same rates are one line */
    expect_row(&figure.sheet, 1, "2", (const double[]){ 0.01 });
    figure_close(&figure);
    open_figure(&figure, FIGURE_TIME, RUNS);
    expect_row(&figure.sheet, 0, "1", (const double[]){ 1.0, 2.0, 3.0 });
    figure_close(&figure);
}

static void test_machines(void **state)
{
    struct figure figure;
    struct error error;
    (void)state;
    open_figure(&figure, FIGURE_MACHINES, RUNS);
    assert_int_equal(figure.sheet.columns, 6);                      /* two machines: median and quartiles */
    assert_non_null(strstr(figure.sheet.names[1].text, "another")); /* by their names */
    expect_row(&figure.sheet, 0, "20", (const double[]){ 2.5, 2.0, 3.0, 1.0, 1.0, 1.0 });
    figure_close(&figure);
    for (size_t i = 0; i < RUNS; i++)
        runs[i].record.facts.state = RECORD_IMPORTED;
    assert_int_equal(figure_open(&figure, FIGURE_MACHINES, list, RUNS, &error), STATUS_NO);
    assert_string_equal(error.message, "none of these runs says on which machine it ran");
    runs[1].record.facts.training_images = 10;
    assert_int_equal(figure_open(&figure, FIGURE_MACHINES, list, RUNS, &error), STATUS_NO);
    assert_non_null(strstr(error.message, "an epoch of made-seed0 has 1600 images and one of made-seed1 has 10"));
}

static void test_refused(void **state)
{
    struct figure figure;
    struct error error;
    (void)state;
    assert_int_equal(figure_open(&figure, FIGURE_SEEDS, list, 1, &error), STATUS_NO);
    assert_non_null(strstr(error.message, "no two of these runs differ in the seed alone"));
    assert_int_equal(figure_open(&figure, FIGURE_SEEDS, list + 1, 2, &error), STATUS_NO); /* the same bits */
    assert_int_equal(figure_open(&figure, FIGURE_PEAK, list, RUNS, &error), STATUS_NO);
}

/* Series with different places: a row for each place, and no number where a series has none. */
static void test_sheet(void **state)
{
    struct error error;
    struct figure figure = { .content = NULL };
    struct chart *chart = chart_open(&error);
    struct series *first = chart_add(chart, SERIES_LINE, 0, 2, false, &error),
                  *second = chart_add(chart, SERIES_BAND, 1, 2, true, &error);
    (void)state;
    assert_true(first != NULL && second != NULL);
    chart->x_column = "place";
    snprintf(first->column, sizeof first->column, "one\ttab");
    snprintf(second->column, sizeof second->column, "two");
    second->low_column = "least";
    second->high_column = "largest";
    first->x[0] = 1.0;
    first->x[1] = second->x[0] = 2.5;
    second->x[1] = 30.0;
    for (size_t i = 0; i < 2; i++) {
        first->y[i] = (double)i;
        second->y[i] = 10.0 + (double)i;
        second->low[i] = 9.0;
    }
    assert_int_equal(chart_finish(chart, STATUS_OK, &figure, &error), STATUS_OK);
    assert_int_equal(figure.sheet.rows, 3);
    assert_int_equal(figure.sheet.columns, 4);
    expect_row(&figure.sheet, 0, "1", (const double[]){ 0.0, NAN, NAN, NAN });
    expect_row(&figure.sheet, 1, "2.5", (const double[]){ 1.0, 10.0, 9.0, NAN });
    expect_row(&figure.sheet, 2, "30", (const double[]){ NAN, 11.0, 9.0, NAN });

    char path[] = "test_figure.XXXXXX", text[512] = "";
    const int made = mkstemp(path);
    assert_true(made >= 0);
    close(made);
    assert_int_equal(sheet_write(&figure.sheet, path, &error), STATUS_OK);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    unlink(path);
    /* A name cannot add a column. */
    assert_string_equal(text, "place\tone\\x09tab\ttwo\ttwo, least\ttwo, largest\n"
                              "1\t0\tnan\tnan\tnan\n2.5\t1\t10\t9\tnan\n30\tnan\t11\t9\tnan\n");
    figure_close(&figure);
}

/* A chart that an error left half-filled has no sheet, and the error is that of its filling. Points without a place
 * are in no row. */
static void test_half_filled(void **state)
{
    struct error error = { STATUS_INPUT, "the reason" };
    struct figure figure = { .content = NULL };
    struct chart *chart = chart_open(&error);
    (void)state;
    assert_non_null(chart_add(chart, SERIES_LINE, 0, 3, false, &error));
    assert_int_equal(chart_finish(chart, STATUS_INPUT, &figure, &error), STATUS_INPUT);
    assert_string_equal(error.message, "the reason");
    assert_int_equal(figure.sheet.rows, 0);
    figure_close(&figure);
    assert_int_equal(chart_finish(NULL, STATUS_NO, &figure, &error), STATUS_NO);

    chart = chart_open(&error);
    struct series *series = chart_add(chart, SERIES_LINE, 0, 3, false, &error);
    assert_non_null(series);
    chart->x_column = "place";
    series->x[1] = series->y[1] = 2.0;
    assert_int_equal(chart_finish(chart, STATUS_OK, &figure, &error), STATUS_OK);
    assert_int_equal(figure.sheet.rows, 1);
    expect_row(&figure.sheet, 0, "2", (const double[]){ 2.0 });
    figure_close(&figure);
}

/* What a figure gives to gnuplot: its script. */
static size_t script_of(const struct figure *figure, char *text, size_t size)
{
    char folder[] = "test_figure.XXXXXX";
    struct error error;
    FILE *file = fmemopen(text, size, "w");
    assert_non_null(mkdtemp(folder));
    assert_non_null(file);
    if (figure->drawing.writer(folder, file, figure->content, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    const long bytes = ftell(file);
    fclose(file);
    assert_int_equal(file_remove_tree(folder, &error), STATUS_OK);
    return (size_t)bytes;
}

/* The largest numbers that a record may have make an axis that ends, and not marks without end. */
static void test_large_numbers(void **state)
{
    enum { SCRIPT_BYTES = 16384 };
    static char script[SCRIPT_BYTES];
    struct figure figure;
    (void)state;
    alarm(20); /* ends this program if marks have no end */
    runs[0].metrics[0].training_loss = 1.5e308;
    runs[1].metrics[0].training_loss = 1e250;
    runs[2].metrics[0].training_loss = 1e-250;
    open_figure(&figure, FIGURE_LOSS, RUNS);
    assert_true(script_of(&figure, script, SCRIPT_BYTES) < SCRIPT_BYTES / 2);
    assert_null(strstr(script, "= inf"));
    assert_non_null(strstr(script, "y_high = 1.3e+250"));
    figure_close(&figure);
    runs[0].metrics[0].training_seconds = runs[0].metrics[0].validation_seconds = 1.5e308;
    open_figure(&figure, FIGURE_TIME, RUNS);
    assert_true(script_of(&figure, script, SCRIPT_BYTES) < SCRIPT_BYTES / 2);
    assert_null(strstr(script, "= inf"));
    figure_close(&figure);
    alarm(0);
}

static void test_too_many_series(void **state)
{
    struct error error;
    struct chart *chart = chart_open(&error);
    (void)state;
    for (size_t i = 0; i < CHART_SERIES_MAX; i++)
        assert_non_null(chart_add(chart, SERIES_LINE, i, 1, false, &error));
    assert_null(chart_add(chart, SERIES_LINE, 0, 1, false, &error));
    assert_non_null(strstr(error.message, "at most"));
    chart_free(chart);
}

static void test_svg(void **state)
{
    static const char drawn[] = "<?xml?>\n<svg width=\"1\">\n<title>Gnuplot</title>\n<desc>Produced by GNUPLOT</desc>\n"
                                "<g id=\"plot\"><title>part</title><path stroke='rgb(  0,  86, 140)'/></g>\n</svg>\n";
    struct error error;
    char *text;
    (void)state;
    assert_int_equal(svg_finish(drawn, "#00568c #aaccee\n", NULL, "a < b", "\"c\"", &text, &error), STATUS_OK);
    assert_non_null(strstr(text, "<?xml?>\n<svg width=\"1\" role=\"img\" aria-labelledby=\"title description\">"));
    assert_non_null(strstr(text, "<title id=\"title\">a &lt; b</title>"));
    assert_non_null(strstr(text, "svg [stroke=\"#00568c\"]{stroke:#aaccee}"));
    assert_non_null(strstr(text, "stroke='#00568c'"));
    assert_null(strstr(text, "part"));
    assert_null(strstr(text, "Gnuplot"));
    free(text);
    /* A part of a page: ids of its own, and no heading of a file. */
    assert_int_equal(svg_finish(drawn, NULL, "f1-", "a", "b", &text, &error), STATUS_OK);
    assert_int_equal(strncmp(text, "<svg ", 5), 0);
    assert_non_null(strstr(text, "<g id=\"f1-plot\">"));
    assert_non_null(strstr(text, "aria-labelledby=\"f1-title f1-description\""));
    free(text);
    assert_int_equal(svg_finish("<html>", NULL, NULL, "a", "b", &text, &error), STATUS_ENVIRONMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_seeds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_depth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rate_and_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_machines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_half_filled),
        cmocka_unit_test_setup_teardown(test_large_numbers, set_up, tear_down),
        cmocka_unit_test(test_too_many_series),
        cmocka_unit_test(test_svg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
