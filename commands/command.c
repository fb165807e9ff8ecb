#include "commands/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

static int find_option(const struct command *command, const char *name, size_t length)
{
    for (int i = 0; command->options[i].name != NULL; i++) {
        if (strlen(command->options[i].name) == length && strncmp(command->options[i].name, name, length) == 0)
            return i;
    }
    return -1;
}

static enum status unknown_option(const struct command *command, const char *word, struct error *error)
{
    const char *names[COMMAND_OPTIONS_MAX + 2];
    size_t count = 0, length = strcspn(word, "=");
    for (; command->options[count].name != NULL; count++)
        names[count] = command->options[count].name;
    names[count++] = "help";
    names[count] = NULL;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(length < 60 ? length : 60), word);
    const char *nearest = nearest_word(name + strspn(name, "-"), names);
    if (nearest != NULL)
        return error_set(error, STATUS_INPUT,
                         "unknown option '%s'; did you mean --%s? selfsame %s --help lists the options", name, nearest,
                         command->name);
    return error_set(error, STATUS_INPUT, "unknown option '%s'; selfsame %s --help lists the options", name,
                     command->name);
}

static enum status parse_integer(const struct option_definition *option, const char *value, uint64_t *integer,
                                 struct error *error)
{
    char *end;
    errno = 0;
    *integer = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0')
        return error_set(error, STATUS_INPUT, "--%s %s: not a whole number", option->name, value);
    if (errno != 0 || *integer < option->low || *integer > option->high)
        return error_set(error, STATUS_INPUT, "--%s %s: must be %" PRIu64 " to %" PRIu64, option->name, value,
                         option->low, option->high);
    return STATUS_OK;
}

static enum status check_choice(const struct option_definition *option, const char *value, struct error *error)
{
    size_t length = strlen(value);
    for (const char *choice = option->choices; choice != NULL; choice = strchr(choice, '|')) {
        choice += *choice == '|';
        if (strcspn(choice, "|") == length && strncmp(choice, value, length) == 0)
            return STATUS_OK;
    }
    return error_set(error, STATUS_INPUT, "--%s %s: must be one of %s", option->name, value, option->choices);
}

/* One option, whose value is in the same word after '=' or is *next. *used tells whether *next was taken. */
static enum status parse_option(struct arguments *arguments, const char *word, const char *next, bool *used,
                                struct error *error)
{
    const struct command *command = arguments->command;
    size_t length = strcspn(word + 2, "=");
    int place = strncmp(word, "--", 2) == 0 ? find_option(command, word + 2, length) : -1;
    *used = false;
    if (place < 0)
        return unknown_option(command, word, error);
    const struct option_definition *option = &command->options[place];
    const char *value = word[2 + length] == '=' ? word + 2 + length + 1 : NULL;
    if (option->type == OPTION_FLAG) {
        if (value != NULL)
            return error_set(error, STATUS_INPUT, "--%s takes no value", option->name);
        arguments->texts[place] = option->name;
        return STATUS_OK;
    }
    if (value == NULL && next != NULL) {
        value = next;
        *used = true;
    }
    if (value == NULL || value[0] == '\0')
        return error_set(error, STATUS_INPUT, "--%s needs a value: %s", option->name, option->argument);
    arguments->texts[place] = value;
    if (option->type == OPTION_LIST)
        arguments->list[arguments->list_count++] = value;
    if (option->type == OPTION_INTEGER)
        return parse_integer(option, value, &arguments->integers[place], error);
    return option->type == OPTION_CHOICE ? check_choice(option, value, error) : STATUS_OK;
}

enum status arguments_parse(struct arguments *arguments, const struct command *command, int count, char **words,
                            bool *help, struct error *error)
{
    memset(arguments, 0, sizeof *arguments);
    arguments->command = command;
    *help = false;
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++)
        *help = *help || strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0;
    if (*help)
        return STATUS_OK;
    arguments->operands = calloc((size_t)count + 1, sizeof *arguments->operands);
    arguments->list = calloc((size_t)count + 1, sizeof *arguments->list);
    if (arguments->operands == NULL || arguments->list == NULL)
        return error_out_of_memory(error, "%d arguments", count);
    bool options = true;
    for (int i = 0; i < count; i++) {
        if (options && strcmp(words[i], "--") == 0) {
            options = false;
            arguments->before_dashes = arguments->operand_count;
        } else if (options && words[i][0] == '-' && words[i][1] != '\0') {
            bool used;
            enum status status = parse_option(arguments, words[i], i + 1 < count ? words[i + 1] : NULL, &used, error);
            if (status != STATUS_OK)
                return status;
            i += used;
        } else {
            arguments->operands[arguments->operand_count++] = words[i];
        }
    }
    if (options)
        arguments->before_dashes = arguments->operand_count;
    if (arguments->operand_count < command->operands_min)
        return error_set(error, STATUS_INPUT, "needs %s; selfsame %s --help says more", command->operands,
                         command->name);
    if (arguments->operand_count > command->operands_max)
        return error_set(error, STATUS_INPUT, "has no use for '%s'; selfsame %s --help says what it takes",
                         arguments->operands[command->operands_max], command->name);
    return STATUS_OK;
}

