/* Files of PyTorch's own (check/goldens/torch_files.py), and what of them must be refused. Their numbers are known by
 * formula. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/file.h"
#include "fetch/weights/weights.h"

static const char *const kinds[] = { "legacy", "zip" };

static char *read_golden(const char *name, const char *kind, size_t *bytes)
{
    char path[512], *file;
    struct error error;
    snprintf(path, sizeof path, "%s/check/goldens/torch/%s-%s.pt", SOURCE_DIR, name, kind);
    if (file_read(path, 1 << 20, &file, bytes, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    return file;
}

static void open_golden(struct weights *weights, const char *name, const char *kind)
{
    size_t bytes;
    char *file = read_golden(name, kind, &bytes);
    struct error error;
    if (weights_parse(weights, "x.pt", (const uint8_t *)file, bytes, NULL, &error) != STATUS_OK)
        fail_msg("%s-%s: %s", name, kind, error.message);
    assert_int_equal(weights->container, strcmp(kind, "zip") == 0 ? CONTAINER_TORCH_ZIP : CONTAINER_TORCH_LEGACY);
    free(file);
}

static const struct named_tensor *find(const struct weights *weights, const char *name, uint32_t rank, size_t count)
{
    const struct named_tensor *tensor = tensors_find(&weights->tensors, name);
    if (tensor == NULL)
        fail_msg("no tensor %s", name);
    assert_int_equal(tensor->rank, rank);
    assert_int_equal(tensor->count, count);
    return tensor;
}

/* The generator's ramp. */
static float ramp(size_t i)
{
    return 0.5f * (float)i - 1.0f;
}

static void test_plain(void **state)
{
    (void)state;
    char digests[2][DIGEST_HEX_BYTES];
    for (int k = 0; k < 2; k++) {
        struct weights weights;
        open_golden(&weights, "plain", kinds[k]);
        assert_int_equal(weights.tensors.count, 5);
        const struct named_tensor *matrix = find(&weights, "matrix", 2, 6),
                                  *parameter = find(&weights, "parameter", 1, 4);
        assert_int_equal(matrix->shape[0], 2);
        assert_int_equal(matrix->shape[1], 3);
        for (size_t i = 0; i < 6; i++)
            assert_true(matrix->values[i] == ramp(i));
        for (size_t i = 0; i < 4; i++)
            assert_true(parameter->values[i] == ramp(i));
        assert_true(find(&weights, "scalar", 0, 1)->values[0] == 0.625f);
        assert_int_equal(find(&weights, "empty", 2, 0)->shape[1], 3);
        assert_int_equal(find(&weights, "bn1.num_batches_tracked", 0, 1)->element, ELEMENT_I64);
        assert_null(find(&weights, "bn1.num_batches_tracked", 0, 1)->values);
        assert_int_equal(weights_parameter_count(&weights), 6 + 4 + 1);
        weights_content_digest(&weights, digests[k]);
        weights_close(&weights);
    }
    assert_string_equal(digests[0], digests[1]);
}

static void test_views(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) { /* the third with all sizes and places in 64 bits */
        struct weights weights;
        open_golden(&weights, k == 2 ? "views64" : "views", k == 2 ? "zip" : kinds[k]);
        const struct named_tensor *transposed = find(&weights, "transposed", 2, 24);
        assert_int_equal(transposed->shape[0], 6);
        for (size_t i = 0; i < 24; i++) {
            assert_true(find(&weights, "base", 1, 24)->values[i] == ramp(i));
            assert_true(transposed->values[i] == ramp(i % 4 * 6 + i / 4));
        }
        for (size_t i = 0; i < 19; i++)
            assert_true(find(&weights, "tail", 1, 19)->values[i] == ramp(i + 5));
        for (size_t i = 0; i < 8; i++)
            assert_true(find(&weights, "every_third", 1, 8)->values[i] == ramp(3 * i));
        weights_close(&weights);
    }
}

