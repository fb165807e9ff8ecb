#include "commands/table.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

struct table {
    const struct table_column *columns;
    size_t column_count, cell_count, room;
    size_t *cells; /* where the text of each begins */
    char *texts;   /* of all cells, one after the other, since a long list has many */
    size_t used, size;
    bool lost; /* a cell did not fit into memory */
};

struct table *table_open(const struct table_column *columns, size_t count)
{
    struct table *table = calloc(1, sizeof *table);
    assert(count <= TABLE_COLUMNS_MAX);
    if (table != NULL) {
        table->columns = columns;
        table->column_count = count;
    }
    return table;
}

enum { CELL_BYTES = 1024, DIGITS_BYTES = 24 };

/* Adds a cell. False without memory. */
static bool add_cell(struct table *table, const char *text, size_t length)
{
    const size_t bytes = length + 1;
    if (table->cell_count == table->room) {
        const size_t room = 2 * table->room + 64;
        size_t *cells = realloc(table->cells, room * sizeof *cells);
        if (cells == NULL)
            return false;
        table->cells = cells;
        table->room = room;
    }
    if (table->size - table->used < bytes) {
        const size_t size = 2 * table->size + bytes;
        char *texts = realloc(table->texts, size);
        if (texts == NULL)
            return false;
        table->texts = texts;
        table->size = size;
    }
    memcpy(table->texts + table->used, text, length);
    table->texts[table->used + length] = '\0';
    table->cells[table->cell_count++] = table->used;
    table->used += bytes;
    return true;
}

void table_cell(struct table *table, const char *format, ...)
{
    char usual[128], *whole = NULL;
    const char *text = usual;
    va_list arguments;
    va_start(arguments, format);
    if (strcmp(format, "%s") == 0) /* as most cells are */
        text = va_arg(arguments, const char *);
    else if (vsnprintf(usual, sizeof usual, format, arguments) >= (int)sizeof usual)
        text = NULL;
    va_end(arguments);
    if (text == NULL) {
        va_start(arguments, format);
        if (vasprintf(&whole, format, arguments) < 0)
            whole = NULL;
        va_end(arguments);
        text = whole;
    }
    table->lost = table->lost || text == NULL || !add_cell(table, text, strlen(text));
    free(whole);
}

void table_text(struct table *table, const char *text, size_t most)
{
    table->lost = !add_cell(table, text, strnlen(text, most)) || table->lost;
}

void table_cell_if(struct table *table, bool known, const char *format, ...)
{
    char text[CELL_BYTES] = "";
    va_list arguments;
    va_start(arguments, format);
    if (known)
        vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    table_cell(table, "%s", text);
}

/* printf takes ten times as long as these two, and a long list has many numbers. */

/* Writes a number so that it ends before `end`, with `least` digits or more. Returns where it begins. */
static char *digits_before(char *end, uint64_t number, int least)
{
    for (; number > 0 || least > 0; number /= 10, least--)
        *--end = (char)('0' + number % 10);
    return end;
}

/* As "%.*f" writes it, or false: for a value so near to the middle between two results that the product's own rounding
 * could decide. */
static bool plain_decimal(char *text, size_t size, int digits, double value)
{
    static const double scales[] = { 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6 };
    char buffer[DIGITS_BYTES], *end = buffer + sizeof buffer;
    if (digits < 1 || digits > 6 || size < sizeof buffer || signbit(value) || !(value < 1e6))
        return false;
    const double scaled = value * scales[digits], floored = floor(scaled), rest = scaled - floored;
    if (fabs(rest - 0.5) < 1e-3) /* the product is below 1e12, and off by less than 1e-4 */
        return false;
    const uint64_t number = (uint64_t)floored + (rest > 0.5), scale = (uint64_t)scales[digits];
    char *begin = digits_before(end, number % scale, digits);
    *--begin = '.';
    begin = digits_before(begin, number / scale, 1);
    *(char *)mempcpy(text, begin, (size_t)(end - begin)) = '\0';
    return true;
}

void number_text(char *text, size_t size, int digits, double value)
{
    if (!isfinite(value))
        text[0] = '\0';
    else if (!plain_decimal(text, size, digits, value))
        snprintf(text, size, "%.*f", digits, value);
}

