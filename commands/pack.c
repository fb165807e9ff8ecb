/* selfsame pack, selfsame unpack: a run in one file, and back. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "commands/command.h"
#include "results/new_run.h"
#include "results/pack.h"
#include "results/weights_check.h"

/* ---- pack -------------------------------------------------------------------------------------------------------- */

static void tell_left_out(const char *folder, const char *name)
{
    text_line(stderr, "selfsame pack: left out, since it is not of a record: %s/%s", folder, name);
}

/* Read back and checked as every reader does, before it has its name. */
static enum status check_packed(const struct draft *draft, struct error *error)
{
    struct record *record;
    struct weights_found found;
    enum status status = record_open_whole(&record, NULL, draft->temporary, &found, error);
    if (status == STATUS_OK)
        record_close(record);
    else
        error_replace(error, draft->temporary, draft->path);
    return status;
}

static enum status pack(const struct record *record, const struct arguments *arguments, const char *path,
                        struct error *error)
{
    struct draft draft;
    struct packed packed;
    if (record->locked)
        return error_set(error, STATUS_ENVIRONMENT, "%s is being trained; wait for the training to end, or stop it",
                         record->shown);
    enum status status = draft_open(&draft, path, error);
    if (status != STATUS_OK)
        return status;
    status =
        pack_write(record->path, &draft, !arguments_flag(arguments, "no-checkpoints"), tell_left_out, &packed, error);
    if (status == STATUS_OK)
        status = check_packed(&draft, error);
    if (status == STATUS_OK)
        status = draft_publish(&draft, error);
    draft_drop(&draft);
    if (status != STATUS_OK)
        return status;
    text_line(stdout, "packed: %s, %zu files, %" PRIu64 " bytes", path, packed.files, packed.bytes);
    text_line(stdout, "sha256: %s", packed.sha256);
    return STATUS_OK;
}

static enum status run_pack(const struct arguments *arguments, struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct record *record;
    struct weights_found found;
    const char *out = arguments_text(arguments, "out");
    enum status status = record_open_whole(&record, record_runs_folder(arguments_text(arguments, "runs")),
                                           arguments->operands[0], &found, error);
    if (status != STATUS_OK)
        return status;
    status = out != NULL ? file_path(path, error, "%s", out) : file_path(path, error, "%s" PACK_SUFFIX, record->name);
    if (status == STATUS_OK)
        status = arguments_may_write(arguments, path, error);
    if (status == STATUS_OK)
        status = pack(record, arguments, path, error);
    record_close(record);
    return status;
}

static const struct option_definition pack_options[] = {
    OPTION_RUNS,
    { "out", "FILE", OPTION_TEXT, 0, 0, NULL, "the file to write; default: the run's name and .tar" },
    { "no-checkpoints", NULL, OPTION_FLAG, 0, 0, NULL,
      "leave the checkpoints out: nobody can resume or audit the run from the file then" },
    OPTION_FORCE,
    OPTIONS_END,
};

const struct command pack_command = {
    .name = "pack",
    .operands = "RUN",
    .summary = "put a run into one file",
    .options = pack_options,
    .description =
        "Checks a run as selfsame check does, and writes its files into one. Then it reads the file back and checks "
        "it. check, compare, targets, plot and table take that file, or its https URL, as a RUN.\n\n"
        "The same record always gives the same bytes, on any machine and under any name. So a packed run has one "
        "SHA-256, which you can publish. The file is a tar in the POSIX format ustar. It is not compressed: weights "
        "are as good as random, and what a compressor writes depends on its version. Order, times, owners and modes "
        "are fixed. You can make the same file without selfsame: put the files into a folder run/ and call\n\n"
        "tar --format=ustar --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=0644 -cf FILE run/record.json "
        "run/manifest.yaml run/metrics.jsonl run/ledger.txt run/weights.safetensors run/checkpoints/* "
        "run/attestations/*\n\n"
        "A run of a program that was built from changed sources also has run/source-changes.diff.gz, after the "
        "weights. "
        "Signed statements (selfsame attest) go along. Other files in the run's folder stay out, and are named.",
    .examples = "selfsame pack msra-resnet20-seed1\tinto msra-resnet20-seed1.tar\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_pack,
};

/* ---- unpack ------------------------------------------------------------------------------------------------------ */

static enum status unpack(const struct new_run *run, const char *file, const char *name, struct error *error)
{
    char folder[FILE_PATH_BYTES], name_given[RUN_NAME_BYTES];
    struct packed packed;
    struct record *record = NULL;
    struct weights_found found;
    enum status status = pack_read(file, run->folder, &packed, error);
    if (status == STATUS_OK)
        status = record_open_whole(&record, NULL, run->folder, &found, error);
    if (status != STATUS_OK) {
        error_replace(error, run->folder, file);
        return status;
    }
    snprintf(name_given, sizeof name_given, "%s", name != NULL ? name : record->facts.name);
    record_close(record);
    status = new_run_publish(run, name_given, folder, error);
    if (status != STATUS_OK)
        return status;
    text_line(stdout, "unpacked: %s, %zu files, %" PRIu64 " bytes", folder, packed.files, packed.bytes);
    text_line(stdout, "sha256: %s", packed.sha256);
    return STATUS_OK;
}

static enum status run_unpack(const struct arguments *arguments, struct error *error)
{
    struct new_run run;
    enum status status = new_run_open(&run, record_runs_folder(arguments_text(arguments, "runs")), error);
    if (status != STATUS_OK)
        return status;
    status = unpack(&run, arguments->operands[0], arguments_text(arguments, "name"), error);
    new_run_close(&run);
    return status;
}

static const struct option_definition unpack_options[] = {
    OPTION_RUNS,
    { "name", "NAME", OPTION_TEXT, 0, 0, NULL, "the run's name; default: the one that its record says" },
    OPTIONS_END,
};

const struct command unpack_command = {
    .name = "unpack",
    .operands = "FILE",
    .summary = "take a run out of the file that selfsame pack wrote",
    .options = unpack_options,
    .description =
        "Writes the run into the runs folder, where it appears whole or not at all, and never replaces another. First "
        "it checks every byte. The file must be exactly what selfsame pack writes: it refuses absolute paths, \"..\", "
        "links, other kinds of entries, files that are not of a run or come twice, other times, owners or modes, and "
        "anything after the end. Then it checks the run as selfsame check does. Exit status 2: refused; the message "
        "names the entry and the byte.",
    .examples = "selfsame unpack msra-resnet20-seed1.tar\tinto runs/msra-resnet20-seed1\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_unpack,
};
