/* Event files: the bytes that TensorBoard's own writer gives, read back, damaged and cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/event_file.h"

/* Written by TensorBoard: wall time 1 and the version; wall time 1, step 7, loss = 0.5. */
static const char golden[] = "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a"
                             "1a00000000000000129bd82d09000000000000f03f10072a0d0a0b0a046c6f7373150000003f862c9a2f";

static void make_golden(struct message *file)
{
    struct message event = { .bytes = 0 }, summary = { .bytes = 0 }, value = { .bytes = 0 };
    message_add_double(&event, EVENT_WALL_TIME, 1.0);
    message_add_text(&event, EVENT_FILE_VERSION, "brain.Event:2");
    event_file_append(file, event.data, event.bytes);
    message_clear(&event);
    message_add_double(&event, EVENT_WALL_TIME, 1.0);
    message_add_integer(&event, EVENT_STEP, 7);
    message_add_text(&value, VALUE_TAG, "loss");
    message_add_float(&value, VALUE_SIMPLE, 0.5F);
    message_add_message(&summary, SUMMARY_VALUE, &value);
    message_add_message(&event, EVENT_SUMMARY, &summary);
    event_file_append(file, event.data, event.bytes);
    message_free(&event);
    message_free(&summary);
    message_free(&value);
    assert_false(file->failed);
}

static void test_golden(void **state)
{
    (void)state;
    struct message file = { .bytes = 0 };
    char hex[sizeof golden];
    make_golden(&file);
    assert_int_equal(2 * file.bytes, strlen(golden));
    for (size_t i = 0; i < file.bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned)(uint8_t)file.data[i]);
    assert_string_equal(hex, golden);
    message_free(&file);
}

static void test_read_back(void **state)
{
    (void)state;
    struct message file = { .bytes = 0 };
    struct message_reader record;
    struct message_field field;
    struct error error;
    size_t offset = 0;
    bool found, wrong = false;
    make_golden(&file);
    assert_int_equal(event_file_next("f", file.data, file.bytes, &offset, &found, &record, &error), STATUS_OK);
    assert_true(found);
    assert_int_equal(event_file_next("f", file.data, file.bytes, &offset, &found, &record, &error), STATUS_OK);
    assert_true(found);
    assert_int_equal(offset, file.bytes);
    assert_true(message_next(&record, &field, &wrong));
    assert_int_equal(field.number, EVENT_WALL_TIME);
    assert_true(message_field_double(&field) == 1.0);
    assert_true(message_next(&record, &field, &wrong));
    assert_int_equal(field.number, EVENT_STEP);
    assert_int_equal(field.value, 7);
    assert_true(message_next(&record, &field, &wrong));
    assert_int_equal(field.number, EVENT_SUMMARY);
    assert_false(message_next(&record, &field, &wrong));
    assert_false(wrong);
    assert_int_equal(event_file_next("f", file.data, file.bytes, &offset, &found, &record, &error), STATUS_OK);
    assert_false(found);
    message_free(&file);
}

/* A cut file ends at its last whole record; a changed byte is seen, wherever it is. */
static void test_damage(void **state)
{
    (void)state;
    struct message file = { .bytes = 0 };
    struct message_reader record;
    struct error error;
    bool found;
    make_golden(&file);
    for (size_t bytes = 0; bytes < file.bytes; bytes++) {
        size_t offset = 0, count = 0;
        char *cut = malloc(bytes + 1); /* of that size, so that a sanitizer sees a read beyond it */
        assert_non_null(cut);
        memcpy(cut, file.data, bytes);
        do {
            assert_int_equal(event_file_next("f", cut, bytes, &offset, &found, &record, &error), STATUS_OK);
            count += found;
        } while (found);
        assert_int_equal(count, bytes >= 40);
        free(cut);
    }
    for (size_t i = 0; i < file.bytes; i++) {
        size_t offset = 0;
        enum status status;
        file.data[i] ^= 16;
        do
            status = event_file_next("f", file.data, file.bytes, &offset, &found, &record, &error);
        while (status == STATUS_OK && found);
        assert_int_equal(status, STATUS_INPUT);
        assert_non_null(strstr(error.message, i < 40 ? "f: byte 0: " : "f: byte 40: "));
        file.data[i] ^= 16;
    }
    message_free(&file);
}

/* Bytes that are no message: a cut number, a length beyond the end, a type that is not there, field 0. */
static void test_no_message(void **state)
{
    (void)state;
    static const uint8_t bad[][4] = { { 1, 0x08 }, { 2, 0x08, 0x80 }, { 3, 0x0a, 0x02, 'x' },
                                      { 1, 0x0b }, { 2, 0x00, 0x01 }, { 3, 0x09, 0x01, 0x02 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct message_reader reader = { .data = bad[i] + 1, .bytes = bad[i][0] };
        struct message_field field;
        bool wrong = false;
        while (message_next(&reader, &field, &wrong))
            ;
        assert_true(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden), cmocka_unit_test(test_read_back),
                                        cmocka_unit_test(test_damage), cmocka_unit_test(test_no_message) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