void table_number(struct table *table, int digits, double value)
{
    char text[CELL_BYTES];
    number_text(text, sizeof text, digits, value);
    table_text(table, text, sizeof text);
}

void table_integer(struct table *table, int64_t value)
{
    char buffer[DIGITS_BYTES], *end = buffer + sizeof buffer;
    char *begin = digits_before(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
    if (value < 0)
        *--begin = '-';
    table_text(table, begin, (size_t)(end - begin));
}

static const char *cell(const struct table *table, size_t row, size_t column)
{
    return table->texts + table->cells[row * table->column_count + column];
}

/* One thread prints, so that a stream's locks would only take time: long lists are written without them. */

/* The length of a text of printable ASCII alone, as most are, which is printed as it is; else SIZE_MAX. */
static size_t plain_length(const char *text)
{
    size_t length = 0;
    while (text[length] >= 0x20 && text[length] < 0x7f)
        length++;
    return text[length] == '\0' ? length : SIZE_MAX;
}

/* As it is printed. */
static size_t width_of(const char *text)
{
    char escaped[CELL_BYTES];
    const size_t length = plain_length(text);
    if (length != SIZE_MAX)
        return length < sizeof escaped ? length : sizeof escaped - 1;
    (void)text_escape(escaped, sizeof escaped, TEXT_TERMINAL, text);
    return text_width(escaped);
}

static void print_blanks(size_t count)
{
    static const char blanks[] = "                                ";
    for (; count >= sizeof blanks; count -= sizeof blanks - 1)
        fwrite_unlocked(blanks, 1, sizeof blanks - 1, stdout);
    fwrite_unlocked(blanks, 1, count, stdout);
}

static void write_shortened(const char *text, size_t width)
{
    char escaped[CELL_BYTES], shown[CELL_BYTES];
    (void)text_escape(escaped, sizeof escaped, TEXT_TERMINAL, text);
    text_shorten(shown, sizeof shown, escaped, width);
    fputs(shown, stdout);
}

static void print_aligned(const struct table_column *column, const char *text, size_t width)
{
    const size_t length = plain_length(text), whole = length <= width ? length : width_of(text),
                 fill = width > whole ? width - whole : 0;
    print_blanks(column->number ? fill : 0);
    if (length <= width)
        fwrite_unlocked(text, 1, length, stdout);
    else if (whole > width)
        write_shortened(text, width);
    else
        text_write(stdout, TEXT_TERMINAL, text);
    print_blanks(column->number ? 2 : fill + 2);
}

/* How a table is laid out on a terminal. */
struct layout {
    size_t widths[TABLE_COLUMNS_MAX];
    size_t last, before_last; /* the last column that is shown, and where it begins */
    unsigned rank;            /* the highest one that is shown */
};

/* A last column of text is wrapped, but not narrower than this. A longer text does not make the table leave out a
 * column. */
enum { WRAPPED_MIN = 16, WRAPPED_LONG = 32 };

/* Other texts are shortened to the first before the table leaves out a column, and then down to the second. */
enum { SHORTENED = 32, SHORTENED_MIN = 16 };

/* Finds the last column up to a rank. Returns the table's least width. */
static size_t lay_out(const struct table *table, struct layout *layout, unsigned rank)
{
    size_t width = 0;
    layout->rank = rank;
    for (size_t c = 0; c < table->column_count; c++) {
        if (table->columns[c].rank > rank)
            continue;
        layout->last = c;
        layout->before_last = width;
        width += layout->widths[c] + 2;
    }
    const size_t last = layout->widths[layout->last];
    return layout->before_last + (last > WRAPPED_LONG && !table->columns[layout->last].number ? WRAPPED_LONG : last);
}

static void shorten(const struct table *table, struct layout *layout, size_t most)
{
    for (size_t c = 0; c < table->column_count; c++)
        layout->widths[c] = !table->columns[c].number && layout->widths[c] > most ? most : layout->widths[c];
}

/* A word that is wider than its column goes on in the next line: only the last column has it whole. */
static void break_words(char to[2 * CELL_BYTES], const char *text, size_t room)
{
    for (size_t column = 0; *text != '\0'; text++) {
        const bool begins = ((unsigned char)*text & 0xc0) != 0x80;
        column = *text == ' ' ? 0 : column + begins;
        if (column > room) {
            *to++ = '\n';
            column = 1;
        }
        *to++ = *text;
    }
    *to = '\0';
}

static void print_last(const struct table *table, const struct layout *layout, const char *text, size_t columns)
{
    char escaped[CELL_BYTES], broken[2 * CELL_BYTES];
    const size_t width = columns > layout->before_last + WRAPPED_MIN ? columns : layout->before_last + WRAPPED_MIN,
                 length = plain_length(text);
    if (length <= width - layout->before_last && !table->columns[layout->last].number) { /* as most are */
        fwrite_unlocked(text, 1, length, stdout);
        putc_unlocked('\n', stdout);
        return;
    }
    if (table->columns[layout->last].number)
        printf("%*s", (int)(layout->widths[layout->last] - width_of(text)), "");
    (void)text_escape(escaped, sizeof escaped, TEXT_TERMINAL, text);
    break_words(broken, escaped, width - layout->before_last);
    text_wrap(stdout, broken, (int)layout->before_last, (int)layout->before_last, (int)width);
}

static void print_text(const struct table *table, size_t rows)
{
    const size_t columns = (size_t)text_columns(STDOUT_FILENO);
    struct layout layout = { .last = 0 };
    unsigned rank = 0;
    for (size_t c = 0; c < table->column_count; c++) {
        layout.widths[c] = width_of(table->columns[c].name);
        for (size_t r = 0; r < rows; r++) {
            const size_t width = width_of(cell(table, r, c));
            layout.widths[c] = width > layout.widths[c] ? width : layout.widths[c];
        }
        rank = table->columns[c].rank > rank ? table->columns[c].rank : rank;
    }
    if (lay_out(table, &layout, rank) > columns)
        shorten(table, &layout, SHORTENED);
    while (lay_out(table, &layout, rank) > columns && rank > 0)
        rank--;
    for (size_t most = SHORTENED; lay_out(table, &layout, rank) > columns && most > SHORTENED_MIN; most--)
        shorten(table, &layout, most - 1);
    for (size_t row = 0; row <= rows; row++) {
        for (size_t c = 0; c < layout.last; c++) {
            if (table->columns[c].rank <= layout.rank)
                print_aligned(&table->columns[c], row == 0 ? table->columns[c].name : cell(table, row - 1, c),
                              layout.widths[c]);
        }
        print_last(table, &layout, row == 0 ? table->columns[layout.last].name : cell(table, row - 1, layout.last),
                   columns);
    }
}

static void print_markdown_cell(const char *text)
{
    char escaped[512];
    text_escape(escaped, sizeof escaped, TEXT_TERMINAL, text);
    fputs(" ", stdout);
    for (const char *c = escaped; *c != '\0'; c++)
        fputs(strchr("|\\`*_<[", *c) != NULL ? (char[]){ '\\', *c, '\0' } : (char[]){ *c, '\0' }, stdout);
    fputs(" |", stdout);
}

static void print_markdown(const struct table *table, size_t rows)
{
    for (size_t row = 0; row <= rows; row++) {
        putchar('|');
        for (size_t c = 0; c < table->column_count; c++)
            print_markdown_cell(row == 0 ? table->columns[c].name : cell(table, row - 1, c));
        putchar('\n');
        if (row > 0)
            continue;
        putchar('|');
        for (size_t c = 0; c < table->column_count; c++)
            fputs(table->columns[c].number ? "---:|" : "---|", stdout);
        putchar('\n');
    }
}

static void print_csv(const struct table *table, size_t rows)
{
    for (size_t row = 0; row <= rows; row++) {
        for (size_t c = 0; c < table->column_count; c++) {
            if (row == 0)
                text_write(stdout, TEXT_CSV, table->columns[c].name);
            else if (table->columns[c].number) /* ours, and a minus sign is no formula */
                fputs(cell(table, row - 1, c), stdout);
            else
                text_write(stdout, TEXT_CSV, cell(table, row - 1, c));
            fputs(c + 1 == table->column_count ? "\r\n" : ",", stdout); /* RFC 4180 */
        }
    }
}

enum status json_print(json_t *json, struct error *error)
{
    /* ASCII alone, since a terminal may be what reads it. */
    char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17));
    json_decref(json);
    if (text == NULL)
        return error_out_of_memory(error, "what is printed");
    puts(text);
    free(text);
    return STATUS_OK;
}

