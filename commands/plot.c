/* selfsame plot: the validation-error figures of runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
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

/* ---- file names -------------------------------------------------------------------------------------------------- */

enum { NAME_LENGTH_MAX = 120, NAME_BYTES = 256, FIRST_LENGTH_MAX = 60 };

static enum status check_name(const char *name, struct error *error)
{
    if (strlen(name) > NAME_LENGTH_MAX || strchr(name, '/') != NULL || name[0] == '.')
        return error_set(
            error, STATUS_INPUT,
            "--name %s: this cannot name files; at most %d letters, without '/' and no '.' at the beginning", name,
            NAME_LENGTH_MAX);
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

static enum status draw_all(const struct record *const *runs, size_t count, const char *folder, const char *name,
                            unsigned chosen, struct error *error)
{
    static const char *const kinds[] = { [FIGURE_FULL] = "full", [FIGURE_ZOOM] = "zoom" };
    for (int kind = FIGURE_FULL; kind <= FIGURE_ZOOM; kind++) {
        for (int i = 0; i < FORMAT_COUNT; i++) {
            char path[FILE_PATH_BYTES];
            if (!(chosen >> i & 1))
                continue;
            enum status status = file_path(path, error, "%s/%s-%s.%s", folder, name, kinds[kind], formats[i]);
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
    const char *list = arguments_text(arguments, "format"), *given = arguments_text(arguments, "name");
    char name[NAME_BYTES];
    struct record *records[FIGURE_RUNS_MAX] = { NULL };
    const struct record *shown[FIGURE_RUNS_MAX];
    unsigned chosen;
    folder = folder == NULL ? "figures" : folder;
    enum status status = parse_formats(list == NULL ? "png,svg,pdf" : list, &chosen, error);
    if (status == STATUS_OK && given != NULL)
        status = check_name(given, error);
    for (size_t i = 0; status == STATUS_OK && i < arguments->operand_count; i++) {
        status = open_run(runs, arguments->operands[i], &records[i], error);
        shown[i] = records[i];
    }
    if (status == STATUS_OK && given == NULL)
        name_figures(shown, arguments->operand_count, name);
    if (status == STATUS_OK)
        status = file_make_folders(folder, error);
    if (status == STATUS_OK)
        status = draw_all(shown, arguments->operand_count, folder, given != NULL ? given : name, chosen, error);
    for (size_t i = 0; i < FIGURE_RUNS_MAX; i++)
        record_close(records[i]);
    return status;
}

static const struct option_definition options[] = {
    { "out", "DIR", OPTION_TEXT, 0, 0, NULL, "the folder for the figures; default: figures" },
    { "name", "NAME", OPTION_TEXT, 0, 0, NULL,
      "the figures are NAME-full and NAME-zoom; default: the run's name, or all of them" },
    { "format", "LIST", OPTION_TEXT, 0, 0, NULL, "png, svg, pdf, or several with commas; default: png,svg,pdf" },
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
        "Where the manifest names a published curve, it is a broad band in the colour of its run. Published values "
        "are dashed lines, with their numbers at the right. The learning rate is above the frame. A run that is not at "
        "its end says how far it is.\n\n"
        "Needs gnuplot. The figures come from the records, plots/style.gp and plots/error.gp alone.",
    .examples = "selfsame plot msra-resnet20-seed1 --out figures --format svg\tone run\n"
                "selfsame plot runs/quick-* --name quick\tall of them in one figure\n",
    .operands_min = 1,
    .operands_max = FIGURE_RUNS_MAX,
    .run = run_plot,
};
