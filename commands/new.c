/* selfsame new: writes a manifest, with comments that teach, from options and a few questions. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "commands/command.h"
#include "experiments/manifest.h"
#include "experiments/settings_places.h"

enum { ANSWER_BYTES = 128, TEXT_BYTES = 16384 };

/* What the manifest will say; "" where nobody said it. */
struct answers {
    char recipe[ANSWER_BYTES], depth[ANSWER_BYTES], seeds[ANSWER_BYTES], epochs[ANSWER_BYTES];
    const char *name, *arithmetic;
};

struct text {
    char bytes[TEXT_BYTES];
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int bytes = vsnprintf(text->bytes + text->used, TEXT_BYTES - text->used, format, arguments);
    va_end(arguments);
    text->used += (size_t)bytes < TEXT_BYTES - text->used ? (size_t)bytes : TEXT_BYTES - text->used - 1;
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static bool may_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* Fills an answer that no option gave. An empty line means the default. */
static enum status ask(char answer[ANSWER_BYTES], const char *question, const char *fallback, struct error *error)
{
    if (answer[0] != '\0')
        return STATUS_OK;
    fprintf(stderr, "%s [%s] ", question, fallback);
    if (fgets(answer, ANSWER_BYTES, stdin) == NULL)
        return error_set(error, STATUS_INPUT, "the input ended before all questions were answered");
    answer[strcspn(answer, "\n")] = '\0';
    if (answer[0] == '\0')
        snprintf(answer, ANSWER_BYTES, "%s", fallback);
    return STATUS_OK;
}

static enum status complete(struct answers *answers, struct error *error)
{
    if (!may_ask()) {
        if (answers->recipe[0] == '\0' || answers->depth[0] == '\0')
            return error_set(error, STATUS_INPUT, "needs %s, because there is no terminal to ask on",
                             answers->recipe[0] != '\0'  ? "--depth"
                             : answers->depth[0] != '\0' ? "--recipe"
                                                         : "--recipe and --depth");
        if (answers->seeds[0] == '\0')
            snprintf(answers->seeds, sizeof answers->seeds, "1");
        return STATUS_OK;
    }
    enum status status =
        ask(answers->recipe, "Which recipe: msra, paper, akamaster, or quick (minutes, no download)?", "msra", error);
    if (status == STATUS_OK)
        status = ask(answers->depth, "How deep, 6n+2?", "20", error);
    if (status == STATUS_OK)
        status = ask(answers->seeds, "Which seeds, separated by commas? Each is a run.", "1", error);
    return status;
}

/* ---- the manifest ------------------------------------------------------------------------------------------------ */

/* Commas, blanks and digits only: the reader of manifests says what else is wrong. */
static enum status check_seeds(const char *seeds, struct error *error)
{
    if (seeds[strspn(seeds, "0123456789, ")] == '\0' && strpbrk(seeds, "0123456789") != NULL)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT, "the seeds '%s' are not numbers separated by commas", seeds);
}

/* The recipe's manifest of that depth, if it has one and the length of the training stays as it is; else its base. */
static enum status find_parent(const struct answers *answers, char path[FILE_PATH_BYTES], bool *whole,
                               struct manifest *parent, struct error *error)
{
    struct names names;
    enum status status = settings_names(&names, error);
    if (status != STATUS_OK)
        return status;
    bool known = false, there = true;
    *whole = false;
    status = file_path(path, error, "%s/resnet%s.yaml", answers->recipe, answers->depth);
    for (size_t i = 0; i < names.count; i++) {
        known = known || (strncmp(names.list[i], answers->recipe, strlen(answers->recipe)) == 0 &&
                          strcmp(names.list[i] + strlen(answers->recipe), "/base.yaml") == 0);
        *whole = *whole || strcmp(names.list[i], path) == 0;
    }
    names_free(&names);
    if (status == STATUS_OK && !known)
        return error_set(error, STATUS_INPUT,
                         "there is no recipe '%s'; selfsame experiments lists the manifests, and a recipe is a folder "
                         "of them with a base.yaml",
                         answers->recipe);
    if (status == STATUS_OK && *whole)
        status = manifest_read_installed(path, parent, &there, error);
    *whole = *whole && there;
    if (status == STATUS_OK && !(*whole && answers->epochs[0] == '\0'))
        status = file_path(path, error, "%s/base.yaml", answers->recipe);
    return status;
}