void json_add(json_t **list, json_t *item)
{
    if (json_array_append_new(*list, item) == 0)
        return;
    json_decref(*list);
    *list = NULL;
}

void json_put(json_t **object, const char *key, json_t *value)
{
    if (json_object_set_new(*object, key, value) == 0)
        return;
    json_decref(*object);
    *object = NULL;
}

json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL)
        return json;
    const size_t bytes = text_escape(NULL, 0, TEXT_TERMINAL, text) + 1;
    char *escaped = malloc(bytes);
    if (escaped == NULL)
        return NULL;
    (void)text_escape(escaped, bytes, TEXT_TERMINAL, text);
    json = json_string(escaped);
    free(escaped);
    return json;
}

json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Most texts need no escape. */
static bool print_json_text(const char *text)
{
    const char *c = text;
    while (*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\')
        c++;
    if (*c == '\0') {
        putchar_unlocked('"');
        fputs_unlocked(text, stdout);
        putchar_unlocked('"');
        return true;
    }
    json_t *json = json_text(text);
    char *escaped = json == NULL ? NULL : json_dumps(json, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(json);
    if (escaped != NULL)
        fputs_unlocked(escaped, stdout);
    free(escaped);
    return escaped != NULL;
}

/* Whether a cell of a column of numbers is one as JSON writes it. */
static bool is_json_number(const char *text)
{
    text += *text == '-';
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || (digits > 1 && text[0] == '0'))
        return false;
    text += digits;
    if (*text == '.') {
        digits = strspn(++text, "0123456789");
        text += digits;
    }
    return digits > 0 && *text == '\0';
}

/* Of columns that were named twice the first is printed, since a key comes once. */
static bool comes_first(const struct table *table, size_t column)
{
    size_t c = 0;
    while (strcmp(table->columns[c].name, table->columns[column].name) != 0)
        c++;
    return c == column;
}

/* Written as it goes: a tree of a long list would take longer than all else. Numbers are those of the table, digit for
 * digit. */
static enum status print_json(const struct table *table, size_t rows, struct error *error)
{
    bool first[TABLE_COLUMNS_MAX], good = true;
    for (size_t c = 0; c < table->column_count; c++)
        first[c] = comes_first(table, c);
    putchar_unlocked('[');
    for (size_t row = 0; row < rows && good; row++) {
        fputs_unlocked(row > 0 ? ",\n  {" : "\n  {", stdout);
        for (size_t c = 0; c < table->column_count && good; c++) {
            const char *text = cell(table, row, c);
            if (!first[c])
                continue;
            fputs_unlocked(c > 0 ? ",\n    " : "\n    ", stdout);
            good = print_json_text(table->columns[c].name);
            fputs_unlocked(": ", stdout);
            if (text[0] == '\0' || (table->columns[c].number && is_json_number(text)))
                fputs_unlocked(text[0] == '\0' ? "null" : text, stdout);
            else
                good = good && print_json_text(text);
        }
        fputs_unlocked("\n  }", stdout);
    }
    fputs_unlocked(rows > 0 ? "\n]\n" : "]\n", stdout);
    return good ? STATUS_OK : error_out_of_memory(error, "what is printed");
}

enum status table_print(const struct table *table, const char *format, struct error *error)
{
    size_t rows = table->cell_count / table->column_count;
    if (table->lost)
        return error_out_of_memory(error, "a table");
    if (format != NULL && strcmp(format, "json") == 0)
        return print_json(table, rows, error);
    if (format != NULL && strcmp(format, "csv") == 0)
        print_csv(table, rows);
    else if (format != NULL && strcmp(format, "markdown") == 0)
        print_markdown(table, rows);
    else
        print_text(table, rows);
    return STATUS_OK;
}

void table_close(struct table *table)
{
    if (table == NULL)
        return;
    free(table->texts);
    free(table->cells);
    free(table);
}
