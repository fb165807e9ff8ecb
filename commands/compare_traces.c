#include "commands/compare_traces.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/stop.h"
#include "base/text.h"
#include "commands/table.h"
#include "commands/trace_run.h"
#include "results/trace_file.h"

bool compare_has_traces(const struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->operand_count; i++) {
        if (trace_file_is(arguments->operands[i]))
            return true;
    }
    return false;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

/* What it means that a tensor which is computed from nothing else differs. */
static const char *meaning_of(const char *name)
{
    static const struct {
        const char *start, *meaning;
    } meanings[] = {
        { "before/", "it was so before the step: an earlier step or the checkpoint gave another, or the memory "
                     "changed in between" },
        { "batch/images", "the step was given other images, or in another order" },
        { "batch/crops", "the step was given other crops or flips" },
        { "batch/learning_rate", "the step was given another learning rate" },
    };
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (strncmp(name, meanings[i].start, strlen(meanings[i].start)) == 0)
            return meanings[i].meaning;
    }
    return "no other tensor of the step goes into it";
}

static void print_root(const struct trace_lines *a, const struct trace_lines *b, uint32_t root)
{
    const struct trace_line *line = &a->lines[root];
    char first[DIGEST_HEX_BYTES], second[DIGEST_HEX_BYTES];
    digest_to_hex(line->digest, first);
    digest_to_hex(b->lines[root].digest, second);
    text_fact(stdout, 4, "  %s: %.12s... and %.12s...", line->name, first, second);
    if (line->input_count == 0)
        text_fact(stdout, 4, "    %s", meaning_of(line->name));
    for (uint32_t i = 0; i < line->input_count; i++)
        text_line(stdout, "    %s %s", i == 0 ? "computed from, the same in both:" : "                                ",
                  a->lines[a->inputs[line->first_input + i]].name);
}

static void print_roots(const struct trace_lines *a, const struct trace_lines *b, const struct trace_comparison *c)
{
    if (c->differing == 0)
        return;
    text_fact(stdout, 2, "  %" PRIu32 " of %" PRIu32 " tensors differ. %s:", c->differing, a->count,
              c->root_count == 1 ? "Of these, one has inputs that agree" : "Of these, several have inputs that agree");
    for (uint32_t i = 0; i < c->root_count && i < TRACE_ROOTS_MAX; i++)
        print_root(a, b, c->roots[i]);
    if (c->root_count > TRACE_ROOTS_MAX)
        text_line(stdout, "  and %" PRIu32 " more", c->root_count - TRACE_ROOTS_MAX);
}

static json_t *root_json(const struct trace_lines *list, uint32_t root)
{
    const struct trace_line *line = &list->lines[root];
    json_t *inputs = json_array();
    for (uint32_t i = 0; i < line->input_count; i++)
        json_add(&inputs, json_text(list->lines[list->inputs[line->first_input + i]].name));
    return json_pack("{s:o, s:o}", "name", json_text(line->name), "inputs", inputs);
}

static enum status print_json(const struct arguments *arguments, const struct trace_file *a,
                              const struct trace_comparison *c, struct error *error)
{
    json_t *roots = json_array(), *list = json_array();
    for (uint32_t i = 0; i < c->root_count && i < TRACE_ROOTS_MAX; i++)
        json_add(&roots, root_json(&a->list, c->roots[i]));
    json_t *json =
        json_pack("{s:o, s:o, s:s, s:o, s:b, s:I, s:I, s:I, s:I, s:o}", "first", json_text(arguments->operands[0]),
                  "second", json_text(arguments->operands[1]), "verdict", verdict_name(c->verdict), "sentence",
                  json_text(c->sentence), "identical", c->verdict == VERDICT_IDENTICAL, "step", (json_int_t)a->step,
                  "tensors", (json_int_t)a->list.count, "tensors_that_differ", (json_int_t)c->differing,
                  "with_equal_inputs", (json_int_t)c->root_count, "first_tensors", roots);
    json_add(&list, json);
    return json_print(list, error);
}

/* ---- two traces -------------------------------------------------------------------------------------------------- */

static enum status print_files(const struct arguments *arguments, const struct trace_file *a,
                               const struct trace_file *b, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    struct trace_comparison comparison;
    trace_compare(a, b, &comparison);
    if (format != NULL && strcmp(format, "json") == 0) {
        enum status status = print_json(arguments, a, &comparison, error);
        if (status != STATUS_OK)
            return status;
    } else {
        text_fact(stdout, 2, "%s: %s", verdict_name(comparison.verdict), comparison.sentence);
        text_fact(stdout, 2, "  %s and %s", arguments->operands[0], arguments->operands[1]);
        if (a->step == b->step)
            text_line(stdout, "  step %" PRIu64 " (from 1), %s", a->step + 1, a->arithmetic);
        print_roots(&a->list, &b->list, &comparison);
    }
    if (comparison.verdict == VERDICT_NOT_COMPARABLE || comparison.verdict == VERDICT_MALFORMED)
        return error_set(error, STATUS_INPUT, "%s and %s cannot be compared: %s", arguments->operands[0],
                         arguments->operands[1], comparison.sentence);
    return verdict_status(comparison.verdict);
}

