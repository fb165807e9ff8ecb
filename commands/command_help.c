/* Help and manual pages: what is printed from the commands' tables. The completions are in completions.c. */
#include <ctype.h>
#include <string.h>

#include "base/build_info.h"
#include "base/text.h"
#include "trainer/recipe.h"

#include "commands/command.h"

enum { HELP_WIDTH = 80, OPTION_COLUMN = 22, ENVIRONMENT_COLUMN = 27 };

static const struct option_definition help_option = {
    "help", NULL, OPTION_FLAG, 0, 0, NULL, "print this help and exit"
};

static void print_option_help(FILE *file, const struct option_definition *option)
{
    int used = fprintf(file, "  --%s%s%s", option->name, option->argument != NULL ? " " : "",
                       option->argument != NULL ? option->argument : "");
    if (used >= OPTION_COLUMN)
        fprintf(file, "\n%*s", OPTION_COLUMN, "");
    else
        fprintf(file, "%*s", OPTION_COLUMN - used, "");
    text_wrap(file, option->help, OPTION_COLUMN, OPTION_COLUMN, HELP_WIDTH);
}

void command_print_help(FILE *file, const struct command *command)
{
    fprintf(file, "usage: selfsame %s%s%s%s\n\n", command->name, command->options[0].name != NULL ? " [OPTION]..." : "",
            command->operands[0] != '\0' ? " " : "", command->operands);
    text_wrap(file, command->description, 0, 0, HELP_WIDTH);
    fprintf(file, "\nOptions:\n");
    for (const struct option_definition *option = command->options; option->name != NULL; option++)
        print_option_help(file, option);
    print_option_help(file, &help_option);
    if (command->examples == NULL)
        return;
    fprintf(file, "\nExamples:\n");
    for (const char *line = command->examples; *line != '\0';) {
        int shown = (int)strcspn(line, "\t\n");
        fprintf(file, "  %.*s\n", shown, line);
        line += shown;
        if (*line == '\t') {
            int said = (int)strcspn(++line, "\n");
            fprintf(file, "      %.*s\n", said, line);
            line += said;
        }
        line += *line == '\n';
    }
}

/* What the program takes from the environment, in one list for --help and the manual page. */
static const struct {
    const char *name, *meaning;
} environment[] = {
    { "SELFSAME_RUNS", "the runs folder, unless you pass --runs" },
    { "SELFSAME_STORE", "the folder for downloaded files, unless you pass --store" },
    { "XDG_CACHE_HOME", "without SELFSAME_STORE, downloads go to selfsame in this folder; default: ~/.cache" },
    { "SELFSAME_EXPERIMENTS", "the folder that is searched first for manifests" },
    { "SELFSAME_PLOTS", "the folder that is searched first for plot scripts and published curves" },
    { "SELFSAME_ISA", "the instruction set, unless you pass --isa" },
    { "SELFSAME_CUDA_DEVICE", "the number of the card for the engines cuda and cudnn" },
    { "CUDA_VISIBLE_DEVICES", "the cards that CUDA shows to the program" },
    { "SELFSAME_CUDNN_LIBRARY", "the library file of cuDNN, for the engine cudnn" },
    { "SELFSAME_CUBLAS_LIBRARY", "the library file of cuBLAS, for the engine cudnn" },
    { "TMPDIR", "the folder for temporary files of plot; default: /tmp" },
    { "https_proxy, http_proxy, no_proxy", "proxies for fetch, as for curl" },
    { "CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR", "certificates that fetch trusts, unless you pass --cacert" },
};

enum { ENVIRONMENT_COUNT = sizeof environment / sizeof *environment };

void program_print_help(FILE *file, const struct command *const *commands)
{
    fprintf(file, "usage: selfsame COMMAND [OPTION]... [OPERAND]...\n\n"
                  "Reproduces the CIFAR-10 residual networks from experiment manifests: the same\n"
                  "manifest gives the same bits on any machine.\n\n"
                  "Commands:\n");
    for (; *commands != NULL; commands++)
        fprintf(file, "  %-10s %s\n", (*commands)->name, (*commands)->summary);
    fprintf(file, "\n"
                  "  selfsame COMMAND --help    the command's options\n"
                  "  selfsame --version         version, compiler and configuration\n\n"
                  "Environment:\n");
    for (size_t i = 0; i < ENVIRONMENT_COUNT; i++) {
        int used = fprintf(file, "  %s", environment[i].name);
        fprintf(file, used >= ENVIRONMENT_COLUMN ? "\n%*s" : "%*s",
                used >= ENVIRONMENT_COLUMN ? ENVIRONMENT_COLUMN : ENVIRONMENT_COLUMN - used, "");
        text_wrap(file, environment[i].meaning, ENVIRONMENT_COLUMN, ENVIRONMENT_COLUMN, HELP_WIDTH);
    }
    fprintf(file, "\n"
                  "Exit status: 0 done; 1 the answer is no: differs, target missed, not finite;\n"
                  "2 bad input or usage; 3 something is missing here; 130 interrupted, resumable.\n");
}

/* ---- manual pages ------------------------------------------------------------------------------------------------ */

/* roff text: dashes are escaped so that they stay hyphens in commands, and a line must not begin with a control
 * character. */
