/* The file of a trace: what is written is read again, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "results/trace_file.h"

static struct trace_line lines[] = {
    { .name = "before/conv1.weight", .number = TRACE_F32, .rank = 4, .shape = { 16, 3, 3, 3 } },
    { .name = "batch/images", .number = TRACE_U32, .rank = 1, .shape = { 4 } },
    { .name = "forward/conv1/output",
      .number = TRACE_F32,
      .rank = 4,
      .shape = { 4, 16, 32, 32 },
      .first_input = 0,
      .input_count = 2 },
    { .name = "forward/bn1/mean", .number = TRACE_F64, .rank = 1, .shape = { 16 }, .first_input = 2, .input_count = 1 },
    { .name = "forward/loss", .number = TRACE_F32, .first_input = 3, .input_count = 2 },
};
static uint32_t inputs[] = { 0, 1, 2, 3, 1 };
enum { LINES = sizeof lines / sizeof *lines, INPUTS = sizeof inputs / sizeof *inputs };

static struct trace_file example(void)
{
    struct trace_file file = { .arithmetic = "exact-2",
                               .step = 776,
                               .row = { .loss = 1.5f, .errors = 3, .digest = { 7, UINT64_MAX } },
                               .list = { lines, LINES, inputs, INPUTS } };
    sha256_hex("an experiment", 13, file.experiment_sha256);
    for (uint32_t i = 0; i < LINES; i++)
        sha256_bytes(lines[i].name, strlen(lines[i].name), lines[i].digest);
    return file;
}

static char path[] = "/tmp/selfsame-test-trace-XXXXXX";

static void put(const char *bytes, size_t count)
{
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(bytes, 1, count, to), count);
    assert_int_equal(fclose(to), 0);
}

static void expect_refused(const char *bytes, size_t count)
{
    struct trace_file file;
    struct error error;
    put(bytes, count);
    assert_int_equal(trace_file_read(path, &file, &error), STATUS_INPUT);
    assert_null(file.list.lines);
    if (count > 0)
        assert_non_null(strstr(error.message, path));
}

/* The example's file, which the caller frees. */
static char *written(size_t *bytes)
{
    const struct trace_file file = example();
    char sha256[DIGEST_HEX_BYTES], expected[DIGEST_HEX_BYTES], *text;
    struct error error;
    assert_int_equal(trace_file_write(path, &file, sha256, &error), STATUS_OK);
    assert_int_equal(file_read(path, 1 << 20, &text, bytes, &error), STATUS_OK);
    sha256_hex(text, *bytes, expected);
    assert_string_equal(sha256, expected);
    return text;
}

static void test_round_trip(void **state)
{
    struct trace_file file = example(), read;
    struct error error;
    size_t bytes;
    (void)state;
    free(written(&bytes));
    assert_true(trace_file_is(path));
    assert_int_equal(trace_file_read(path, &read, &error), STATUS_OK);
    assert_string_equal(read.experiment_sha256, file.experiment_sha256);
    assert_string_equal(read.arithmetic, file.arithmetic);
    assert_int_equal(read.step, file.step);
    assert_true(read.row.loss == file.row.loss && read.row.errors == file.row.errors);
    assert_memory_equal(read.row.digest, file.row.digest, sizeof file.row.digest);
    assert_int_equal(trace_lines_part(&read.list, &file.list), LINES);
    uint32_t roots[1], differing;
    assert_int_equal(trace_roots(&read.list, &file.list, roots, 1, &differing), 0);
    assert_int_equal(differing, 0);
    trace_file_free(&read);
}

static void test_damage_is_refused(void **state)
{
    size_t bytes;
    char *text = written(&bytes);
    (void)state;
    for (size_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ 1 << bit);
            expect_refused(text, bytes);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
        if (i + 1 < bytes) /* the newline at the end may be missing */
            expect_refused(text, i);
    }
    put("some other text, which is longer\n", 33);
    assert_false(trace_file_is(path));
    assert_false(trace_file_is("/"));
    free(text);
}

/* Texts whose own SHA-256 is right, and whose content is not. */
static void test_hostile_content(void **state)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        { "lines 5", "lines 4294967295" },
        { "lines 5", "lines 0" },
        { "lines 5", "lines 4" },
        { "lines 5", "lines 6" },
        { "step 777", "step 0" },
        { "step 777", "step 18446744073709551617" },
        { "exact-2", "fast" },
        { "4x16x32x32", "4x16x32x99999999999" },
        { "4x16x32x32", "4x16x32x32x1" },
        { "4x16x32x32", "4xx32" },
        { "f64", "f16" },
        { "forward/loss", "forward/\x1b]0;loss" },
        { "forward/loss", "" },
        { " 4 2\n", " 4 5\n" },
        { " 4 2\n", " 4  2\n" },
        { " 4 2\n", " 4 2 \n" },
        { " 4 2\n", " 04 2\n" },
        { "5 forward", "6 forward" },
    };
    size_t bytes;
    char *text = written(&bytes);
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char changed[4096], hex[DIGEST_HEX_BYTES];
        char *const at = strstr(text, changes[i].from), *const end = strstr(text, "end ");
        assert_non_null(at);
        int length = snprintf(changed, sizeof changed, "%.*s%s%.*s", (int)(at - text), text, changes[i].to,
                              (int)(end - at - (ptrdiff_t)strlen(changes[i].from)), at + strlen(changes[i].from));
        sha256_hex(changed, (size_t)length, hex);
        length += snprintf(changed + length, sizeof changed - (size_t)length, "end %s\n", hex);
        expect_refused(changed, (size_t)length);
    }
    free(text);
}

static void test_verdicts(void **state)
{
    struct trace_file a = example(), b = example();
    struct trace_line other[LINES];
    struct trace_comparison c;
    (void)state;
    trace_compare(&a, &b, &c);
    assert_int_equal(c.verdict, VERDICT_IDENTICAL);

    memcpy(other, lines, sizeof other);
    b.list.lines = other;
    other[2].digest[31] ^= 1; /* and what follows from it */
    other[3].digest[0] ^= 1;
    trace_compare(&a, &b, &c);
    assert_int_equal(c.verdict, VERDICT_DIFFERS);
    assert_int_equal(c.differing, 2);
    assert_int_equal(c.root_count, 1);
    assert_int_equal(c.roots[0], 2);

    memcpy(b.experiment_sha256, "00", 2);
    trace_compare(&a, &b, &c);
    assert_int_equal(c.verdict, VERDICT_OTHER_EXPERIMENT);
    assert_int_equal(c.roots[0], 2);

    b = example();
    b.step++;
    trace_compare(&a, &b, &c);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    b = example();
    b.arithmetic[6] = '1';
    trace_compare(&a, &b, &c);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    b = example();
    b.list.count--;
    trace_compare(&a, &b, &c);
    assert_int_equal(c.verdict, VERDICT_NOT_COMPARABLE);
    b = example();
    b.row.errors++;
    trace_compare(&a, &b, &c);
    assert_int_equal(c.verdict, VERDICT_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_hostile_content),
        cmocka_unit_test(test_verdicts),
    };
    const int descriptor = mkstemp(path);
    if (descriptor == -1)
        return 1;
    close(descriptor);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
