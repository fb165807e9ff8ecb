/* Pickles: what is data is read, and whatever else a pickle can ask for is refused, with its name and byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/weights/ndarray.h"
#include "fetch/weights/number_format.h"
#include "fetch/weights/pickle.h"

/* A pickle as a string literal, which may hold NULs. */
struct text {
    const char *data;
    size_t bytes;
};
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

/* Reads from memory of exactly that size, so that a sanitizer sees every byte too far. */
static enum status read_text(struct pickle *pickle, const char *data, size_t bytes, uint8_t **memory,
                             struct error *error)
{
    size_t end;
    *memory = malloc(bytes + (bytes == 0));
    assert_non_null(*memory);
    memcpy(*memory, data, bytes);
    return pickle_read(pickle, "file.p", *memory, bytes, 0, &end, error);
}

static void expect_refusal(const char *data, size_t bytes, const char *complaint)
{
    struct pickle pickle;
    struct error error = { STATUS_OK, "" };
    uint8_t *memory;
    if (read_text(&pickle, data, bytes, &memory, &error) != STATUS_INPUT)
        fail_msg("not refused: should say \"%s\"", complaint);
    if (strstr(error.message, complaint) == NULL || strncmp(error.message, "file.p: byte ", 13) != 0)
        fail_msg("\"%s\" does not say \"%s\"", error.message, complaint);
    free(memory);
}

