/* main(): finds the command in its table, runs it, prints its error, and turns its status into an exit status. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/float_environment.h"
#include "base/machine.h"
#include "base/text.h"
#include "commands/all.h"

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
        program_print_help(stderr, all_commands);
        return error_set(error, STATUS_INPUT, "needs a command");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        program_print_help(stdout, all_commands);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        program_print_version(stdout);
        return STATUS_OK;
    }
    const struct command *command = command_find(argv[1]);
    if (command == NULL)
        return command_unknown(argv[1], error);
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
    signal(SIGCHLD, SIG_DFL); /* a parent that ignored it would have our children end without a word */
    enum status status = machine_check_stack(&error);
    if (status == STATUS_OK)
        status = run(argc, argv, &said_by, &error);
    struct error flush_error;
    enum status flushed = output_flush(&flush_error);
    if (flushed != STATUS_OK && (status == STATUS_OK || status == STATUS_NO)) {
        status = flushed;
        error = flush_error;
    }
    if (error.message[0] != '\0' && status != STATUS_OK)
        text_line(stderr, "selfsame%s%s: %s", said_by != NULL ? " " : "", said_by != NULL ? said_by : "",
                  error.message);
    return status_exit(status);
}
