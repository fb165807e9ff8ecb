/* selfsame plot: the validation-error figures of runs. */
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
            return error_set(error, STATUS_INPUT, "--format %s: '%.*s' is not png, svg or pdf", list, (int)length,
                             word);
        *chosen |= 1u << i;
    }
    return STATUS_OK;
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

/* A format that gnuplot cannot draw is left out, unless all_wanted. */
static enum status draw_all(const struct record *const *runs, size_t count, const char *folder, const char *name,
                            unsigned chosen, bool all_wanted, struct error *error)
{
    static const char *const kinds[] = { [FIGURE_FULL] = "full", [FIGURE_ZOOM] = "zoom" };
    for (int kind = FIGURE_FULL; kind <= FIGURE_ZOOM; kind++) {
        for (int i = 0; i < FORMAT_COUNT; i++) {
            char path[FILE_PATH_BYTES];
            bool no_terminal = false;
            if (!(chosen >> i & 1))
                continue;
            enum status status = file_path(path, error, "%s/%s-%s.%s", folder, name, kinds[kind], formats[i]);
            if (status == STATUS_OK)
                status = figure_draw((enum figure_kind)kind, runs, count, path, &no_terminal, error);
            if (no_terminal && !all_wanted) {
                text_line(stderr, "selfsame plot: left out: %s", error->message);
                continue;
            }
            if (status != STATUS_OK)
                return status;
            text_line(stdout, "%s", path);
        }
    }
    return STATUS_OK;
}

/* What is to be drawn, where. */
struct request {
    const struct arguments *arguments;
    const char *runs, *folder;
    unsigned formats;
};

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
    struct record *records[FIGURE_RUNS_MAX] = { NULL };
    const struct record *shown[FIGURE_RUNS_MAX];
    char name[NAME_BYTES];
    bool empty = false;
    enum status status = STATUS_OK;
    *look = (struct look){ .epochs = 0 };
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = record_open(&records[i], request->runs, arguments->operands[i], error);
        if (status != STATUS_OK)
            break;
        shown[i] = records[i];
        look->epochs += records[i]->epochs;
        look->running += record_state(records[i]) == RUN_RUNNING;
        empty |= records[i]->epochs == 0;
        if (records[i]->epochs == 0 && !(arguments_flag(arguments, "follow") && records[i]->locked))
            status = error_set(error, STATUS_INPUT, "%s has no complete epoch yet, so there is nothing to draw",
                               arguments->operands[i]);
    }
    if (status == STATUS_OK && !empty && (before == NULL || before->epochs != look->epochs)) {
        name_figures(shown, count, name);
        status = draw_all(shown, count, request->folder, given != NULL ? given : name, request->formats,
                          arguments_text(arguments, "format") != NULL, error);
        if (status == STATUS_OK && before != NULL)
            text_line(stderr, "selfsame plot: drawn with epoch %zu of %" PRIu64 " of %s", records[count - 1]->epochs,
                      records[count - 1]->facts.epochs_wanted, records[count - 1]->name);
    }
    for (size_t i = 0; i < count; i++)
        record_close(records[i]);
    return status;
}

static enum status run_plot(const struct arguments *arguments, struct error *error)
{
    const char *list = arguments_text(arguments, "format"), *folder = arguments_text(arguments, "out"),
               *name = arguments_text(arguments, "name");
    struct request request = { .arguments = arguments,
                               .runs = record_runs_folder(arguments_text(arguments, "runs")),
                               .folder = folder == NULL ? "figures" : folder };
    struct look look, before = { .epochs = 0 };
    enum status status = parse_formats(list == NULL ? "png,svg,pdf" : list, &request.formats, error);
    if (status == STATUS_OK && name != NULL)
        status = check_name(name, error);
    if (status == STATUS_OK)
        status = file_make_folders(request.folder, error);
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
      "the figures are NAME-full and NAME-zoom; default: the run's name, or all of them" },
    { "format", "LIST", OPTION_TEXT, 0, 0, "png|svg|pdf",
      "png, svg, pdf, or several with commas; default: png,svg,pdf" },
    OPTION_FOLLOW("draw again after every epoch, until no process trains any of the runs"),
    OPTION_RUNS,
    OPTIONS_END,
};

const struct command plot_command = {
    .name = "plot",
    .operands = "RUN...",
    .summary = "draw the error of runs by epoch",
    .options = options,
    .description =
        "Draws two figures of up to 16 runs together, and prints their files' names. RUN-full shows the validation "
        "error and the training error (dotted) after each epoch. RUN-zoom shows the validation error after the first "
        "drop of the learning rate, or of the epochs so far.\n\n"
        "If the manifest names a published curve, it is drawn as a broad band in the colour of its run. Published "
        "values are dashed lines, with their numbers at the right. The learning rate is above the frame. If a run "
        "has not finished, the figure says how far it is.\n\n"
        "--follow ends when no process trains any of the runs, or when you press Ctrl-C.\n\n"
        "You need gnuplot. The figures depend only on the records, plots/style.gp and plots/error.gp.",
    .examples = "selfsame plot msra-resnet20-seed1 --out figures --format svg\tone run\n"
                "selfsame plot runs/quick-* --name quick\tall of them in one figure\n",
    .operands_min = 1,
    .operands_max = FIGURE_RUNS_MAX,
    .run = run_plot,
};
