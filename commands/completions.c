/* Shell completions, from the commands' tables. For names of manifests and runs, they ask the program when you press
 * Tab (selfsame help --words), because manifests and runs come and go. */
#include <string.h>

#include "commands/command.h"

/* What a word on the command line may be, by how the tables call it. */
enum word_kind { WORD_OTHER, WORD_MANIFEST, WORD_RUN, WORD_COMMAND, WORD_FILE, WORD_FOLDER };

static enum word_kind kind_of(const char *called)
{
    static const struct {
        const char *begins;
        enum word_kind kind;
    } kinds[] = { { "MANIFEST", WORD_MANIFEST }, { "RUN", WORD_RUN }, { "COMMAND", WORD_COMMAND },
                  { "FILE", WORD_FILE },         { "IN", WORD_FILE }, { "DIR", WORD_FOLDER } };
    called = called != NULL && called[0] == '[' ? called + 1 : called;
    for (size_t i = 0; called != NULL && i < sizeof kinds / sizeof *kinds; i++) {
        if (strncmp(called, kinds[i].begins, strlen(kinds[i].begins)) == 0)
            return kinds[i].kind;
    }
    return WORD_OTHER;
}

/* An option named COMMAND takes a command line of the shell's, not one of ours. */
static enum word_kind kind_of_option(const struct option_definition *option)
{
    const enum word_kind kind = kind_of(option->argument);
    return kind == WORD_COMMAND ? WORD_OTHER : kind;
}

/* A table's choices, which '|' separates, with blanks. */
static void print_choices(FILE *file, const char *choices)
{
    for (; *choices != '\0'; choices++)
        fputc(*choices == '|' ? ' ' : *choices, file);
}

/* What selfsame help --words calls them; "files" is the shell's own, "" nothing. */
static const char *words_of(enum word_kind kind)
{
    switch (kind) {
    case WORD_MANIFEST:
        return "manifests";
    case WORD_RUN:
        return "runs";
    case WORD_COMMAND:
        return "commands";
    case WORD_FILE:
        return "files";
    default:
        return "";
    }
}

/* ---- bash -------------------------------------------------------------------------------------------------------- */

static void print_bash_option(FILE *file, const struct command *command, const struct option_definition *option)
{
    static const char *const replies[] = { [WORD_OTHER] = "COMPREPLY=()",
                                           [WORD_MANIFEST] = "_selfsame_words manifests",
                                           [WORD_RUN] = "_selfsame_words runs",
                                           [WORD_FILE] = "COMPREPLY=($(compgen -f -- \"$word\"))",
                                           [WORD_FOLDER] = "COMPREPLY=($(compgen -d -- \"$word\"))" };
    if (option->type == OPTION_FLAG)
        return;
    fprintf(file, "    '%s --%s') ", command->name, option->name);
    if (option->choices != NULL) {
        fputs("COMPREPLY=($(compgen -W '", file);
        print_choices(file, option->choices);
        fputs("' -- \"$word\"))", file);
    } else {
        fputs(replies[kind_of_option(option)], file);
    }
    fputs("; return ;;\n", file);
}

static void print_bash(FILE *file, const struct command *const *commands)
{
    fputs("# bash completion for selfsame; generated from its command tables\n"
          "_selfsame_words()\n"
          "{\n"
          "    COMPREPLY=($(compgen -W \"$(selfsame help --words \"$1\" 2> /dev/null)\" -- \"$word\"))\n"
          "    case \"$1\" in manifests | runs) COMPREPLY+=($(compgen -f -- \"$word\")) ;; esac\n"
          "}\n"
          "_selfsame()\n"
          "{\n"
          "    local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" options= operand=\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W \"",
          file);
    for (const struct command *const *command = commands; *command != NULL; command++)
        fprintf(file, "%s ", (*command)->name);
    fputs("--help --version\" -- \"$word\"))\n"
          "        return\n"
          "    fi\n"
          "    case \"${COMP_WORDS[1]} $before\" in\n",
          file);
    for (const struct command *const *command = commands; *command != NULL; command++) {
        for (const struct option_definition *option = (*command)->options; option->name != NULL; option++)
            print_bash_option(file, *command, option);
    }
    fputs("    esac\n    case \"${COMP_WORDS[1]}\" in\n", file);
    for (; *commands != NULL; commands++) {
        const enum word_kind kind = kind_of((*commands)->operands);
        fprintf(file, "    %s) options=\"", (*commands)->name);
        for (const struct option_definition *option = (*commands)->options; option->name != NULL; option++)
            fprintf(file, "--%s ", option->name);
        fprintf(file, "--help\" operand=%s ;;\n", words_of(kind));
    }
    fputs("    esac\n"
          "    case \"$word\" in\n"
          "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
          "    *) case $operand in\n"
          "       '') COMPREPLY=() ;;\n"
          "       files) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
          "       *) _selfsame_words $operand ;;\n"
          "       esac ;;\n"
          "    esac\n"
          "}\n"
          "complete -o filenames -F _selfsame selfsame\n",
          file);
}

