#include "plots/svg.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { COLOUR_BYTES = 8 };

/* The next line of a palette; false at its end. */
static bool next_pair(const char **palette, char light[COLOUR_BYTES], char dark[COLOUR_BYTES])
{
    int length = 0;
    if (*palette == NULL || sscanf(*palette, "%7s %7s\n%n", light, dark, &length) != 2)
        return false;
    *palette += length;
    return true;
}

/* Dark on a screen only: paper is light. */
static void print_style(FILE *file, const char *palette)
{
    static const char *const attributes[] = { "stroke", "fill", "color" };
    char light[COLOUR_BYTES], dark[COLOUR_BYTES];
    fputs("@media screen and (prefers-color-scheme: dark) {\n", file);
    while (next_pair(&palette, light, dark)) {
        for (int i = 0; i < 3; i++)
            fprintf(file, "svg [%s=\"%s\"]{%s:%s}", attributes[i], light, attributes[i], dark);
        fputc('\n', file);
    }
    fputs("}\n", file);
}

enum status svg_style(const char *palette, char **css, struct error *error)
{
    size_t bytes;
    *css = NULL;
    FILE *file = open_memstream(css, &bytes);
    if (file == NULL)
        return error_out_of_memory(error, "a style sheet");
    print_style(file, palette);
    return fclose(file) == 0 ? STATUS_OK : error_out_of_memory(error, "a style sheet");
}

/* ---- rewriting --------------------------------------------------------------------------------------------------- */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void print_heading(FILE *file, const char *palette, const char *prefix, const char *title,
                          const char *description)
{
    const char *id = prefix != NULL ? prefix : "";
    fprintf(file, " role=\"img\" aria-labelledby=\"%stitle %sdescription\">\n<title id=\"%stitle\">", id, id, id);
    text_write(file, TEXT_HTML, title);
    fprintf(file, "</title>\n<desc id=\"%sdescription\">", id);
    text_write(file, TEXT_HTML, description);
    fputs("</desc>\n", file);
    if (prefix == NULL && palette != NULL) {
        fputs("<style>\n", file);
        print_style(file, palette);
        fputs("</style>\n", file);
    }
}

/* "rgb(  0,  86, 140)" becomes #00568c, which a style sheet can name. Returns the bytes that were read; 0: none. */
static size_t print_colour(FILE *file, const char *text)
{
    unsigned red, green, blue;
    int length = 0;
    if (sscanf(text, "rgb(%u ,%u ,%u )%n", &red, &green, &blue, &length) != 3 || length == 0)
        return 0;
    fprintf(file, "#%02x%02x%02x", red & 255, green & 255, blue & 255);
    return (size_t)length;
}

/* gnuplot's names for its own parts help nobody, and would be read aloud. Returns the bytes to skip. */
static size_t skip_part_title(const char *text)
{
    const char *end = begins(text, "<title>") ? strstr(text, "</title>") : NULL;
    return end != NULL ? (size_t)(end - text) + strlen("</title>") : 0;
}

/* A group of nothing, of which gnuplot writes many. */
static size_t skip_empty_group(const char *text)
{
    if (!begins(text, "<g "))
        return 0;
    const char *end = strchr(text, '>');
    if (end == NULL || end[-1] == '/' || !begins(end, ">\n</g>\n") ||
        memmem(text, (size_t)(end - text), "id=", 3) != NULL)
        return 0;
    return (size_t)(end - text) + strlen(">\n</g>\n");
}

static void print_body(FILE *file, const char *text, const char *prefix)
{
    static const char *const names[] = { "id=\"", "id='", "href='#" };
    while (*text != '\0') {
        size_t read = begins(text, "rgb(") ? print_colour(file, text) : 0;
        read += read == 0 ? skip_part_title(text) : 0;
        read += read == 0 ? skip_empty_group(text) : 0;
        for (int i = 0; i < 3 && read == 0 && prefix != NULL; i++) {
            if (begins(text, names[i])) {
                fprintf(file, "%s%s", names[i], prefix);
                read = strlen(names[i]);
            }
        }
        if (read == 0)
            fputc(*text++, file);
        text += read;
    }
}

enum status svg_finish(const char *drawn, const char *palette, const char *prefix, const char *title,
                       const char *description, char **text, struct error *error)
{
    const char *begin = strstr(drawn, "<svg"), *body = strstr(drawn, "</desc>");
    const char *end = begin != NULL ? strchr(begin, '>') : NULL;
    size_t bytes;
    *text = NULL;
    if (begin == NULL || end == NULL || body == NULL)
        return error_set(error, STATUS_ENVIRONMENT,
                         "gnuplot drew an SVG file without a description; this version of "
                         "gnuplot is not known");
    FILE *file = open_memstream(text, &bytes);
    if (file == NULL)
        return error_out_of_memory(error, "a figure");
    if (prefix == NULL)
        fwrite(drawn, 1, (size_t)(begin - drawn), file);
    fwrite(begin, 1, (size_t)(end - begin), file);
    print_heading(file, palette, prefix, title, description);
    print_body(file, body + strlen("</desc>\n"), prefix);
    if (fclose(file) != 0)
        return error_out_of_memory(error, "a figure");
    return STATUS_OK;
}