static void test_values(void **state)
{
    (void)state;
    static const char data[] =
        "\x80\x02}q\x01("
        "U\x01nNU\x01tX\x02\x00\x00\x00\xc3\xa4U\x01iJ\xfe\xff\xff\xffU\x01kK\xffU\x01mM\x00\x80U\x01l\x8a\x02\x00\x80"
        "U\x01zU\x00U\x01gG?\xf8\x00\x00\x00\x00\x00\x00U\x01"
        "b\x88U\x01"
        "c\x89U\x01I"
        "I-123456789012\nU\x01sT\x03\x00\x00\x00"
        "abc"
        "U\x01(K\x01K\x02K\x03\x87U\x01)(K\x01K\x02K\x03K\x04tU\x01"
        "e)U\x01[]q\x02(K\x05K\x06"
        "eU\x01]h\x02U\x01"
        "1K\x09\x85u.";
    struct pickle pickle;
    struct error error;
    uint8_t *memory;
    if (read_text(&pickle, data, sizeof data - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    const struct pickle_value *root = pickle.root;
    assert_int_equal(root->type, PICKLE_DICT);
    assert_int_equal(pickle_get(root, "n")->type, PICKLE_NONE);
    assert_int_equal(pickle_get(root, "t")->type, PICKLE_TEXT);
    assert_int_equal(pickle_get(root, "t")->text.bytes, 2);
    assert_int_equal(pickle_get(root, "i")->integer, -2);
    assert_int_equal(pickle_get(root, "k")->integer, 255);
    assert_int_equal(pickle_get(root, "m")->integer, 0x8000);
    assert_int_equal(pickle_get(root, "l")->integer, -0x8000);
    assert_int_equal(pickle_get(root, "z")->text.bytes, 0);
    assert_true(pickle_get(root, "g")->real == 1.5);
    assert_true(pickle_get(root, "b")->boolean);
    assert_false(pickle_get(root, "c")->boolean);
    assert_int_equal(pickle_get(root, "I")->integer, -123456789012);
    assert_true(pickle_is(pickle_get(root, "s"), "abc"));
    assert_int_equal(pickle_get(root, "(")->list.count, 3);
    assert_int_equal(pickle_get(root, ")")->list.items[3]->integer, 4);
    assert_int_equal(pickle_get(root, "e")->list.count, 0);
    assert_int_equal(pickle_get(root, "[")->list.items[1]->integer, 6);
    assert_ptr_equal(pickle_get(root, "]"), pickle_get(root, "["));
    assert_int_equal(pickle_get(root, "1")->type, PICKLE_TUPLE);
    assert_null(pickle_get(root, "q"));
    assert_null(pickle_get(pickle_get(root, "["), "q"));
    pickle_free(&pickle);
    free(memory);
}

/* Each of these, unpickled, would run something or eat the machine. */
static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        struct text pickle;
        const char *complaint;
    } files[] = {
        { TEXT("\x80\x02"
               "cos\nsystem\nU\x02id\x85R."),
          "byte 2: opcode GLOBAL names os.system, which is not data" },
        { TEXT("\x80\x02"
               "cposix\nsystem\nU\x02id\x85R."),
          "names posix.system" },
        { TEXT("\x80\x02"
               "c__builtin__\neval\nU\x01"
               "1\x85R."),
          "names __builtin__.eval" },
        { TEXT("\x80\x02"
               "cbuiltins\nexec\nU\x01"
               "1\x85R."),
          "names builtins.exec" },
        { TEXT("\x80\x02"
               "c__builtin__\ngetattr\n."),
          "names __builtin__.getattr" },
        { TEXT("\x80\x02"
               "ctorch.storage\n_load_from_bytes\nU\x01x\x85R."),
          "names torch.storage._load_from_bytes" },
        { TEXT("\x80\x02"
               "cnumpy\nload\n."),
          "names numpy.load" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict.__reduce__\n."),
          "names collections.OrderedDict.__reduce__" },
        { TEXT("\x80\x02"
               "ccopy_reg\n_reconstructor\n."),
          "names copy_reg._reconstructor" },
        { TEXT("\x80\x02"
               "cos\x1b[2J\nsystem\n."),
          "names os?[2J.system" },
        { TEXT("\x80\x02"
               "ccollections\n OrderedDict\n."),
          "names collections. OrderedDict" },
        { TEXT("\x80\x02\x8c\x02os\x8c\x06system\x93."),
          "byte 2: opcode SHORT_BINUNICODE is not one that data of protocol 2 needs" },
        { TEXT("\x80\x02U\x02osU\x06system\x93."), "byte 14: opcode STACK_GLOBAL is not one" },
        { TEXT("\x80\x02(ios\nsystem\n."), "opcode INST is not one" },
        { TEXT("\x80\x02(U\x02ido."), "opcode OBJ is not one" },
        { TEXT("\x80\x02\x82\x01."), "opcode EXT1 is not one" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict\n)\x81."),
          "opcode NEWOBJ is not one" },
        { TEXT("\x80\x02Pid\n."), "opcode PERSID is not one" },
        /* what is data, used as more */
        { TEXT("\x80\x02"
               "ctorch\nFloatStorage\n)R."),
          "opcode REDUCE calls FloatStorage, which is not to be called" },
        { TEXT("\x80\x02"
               "cnumpy\nndarray\n)R."),
          "calls ndarray, which is not to be called" },
        { TEXT("\x80\x02U\x02id)R."), "calls a string, which is not to be called" },
        { TEXT("\x80\x02"
               "cnumpy\ndtype\n]R."),
          "calls dtype with a list instead of a tuple" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict\n]]U\x01x\x61\x61\x85R."),
          "an item that is no pair" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict\nU\x01x\x85R."),
          "something else than a list of items" },
        { TEXT("\x80\x02"
               "c_codecs\nencode\nX\x01\x00\x00\x00zX\x06\x00\x00\x00rot_13\x86R."),
          "something else than a text and latin1" },
        { TEXT("\x80\x02"
               "c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R."),
          "not Latin-1" },
        { TEXT("\x80\x02"
               "c_codecs\nencode\nX\x01\x00\x00\x00\xc3X\x06\x00\x00\x00latin1\x86R."),
          "not Latin-1" },
        { TEXT("\x80\x02"
               "c__builtin__\nbytes\nK\x09\x85R."),
          "calls bytes with arguments" },
        { TEXT("\x80\x02"
               "ctorch._utils\n_rebuild_parameter\n)R."),
          "without a tensor" },
        { TEXT("\x80\x02}}b."), "opcode BUILD gives a state to a dict, which takes none" },
        { TEXT("\x80\x02]}b."), "gives a state to a list" },
        { TEXT("\x80\x02"
               "ctorch._utils\n_rebuild_tensor\n)R}b."),
          "gives a state to _rebuild_tensor" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict\n}b."),
          "gives a state to a global" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict\n)R]b."),
          "gives an OrderedDict a list as its state" },
        { TEXT("\x80\x02"
               "cnumpy\ndtype\n)R)b)b."),
          "a second time" },
        /* lengths, places and stacks */
        { TEXT("\x80\x02X\xff\xff\xff\xff"
               "abc."),
          "wants 4294967295 bytes, but 4 follow" },
        { TEXT("\x80\x02T\xff\xff\xff\xff"
               "abc."),
          "negative length" },
        { TEXT("\x80\x02T\xff\xff\xff\x7f"
               "abc."),
          "wants 2147483647 bytes" },
        { TEXT("\x80\x02U\xff"
               "abc."),
          "wants 255 bytes" },
        { TEXT("\x80\x02\x8a\xff"
               "abc."),
          "wants 255 bytes" },
        { TEXT("\x80\x02\x8b\xff\xff\xff\x7f."), "opcode LONG4 is not one" },
        { TEXT("\x80\x02Nr\xff\xff\xff\xff."), "place 4294967295 of the memo" },
        { TEXT("\x80\x02Nr\x00\x00\x10\x00."), "place 1048576 of the memo" },
        { TEXT("\x80\x02h\x00."), "place 0 of the memo, where nothing was put" },
        { TEXT("\x80\x02j\xff\xff\xff\xff."), "place 4294967295 of the memo, where nothing was put" },
        { TEXT("\x80\x02q\x00."), "opcode BINPUT finds no value" },
        { TEXT("\x80\x02(q\x00."), "opcode BINPUT finds no value" },
        { TEXT("\x80\x02."), "opcode STOP finds no value" },
        { TEXT("\x80\x02NN."), "leaves 1 values on the stack" },
        { TEXT("\x80\x02(N."), "leaves 1 values on the stack" },
        { TEXT("\x80\x02t."), "finds no mark" },
        { TEXT("\x80\x02\x85."), "finds no value" },
        { TEXT("\x80\x02N\x86."), "finds no value" },
        { TEXT("\x80\x02(N\x86."), "finds no value" },
        { TEXT("\x80\x02NNa."), "finds None, not a list" },
        { TEXT("\x80\x02](NNu."), "finds a list, not a dict" },
        { TEXT("\x80\x02}(Nu."), "a key without its value" },
        { TEXT("\x80\x02)(Ne."), "finds a tuple, not a list" },
        { TEXT("\x80\x02Q."), "finds no value" },
        { TEXT("\x80\x02I12x\n."), "no integer" },
        { TEXT("\x80\x02I\n."), "no integer" },
        { TEXT("\x80\x02I1234567890123456789\n."), "no integer" },
        { TEXT("\x80\x02I123456789012345678901234567890\n."), "a line of more than 20 bytes" },
        { TEXT("\x80\x02I12"), "ends within a line" },
        /* protocols and what is no pickle */
        { TEXT(""), "no pickle of protocol 2 begins here" },
        { TEXT("\x80"), "no pickle" },
        { TEXT("(dp0\n."), "no pickle" },
        { TEXT("\x80\x00N."), "says protocol 0" },
        { TEXT("\x80\x01N."), "says protocol 1" },
        { TEXT("\x80\x03N."), "says protocol 3; only 2 is read" },
        { TEXT("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N."), "says protocol 4" },
        { TEXT("\x80\x02N\x80\x02."), "opcode PROTO is not one" },
        { TEXT("\x80\x02\xff."), "0xff is no opcode" },
        { TEXT("\x80\x02\x00."), "0x00 is no opcode" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        expect_refusal(files[i].pickle.data, files[i].pickle.bytes, files[i].complaint);
}

