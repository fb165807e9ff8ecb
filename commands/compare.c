/* selfsame compare: the same bits, or where they part. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "results/compare.h"

/* The next line of a text: its length, without the newline. */
static size_t line_length(const char *text)
{
    return strcspn(text, "\n");
}

static const char *next_line(const char *text)
{
    text += line_length(text);
    return *text == '\n' ? text + 1 : text;
}

static bool has_line(const char *text, const char *line, size_t length)
{
    for (; *text != '\0'; text = next_line(text)) {
        if (line_length(text) == length && strncmp(text, line, length) == 0)
            return true;
    }
    return false;
}

/* Prints the lines of one resolved manifest that the other lacks; both name every key on a line of its own. */
static void print_missing(const char *mark, const char *of, const char *in)
{
    for (const char *line = of; *line != '\0'; line = next_line(line)) {
        size_t length = line_length(line);
        if (length > 0 && !has_line(in, line, length))
            text_line(stdout, "    %s %.*s", mark, (int)(length - strspn(line, " ")), line + strspn(line, " "));
    }
}

static void print_extent(const struct record *first, const struct record *second, const struct comparison *c)
{
    char more[FILE_PATH_BYTES + 128] = "";
    if (c->longer_first || c->longer_second) {
        const struct record *longer = c->longer_first ? first : second;
        snprintf(more, sizeof more, "; %s goes on to %zu epochs, %zu steps", longer->path, longer->epochs,
                 longer->steps);
    }
    text_line(stdout, "  compared: %" PRIu64 " epoch%s, %" PRIu64 " steps%s", c->epochs, c->epochs == 1 ? "" : "s",
              c->steps, more);
}

static const char *verdict(const struct comparison *c)
{
    if (!c->same_arithmetic)
        return "not-comparable";
    return c->incomplete ? "incomplete" : c->identical ? "identical" : "different";
}

static void print_text(const struct record *first, const struct record *second, const struct comparison *c)
{
    text_line(stdout, "%s and %s: %s", first->path, second->path, verdict(c));
    if (!c->same_arithmetic) {
        text_line(stdout, "  arithmetic: %s and %s, whose bits never agree", first->facts.arithmetic,
                  second->facts.arithmetic);
        return;
    }
    if (!c->same_experiment) {
        printf("  experiments: %.16s... and %.16s...; their manifests differ in (- first, + second):\n",
               first->facts.experiment_sha256, second->facts.experiment_sha256);
        print_missing("-", first->manifest_text, second->manifest_text);
        print_missing("+", second->manifest_text, first->manifest_text);
        if (first->facts.seed != second->facts.seed)
            printf("    seed %" PRIu64 " and %" PRIu64 "\n", first->facts.seed, second->facts.seed);
    }
    if (!c->same_validation)
        printf("  validation images: they differ, so losses and errors on them are not compared\n");
    print_extent(first, second, c);
    if (c->steps == 0 && c->epochs == 0)
        printf("  one of the runs has no step yet, so there is nothing to compare\n");
    else if (c->incomplete)
        printf("  identical as far as both go\n");
    if (c->step_differs)
        printf("  first difference: epoch %" PRIu64 ", step %" PRIu64 " (from 1): %s\n", c->epoch_of_step + 1,
               c->step + 1, c->step_what);
    if (c->epoch_differs)
        printf("  first epoch that differs: %" PRIu64 ": %s\n", c->epoch + 1, c->epoch_what);
    else if (c->step_differs && c->epochs > 0)
        printf("  no whole epoch differs yet\n");
    if (c->epoch_differs)
        printf("  largest difference of validation error: %.2f points, epoch %" PRIu64 "\n",
               c->largest_error_difference, c->largest_error_epoch + 1);
    if (c->identical && c->epochs > 0)
        printf("  weights after epoch %" PRIu64 ": %s\n", c->epochs, first->metrics[c->epochs - 1].weights_sha256);
}

