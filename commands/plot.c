/* selfsame plot: the validation-error figures of runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "plots/figure.h"

enum { FORMAT_COUNT = 3 };
static const char *const formats[FORMAT_COUNT] = { "png", "svg", "pdf" };

/* A comma-separated list of formats to a bit for each. */
static enum status parse_formats(const char *list, unsigned *chosen, struct error *error)
{
    *chosen = 0;
    for (const char *word = list; word != NULL; word = strchr(word, ',')) {
        word += *word == ',';
        size_t length = strcspn(word, ",");
        int i = 0;
        while (i < FORMAT_COUNT && (strlen(formats[i]) != length || strncmp(formats[i], word, length) != 0))
            i++;
        if (i == FORMAT_COUNT)
            return error_set(error, STATUS_INPUT, "--format %s: '%.*s' is none of png, svg and pdf", list, (int)length,
                             word);
        *chosen |= 1u << i;
    }
    return STATUS_OK;
}

static enum status draw_all(const struct figure_run *runs, size_t count, const char *folder, unsigned chosen,
                            struct error *error)
{
    static const char *const names[] = { [FIGURE_FULL] = "error-full", [FIGURE_ZOOM] = "error-zoom" };
    for (int kind = FIGURE_FULL; kind <= FIGURE_ZOOM; kind++) {
        for (int i = 0; i < FORMAT_COUNT; i++) {
            char path[FILE_PATH_BYTES];
            if (!(chosen >> i & 1))
                continue;
            enum status status = file_path(path, error, "%s/%s.%s", folder, names[kind], formats[i]);
            if (status == STATUS_OK)
                status = figure_draw((enum figure_kind)kind, runs, count, path, error);
            if (status != STATUS_OK)
                return status;
            text_line(stdout, "%s", path);
        }
    }
    return STATUS_OK;
}

static enum status open_run(const char *runs, const char *name, struct record **record, struct error *error)
{
    enum status status = record_open(record, runs, name, error);
    if (status == STATUS_OK && (*record)->epochs == 0)
        status = error_set(error, STATUS_INPUT, "%s has no whole epoch yet: there is nothing to draw", name);
    return status;
}

static enum status run_plot(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs")),
               *folder = arguments_text(arguments, "out");
    const char *list = arguments_text(arguments, "format");
    struct record *records[FIGURE_RUNS_MAX] = { NULL };
    struct figure_run figure_runs[FIGURE_RUNS_MAX];
    unsigned chosen;
    folder = folder == NULL ? "figures" : folder;
    enum status status = parse_formats(list == NULL ? "png,svg,pdf" : list, &chosen, error);
    for (size_t i = 0; status == STATUS_OK && i < arguments->operand_count; i++) {
        status = open_run(runs, arguments->operands[i], &records[i], error);
        if (status == STATUS_OK)
            figure_runs[i] = (struct figure_run){ records[i], &records[i]->manifest };
    }
    if (status == STATUS_OK)
        status = file_make_folders(folder, error);
    if (status == STATUS_OK)
        status = draw_all(figure_runs, arguments->operand_count, folder, chosen, error);
    for (size_t i = 0; i < FIGURE_RUNS_MAX; i++)
        record_close(records[i]);
    return status;
}

static const struct option_definition options[] = {
    { "out", "DIR", OPTION_TEXT, 0, 0, NULL, "the folder for the figures; default: figures" },
    { "format", "LIST", OPTION_TEXT, 0, 0, NULL, "png, svg, pdf, or several with commas; default: png,svg,pdf" },
    OPTION_RUNS,
    OPTIONS_END,
};

const struct command plot_command = {
    .name = "plot",
    .operands = "RUN...",
    .summary = "draw the error of runs by epoch",
    .options = options,
    .description = "Draws error-full and error-zoom: validation error (solid) and training error (dotted) by epoch, "
                   "for up to 16 runs together, with the published "
                   "values as lines, the learning rate's drops, and the published curve where the manifest names one "
                   "(dashed). Prints the files' "
                   "names.\n\nNeeds gnuplot. The figures come from the records and plots/error.gp alone.",
    .examples = "selfsame plot msra-resnet20-seed1 --out figures --format svg\tone run\n"
                "selfsame plot runs/quick-*\tall of them in one figure\n",
    .operands_min = 1,
    .operands_max = FIGURE_RUNS_MAX,
    .run = run_plot,
};
