/* What comes from outside, on its way out: text_escape, text_write, text_line, text_fact and text_is_plain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void expect(enum text_place place, const char *text, const char *wanted)
{
    char escaped[256], *written = NULL;
    size_t size;
    assert_int_equal(text_escape(escaped, sizeof escaped, place, text), strlen(wanted));
    assert_string_equal(escaped, wanted);
    FILE *file = open_memstream(&written, &size);
    assert_non_null(file);
    text_write(file, place, text);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, wanted);
    free(written);
}

static void test_terminal(void **state)
{
    (void)state;
    expect(TEXT_TERMINAL, "", "");
    expect(TEXT_TERMINAL, "plain 'text' \"with\" <marks> & \\ {a_b}", "plain 'text' \"with\" <marks> & \\ {a_b}");
    expect(TEXT_TERMINAL, "\x1b[31mred\x1b]0;title\a", "\\x1b[31mred\\x1b]0;title\\x07");
    expect(TEXT_TERMINAL, "a\nb\rc\td\x7f", "a\\x0ab\\x0dc\\x09d\\x7f");
    expect(TEXT_TERMINAL,
           "\xc2\x9b"
           "31m \xc2\x80\xc2\x9f\xc2\xa0",
           "\\u009b31m \\u0080\\u009f\xc2\xa0");
    expect(TEXT_TERMINAL,
           "\xe2\x80\xae"
           "evil\xe2\x81\xa6\xe2\x80\x8f\xd8\x9c",
           "\\u202eevil\\u2066\\u200f\\u061c");
    expect(TEXT_TERMINAL, "\xef\xbb\xbf\xe2\x80\x8b\xf3\xa0\x81\x81", "\\ufeff\\u200b\\ue0041");
    expect(TEXT_TERMINAL, "R\xc3\xa9seau \xe6\xb7\xb1 \xf0\x9f\x99\x82", "R\xc3\xa9seau \xe6\xb7\xb1 \xf0\x9f\x99\x82");
}

/* Bytes that are not UTF-8: stray, missing, too long a form, surrogates, beyond Unicode. */
static void test_bytes(void **state)
{
    (void)state;
    expect(TEXT_TERMINAL, "\x80\xff", "\\x80\\xff");
    expect(TEXT_TERMINAL, "\xc3", "\\xc3");
    expect(TEXT_TERMINAL, "\xe2\x80", "\\xe2\\x80");
    expect(TEXT_TERMINAL, "\xc3(", "\\xc3(");
    expect(TEXT_TERMINAL, "\xc0\x9b", "\\xc0\\x9b");
    expect(TEXT_TERMINAL, "\xe0\x82\x9b", "\\xe0\\x82\\x9b");
    expect(TEXT_TERMINAL, "\xed\xa0\x80", "\\xed\\xa0\\x80");
    expect(TEXT_TERMINAL, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    expect(TEXT_TERMINAL, "\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80");
}

static void test_csv(void **state)
{
    (void)state;
    expect(TEXT_CSV, "plain", "plain");
    expect(TEXT_CSV, "a,b", "\"a,b\"");
    expect(TEXT_CSV, "say \"a\"", "\"say \"\"a\"\"\"");
    expect(TEXT_CSV, "=1+1", "'=1+1");
    expect(TEXT_CSV, "+1", "'+1");
    expect(TEXT_CSV, "-1", "'-1");
    expect(TEXT_CSV, "@sum", "'@sum");
    expect(TEXT_CSV, "  =1", "'  =1");
    expect(TEXT_CSV, "=a,\"b\"", "\"'=a,\"\"b\"\"\"");
    expect(TEXT_CSV, "\t=1\r\n", "\\x09=1\\x0d\\x0a");
    expect(TEXT_CSV, "  ", "  ");
}

static void test_html_and_gnuplot(void **state)
{
    (void)state;
    expect(TEXT_HTML, "<b a=\"x\" b='y'>&amp;", "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
    expect(TEXT_HTML, "\x1b\xe2\x80\xae", "\\x1b\\u202e");
    expect(TEXT_GNUPLOT, "", "''");
    expect(TEXT_GNUPLOT, "it's `rm` \\ \"q\"", "'it''s `rm` \\ \"q\"'");
    expect(TEXT_GNUPLOT, "a\n!ls", "'a\\x0a!ls'");
}

/* The length is that of the whole, and no character is cut in two. */
static void test_cut(void **state)
{
    char to[6];
    (void)state;
    assert_int_equal(text_escape(to, sizeof to, TEXT_TERMINAL,
                                 "abc\x1b"
                                 "d"),
                     8);
    assert_string_equal(to, "abc");
    assert_int_equal(text_escape(to, sizeof to, TEXT_TERMINAL, "abcd\xc3\xa9"), 6);
    assert_string_equal(to, "abcd");
    assert_int_equal(text_escape(to, sizeof to, TEXT_TERMINAL, "abcde"), 5);
    assert_string_equal(to, "abcde");
    assert_int_equal(text_escape(NULL, 0, TEXT_TERMINAL, "abcde"), 5);
}

static void test_line(void **state)
{
    char *written = NULL;
    size_t size;
    (void)state;
    FILE *file = open_memstream(&written, &size);
    assert_non_null(file);
    text_line(file, "%s: %d", "a\x1b", 7);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, "a\\x1b: 7\n");
    free(written);
}

/* Where there is no terminal, 80 columns. */
static void expect_fact(int indent, const char *text, const char *wanted)
{
    char *written = NULL;
    size_t size;
    FILE *file = open_memstream(&written, &size);
    assert_non_null(file);
    text_fact(file, indent, "%s", text);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, wanted);
    free(written);
}

