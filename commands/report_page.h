/* An HTML page in one file: no network, no script, safe whatever its texts are. */
#ifndef SELFSAME_REPORT_PAGE_H
#define SELFSAME_REPORT_PAGE_H

#include <stdbool.h>
#include <stdio.h>

/* Begins the page up to its first heading. `style` is added to the page's own style sheet. */
void page_begin(FILE *page, const char *title, const char *style);
void page_end(FILE *page);

/* Text from anywhere, escaped. */
void page_text(FILE *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An element with such a text. `tag` may have a class after a dot, such as "p.lead". */
void page_element(FILE *page, const char *tag, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A text of several lines, as it is. */
void page_lines(FILE *page, const char *text);

/* A table in a box of its own, which scrolls where the table is wider than the page. `caption` is a plain text. */
void page_table_begin(FILE *page, const char *caption);
/* Headings, separated by '|'; those of numbers begin with '#'. */
void page_table_headings(FILE *page, const char *headings);
void page_table_end(FILE *page);
void page_row_begin(FILE *page);
void page_row_end(FILE *page);

/* A verdict's colour. Its words say it, too. */
enum page_colour { PAGE_GOOD, PAGE_BAD, PAGE_OPEN };
void page_verdict(FILE *page, enum page_colour colour, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
