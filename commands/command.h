/* Subcommands and their options: one table each, which drives the parser, --help, the manual pages and the shell
 * completions.
 *
 * A command file exports a `const struct command`; all.c lists them. selfsame.c runs one, prints its error and turns
 * the status into an exit status. Nothing else prints to standard error but progress and warnings. */
#ifndef SELFSAME_COMMAND_H
#define SELFSAME_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "trainer/recipe.h"

enum option_type {
    OPTION_FLAG,    /* takes no value */
    OPTION_TEXT,    /* any text that is not empty; `choices` are what completions offer */
    OPTION_INTEGER, /* decimal digits, low .. high */
    OPTION_CHOICE,  /* one of `choices`, which are separated by '|' */
    OPTION_LIST     /* as OPTION_TEXT, and may be given again; one of a command's options at most */
};

struct option_definition {
    const char *name;     /* without the dashes; NULL ends a table */
    const char *argument; /* such as "DIR"; NULL for a flag */
    enum option_type type;
    uint64_t low, high;  /* OPTION_INTEGER */
    const char *choices; /* OPTION_CHOICE */
    const char *help;    /* one or two sentences, the default included, no full stop at the end */
};

enum { COMMAND_OPTIONS_MAX = 24 };

struct arguments {
    const struct command *command;
    const char *texts[COMMAND_OPTIONS_MAX]; /* by the option's place in its table; NULL: not given */
    uint64_t integers[COMMAND_OPTIONS_MAX];
    const char **list; /* the values of the OPTION_LIST in their order, up to a NULL */
    size_t list_count;
    const char **operands;
    size_t operand_count;
    size_t before_dashes; /* of them, those before a "--"; all where there is none */
};

struct command {
    const char *name;
    const char *operands;    /* such as "MANIFEST..."; "" for none */
    const char *summary;     /* one line, lower case, no full stop */
    const char *description; /* paragraphs separated by an empty line */
    const struct option_definition *options;
    const char *examples; /* lines "command<TAB>what it does"; NULL for none */
    size_t operands_min, operands_max;
    enum status (*run)(const struct arguments *arguments, struct error *error);
};

#define OPTIONS_END                               \
    {                                             \
        NULL, NULL, OPTION_FLAG, 0, 0, NULL, NULL \
    }
/* Options that several commands share. */
#define OPTION_RUNS                                                                                                  \
    {                                                                                                                \
        "runs", "DIR", OPTION_TEXT, 0, 0, NULL, "the folder that holds the runs; default: $SELFSAME_RUNS, else runs" \
    }
#define OPTION_DATA                                                                                                    \
    {                                                                                                                  \
        "data", "PATH", OPTION_TEXT, 0, 0, NULL,                                                                       \
            "CIFAR-10, in either version: a folder that holds it, or its archive; default: the copy of selfsame fetch" \
    }
#define OPTION_ANY_TEST_DATA                                                                     \
    {                                                                                            \
        "any-test-data", NULL, OPTION_FLAG, 0, 0, NULL,                                          \
            "accept test data with any digest; all that shows an error measured on them says so" \
    }
#define OPTION_ARITHMETIC                                                                                              \
    {                                                                                                                  \
        "arithmetic", "NAME", OPTION_CHOICE, 0, 0, "exact|exact-1|exact-2|fast",                                       \
            "how numbers are computed, instead of the manifest's arithmetic; exact means exact-1; exact-2 is another " \
            "experiment with other bits"                                                                               \
    }
#define OPTION_ENGINE                                                                                \
    {                                                                                                \
        "engine", "NAME", OPTION_CHOICE, 0, 0, "cpu|cuda|cudnn",                                     \
            "what computes: cpu or cuda, which give the same bits; or cudnn, for arithmetic: fast; " \
            "default: cpu, or cudnn for arithmetic: fast"                                            \
    }
#define OPTION_EPOCHS                                                                                    \
    {                                                                                                    \
        "epochs", "N", OPTION_INTEGER, 1, UINT32_MAX, NULL,                                              \
            "stop after N epochs in all, without moving their bits; default: all epochs of the manifest" \
    }
