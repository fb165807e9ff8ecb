/* record.json: what is written reads back, the records of 0.1.0 read and are written again alike, and whatever does not
 * fit is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "results/record_json.h"

static char folder[] = "/tmp/test_record_json.XXXXXX";
static const char golden[] = SOURCE_DIR "/check/goldens/run-0.1.0/record.json";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    unlink("record.json");
    return chdir("/") | rmdir(folder);
}

static void put(const char *text)
{
    struct error error;
    assert_int_equal(file_write("record.json", text, strlen(text), &error), STATUS_OK);
}

/* Inlined, gcc 12 takes what it returns for the address of its variable. */
__attribute__((noinline)) static char *get(const char *path)
{
    struct error error;
    size_t bytes;
    char *text = NULL;
    if (file_read(path, 1 << 20, &text, &bytes, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    return text;
}

static void expect(const char *complaint)
{
    struct record_facts facts;
    struct error error = { STATUS_OK, "" };
    enum status status = record_json_read("record.json", &facts, &error);
    record_json_free(&facts);
    if (status != (complaint == NULL ? STATUS_OK : STATUS_INPUT) ||
        (complaint != NULL && strstr(error.message, complaint) == NULL))
        fail_msg("status %d, \"%s\", expected \"%s\"", (int)status, error.message,
                 complaint != NULL ? complaint : "nothing");
}

/* Takes the line that holds a word away. */
static void drop_line(char *text, const char *word)
{
    char *at = strstr(text, word);
    assert_non_null(at);
    while (at > text && at[-1] != '\n')
        at--;
    char *end = strchr(at, '\n') + 1;
    memmove(at, end, strlen(end) + 1);
}

/* Written again, a record of 0.1.0 has the same bytes but for the digest that is new, and so has what is read of it. */
static void test_round_trip(void **state)
{
    (void)state;
    struct record_facts first, second;
    struct error error;
    char a[RECORD_VALUE_BYTES], b[RECORD_VALUE_BYTES], *text = get(golden), *again;
    assert_int_equal(record_json_read(golden, &first, &error), STATUS_OK);
    assert_string_equal(first.record_sha256, "");
    assert_string_equal(first.result.metrics_sha256, "");
    assert_int_equal(record_json_write("record.json", &first, &error), STATUS_OK);
    assert_int_equal(record_json_read("record.json", &second, &error), STATUS_OK);
    assert_string_not_equal(second.record_sha256, "");
    assert_null(record_json_difference(&first, &second, "", a, b));
    again = get("record.json");
    drop_line(again, "record_sha256");
    assert_string_equal(text, again);
    record_json_free(&first);
    record_json_free(&second);
    free(text);
    free(again);
}

static void test_difference(void **state)
{
    (void)state;
    struct record_facts first, second;
    struct error error;
    char a[RECORD_VALUE_BYTES], b[RECORD_VALUE_BYTES];
    assert_int_equal(record_json_read(golden, &first, &error), STATUS_OK);
    second = first;
    second.result.last.end_step++;
    assert_string_equal(record_json_difference(&first, &second, "result", a, b), "result.steps");
    assert_int_equal(atoi(b), atoi(a) + 1);
    assert_null(record_json_difference(&first, &second, "experiment", a, b));
    second.host_name = "elsewhere";
    assert_string_equal(record_json_difference(&first, &second, "host", a, b), "host.name");
    assert_string_equal(b, "\"elsewhere\"");
    record_json_free(&first);
}

static void test_format(void **state)
{
    (void)state;
    put("{\"format\": 2, \"anything\": true}\n");
    expect("has format 2, but this version of selfsame reads only format 1");
    put("{\"format\": \"1\"}\n");
    expect("\"format\" is not a whole number");
    put("{}\n");
    expect("\"format\" is missing");
    put("[]\n");
    expect("\"format\" is missing");
    put("{\"format\": 1}\n");
    expect("\"name\" is missing");
    put("not json\n");
    expect("record.json:1: ");
    put("");
    expect("record.json:1: ");
}

/* Calls `visit` for each value that is no object, with its object and key. */
static void each_leaf(json_t *object, const char *above,
                      void (*visit)(json_t *object, const char *key, const char *path))
{
    char keys[64][32];
    size_t count = 0;
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i))
        snprintf(keys[count++], sizeof keys[0], "%s", json_object_iter_key(i));
    for (size_t i = 0; i < count; i++) {
        char path[128];
        json_t *value = json_object_get(object, keys[i]);
        snprintf(path, sizeof path, "%s%s%s", above, above[0] != '\0' ? "." : "", keys[i]);
        if (json_is_object(value))
            each_leaf(value, path, visit);
        else
            visit(object, keys[i], path);
    }
}

static json_t *root;

