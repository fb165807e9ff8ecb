/* selfsame check: whether the files of runs agree with each other. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "results/imported.h"
#include "results/record.h"
#include "results/source_changes.h"
#include "results/weights_check.h"

/* Where values begin. */
enum { COLUMN = 23 };

/* What there is only of a run that selfsame computed. */
static void print_bits(const struct record *record, const struct weights_found *found)
{
    const struct record_facts *facts = &record->facts;
    printf("  %-20s %zu steps", ledger_name(&record->ledger_lines), record->steps);
    if (record->epochs > 0)
        printf(", chain %.16s...", record->metrics[record->epochs - 1].chain_sha256);
    putchar('\n');
    if (found->weights)
        printf("  %-20s after epoch %" PRIu64 ", %.16s...\n", RECORD_WEIGHTS_FILE, found->epoch + 1,
               record->metrics[found->epoch].weights_sha256);
    else
        printf("  %-20s not there\n", RECORD_WEIGHTS_FILE);
    if (found->checkpoints > 0)
        printf("  %-20s %zu, all good\n", RECORD_CHECKPOINTS_FOLDER, found->checkpoints);
    if (facts->source_changes_bytes > 0)
        printf("  %-20s %" PRIu64 " bytes%s\n", SOURCE_CHANGES_FILE, facts->source_changes_bytes,
               found->source_changes ? ", as recorded" : ", but not there");
    if (facts->program_after_sha256[0] != '\0' && strcmp(facts->program_after_sha256, facts->program_sha256) != 0)
        text_fact(stdout, COLUMN, "  %-20s the file was replaced during the training: SHA-256 %.16s..., then %.16s...",
                  "program", facts->program_sha256, facts->program_after_sha256);
}

static void print_result(const struct record *record, const struct weights_found *found)
{
    char state[RECORD_STATE_BYTES], origin[IMPORTED_ORIGIN_BYTES];
    const struct record_facts *facts = &record->facts;
    text_fact(stdout, 2, "%s: its files agree; it is %s", record->shown, record_state_text(record, state));
    text_fact(stdout, COLUMN, "  %-20s written by selfsame %s%s", RECORD_FILE,
              imported_is(record)                 ? facts->imported.version
              : facts->program_version[0] != '\0' ? facts->program_version
                                                  : "of unknown version",
              facts->record_sha256[0] == '\0' ? "; without a digest of its own, as version 0.1.0 wrote it" : "");
    text_fact(stdout, COLUMN, "  %-20s %s, experiment %.16s...", RECORD_MANIFEST_FILE, facts->manifest_name,
              facts->experiment_sha256);
    printf("  %-20s %zu of %" PRIu64 " epochs\n", METRICS_FILE, record->epochs, facts->epochs_wanted);
    if (!imported_is(record)) {
        print_bits(record, found);
        return;
    }
    imported_origin(record, origin);
    text_fact(stdout, COLUMN, "  %-20s %s; there are no steps and no weights to check", "imported", origin);
}

static enum status check_run(const char *runs, const char *run, struct error *error)
{
    struct record *record;
    struct weights_found found;
    enum status status = record_open_whole(&record, runs, run, &found, error);
    if (status != STATUS_OK)
        return status;
    print_result(record, &found);
    record_close(record);
    return status;
}

/* Continues after a run that contradicts itself or cannot be read, so that one call names them all. */
static enum status run_check(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    size_t failed = 0;
    enum status worst = STATUS_OK;
    if (arguments->operand_count == 1)
        return check_run(runs, arguments->operands[0], error);
    for (size_t i = 0; i < arguments->operand_count; i++) {
        enum status status = check_run(runs, arguments->operands[i], error);
        if (status != STATUS_OK) {
            text_line(stderr, "selfsame check: %s", error->message);
            failed++;
        }
        worst = status > worst ? status : worst;
    }
    return failed == 0 ? STATUS_OK
                       : error_set(error, worst, "%zu of %zu runs are damaged, contradict themselves or cannot be read",
                                   failed, arguments->operand_count);
}

static const struct option_definition options[] = { OPTION_RUNS, OPTIONS_END };

const struct command check_command = {
    .name = "check",
    .operands = "RUN...",
    .summary = "say whether the files of a run agree with each other",
    .options = options,
    .description =
        "Reads all files of each run and compares them with each other. It checks the digests of the record and of "
        "the manifest, lengths and learning rates, the last and the best epoch, and the means over the ledger's "
        "steps. It also checks the chain of digests over metrics and ledger, the digests of the weights, and the "
        "checkpoints, the data before and after the training, and the changes of the program's sources. It does not "
        "train anything again.\n\n"
        "Every other command that reads a run makes the same checks first, except for checkpoints and for weights "
        "that it does not use. Editors and file transfers may add a byte order mark or carriage returns. These make "
        "no difference, because digests are computed without them.\n\n"
        "A RUN is a run's folder, its name in the runs folder, or published/... for a run that comes with the "
        "program. The exit status is 0 if all files agree. It is 2 if a file is damaged or two files contradict each "
        "other; the message names them. It is 3 if a file cannot be read. The other runs are checked all the same.",
    .examples = "selfsame check msra-resnet20-seed1\tis it unchanged?\n"
                "selfsame check runs/*\tall of them\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_check,
};