static void test_types(void **state)
{
    (void)state;
    static const float half[] = { 1 + 0x1p-10f, 0x1p-24f, -65504, INFINITY, -0.0f },
                       brain[] = { 1 + 0x1p-7f, 0x1p-133f, -2.99704e38f, -INFINITY, 0 },
                       real[] = { 1 + 0x1p-23f, 0x1p-149f, -1.5f, INFINITY };
    for (int k = 0; k < 2; k++) {
        struct weights weights;
        open_golden(&weights, "types", kinds[k]);
        const struct named_tensor *tensor = find(&weights, "half", 1, 5);
        assert_int_equal(tensor->element, ELEMENT_F16);
        assert_memory_equal(tensor->values, half, sizeof half);
        tensor = find(&weights, "brain", 1, 5);
        for (int i = 0; i < 5; i++) /* -3e38 was rounded to bfloat16's 8 bits when the file was made */
            assert_true(i == 2 ? fabsf(tensor->values[i] + 3e38f) < 2e36f : tensor->values[i] == brain[i]);
        assert_memory_equal(find(&weights, "double", 1, 4)->values, real, sizeof real);
        weights_close(&weights);
    }
}

/* float64 becomes the nearest float32, and the note says what that changed. */
static void test_rounded(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct weights weights;
        char text[WEIGHTS_ROUNDING_BYTES];
        open_golden(&weights, "inexact", kinds[k]);
        const struct named_tensor *tensor = find(&weights, "double", 1, 2);
        assert_true(tensor->values[0] == 1 && tensor->values[1] == 0.1f);
        assert_int_equal(weights_rounding(&weights).rounded, 1);
        weights_tell_rounding(&weights, text);
        assert_string_equal(text,
                            "float64, rounded to float32: 1 of 2 numbers changed, the most by 1.5e-08 of its size");
        weights_close(&weights);
        open_golden(&weights, "types", kinds[k]); /* whose float64 are float32 as well */
        weights_tell_rounding(&weights, text);
        assert_string_equal(text, "float64, and float32 can hold every number exactly");
        weights_close(&weights);
    }
}

/* Protocol 4 in both formats: frames, memoized texts, STACK_GLOBAL. */
static void test_protocol4(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct weights weights;
        open_golden(&weights, "protocol4", kinds[k]);
        assert_true(find(&weights, "a", 1, 2)->values[1] == ramp(1));
        weights_close(&weights);
    }
}

static void test_wrapped(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct weights weights;
        open_golden(&weights, "wrapped", kinds[k]);
        assert_int_equal(weights.tensors.count, 2);
        assert_string_equal(weights.tensors.list[0].name, "first"); /* sorted, without module. */
        assert_true(find(&weights, "second", 1, 3)->values[2] == ramp(2));
        assert_int_equal(weights.tensors.claim_count, 3);
        assert_string_equal(weights.tensors.claims[0].name, "epoch");
        assert_string_equal(weights.tensors.claims[0].value, "12");
        assert_string_equal(weights.tensors.claims[1].value, "resnet8");
        assert_string_equal(weights.tensors.claims[2].name, "best_prec1");
        assert_string_equal(weights.tensors.claims[2].value, "91.5");
        weights_close(&weights);
    }
}

/* From memory of exactly that size, so that a sanitizer sees every byte too far. Frees what was read; tells whether it
 * was. */
static bool parses(const char *file, size_t bytes, struct error *error)
{
    struct weights weights;
    uint8_t *copy = malloc(bytes + (bytes == 0));
    assert_non_null(copy);
    memcpy(copy, file, bytes);
    *error = (struct error){ STATUS_OK, "" };
    enum status status = weights_parse(&weights, "x.pt", copy, bytes, NULL, error);
    free(copy);
    if (status == STATUS_OK)
        weights_close(&weights);
    else
        assert_int_equal(status, STATUS_INPUT);
    return status == STATUS_OK;
}

static void expect_refusal(const char *file, size_t bytes, const char *complaint)
{
    struct error error;
    if (parses(file, bytes, &error))
        fail_msg("not refused: should say \"%s\"", complaint);
    if (strstr(error.message, complaint) == NULL || strstr(error.message, "x.pt") == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, complaint);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *kind, *complaint;
    } files[] = {
        { "module", "zip", "contains a whole module, torch.nn.modules.linear.Linear" },
        { "nothing", "legacy", "without named tensors" },
        { "nothing", "zip", "without named tensors" },
        { "script", "zip", "TorchScript archive, which contains a program" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t bytes;
        char *file = read_golden(files[i].name, files[i].kind, &bytes);
        expect_refusal(file, bytes, files[i].complaint);
        free(file);
    }
}

