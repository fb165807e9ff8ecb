/* CSV: a heading with the names of the columns, then a row for each epoch or step. RFC 4180, with a comma, a semicolon
 * or a tab between the cells, whichever the heading has. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/text.h"
#include "exchange/import.h"

enum { COLUMNS_MAX = 10000 };

struct csv_reader {
    const char *path;
    char *at, *end; /* what is left of the text, in which cells are unquoted in place */
    size_t line;    /* of *at, from 1 */
    char separator;
    char **cells; /* of the row that was read last */
    size_t count, room, row_line;
    struct error *error;
};

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static enum status add_cell(struct csv_reader *reader, char *cell)
{
    if (reader->count == COLUMNS_MAX)
        return error_set(reader->error, STATUS_INPUT, "%s:%zu: there are more than %d cells", reader->path,
                         reader->row_line, COLUMNS_MAX);
    if (reader->count == reader->room) {
        const size_t room = 2 * reader->room + 16;
        char **cells = realloc(reader->cells, room * sizeof *cells);
        if (cells == NULL)
            return error_out_of_memory(reader->error, "a row of %s", reader->path);
        reader->cells = cells;
        reader->room = room;
    }
    reader->cells[reader->count++] = cell;
    return STATUS_OK;
}

/* Takes a cell in quotes, and leaves *at behind the closing one. */
static enum status take_quoted(struct csv_reader *reader, char **cell)
{
    char *from = reader->at + 1, *to = from;
    const size_t line = reader->line;
    *cell = from;
    for (; from < reader->end; from++) {
        if (*from == '"' && from + 1 < reader->end && from[1] == '"')
            from++;
        else if (*from == '"')
            break;
        reader->line += *from == '\n';
        *to++ = *from;
    }
    if (from >= reader->end)
        return error_set(reader->error, STATUS_INPUT, "%s:%zu: a cell's quotation mark has no closing one",
                         reader->path, line);
    reader->at = from + 1;
    *to = '\0'; /* in the place of the closing mark, or before it */
    return STATUS_OK;
}

