/* selfsame import: runs of other tools as records. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stop.h"
#include "base/text.h"
#include "commands/command.h"
#include "exchange/import.h"
#include "results/find_run.h"

static bool wants(void *context, const char *name)
{
    return import_wants(context, name);
}

static struct import_source empty_source(struct import_choice *choice)
{
    return (struct import_source){ .wants = wants, .context = choice };
}

/* Writes what was read, and says what became of it. */
static enum status write_run(const struct import_job *job, struct import_source *source, struct error *error)
{
    struct imported imported;
    enum status status = import_write(job, source, &imported, error);
    if (status != STATUS_OK)
        return status;
    text_fact(stdout, 10, "imported: %s, %zu epoch%s, from %s", imported.folder, imported.epochs,
              imported.epochs == 1 ? "" : "s", source->tool);
    for (size_t i = 0; i < source->notes.count; i++)
        text_line(stderr, "selfsame import: %s: %s", source->name, source->notes.texts[i]);
    if (!imported.has_error)
        text_line(stderr,
                  "selfsame import: %s: no series gives the validation error, so it is missing in tables and figures; "
                  "--column val_error=THEIRS names one",
                  source->name);
    return STATUS_OK;
}

static enum status import_path(struct import_job *job, const char *path, struct error *error)
{
    struct import_source source = empty_source(&job->choice);
    enum status status = import_read_path(&source, &job->choice, path, error);
    if (status == STATUS_OK)
        status = write_run(job, &source, error);
    import_source_free(&source);
    return status;
}

/* ---- a server ---------------------------------------------------------------------------------------------------- */

/* Of several runs, each has the beginning of its id in its name: those of one experiment are often called the same. */
static enum status import_server_run(struct import_job *job, struct mlflow_server *server, const char *id, bool several,
                                     struct error *error)
{
    struct import_source source = empty_source(&job->choice);
    enum status status = import_read_mlflow(&source, server, id, error);
    if (status == STATUS_OK && several) {
        char name[IMPORT_NAME_BYTES];
        snprintf(name, sizeof name, "%.200s-%.8s", source.run, id);
        snprintf(source.run, sizeof source.run, "%s", name);
    }
    if (status == STATUS_OK)
        status = write_run(job, &source, error);
    if (status != STATUS_OK && several) {
        char remedy[IMPORT_NAME_BYTES + 64];
        snprintf(remedy, sizeof remedy, "import this run by itself, with --run %s --name NAME", id);
        error_replace(error, "choose another name with --name", remedy);
    }
    import_source_free(&source);
    return status;
}

/* A run whose record is there is left out, so that the same command goes on after a stop or an error. */
static enum status import_experiment(struct import_job *job, struct mlflow_server *server, const char *experiment,
                                     struct error *error)
{
    char **ids;
    size_t count;
    struct import_known known = { .count = 0 };
    enum status status = import_mlflow_runs(server, experiment, &ids, &count, error);
    if (status == STATUS_OK && job->name != NULL && count > 1)
        status =
            error_set(error, STATUS_INPUT, "--name is for one run, and the experiment '%s' has %zu", experiment, count);
    if (status == STATUS_OK)
        status = import_known_read(&known, job->runs, error);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const char *name = import_known_mlflow(&known, server->url, ids[i]);
        if (name != NULL)
            text_line(stdout, "imported already: %s/%s, from MLflow, run %s", job->runs, name, ids[i]);
        else
            status = import_server_run(job, server, ids[i], true, error);
    }
    import_known_free(&known);
    text_free_list(ids, count);
    return status;
}