/* Replaces the first occurrence; the lengths are the same. */
static void change(char *file, size_t bytes, const void *from, const void *to, size_t length)
{
    char *place = memmem(file, bytes, from, length);
    assert_non_null(place);
    memcpy(place, to, length);
}

static void test_changed_legacy(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to;
        size_t length;
        const char *complaint;
    } changes[] = {
        { "views", "little_endianq\x02\x88", "little_endianq\x02\x89", 16, "not little-endian" },
        { "views", "M\xe9\x03", "M\xea\x03", 3, "version other than 1001" },
        { "views", "FloatStorage", "EvilsStorage", 12, "of a type that is not known" },
        { "views", "K\x18N", "K\x19N", 3, "two types or sizes" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        size_t bytes;
        char *file = read_golden(changes[i].name, "legacy", &bytes);
        if (memmem(file, bytes, changes[i].from, changes[i].length) == NULL)
            fail_msg("change %zu (%s) finds nothing to change", i, changes[i].complaint);
        change(file, bytes, changes[i].from, changes[i].to, changes[i].length);
        expect_refusal(file, bytes, changes[i].complaint);
        free(file);
    }
    /* One more byte, and a storage whose count is another. */
    size_t bytes;
    char *file = read_golden("plain", "legacy", &bytes);
    char *longer = malloc(bytes + 1);
    assert_non_null(longer);
    memcpy(longer, file, bytes);
    longer[bytes] = 0;
    expect_refusal(longer, bytes + 1, "follow the last storage");
    free(longer);
    free(file);
}

/* A tensor that cannot be read is listed with the reason, and the others are read. */
static void expect_obstacle(const char *file, size_t bytes, const char *name, const char *obstacle)
{
    struct weights weights;
    struct error error;
    if (weights_parse(&weights, "x.pt", (const uint8_t *)file, bytes, NULL, &error) != STATUS_OK)
        fail_msg("%s: %s", obstacle, error.message);
    const struct named_tensor *tensor = tensors_find(&weights.tensors, name);
    if (tensor == NULL || tensor->obstacle == NULL || strstr(tensor->obstacle, obstacle) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", name, tensor != NULL ? tensor->obstacle : "no tensor", obstacle);
    assert_int_equal(weights.tensors.count, 4);
    weights_close(&weights);
}

static void test_unread(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        size_t length;
        const char *name, *obstacle;
    } changes[] = {
        { "K\x05K\x13\x85", "K\x06K\x13\x85", 5, "tail", "reaches outside of its storage" }, /* one further */
        { "K\x05K\x13\x85", "K\x05K\x14\x85", 5, "tail", "reaches outside of its storage" }, /* one longer */
        { "K\x05K\x13\x85", "K\xffK\x13\x85", 5, "tail", "begins outside of its storage" },
        { "K\x06K\x04\x86", "K\x06K\x05\x86", 5, "transposed", "reaches outside of its storage" }, /* (6, 5) */
        { "K\x03\x85", "K\x04\x85", 3, "every_third", "reaches outside of its storage" },          /* every fourth */
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        size_t bytes;
        char *file = read_golden("views", "legacy", &bytes);
        change(file, bytes, changes[i].from, changes[i].to, changes[i].length);
        expect_obstacle(file, bytes, changes[i].name, changes[i].obstacle);
        free(file);
    }
}

/* Text that a test puts together. */
struct builder {
    char *text;
    size_t bytes;
};

static void put(struct builder *to, const void *data, size_t bytes)
{
    to->text = realloc(to->text, to->bytes + bytes + 1);
    assert_non_null(to->text);
    memcpy(to->text + to->bytes, data, bytes);
    to->bytes += bytes;
}
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static void put_u32(struct builder *to, size_t value)
{
    uint8_t data[4];
    bytes_put_u32(data, (uint32_t)value);
    put(to, data, sizeof data);
}

