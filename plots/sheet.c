#include "plots/sheet.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"

enum status sheet_open(struct sheet *sheet, size_t rows, size_t columns, struct error *error)
{
    *sheet = (struct sheet){ .rows = rows, .columns = columns };
    sheet->names = calloc(1 + columns, sizeof *sheet->names);
    sheet->labels = calloc(rows + 1, sizeof *sheet->labels); /* of no rows, too */
    sheet->cells = calloc(rows * columns + 1, sizeof *sheet->cells);
    if (sheet->names == NULL || sheet->labels == NULL || sheet->cells == NULL) {
        sheet_free(sheet);
        return error_out_of_memory(error, "the data of a figure");
    }
    for (size_t i = 0; i < rows * columns; i++)
        sheet->cells[i] = NAN;
    return STATUS_OK;
}

void sheet_free(struct sheet *sheet)
{
    free(sheet->names);
    free(sheet->labels);
    free(sheet->cells);
    *sheet = (struct sheet){ .rows = 0 };
}

void sheet_name(struct sheet *sheet, ptrdiff_t column, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sheet->names[column + 1].text, SHEET_TEXT_BYTES, format, arguments);
    va_end(arguments);
}

void sheet_label(struct sheet *sheet, size_t row, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sheet->labels[row].text, SHEET_TEXT_BYTES, format, arguments);
    va_end(arguments);
}

double *sheet_cell(struct sheet *sheet, size_t row, size_t column)
{
    return &sheet->cells[row * sheet->columns + column];
}

static void print(FILE *file, const struct sheet *sheet)
{
    for (size_t c = 0; c <= sheet->columns; c++) {
        text_write(file, TEXT_TERMINAL, sheet->names[c].text);
        fputc(c < sheet->columns ? '\t' : '\n', file);
    }
    for (size_t r = 0; r < sheet->rows; r++) {
        text_write(file, TEXT_TERMINAL, sheet->labels[r].text);
        for (size_t c = 0; c < sheet->columns; c++)
            fprintf(file, "\t%.10g", sheet->cells[r * sheet->columns + c]);
        fputc('\n', file);
    }
}

enum status sheet_write(const struct sheet *sheet, const char *path, struct error *error)
{
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL)
        return error_out_of_memory(error, "%s", path);
    print(file, sheet);
    enum status status =
        fclose(file) == 0 ? file_write(path, text, bytes, error) : error_out_of_memory(error, "%s", path);
    free(text);
    return status;
}
