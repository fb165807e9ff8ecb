/* The language of `selfsame runs`: what an expression means, asked of SQLite on a small table; what it refuses, and
 * where; and that no text becomes SQL. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "results/run_query.h"

static sqlite3 *database;

static int make_table(void **state)
{
    (void)state;
    static const char rows[] =
        "INSERT INTO run (\"run\", depth, seed, error, val_loss, state, weights, tags, note) VALUES"
        " ('a', 20, 1, 8.27, 0.5, 'finished', '00ff11aa', 'paper x', 'it''s; DROP TABLE run')"
        ",('b', 20, 2, 9.1, NULL, 'stopped', '00ff22bb', 'paperback', '100 %')"
        ",('c', 110, 3, NULL, NULL, 'finished 3 of 180', NULL, '', '')"
        ",('d', 56, 9007199254740991, 8.5, 1e-7, 'failed', 'abcd0000', 'X', 'M\xc3\xbcnchen');"
        "INSERT INTO tag VALUES ('a', 'paper'), ('a', 'x'), ('b', 'paperback'), ('d', 'X')";
    char sql[4096] = "CREATE TABLE run (";
    for (size_t i = 0; i < run_column_count; i++) {
        if (run_columns[i].source != FROM_FOLDER)
            snprintf(sql + strlen(sql), sizeof sql - strlen(sql), "%s\"%s\"", i > 0 ? ", " : "", run_columns[i].name);
    }
    strcat(sql, "); CREATE TABLE tag (run, tag)");
    assert_int_equal(sqlite3_open(":memory:", &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, rows, NULL, NULL, NULL), SQLITE_OK);
    return 0;
}

static int drop_table(void **state)
{
    (void)state;
    return sqlite3_close(database);
}

/* The runs for which a query holds, in its order: "a b". */
static void ask(const struct run_query *query, char names[64])
{
    char *sql = NULL;
    sqlite3_stmt *statement;
    assert_true(asprintf(&sql, "SELECT \"run\" FROM run WHERE %s ORDER BY %s",
                         query->where != NULL ? query->where : "1", query->order) > 0);
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_true(sqlite3_stmt_readonly(statement));
    if (sqlite3_bind_parameter_count(statement) > 0)
        assert_int_equal(sqlite3_bind_text(statement, 1, "runs/", -1, SQLITE_STATIC), SQLITE_OK);
    for (size_t i = 0; i < query->value_count; i++) {
        const struct query_value *value = &query->values[i];
        assert_int_equal(value->text != NULL ? sqlite3_bind_text(statement, (int)i + 2, value->text, -1, SQLITE_STATIC)
                                             : sqlite3_bind_double(statement, (int)i + 2, value->number),
                         SQLITE_OK);
    }
    names[0] = '\0';
    while (sqlite3_step(statement) == SQLITE_ROW)
        snprintf(names + strlen(names), 64 - strlen(names), "%s%s", names[0] != '\0' ? " " : "",
                 (const char *)sqlite3_column_text(statement, 0));
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    free(sql);
}

static void expect(const char *where, const char *sort, const char *wanted)
{
    struct run_query query;
    struct error error;
    char names[64];
    if (run_query_parse(&query, where, sort, NULL, &error) != STATUS_OK)
        fail_msg("%s: %s", where, error.message);
    ask(&query, names);
    if (strcmp(names, wanted) != 0)
        fail_msg("%s: [%s], expected [%s]", where != NULL ? where : sort, names, wanted);
    run_query_free(&query);
}

static void refuse(const char *where, const char *message)
{
    struct run_query query;
    struct error error;
    if (run_query_parse(&query, where, NULL, NULL, &error) != STATUS_INPUT)
        fail_msg("accepted: %s", where);
    if (strstr(error.message, message) == NULL)
        fail_msg("%s: \"%s\", expected \"%s\"", where, error.message, message);
    run_query_free(&query);
}

static void test_meaning(void **state)
{
    (void)state;
    expect(NULL, NULL, "a b c d");
    expect("depth = 20", NULL, "a b");
    expect("depth==20 and error<8.5", NULL, "a");
    expect("depth != 20", NULL, "c d");
    expect("depth <> 20", NULL, "c d");
    expect("depth>20", NULL, "c d");
    expect("depth>=56 and depth<=56", NULL, "d");
    expect("seed = 9007199254740991", NULL, "d");
    expect("seed < -1", NULL, "");
    expect("seed > -1e3", NULL, "a b c d");
    expect("not depth = 20", NULL, "c d");
    expect("not not depth = 20", NULL, "a b");
    expect("not depth = 20 or depth = 20", NULL, "a b c d");
    expect("not (depth = 20 or depth = 56)", NULL, "c");
    expect("depth = 20 or depth = 56 and seed = 1", NULL, "a b");
    expect("(depth = 20 or depth = 56) and seed = 1", NULL, "a");
    expect("depth=20 AND NOT seed=1 Or depth=110", NULL, "b c");
    expect("run = 'a' or name = \"b\"", NULL, "a b");
    expect("run >= 'b' and run < 'd'", NULL, "b c");
    expect("path = 'runs/a'", NULL, "a");
    expect("state = 'finished'", NULL, "a");
    expect("state like 'FINISHED%'", NULL, "a c");
    expect("state not like 'fin%'", NULL, "b d");
    expect("state like '_topped'", NULL, "b");
    expect("state contains 'IN'", NULL, "a c");
    expect("note contains '%'", NULL, "b");
    expect("note = ''", NULL, "c");
    expect("note contains 'M\xc3\xbcn'", NULL, "d");
    expect("note = 'it''s; DROP TABLE run'", NULL, "a");
    expect("note = \"it's; DROP TABLE run\"", NULL, "a");
    expect("\tdepth\n=\r20 ", NULL, "a b");
}

