/* A table as people, scripts and spreadsheets get it: alignment by characters, not bytes; JSON that reads back; CSV as
 * RFC 4180 has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/table.h"

static const struct table_column columns[] = { { "run", false, 0 }, { "error", true, 0 }, { "note", false, 0 } };

static void fill(struct table *table)
{
    assert_non_null(table);
    table_cell(table, "a");
    table_cell(table, "%.2f", 8.75);
    table_cell(table, "%s", "");
    table_cell(table, "läng\xc3\xa9r"); /* six characters, eight bytes */
    table_cell(table, "%d", 10);
    table_cell(table, "%s", "say \"a, b\"");
}

/* What table_print writes to standard output. */
static void print(const struct table *table, const char *format, char text[1024])
{
    struct error error;
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    enum status status = table_print(table, format, &error);
    fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    close(kept);
    assert_int_equal(status, STATUS_OK);
    rewind(file);
    size_t bytes = fread(text, 1, 1023, file);
    text[bytes] = '\0';
    fclose(file);
}

static void test_for_people(void **state)
{
    (void)state;
    struct table *table = table_open(columns, 3);
    char text[1024];
    fill(table);
    print(table, NULL, text);
    assert_string_equal(text, "run     error  note\n"
                              "a        8.75  \n"
                              "läng\xc3\xa9r     10  say \"a, b\"\n");
    char again[1024];
    print(table, "table", again);
    assert_string_equal(again, text);
    table_close(table);
}

static void test_csv(void **state)
{
    (void)state;
    struct table *table = table_open(columns, 3);
    char text[1024];
    fill(table);
    print(table, "csv", text);
    assert_string_equal(text, "run,error,note\r\na,8.75,\r\nläng\xc3\xa9r,10,\"say \"\"a, b\"\"\"\r\n");
    table_close(table);
}

static void test_json(void **state)
{
    (void)state;
    struct table *table = table_open(columns, 3);
    char text[1024];
    fill(table);
    print(table, "json", text);
    json_t *list = json_loads(text, 0, NULL);
    assert_int_equal(json_array_size(list), 2);
    const json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);
    assert_true(json_real_value(json_object_get(first, "error")) == 8.75);
    assert_true(json_is_null(json_object_get(first, "note")));
    assert_int_equal(json_integer_value(json_object_get(second, "error")), 10);
    assert_string_equal(json_string_value(json_object_get(second, "note")), "say \"a, b\"");
    json_decref(list);
    table_close(table);
}

/* Numbers keep their digits, what is no number is a text, and a column that was named twice comes once. */
static void test_json_cells(void **state)
{
    (void)state;
    static const struct table_column odd[] = {
        { "a", true, 0 }, { "a", false, 0 }, { "b", true, 0 }, { "c \"", false, 0 }, { "d", true, 0 }
    };
    struct table *table = table_open(odd, 5);
    char text[1024];
    assert_non_null(table);
    table_cell(table, "%.2f", 8.7);
    table_cell(table, "other");
    table_cell(table, "%d %%", 12);
    table_cell(table, "%s", "a\tb \xc3\xa9");
    table_cell(table, "%s", "-007");
    print(table, "json", text);
    assert_string_equal(text, "[\n"
                              "  {\n"
                              "    \"a\": 8.70,\n"
                              "    \"b\": \"12 %\",\n"
                              "    \"c \\\"\": \"a\\tb \\u00E9\",\n"
                              "    \"d\": \"-007\"\n"
                              "  }\n"
                              "]\n");
    table_close(table);
}

static void test_without_rows(void **state)
{
    (void)state;
    struct table *table = table_open(columns, 3);
    char text[1024];
    print(table, NULL, text);
    assert_string_equal(text, "run  error  note\n");
    print(table, "csv", text);
    assert_string_equal(text, "run,error,note\r\n");
    print(table, "json", text);
    assert_string_equal(text, "[]\n");
    table_close(table);
    table_close(NULL);
}

/* 80 columns: the output is no terminal. What is left out is in CSV; a long last column is wrapped, not left out. */
static void test_width(void **state)
{
    (void)state;
    static const struct table_column wide[] = { { "run", false, 0 },
                                                { "engine", false, 2 },
                                                { "best", true, 1 },
                                                { "verdict", false, 0 },
                                                { "source", false, 3 } };
    struct table *table = table_open(wide, 5);
    char text[1024], csv[1024];
    assert_non_null(table);
    table_cell(table, "a-run-of-a-long-name-seed1");
    table_cell(table, "AVX2 and FMA, fused, 2 threads");
    table_cell(table, "%.2f", 8.75);
    table_cell(table, "unfinished: stopped after 12 of 180 epochs, and %s", "will go on some day");
    table_cell(table, "somebody");
    print(table, NULL, text);
    assert_string_equal(text, "run                         best  verdict\n"
                              "a-run-of-a-long-name-seed1  8.75  unfinished: stopped after 12 of 180 epochs,\n"
                              "                                  and will go on some day\n");
    print(table, "csv", csv);
    assert_non_null(strstr(csv, "run,engine,best,verdict,source\r\n"));
    table_close(table);
}