static json_t *to_json(const struct record *first, const struct record *second, const struct comparison *c)
{
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:I, s:I}", "first", first->path, "second", second->path,
                  "verdict", verdict(c), "identical", c->identical, "same_experiment", c->same_experiment,
                  "same_arithmetic", c->same_arithmetic, "same_validation_images", c->same_validation,
                  "epochs_compared", (json_int_t)c->epochs, "steps_compared", (json_int_t)c->steps);
    if (c->step_differs)
        json_object_set_new(json, "first_step",
                            json_pack("{s:I, s:I, s:s}", "step", (json_int_t)c->step, "epoch",
                                      (json_int_t)c->epoch_of_step, "what", c->step_what));
    if (c->epoch_differs)
        json_object_set_new(json, "first_epoch",
                            json_pack("{s:I, s:s}", "epoch", (json_int_t)c->epoch, "what", c->epoch_what));
    json_object_set_new(json, "largest_validation_error_difference", json_real(c->largest_error_difference));
    return json;
}

static enum status run_compare(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs")),
               *format = arguments_text(arguments, "format");
    const bool json = format != NULL && strcmp(format, "json") == 0;
    struct record *first = NULL;
    bool identical = true;
    char other_arithmetic[2 * FILE_PATH_BYTES + 96] = "";
    json_t *list = json ? json_array() : NULL;
    enum status status = record_open(&first, runs, arguments->operands[0], error);
    for (size_t i = 1; status == STATUS_OK && i < arguments->operand_count; i++) {
        struct record *other = NULL;
        struct comparison comparison;
        status = record_open(&other, runs, arguments->operands[i], error);
        if (status != STATUS_OK)
            break;
        compare_records(first, other, &comparison);
        identical = identical && (comparison.identical || comparison.incomplete);
        if (!comparison.same_arithmetic && status == STATUS_OK)
            snprintf(other_arithmetic, sizeof other_arithmetic, "%s (%s) is not comparable with %s (%s)", other->path,
                     other->facts.arithmetic, first->path, first->facts.arithmetic);
        if (json)
            json_array_append_new(list, to_json(first, other, &comparison));
        else
            print_text(first, other, &comparison);
        record_close(other);
    }
    if (status == STATUS_OK && json)
        status = json_print(json_incref(list), error);
    json_decref(list);
    record_close(first);
    if (status == STATUS_OK && other_arithmetic[0] != '\0')
        return error_set(error, STATUS_INPUT,
                         "%s: only bits of one arithmetic can be compared; selfsame targets compares the results",
                         other_arithmetic);
    return status == STATUS_OK && !identical ? STATUS_NO : status;
}

static const struct option_definition options[] = {
    OPTION_RUNS,
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|json",
      "text or json; steps and epochs count from 1 in text, from 0 in json; default: text" },
    OPTIONS_END,
};

const struct command compare_command = {
    .name = "compare",
    .operands = "RUN RUN...",
    .summary = "say whether runs are identical, or where they begin to differ",
    .options = options,
    .description =
        "Compares the first run with each of the others. It needs only their records. It compares the loss and "
        "weights digest of every step, and the losses, errors and weights of every epoch. It does not compare times. "
        "It compares losses and errors on validation images only if these images are the same.\n\nIf two runs differ "
        "in length, they are compared as far as both go. If nothing differs there, the answer is incomplete.\n\nA "
        "RUN is a run's folder, its name in the runs folder, or published/... for a run that comes with the program. "
        "The exit status is 0 if the runs are identical or incomplete, and 1 if they are different. It is 2 if a "
        "record is damaged or contradicts itself, or if the runs are in different arithmetics.",
    .examples =
        "selfsame compare quick-resnet20-seed1 published/quick/quick-resnet20-seed1\tdid I get the published bits?\n",
    .operands_min = 2,
    .operands_max = SIZE_MAX,
    .run = run_compare,
};