static void test_numbers(void **state)
{
    (void)state;
    expect("error = 8.27", NULL, "a"); /* 827 / 10000 * 100 in binary is another number */
    expect("error = 8.270000000001", NULL, "a");
    expect("error = 8.2701", NULL, "");
    expect("error <= 8.27", NULL, "a");
    expect("error < 8.27", NULL, "");
    expect("error >= 8.5", NULL, "b d");
    expect("error > 8.5", NULL, "b");
    expect("error != 8.5", NULL, "a b");
    expect("val_loss < 1e-6", NULL, "d");
    expect("depth = 2e1", NULL, "a b");
    expect("depth = +20.", NULL, "a b");
    expect("error > .5", NULL, "a b d");
}

/* A comparison with a missing value is false. */
static void test_missing(void **state)
{
    (void)state;
    expect("error < 100", NULL, "a b d");
    expect("error >= 0", NULL, "a b d");
    expect("not error < 100", NULL, "c");
    expect("weights != '00ff'", NULL, "d");
    expect("val_loss = 0", NULL, "");
}

static void test_digests_and_tags(void **state)
{
    (void)state;
    expect("weights = '00ff'", NULL, "a b");
    expect("weights = '00FF22'", NULL, "b");
    expect("weights = '00ff22bb00'", NULL, "");
    expect("tag = 'paper'", NULL, "a");
    expect("tags = 'x'", NULL, "a");
    expect("tag != 'paper'", NULL, "b c d");
    expect("tag like 'paper%'", NULL, "a b");
    expect("tag contains 'x'", NULL, "a d");
    expect("tag not contains 'x'", NULL, "b c");
    expect("tag = ''", NULL, "c");
    expect("tag != ''", NULL, "a b d");
}

static void test_order(void **state)
{
    (void)state;
    expect(NULL, "error", "a d b c");
    expect(NULL, "error:desc", "b d a c"); /* those without it are last in both */
    expect(NULL, "depth:asc, seed:desc", "b a d c");
    expect(NULL, "run:desc", "d c b a");
    expect("depth = 20", "name:desc", "b a");
}

static void test_refusals(void **state)
{
    (void)state;
    refuse("", "--where, character 1: expected a column, but there the text ends");
    refuse("  ", "character 3: expected a column");
    refuse("depth", "character 6: expected =, !=, <, <=, > or >=, but there the text ends");
    refuse("depth =", "character 8: expected a number, since depth is one, but there the text ends");
    refuse("depth = '20'", "character 9: expected a number, since depth is one, but there is: '20'");
    refuse("depth = abc", "but there is: abc");
    refuse("depth = 20x", "expected a number or a name, but there is: 20x");
    refuse("depth = 0x14", "but there is: 0x14");
    refuse("depth = inf", "expected a number");
    refuse("depth = 1e999", "not that large");
    refuse("depth = 20 seed = 1", "character 12: expected and, or or the end, but there is: seed");
    refuse("depth = 20 and", "character 15: expected a column");
    refuse("and depth = 20", "there is no column 'and'");
    refuse("(depth = 20", "character 12: expected and, or or ), but there the text ends");
    refuse("depth = 20)", "character 11: expected and, or or the end, but there is: )");
    refuse("()", "character 2: expected a column, but there is: )");
    refuse("depht = 20", "there is no column 'depht'; did you mean 'depth'?");
    refuse("xyzzyxyzzy = 20", "the columns are run, manifest, seed,");
    refuse("20 = depth", "character 1: expected a column, but there is: 20");
    refuse("depth like 20", "character 7: expected =, !=");
    refuse("depth = depth", "expected a number");
    refuse("state = finished", "character 9: expected a text in quotes, since state is a text, but there is: finished");
    refuse("state not = 'x'", "expected like or contains, but there is: =");
    refuse("state = 'x", "character 9: expected a text that ends with '");
    refuse("state = \"x'", "expected a text that ends with \"");
    refuse("note = 'a''", "expected a text that ends with '");
    refuse("weights = '00f'", "4 to 64 hexadecimal digits");
    refuse("weights = 'wxyz'", "4 to 64 hexadecimal digits");
    refuse("weights like '00ff%'", "expected = or !=");
    refuse("tag < 'a'", "expected =, !=, like or contains");
    refuse("depth = 20; DROP TABLE run", "character 11: expected a column, an operator, a number or a text in quotes");
    refuse("depth = 20 -- x", "character 12: expected a column, an operator");
    refuse("M\xc3\xbcnchen = 'a'", "character 1: there is no column 'M'");
    refuse("note = 'M\xc3\xbc' x", "character 13: expected and, or or the end");
    refuse("depth = \xff", "character 9");
    refuse("run.depth = 1", "character 4");
    refuse("stamp = 1", "there is no column 'stamp'"); /* the index's own */
}

