/* A question about runs, in a small language of our own, as SQL: the texts of --where, --sort and --columns.
 *
 * expression  TERM, not, and, or, parentheses; `not` binds most, `or` least. A term is COLUMN OPERATOR VALUE. Words may
 *             be in capitals.
 * operators   = (or ==), != (or <>), <, <=, >, >=; for texts also like (with % and _), contains and, before these two,
 *             not. like and contains take no notice of the case of ASCII letters
 * values      a number; a text between single or double quotes, where a doubled quote is one quote
 * columns     those of results/run_columns.h. A digest is compared by as many digits as the value has. A comparison
 *             with tag holds if it holds for one of the tags, and != if = does not; tag = '' holds for runs without
 *             tags
 * missing     a comparison with a value that a run does not have is false
 * real        numbers that are not whole are equal if they agree to 9 digits
 * safety      Values become parameters of the statement, and nothing of the text becomes SQL. Length, nesting and
 *             number of terms are limited */
#ifndef SELFSAME_RUN_QUERY_H
#define SELFSAME_RUN_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "results/run_columns.h"

enum {
    QUERY_BYTES_MAX = 10000,
    QUERY_COMPARISONS_MAX = 100,
    QUERY_VALUES_MAX = 2 * QUERY_COMPARISONS_MAX,
    QUERY_NESTING_MAX = 50,
    QUERY_COLUMNS_MAX = 64
};

/* The parameter ?1 of the SQL is the path of the runs folder, with a slash; ?2 and so on are the values. */
struct query_value {
    char *text; /* NULL: a number */
    double number;
};

struct run_query {
    char *where;                                 /* SQL; NULL: all runs */
    struct query_value values[QUERY_VALUES_MAX]; /* of it */
    size_t value_count;
    char *order; /* SQL, always ended by the run's name */
    const struct run_column *columns[QUERY_COLUMNS_MAX];
    char *headings[QUERY_COLUMNS_MAX]; /* as they were called */
    size_t column_count;
};

/* Each may be NULL: all runs, by name, the columns that are shown by default. "all" are all columns. STATUS_INPUT names
 * the option, for an expression the character, and what was expected. Free the query after an error, too. */
enum status run_query_parse(struct run_query *query, const char *where, const char *sort, const char *columns,
                            struct error *error) MUST_USE;
void run_query_free(struct run_query *query);

/* The SQL expression of a column's value. */
enum { QUERY_SQL_BYTES = 128 };
const char *run_query_sql(const struct run_column *column, char sql[QUERY_SQL_BYTES]);

#endif