#define OPTION_KEEP_CHECKPOINTS                                                                                       \
    {                                                                                                                 \
        "keep-checkpoints", "all|N", OPTION_TEXT, 0, 0, "all",                                                        \
            "keep the checkpoint of every epoch, or of every Nth, so that selfsame verify can begin there; default: " \
            "every "                                                                                                  \
            "tenth, the last two and those before a drop of the rate. One takes 2.2 MB at depth 20 and 14 MB at "     \
            "depth 110. "                                                                                             \
            "Pass it again with --resume"                                                                             \
    }
#define OPTION_THREADS                                                                    \
    {                                                                                     \
        "threads", "N", OPTION_INTEGER, 1, 1024, NULL,                                    \
            "threads, 1 to 1024; default: one per processor. They do not change the bits" \
    }
#define OPTION_PIN                                                                                              \
    {                                                                                                           \
        "pin", NULL, OPTION_FLAG, 0, 0, NULL,                                                                   \
            "keep each thread on a processor of its own, cores first; it needs as many processors as threads. " \
            "It does not change the bits"                                                                       \
    }
#define OPTION_FORCE                                                                   \
    {                                                                                  \
        "force", NULL, OPTION_FLAG, 0, 0, NULL, "replace the output file if it exists" \
    }
#define OPTION_ISA                                                                                                  \
    {                                                                                                               \
        "isa", "NAME", OPTION_TEXT, 0, 0, "scalar|avx|avx2|avx512",                                                 \
            "instruction set: scalar, avx, avx2 or avx512; default: $SELFSAME_ISA, else the fastest. All give the " \
            "same bits"                                                                                             \
    }

/* Parses what follows the command's name: options and operands in any order, "--name value" or "--name=value", "--"
 * ends the options. arguments->operands points into a copy that arguments_free releases. With --help, *help is set and
 * nothing else is checked. STATUS_INPUT for anything that does not fit, naming the nearest option that exists. */
enum status arguments_parse(struct arguments *arguments, const struct command *command, int count, char **words,
                            bool *help, struct error *error) MUST_USE;
void arguments_free(struct arguments *arguments);

/* The value of an option of the command's table: NULL, false or the fallback if it was not given. arguments_list gives
 * all values of an OPTION_LIST, up to a NULL. */
const char *arguments_text(const struct arguments *arguments, const char *option);
const char *const *arguments_list(const struct arguments *arguments, const char *option);
bool arguments_flag(const struct arguments *arguments, const char *option);
uint64_t arguments_integer(const struct arguments *arguments, const char *option, uint64_t fallback);

/* What --arithmetic says, or the fallback. */
enum arithmetic arguments_arithmetic(const struct arguments *arguments, enum arithmetic fallback);

/* STATUS_INPUT if a file that the command is about to write exists, and --force (OPTION_FORCE) was not given. */
enum status arguments_may_write(const struct arguments *arguments, const char *path, struct error *error) MUST_USE;

/* The operands before a "--" and the options as a shell reads them back, each after a blank; without the options that
 * `without` names, up to a NULL. */
void arguments_write_words(FILE *file, const struct arguments *arguments, const char *const *without);
/* The line that gives the same command again, without its newline: the program, the command, these words, the flag
 * `also` (NULL: none), and what follows a "--". */
void arguments_write_line(FILE *file, const struct arguments *arguments, const char *const *without, const char *also);

/* Standard output counts as written only when the last of it has reached the system: else STATUS_ENVIRONMENT. */
enum status output_flush(struct error *error) MUST_USE;

/* How this program was built, and the version of its arithmetic, in a few lines. */
void program_print_version(FILE *file);

/* Documentation from the tables. `commands` is NULL-terminated. */
void command_print_help(FILE *file, const struct command *command);
void command_print_man(FILE *file, const struct command *command, const char *version);
void program_print_help(FILE *file, const struct command *const *commands);
void program_print_man(FILE *file, const struct command *const *commands, const char *version);
/* A text in which everything that roff would interpret is escaped. */
void roff_print(FILE *file, const char *text);
/* shell: "bash", "zsh" or "fish"; false for another. */
bool program_print_completion(FILE *file, const struct command *const *commands, const char *shell);

#endif