static void print_roff(FILE *file, const char *text, size_t length)
{
    bool line_start = true;
    for (size_t i = 0; i < length; i++) {
        if (line_start && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", file);
        line_start = text[i] == '\n';
        if (text[i] == '-')
            fputs("\\-", file);
        else if (text[i] == '\\')
            fputs("\\e", file);
        else if (text[i] == '\n' && text[i + 1] == '\n')
            fputs("\n.PP", file);
        else
            fputc(text[i], file);
    }
}

void roff_print(FILE *file, const char *text)
{
    print_roff(file, text, strlen(text));
}

static void print_roff_upper(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        char upper[] = { (char)toupper((unsigned char)*text), '\0' };
        print_roff(file, upper, 1);
    }
}

static void print_man_option(FILE *file, const struct option_definition *option)
{
    fprintf(file, ".TP\n.B \\-\\-");
    roff_print(file, option->name);
    if (option->argument != NULL)
        fprintf(file, " \\fI%s\\fR", option->argument);
    fputc('\n', file);
    roff_print(file, option->help);
    fputs(".\n", file);
}

static void print_man_head(FILE *file, const char *name, const char *version, const char *summary)
{
    fputs(".TH \"", file);
    print_roff_upper(file, name);
    fprintf(file, "\" \"1\" \"\" \"selfsame %s\" \"User Commands\"\n.SH NAME\n", version);
    roff_print(file, name);
    fputs(" \\- ", file);
    roff_print(file, summary);
    fputc('\n', file);
}

static const char exit_statuses[] =
    ".SH EXIT STATUS\n"
    ".TP\n"
    ".B 0\n"
    "done, or the answer is yes\n"
    ".TP\n"
    ".B 1\n"
    "the answer is no: runs differ, a target is missed, a run became non-finite\n"
    ".TP\n"
    ".B 2\n"
    "bad manifest, data, weights, checkpoint or usage\n"
    ".TP\n"
    ".B 3\n"
    "something is missing on this machine: disk space, a permission, a lock, a program, a processor feature\n"
    ".TP\n"
    ".B 130\n"
    "interrupted by SIGINT or SIGTERM, and resumable\n";

void command_print_man(FILE *file, const struct command *command, const char *version)
{
    char name[64];
    snprintf(name, sizeof name, "selfsame-%s", command->name);
    print_man_head(file, name, version, command->summary);
    fprintf(file, ".SH SYNOPSIS\n.B selfsame %s\n", command->name);
    if (command->options[0].name != NULL)
        fputs("[\\fIOPTION\\fR]...\n", file);
    if (command->operands[0] != '\0')
        fprintf(file, "\\fI%s\\fR\n", command->operands);
    fputs(".SH DESCRIPTION\n", file);
    roff_print(file, command->description);
    fputs("\n.SH OPTIONS\n", file);
    for (const struct option_definition *option = command->options; option->name != NULL; option++)
        print_man_option(file, option);
    print_man_option(file, &help_option);
    if (command->examples != NULL) {
        fputs(".SH EXAMPLES\n", file);
        for (const char *line = command->examples; *line != '\0';) {
            size_t shown = strcspn(line, "\t\n");
            fputs(".TP\n.B ", file);
            print_roff(file, line, shown);
            fputc('\n', file);
            line += shown;
            if (*line == '\t') {
                size_t said = strcspn(++line, "\n");
                print_roff(file, line, said);
                line += said;
            }
            fputc('\n', file);
            line += *line == '\n';
        }
    }
    fputs(exit_statuses, file);
    fputs(".SH SEE ALSO\n.BR selfsame (1)\n", file);
}

void program_print_man(FILE *file, const struct command *const *commands, const char *version)
{
    print_man_head(file, "selfsame", version, "reproduce residual networks on CIFAR-10, bit for bit");
    fputs(".SH SYNOPSIS\n"
          ".B selfsame\n"
          "\\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n"
          ".SH DESCRIPTION\n"
          "Trains the residual networks of depth 6n+2 on CIFAR\\-10 from experiment manifests. The arithmetic is "
          "specified to the last bit. So the same\n"
          "manifest gives the same weights, bit for bit, on any machine and with any number of threads.\n"
          ".SH COMMANDS\n",
          file);
    for (const struct command *const *command = commands; *command != NULL; command++) {
        fprintf(file, ".TP\n.BR selfsame\\-%s (1)\n", (*command)->name);
        roff_print(file, (*command)->summary);
        fputc('\n', file);
    }
    fputs(exit_statuses, file);
    fputs(".SH ENVIRONMENT\n", file);
    for (size_t i = 0; i < ENVIRONMENT_COUNT; i++) {
        fputs(".TP\n.B ", file);
        roff_print(file, environment[i].name);
        fputc('\n', file);
        roff_print(file, environment[i].meaning);
        fputc('\n', file);
    }
    fputs(".SH SEE ALSO\n.BR selfsame\\-manifest (5)\n", file);
}

void program_print_version(FILE *file)
{
    fprintf(file, "selfsame %s, arithmetic %s and %s\n", build_version, arithmetic_version(ARITHMETIC_EXACT_1),
            arithmetic_version(ARITHMETIC_EXACT_2));
    text_fact(file, 11, "compiler   %s", build_compiler);
    text_fact(file, 11, "flags      %s", build_flags);
    text_fact(file, 11, "configured %s", build_configure[0] != '\0' ? build_configure : "with defaults");
}
