/* Draws figures of runs, by gnuplot with plots/style.gp and plots/error.gp. */
#ifndef SELFSAME_FIGURE_H
#define SELFSAME_FIGURE_H

#include "results/record.h"

enum figure_kind { FIGURE_FULL, FIGURE_ZOOM };

/* Draws one figure of up to FIGURE_RUNS_MAX runs, each with at least one epoch, into `path`, whose ending names the
 * format: png, svg or pdf. The file appears whole or not at all. STATUS_ENVIRONMENT where gnuplot is missing or fails,
 * with what it said; *no_terminal as gnuplot_draw says. */
enum { FIGURE_RUNS_MAX = 16 };
enum status figure_draw(enum figure_kind kind, const struct record *const *runs, size_t count, const char *path,
                        bool *no_terminal, struct error *error) MUST_USE;

#endif
