/* The numbers of a figure as a table: one line for each place on the horizontal axis. */
#ifndef SELFSAME_SHEET_H
#define SELFSAME_SHEET_H

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

enum { SHEET_TEXT_BYTES = 320 };

struct sheet_text {
    char text[SHEET_TEXT_BYTES];
};

struct sheet {
    struct sheet_text *names;  /* [1 + columns]: what each column is called, beginning with the labels */
    struct sheet_text *labels; /* [rows] */
    double *cells;             /* [rows * columns]; NaN: no value */
    size_t rows, columns;
};

/* A sheet without values. sheet_free releases it; a zeroed one is fine. */
enum status sheet_open(struct sheet *sheet, size_t rows, size_t columns, struct error *error) MUST_USE;
void sheet_free(struct sheet *sheet);

/* Names a column, counted from 0; the labels are column -1. */
void sheet_name(struct sheet *sheet, ptrdiff_t column, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sheet_label(struct sheet *sheet, size_t row, const char *format, ...) __attribute__((format(printf, 3, 4)));
double *sheet_cell(struct sheet *sheet, size_t row, size_t column);

/* Tab-separated, with a heading; a cell without a value is "nan". */
enum status sheet_write(const struct sheet *sheet, const char *path, struct error *error) MUST_USE;

#endif
