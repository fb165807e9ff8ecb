/* The figures of selfsame report, each with its numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands/report.h"
#include "commands/report_page.h"
#include "plots/figure.h"

struct report_figure {
    struct figure figure;
    char *svg;
};

/* In the order of the page. */
static const enum figure_kind kinds[] = { FIGURE_SEEDS, FIGURE_FULL, FIGURE_ZOOM, FIGURE_DEPTH,
                                          FIGURE_LOSS,  FIGURE_RATE, FIGURE_TIME, FIGURE_MACHINES };
enum { KINDS = sizeof kinds / sizeof *kinds };

static enum status draw(struct report_figure *to, size_t number, char **style, struct error *error)
{
    char prefix[32], *css;
    snprintf(prefix, sizeof prefix, "f%zu-", number);
    enum status status = gnuplot_svg(&to->figure.drawing, prefix, &to->svg, &css, error);
    if (status == STATUS_OK && *style == NULL)
        *style = css; /* that of all figures */
    else
        free(css);
    return status == STATUS_ENVIRONMENT
               ? error_prefix(error, "the figures cannot be drawn; --no-figures leaves them out")
               : status;
}

enum status report_draw(const struct report *report, struct report_figure **figures, size_t *count, char **style,
                        struct error *error)
{
    const struct record **shown = calloc(report->count, sizeof *shown);
    size_t with_epochs = 0;
    enum status status = STATUS_OK;
    *count = 0;
    *style = NULL;
    *figures = calloc(KINDS, sizeof **figures);
    if (*figures == NULL || shown == NULL)
        status = error_out_of_memory(error, "the figures");
    for (size_t i = 0; i < report->count && status == STATUS_OK; i++) {
        if (report->records[i]->epochs > 0)
            shown[with_epochs++] = report->records[i];
    }
    for (int k = 0; k < KINDS && with_epochs > 0 && status == STATUS_OK; k++) {
        struct report_figure *figure = &(*figures)[*count];
        status = figure_open(&figure->figure, kinds[k], shown, with_epochs, error);
        if (status == STATUS_NO) { /* these runs have no such figure */
            status = STATUS_OK;
            error->message[0] = '\0';
            continue;
        }
        *count += status == STATUS_OK;
        if (status == STATUS_OK)
            status = draw(figure, *count, style, error);
    }
    /* A figure has what it needs from `shown` in its sheet and its drawing by now. */
    free(shown);
    return status;
}

void report_figures_free(struct report_figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        figure_close(&figures[i].figure);
        free(figures[i].svg);
    }
    free(figures);
}

static void print_sheet(FILE *page, const struct figure *figure)
{
    const struct sheet *sheet = &figure->sheet;
    fputs("<details>\n<summary>The numbers of this figure</summary>\n", page);
    page_table_begin(page, figure->title);
    fputs("<thead><tr>", page);
    for (size_t c = 0; c <= sheet->columns; c++) {
        fputs("<th scope=\"col\" class=\"n\">", page);
        page_text(page, "%s", sheet->names[c].text);
        fputs("</th>", page);
    }
    fputs("</tr></thead>\n<tbody>\n", page);
    for (size_t r = 0; r < sheet->rows; r++) {
        page_row_begin(page);
        fputs("<th scope=\"row\" class=\"n\">", page);
        page_text(page, "%s", sheet->labels[r].text);
        fputs("</th>", page);
        for (size_t c = 0; c < sheet->columns; c++) {
            const double value = sheet->cells[r * sheet->columns + c];
            if (isnan(value))
                fputs("<td></td>", page);
            else
                fprintf(page, "<td class=\"n\">%.6g</td>", value);
        }
        page_row_end(page);
    }
    page_table_end(page);
    fputs("</details>\n", page);
}

void report_figures(const struct report *report, const struct report_figure *figures, size_t count)
{
    FILE *page = report->page;
    if (count == 0)
        return;
    page_element(page, "h2", "Figures");
    if (report->count > FIGURE_RUNS_MAX)
        page_element(page, "p", "The curves of every single run are left out, since these are more than %d runs.",
                     FIGURE_RUNS_MAX);
    for (size_t i = 0; i < count; i++) {
        page_element(page, "h3", "%s", figures[i].figure.title);
        fprintf(page, "<figure>\n%s", figures[i].svg);
        page_element(page, "figcaption", "%s", figures[i].figure.description);
        print_sheet(page, &figures[i].figure);
        fputs("</figure>\n", page);
    }
}
