/* A small table and its output as text, Markdown, JSON or CSV, for every command that prints one. The command `table`
 * is table_command.c. */
#ifndef SELFSAME_TABLE_H
#define SELFSAME_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct table_column {
    const char *name; /* the key in JSON, the heading elsewhere */
    bool number;      /* right-aligned; unquoted in JSON */
    unsigned rank;    /* a table that is wider than the terminal leaves out its columns of the highest rank, and then of
                       * the next; those of rank 0 stay. JSON, CSV and Markdown have them all */
};

enum { TABLE_COLUMNS_MAX = 64 };

struct table;

/* An option for the commands that print tables. */
#define OPTION_TABLE_FORMAT                                                                \
    {                                                                                      \
        "format", "FORMAT", OPTION_CHOICE, 0, 0, "table|json|csv",                         \
            "table, json or csv; default: table, which leaves out columns that do not fit" \
    }

/* The columns outlive the table. NULL without memory. */
struct table *table_open(const struct table_column *columns, size_t count);
/* Fills the next cell, row by row. An empty text is a cell without a value (null in JSON). If there is no memory for a
 * cell, table_print fails. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same where a value is known, and an empty cell where it is not. */
void table_cell_if(struct table *table, bool known, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A text, or its first bytes: at most so many. */
void table_text(struct table *table, const char *text, size_t most);
/* A number with so many digits after the point; an empty cell if it is not finite. */
void table_number(struct table *table, int digits, double value);
void table_integer(struct table *table, int64_t value);
/* The text of such a cell. */
void number_text(char *text, size_t size, int digits, double value);
/* Prints to standard output in "table", "markdown", "json" or "csv"; NULL is "table". */
enum status table_print(const struct table *table, const char *format, struct error *error) MUST_USE;
void table_close(struct table *table);

/* Prints any JSON to standard output, for scripts, and takes it over. STATUS_ENVIRONMENT if it is NULL, because jansson
 * returns NULL without memory. */
enum status json_print(json_t *json, struct error *error) MUST_USE;
/* Adds an item to a list, which takes it over. If it could not be made or added, *list becomes NULL, so that json_print
 * fails: nothing is left out. json_put does the same with the value of a key. */
void json_add(json_t **list, json_t *item);
void json_put(json_t **object, const char *key, json_t *value);
/* JSON can hold neither a text that is not UTF-8, such as the name of a folder, nor a number that is not finite. The
 * first becomes what a terminal would show of it, and the second null. */
json_t *json_text(const char *text);
json_t *json_number(double value);

#endif
