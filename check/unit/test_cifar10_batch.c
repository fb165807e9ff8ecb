/* One batch of CIFAR-10: both versions, in every form in which people have them, and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/data/cifar10_batch.h"

/* ---- a batch of the Python version, written byte for byte -------------------------------------------------------- */

enum { COUNT = 4, FILE_ROOM = 1 << 16 };

struct writer {
    uint8_t bytes[FILE_ROOM];
    size_t count;
};

static void put(struct writer *w, const void *data, size_t bytes)
{
    memcpy(w->bytes + w->count, data, bytes);
    w->count += bytes;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_key(struct writer *w, const char *key, bool as_bytes)
{
    const uint8_t length[] = { (uint8_t)strlen(key), 0, 0, 0 };
    put(w, as_bytes ? "U" : "X", 1);
    put(w, length, as_bytes ? 1 : 4);
    put_text(w, key);
}

static void put_integer(struct writer *w, uint32_t number)
{
    const uint8_t bytes[] = { 'J', (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), 0 };
    put(w, bytes, sizeof bytes);
}

static void put_dtype(struct writer *w, const char *dtype)
{
    put_text(w, "cnumpy\ndtype\n");
    put_key(w, dtype, true);
    put_integer(w, 0);
    put_integer(w, 1);
    put(w, "\x87R(", 3);
    put_integer(w, 3);
    put_key(w, dtype[1] == '1' ? "|" : "<", true);
    put(w, "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffJ\0\0\0\0tb", 20);
}

/* numpy's int64 at protocol 2. */
static void put_scalar(struct writer *w, uint8_t number)
{
    const uint8_t bytes[] = { 'U', 8, number, 0, 0, 0, 0, 0, 0, 0 };
    put_text(w, "cnumpy.core.multiarray\nscalar\n");
    put_dtype(w, "i8");
    put(w, bytes, sizeof bytes);
    put(w, "\x86R", 2);
}

/* numpy's array at protocol 2. */
static void put_array(struct writer *w, const char *dtype, const uint32_t *shape, size_t rank, bool fortran,
                      const uint8_t *data, uint32_t bytes)
{
    const uint8_t length[] = { (uint8_t)bytes, (uint8_t)(bytes >> 8), (uint8_t)(bytes >> 16), 0 };
    put_text(w, "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ");
    put(w, "\0\0\0\0\x85U\1b\x87R(", 11);
    put_integer(w, 1);
    put_text(w, "(");
    for (size_t i = 0; i < rank; i++)
        put_integer(w, shape[i]);
    put_text(w, "t");
    put_dtype(w, dtype);
    put(w, fortran ? "\x88T" : "\x89T", 2);
    put(w, length, 4);
    put(w, data, bytes);
    put_text(w, "tb");
}

/* What a batch is to look like. */
struct looks {
    const char *labels_key; /* NULL: none */
    char labels; /* 'l'ist, 't'uple, 'a'rray, s'c'alars, 'f'loats, 'b'ooleans, 's'hort, 'n'egative, 'x': ten */
    const char *data_key;
    const uint32_t *shape;
    size_t rank;
    bool fortran, bytes_keys;
};

static const uint32_t flat[] = { COUNT, DATASET_IMAGE_BYTES }, planes[] = { COUNT, 3, 32, 32 },
                      channels_last[] = { COUNT, 32, 32, 3 }, grey[] = { COUNT, 1, 32, 96 };
static const uint8_t expected_labels[COUNT] = { 3, 9, 0, 7 };

static uint8_t expected_byte(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static void put_labels(struct writer *w, char labels)
{
    uint8_t array[COUNT * 8] = { 0 };
    static const uint32_t shape[] = { COUNT };
    for (size_t i = 0; i < COUNT; i++)
        array[8 * i] = expected_labels[i];
    if (labels == 'n')
        memset(array + 8, 0xff, 8);
    if (labels == 'a' || labels == 'f' || labels == 'n') {
        put_array(w, labels == 'f' ? "f8" : "i8", shape, 1, false, array, sizeof array);
        return;
    }
    if (labels == 'b') {
        put_array(w, "b1", shape, 1, false, array, COUNT);
        return;
    }
    put_text(w, labels == 't' ? "(" : "](");
    for (size_t i = 0; i < COUNT - (labels == 's'); i++)
        if (labels == 'c')
            put_scalar(w, expected_labels[i]);
        else
            put_integer(w, labels == 'x' && i == 2 ? 10 : expected_labels[i]);
    put_text(w, labels == 't' ? "t" : "e");
}

static void write_batch(struct writer *w, const struct looks *looks)
{
    static uint8_t data[COUNT * DATASET_IMAGE_BYTES];
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < DATASET_IMAGE_BYTES; k++) {
            size_t at = i * DATASET_IMAGE_BYTES + k, place = at;
            if (looks->fortran && looks->rank == 2)
                place = k * COUNT + i;
            else if (looks->fortran)
                place = i + COUNT * (k / 1024 + 3 * (k % 1024 / 32 + 32 * (k % 32)));
            data[place] = expected_byte(at);
        }
    }
    w->count = 0;
    put(w, "\x80\2}(", 4);
    put_key(w, looks->data_key, looks->bytes_keys);
    put_array(w, "u1", looks->shape, looks->rank, looks->fortran, data, sizeof data);
    if (looks->labels_key != NULL) {
        put_key(w, looks->labels_key, looks->bytes_keys);
        put_labels(w, looks->labels);
    }
    put_text(w, "u.");
}

