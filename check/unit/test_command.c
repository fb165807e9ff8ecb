/* The option parser over a table of its own: every form of option and operand, what is refused and what the message
 * proposes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "commands/command.h"

static const struct option_definition options[] = {
    { "runs", "DIR", OPTION_TEXT, 0, 0, NULL, "a folder" },
    { "threads", "N", OPTION_INTEGER, 1, 1024, NULL, "threads" },
    { "seed", "N", OPTION_INTEGER, 0, UINT64_MAX, NULL, "a seed" },
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "table|json|csv", "a format" },
    { "resume", NULL, OPTION_FLAG, 0, 0, NULL, "a flag" },
    OPTIONS_END,
};
static const struct command command = {
    .name = "test", .operands = "RUN...", .options = options, .operands_min = 1, .operands_max = 3
};

enum { WORDS_MAX = 16 };

/* Splits a line at single blanks; "" is an empty word. */
static int split(char *line, char *words[WORDS_MAX])
{
    int count = 0;
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = strcmp(word, "\"\"") == 0 ? word + strlen(word) : word;
    return count;
}

static enum status parse(const char *text, struct arguments *arguments, bool *help, struct error *error)
{
    static char line[256]; /* which the arguments point into */
    char *words[WORDS_MAX];
    strcpy(line, text);
    int count = split(line, words);
    return arguments_parse(arguments, &command, count, words, help, error);
}

static void accept(const char *text, struct arguments *arguments)
{
    struct error error;
    bool help;
    if (parse(text, arguments, &help, &error) != STATUS_OK)
        fail_msg("%s: %s", text, error.message);
    assert_false(help);
}

static void refuse(const char *text, const char *message)
{
    struct arguments arguments;
    struct error error;
    bool help;
    assert_int_equal(parse(text, &arguments, &help, &error), STATUS_INPUT);
    if (strstr(error.message, message) == NULL)
        fail_msg("%s: '%s' does not say '%s'", text, error.message, message);
    arguments_free(&arguments);
}

static void test_forms(void **state)
{
    (void)state;
    struct arguments a;
    static const char *const lines[] = { "one --runs folder --threads 8 --format json --resume two",
                                         "--runs=folder --threads=8 --format=json one --resume two",
                                         "--resume one two --threads 8 --runs folder --format json" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        accept(lines[i], &a);
        assert_string_equal(arguments_text(&a, "runs"), "folder");
        assert_int_equal(arguments_integer(&a, "threads", 1), 8);
        assert_string_equal(arguments_text(&a, "format"), "json");
        assert_true(arguments_flag(&a, "resume"));
        assert_int_equal(a.operand_count, 2);
        assert_string_equal(a.operands[0], "one");
        assert_string_equal(a.operands[1], "two");
        arguments_free(&a);
    }
}

static void test_what_is_not_given(void **state)
{
    (void)state;
    struct arguments a;
    accept("one", &a);
    assert_null(arguments_text(&a, "runs"));
    assert_int_equal(arguments_integer(&a, "threads", 17), 17);
    assert_false(arguments_flag(&a, "resume"));
    arguments_free(&a);
}

static void test_end_of_options(void **state)
{
    (void)state;
    struct arguments a;
    accept("-- --runs -x", &a);
    assert_int_equal(a.operand_count, 2);
    assert_string_equal(a.operands[0], "--runs");
    arguments_free(&a);
    accept("-", &a); /* a single dash is an operand */
    assert_string_equal(a.operands[0], "-");
    arguments_free(&a);
    /* The last of two counts. */
    accept("one --threads 2 --threads 3", &a);
    assert_int_equal(arguments_integer(&a, "threads", 1), 3);
    arguments_free(&a);
    accept("one --seed 18446744073709551615", &a);
    assert_true(arguments_integer(&a, "seed", 0) == UINT64_MAX);
    arguments_free(&a);
}

static void test_help(void **state)
{
    (void)state;
    static const char *const lines[] = { "--help", "-h", "one --nonsense --help", "--threads 0 -h" };
    struct arguments a;
    struct error error;
    bool help;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(parse(lines[i], &a, &help, &error), STATUS_OK);
        assert_true(help);
        arguments_free(&a);
    }
    accept("-- --help", &a); /* an operand */
    assert_string_equal(a.operands[0], "--help");
    arguments_free(&a);
}

static void test_refused(void **state)
{
    (void)state;
    refuse("", "needs RUN...; selfsame test --help says more");
    refuse("one two three four", "has no use for 'four'");
    refuse("one --thread 2", "unknown option '--thread'; did you mean --threads?");
    refuse("one --xyzzy=1", "unknown option '--xyzzy'; selfsame test --help lists the options");
    refuse("one -x", "unknown option '-x'");
    refuse("one --hepl", "did you mean --help?");
    refuse("one --resume=yes", "--resume takes no value");
    refuse("one --runs", "--runs needs a value: DIR");
    refuse("one --runs=", "--runs needs a value: DIR");
    refuse("one --runs \"\"", "--runs needs a value: DIR");
    refuse("one --threads two", "--threads two: not a whole number");
    refuse("one --threads +2", "not a whole number");
    refuse("one --threads -2", "not a whole number");
    refuse("one --threads 2x", "not a whole number");
    refuse("one --threads 0", "--threads 0: must be 1 to 1024");
    refuse("one --threads 1025", "must be 1 to 1024");
    refuse("one --seed 18446744073709551616", "must be 0 to 18446744073709551615");
    refuse("one --format xml", "--format xml: must be one of table|json|csv");
    refuse("one --format jso", "must be one of");
    refuse("one --format table|json", "must be one of");
}

/* What is written is read back as the same. */
static void test_line(void **state)
{
    (void)state;
    struct arguments a;
    char text[256];
    FILE *file = fmemopen(text, sizeof text, "w");
    assert_non_null(file);
    accept("one --seed=7 --runs it's;$HOME --resume -- --time two", &a);
    assert_int_equal(a.before_dashes, 1);
    arguments_write_line(file, &a, (const char *const[]){ "seed", NULL }, "again");
    fclose(file);
    const char *words = strchr(text, ' ');
    assert_non_null(words);
    assert_string_equal(words, " test one --runs 'it'\\''s;$HOME' --resume --again -- --time two");
    arguments_free(&a);
    file = fmemopen(text, sizeof text, "w");
    assert_non_null(file);
    accept("one --runs ~/runs", &a);
    arguments_write_words(file, &a, (const char *const[]){ NULL });
    fclose(file);
    assert_string_equal(text, " one --runs '~/runs'"); /* no shell puts another folder there */
    arguments_free(&a);
    accept("one two", &a);
    assert_int_equal(a.before_dashes, 2);
    arguments_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_what_is_not_given), cmocka_unit_test(test_end_of_options),
        cmocka_unit_test(test_help),  cmocka_unit_test(test_refused),           cmocka_unit_test(test_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