static enum status import_server(struct import_job *job, const struct arguments *arguments, struct error *error)
{
    const char *run = arguments_text(arguments, "run"), *experiment = arguments_text(arguments, "experiment");
    char base[MLFLOW_URL_BYTES], of_url[IMPORT_NAME_BYTES], run_of_url[IMPORT_NAME_BYTES];
    import_split_url(arguments->operands[0], base, of_url, run_of_url);
    const struct mlflow_connection connection = { .url = base,
                                                  .cacert = arguments_text(arguments, "cacert"),
                                                  .wait_s = 30,
                                                  .tries = MLFLOW_TRIES,
                                                  .stop_requested = stop_requested };
    struct mlflow_server server;
    if (run == NULL && run_of_url[0] != '\0')
        run = run_of_url;
    if (experiment == NULL && of_url[0] != '\0')
        experiment = of_url;
    if (run == NULL && experiment == NULL)
        return error_set(error, STATUS_INPUT,
                         "say which run of %s: --run ID, --experiment NAME for all of its runs, or a URL that ends in "
                         "#/experiments/ID/runs/ID",
                         base);
    enum status status = mlflow_open(&server, &connection, error);
    if (status != STATUS_OK)
        return status;
    stop_watch("selfsame import: stopping; no run is left half-imported", NULL);
    status = run != NULL ? import_server_run(job, &server, run, false, error)
                         : import_experiment(job, &server, experiment, error);
    mlflow_close(&server);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static bool is_url(const char *source)
{
    return strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0;
}

/* The server's options need a URL. */
static enum status check_options(const struct arguments *arguments, struct error *error)
{
    static const char *const of_server[] = { "run", "experiment", "cacert" };
    for (size_t i = 0; i < sizeof of_server / sizeof *of_server; i++) {
        if (!is_url(arguments->operands[0]) && arguments_text(arguments, of_server[i]) != NULL)
            return error_set(error, STATUS_INPUT,
                             "--%s is for an MLflow server, whose URL begins with http:// or https://; '%s' is none",
                             of_server[i], arguments->operands[0]);
    }
    if (arguments_text(arguments, "manifest") == NULL)
        return error_set(error, STATUS_INPUT,
                         "import needs --manifest FILE: which experiment the run is of, such as msra/resnet20.yaml; "
                         "selfsame new writes one");
    return STATUS_OK;
}

static enum status run_import(const struct arguments *arguments, struct error *error)
{
    struct manifest manifest, one;
    struct import_job job = { .runs = record_runs_folder(arguments_text(arguments, "runs")),
                              .name = arguments_text(arguments, "name"),
                              .choice = { .columns = arguments_list(arguments, "column"),
                                          .fractions = arguments_text(arguments, "fractions"),
                                          .percent = arguments_text(arguments, "percent"),
                                          .steps = arguments_flag(arguments, "steps"),
                                          .last = arguments_flag(arguments, "last"),
                                          .first = (int64_t)arguments_integer(arguments, "first-epoch", INT32_MAX) } };
    const uint64_t seed = arguments_integer(arguments, "seed", UINT64_MAX);
    job.seed_given = seed != UINT64_MAX;
    job.choice.first_given = job.choice.first != INT32_MAX;
    enum status status = check_options(arguments, error);
    if (status == STATUS_OK)
        status = import_choice_check(&job.choice, error);
    if (status == STATUS_OK && job.name != NULL)
        status = find_run_check_name(job.name, error);
    if (status == STATUS_OK)
        status = manifest_read(arguments_text(arguments, "manifest"), &manifest, error);
    if (status != STATUS_OK)
        return status;
    status = manifest_with_seed(&manifest, job.seed_given ? seed : manifest.seeds[0], &one, error);
    manifest_free(&manifest);
    if (status != STATUS_OK)
        return status;
    job.manifest = &one;
    status = is_url(arguments->operands[0]) ? import_server(&job, arguments, error)
                                            : import_path(&job, arguments->operands[0], error);
    manifest_free(&one);
    return status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "manifest", "FILE", OPTION_TEXT, 0, 0, NULL,
      "which experiment the run is of: network, data, length and targets; nothing of it is checked against the run" },
    { "name", "NAME", OPTION_TEXT, 0, 0, NULL,
      "what the run is called here; default: the tool's name for it, else the name of the file or folder" },
    { "seed", "N", OPTION_INTEGER, 0, INT64_MAX, NULL,
      "the run's seed, if you know it; default: the manifest's first" },
    { "column", "OURS=THEIRS", OPTION_LIST, 0, 0, NULL,
      "which series of the source is which metric, such as val_error=test_err; accuracies become errors "
      "(val_accuracy=top1). You may give it again" },
    { "fractions", "NAMES", OPTION_TEXT, 0, 0, NULL,
      "the metrics, with commas between them, whose values are fractions of 1 and not percentages, such as "
      "val_accuracy" },
    { "percent", "NAMES", OPTION_TEXT, 0, 0, NULL,
      "the metrics whose values are percentages although none is above 1" },
    { "steps", NULL, OPTION_FLAG, 0, 0, NULL,
      "the source counts training steps; a value belongs to the epoch in which its step ends" },
    { "first-epoch", "N", OPTION_INTEGER, 0, 1000000, NULL,
      "what the source calls the first epoch; default: its smallest number, which must be 0 or 1" },
    { "last", NULL, OPTION_FLAG, 0, 0, NULL, "of several values for one epoch, take the last" },
    { "run", "ID", OPTION_TEXT, 0, 0, NULL, "MLflow: the run on the server" },
    { "experiment", "NAME", OPTION_TEXT, 0, 0, NULL, "MLflow: all runs of this experiment on the server" },
    { "cacert", "FILE", OPTION_TEXT, 0, 0, NULL, "certificates to check an https server with; default: the system's" },
    OPTIONS_END,
};

