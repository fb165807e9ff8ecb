/* Runs gnuplot with plots/style.gp and a script that the caller writes, in a folder of its own. */
#ifndef SELFSAME_GNUPLOT_H
#define SELFSAME_GNUPLOT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

/* Writes what gnuplot is to read into `folder`: data files, and the script itself into `script`. */
typedef enum status (*gnuplot_writer)(const char *folder, FILE *script, const void *context, struct error *error);

struct drawing {
    const char *title, *description; /* for people who do not see it */
    size_t legend_lines;             /* they make it taller */
    gnuplot_writer writer;           /* what comes after the terminal, the output and the style */
    const void *context;
};

/* Light or dark ground. Auto: an SVG file follows its reader's setting, and the others are light. */
enum theme { THEME_AUTO, THEME_LIGHT, THEME_DARK };

/* Draws into `path`, whose ending names the format: png, svg or pdf. The file appears whole or not at all.
 * STATUS_ENVIRONMENT where gnuplot is missing or fails, with what it said. *no_terminal: because it was built without
 * the terminal for this format, and would draw an SVG file. */
enum status gnuplot_draw(const struct drawing *drawing, enum theme theme, const char *path, bool *no_terminal,
                         struct error *error) MUST_USE;

/* Draws an SVG element for a page (svg.h): *svg, and the style sheet of its dark colours, *css. The caller frees both;
 * after an error they are NULL. */
enum status gnuplot_svg(const struct drawing *drawing, const char *prefix, char **svg, char **css,
                        struct error *error) MUST_USE;

/* Closes a file that was written, and tells whether all of it was. */
enum status gnuplot_close(FILE *file, const char *path, struct error *error) MUST_USE;

#endif
