/* Figures of runs: what each kind shows, as a drawing and as the table of its numbers. */
#ifndef SELFSAME_FIGURE_H
#define SELFSAME_FIGURE_H

#include "plots/gnuplot.h"
#include "plots/sheet.h"
#include "results/record.h"

enum figure_kind {
    FIGURE_FULL,     /* validation and training error by epoch */
    FIGURE_ZOOM,     /* the validation error at the end of the training */
    FIGURE_RATE,     /* learning rate by epoch */
    FIGURE_LOSS,     /* validation and training loss by epoch */
    FIGURE_SEEDS,    /* validation error by epoch: mean and range over the seeds of one experiment */
    FIGURE_DEPTH,    /* final error by depth, with published values */
    FIGURE_TIME,     /* seconds by epoch */
    FIGURE_MACHINES, /* seconds per epoch by depth, machine for machine */
    FIGURE_PEAK,     /* share of the FMA peak by layer, of files of selfsame bench --format json */
    FIGURE_KINDS
};

/* Such as "full": the ending of a figure's file name, and its word on the command line. */
extern const char *const figure_names[FIGURE_KINDS];

/* FIGURE_RUNS_MAX: of the kinds that show every run. The others take any number. */
enum { FIGURE_RUNS_MAX = 16, FIGURE_TITLE_BYTES = 256, FIGURE_DESCRIPTION_BYTES = 1024 };

struct figure {
    struct drawing drawing;
    char title[FIGURE_TITLE_BYTES], description[FIGURE_DESCRIPTION_BYTES];
    struct sheet sheet;
    void *content; /* what the drawing's writer needs */
    void (*free_content)(void *content);
};

/* Makes a figure of runs, each with at least one epoch, which stay until figure_close. STATUS_NO, with the reason,
 * where these runs have nothing that this kind shows. After an error there is nothing to close. */
enum status figure_open(struct figure *figure, enum figure_kind kind, const struct record *const *runs, size_t count,
                        struct error *error) MUST_USE;
/* The kind FIGURE_PEAK, of files. STATUS_INPUT names a file that is not of selfsame bench. */
enum status figure_open_bench(struct figure *figure, const char *const *files, size_t count,
                              struct error *error) MUST_USE;
void figure_close(struct figure *figure);

#endif