enum status compare_traces(const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    struct trace_file a = { .step = 0 }, b = { .step = 0 };
    if (arguments->operand_count != 2)
        return error_set(error, STATUS_INPUT, "a trace is compared with one other trace; name two");
    if (arguments_flag(arguments, "trace") || arguments->list_count > 0)
        return error_set(error, STATUS_INPUT, "--trace and --tolerance are for runs; leave them out to compare traces");
    if (format != NULL && strcmp(format, "text") != 0 && strcmp(format, "json") != 0)
        return error_set(error, STATUS_INPUT, "--format %s: traces are compared as text or json", format);
    enum status status = trace_file_read(arguments->operands[0], &a, error);
    if (status == STATUS_OK)
        status = trace_file_read(arguments->operands[1], &b, error);
    if (status == STATUS_OK)
        status = print_files(arguments, &a, &b, error);
    trace_file_free(&a);
    trace_file_free(&b);
    return status;
}

/* ---- two runs ---------------------------------------------------------------------------------------------------- */

enum status compare_check_trace(const struct arguments *arguments, struct error *error)
{
    static const char *const of_trace[] = { "data", "engine", "threads", "isa" };
    const char *format = arguments_text(arguments, "format");
    const bool trace = arguments_flag(arguments, "trace");
    if (trace &&
        (arguments->operand_count != 2 || arguments->list_count > 0 || (format != NULL && strcmp(format, "text") != 0)))
        return error_set(error, STATUS_INPUT,
                         "--trace is for two runs, without --tolerance, and prints text; leave the rest out");
    for (size_t i = 0; i < sizeof of_trace / sizeof *of_trace && !trace; i++) {
        const bool number = strcmp(of_trace[i], "threads") == 0;
        if (number ? arguments_integer(arguments, of_trace[i], 0) > 0 : arguments_text(arguments, of_trace[i]) != NULL)
            return error_set(error, STATUS_INPUT, "--%s goes with --trace: without it nothing is computed",
                             of_trace[i]);
    }
    return STATUS_OK;
}

static void print_run(const struct record *record, const struct traced *traced)
{
    char from[TRACED_FROM_BYTES];
    text_fact(stdout, 4, "  %s: from %s; %s", record->shown, traced_from(traced, from),
              !traced->recorded ? "its ledger ends before this step"
              : traced->follows ? "the result is that of its ledger"
                                : "the result is not that of its ledger");
}

/* Both come out the same here, so at least one of the runs did not compute this. */
static void print_culprits(const struct record *const records[2], const struct traced traced[2], uint64_t step)
{
    for (int i = 0; i < 2; i++) {
        if (!traced[i].recorded || traced[i].follows)
            continue;
        text_fact(stdout, 0, "So %s did not compute what its manifest says, or its record was changed.",
                  records[i]->shown);
        text_fact(stdout, 0,
                  "To name the tensor, trace the step on the machine that computed it, and compare the traces:");
        text_line(stdout, "  selfsame trace %s --step %" PRIu64, records[i]->shown, step + 1);
    }
}

enum status compare_runs_at(const struct record *first, const struct record *second, uint64_t step,
                            const struct arguments *arguments, struct error *error)
{
    const struct record *const records[2] = { first, second };
    struct traced traced[2];
    struct trace_comparison comparison;
    stop_watch("\nselfsame compare: stopping\n", NULL);
    memset(traced, 0, sizeof traced);
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        status = trace_run(records[i], step, arguments, &traced[i], error);
        if (status != STATUS_OK && records[i]->scratch.path[0] != '\0')
            error_replace(error, records[i]->path, records[i]->shown);
    }
    if (status == STATUS_OK) {
        trace_compare(&traced[0].file, &traced[1].file, &comparison);
        text_line(stdout, "%s", "");
        text_fact(stdout, 2, "Step %" PRIu64 " (from 1), computed again here: %s", step + 1, comparison.sentence);
        print_run(first, &traced[0]);
        print_run(second, &traced[1]);
        print_roots(&traced[0].file.list, &traced[1].file.list, &comparison);
        if (comparison.differing == 0)
            print_culprits(records, traced, step);
    }
    traced_close(&traced[0]);
    traced_close(&traced[1]);
    return status;
}