void arguments_free(struct arguments *arguments)
{
    free(arguments->operands);
    free(arguments->list);
    arguments->operands = arguments->list = NULL;
}

/* The place of an option that the command's table has: asking for another is a bug here. */
static int place_of(const struct arguments *arguments, const char *option)
{
    int place = find_option(arguments->command, option, strlen(option));
    if (place < 0)
        abort();
    return place;
}

const char *arguments_text(const struct arguments *arguments, const char *option)
{
    return arguments->texts[place_of(arguments, option)];
}

const char *const *arguments_list(const struct arguments *arguments, const char *option)
{
    (void)place_of(arguments, option);
    return arguments->list;
}

bool arguments_flag(const struct arguments *arguments, const char *option)
{
    return arguments->texts[place_of(arguments, option)] != NULL;
}

enum status arguments_may_write(const struct arguments *arguments, const char *path, struct error *error)
{
    if (!file_exists(path) || arguments_flag(arguments, "force"))
        return STATUS_OK;
    return error_set(error, STATUS_INPUT, "%s exists: give another name, or --force to replace it", path);
}

enum arithmetic arguments_arithmetic(const struct arguments *arguments, enum arithmetic fallback)
{
    const char *text = arguments_text(arguments, "arithmetic");
    if (text == NULL)
        return fallback;
    for (int i = 0; i < ARITHMETIC_COUNT; i++)
        if (strcmp(arithmetic_version((enum arithmetic)i), text) == 0)
            return (enum arithmetic)i;
    return ARITHMETIC_EXACT_1; /* "exact" */
}

uint64_t arguments_integer(const struct arguments *arguments, const char *option, uint64_t fallback)
{
    int place = place_of(arguments, option);
    return arguments->texts[place] == NULL ? fallback : arguments->integers[place];
}

static bool is_among(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0)
            return true;
    }
    return false;
}

static void write_option(FILE *file, const struct option_definition *option, const char *value)
{
    fprintf(file, " --%s", option->name);
    if (option->type == OPTION_FLAG)
        return;
    fputc(' ', file);
    text_write_word(file, value);
}

void arguments_write_words(FILE *file, const struct arguments *arguments, const char *const *without)
{
    for (size_t i = 0; i < arguments->before_dashes; i++) {
        fputc(' ', file);
        text_write_word(file, arguments->operands[i]);
    }
    for (size_t i = 0; arguments->command->options[i].name != NULL; i++) {
        const struct option_definition *option = &arguments->command->options[i];
        if (arguments->texts[i] == NULL || is_among(option->name, without))
            continue;
        if (option->type != OPTION_LIST)
            write_option(file, option, arguments->texts[i]);
        for (size_t j = 0; option->type == OPTION_LIST && j < arguments->list_count; j++)
            write_option(file, option, arguments->list[j]);
    }
}

void arguments_write_line(FILE *file, const struct arguments *arguments, const char *const *without, const char *also)
{
    text_write_word(file, program_invocation_name);
    fprintf(file, " %s", arguments->command->name);
    arguments_write_words(file, arguments, without);
    if (also != NULL)
        fprintf(file, " --%s", also);
    if (arguments->before_dashes < arguments->operand_count)
        fputs(" --", file);
    for (size_t i = arguments->before_dashes; i < arguments->operand_count; i++) {
        fputc(' ', file);
        text_write_word(file, arguments->operands[i]);
    }
}

enum status output_flush(struct error *error)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return STATUS_OK;
    if (errno == 0)
        return error_set(error, STATUS_ENVIRONMENT, "standard output could not be written");
    return error_set_errno(error, STATUS_ENVIRONMENT, "standard output could not be written");
}
