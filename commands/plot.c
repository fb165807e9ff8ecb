/* selfsame plot: figures of runs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/follow.h"
#include "plots/figure.h"

#define KINDS "error|full|zoom|rate|loss|seeds|depth|time|machines|peak"

enum { FORMAT_COUNT = 3 };
static const char *const formats[FORMAT_COUNT] = { "png", "svg", "pdf" };

/* A comma-separated list of words to a bit for each. `what` they are, for the message. */
static enum status parse_list(const char *option, const char *list, const char *const *words, int count,
                              const char *what, unsigned *chosen, struct error *error)
{
    *chosen = 0;
    for (const char *word = list; word != NULL; word = strchr(word, ',')) {
        word += *word == ',';
        size_t length = strcspn(word, ",");
        int i = 0;
        while (i < count && (strlen(words[i]) != length || strncmp(words[i], word, length) != 0))
            i++;
        if (i == count)
            return error_set(error, STATUS_INPUT, "--%s %s: '%.*s' is not %s", option, list, (int)length, word, what);
        *chosen |= 1u << i;
    }
    return STATUS_OK;
}

/* The kinds that were asked for. The error has two figures. */
static enum status parse_kinds(const char *list, unsigned *kinds, struct error *error)
{
    const char *words[FIGURE_KINDS + 1];
    memcpy(words, figure_names, sizeof figure_names);
    words[FIGURE_KINDS] = "error";
    enum status status =
        parse_list("kind", list, words, FIGURE_KINDS + 1, "a kind of figure (" KINDS ")", kinds, error);
    if (*kinds >> FIGURE_KINDS & 1)
        *kinds |= 1u << FIGURE_FULL | 1u << FIGURE_ZOOM;
    *kinds &= (1u << FIGURE_KINDS) - 1;
    if (status == STATUS_OK && *kinds >> FIGURE_PEAK & 1 && *kinds != 1u << FIGURE_PEAK)
        status = error_set(error, STATUS_INPUT,
                           "--kind %s: peak is drawn from files of selfsame bench, and the others "
                           "from runs; draw it alone",
                           list);
    return status;
}

/* ---- file names -------------------------------------------------------------------------------------------------- */

enum { NAME_LENGTH_MAX = 120, NAME_BYTES = 256, FIRST_LENGTH_MAX = 60 };

static enum status check_name(const char *name, struct error *error)
{
    if (strlen(name) > NAME_LENGTH_MAX || strchr(name, '/') != NULL || name[0] == '.')
        return error_set(
            error, STATUS_INPUT,
            "--name %s: not a name for files: it must have at most %d letters, no '/', and no '.' at the beginning",
            name, NAME_LENGTH_MAX);
    return STATUS_OK;
}

/* The figures are named by the folders of their runs, so that those of one run never replace another's. Where all
 * names together are too long, the first and a digest of all of them are taken. */