static enum status read_batch(const struct looks *looks, uint8_t *images, uint8_t *labels, struct error *error)
{
    static struct writer w;
    const struct cifar10_batch batch = { COUNT, images, labels };
    write_batch(&w, looks);
    return cifar10_python_read("batch", w.bytes, w.count, &batch, error);
}

static void test_python_batches(void **state)
{
    (void)state;
    static const struct looks good[] = {
        { "labels", 'l', "data", flat, 2, false, false },  { "labels", 'l', "data", flat, 2, false, true },
        { "labels", 't', "data", flat, 2, true, false },   { "labels", 'a', "data", planes, 4, false, false },
        { "labels", 'a', "data", planes, 4, true, false }, { "labels", 'c', "data", planes, 4, false, true },
    };
    uint8_t images[COUNT * DATASET_IMAGE_BYTES], labels[COUNT];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct error error = { STATUS_OK, "" };
        memset(images, 0, sizeof images);
        if (read_batch(&good[i], images, labels, &error) != STATUS_OK)
            fail_msg("case %zu: %s", i, error.message);
        assert_memory_equal(labels, expected_labels, COUNT);
        for (size_t k = 0; k < sizeof images; k++)
            assert_int_equal(images[k], expected_byte(k));
    }
}

static void test_python_refused(void **state)
{
    (void)state;
    static const struct {
        struct looks looks;
        const char *says;
    } bad[] = {
        { { "labels", 'l', "data", channels_last, 4, false, false }, "channels last (N, 32, 32, 3)" },
        { { "labels", 'l', "data", grey, 4, false, false }, "\"data\" is not uint8 of 4 x 3072 or 4 x 3 x 32 x 32" },
        { { "fine_labels", 'l', "data", flat, 2, false, false }, "CIFAR-100" },
        { { "coarse_labels", 'l', "data", flat, 2, false, true }, "CIFAR-100" },
        { { NULL, 'l', "data", flat, 2, false, false }, "\"labels\" is missing" },
        { { "labels", 'l', "date", flat, 2, false, false }, "\"data\" is missing" },
        { { "labels", 's', "data", flat, 2, false, false }, "\"labels\" is not a list of 4" },
        { { "labels", 'x', "data", flat, 2, false, false }, "label 2 (from 0) is not an integer of 0 to 9" },
        { { "labels", 'n', "data", flat, 2, false, false }, "label 1 (from 0) is not an integer of 0 to 9" },
        { { "labels", 'f', "data", flat, 2, false, false }, "an array of 4 F64s; expected 4 integers" },
        { { "labels", 'b', "data", flat, 2, false, false }, "an array of 4 BOOLs; expected 4 integers" },
    };
    uint8_t images[COUNT * DATASET_IMAGE_BYTES], labels[COUNT];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = { STATUS_OK, "" };
        assert_int_equal(read_batch(&bad[i].looks, images, labels, &error), STATUS_INPUT);
        if (strstr(error.message, bad[i].says) == NULL)
            fail_msg("case %zu says %s", i, error.message);
    }
}

/* Cut at every byte, and every byte changed: refused, or good labels. */
static void test_python_damaged(void **state)
{
    (void)state;
    static struct writer w;
    static const struct looks looks = { "labels", 'a', "data", flat, 2, false, false };
    uint8_t images[COUNT * DATASET_IMAGE_BYTES], labels[COUNT];
    const struct cifar10_batch batch = { COUNT, images, labels };
    struct error error;
    write_batch(&w, &looks);
    for (size_t length = 0; length < w.count; length++)
        assert_int_equal(cifar10_python_read("batch", w.bytes, length, &batch, &error), STATUS_INPUT);
    for (size_t at = 0; at < w.count; at++) {
        w.bytes[at] ^= 0x21;
        if (cifar10_python_read("batch", w.bytes, w.count, &batch, &error) == STATUS_OK) {
            for (size_t i = 0; i < COUNT; i++)
                assert_true(labels[i] < DATASET_CLASSES);
        }
        w.bytes[at] ^= 0x21;
    }
}

static void test_binary_batch(void **state)
{
    (void)state;
    static uint8_t records[COUNT * (DATASET_RECORD_BYTES + 1)];
    uint8_t images[COUNT * DATASET_IMAGE_BYTES], labels[COUNT];
    const struct cifar10_batch batch = { COUNT, images, labels };
    struct error error;
    records[DATASET_RECORD_BYTES] = 9;
    records[2 * DATASET_RECORD_BYTES - 1] = 77;
    assert_int_equal(cifar10_binary_read("b", records, COUNT * DATASET_RECORD_BYTES, &batch, &error), STATUS_OK);
    assert_int_equal(labels[1], 9);
    assert_int_equal(images[2 * DATASET_IMAGE_BYTES - 1], 77);
    assert_int_equal(cifar10_binary_read("b", records, COUNT * DATASET_RECORD_BYTES - 1, &batch, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "too short"));
    assert_int_equal(cifar10_binary_read("b", records, COUNT * DATASET_RECORD_BYTES + 1, &batch, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "too long"));
    assert_int_equal(cifar10_binary_read("b", records, sizeof records, &batch, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "CIFAR-100"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python_batches),
        cmocka_unit_test(test_python_refused),
        cmocka_unit_test(test_python_damaged),
        cmocka_unit_test(test_binary_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
