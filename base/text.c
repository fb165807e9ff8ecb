#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* ---- the nearest word -------------------------------------------------------------------------------------------- */

static size_t edit_distance(const char *a, const char *b)
{
    enum { LENGTH_MAX = 48 };
    size_t row[LENGTH_MAX + 1], columns = strlen(b);
    if (columns > LENGTH_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    return row[columns];
}

const char *nearest_word(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 + 2; /* farther than this is no help */
    for (; *words != NULL; words++) {
        size_t distance = edit_distance(word, *words);
        if (distance < least) {
            least = distance;
            nearest = *words;
        }
    }
    return nearest;
}

/* ---- what came from outside -------------------------------------------------------------------------------------- */

/* The bytes of the UTF-8 character that `text` begins with, and its number; 0 where it begins with none: a stray or
 * missing byte, a longer form than needed, half of a surrogate pair, or a number beyond Unicode. */
static size_t decode(const unsigned char *text, uint32_t *character)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const size_t bytes = text[0] < 0x80 ? 1 : text[0] < 0xc0 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    *character = bytes == 1 ? text[0] : text[0] & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *character = *character << 6 | (text[i] & 0x3fu);
    }
    if (bytes == 0 || text[0] >= 0xf8 || *character < least[bytes] || *character > 0x10ffff ||
        (*character >= 0xd800 && *character <= 0xdfff))
        return 0;
    return bytes;
}

/* What a terminal obeys, or does not show. */
static bool is_hidden(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        { 0x00, 0x1f },       { 0x7f, 0x9f },                         /* controls */
        { 0x00ad, 0x00ad },   { 0x034f, 0x034f }, { 0x061c, 0x061c }, /* soft hyphen, joiner, Arabic mark */
        { 0x115f, 0x1160 },   { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, /* fillers, inherent vowels, Mongolian */
        { 0x200b, 0x200f },   { 0x2028, 0x202e }, { 0x2060, 0x206f }, /* no width; lines and directions; isolates */
        { 0x3164, 0x3164 },   { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }, /* filler, variations, byte order mark */
        { 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb }, { 0xfffe, 0xffff }, /* filler, annotations, no characters */
        { 0xe0000, 0xe0fff },                                         /* tags */
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    }
    return false;
}

/* The form of one visible ASCII character in a place, or NULL if it stays unchanged. */
static const char *special(enum text_place place, char character)
{
    switch (place) {
    case TEXT_HTML:
        return character == '&'    ? "&amp;"
               : character == '<'  ? "&lt;"
               : character == '>'  ? "&gt;"
               : character == '"'  ? "&quot;"
               : character == '\'' ? "&#39;"
                                   : NULL;
    case TEXT_CSV:
        return character == '"' ? "\"\"" : NULL;
    case TEXT_GNUPLOT:
        return character == '\'' ? "''" : NULL;
    default:
        return NULL;
    }
}

enum { UNIT_BYTES = 16 };

/* The next character of *text as it goes out; moves *text on. Returns the unit's length. */
static size_t next_unit(const char **text, enum text_place place, char unit[UNIT_BYTES])
{
    uint32_t character;
    const size_t bytes = decode((const unsigned char *)*text, &character);
    const char *replacement = bytes == 1 ? special(place, **text) : NULL;
    if (bytes == 0 || (is_hidden(character) && character < 0x80))
        snprintf(unit, UNIT_BYTES, "\\x%02x", (unsigned)(unsigned char)**text);
    else if (is_hidden(character))
        snprintf(unit, UNIT_BYTES, "\\u%04x", (unsigned)character);
    else if (replacement != NULL)
        snprintf(unit, UNIT_BYTES, "%s", replacement);
    else
        snprintf(unit, UNIT_BYTES, "%.*s", (int)bytes, *text);
    *text += bytes == 0 ? 1 : bytes;
    return strlen(unit);
}

/* What is written before and after a text in a place. A spreadsheet skips blanks before it looks for a formula. */
static void frame(enum text_place place, const char *text, const char **before, const char **after)
{
    *before = *after = "";
    if (place == TEXT_GNUPLOT)
        *before = *after = "'";
    if (place != TEXT_CSV)
        return;
    const char first = text[strspn(text, " ")];
    const bool formula = first != '\0' && strchr("=+-@", first) != NULL, quoted = text[strcspn(text, ",\"")] != '\0';
    *before = quoted ? formula ? "\"'" : "\"" : formula ? "'" : "";
    *after = quoted ? "\"" : "";
}

/* Where units go: a buffer that is cut to fit, or a stream. */
struct sink {
    FILE *file;
    char *to;
    size_t size, length; /* length: of the whole */
};

static void sink_add(struct sink *sink, const char *unit, size_t length)
{
    if (sink->file != NULL)
        fwrite(unit, 1, length, sink->file);
    else if (sink->length + length < sink->size)
        memcpy(mempcpy(sink->to + sink->length, unit, length), "", 1);
    else
        sink->size = 0; /* full: a shorter one that would still fit does not follow */
    sink->length += length;
}

/* How many ASCII characters at the beginning of a text stay unchanged: usually all of it. */
static size_t unchanged(enum text_place place, const char *text)
{
    size_t length = 0;
    while (text[length] >= 0x20 && text[length] < 0x7f && special(place, text[length]) == NULL)
        length++;
    return length;
}

