/* A chart: series of points over one horizontal axis. Most figures are one. It is drawn with plots/chart.gp, and its
 * numbers are a sheet. */
#ifndef SELFSAME_CHART_H
#define SELFSAME_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "plots/figure.h"

enum series_look {
    SERIES_LINE,     /* a line with marks */
    SERIES_STEPS,    /* a line that jumps */
    SERIES_DOTTED,   /* a thin, dotted line */
    SERIES_BAND,     /* a line in a band from low to high */
    SERIES_POINTS,   /* marks, with bars from low to high */
    SERIES_PUBLISHED /* other people's values: hollow marks and a thin line, with bars */
};

struct series {
    enum series_look look;
    size_t style;                         /* from 0: colour, dash and mark */
    char title[SHEET_TEXT_BYTES];         /* in the legend; "" for none */
    char column[SHEET_TEXT_BYTES];        /* in the sheet */
    size_t count;                         /* points, by rising x */
    double *x, *y;                        /* [count] */
    double *low, *high;                   /* [count]; NULL: the series has no range */
    const char *low_column, *high_column; /* what the range is called in the sheet: "least", "largest" */
};

enum { CHART_SERIES_MAX = 4 * FIGURE_RUNS_MAX, CHART_PLACES_MAX = 512, CHART_LABEL_BYTES = 64 };

struct chart {
    char heading[FIGURE_TITLE_BYTES];
    const char *x_label, *y_label, *x_column;
    bool x_log, y_log;
    bool from_zero;                    /* the vertical axis begins at 0 */
    bool apart;                        /* points of different series at one place are drawn next to each other */
    char legend[SHEET_TEXT_BYTES];     /* a line of the legend for all dotted lines; "" for none */
    char (*places)[CHART_LABEL_BYTES]; /* [place_count]: what is written at x = 1, 2, ...; NULL: numbers. Owned */
    size_t place_count;
    struct series series[CHART_SERIES_MAX];
    size_t series_count;
};

struct chart *chart_open(struct error *error);
void chart_free(void *chart);

/* A new series whose y (and low and high, with `ranged`) are NaN. NULL without memory, or where there are too many. */
struct series *chart_add(struct chart *chart, enum series_look look, size_t style, size_t points, bool ranged,
                         struct error *error);

/* Hands a chart over to a figure, with its heading and sheet. The figure owns the chart from then on. `status` is how
 * the chart was filled: after an error, whose message is left alone, there is no sheet, and the chart may be NULL. */
enum status chart_finish(struct chart *chart, enum status status, struct figure *figure, struct error *error) MUST_USE;

#endif
