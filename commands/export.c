/* selfsame export: runs in the formats of other tools. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "exchange/export.h"

static void tell_written(const char *path)
{
    text_line(stdout, "wrote: %s", path);
}

/* A file or folder is named by its run, so no two may have one name. */
static enum status check_names(struct record *const *records, size_t count, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        enum status status = find_run_check_name(records[i]->name, error);
        if (status != STATUS_OK)
            return error_prefix(error, "%s", records[i]->shown);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(records[i]->name, records[j]->name) == 0)
                return error_set(error, STATUS_INPUT, "%s and %s have one name, %s; export them one at a time",
                                 records[j]->shown, records[i]->shown, records[i]->name);
        }
    }
    return STATUS_OK;
}

static const struct export_format *find_format(const char *name)
{
    for (const struct export_format *format = export_formats; format->name != NULL; format++) {
        if (strcmp(format->name, name) == 0)
            return format;
    }
    return NULL;
}

static enum status export_to_files(const struct arguments *arguments, struct record *const *records, size_t count,
                                   struct error *error)
{
    const struct export_format *format = find_format(arguments_text(arguments, "format"));
    const struct export_job job = { .records = records,
                                    .count = count,
                                    .out = arguments_text(arguments, "out"),
                                    .force = arguments_flag(arguments, "force"),
                                    .written = tell_written };
    if (job.out == NULL)
        return error_set(error, STATUS_INPUT, "export --format %s needs --out %s", format->name, format->out);
    if (format->one && count > 1)
        return error_set(error, STATUS_INPUT, "--format %s takes one run, not %zu; export one at a time", format->name,
                         count);
    return format->write(&job, error);
}

static enum status run_export(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    const size_t count = arguments->operand_count;
    if (arguments_text(arguments, "format") == NULL)
        return error_set(error, STATUS_INPUT, "export needs --format NAME; selfsame export --help lists the formats");
    struct record **records = calloc(count, sizeof *records);
    if (records == NULL)
        return error_out_of_memory(error, "%zu runs", count);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = record_open(&records[i], runs, arguments->operands[i], error);
    if (status == STATUS_OK)
        status = check_names(records, count, error);
    if (status == STATUS_OK)
        status = export_to_files(arguments, records, count, error);
    for (size_t i = 0; i < count; i++)
        record_close(records[i]);
    free(records);
    return status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "format", "NAME", OPTION_CHOICE, 0, 0, "tensorboard", "the format, as below" },
    { "out", "PATH", OPTION_TEXT, 0, 0, NULL, "the folder or file to write" },
    OPTION_FORCE,
    OPTIONS_END,
};

const struct command export_command = {
    .name = "export",
    .operands = "RUN...",
    .summary = "write runs in the formats of other tools",
    .options = options,
    .description =
        "Writes runs for tools that you already have. The record stays what it is. The same record gives the same "
        "bytes.\n\n"
        "--format tensorboard --out FOLDER: an event file for each run, in a folder of the run's name. It has the "
        "epochs (epoch/...), the steps (step/...) and the settings (the tab HPARAMS). TensorBoard's scalars are "
        "float32.",
    .examples =
        "selfsame export msra-resnet20-seed1 --format tensorboard --out logs\tthen: tensorboard --logdir logs\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_export,
};