static size_t escape(struct sink *sink, enum text_place place, const char *text)
{
    char unit[UNIT_BYTES];
    const char *before, *after;
    frame(place, text, &before, &after);
    sink_add(sink, before, strlen(before));
    while (*text != '\0') {
        size_t length = unchanged(place, text);
        if (length > 0 && (sink->file != NULL || sink->length + length < sink->size)) {
            sink_add(sink, text, length);
            text += length;
        } else {
            length = next_unit(&text, place, unit);
            sink_add(sink, unit, length);
        }
    }
    sink_add(sink, after, strlen(after));
    return sink->length;
}

size_t text_escape(char *to, size_t size, enum text_place place, const char *text)
{
    struct sink sink = { .to = to, .size = size };
    if (size > 0)
        to[0] = '\0';
    return escape(&sink, place, text);
}

void text_write(FILE *file, enum text_place place, const char *text)
{
    struct sink sink = { .file = file };
    (void)escape(&sink, place, text);
}

/* Characters of UTF-8. */
static size_t width_of(const char *text, size_t bytes)
{
    size_t width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

static void write_line(FILE *file, const char *format, va_list arguments)
{
    char *line, cut[256];
    va_list again;
    va_copy(again, arguments);
    if (vasprintf(&line, format, arguments) < 0) { /* no memory: better the beginning than nothing */
        line = NULL;
        vsnprintf(cut, sizeof cut, format, again);
    }
    va_end(again);
    text_write(file, TEXT_TERMINAL, line != NULL ? line : cut);
    fputc('\n', file);
    free(line);
}

void text_line(FILE *file, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(file, format, arguments);
    va_end(arguments);
}

/* What write_line writes, without the newline; NULL without memory. */
static char *escaped_line(const char *format, va_list arguments)
{
    char *line, *escaped;
    if (vasprintf(&line, format, arguments) < 0)
        return NULL;
    const size_t size = text_escape(NULL, 0, TEXT_TERMINAL, line) + 1;
    escaped = malloc(size);
    if (escaped != NULL)
        (void)text_escape(escaped, size, TEXT_TERMINAL, line);
    free(line);
    return escaped;
}

void text_fact(FILE *file, int indent, const char *format, ...)
{
    const int width = text_columns(fileno(file));
    int column = 0;
    va_list arguments;
    va_start(arguments, format);
    char *line = escaped_line(format, arguments);
    va_end(arguments);
    if (line == NULL) {
        va_start(arguments, format);
        write_line(file, format, arguments);
        va_end(arguments);
        return;
    }
    for (const char *at = line; *at != '\0';) {
        const int blanks = (int)strspn(at, " "), bytes = (int)strcspn(at + blanks, " "),
                  word = (int)width_of(at + blanks, (size_t)bytes);
        const bool wraps = column > indent && column + blanks + word > width;
        if (wraps)
            fputc('\n', file);
        column = (wraps ? indent : column + blanks) + word;
        fprintf(file, "%*s%.*s", wraps ? indent : blanks, "", bytes, at + blanks);
        at += blanks + bytes;
    }
    fputc('\n', file);
    free(line);
}

void text_write_word(FILE *file, const char *word)
{
    if (*word != '\0' &&
        word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+,:=@%")] == '\0') {
        fputs(word, file);
        return;
    }
    fputc('\'', file);
    for (; *word != '\0'; word++)
        fputs(*word == '\'' ? "'\\''" : (char[]){ *word, '\0' }, file);
    fputc('\'', file);
}

void text_wrap(FILE *file, const char *text, int indent, int column, int width)
{
    while (*text != '\0') {
        if (text[0] == '\n') {
            fprintf(file, "\n%*s", indent, "");
            column = indent;
            text++;
            continue;
        }
        int length = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + length > width) {
            fprintf(file, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', file);
            column++;
        }
        fprintf(file, "%.*s", length, text);
        column += length;
        text += length + (text[length] == ' ');
    }
    fputc('\n', file);
}

int text_columns(int descriptor)
{
    struct winsize size;
    return ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool text_is_plain(const char *text, const char *allowed)
{
    while (*text != '\0') {
        uint32_t character;
        const size_t bytes = decode((const unsigned char *)text, &character);
        if (bytes == 0 || (is_hidden(character) && (bytes > 1 || strchr(allowed, *text) == NULL)))
            return false;
        text += bytes;
    }
    return true;
}

size_t text_unify(char *text, size_t bytes)
{
    static const char mark[] = "\xef\xbb\xbf"; /* U+FEFF in UTF-8 */
    size_t from = bytes >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0, to = 0;
    for (; from < bytes; from++) {
        if (text[from] != '\r' || from + 1 == bytes || text[from + 1] != '\n')
            text[to++] = text[from];
    }
    text[to] = '\0';
    return to;
}

bool text_is_utf16(const char *text, size_t bytes)
{
    return bytes >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
}

void text_free_list(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

bool text_ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

size_t text_width(const char *text)
{
    return width_of(text, strlen(text));
}

/* Behind the first `count` characters. */
static const char *skip(const char *text, size_t count)
{
    while (*text != '\0' && count-- > 0)
        while (((unsigned char)*++text & 0xc0) == 0x80)
            ;
    return text;
}

void text_shorten(char *to, size_t size, const char *text, size_t width)
{
    const size_t all = text_width(text), tail = (width - 3) / 2;
    if (all <= width)
        snprintf(to, size, "%s", text);
    else
        snprintf(to, size, "%.*s...%s", (int)(skip(text, width - 3 - tail) - text), text, skip(text, all - tail));
}