static void add_schedule(struct text *text, const struct answers *answers, const struct manifest *parent)
{
    const uint64_t epochs = strtoull(answers->epochs, NULL, 10);
    add(text, "  # An epoch is a pass over the training images.\n  epochs: %s\n", answers->epochs);
    if (epochs >= 4)
        add(text,
            "  # The learning rate drops to a tenth after a half and after three quarters, as in the recipe.\n"
            "  schedule:\n    drop_epochs: [%" PRIu64 ", %" PRIu64 "]\n",
            epochs / 2, epochs * 3 / 4);
    else
        add(text, "  # Too short for the learning rate to drop.\n  schedule:\n    drop_epochs: []\n");
    const struct schedule_config *schedule = parent != NULL ? &parent->recipe.training.schedule : NULL;
    if (schedule != NULL && schedule->warmup_length > 0)
        add(text,
            "    # A deep network starts with a lower rate.\n    warmup: {learning_rate: %.9g, %s: %" PRIu64 "}\n",
            schedule->warmup_learning_rate, schedule->warmup_unit == UNIT_EPOCH ? "epochs" : "steps",
            schedule->warmup_length);
}

static enum status write_text(const struct answers *answers, const char *file, struct text *text, struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct manifest parent;
    bool whole;
    enum status status = find_parent(answers, path, &whole, &parent, error);
    if (status != STATUS_OK)
        return status;
    const bool shortened = answers->epochs[0] != '\0';
    add(text,
        "# Written by selfsame new. A manifest is all that a run depends on.\n"
        "#   selfsame manifest %s      shows every setting, the inherited ones and the defaults, too\n"
        "#   selfsame manifest --schema      explains every key\n"
        "#   selfsame train %s      trains it\n\n",
        file, file);
    add(text,
        "# Everything that this file does not say comes from here. What it says replaces that, key by key.\n"
        "inherit: %s\n\n",
        path);
    add(text,
        "# A run is named after this and its seed: %s-seed1.\n"
        "name: %s\n"
        "description: ResNet-%s, the recipe %s%s%s%s\n\n",
        answers->name, answers->name, answers->depth, answers->recipe, shortened ? ", " : "", answers->epochs,
        shortened ? " epochs" : "");
    add(text, "model:\n  # 6n+2: three stages of n blocks with two convolutions each.\n  depth: %s\n\n",
        answers->depth);
    add(text, "training:\n");
    if (shortened)
        add_schedule(text, answers, whole ? &parent : NULL);
    add(text,
        "  # Everything random follows from the seed: the first weights, the order of the images, crops, flips.\n"
        "  # Each seed is a run. One seed gives the same bits on every machine.\n"
        "  seeds: [%s]\n\n",
        answers->seeds);
    add(text,
        "# exact-1 and exact-2 are specified to the last bit. exact-2 is faster on a CPU; their bits differ.\n"
        "arithmetic: %s\n",
        answers->arithmetic != NULL ? answers->arithmetic : "exact-1");
    if (shortened || !whole)
        add(text,
            "\n# Published results of this very training, to judge the runs by: selfsame targets. For example:\n"
            "#   - {metric: final_error, value: 8.29, tolerance: 0.6, source: where it was published}\n"
            "# n, sd and protocol say what is known about its spread. State them before you train: they are part of "
            "the\n# record, and cannot be moved afterwards.\ntargets: []\n");
    else
        add(text,
            "\n# The published results to judge the runs by (selfsame targets) are inherited. A list of your own\n"
            "# replaces them:\n"
            "# targets:\n"
            "#   - {metric: final_error, value: 8.29, tolerance: 0.6, source: where it was published}\n");
    if (whole)
        manifest_free(&parent);
    return STATUS_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/* "my.yaml" of "folder/my.yaml" is called my. */
static enum status name_of(const char *file, char name[ANSWER_BYTES], struct error *error)
{
    const char *slash = strrchr(file, '/'), *base = slash != NULL ? slash + 1 : file, *end = strrchr(base, '.');
    const size_t length = end != NULL && end > base ? (size_t)(end - base) : strlen(base);
    if (length >= ANSWER_BYTES)
        return error_set(error, STATUS_INPUT, "the name of %s is too long; give a --name", file);
    snprintf(name, ANSWER_BYTES, "%.*s", (int)length, base);
    return STATUS_OK;
}

static enum status copy_option(const struct arguments *arguments, const char *option, char answer[ANSWER_BYTES],
                               struct error *error)
{
    const char *text = arguments_text(arguments, option);
    if (text != NULL && strlen(text) >= ANSWER_BYTES)
        return error_set(error, STATUS_INPUT, "--%s is too long", option);
    snprintf(answer, ANSWER_BYTES, "%s", text != NULL ? text : "");
    return STATUS_OK;
}

static enum status run_new(const struct arguments *arguments, struct error *error)
{
    const char *file = arguments->operands[0];
    struct answers answers = { .name = arguments_text(arguments, "name"),
                               .arithmetic = arguments_text(arguments, "arithmetic") };
    struct text text = { .used = 0 };
    struct manifest manifest;
    char name[ANSWER_BYTES];
    enum status status = arguments_may_write(arguments, file, error);
    if (status == STATUS_OK && answers.name == NULL) {
        status = name_of(file, name, error);
        answers.name = name;
    }
    if (status == STATUS_OK)
        status = copy_option(arguments, "recipe", answers.recipe, error);
    if (status == STATUS_OK)
        status = copy_option(arguments, "seeds", answers.seeds, error);
    if (status != STATUS_OK)
        return status;
    if (arguments_text(arguments, "depth") != NULL)
        snprintf(answers.depth, sizeof answers.depth, "%" PRIu64, arguments_integer(arguments, "depth", 0));
    if (arguments_text(arguments, "epochs") != NULL)
        snprintf(answers.epochs, sizeof answers.epochs, "%" PRIu64, arguments_integer(arguments, "epochs", 0));
    status = complete(&answers, error);
    if (status == STATUS_OK)
        status = check_seeds(answers.seeds, error);
    if (status == STATUS_OK)
        status = write_text(&answers, file, &text, error);
    /* What cannot be read is not written. */
    if (status == STATUS_OK)
        status = manifest_read_text(text.bytes, text.used, file, &manifest, error);
    if (status != STATUS_OK)
        return status;
    manifest_free(&manifest);
    status = file_write(file, text.bytes, text.used, error);
    if (status == STATUS_OK)
        text_fact(stdout, 2, "written: %s; selfsame train %s trains it", file, file);
    return status;
}

static const struct option_definition options[] = {
    { "recipe", "NAME", OPTION_TEXT, 0, 0, "msra|paper|akamaster|quick",
      "whose recipe: msra (the replication of 2016), paper, akamaster, quick (on data that the program draws, in "
      "minutes), or another folder of the experiments folder with a base.yaml" },
    { "depth", "N", OPTION_INTEGER, 8, 10000, NULL, "depth of the network, 6n+2" },
    { "seeds", "LIST", OPTION_TEXT, 0, 0, NULL, "seeds, separated by commas; each is a run; default: 1" },
    { "epochs", "N", OPTION_INTEGER, 1, 1000000, NULL,
      "another length of the training; the learning rate drops after a half and three quarters of it; default: the "
      "recipe's" },
    { "name", "NAME", OPTION_TEXT, 0, 0, NULL, "the experiment's name; default: the file's, without .yaml" },
    OPTION_ARITHMETIC,
    OPTION_FORCE,
    OPTIONS_END,
};

const struct command new_command = {
    .name = "new",
    .operands = "FILE",
    .summary = "write a manifest from options, or from a few questions",
    .options = options,
    .description =
        "Writes a manifest that inherits a recipe of the experiments folder. It has comments that explain its keys. On "
        "a terminal, it asks for the recipe, the depth and the seeds that no option gives. Without one, it needs "
        "--recipe and --depth.\n\n"
        "If the recipe has a manifest of that depth, its targets are inherited. With another depth or --epochs there "
        "are none, because nobody published a result of that training.\n\n"
        "The manifest is read and checked before it is written.",
    .examples = "selfsame new mine.yaml\task on the terminal\n"
                "selfsame new mine.yaml --recipe quick --depth 20 --seeds 1,2,3\tthree seeds, in minutes\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_new,
};
