/* selfsame help: explains commands, and writes the manual pages and completions. */
#include <stdio.h>
#include <string.h>

#include "base/build_info.h"
#include "base/text.h"
#include "commands/all.h"
#include "commands/schema_help.h"
#include "experiments/manifest_names.h"
#include "experiments/settings_places.h"
#include "results/record.h"

/* One word a line, for the completions. What cannot be read has none. */
static void print_words(const char *what)
{
    struct names names;
    struct error ignored;
    char **runs;
    size_t count;
    if (strcmp(what, "commands") == 0) {
        for (const struct command *const *command = all_commands; *command != NULL; command++)
            puts((*command)->name);
    } else if (strcmp(what, "manifests") == 0 && settings_names(&names, &ignored) == STATUS_OK) {
        for (size_t i = 0; i < names.count; i++)
            puts(names.list[i]);
        names_free(&names);
    } else if (strcmp(what, "runs") == 0 &&
               record_list(record_runs_folder(NULL), &runs, &count, &ignored) == STATUS_OK) {
        for (size_t i = 0; i < count; i++)
            text_line(stdout, "%s", runs[i]);
        record_list_free(runs, count);
    }
}

static enum status run_help(const struct arguments *arguments, struct error *error)
{
    const char *shell = arguments_text(arguments, "completion");
    if (shell != NULL) {
        (void)program_print_completion(stdout, all_commands, shell);
        return STATUS_OK;
    }
    if (arguments_text(arguments, "words") != NULL) {
        print_words(arguments_text(arguments, "words"));
        return STATUS_OK;
    }
    bool man = arguments_flag(arguments, "man");
    if (arguments->operand_count == 0) {
        if (man)
            program_print_man(stdout, all_commands, build_version);
        else
            program_print_help(stdout, all_commands);
        return STATUS_OK;
    }
    if (man && strcmp(arguments->operands[0], "manifest.5") == 0) {
        schema_print_man(stdout, build_version);
        return STATUS_OK;
    }
    const struct command *command = command_find(arguments->operands[0]);
    if (command == NULL)
        return command_unknown(arguments->operands[0], error);
    if (man)
        command_print_man(stdout, command, build_version);
    else
        command_print_help(stdout, command);
    return STATUS_OK;
}

static const struct option_definition help_options[] = {
    { "man", NULL, OPTION_FLAG, 0, 0, NULL,
      "print the source of the manual page, as in: selfsame help --man train | man -l -" },
    { "completion", "SHELL", OPTION_CHOICE, 0, 0, "bash|zsh|fish", "print completions for bash, zsh or fish" },
    { "words", "WHAT", OPTION_CHOICE, 0, 0, "commands|manifests|runs",
      "print the words that the completions offer: commands, the manifests that come with the program, or the runs" },
    OPTIONS_END,
};

const struct command help_command = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "explain a command, or list them all",
    .options = help_options,
    .description = "Prints the help of a command, or the list of commands. The build makes the manual pages and shell "
                   "completions with it.",
    .examples = "selfsame help train\tthe same as selfsame train --help\n"
                "selfsame help --completion bash > ~/.local/share/bash-completion/completions/selfsame\tcompletions "
                "for this user\n",
    .operands_min = 0,
    .operands_max = 1,
    .run = run_help,
};
