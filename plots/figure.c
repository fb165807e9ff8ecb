#include "plots/figure.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "plots/figure_kinds.h"
#include "results/imported.h"

const char *const figure_names[FIGURE_KINDS] = {
    [FIGURE_FULL] = "full", [FIGURE_ZOOM] = "zoom",   [FIGURE_RATE] = "rate",
    [FIGURE_LOSS] = "loss", [FIGURE_SEEDS] = "seeds", [FIGURE_DEPTH] = "depth",
    [FIGURE_TIME] = "time", [FIGURE_PEAK] = "peak",   [FIGURE_MACHINES] = "machines",
};

static figure_opener *const openers[FIGURE_KINDS] = {
    [FIGURE_FULL] = figure_open_full, [FIGURE_ZOOM] = figure_open_zoom,         [FIGURE_RATE] = figure_open_rate,
    [FIGURE_LOSS] = figure_open_loss, [FIGURE_SEEDS] = figure_open_seeds,       [FIGURE_DEPTH] = figure_open_depth,
    [FIGURE_TIME] = figure_open_time, [FIGURE_MACHINES] = figure_open_machines,
};

enum status figure_opened(struct figure *figure, enum status status)
{
    if (status != STATUS_OK) {
        figure_close(figure);
        return status;
    }
    figure->drawing.title = figure->title;
    figure->drawing.description = figure->description;
    figure->drawing.context = figure->content;
    return STATUS_OK;
}

enum status figure_open(struct figure *figure, enum figure_kind kind, const struct record *const *runs, size_t count,
                        struct error *error)
{
    *figure = (struct figure){ .content = NULL };
    if (openers[kind] == NULL)
        return error_set(error, STATUS_NO, "the figure %s is not of runs", figure_names[kind]);
    return figure_opened(figure, openers[kind](figure, runs, count, error));
}

void figure_close(struct figure *figure)
{
    sheet_free(&figure->sheet);
    if (figure->content != NULL)
        figure->free_content(figure->content);
    figure->content = NULL;
}

void figure_name_run(const struct record *record, char name[FIGURE_NAME_BYTES])
{
    enum { LONGEST = 30, END = 14 };
    const size_t length = strlen(record->name);
    const char *imported = imported_is(record) ? ", imported" : "";
    if (length <= LONGEST)
        snprintf(name, FIGURE_NAME_BYTES, "%s%s", record->name, imported);
    else
        snprintf(name, FIGURE_NAME_BYTES, "%.*s..%s%s", LONGEST - END - 2, record->name, record->name + length - END,
                 imported);
}

void figure_print_legend(FILE *script, const char *text)
{
    enum { WIDEST = 60 }; /* of the 640 units of a figure, after the mark, also in a wide font */
    char shown[SHEET_TEXT_BYTES];
    text_shorten(shown, sizeof shown, text, WIDEST);
    text_write(script, TEXT_GNUPLOT, shown);
}

const char *figure_data_name(const struct record *const *runs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (runs[i]->manifest.dataset_kind != runs[0]->manifest.dataset_kind)
            return "two data sets";
    }
    return manifest_data_name(&runs[0]->manifest);
}