/* ---- zsh --------------------------------------------------------------------------------------------------------- */

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

/* How _arguments completes such a word: a description, a colon and an action. */
static void print_zsh_action(FILE *file, const char *called, const char *choices, enum word_kind kind)
{
    fprintf(file, ":%s:", called);
    if (choices != NULL) {
        fputc('(', file);
        print_choices(file, choices);
        fputc(')', file);
    } else if (kind == WORD_FILE) {
        fputs("_files", file);
    } else if (kind == WORD_FOLDER) {
        fputs("_files -/", file);
    } else if (kind == WORD_OTHER) {
        fputc(' ', file);
    } else {
        fprintf(file, "_selfsame_words %s", words_of(kind));
    }
}

static void print_zsh(FILE *file, const struct command *const *commands)
{
    fputs("#compdef selfsame\n"
          "# generated from selfsame's command tables\n"
          "_selfsame_words() {\n"
          "    local -a found\n"
          "    found=(${(f)\"$(selfsame help --words $1 2> /dev/null)\"})\n"
          "    compadd -a found\n"
          "    [[ $1 == commands ]] || _files\n"
          "}\n"
          "_selfsame() {\n"
          "    local -a commands\n"
          "    commands=(\n",
          file);
    for (const struct command *const *command = commands; *command != NULL; command++) {
        fprintf(file, "        '%s:", (*command)->name);
        print_quoted(file, (*command)->summary);
        fputs("'\n", file);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe command commands\n"
          "        return\n"
          "    fi\n"
          "    case $words[2] in\n",
          file);
    for (; *commands != NULL; commands++) {
        const enum word_kind kind = kind_of((*commands)->operands);
        fprintf(file, "    %s) _arguments", (*commands)->name);
        for (const struct option_definition *option = (*commands)->options; option->name != NULL; option++) {
            fprintf(file, " \\\n        '--%s[", option->name);
            print_quoted(file, option->help);
            fputc(']', file);
            if (option->type != OPTION_FLAG)
                print_zsh_action(file, option->argument, option->choices, kind_of_option(option));
            fputc('\'', file);
        }
        if ((*commands)->operands[0] != '\0') {
            fputs(" \\\n        '*", file);
            print_zsh_action(file, "operand", NULL, kind);
            fputc('\'', file);
        }
        fputs(" ;;\n", file);
    }
    fputs("    esac\n}\n_selfsame \"$@\"\n", file);
}

/* ---- fish -------------------------------------------------------------------------------------------------------- */

/* Words to offer; a list that is not all that may be written (-x forbids files) goes without it. */
static void print_fish_words(FILE *file, const char *choices, enum word_kind kind)
{
    if (choices != NULL) {
        fputs(" -x -a '", file);
        print_choices(file, choices);
        fputc('\'', file);
    } else if (kind == WORD_MANIFEST || kind == WORD_RUN || kind == WORD_COMMAND) {
        fprintf(file, " -a '(selfsame help --words %s)'", words_of(kind));
    } else if (kind == WORD_FOLDER) {
        fputs(" -x -a '(__fish_complete_directories)'", file);
    } else if (kind == WORD_OTHER) {
        fputs(" -x", file);
    } else {
        fputs(" -r", file);
    }
}

static void print_fish(FILE *file, const struct command *const *commands)
{
    fputs("# fish completion for selfsame; generated from its command tables\n", file);
    for (; *commands != NULL; commands++) {
        const enum word_kind kind = kind_of((*commands)->operands);
        fprintf(file, "complete -c selfsame -n __fish_use_subcommand -f -a %s -d '", (*commands)->name);
        print_quoted(file, (*commands)->summary);
        fputs("'\n", file);
        for (const struct option_definition *option = (*commands)->options; option->name != NULL; option++) {
            fprintf(file, "complete -c selfsame -n '__fish_seen_subcommand_from %s' -l %s", (*commands)->name,
                    option->name);
            if (option->type != OPTION_FLAG)
                print_fish_words(file, option->choices, kind_of_option(option));
            fputs(" -d '", file);
            print_quoted(file, option->help);
            fputs("'\n", file);
        }
        if (kind == WORD_MANIFEST || kind == WORD_RUN || kind == WORD_COMMAND) {
            fprintf(file, "complete -c selfsame -n '__fish_seen_subcommand_from %s'", (*commands)->name);
            print_fish_words(file, NULL, kind);
            fputc('\n', file);
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