/* torch's file of a storage of the floats 1 and 2, whose pickles have more than `padding` bytes. */
static struct builder storage_file(size_t padding)
{
    struct builder file = { .text = NULL };
    char *pad = calloc(1, padding);
    assert_non_null(pad);
    PUT(&file, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.");
    PUT(&file, "\x80\x03}U\x0dlittle_endian\x88sU\x03padB");
    put_u32(&file, padding);
    put(&file, pad, padding);
    PUT(&file, "s.\x80\x02(U\x07storagectorch\nFloatStorage\nU\x01"
               "0U\x03"
               "cpuK\x02NtQ.\x80\x02]U\x01"
               "0a.\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40");
    free(pad);
    return file;
}

/* A pickle of 600 tensors which take their storages in turn from so many files, each given as bytes once. */
static struct builder shared_storages(size_t files)
{
    struct builder file = { .text = NULL }, storage = storage_file(4096);
    PUT(&file, "\x80\x03}");
    for (size_t i = 0; i < 600; i++) {
        const uint8_t number = (uint8_t)(i % files);
        char name[8];
        snprintf(name, sizeof name, "t%05zu", i);
        PUT(&file, "U\x06");
        put(&file, name, 6);
        PUT(&file, "ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n");
        if (i < files) {
            PUT(&file, "B");
            put_u32(&file, storage.bytes);
            put(&file, storage.text, storage.bytes);
            PUT(&file, "q");
        } else {
            PUT(&file, "h");
        }
        put(&file, &number, 1);
        PUT(&file, "\x85RK\x00K\x02\x85K\x01\x85\x89"
                   "ccollections\nOrderedDict\n)RtRs");
    }
    PUT(&file, ".");
    free(storage.text);
    return file;
}

/* Tensors that share a storage cost one reading of it. A file whose tensors have storages read again and again, which
 * would take hours, is not read to its end. */
static void test_shared_storages(void **state)
{
    (void)state;
    for (size_t files = 1; files <= 2; files++) {
        struct builder file = shared_storages(files);
        struct weights weights;
        struct error error;
        size_t unread = 0;
        if (weights_parse(&weights, "x.pkl", (const uint8_t *)file.text, file.bytes, NULL, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        assert_int_equal(weights.tensors.count, 600);
        for (size_t i = 0; i < weights.tensors.count; i++) {
            const struct named_tensor *tensor = &weights.tensors.list[i];
            unread += tensor->obstacle != NULL;
            if (tensor->obstacle != NULL)
                assert_non_null(strstr(tensor->obstacle, "would be read again"));
            else
                assert_true(tensor->values[0] == 1.0f && tensor->values[1] == 2.0f);
        }
        assert_true(files == 1 ? unread == 0 : unread > 0 && unread < 600);
        weights_close(&weights);
        free(file.text);
    }
}

static void put_zeros(struct builder *to, size_t bytes)
{
    while (bytes-- > 0)
        put(to, "", 1);
}

/* A stored entry of a zip file: its local header and its data. What is zero is no flag, the method and no time. */
static void put_local(struct builder *to, const char *name, const struct builder *data)
{
    PUT(to, "PK\x03\x04\x14");
    put_zeros(to, 13);
    put_u32(to, data->bytes);
    put_u32(to, data->bytes);
    PUT(to, "\x05");
    put_zeros(to, 3);
    put(to, name, 5);
    put(to, data->text, data->bytes);
}

static void put_central(struct builder *to, const char *name, size_t bytes, size_t place)
{
    PUT(to, "PK\x01\x02\x14");
    put_zeros(to, 1);
    PUT(to, "\x14");
    put_zeros(to, 13);
    put_u32(to, bytes);
    put_u32(to, bytes);
    PUT(to, "\x05");
    put_zeros(to, 13);
    put_u32(to, place);
    put(to, name, 5);
}

/* The second entry lies in the data of the first. So may a thousand, each of nearly the whole file. */
static void test_overlapping_zip(void **state)
{
    (void)state;
    enum { LOCAL_BYTES = 30 + 5 };
    struct builder array = { .text = NULL }, inner = { .text = NULL }, file = { .text = NULL };
    PUT(&array, "0123456789");
    put_local(&inner, "b.npy", &array);
    put_local(&file, "a.npy", &inner);
    const size_t directory = file.bytes;
    put_central(&file, "a.npy", inner.bytes, 0);
    put_central(&file, "b.npy", array.bytes, LOCAL_BYTES);
    const size_t end = file.bytes;
    PUT(&file, "PK\x05\x06");
    put_zeros(&file, 4);
    PUT(&file, "\x02\0\x02\0");
    put_u32(&file, end - directory);
    put_u32(&file, directory);
    put_zeros(&file, 2);
    expect_refusal(file.text, file.bytes, "the entries a.npy and b.npy overlap");
    free(array.text);
    free(inner.text);
    free(file.text);
}

static void test_changed_zip(void **state)
{
    (void)state;
    size_t bytes;
    struct error error;
    char *file = read_golden("views", "zip", &bytes);
    change(file, bytes, "little", "big   ", 6);
    expect_refusal(file, bytes, "byteorder is damaged: its CRC-32");
    uint8_t crcs[2][4];
    bytes_put_u32(crcs[0], (uint32_t)crc32(0, (const uint8_t *)"little", 6));
    bytes_put_u32(crcs[1], (uint32_t)crc32(0, (const uint8_t *)"big   ", 6));
    while (memmem(file, bytes, crcs[0], 4) != NULL)
        change(file, bytes, crcs[0], crcs[1], 4);
    expect_refusal(file, bytes, "not little-endian");
    change(file, bytes, "big   ", "little", 6);
    while (memmem(file, bytes, crcs[1], 4) != NULL)
        change(file, bytes, crcs[1], crcs[0], 4);
    assert_true(parses(file, bytes, &error));
    /* A flipped bit of data shows by the CRC-32. 10.5, the last of the ramp: */
    change(file, bytes, "\x00\x00\x28\x41", "\x00\x00\x29\x41", 4);
    expect_obstacle(file, bytes, "base", "damaged: its CRC-32");
    free(file);
}

/* Cut anywhere, a file is refused; with any bit flipped it is read or refused, and no more. A zip's CRC-32 and a legacy
 * file's counts find what their bytes allow. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const names[] = { "plain", "views", "wrapped" };
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        for (int k = 0; k < 2; k++) {
            size_t bytes;
            struct error error;
            char *file = read_golden(names[n], kinds[k], &bytes);
            for (size_t length = 0; length < bytes; length++)
                expect_refusal(file, length, "");
            for (size_t bit = 0; bit < 8 * bytes; bit++) {
                file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
                (void)parses(file, bytes, &error);
                file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
            }
            assert_true(parses(file, bytes, &error));
            free(file);
        }
    }
}

/* What people mistake for weights is called by its name. */
static void test_foreign(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        size_t bytes;
        const char *complaint;
    } files[] = {
        { "", 0, "is empty: did a download fail?" },
        { "hello", 5, "in a format that selfsame does not know" },
        { "\x89HDF\r\n\x1a\n", 8, "HDF5" },
        { "\x1f\x8b\x08", 3, "compressed by gzip" },
        { "version https://git-lfs.github.com/spec/v1\n", 43, "a pointer of Git LFS" },
        { "<!DOCTYPE html>", 15, "a web page" },
        { "\n\n  <HTML>", 10, "a web page" },
        { "\xef\xbb\xbf<?xml version", 16, "a web page" },
        { "\x93NUMPY\1\0", 8, "one numpy array" },
        { "(dp0\n.", 6, "protocol 2 or later" },
        { "\x80\1}.", 4, "says protocol 1" },
        { "PK\3\4", 4, "no end record" },
        { "\x80\x02}.", 4, "a dict without named tensors" },
        { "\x80\x02"
          "cos\nsystem\nU\x02id\x85R.",
          20, "an object of os.system without named tensors" },
        { "\x80\x02}.\x80", 5, "1 bytes follow the pickle" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        expect_refusal(files[i].start, files[i].bytes, files[i].complaint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),           cmocka_unit_test(test_views),
        cmocka_unit_test(test_types),           cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_changed_legacy),
        cmocka_unit_test(test_changed_zip),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_foreign),         cmocka_unit_test(test_unread),
        cmocka_unit_test(test_rounded),         cmocka_unit_test(test_protocol4),
        cmocka_unit_test(test_shared_storages), cmocka_unit_test(test_overlapping_zip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
