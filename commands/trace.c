/* selfsame trace: computes a step of a run again and writes a digest of each of its tensors. */
#include <inttypes.h>
#include <string.h>

#include "base/stop.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/trace_run.h"
#include "results/weights_check.h"

static enum status print(const struct record *record, const struct traced *traced, const char *path, const char *sha256,
                         struct error *error)
{
    const struct trace_file *file = &traced->file;
    const uint64_t step = file->step + 1;
    char from[TRACED_FROM_BYTES];
    text_fact(stdout, 8, "traced: %s, step %" PRIu64 " (from 1), computed again from %s; %" PRIu32 " tensors",
              record->shown, step, traced_from(traced, from), file->list.count);
    text_line(stdout, "trace:  %s", path);
    text_line(stdout, "sha256: %s", sha256);
    if (traced->trace->non_finite[0] != '\0')
        return error_set(error, STATUS_NO, "step %" PRIu64 ": %s; the trace is written", step,
                         traced->trace->non_finite);
    if (!traced->recorded) {
        text_fact(stdout, 0, "The run's ledger ends before this step, so there was nothing to compare it with.");
        return STATUS_OK;
    }
    if (!traced->follows)
        return error_set(error, STATUS_NO,
                         "%s: step %" PRIu64
                         " comes out otherwise here than its ledger says. The trace is of what this "
                         "machine computes. Trace the step where the run was computed, and compare the two traces",
                         record->shown, step);
    text_line(stdout, "The step comes out as the run's ledger says.");
    return STATUS_OK;
}

static enum status trace(const struct record *record, const struct arguments *arguments, struct error *error)
{
    const uint64_t step = arguments_integer(arguments, "step", 0);
    const char *out = arguments_text(arguments, "out");
    char path[FILE_PATH_BYTES], sha256[DIGEST_HEX_BYTES];
    struct traced traced;
    enum status status = out != NULL ? file_path(path, error, "%s", out)
                                     : file_path(path, error, "%s-step%" PRIu64 ".trace", record->name, step);
    if (status == STATUS_OK)
        status = arguments_may_write(arguments, path, error);
    if (status != STATUS_OK)
        return status;
    stop_watch("\nselfsame trace: stopping; nothing was written\n", NULL);
    status = trace_run(record, step - 1, arguments, &traced, error);
    if (status != STATUS_OK)
        return status;
    status = trace_file_write(path, &traced.file, sha256, error);
    if (status == STATUS_OK)
        status = print(record, &traced, path, sha256, error);
    traced_close(&traced);
    return status;
}

static enum status run_trace(const struct arguments *arguments, struct error *error)
{
    struct record *record;
    struct weights_found found;
    if (arguments_integer(arguments, "step", 0) == 0)
        return error_set(error, STATUS_INPUT,
                         "name the step with --step N, counted from 1; selfsame compare says which step of two runs is "
                         "the first that differs");
    enum status status = record_open_whole(&record, record_runs_folder(arguments_text(arguments, "runs")),
                                           arguments->operands[0], &found, error);
    if (status != STATUS_OK)
        return status;
    status = trace(record, arguments, error);
    if (record->scratch.path[0] != '\0' && status != STATUS_OK)
        error_replace(error, record->path, record->shown);
    record_close(record);
    return status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "step", "N", OPTION_INTEGER, 1, 4000000000, NULL, "the step to trace, counted from 1, as compare counts" },
    { "out", "FILE", OPTION_TEXT, 0, 0, NULL, "the file to write; default: the run's name, -stepN and .trace" },
    OPTION_FORCE,
    OPTION_DATA,
    OPTION_ENGINE,
    OPTION_THREADS,
    OPTION_ISA,
    OPTIONS_END,
};

const struct command trace_command = {
    .name = "trace",
    .operands = "RUN",
    .summary = "compute one step again and write a digest of each of its tensors",
    .options = options,
    .description =
        "Checks the run as selfsame check does, and computes its steps again from the last checkpoint that is not "
        "after the step, or from the start. It compares each step on the way with the ledger. Then it computes the "
        "step and writes a text file with the SHA-256 of every tensor. selfsame compare A.trace B.trace names the "
        "first tensor whose inputs agree and whose value does not.\n\n"
        "Each line has a number, the tensor's name, its type and shape, its SHA-256, and the numbers of the lines that "
        "it is computed from. The lines are in causal order: before/ is the state before the step, batch/ its images, "
        "crops, labels and learning rate, forward/ and backward/ what each layer computes, gradient/ the gradients of "
        "the weights, after/ the state after the step. The header has the experiment digest, the arithmetic, the step "
        "and its line of the ledger. A trace says nothing about the machine: if all computes as specified, every "
        "engine, instruction set and number of threads writes the same bytes. So two people can compare the SHA-256 "
        "of their files.\n\n"
        "The step may lie after the run's last one, as long as the training has it. A run that became non-finite can "
        "be traced at the step that failed. A training is never traced, and gets no slower.\n\n"
        "Exit status 0: the trace is written. 1: it is written, but the step comes out otherwise than the run's "
        "ledger says, or is non-finite; or an earlier step comes out otherwise, and the message names it. 2: the run "
        "or the data cannot be used.",
    .examples = "selfsame trace mine --step 778\tinto mine-step778.trace\n"
                "selfsame compare mine-step778.trace theirs-step778.trace\twhich tensor went wrong?\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_trace,
};
