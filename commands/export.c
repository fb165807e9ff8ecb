/* selfsame export: runs in the formats of other tools. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stop.h"
#include "base/text.h"
#include "commands/command.h"
#include "exchange/export.h"
#include "exchange/mlflow.h"
#include "results/imported.h"
#include "results/weights_check.h"

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
                                    .written = tell_written,
                                    .license = arguments_text(arguments, "license"),
                                    .author = arguments_text(arguments, "author") };
    if (job.out == NULL)
        return error_set(error, STATUS_INPUT, "export --format %s needs --out %s", format->name, format->out);
    if (format->one && count > 1)
        return error_set(error, STATUS_INPUT, "--format %s takes one run, not %zu; export one at a time", format->name,
                         count);
    enum status status = check_names(records, count, error);
    for (size_t i = 0; i < count && status == STATUS_OK && format->own; i++)
        status = imported_refuse(records[i], "publish as its own; --format csv, tensorboard and mlflow take such a run",
                                 error);
    return status == STATUS_OK ? format->write(&job, error) : status;
}

/* ---- a server ---------------------------------------------------------------------------------------------------- */

static void tell_sent(const struct record *record, const struct mlflow_server *server, const struct mlflow_sent *sent)
{
    text_line(stdout, "%s: %s/#/experiments/%s/runs/%s", record->name, server->url, sent->experiment_id, sent->run_id);
    text_line(stdout, "  %s: sent %zu parameters, %zu metrics, %zu files", sent->found ? "it was there" : "new",
              sent->parameters, sent->metrics, sent->files);
    if (sent->no_files[0] != '\0')
        text_line(stderr, "selfsame export: %s: no files were sent: %s", record->name, sent->no_files);
}

static enum status export_to_mlflow(const struct arguments *arguments, struct record *const *records, size_t count,
                                    struct error *error)
{
    const struct mlflow_connection connection = { .url = arguments_text(arguments, "to"),
                                                  .cacert = arguments_text(arguments, "cacert"),
                                                  .wait_s = 30,
                                                  .tries = MLFLOW_TRIES,
                                                  .stop_requested = stop_requested };
    const struct mlflow_choice choice = { .experiment = arguments_text(arguments, "experiment"),
                                          .steps = arguments_flag(arguments, "steps"),
                                          .files = !arguments_flag(arguments, "no-files") };
    struct mlflow_server server;
    struct mlflow_sent sent;
    if (connection.url == NULL)
        return error_set(error, STATUS_INPUT, "export --format mlflow needs --to URL, such as http://localhost:5000");
    enum status status = mlflow_open(&server, &connection, error);
    if (status != STATUS_OK)
        return status;
    stop_watch("selfsame export: stopping; the same command sends what is missing", NULL);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = mlflow_send(&server, records[i], &choice, &sent, error);
        if (status == STATUS_OK)
            tell_sent(records[i], &server, &sent);
    }
    mlflow_close(&server);
    return status;
}

/* Weights that are handed on are those of the record. */
static enum status check_weights(const struct arguments *arguments, struct record *const *records, size_t count,
                                 struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    const bool handed_on =
        strcmp(format, "ro-crate") == 0 || (strcmp(format, "mlflow") == 0 && !arguments_flag(arguments, "no-files"));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK && handed_on; i++) {
        struct weights_found found;
        status = weights_check_all(records[i], &found, error);
        if (status != STATUS_OK && records[i]->scratch.path[0] != '\0')
            error_replace(error, records[i]->path, records[i]->shown);
    }
    return status;
}

