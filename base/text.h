/* Texts that people write and read: escapes what comes from outside before it reaches a terminal or a file, and finds
 * the word that was meant. */
#ifndef SELFSAME_TEXT_H
#define SELFSAME_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The word of the NULL-terminated list nearest to `word` by edit distance, or NULL when none is near. */
const char *nearest_word(const char *word, const char *const *words);

/* Where a text that came from outside goes: a name, a value, a message. */
enum text_place {
    TEXT_TERMINAL, /* a line on a terminal or in a log */
    TEXT_CSV,      /* a cell, quotes included where RFC 4180 wants them. One that a spreadsheet would take for a
                    * formula, since it begins with = + - or @, gets an apostrophe before it */
    TEXT_HTML,     /* the text of an element, or an attribute's value between double quotes */
    TEXT_GNUPLOT   /* a string with its single quotes, for terminals that are noenhanced */
};

/* The one way to print texts that came from outside: files, records, servers, arguments. In every place, it spells out
 * what a terminal would obey or hide: control characters (C0, DEL and U+0080 to U+009F), characters that turn the
 * direction of writing, invisible ones, and bytes that are not UTF-8, as \x1b, \u202e and \xff. The newline and the tab
 * are among them: a text is one line.
 * returns  the length of the whole, as snprintf does; `to` is cut to fit, never in the middle of a character, and ends
 *          with a null byte if size is not 0. */
size_t text_escape(char *to, size_t size, enum text_place place, const char *text);

/* The same, written to a stream, of any length. */
void text_write(FILE *file, enum text_place place, const char *text);

/* A whole line, formatted, escaped for TEXT_TERMINAL and ended with a newline: for messages, and for output that
 * contains text from outside. */
void text_line(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for people, in the columns of text_columns: a longer line is wrapped between its words, and the next lines
 * begin at `indent`, which is where the value of a labelled line begins. No word is cut, so a path or a digest may go
 * beyond. */
void text_fact(FILE *file, int indent, const char *format, ...) __attribute__((format(printf, 3, 4)));

bool text_ends_with(const char *text, const char *end);

/* A word as a shell reads it back: unchanged if nothing in it is special, else in single quotes. */
void text_write_word(FILE *file, const char *word);

/* The characters of UTF-8: columns on a terminal, as far as Latin letters go. */
size_t text_width(const char *text);
/* Copies a text. If it is wider than `width`, at least 8, "..." takes the place of its middle: names differ at their
 * ends. */
void text_shorten(char *to, size_t size, const char *text, size_t width);

/* Wraps words at a width, and ends with a newline. The first line continues at `column`, where the stream is; later
 * ones are indented. An empty line in the text starts a paragraph. Bytes are counted as columns. */
void text_wrap(FILE *file, const char *text, int indent, int column, int width);

/* The columns of the terminal at a file descriptor; 80 if it is not a terminal. */
int text_columns(int descriptor);

/* Whether text_escape would not change a text, except for the ASCII control characters in `allowed`. For texts of
 * files. */
bool text_is_plain(const char *text, const char *allowed);

/* Removes, in place, what editors and file transfers add to texts: a byte order mark at the beginning, and the carriage
 * return before each line feed. Returns the new length; a NUL follows. */
size_t text_unify(char *text, size_t bytes);

/* Whether a text begins with the byte order mark of UTF-16, as some editors and shells save it. */
bool text_is_utf16(const char *text, size_t bytes);

/* Frees `count` texts, and their list. */
void text_free_list(char **texts, size_t count);

#endif
