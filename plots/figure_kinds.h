/* The kinds of figures, for figure.c and for each other. Each fills title, description, sheet, content and drawing, or
 * leaves nothing behind. */
#ifndef SELFSAME_FIGURE_KINDS_H
#define SELFSAME_FIGURE_KINDS_H

#include <stdio.h>

#include "plots/figure.h"

typedef enum status figure_opener(struct figure *figure, const struct record *const *runs, size_t count,
                                  struct error *error);

/* A run's name as a legend has it: a long one loses its middle. */
enum { FIGURE_NAME_BYTES = 48 };
void figure_name_run(const struct record *record, char name[FIGURE_NAME_BYTES]);
/* Writes a line of the legend for gnuplot, without its middle where it is too wide for the figure. */
void figure_print_legend(FILE *script, const char *text);
/* "CIFAR-10", or what the runs' data sets are. */
const char *figure_data_name(const struct record *const *runs, size_t count);

figure_opener figure_open_full, figure_open_zoom;                         /* error_figure.c */
figure_opener figure_open_rate, figure_open_loss, figure_open_time;       /* epoch_figures.c */
figure_opener figure_open_seeds, figure_open_depth, figure_open_machines; /* group_figures.c */

/* How every opening ends: with what the drawing needs, or, after an error, with nothing of the figure left. */
enum status figure_opened(struct figure *figure, enum status status) MUST_USE;

#endif
