/* Help, manual pages and completions: everything that is printed from the commands' tables. */
#include <ctype.h>
#include <string.h>

#include "base/build_info.h"
#include "trainer/recipe.h"

#include "commands/command.h"

enum { HELP_WIDTH = 90, OPTION_COLUMN = 22 };

static const struct option_definition help_option = {
    "help", NULL, OPTION_FLAG, 0, 0, NULL, "print this help and exit"
};

/* Prints words up to the width; later lines are indented. An empty line in the text starts a paragraph. */
static void print_wrapped(FILE *file, const char *text, int indent, int column)
{
    while (*text != '\0') {
        if (text[0] == '\n') {
            fprintf(file, "\n%*s", indent, "");
            column = indent;
            text++;
            continue;
        }
        int length = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + length > HELP_WIDTH) {
            fprintf(file, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', file);
            column++;
        }
        fprintf(file, "%.*s", length, text);
        column += length;
        text += length + (text[length] == ' ');
    }
    fputc('\n', file);
}

static void print_option_help(FILE *file, const struct option_definition *option)
{
    int used = fprintf(file, "  --%s%s%s", option->name, option->argument != NULL ? " " : "",
                       option->argument != NULL ? option->argument : "");
    if (used >= OPTION_COLUMN)
        fprintf(file, "\n%*s", OPTION_COLUMN, "");
    else
        fprintf(file, "%*s", OPTION_COLUMN - used, "");
    print_wrapped(file, option->help, OPTION_COLUMN, OPTION_COLUMN);
}

void command_print_help(FILE *file, const struct command *command)
{
    fprintf(file, "usage: selfsame %s%s%s%s\n\n", command->name, command->options[0].name != NULL ? " [OPTION]..." : "",
            command->operands[0] != '\0' ? " " : "", command->operands);
    print_wrapped(file, command->description, 0, 0);
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

void program_print_help(FILE *file, const struct command *const *commands)
{
    fprintf(file, "usage: selfsame COMMAND [OPTION]... [OPERAND]...\n\n"
                  "Reproduces the CIFAR-10 residual networks from experiment manifests: the same manifest\n"
                  "gives the same bits on any machine.\n\nCommands:\n");
    for (; *commands != NULL; commands++)
        fprintf(file, "  %-10s %s\n", (*commands)->name, (*commands)->summary);
    fprintf(file, "\n  selfsame COMMAND --help    the command's options\n"
                  "  selfsame --version         version, compiler and configuration\n\n"
                  "Exit status: 0 done; 1 the answer is no (differs, target missed, run not finite); 2 bad\n"
                  "input or usage; 3 the environment lacks something; 130 interrupted, and resumable.\n");
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

static void print_roff_string(FILE *file, const char *text)
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
    print_roff_string(file, option->name);
    if (option->argument != NULL)
        fprintf(file, " \\fI%s\\fR", option->argument);
    fputc('\n', file);
    print_roff_string(file, option->help);
    fputs(".\n", file);
}

static void print_man_head(FILE *file, const char *name, const char *version, const char *summary)
{
    fputs(".TH \"", file);
    print_roff_upper(file, name);
    fprintf(file, "\" \"1\" \"\" \"selfsame %s\" \"User Commands\"\n.SH NAME\n", version);
    print_roff_string(file, name);
    fputs(" \\- ", file);
    print_roff_string(file, summary);
    fputc('\n', file);
}

static const char exit_statuses[] =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\ndone, or the answer is yes\n"
    ".TP\n.B 1\nthe answer is no: runs differ, a target is missed, a run became non-finite\n"
    ".TP\n.B 2\nbad manifest, data, weights, checkpoint or usage\n"
    ".TP\n.B 3\nthe environment lacks something: disk, permission, lock, program, processor feature\n"
    ".TP\n.B 130\ninterrupted by SIGINT or SIGTERM, and resumable\n";

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
    print_roff_string(file, command->description);
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
    fputs(
        ".SH SYNOPSIS\n.B selfsame\n\\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIOPERAND\\fR]...\n.SH DESCRIPTION\n"
        "Trains the residual networks of depth 6n+2 on CIFAR\\-10 from experiment manifests. The arithmetic itself is "
        "specified, so that the same\n"
        "manifest gives the same weights, bit for bit, on any machine and with any number of threads.\n.SH COMMANDS\n",
        file);
    for (const struct command *const *command = commands; *command != NULL; command++) {
        fprintf(file, ".TP\n.BR selfsame\\-%s (1)\n", (*command)->name);
        print_roff_string(file, (*command)->summary);
        fputc('\n', file);
    }
    fputs(exit_statuses, file);
    fputs(".SH ENVIRONMENT\n.TP\n.B SELFSAME_RUNS\nthe runs folder, where \\-\\-runs is not given\n"
          ".TP\n.B SELFSAME_ISA\nthe instruction set, where \\-\\-isa is not given\n"
          ".TP\n.B SELFSAME_EXPERIMENTS\nthe folder of manifests that inherit: falls back to\n"
          ".TP\n.B SELFSAME_PLOTS\nthe folder of the plot scripts\n",
          file);
}

