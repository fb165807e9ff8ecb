#include "commands/report_page.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/build_info.h"
#include "base/text.h"

/* check/cli/report.sh computes the contrast of these colours, each on the ground and on the soft ground. */
static const char style_sheet[] =
    ":root{color-scheme:light dark;--ground:#ffffff;--soft:#f2f4f6;--ink:#1c2024;--quiet:#525960;--line:#7d858e;"
    "--good:#0a6435;--bad:#a01c1c;--open:#685200}\n"
    "@media screen and (prefers-color-scheme:dark){:root{--ground:#15191e;--soft:#20262d;--ink:#e8eaed;--quiet:#b8bec6;"
    "--line:#858d97;--good:#6fd39a;--bad:#ff9d94;--open:#e6c84a}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:68rem;padding:1rem;background:var(--ground);color:var(--ink);"
    "font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\n"
    "h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.3rem;margin:2.2rem 0 .5rem;"
    "border-bottom:1px solid var(--line)}h3{font-size:1.05rem;margin:1.5rem 0 .4rem}\n"
    ".lead{font-size:1.1rem}.quiet,figcaption,footer{color:var(--quiet)}\n"
    ".good{color:var(--good);font-weight:bold}.bad{color:var(--bad);font-weight:bold}"
    ".open{color:var(--open);font-weight:bold}\n"
    ".box{overflow-x:auto;margin:.6rem 0}.box:focus-visible{outline:2px solid var(--line)}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}tbody th{white-space:nowrap}\n"
    "th,td{text-align:left;vertical-align:top;padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line);"
    "overflow-wrap:normal}td{max-width:28rem}th.n,td.n{text-align:right}td.n{white-space:nowrap}\n"
    "td.long{overflow-wrap:anywhere;min-width:12rem}td.reason{min-width:16rem}\n"
    "@media screen and (max-width:40rem){tbody th{white-space:normal;font-size:.9rem}"
    "td.long{min-width:7rem}td.reason{min-width:14rem}}\n"
    "pre{background:var(--soft);padding:.7rem;overflow-x:auto;font-size:.9rem;line-height:1.4}\n"
    "figure{margin:1.2rem 0}figure svg{display:block;width:100%;max-width:44rem;height:auto}\n"
    "summary{cursor:pointer;padding:.3rem 0}\n"
    "@media print{body{max-width:none;padding:0;font-size:10pt}.box,pre{overflow:visible}"
    "pre{white-space:pre-wrap;font-size:8pt}table{font-size:7.5pt}th,td{padding-right:.4rem}"
    "tbody th{white-space:normal}td.long{min-width:0}"
    "figure,tr{break-inside:avoid}h2,h3,p.quiet{break-after:avoid}figure svg{max-width:10cm}"
    "details{display:none}details.printed{display:block}"
    "details.printed::details-content{content-visibility:visible;height:auto}}\n"
    "@page{margin:12mm}\n";

void page_begin(FILE *page, const char *title, const char *style)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
          "base-uri 'none'; form-action 'none'\">\n"
          "<meta name=\"referrer\" content=\"no-referrer\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
          page);
    page_element(page, "title", "%s", title);
    fprintf(page, "<style>\n%s%s</style>\n</head>\n<body>\n<main>\n", style_sheet, style);
    page_element(page, "h1", "%s", title);
}

void page_end(FILE *page)
{
    fputs("</main>\n<footer>\n", page);
    page_element(page, "p",
                 "Written by selfsame %s from the records alone. The page loads nothing and runs nothing. "
                 "The same records give the same page.",
                 build_version);
    fputs("</footer>\n</body>\n</html>\n", page);
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 0))) print_text(FILE *page, const char *format, va_list arguments)
{
    char *text;
    if (vasprintf(&text, format, arguments) < 0)
        return;
    text_write(page, TEXT_HTML, text);
    free(text);
}

void page_text(FILE *page, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_text(page, format, arguments);
    va_end(arguments);
}

void page_element(FILE *page, const char *tag, const char *format, ...)
{
    const size_t length = strcspn(tag, ".");
    va_list arguments;
    fprintf(page, "<%.*s", (int)length, tag);
    if (tag[length] == '.')
        fprintf(page, " class=\"%s\"", tag + length + 1);
    fputc('>', page);
    va_start(arguments, format);
    print_text(page, format, arguments);
    va_end(arguments);
    fprintf(page, "</%.*s>\n", (int)length, tag);
}

void page_lines(FILE *page, const char *text)
{
    fputs("<pre tabindex=\"0\">", page);
    while (*text != '\0') {
        const size_t length = strcspn(text, "\n");
        page_text(page, "%.*s", (int)length, text);
        fputc('\n', page);
        text += length + (text[length] == '\n');
    }
    fputs("</pre>\n", page);
}

void page_verdict(FILE *page, enum page_colour colour, const char *format, ...)
{
    static const char *const classes[] = { [PAGE_GOOD] = "good", [PAGE_BAD] = "bad", [PAGE_OPEN] = "open" };
    va_list arguments;
    fprintf(page, "<span class=\"%s\">", classes[colour]);
    va_start(arguments, format);
    print_text(page, format, arguments);
    va_end(arguments);
    fputs("</span>", page);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* A box that scrolls can be reached with the keyboard, and says what it is. */
void page_table_begin(FILE *page, const char *caption)
{
    page_element(page, "p.quiet", "%s", caption);
    fputs("<div class=\"box\" role=\"region\" tabindex=\"0\" aria-label=\"", page);
    text_write(page, TEXT_HTML, caption);
    fputs("\">\n<table>\n", page);
}

void page_table_headings(FILE *page, const char *headings)
{
    fputs("<thead><tr>", page);
    for (const char *heading = headings; heading != NULL; heading = strchr(heading, '|')) {
        heading += *heading == '|';
        const bool number = *heading == '#';
        fprintf(page, "<th scope=\"col\"%s>", number ? " class=\"n\"" : "");
        page_text(page, "%.*s", (int)strcspn(heading + number, "|"), heading + number);
        fputs("</th>", page);
    }
    fputs("</tr></thead>\n<tbody>\n", page);
}

void page_table_end(FILE *page)
{
    fputs("</tbody>\n</table>\n</div>\n", page);
}

void page_row_begin(FILE *page)
{
    fputs("<tr>", page);
}

void page_row_end(FILE *page)
{
    fputs("</tr>\n", page);
}