static void dump_and_expect(const char *complaint)
{
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    assert_non_null(text);
    put(text);
    free(text);
    expect(complaint);
}

/* Circumstances may be missing; what a run is and gave may not. */
static void expect_without(json_t *object, const char *key, const char *path)
{
    static const char *const may_miss[] = {
        "engine.",           "program.",          "host.", "time.", "peak_memory_bytes", "data_notes",
        "arithmetic.claims", "network.parameters"
    };
    bool required = true;
    char complaint[160];
    json_t *value = json_incref(json_object_get(object, key));
    for (size_t i = 0; i < sizeof may_miss / sizeof *may_miss; i++)
        required = required && strncmp(path, may_miss[i], strlen(may_miss[i])) != 0;
    snprintf(complaint, sizeof complaint, "\"%s\" is missing", path);
    assert_int_equal(json_object_del(object, key), 0);
    /* Without the count of epochs there are none. */
    dump_and_expect(required && strcmp(path, "result.epochs") != 0 ? complaint : NULL);
    assert_int_equal(json_object_set_new(object, key, value), 0);
}

static void expect_of_another_type(json_t *object, const char *key, const char *path)
{
    char complaint[160];
    json_t *value = json_incref(json_object_get(object, key));
    snprintf(complaint, sizeof complaint, "\"%s\" is", path);
    assert_int_equal(json_object_set_new(object, key, json_null()), 0);
    dump_and_expect(complaint);
    json_t *other = json_is_string(value) ? json_integer(7) : json_string("7");
    assert_int_equal(json_object_set_new(object, key, other), 0);
    dump_and_expect(complaint);
    if (json_is_integer(value)) {
        assert_int_equal(json_object_set_new(object, key, json_integer(-1)), 0);
        if (strcmp(path, "format") != 0)
            dump_and_expect(complaint);
        assert_int_equal(json_object_set_new(object, key, json_real(1.5)), 0);
        dump_and_expect(complaint);
    }
    if (json_is_string(value)) {
        assert_int_equal(json_object_set_new(object, key, json_string("bad\x1b[2J")), 0);
        snprintf(complaint, sizeof complaint, "\"%s\" %s", path,
                 strcmp(path, "state") == 0 ? "is not one of" : "holds a control character");
        dump_and_expect(complaint);
    }
    assert_int_equal(json_object_set_new(object, key, value), 0);
}

static void test_every_field(void **state)
{
    (void)state;
    root = json_load_file(golden, 0, NULL);
    assert_non_null(root);
    dump_and_expect(NULL);
    each_leaf(root, "", expect_without);
    each_leaf(root, "", expect_of_another_type);
    /* A later version may have more. */
    assert_int_equal(json_object_set_new(root, "new_key", json_pack("{s:i}", "x", 1)), 0);
    dump_and_expect(NULL);
    json_decref(root);
}

/* The digest of its own: every changed byte shows, what editors and file transfers do to a text does not. */
static void test_own_digest(void **state)
{
    (void)state;
    struct record_facts facts;
    struct error error;
    assert_int_equal(record_json_read(golden, &facts, &error), STATUS_OK);
    assert_int_equal(record_json_write("record.json", &facts, &error), STATUS_OK);
    record_json_free(&facts);
    char *text = get("record.json"), *place = strstr(text, "\"memory_bytes\": ");
    assert_non_null(place);
    place += strlen("\"memory_bytes\": ");
    *place = *place == '1' ? '2' : '1';
    put(text);
    expect("record.json was changed after it was written");
    *place = *place == '1' ? '2' : '1';
    /* Back again, with carriage returns, a byte order mark and without the last newline. */
    free(text);
    assert_int_equal(record_json_read(golden, &facts, &error), STATUS_OK);
    assert_int_equal(record_json_write("record.json", &facts, &error), STATUS_OK);
    record_json_free(&facts);
    text = get("record.json");
    char *other = malloc(2 * strlen(text) + 4), *to = other;
    assert_non_null(other);
    to += sprintf(to, "\xef\xbb\xbf");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\n')
            *to++ = '\r';
        *to++ = *c;
    }
    *to = '\0';
    put(other);
    expect(NULL);
    to[-2] = '\0';
    put(other);
    expect(NULL);
    free(text);
    free(other);
}

static void test_cannot_be_written(void **state)
{
    (void)state;
    struct record_facts facts;
    struct error error;
    unlink("record.json");
    assert_int_equal(record_json_read(golden, &facts, &error), STATUS_OK);
    facts.host_name = "\xff";
    assert_int_equal(record_json_write("record.json", &facts, &error), STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "not UTF-8"));
    assert_false(file_exists("record.json"));
    record_json_free(&facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_difference), cmocka_unit_test(test_format),
        cmocka_unit_test(test_every_field), cmocka_unit_test(test_own_digest), cmocka_unit_test(test_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
