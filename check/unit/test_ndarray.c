/* numpy's arrays, scalars and number formats in a pickle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "check/support/pickle_text.h"
#include "fetch/weights/ndarray.h"
#include "fetch/weights/number_format.h"

static const char array_pickle[] =
    "\x80\x02"
    "cnumpy.core.multiarray\n_reconstruct\nq\x01"
    "cnumpy\nndarray\nq\x02K\x00\x85U\x01"
    "b\x87Rq\x03(K\x01K\x02K\x03\x86"
    "cnumpy\ndtype\nU\x02"
    "f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x18\x00\x00\x00"
    "\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@\x00\x00\xc0@tb.";

/* Python 2's array of (2, 3) float32: 1 to 6. */
static void test_array(void **state)
{
    (void)state;
    struct pickle pickle;
    struct ndarray array;
    struct error error;
    uint8_t *memory;
    float values[6];
    struct rounding rounding = { 0, 0, 0 };
    if (pickle_text_read(&pickle, array_pickle, sizeof array_pickle - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    if (ndarray_read(&array, "file.p", pickle.root, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_int_equal(array.element, ELEMENT_F32);
    assert_int_equal(array.rank, 2);
    assert_int_equal(array.shape[0], 2);
    assert_int_equal(array.shape[1], 3);
    assert_false(array.fortran);
    element_to_float(array.element, array.data, array.count, values, &rounding);
    for (int i = 0; i < 6; i++)
        assert_true(values[i] == (float)(i + 1));
    pickle_free(&pickle);
    free(memory);
}

/* One byte changed makes the array another, or none. */
static void test_bad_arrays(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        size_t bytes;
        const char *complaint;
    } changes[] = {
        { "K\x02K\x03\x86", "K\x02K\x04\x86", 5, "the number of bytes that its shape and dtype need" },
        { "f4K", "O8K", 3, "holds a data type that selfsame does not read" },
        { "U\x01<", "U\x01>", 3, "not little-endian" },
        { "<NNN", "<NN]", 4, "not a plain number" },
        { "\x89T", "NT", 2, "in which order" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char copy[sizeof array_pickle];
        struct pickle pickle;
        struct ndarray array;
        struct error error;
        uint8_t *memory;
        memcpy(copy, array_pickle, sizeof copy);
        char *place = memmem(copy, sizeof copy, changes[i].from, changes[i].bytes);
        assert_non_null(place);
        memcpy(place, changes[i].to, changes[i].bytes);
        assert_int_equal(pickle_text_read(&pickle, copy, sizeof copy - 1, &memory, &error), STATUS_OK);
        assert_true(ndarray_is(pickle.root) == (strcmp(changes[i].to, "O8K") != 0)); /* objects are no numbers */
        assert_int_equal(ndarray_read(&array, "file.p", pickle.root, &error), STATUS_INPUT);
        if (strstr(error.message, changes[i].complaint) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, changes[i].complaint);
        pickle_free(&pickle);
        free(memory);
    }
}

/* Cut anywhere, a pickle is refused; with any bit flipped it is read or refused, and no more. */
static void test_damage(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof array_pickle - 1; bytes++) {
        struct pickle pickle;
        struct error error;
        uint8_t *memory;
        assert_int_equal(pickle_text_read(&pickle, array_pickle, bytes, &memory, &error), STATUS_INPUT);
        free(memory);
    }
    for (size_t bit = 0; bit < 8 * (sizeof array_pickle - 1); bit++) {
        char copy[sizeof array_pickle];
        struct pickle pickle;
        struct ndarray array;
        struct error error;
        uint8_t *memory;
        memcpy(copy, array_pickle, sizeof copy);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        if (pickle_text_read(&pickle, copy, sizeof copy - 1, &memory, &error) == STATUS_OK) {
            if (ndarray_read(&array, "file.p", pickle.root, &error) == STATUS_OK)
                assert_true(array.count * element_bytes(array.element) == 24);
            pickle_free(&pickle);
        }
        free(memory);
    }
}

static void bytes_put_double(uint8_t *out, double value)
{
    bytes_put_u64(out, double_bits(value));
}

static void test_elements(void **state)
{
    (void)state;
    struct rounding rounding = { 0, 0, 0 };
    /* Every float16 and bfloat16 against the definition, in double. */
    for (uint32_t word = 0; word < 65536; word++) {
        uint8_t in[2] = { (uint8_t)word, (uint8_t)(word >> 8) };
        int exponent = (int)(word >> 10 & 31), fraction = (int)(word & 1023), brain = (int)(word >> 7 & 255);
        double half = exponent == 0 ? fraction * 0x1p-24 : (1024 + fraction) * 0x1p-25 * (double)(1u << exponent);
        float out;
        element_to_float(ELEMENT_F16, in, 1, &out, &rounding);
        if (exponent == 31)
            assert_true(fraction != 0 ? out != out : out == ((word & 0x8000) != 0 ? -1.0f / 0.0f : 1.0f / 0.0f));
        else
            assert_true((double)out == ((word & 0x8000) != 0 ? -half : half) &&
                        (1 / out < 0) == ((word & 0x8000) != 0));
        element_to_float(ELEMENT_BF16, in, 1, &out, &rounding);
        if (brain != 255 || (word & 127) == 0)
            assert_int_equal(float_bits(out), word << 16);
    }
    assert_int_equal(rounding.rounded, 0);
    /* To the nearest, ties to even, whatever lies beyond the largest to infinity. */
    static const struct {
        double value;
        float nearest;
        size_t rounded, overflowed;
    } doubles[] = { { 0.5, 0.5f, 0, 0 },
                    { 0.1, 0x1.99999ap-4f, 1, 0 },
                    { 1 + 0x1p-24, 1, 1, 0 },
                    { 1 + 0x1.8p-23, 1 + 0x1p-22f, 1, 0 },
                    { 0x1.fffffep127, 0x1.fffffep127f, 0, 0 },
                    { 0x1.fffffefffffffp127, 0x1.fffffep127f, 1, 0 },
                    { 0x1.ffffffp127, 1.0f / 0.0f, 1, 1 },
                    { 1e300, 1.0f / 0.0f, 1, 1 },
                    { -1e300, -1.0f / 0.0f, 1, 1 },
                    { 0x1p-149, 0x1p-149f, 0, 0 },
                    { 0x1p-150, 0, 1, 0 },
                    { 1.0 / 0.0, 1.0f / 0.0f, 0, 0 },
                    { -0.0, -0.0f, 0, 0 } };
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        float out;
        uint8_t in[8];
        bytes_put_double(in, doubles[i].value);
        rounding = (struct rounding){ 0, 0, 0 };
        element_to_float(ELEMENT_F64, in, 1, &out, &rounding);
        assert_memory_equal(&out, &doubles[i].nearest, sizeof out);
        assert_int_equal(rounding.rounded, doubles[i].rounded);
        assert_int_equal(rounding.overflowed, doubles[i].overflowed);
        if (rounding.rounded > rounding.overflowed)
            assert_true(rounding.largest == fabs(((double)out - doubles[i].value) / doubles[i].value));
    }
}

/* numpy.float64(0.5), numpy.int64(-3) and what is no such scalar. */
static void test_scalars(void **state)
{
    (void)state;
#define SCALAR(type, bytes)                                                                                          \
    "cnumpy.core.multiarray\nscalar\n"                                                                               \
    "cnumpy\ndtype\nU\x02" type "K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08" bytes \
    "\x86R"
    static const char data[] = "\x80\x02(" SCALAR("f8", "\0\0\0\0\0\0\xe0?")
        SCALAR("i8", "\xfd\xff\xff\xff\xff\xff\xff\xff") SCALAR("i4", "\0\0\0\0\0\0\0\0") "K\x07t.";
    struct pickle pickle;
    struct error error;
    uint8_t *memory;
    double number = 0;
    if (pickle_text_read(&pickle, data, sizeof data - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    struct pickle_value **items = pickle.root->list.items;
    assert_true(ndarray_scalar(items[0], &number) && number == 0.5);
    assert_true(ndarray_scalar(items[1], &number) && number == -3);
    assert_false(ndarray_scalar(items[2], &number)); /* eight bytes of four */
    assert_false(ndarray_scalar(items[3], &number));
    pickle_free(&pickle);
    free(memory);
}

/* numpy's array of protocol 5: (2, 3) float32, in Fortran's order. */
static void test_buffer(void **state)
{
    (void)state;
    static const char data[] = "\x80\x05\x8c\x13numpy._core.numeric\x8c\x0b_frombuffer\x93("
                               "\x96\x18\x00\x00\x00\x00\x00\x00\x00"
                               "\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@\x00\x00\xc0@"
                               "cnumpy\ndtype\n\x8c\x02"
                               "f4\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
                               "K\x02K\x03\x86\x8c\x01"
                               "FtR.";
    struct pickle pickle;
    struct ndarray array;
    struct error error;
    uint8_t *memory;
    char copy[sizeof data];
    memcpy(copy, data, sizeof data);
    if (pickle_text_read(&pickle, copy, sizeof copy - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    if (ndarray_read(&array, "file.p", pickle.root, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_true(array.fortran);
    assert_int_equal(array.shape[1], 3);
    assert_int_equal(array.count, 6);
    pickle_free(&pickle);
    free(memory);
    char *shape = memmem(copy, sizeof copy, "K\x02K\x03", 4);
    assert_non_null(shape);
    shape[1] = 3; /* (3, 3) */
    assert_int_equal(pickle_text_read(&pickle, copy, sizeof copy - 1, &memory, &error), STATUS_OK);
    assert_int_equal(ndarray_read(&array, "file.p", pickle.root, &error), STATUS_INPUT);
    pickle_free(&pickle);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),    cmocka_unit_test(test_bad_arrays), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_elements), cmocka_unit_test(test_scalars),    cmocka_unit_test(test_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
