/* selfsame report: runs as one HTML page that a reader without selfsame can open. */
#include "commands/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/report_page.h"

enum { KEYS_MAX = 16 };

static enum status open_runs(struct report *report, const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    report->count = arguments->operand_count;
    return records_open(&report->records, runs, arguments->operands, report->count, error);
}

static enum status read_keys(struct report *report, const struct arguments *arguments, struct error *error)
{
    const char *const *paths = arguments_list(arguments, "key");
    for (; paths != NULL && *paths != NULL; paths++) {
        if (report->key_count == KEYS_MAX)
            return error_set(error, STATUS_INPUT, "--key: at most %d of them", KEYS_MAX);
        enum status status = signing_key_read(*paths, false, &report->keys[report->key_count], error);
        if (status != STATUS_OK)
            return status;
        report->key_count++;
    }
    return STATUS_OK;
}

static enum status write_page(const struct report *report, const struct report_figure *figures, size_t figure_count,
                              const char *style, struct error *error)
{
    char title[RUN_NAME_BYTES + 32];
    if (report->count == 1)
        snprintf(title, sizeof title, "Run %s", report->records[0]->name);
    else
        snprintf(title, sizeof title, "%zu runs compared", report->count);
    page_begin(report->page, title, style);
    enum status status = report_lead(report, error);
    if (status == STATUS_OK)
        status = report_verdict(report, error);
    if (status == STATUS_OK)
        status = report_results(report, error);
    if (status == STATUS_OK)
        report_figures(report, figures, figure_count);
    if (status == STATUS_OK)
        status = report_configuration(report, error);
    if (status == STATUS_OK)
        status = report_environment(report, error);
    if (status == STATUS_OK)
        status = report_digests(report, error);
    if (status == STATUS_OK)
        status = report_signatures(report, error);
    if (status == STATUS_OK)
        report_again(report);
    page_end(report->page);
    return status;
}

/* The page is written to memory, and appears whole or not at all. */
static enum status make_page(struct report *report, bool figures_wanted, const char *path, struct error *error)
{
    struct report_figure *figures = NULL;
    char *style = NULL, *text = NULL;
    size_t figure_count = 0, bytes;
    enum status status = figures_wanted ? report_draw(report, &figures, &figure_count, &style, error) : STATUS_OK;
    if (status != STATUS_OK)
        goto out;
    report->page = open_memstream(&text, &bytes);
    if (report->page == NULL) {
        status = error_out_of_memory(error, "the page");
        goto out;
    }
    status = write_page(report, figures, figure_count, style != NULL ? style : "", error);
    if (fclose(report->page) != 0 && status == STATUS_OK)
        status = error_out_of_memory(error, "the page");
    if (status == STATUS_OK)
        status = file_write(path, text, bytes, error);
out:
    report_figures_free(figures, figure_count);
    free(style);
    free(text);
    return status;
}

static enum status run_report(const struct arguments *arguments, struct error *error)
{
    struct signing_key *keys[KEYS_MAX];
    struct report report = { .keys = keys };
    const char *out = arguments_text(arguments, "out");
    if (out == NULL)
        return error_set(error, STATUS_INPUT, "say with --out FILE where the page goes, such as --out report.html");
    enum status status = arguments_may_write(arguments, out, error);
    if (status == STATUS_OK)
        status = read_keys(&report, arguments, error);
    if (status == STATUS_OK)
        status = open_runs(&report, arguments, error);
    if (status == STATUS_OK)
        status = make_page(&report, !arguments_flag(arguments, "no-figures"), out, error);
    if (status == STATUS_OK)
        text_line(stdout, "%s", out);
    records_close(report.records, report.count);
    for (size_t i = 0; i < report.key_count; i++)
        signing_key_free(keys[i]);
    return status;
}

static const struct option_definition options[] = {
    { "out", "FILE", OPTION_TEXT, 0, 0, NULL, "the HTML file to write" },
    { "no-figures", NULL, OPTION_FLAG, 0, 0, NULL, "write the page without figures, which need gnuplot" },
    { "key", "FILE", OPTION_LIST, 0, 0, NULL,
      "a public key that you trust; the page says which statements it signed. May be given again" },
    OPTION_FORCE,
    OPTION_RUNS,
    OPTIONS_END,
};

const struct command report_command = {
    .name = "report",
    .operands = "RUN...",
    .summary = "write runs as one HTML page that anyone can open",
    .options = options,
    .description =
        "Writes one HTML file about any number of runs. It loads nothing and runs no script, so you can mail it or "
        "keep it. It follows the reader's light or dark setting, fits a telephone, and prints.\n\n"
        "The verdict comes first: whether the targets of the manifests are met, and whether runs of one experiment "
        "have the same bits. Then come the results, over several seeds with mean and standard deviation, and the "
        "figures with their numbers. Then the settings that differ, all settings, where the runs were computed, their "
        "digests, who signed them, and the commands that compute them again.\n\n"
        "The figures need gnuplot. Figures that show every run by epoch are left out of a page about more than 16 "
        "runs. The same records give the same page, byte for byte, with the same selfsame and the same gnuplot.",
    .examples = "selfsame report msra-resnet20-seed1 --out resnet20.html\tone run\n"
                "selfsame report runs/msra-* --out comparison.html\tall of them on one page\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_report,
};
