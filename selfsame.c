/* selfsame: looks the subcommand up in one table and calls it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/build_info.h"
#include "base/float_environment.h"
#include "base/machine.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/schema_help.h"
#include "experiments/names.h"
#include "experiments/settings.h"
#include "results/record.h"

extern const struct command fetch_command, train_command, eval_command, runs_command, check_command, compare_command,
    targets_command, plot_command, bench_command, doctor_command, manifest_command, inspect_command, convert_command,
    status_command, table_command;
static const struct command help_command;

static const struct command *const commands[] = {
    &fetch_command,    &train_command,   &eval_command,    &runs_command, &check_command, &status_command,
    &compare_command,  &targets_command, &table_command,   &plot_command, &bench_command, &doctor_command,
    &manifest_command, &inspect_command, &convert_command, &help_command, NULL,
};

static const struct command *find_command(const char *name)
{
    for (const struct command *const *command = commands; *command != NULL; command++) {
        if (strcmp((*command)->name, name) == 0)
            return *command;
    }
    return NULL;
}

static enum status unknown_command(const char *name, struct error *error)
{
    const char *names[sizeof commands / sizeof *commands];
    size_t count = 0;
    for (; commands[count] != NULL; count++)
        names[count] = commands[count]->name;
    names[count] = NULL;
    const char *nearest = nearest_word(name, names);
    return error_set(error, STATUS_INPUT, "there is no command '%s'%s%s%s; selfsame --help lists them", name,
                     nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? "'?" : "");
}

/* One word a line, for the completions. What cannot be read has none. */
static void print_words(const char *what)
{
    struct names names;
    struct error ignored;
    char **runs;
    size_t count;
    if (strcmp(what, "commands") == 0) {
        for (const struct command *const *command = commands; *command != NULL; command++)
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
        (void)program_print_completion(stdout, commands, shell);
        return STATUS_OK;
    }
    if (arguments_text(arguments, "words") != NULL) {
        print_words(arguments_text(arguments, "words"));
        return STATUS_OK;
    }
    bool man = arguments_flag(arguments, "man");
    if (arguments->operand_count == 0) {
        if (man)
            program_print_man(stdout, commands, build_version);
        else
            program_print_help(stdout, commands);
        return STATUS_OK;
    }
    if (man && strcmp(arguments->operands[0], "manifest.5") == 0) {
        schema_print_man(stdout, build_version);
        return STATUS_OK;
    }
    const struct command *command = find_command(arguments->operands[0]);
    if (command == NULL)
        return unknown_command(arguments->operands[0], error);
    if (man)
        command_print_man(stdout, command, build_version);
    else
        command_print_help(stdout, command);
    return STATUS_OK;
}

static const struct option_definition help_options[] = {
    { "man", NULL, OPTION_FLAG, 0, 0, NULL,
      "print the manual page's source instead: selfsame help --man train | man -l -" },
    { "completion", "SHELL", OPTION_CHOICE, 0, 0, "bash|zsh|fish", "print completions for bash, zsh or fish" },
    { "words", "WHAT", OPTION_CHOICE, 0, 0, "commands|manifests|runs",
      "print the words that the completions offer: commands, the manifests that come with the program, or the runs" },
    OPTIONS_END,
};

static const struct command help_command = {
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

/* Standard output counts as written only when the last of it has reached the system. */
static enum status flush_output(struct error *error)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return STATUS_OK;
    if (errno == 0)
        return error_set(error, STATUS_ENVIRONMENT, "standard output could not be written");
    return error_set_errno(error, STATUS_ENVIRONMENT, "standard output could not be written");
}

/* A standard descriptor that is closed would be given to the next file opened, and messages would end up in it. Output
 * that was closed stays an error: what stands in for it cannot be written. */
static void guard_descriptors(void)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) == -1 && open("/dev/null", descriptor == 1 ? O_RDONLY : O_RDWR) != descriptor)
            abort();
    }
}

static enum status run_command(const struct command *command, int count, char **words, struct error *error)
{
    struct arguments arguments;
    bool help;
    enum status status = arguments_parse(&arguments, command, count, words, &help, error);
    if (status == STATUS_OK && help)
        command_print_help(stdout, command);
    else if (status == STATUS_OK)
        status = command->run(&arguments, error);
    if (status == STATUS_OK || status == STATUS_NO) {
        struct error changed;
        if (float_environment_check("what was printed", &changed) != STATUS_OK) {
            *error = changed;
            status = changed.status;
        }
    }
    arguments_free(&arguments);
    return status;
}

static enum status run(int argc, char **argv, const char **said_by, struct error *error)
{
    if (argc < 2) {
        program_print_help(stderr, commands);
        return error_set(error, STATUS_INPUT, "needs a command");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        program_print_help(stdout, commands);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        program_print_version(stdout);
        return STATUS_OK;
    }
    const struct command *command = find_command(argv[1]);
    if (command == NULL)
        return unknown_command(argv[1], error);
    *said_by = command->name;
    return run_command(command, argc - 2, argv + 2, error);
}

int main(int argc, char **argv)
{
    struct error error = { STATUS_OK, "" };
    const char *said_by = NULL;
    (void)float_environment_enter(); /* whatever a library's constructor left */
    guard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe and a file that may not grow are errors like any other */
    signal(SIGXFSZ, SIG_IGN);
    enum status status = machine_check_stack(&error);
    if (status == STATUS_OK)
        status = run(argc, argv, &said_by, &error);
    struct error flush_error;
    enum status flushed = flush_output(&flush_error);
    if (flushed != STATUS_OK && (status == STATUS_OK || status == STATUS_NO)) {
        status = flushed;
        error = flush_error;
    }
    if (error.message[0] != '\0' && status != STATUS_OK)
        text_line(stderr, "selfsame%s%s: %s", said_by != NULL ? " " : "", said_by != NULL ? said_by : "",
                  error.message);
    return status_exit(status);
}