static void name_figures(const struct record *const *runs, size_t count, char name[NAME_BYTES])
{
    char hex[DIGEST_HEX_BYTES];
    uint8_t digest[DIGEST_BYTES];
    struct sha256 hash;
    size_t length = 0;
    sha256_start(&hash);
    for (size_t i = 0; i < count; i++) {
        sha256_add(&hash, runs[i]->name, strlen(runs[i]->name) + 1);
        const size_t room = length < NAME_BYTES ? NAME_BYTES - length : 0;
        length += (size_t)snprintf(room > 0 ? name + length : NULL, room, "%s%s", i > 0 ? "+" : "", runs[i]->name);
    }
    sha256_finish(&hash, digest);
    digest_to_hex(digest, hex);
    if (length > NAME_LENGTH_MAX)
        snprintf(name, NAME_BYTES, "%.*s+%zu-more-%.8s", FIRST_LENGTH_MAX, runs[0]->name, count - 1, hex);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

/* What is to be drawn, where. */
struct request {
    const struct arguments *arguments;
    const char *runs, *folder;
    unsigned kinds, formats;
    enum theme theme;
    bool all_formats; /* a format that gnuplot cannot draw is left out, unless the user asked for it */
};

/* The figure in each format, and its numbers. */
static enum status draw_figure(const struct request *request, const struct figure *figure, const char *name,
                               const char *kind, struct error *error)
{
    char path[FILE_PATH_BYTES];
    for (int i = 0; i < FORMAT_COUNT; i++) {
        bool no_terminal = false;
        if (!(request->formats >> i & 1))
            continue;
        enum status status = file_path(path, error, "%s/%s-%s.%s", request->folder, name, kind, formats[i]);
        if (status == STATUS_OK)
            status = gnuplot_draw(&figure->drawing, request->theme, path, &no_terminal, error);
        if (no_terminal && !request->all_formats) {
            text_line(stderr, "selfsame plot: left out: %s", error->message);
            continue;
        }
        if (status != STATUS_OK)
            return status;
        text_line(stdout, "%s", path);
    }
    enum status status = file_path(path, error, "%s/%s-%s.tsv", request->folder, name, kind);
    if (status == STATUS_OK)
        status = sheet_write(&figure->sheet, path, error);
    if (status == STATUS_OK)
        text_line(stdout, "%s", path);
    return status;
}

static enum status draw_kinds(const struct request *request, const struct record *const *runs, size_t count,
                              const char *name, struct error *error)
{
    for (int kind = 0; kind < FIGURE_KINDS; kind++) {
        struct figure figure;
        if (!(request->kinds >> kind & 1))
            continue;
        enum status status = figure_open(&figure, (enum figure_kind)kind, runs, count, error);
        if (status == STATUS_NO) {
            error_prefix(error, "--kind %s", figure_names[kind]);
            return error->status = STATUS_INPUT;
        }
        if (status != STATUS_OK)
            return status;
        status = draw_figure(request, &figure, name, figure_names[kind], error);
        figure_close(&figure);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The figure of benchmarks is named by the first file, without its ending. */
static enum status draw_benches(const struct request *request, struct error *error)
{
    const struct arguments *arguments = request->arguments;
    const char *given = arguments_text(arguments, "name"), *first = arguments->operands[0],
               *base = strrchr(first, '/') != NULL ? strrchr(first, '/') + 1 : first;
    char name[NAME_BYTES];
    struct figure figure;
    snprintf(name, sizeof name, "%.*s", (int)(strcspn(base, ".") > 0 ? strcspn(base, ".") : strlen(base)), base);
    enum status status = figure_open_bench(&figure, arguments->operands, arguments->operand_count, error);
    if (status != STATUS_OK)
        return status;
    status = draw_figure(request, &figure, given != NULL ? given : name, figure_names[FIGURE_PEAK], error);
    figure_close(&figure);
    return status;
}

/* What one look at the runs found. */
struct look {
    uint64_t epochs; /* of all runs together */
    size_t running;  /* a process is at them */
};

/* Draws the runs if they have other epochs than `before` had (NULL: in any case). Those that are running may have none
 * yet where they are followed: then nothing is drawn. */
static enum status draw_runs(const struct request *request, const struct look *before, struct look *look,
                             struct error *error)
{
    const struct arguments *arguments = request->arguments;
    const char *given = arguments_text(arguments, "name");
    const size_t count = arguments->operand_count;
    struct record **records;
    char name[NAME_BYTES];
    bool empty = false;
    enum status status = records_open(&records, request->runs, arguments->operands, count, error);
    *look = (struct look){ .epochs = 0 };
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        look->epochs += records[i]->epochs;
        look->running += record_state(records[i]) == RUN_RUNNING;
        empty |= records[i]->epochs == 0;
        if (records[i]->epochs == 0 && !(arguments_flag(arguments, "follow") && records[i]->locked))
            status = error_set(error, STATUS_INPUT, "%s has no complete epoch yet, so there is nothing to draw",
                               arguments->operands[i]);
    }
    if (status == STATUS_OK && !empty && (before == NULL || before->epochs != look->epochs)) {
        const struct record *const *shown = (const struct record *const *)records;
        name_figures(shown, count, name);
        status = draw_kinds(request, shown, count, given != NULL ? given : name, error);
        if (status == STATUS_OK && before != NULL)
            text_line(stderr, "selfsame plot: drawn with epoch %zu of %" PRIu64 " of %s", records[count - 1]->epochs,
                      records[count - 1]->facts.epochs_wanted, records[count - 1]->name);
    }
    records_close(records, count);
    return status;
}

static enum status run_plot(const struct arguments *arguments, struct error *error)
{
    const char *list = arguments_text(arguments, "format"), *folder = arguments_text(arguments, "out"),
               *name = arguments_text(arguments, "name"), *kinds = arguments_text(arguments, "kind"),
               *theme = arguments_text(arguments, "theme");
    struct request request = { .arguments = arguments,
                               .runs = record_runs_folder(arguments_text(arguments, "runs")),
                               .folder = folder == NULL ? "figures" : folder,
                               .theme = theme == NULL                ? THEME_AUTO
                                        : strcmp(theme, "dark") == 0 ? THEME_DARK
                                                                     : THEME_LIGHT,
                               .all_formats = list != NULL };
    struct look look, before = { .epochs = 0 };
    enum status status = parse_list("format", list == NULL ? "png,svg,pdf" : list, formats, FORMAT_COUNT,
                                    "png, svg or pdf", &request.formats, error);
    if (status == STATUS_OK)
        status = parse_kinds(kinds == NULL ? "error" : kinds, &request.kinds, error);
    if (status == STATUS_OK && name != NULL)
        status = check_name(name, error);
    if (status == STATUS_OK)
        status = file_make_folders(request.folder, error);
    if (status == STATUS_OK && request.kinds == 1u << FIGURE_PEAK)
        return draw_benches(&request, error);
    if (!arguments_flag(arguments, "follow"))
        return status == STATUS_OK ? draw_runs(&request, NULL, &look, error) : status;
    stop_watch(NULL, NULL);
    while (status == STATUS_OK) {
        status = draw_runs(&request, &before, &look, error);
        if (status != STATUS_OK || look.running == 0)
            break;
        before = look;
        if (!follow_wait())
            status = STATUS_INTERRUPTED;
    }
    return status;
}

static const struct option_definition options[] = {
    { "out", "DIR", OPTION_TEXT, 0, 0, NULL, "the folder for the figures; default: figures" },
    { "name", "NAME", OPTION_TEXT, 0, 0, NULL,
      "the figures are NAME-full, NAME-zoom and so on; default: the run's name, or all of them" },
    { "kind", "LIST", OPTION_TEXT, 0, 0, KINDS,
      "what the figures show: error (full and zoom), rate, loss, seeds, depth, time, machines or peak, or several with "
      "commas; default: error" },
    { "format", "LIST", OPTION_TEXT, 0, 0, "png|svg|pdf",
      "png, svg, pdf, or several with commas; default: png,svg,pdf" },
    { "theme", "NAME", OPTION_CHOICE, 0, 0, "light|dark",
      "a light or a dark ground; default: light, and SVG files follow the setting of the system that shows them" },
    OPTION_FOLLOW("draw again after every epoch, until no process trains any of the runs"),
    OPTION_RUNS,
    OPTIONS_END,
};

const struct command plot_command = {
    .name = "plot",
    .operands = "RUN...",
    .summary = "draw the error of runs by epoch, and other figures",
    .options = options,
    .description =
        "Draws figures of runs together, and prints their files' names. The numbers of each figure are in a file that "
        "ends in .tsv.\n\n"
        "Kind error, the default, has two figures of up to 16 runs. RUN-full shows the validation error and the "
        "training error (dotted) after each epoch. RUN-zoom shows the validation error after the first drop of the "
        "learning rate, or of the epochs so far. If the manifest names a published curve, it is drawn as a broad band "
        "in the colour of its run. Published values are dashed lines, with their numbers at the right. The learning "
        "rate is above the frame. If a run has not finished, the figure says how far it is.\n\n"
        "Kinds rate, loss and time show the learning rate, the loss and the seconds of each epoch. Kind seeds shows "
        "the mean and the range of runs that differ in the seed alone. Kind depth shows the final error of finished "
        "runs by depth, with published values. Kind machines shows the seconds per epoch by depth for each machine. "
        "Kind peak takes files instead of runs, which selfsame bench --format json printed. It shows the share of the "
        "machine's FMA peak that each layer reaches.\n\n"
        "--follow ends when no process trains any of the runs, or when you press Ctrl-C.\n\n"
        "You need gnuplot. The figures depend only on the records and the files in plots/; style.gp has all colours, "
        "dashes and marks.",
    .examples = "selfsame plot msra-resnet20-seed1 --out figures --format svg\tone run\n"
                "selfsame plot runs/quick-* --name quick\tall of them in one figure\n"
                "selfsame plot runs/* --kind depth,machines --name all\tby depth, and by machine\n"
                "selfsame plot --kind peak bench.json\tafter: selfsame bench --format json > bench.json\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_plot,
};