/* Long names are shortened in their middle before a column is left out, and further where that is not enough. */
static void test_long_names(void **state)
{
    (void)state;
    static const struct table_column few[] = { { "run", false, 0 }, { "epochs", true, 1 }, { "weights", false, 1 } };
    static const struct table_column three[] = { { "run", false, 0 }, { "of", false, 0 },   { "manifest", false, 0 },
                                                 { "best", true, 0 }, { "final", true, 0 }, { "state", false, 0 } };
    static const char name[] = "an-experiment-with-a-name-of-sixty-four-characters-exactly-seed1";
    struct table *table = table_open(few, 3);
    char text[1024];
    table_cell(table, "%s", name);
    table_cell(table, "%d", 180);
    table_cell(table, "0123456789abcdef");
    print(table, NULL, text);
    assert_string_equal(text, "run                               epochs  weights\n"
                              "an-experiment-w...-exactly-seed1     180  0123456789abcdef\n");
    print(table, "csv", text);
    assert_non_null(strstr(text, name));
    table_close(table);
    table = table_open(three, 6);
    for (int i = 0; i < 3; i++)
        table_cell(table, "%s", name);
    table_cell(table, "%.2f", 8.75);
    table_cell(table, "%.2f", 8.8);
    table_cell(table, "finished");
    print(table, NULL, text);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 80);
    table_close(table);
}

/* Numbers that are written without printf are those of printf. */
static void test_numbers(void **state)
{
    static const double made[] = { 0.0,       -0.0,     0.005,    0.015,        0.125,  2.5,    8.305,
                                   8.315,     99.995,   999999.5, 999999.99999, 1e6,    1e20,   -8.31,
                                   0.4999995, 0.0005,   1e-9,     1.0 / 3,      1024.5, 0x1p-3, 0x1p-1074,
                                   262144.5,  123.4565, 512.0005, 5e-7,         0.99999 };
    enum { MADE = sizeof made / sizeof *made, COUNT = 200000 };
    uint64_t random = 88172645463325252u;
    char text[1024], expected[512];
    (void)state;
    for (int i = 0; i < MADE + COUNT; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        /* Every third one lies near the middle between two results. */
        const double near = ((double)(random % 100000000) + 0.5) / 1e6 + (i % 2 ? 1e-12 : 0.0),
                     drawn = (double)(random >> 11) * 0x1p-53 * (i % 7 ? 100.0 : 2e6),
                     value = i < MADE     ? made[i]
                             : i % 3 == 0 ? near
                                          : drawn;
        for (int digits = 0; digits <= 7; digits++) {
            number_text(text, sizeof text, digits, value);
            snprintf(expected, sizeof expected, "%.*f", digits, value);
            assert_string_equal(text, expected);
        }
    }
    number_text(text, sizeof text, 2, (double)NAN);
    assert_string_equal(text, "");
    static const int64_t integers[] = { 0, 7, -7, 10, 1000000, INT64_MAX, INT64_MIN };
    static const struct table_column one[] = { { "n", true, 0 } };
    struct table *table = table_open(one, 1);
    assert_non_null(table);
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++)
        table_integer(table, integers[i]);
    table_text(table, "123456", 3);
    print(table, "csv", text);
    assert_string_equal(text, "n\r\n0\r\n7\r\n-7\r\n10\r\n1000000\r\n9223372036854775807\r\n"
                              "-9223372036854775808\r\n123\r\n");
    table_close(table);
}

/* A word that is wider than the last column goes on in the next line, so that it is there whole. */
static void test_long_words(void **state)
{
    (void)state;
    static const struct table_column pair[] = { { "key", false, 0 }, { "value", false, 0 } };
    struct table *table = table_open(pair, 2);
    char text[1024];
    table_cell(table, "program.configure");
    table_cell(table, "--with-a-folder=/an/ordinary/path/of/some/length/without/any/blank/in/it-at-all short");
    print(table, NULL, text);
    assert_string_equal(text, "key                value\n"
                              "program.configure  --with-a-folder=/an/ordinary/path/of/some/length/without/any/\n"
                              "                   blank/in/it-at-all short\n");
    table_close(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_people), cmocka_unit_test(test_csv),          cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_cells), cmocka_unit_test(test_without_rows), cmocka_unit_test(test_width),
        cmocka_unit_test(test_long_names), cmocka_unit_test(test_long_words),   cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