/* Reads a row into reader->cells. *found is false at the end. */
static enum status next_row(struct csv_reader *reader, bool *found)
{
    enum status status = STATUS_OK;
    while (reader->at < reader->end && *reader->at == '\n') { /* empty lines */
        reader->at++;
        reader->line++;
    }
    reader->count = 0;
    reader->row_line = reader->line;
    *found = reader->at < reader->end;
    for (bool more = *found; more && status == STATUS_OK;) {
        char *cell = reader->at;
        if (*reader->at == '"') {
            status = take_quoted(reader, &cell);
        } else {
            while (reader->at < reader->end && *reader->at != reader->separator && *reader->at != '\n')
                reader->at++;
        }
        if (status == STATUS_OK)
            status = add_cell(reader, cell);
        if (status != STATUS_OK)
            break;
        more = reader->at < reader->end && *reader->at == reader->separator;
        if (!more && reader->at < reader->end && *reader->at != '\n')
            return error_set(reader->error, STATUS_INPUT, "%s:%zu: after a closing quotation mark there is more",
                             reader->path, reader->line);
        reader->line += !more && reader->at < reader->end;
        if (reader->at < reader->end)
            *reader->at++ = '\0';
    }
    return status;
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

enum cell_kind { CELL_NUMBER, CELL_EMPTY, CELL_OTHER };

static enum cell_kind read_number(const char *cell, double *value)
{
    static const char *const empty[] = { "", "NA", "N/A", "null", "None" };
    static const char *const not_finite[] = { "nan", "inf", "-inf", "infinity", "-infinity", "+inf", "+infinity" };
    char text[64], *end;
    cell += strspn(cell, " ");
    size_t length = strlen(cell);
    while (length > 0 && cell[length - 1] == ' ')
        length--;
    if (length >= sizeof text)
        return CELL_OTHER;
    snprintf(text, sizeof text, "%.*s", (int)length, cell);
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        if (strcmp(text, empty[i]) == 0)
            return CELL_EMPTY;
    }
    for (size_t i = 0; i < sizeof not_finite / sizeof *not_finite; i++) {
        if (strcasecmp(text, not_finite[i]) == 0) {
            *value = NAN;
            return CELL_NUMBER;
        }
    }
    if (strspn(text, "0123456789+-.eE") != length)
        return CELL_OTHER;
    errno = 0;
    *value = strtod(text, &end);
    return *end == '\0' && end != text ? CELL_NUMBER : CELL_OTHER;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

struct csv_columns {
    struct import_source *source;
    char **names; /* [count] */
    bool *wanted; /* [count] */
    size_t count, counter;
};

/* A name without the blanks around it, in its place. */
static char *without_blanks(char *name)
{
    name += strspn(name, " ");
    size_t length = strlen(name);
    while (length > 0 && name[length - 1] == ' ')
        name[--length] = '\0';
    return name;
}

static enum status read_heading(struct csv_reader *reader, const struct import_choice *choice,
                                struct csv_columns *columns)
{
    const char *counter = import_counter(choice), *ours = choice->steps ? "step" : "epoch";
    char shown[256];
    bool found;
    enum status status = next_row(reader, &found);
    if (status == STATUS_OK && !found)
        status = error_set(reader->error, STATUS_INPUT, "%s is empty", reader->path);
    if (status != STATUS_OK)
        return status;
    columns->count = reader->count;
    columns->counter = SIZE_MAX;
    columns->names = calloc(reader->count, sizeof *columns->names);
    columns->wanted = calloc(reader->count, sizeof *columns->wanted);
    if (columns->names == NULL || columns->wanted == NULL)
        return error_out_of_memory(reader->error, "the heading of %s", reader->path);
    for (size_t i = 0; i < reader->count; i++) {
        struct import_series *series;
        columns->names[i] = without_blanks(reader->cells[i]);
        if (strcmp(columns->names[i], counter) == 0 && columns->counter == SIZE_MAX) {
            columns->counter = i;
            continue;
        }
        columns->wanted[i] = import_wants(choice, columns->names[i]);
        for (size_t k = 0; k < i && columns->wanted[i]; k++) {
            if (strcmp(columns->names[k], columns->names[i]) == 0)
                return error_set(reader->error, STATUS_INPUT, "%s:%zu: two columns are called '%.100s'", reader->path,
                                 reader->row_line, columns->names[i]);
        }
        /* Also what nobody wants: a message lists all names. */
        status = import_find_series(columns->source, columns->names[i], &series, reader->error);
        if (status != STATUS_OK)
            return status;
    }
    if (columns->counter != SIZE_MAX)
        return STATUS_OK;
    text_escape(shown, sizeof shown, TEXT_TERMINAL, columns->names[0]);
    return error_set(reader->error, STATUS_INPUT,
                     "%s:%zu: there is no column '%.100s'; say which column counts the %ss, such as --column "
                     "%s=%.100s%s",
                     reader->path, reader->row_line, counter, ours, ours, shown,
                     choice->steps ? "" : "; if none does and one counts training steps, pass --steps");
}

static enum status read_counter(struct csv_reader *reader, const struct csv_columns *columns, int64_t *number)
{
    double value = NAN;
    const char *cell = reader->cells[columns->counter];
    if (read_number(cell, &value) != CELL_NUMBER || !(fabs(value) < 9007199254740992.0) || floor(value) != value)
        return error_set(reader->error, STATUS_INPUT, "%s:%zu: '%.100s' is '%.100s', which is no whole number",
                         reader->path, reader->row_line, columns->names[columns->counter], cell);
    *number = (int64_t)value;
    return STATUS_OK;
}

static enum status read_row(struct csv_reader *reader, const struct csv_columns *columns)
{
    int64_t number = 0;
    if (reader->count != columns->count)
        return error_set(reader->error, STATUS_INPUT, "%s:%zu: the row has %zu cell%s, but the heading has %zu",
                         reader->path, reader->row_line, reader->count, reader->count == 1 ? "" : "s", columns->count);
    enum status status = read_counter(reader, columns, &number);
    for (size_t i = 0; i < columns->count && status == STATUS_OK; i++) {
        struct import_series *series;
        struct import_point point = { .number = number, .place = reader->row_line };
        if (!columns->wanted[i])
            continue;
        const enum cell_kind kind = read_number(reader->cells[i], &point.value);
        if (kind == CELL_OTHER)
            return error_set(reader->error, STATUS_INPUT, "%s:%zu: '%.100s' is '%.100s', which is no number",
                             reader->path, reader->row_line, columns->names[i], reader->cells[i]);
        if (kind == CELL_EMPTY)
            continue;
        status = import_find_series(columns->source, columns->names[i], &series, reader->error);
        if (status == STATUS_OK)
            status = import_add_point(columns->source, series, point, reader->error);
    }
    return status;
}

/* What the heading, the first line that is not empty, has outside of quotes. */
static char find_separator(const char *text)
{
    static const char separators[] = ",;\t";
    size_t counts[3] = { 0 };
    bool quoted = false;
    text += strspn(text, "\n");
    for (; *text != '\0' && (quoted || *text != '\n'); text++) {
        const char *place = strchr(separators, *text);
        quoted ^= *text == '"';
        if (place != NULL && !quoted)
            counts[place - separators]++;
    }
    return counts[0] > 0 ? ',' : counts[1] > 0 ? ';' : '\t';
}

enum status import_read_csv(struct import_source *source, const struct import_choice *choice, const char *path,
                            struct error *error)
{
    char *text = NULL;
    const char *slash = strrchr(path, '/');
    size_t bytes;
    bool found = true;
    struct csv_columns columns = { .source = source };
    struct csv_reader reader = { .path = path, .line = 1, .error = error };
    source->tool = "CSV";
    source->place = ":";
    enum status status = import_source_name(source, path, error);
    if (status == STATUS_OK)
        status = import_read_file(source, path, slash != NULL ? slash + 1 : path, &text, &bytes, error);
    if (status == STATUS_OK && text_is_utf16(text, bytes))
        status = error_set(error, STATUS_INPUT, "%s is a text in UTF-16: save it as UTF-8", path);
    if (status == STATUS_OK && memchr(text, '\0', bytes) != NULL)
        status = error_set(error, STATUS_INPUT, "%s: byte %zu is a NUL; this is neither CSV nor an event file", path,
                           (size_t)((char *)memchr(text, '\0', bytes) - text));
    if (status == STATUS_OK) {
        bytes = text_unify(text, bytes);
        reader.at = text;
        reader.end = text + bytes;
        reader.separator = find_separator(text);
        status = read_heading(&reader, choice, &columns);
    }
    while (status == STATUS_OK && (status = next_row(&reader, &found)) == STATUS_OK && found)
        status = read_row(&reader, &columns);
    free(columns.names);
    free(columns.wanted);
    free(reader.cells);
    free(text);
    return status;
}
