/* selfsame check: whether the files of runs agree with each other. */
#include <inttypes.h>
#include <stdio.h>

#include "commands/command.h"
#include "results/record.h"
#include "results/weights_check.h"

static void print_result(const struct record *record, const struct weights_found *found)
{
    char state[RECORD_STATE_BYTES];
    const struct record_facts *facts = &record->facts;
    printf("%s: its files agree; it is %s\n", record->path, record_state_text(record, state));
    printf("  %-20s written by selfsame %s%s\n", RECORD_FILE,
           facts->program_version[0] != '\0' ? facts->program_version : "of unknown version",
           facts->record_sha256[0] == '\0' ? "; no digest of its own, as 0.1.0 wrote it" : "");
    printf("  %-20s %s, experiment %.16s...\n", RECORD_MANIFEST_FILE, facts->manifest_name, facts->experiment_sha256);
    printf("  %-20s %zu of %" PRIu64 " epochs\n", METRICS_FILE, record->epochs, facts->epochs_wanted);
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
}

static enum status check_run(const char *runs, const char *run, struct error *error)
{
    struct record *record;
    struct weights_found found;
    enum status status = record_open(&record, runs, run, error);
    if (status != STATUS_OK)
        return status;
    status = weights_check_all(record, &found, error);
    if (status == STATUS_OK)
        print_result(record, &found);
    record_close(record);
    return status;
}

/* Goes on after a run that contradicts itself, so that one call tells of them all. */
static enum status run_check(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    size_t failed = 0;
    if (arguments->operand_count == 1)
        return check_run(runs, arguments->operands[0], error);
    for (size_t i = 0; i < arguments->operand_count; i++) {
        enum status status = check_run(runs, arguments->operands[i], error);
        if (status != STATUS_OK && status != STATUS_INPUT)
            return status;
        if (status == STATUS_INPUT) {
            fprintf(stderr, "selfsame check: %s\n", error->message);
            failed++;
        }
    }
    return failed == 0 ? STATUS_OK
                       : error_set(error, STATUS_INPUT, "%zu of %zu runs are not as they were written", failed,
                                   arguments->operand_count);
}

static const struct option_definition options[] = { OPTION_RUNS, OPTIONS_END };

const struct command check_command = {
    .name = "check",
    .operands = "RUN...",
    .summary = "say whether the files of runs agree with each other",
    .options = options,
    .description =
        "Reads all files of each run and holds them against each other: the record's own digest, the manifest's, "
        "lengths and learning rates, the last and the best epoch, the means over the ledger's steps, the chain of "
        "digests over metrics and ledger, the digests of the weights, and the checkpoints. Nothing is computed "
        "anew.\n\n"
        "Every other command that reads a run does the same first, except for weights that it does not use and for "
        "checkpoints. A byte order mark and carriage returns, which editors and file transfers put in, are no "
        "difference: digests are taken as if they were not there.\n\n"
        "A RUN is a run's folder, its name in the runs folder, or published/... for a run that comes with the program. "
        "Exit status 0: all agree; 2: a file is damaged, or two contradict each other; the message names them.",
    .examples = "selfsame check msra-resnet20-seed1\tis it as it was written?\n"
                "selfsame check runs/*\tall of them\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_check,
};
