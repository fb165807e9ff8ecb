/* Runs gnuplot on a script that the caller writes, in a folder of its own. */
#ifndef SELFSAME_GNUPLOT_H
#define SELFSAME_GNUPLOT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

/* Writes what gnuplot is to read into `folder`: data files, and the script itself into `script`. */
typedef enum status (*gnuplot_writer)(const char *folder, FILE *script, const void *context, struct error *error);

/* Draws one figure into `path`, whose ending names the format: png, svg or pdf. Its legend has `legend_lines`, which
 * make it taller. `writer` writes what comes after the terminal and the output. The file appears whole or not at all.
 * STATUS_ENVIRONMENT where gnuplot is missing or fails, with what it said. *no_terminal: because
 * it was built without the terminal for this format, and would draw an SVG file. */
enum status gnuplot_draw(const char *path, size_t legend_lines, gnuplot_writer writer, const void *context,
                         bool *no_terminal, struct error *error) MUST_USE;

/* Closes a file that was written, and tells whether all of it was. */
enum status gnuplot_close(FILE *file, const char *path, struct error *error) MUST_USE;

#endif