const struct command import_command = {
    .name = "import",
    .operands = "SOURCE",
    .summary = "take runs of other tools in as records",
    .options = options,
    .description =
        "Writes a record of a run that another tool computed, so that runs, table, targets, compare --statistics, "
        "plot, report and export can show it next to yours. SOURCE is one of these:\n\n"
        "CSV: a file with a heading and a row for each epoch. The column \"epoch\" counts them.\n\n"
        "TensorBoard: an event file, also one compressed with gzip, or a folder. Every event file below the folder is "
        "read. A tag of a file in a folder of its own has that folder's name before it, such as "
        "validation/epoch_loss.\n\n"
        "MLflow: the URL of a server with --run or --experiment, or the address of a run's page; or the folder of a "
        "run in mlruns. The login is as for selfsame export. A database of MLflow is read through its server (mlflow "
        "server).\n\n"
        "Neptune: exchange/neptune_to_csv.py writes CSV from the files of neptune-exporter.\n\n"
        "A series becomes a metric if it has the metric's name, or if --column says so. The metrics are the columns of "
        "metrics.jsonl, and val_error, train_error, val_loss, train_loss, val_accuracy and train_accuracy. If none "
        "fits, the message lists what the source has. Errors are in percent unless --fractions says otherwise; if no "
        "value is above 1, you must say which it is.\n\n"
        "The record says \"imported\", the tool, the source, its SHA-256, and how each metric was formed. What the "
        "source does not have is null in its files, and missing in tables and figures. Values that are not finite are "
        "missing as well, and the record notes them. The arithmetic is fast, and the record claims nothing about "
        "bits: compare calls it not comparable, train --resume, verify, trace and attest refuse it.\n\n"
        "The SHA-256 is that of the file. Of several files it is that of the lines which sha256sum prints for them, in "
        "the order of their paths below SOURCE; of a server, of the lines for its answers.\n\n"
        "Exit status 2: a value cannot be what it should be, and the message names its line or byte; 3: a server "
        "does not answer. Then there is no record of that run. What was imported of an experiment before it stays: the "
        "same command leaves out the runs whose records are there, and goes on with the others.",
    .examples =
        "selfsame import log.csv --manifest msra/resnet20.yaml --column val_error=test_err\tour word first\n"
        "selfsame import logs/r20 --manifest mine.yaml --column val_accuracy=acc --fractions val_accuracy\tPyTorch's\n"
        "selfsame import http://localhost:5000 --experiment cifar --manifest mine.yaml\tall runs of an experiment\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_import,
};