#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define LONG_PATH "/" SIXTY "/" TEN TEN TEN

static void test_fact(void **state)
{
    (void)state;
    expect_fact(8, "label:  a  value of   its own", "label:  a  value of   its own\n");
    expect_fact(8, "label:  " SIXTY " 0123456789a", "label:  " SIXTY " 0123456789a\n");
    expect_fact(8, "label:  " SIXTY " 0123456789ab c", "label:  " SIXTY "\n        0123456789ab c\n");
    /* Characters count, not bytes; escaped ones as they are shown. */
    expect_fact(2, SIXTY " r\xc3\xa9seau 0123456789a z", SIXTY " r\xc3\xa9seau 0123456789a\n  z\n");
    expect_fact(2, SIXTY " 0123456789 \x1b[3m\n", SIXTY " 0123456789\n  \\x1b[3m\\x0a\n");
    /* A path is not cut, and does not leave its label. */
    expect_fact(8, "file:   " LONG_PATH " and more", "file:   " LONG_PATH "\n        and more\n");
    expect_fact(2, "a " LONG_PATH, "a " LONG_PATH "\n");
    expect_fact(0, "", "\n");
}

static void test_utf16(void **state)
{
    (void)state;
    assert_true(text_is_utf16("\xff\xfe"
                              "a\0",
                              4));
    assert_true(text_is_utf16("\xfe\xff\0a", 4));
    assert_false(text_is_utf16("\xff", 1));
    assert_false(text_is_utf16("\xef\xbb\xbf"
                               "a",
                               4));
}

static void test_plain(void **state)
{
    (void)state;
    assert_true(text_is_plain("", ""));
    assert_true(text_is_plain("R\xc3\xa9seau", ""));
    assert_true(text_is_plain("a\nb", "\n\t"));
    assert_false(text_is_plain("a\nb", ""));
    assert_false(text_is_plain("a\x1b", "\n"));
    assert_false(text_is_plain("\xc2\x9b", "\n"));
    assert_false(text_is_plain("\xe2\x80\xae", "\n"));
    assert_false(text_is_plain("\xff", "\n"));
}

static void expect_word(const char *word, const char *wanted)
{
    char *written = NULL;
    size_t size;
    FILE *file = open_memstream(&written, &size);
    assert_non_null(file);
    text_write_word(file, word);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(written, wanted);
    free(written);
}

/* A shell reads back what was given. */
static void test_word(void **state)
{
    (void)state;
    expect_word("a-b/c_d.e,f:g=h@i%j+k", "a-b/c_d.e,f:g=h@i%j+k");
    expect_word("", "''");
    expect_word("a b", "'a b'");
    expect_word("it's", "'it'\\''s'");
    expect_word("$HOME/*", "'$HOME/*'");
    expect_word("~/runs", "'~/runs'");
    expect_word("--runs=~/x", "'--runs=~/x'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_csv),      cmocka_unit_test(test_html_and_gnuplot),
        cmocka_unit_test(test_cut),      cmocka_unit_test(test_line),
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_fact),
        cmocka_unit_test(test_utf16),    cmocka_unit_test(test_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