/* What grows: stack, memo, opcodes and the arena end before the memory does. */
static void test_bombs(void **state)
{
    (void)state;
    size_t bytes = PICKLE_OPCODES_MAX + 16;
    char *data = malloc(bytes);
    assert_non_null(data);
    memcpy(data, "\x80\x02", 2);
    memset(data + 2, 'N', bytes - 2);
    expect_refusal(data, bytes, "makes the stack deeper than");
    memset(data + 2, '(', bytes - 2);
    expect_refusal(data, bytes, "makes the stack deeper than");
    data[2] = ']';
    for (size_t i = 3; i + 2 <= bytes; i += 2) /* one list, longer and longer */
        memcpy(data + i, "Na", 2);
    expect_refusal(data, bytes, "is one more than the 8000000 that are read");
    free(data);
    /* Lists of the same list twice, fifty times over: 2^50 leaves for a walker, fifty lists for us. A list that holds
     * itself. */
    char whole[600] = "\x80\x02(]q\x01";
    size_t used = 6;
    for (int i = 0; i < 50; i++, used += 9)
        memcpy(whole + used,
               "](h\x01h\x01"
               "eq\x01",
               9);
    memcpy(whole + used, "t.", 2);
    struct pickle pickle;
    struct error error;
    uint8_t *memory;
    if (read_text(&pickle, whole, used + 2, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_int_equal(pickle.root->list.count, 51);
    assert_true(pickle.arena_bytes < 1 << 20);
    pickle_free(&pickle);
    free(memory);
    static const char circle[] = "\x80\x02]q\x01h\x01"
                                 "a.";
    assert_int_equal(read_text(&pickle, circle, sizeof circle - 1, &memory, &error), STATUS_OK);
    assert_ptr_equal(pickle.root->list.items[0], pickle.root);
    pickle_free(&pickle);
    free(memory);
}

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
    if (read_text(&pickle, array_pickle, sizeof array_pickle - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    if (ndarray_read(&array, "file.p", pickle.root, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_int_equal(array.element, ELEMENT_F32);
    assert_int_equal(array.rank, 2);
    assert_int_equal(array.shape[0], 2);
    assert_int_equal(array.shape[1], 3);
    assert_false(array.fortran);
    assert_int_equal(element_to_float(array.element, array.data, array.count, values), 6);
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
        { "K\x02K\x03\x86", "K\x02K\x04\x86", 5, "another number of bytes" },
        { "f4K", "O8K", 3, "not of numbers that are read" },
        { "U\x01<", "U\x01>", 3, "not little-endian" },
        { "<NNN", "<NN]", 4, "not of plain numbers" },
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
        assert_int_equal(read_text(&pickle, copy, sizeof copy - 1, &memory, &error), STATUS_OK);
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
    for (size_t bytes = 0; bytes < sizeof array_pickle - 1; bytes++)
        expect_refusal(array_pickle, bytes, "");
    for (size_t bit = 0; bit < 8 * (sizeof array_pickle - 1); bit++) {
        char copy[sizeof array_pickle];
        struct pickle pickle;
        struct ndarray array;
        struct error error;
        uint8_t *memory;
        memcpy(copy, array_pickle, sizeof copy);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        if (read_text(&pickle, copy, sizeof copy - 1, &memory, &error) == STATUS_OK) {
            if (ndarray_read(&array, "file.p", pickle.root, &error) == STATUS_OK)
                assert_true(array.count * element_bytes(array.element) == 24);
            pickle_free(&pickle);
        }
        free(memory);
    }
}

/* Python 3 at protocol 2: bytes through _codecs.encode, none at all through bytes(). Python 2: an OrderedDict of
 * pairs. */
static void test_constructors(void **state)
{
    (void)state;
    static const char good[] = "\x80\x02(c_codecs\nencode\nX\x05\x00\x00\x00"
                               "a\xc2\x80\xc3\xbfX\x06\x00\x00\x00latin1\x86R"
                               "c__builtin__\nbytes\n)R"
                               "ccollections\nOrderedDict\n](](U\x01"
                               "aK\x01"
                               "e](U\x01"
                               "bK\x02"
                               "ee\x85R}U\x09_metadata}sb"
                               "ctorch._utils\n_rebuild_parameter\nK\x07\x88}\x87Rt.";
    struct pickle pickle;
    struct error error;
    uint8_t *memory;
    if (read_text(&pickle, good, sizeof good - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    struct pickle_value **items = pickle.root->list.items;
    assert_int_equal(pickle.root->list.count, 4);
    assert_int_equal(items[0]->type, PICKLE_BYTES);
    assert_int_equal(items[0]->text.bytes, 3);
    assert_memory_equal(items[0]->text.data, "a\x80\xff", 3);
    assert_int_equal(items[1]->type, PICKLE_BYTES);
    assert_int_equal(items[1]->text.bytes, 0);
    assert_int_equal(items[2]->type, PICKLE_DICT);
    assert_int_equal(pickle_get(items[2], "b")->integer, 2);
    assert_int_equal(items[3]->integer, 7);
    pickle_free(&pickle);
    free(memory);
}

static void test_elements(void **state)
{
    (void)state;
    /* Every float16 and bfloat16 against the definition, in double. */
    for (uint32_t word = 0; word < 65536; word++) {
        uint8_t in[2] = { (uint8_t)word, (uint8_t)(word >> 8) };
        int exponent = (int)(word >> 10 & 31), fraction = (int)(word & 1023), brain = (int)(word >> 7 & 255);
        double half = exponent == 0 ? fraction * 0x1p-24 : (1024 + fraction) * 0x1p-25 * (double)(1u << exponent);
        float out;
        assert_int_equal(element_to_float(ELEMENT_F16, in, 1, &out), 1);
        if (exponent == 31)
            assert_true(fraction != 0 ? out != out : out == ((word & 0x8000) != 0 ? -1.0f / 0.0f : 1.0f / 0.0f));
        else
            assert_true((double)out == ((word & 0x8000) != 0 ? -half : half) &&
                        (1 / out < 0) == ((word & 0x8000) != 0));
        uint32_t bits;
        assert_int_equal(element_to_float(ELEMENT_BF16, in, 1, &out), 1);
        memcpy(&bits, &out, sizeof bits);
        if (brain != 255 || (word & 127) == 0)
            assert_int_equal(bits, word << 16);
    }
    static const struct {
        double value;
        size_t taken;
    } doubles[] = { { 0.5, 1 },    { 0.1, 0 },      { 0x1.fffffep127, 1 }, { 0x1.ffffffp127, 0 }, { 1e300, 0 },
                    { -1e300, 0 }, { 0x1p-149, 1 }, { 0x1p-150, 0 },       { 1.0 / 0.0, 1 },      { -0.0, 1 } };
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        float out;
        uint8_t in[8];
        uint64_t bits;
        memcpy(&bits, &doubles[i].value, sizeof bits);
        for (int b = 0; b < 8; b++)
            in[b] = (uint8_t)(bits >> 8 * b);
        assert_int_equal(element_to_float(ELEMENT_F64, in, 1, &out), doubles[i].taken);
        if (doubles[i].taken == 1)
            assert_true((double)out == doubles[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),       cmocka_unit_test(test_hostile),    cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_array),        cmocka_unit_test(test_bad_arrays), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_constructors), cmocka_unit_test(test_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