static enum status run_export(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    const size_t count = arguments->operand_count;
    const char *format = arguments_text(arguments, "format");
    if (format == NULL)
        return error_set(error, STATUS_INPUT, "export needs --format NAME; selfsame export --help lists the formats");
    struct record **records;
    enum status status = records_open(&records, runs, arguments->operands, count, error);
    if (status == STATUS_OK)
        status = check_weights(arguments, records, count, error);
    if (status == STATUS_OK)
        status = strcmp(format, "mlflow") == 0 ? export_to_mlflow(arguments, records, count, error)
                                               : export_to_files(arguments, records, count, error);
    records_close(records, count);
    return status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "format", "NAME", OPTION_CHOICE, 0, 0, "tensorboard|mlflow|csv|trackio|model-card|ro-crate|mllog|croissant",
      "the format, as below" },
    { "out", "PATH", OPTION_TEXT, 0, 0, NULL, "the folder or file to write" },
    OPTION_FORCE,
    { "license", "NAME", OPTION_TEXT, 0, 0, NULL,
      "model-card, ro-crate, croissant: the license, as its SPDX name or its URL; a crate must have one" },
    { "author", "NAME", OPTION_TEXT, 0, 0, NULL, "model-card, ro-crate: the person who ran it" },
    { "to", "URL", OPTION_TEXT, 0, 0, NULL, "mlflow: the server, such as http://localhost:5000" },
    { "experiment", "NAME", OPTION_TEXT, 0, 0, NULL,
      "mlflow: the experiment there, which is made if need be; default: the manifest's name" },
    { "steps", NULL, OPTION_FLAG, 0, 0, NULL, "mlflow: send the loss and the errors of every step, too" },
    { "no-files", NULL, OPTION_FLAG, 0, 0, NULL, "mlflow: do not send the record's files" },
    { "cacert", "FILE", OPTION_TEXT, 0, 0, NULL, "certificates to check an https server with; default: the system's" },
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
        "float32.\n\n"
        "--format mlflow --to URL: a run on an MLflow server, with settings as parameters, epochs as metrics, digests "
        "and machine as tags, and the record's files where the server takes files. A run that was sent before is found "
        "again and gets what is missing, so nothing comes twice. If a transfer was cut, or the run has gone on, give "
        "the same command again. The login is taken from MLFLOW_TRACKING_TOKEN, or from MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD.\n\n"
        "--format csv --out FOLDER: NAME.csv for each run, with the columns of metrics.jsonl and a row for each epoch. "
        "The numbers have all their bits.\n\n"
        "--format trackio --out FOLDER: NAME.csv for each run as Trackio reads it: trackio.import_csv(\"NAME.csv\", "
        "project). It has the epochs as steps, and short names (valerror, trainloss), since Trackio keeps ten letters "
        "of "
        "them. There is no format for W&B: only its own program reads its offline "
        "files, and their form is not documented.\n\n"
        "--format model-card --out README.md: a model card as Hugging Face reads it, of one run: results and their "
        "targets, how to repeat them, training, machine and digests.\n\n"
        "--format ro-crate --out FOLDER --license NAME: the runs' files in a folder with ro-crate-metadata.json, a "
        "Process "
        "Run Crate 0.5 on RO-Crate 1.1. It says which program made which files from which data and settings, with "
        "sizes "
        "and SHA-256.\n\n"
        "--format mllog --out FOLDER: result_0.txt and so on, a log for each run in the form of MLPerf's logging. The "
        "lines say that it is research, and no submission.\n\n"
        "--format croissant --out FILE: the data set of one run on CIFAR-10, with the archives that its manifest "
        "names. "
        "--license is then the data's; their authors state none.\n\n"
        "An imported run (selfsame import) goes to tensorboard, mlflow, csv, trackio and croissant. The other formats "
        "say that "
        "selfsame computed it, so they refuse it.",
    .examples = "selfsame export msra-resnet20-seed1 --format tensorboard --out logs\tthen: tensorboard --logdir logs\n"
                "selfsame export msra-resnet20-seed1 --format mlflow --to http://localhost:5000\tto a server\n"
                "selfsame export runs/* --format ro-crate --license CC-BY-4.0 --out crate\tfor a paper's data\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_export,
};