/* ---- completions ------------------------------------------------------------------------------------------------- */

static void print_bash(FILE *file, const struct command *const *commands)
{
    fputs("# bash completion for selfsame; generated from its command tables\n_selfsame()\n{\n    local "
          "word=\"${COMP_WORDS[COMP_CWORD]}\" options=\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"",
          file);
    for (const struct command *const *command = commands; *command != NULL; command++)
        fprintf(file, "%s ", (*command)->name);
    fputs("--help --version\" -- \"$word\"))\n        return\n    fi\n    case \"${COMP_WORDS[1]}\" in\n", file);
    for (; *commands != NULL; commands++) {
        fprintf(file, "    %s) options=\"", (*commands)->name);
        for (const struct option_definition *option = (*commands)->options; option->name != NULL; option++)
            fprintf(file, "--%s ", option->name);
        fputs("--help\" ;;\n", file);
    }
    fputs(
        "    esac\n    case \"$word\" in\n    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
        "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\ncomplete -o filenames -F _selfsame selfsame\n",
        file);
}

/* Text inside single quotes of a shell, and without what zsh's _arguments gives a meaning. */
static void print_quoted(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", file);
        else if (*text == '[' || *text == ']' || *text == ':')
            fprintf(file, "\\%c", *text);
        else
            fputc(*text, file);
    }
}

static void print_zsh(FILE *file, const struct command *const *commands)
{
    fputs("#compdef selfsame\n# generated from selfsame's command tables\n_selfsame() {\n    local -a commands\n    "
          "commands=(\n",
          file);
    for (const struct command *const *command = commands; *command != NULL; command++) {
        fprintf(file, "        '%s:", (*command)->name);
        print_quoted(file, (*command)->summary);
        fputs("'\n", file);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n    "
          "case $words[2] in\n",
          file);
    for (; *commands != NULL; commands++) {
        fprintf(file, "    %s) _arguments", (*commands)->name);
        for (const struct option_definition *option = (*commands)->options; option->name != NULL; option++) {
            fprintf(file, " \\\n        '--%s[", option->name);
            print_quoted(file, option->help);
            fprintf(file, "]%s%s%s'", option->argument != NULL ? ":" : "",
                    option->argument != NULL ? option->argument : "",
                    option->argument == NULL                                                        ? ""
                    : strcmp(option->argument, "DIR") == 0 || strcmp(option->argument, "FILE") == 0 ? ":_files"
                                                                                                    : ": ");
        }
        fputs(" \\\n        '*:file:_files' ;;\n", file);
    }
    fputs("    esac\n}\n_selfsame \"$@\"\n", file);
}

static void print_fish(FILE *file, const struct command *const *commands)
{
    fputs("# fish completion for selfsame; generated from its command tables\n", file);
    for (; *commands != NULL; commands++) {
        fprintf(file, "complete -c selfsame -n __fish_use_subcommand -a %s -d '", (*commands)->name);
        print_quoted(file, (*commands)->summary);
        fputs("'\n", file);
        for (const struct option_definition *option = (*commands)->options; option->name != NULL; option++) {
            fprintf(file, "complete -c selfsame -n '__fish_seen_subcommand_from %s' -l %s%s -d '", (*commands)->name,
                    option->name, option->argument != NULL ? " -r" : "");
            print_quoted(file, option->help);
            fputs("'\n", file);
        }
    }
}

bool program_print_completion(FILE *file, const struct command *const *commands, const char *shell)
{
    static const struct {
        const char *shell;
        void (*print)(FILE *file, const struct command *const *commands);
    } shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shell, shells[i].shell) == 0) {
            shells[i].print(file, commands);
            return true;
        }
    }
    return false;
}

void program_print_version(FILE *file)
{
    fprintf(file, "selfsame %s, arithmetic %s and %s\ncompiler   %s\nflags      %s\nconfigured %s\n", build_version,
            arithmetic_version(ARITHMETIC_EXACT_1), arithmetic_version(ARITHMETIC_EXACT_2), build_compiler, build_flags,
            build_configure[0] != '\0' ? build_configure : "with defaults");
}
