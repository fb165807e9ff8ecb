/* What is done to an SVG file of gnuplot: a title and a description for people who do not see it, and colours that
 * follow the reader's setting, light or dark. */
#ifndef SELFSAME_SVG_H
#define SELFSAME_SVG_H

#include "base/error.h"

/* Rewrites a drawing.
 * palette  lines "LIGHT DARK" of colours such as #222222, or NULL: the colours stay
 * prefix   NULL: a file of its own, which holds its style. Else a part of a page: without the file's heading, and with
 *          ids that begin with the prefix, since all ids of a page differ
 * *text    ended with a newline; the caller frees */
enum status svg_finish(const char *drawn, const char *palette, const char *prefix, const char *title,
                       const char *description, char **text, struct error *error) MUST_USE;

/* The style sheet that turns the colours of a palette's drawings dark where the reader wants that. The caller frees. */
enum status svg_style(const char *palette, char **css, struct error *error) MUST_USE;

#endif