static void test_limits(void **state)
{
    (void)state;
    struct run_query query;
    struct error error;
    char *text = calloc(1, 20000);
    assert_non_null(text);
    for (int i = 0; i < QUERY_COMPARISONS_MAX; i++)
        strcat(text, i > 0 ? " or depth=20" : "depth=20");
    expect(text, NULL, "a b");
    strcat(text, " or depth=20");
    refuse(text, "more than the 100 comparisons");
    text[0] = '\0';
    for (int i = 0; i < QUERY_NESTING_MAX; i++)
        strcat(text, i % 2 == 0 ? "(" : "not ");
    strcat(text, "depth=20");
    for (int i = 0; i < QUERY_NESTING_MAX / 2; i++)
        strcat(text, ")");
    expect(text, NULL, "c d"); /* 25 times not */
    memset(text, '(', 9000);
    text[9000] = '\0';
    refuse(text, "character 51: expected less nesting");
    memset(text, ' ', QUERY_BYTES_MAX + 1);
    text[QUERY_BYTES_MAX + 1] = '\0';
    refuse(text, "more than the 10000 bytes");
    free(text);
    assert_int_equal(run_query_parse(&query, NULL, "eror", NULL, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "--sort: there is no column 'eror'; did you mean 'error'?"));
    run_query_free(&query);
    assert_int_equal(run_query_parse(&query, NULL, "error:down", NULL, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "expected asc or desc, not 'down'"));
    run_query_free(&query);
    assert_int_equal(run_query_parse(&query, NULL, NULL, "run,,seed", &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "--columns: there is no column ''"));
    run_query_free(&query);
}

static void test_columns(void **state)
{
    (void)state;
    struct run_query query;
    struct error error;
    assert_int_equal(run_query_parse(&query, NULL, NULL, " run , val_error,tag", &error), STATUS_OK);
    assert_int_equal(query.column_count, 3);
    assert_string_equal(query.headings[1], "val_error");
    assert_string_equal(query.columns[1]->name, "error");
    run_query_free(&query);
    assert_int_equal(run_query_parse(&query, NULL, NULL, "all", &error), STATUS_OK);
    assert_int_equal(query.column_count, run_column_count);
    run_query_free(&query);
    for (size_t i = 0; i < run_column_count; i++) {
        assert_ptr_equal(run_column_find(run_columns[i].name), &run_columns[i]);
        if (run_columns[i].alias != NULL)
            assert_ptr_equal(run_column_find(run_columns[i].alias), &run_columns[i]);
    }
}

static uint32_t draw(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525 + 1013904223;
    return (*random >> 8) % below;
}

/* Random comparisons, words and bytes: the parser accepts or refuses. What it accepts is one statement that reads. */
static void test_random(void **state)
{
    static const char *const words[] = { "depth", "error", "tag",      "note",   "weights", "=",  "!=",   "<",  ">=",
                                         "like",  "not",   "contains", "and",    "or",      "(",  ")",    "20", "8.5",
                                         "'a'",   "\"b\"", "'00ff'",   "'a''b",  "--",      ";",  "/*",   "?1", "''",
                                         "1e5",   "run",   "state",    "' or '", "\xff",    "\\", "\"\"", "$x", ":a" };
    static const char *const columns[] = { "depth", "error", "run", "note", "weights", "tag", "path" },
                             *const operators[] = { "=", "!=", "<", ">=", "like", "not like", "contains" },
                             *const values[] = { "20", "8.5", "'a'", "\"it's\"", "'00ff'", "''" },
                             *const joints[] = { " and ", " or ", " and not ", ") and (" };
    uint32_t random = 1;
    size_t accepted = 0;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        char text[512] = "", names[64];
        struct run_query query;
        struct error error;
        for (uint32_t length = draw(&random, i % 3 == 0 ? 4 : 16); length > 0; length--) {
            char *end = text + strlen(text);
            if (i % 3 == 0)
                snprintf(end, 64, "%s %s %s%s", columns[draw(&random, 7)], operators[draw(&random, 7)],
                         values[draw(&random, 6)], length > 1 ? joints[draw(&random, 4)] : "");
            else if (i % 3 == 1)
                snprintf(end, 32, "%s ", words[draw(&random, sizeof words / sizeof *words)]);
            else
                snprintf(end, 2, "%c", (int)draw(&random, 256));
        }
        if (run_query_parse(&query, text, NULL, NULL, &error) == STATUS_OK) {
            ask(&query, names);
            accepted++;
        }
        run_query_free(&query);
    }
    assert_in_range(accepted, 1000, 50000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning),          cmocka_unit_test(test_numbers), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_digests_and_tags), cmocka_unit_test(test_order),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),           cmocka_unit_test(test_columns), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, make_table, drop_table);
}
