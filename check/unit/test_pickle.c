/* Pickles: what is data is read, whatever else a pickle can ask for stays opaque and is never called, and what is
 * malformed is refused, with its byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/support/pickle_text.h"

/* A pickle as a string literal, which may hold NULs. */
struct text {
    const char *data;
    size_t bytes;
};
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static void expect_refusal(const char *data, size_t bytes, const char *complaint)
{
    struct pickle pickle;
    struct error error = { STATUS_OK, "" };
    uint8_t *memory;
    if (pickle_text_read(&pickle, data, bytes, &memory, &error) != STATUS_INPUT)
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
    if (pickle_text_read(&pickle, data, sizeof data - 1, &memory, &error) != STATUS_OK)
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

/* Each of these, unpickled, would run something. Here nothing is: what comes out is opaque, and says its name. */
static void test_opaque(void **state)
{
    (void)state;
    static const struct {
        struct text pickle;
        const char *name;
    } files[] = {
        { TEXT("\x80\x02"
               "cos\nsystem\nU\x02id\x85R."),
          "os.system" },
        { TEXT("\x80\x02"
               "cposix\nsystem\nU\x02id\x85R."),
          "posix.system" },
        { TEXT("\x80\x02"
               "c__builtin__\neval\nU\x01"
               "1\x85R."),
          "__builtin__.eval" },
        { TEXT("\x80\x02"
               "cbuiltins\nexec\nU\x01"
               "1\x85R."),
          "builtins.exec" },
        { TEXT("\x80\x02"
               "c__builtin__\ngetattr\n."),
          "__builtin__.getattr" },
        { TEXT("\x80\x02"
               "cnumpy\nload\n."),
          "numpy.load" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict.__reduce__\n."),
          "collections.OrderedDict.__reduce__" },
        { TEXT("\x80\x02"
               "ccopy_reg\n_reconstructor\n."),
          "copy_reg._reconstructor" },
        { TEXT("\x80\x02"
               "cos\x1b[2J\nsystem\n."),
          "os?[2J.system" },
        { TEXT("\x80\x02"
               "ccollections\n OrderedDict\n."),
          "collections. OrderedDict" },
        { TEXT("\x80\x04\x95\x16\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x85R."),
          "os.system" },
        { TEXT("\x80\x02U\x02osU\x06system\x93)\x81."), "os.system" },
        { TEXT("\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92."), "os.system" },
        { TEXT("\x80\x02("
               "cos\nsystem\nU\x02ido."),
          "os.system" },
        { TEXT("\x80\x02"
               "cos\nsystem\n)R)R)R."),
          "os.system" },
        /* what is data, used as more or as something else */
        { TEXT("\x80\x02"
               "ctorch\nFloatStorage\n)R."),
          "torch.FloatStorage" },
        { TEXT("\x80\x02"
               "cnumpy\nndarray\n)R."),
          "numpy.ndarray" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict\n]]U\x01x\x61\x61\x85R."),
          "collections.OrderedDict" },
        { TEXT("\x80\x02"
               "ccollections\nOrderedDict\nU\x01x\x85R."),
          "collections.OrderedDict" },
        { TEXT("\x80\x02"
               "c_codecs\nencode\nX\x01\x00\x00\x00zX\x06\x00\x00\x00rot_13\x86R."),
          "_codecs.encode" },
        { TEXT("\x80\x02"
               "c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R."),
          "_codecs.encode" },
        { TEXT("\x80\x02"
               "c_codecs\nencode\nX\x01\x00\x00\x00\xc3X\x06\x00\x00\x00latin1\x86R."),
          "_codecs.encode" },
        { TEXT("\x80\x02"
               "c__builtin__\nbytes\nK\x09\x85R."),
          "__builtin__.bytes" },
        { TEXT("\x80\x02"
               "ctorch._utils\n_rebuild_parameter\n)R."),
          "torch._utils._rebuild_parameter" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct pickle pickle;
        struct error error;
        uint8_t *memory;
        if (pickle_text_read(&pickle, files[i].pickle.data, files[i].pickle.bytes, &memory, &error) != STATUS_OK)
            fail_msg("%s: %s", files[i].name, error.message);
        assert_true(pickle.root->type == PICKLE_OBJECT || pickle.root->type == PICKLE_GLOBAL);
        assert_string_equal(pickle.root->call.name, files[i].name);
        if (pickle.root->type == PICKLE_OBJECT)
            assert_int_equal(pickle.root->call.global, GLOBAL_UNKNOWN);
        pickle_free(&pickle);
        free(memory);
    }
}

/* What an opaque object is given stays readable: the keys of a dict's subclass, the attributes of an object. */
static void test_given(void **state)
{
    (void)state;
    static const char data[] = "\x80\x02"
                               "ccollections\ndefaultdict\nN\x85R(U\x01"
                               "aK\x07U\x01"
                               "bcos\nsystem\nu}U\x01xK\x01sb.";
    struct pickle pickle;
    struct error error;
    uint8_t *memory;
    if (pickle_text_read(&pickle, data, sizeof data - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_int_equal(pickle_get(pickle.root, "a")->integer, 7);
    assert_int_equal(pickle_get(pickle.root->call.state, "x")->integer, 1);
    assert_int_equal(pickle.foreign_count, 2);
    assert_string_equal(pickle.foreign[0], "collections.defaultdict");
    assert_string_equal(pickle.foreign[1], "os.system");
    pickle_free(&pickle);
    free(memory);
}

/* As Python 3 writes it at protocol 4 and 5: framed, memoized, with short texts, sets and bytes. */
static void test_protocols(void **state)
{
    (void)state;
    static const char data[] = "\x80\x05\x95\x48\x00\x00\x00\x00\x00\x00\x00}\x94("
                               "\x8c\x01s\x94\x8f\x94(K\x01K\x02\x90"
                               "\x8c\x01"
                               "f\x94(K\x03\x91\x94"
                               "\x8c\x01"
                               "b\x94"
                               "C\x02\x00\xff\x94"
                               "\x8c\x01"
                               "B\x94\x96\x01\x00\x00\x00\x00\x00\x00\x00z\x94"
                               "\x8c\x01l\x94\x8b\x01\x00\x00\x00\xfe"
                               "\x8d\x01\x00\x00\x00\x00\x00\x00\x00uh\x01u.";
    struct pickle pickle;
    struct error error;
    uint8_t *memory;
    if (pickle_text_read(&pickle, data, sizeof data - 1, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    const struct pickle_value *root = pickle.root;
    assert_int_equal(pickle_get(root, "s")->type, PICKLE_SET);
    assert_int_equal(pickle_get(root, "s")->list.count, 2);
    assert_int_equal(pickle_get(root, "f")->list.items[0]->integer, 3);
    assert_memory_equal(pickle_get(root, "b")->text.data, "\0\xff", 2);
    assert_true(pickle_is(pickle_get(root, "B"), "z"));
    assert_int_equal(pickle_get(root, "l")->integer, -2);
    assert_true(pickle_is(pickle_get(root, "u"), "s")); /* place 1 of the memo */
    pickle_free(&pickle);
    free(memory);
}

/* Each of these is malformed, asks for something outside of the file, or would eat the machine. */
static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        struct text pickle;
        const char *complaint;
    } files[] = {
        { TEXT("\x80\x02(ios\nsystem\n."), "opcode INST belongs to protocol 0: write the file again with protocol 2" },
        { TEXT("\x80\x02\x82\x01."), "opcode EXT1 needs Python's registry" },
        { TEXT("\x80\x05\x97."), "opcode NEXT_BUFFER needs numbers from outside the file" },
        { TEXT("\x80\x02Pid\n."), "opcode PERSID belongs to protocol 0" },
        { TEXT("\x80\x02U\x02id)R."), "opcode REDUCE calls a string" },
        { TEXT("\x80\x02K\x01K\x02\x93."), "finds no module and name" },
        { TEXT("\x80\x02(o."), "finds no class behind the mark" },
        { TEXT("\x80\x02"
               "cnumpy\ndtype\n]R."),
          "calls numpy.dtype with a list instead of a tuple" },
        { TEXT("\x80\x02"
               "ca\nb\n)R(NNuNa."),
          "gives an object both items and keys" },
        { TEXT("\x80\x02}}b."), "opcode BUILD gives a state to a dict, which takes none" },
        { TEXT("\x80\x02]}b."), "gives a state to a list" },
        /* lengths, places and stacks */
        { TEXT("\x80\x02X\xff\xff\xff\xff"
               "abc."),
          "wants 4294967295 bytes, but 4 follow" },
        { TEXT("\x80\x02T\xff\xff\xff\xff"
               "abc."),
          "wants 4294967295 bytes" },
        { TEXT("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
               "abc."),
          "wants 18446744073709551615 bytes" },
        { TEXT("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f."), "announces 9223372036854775807 bytes" },
        { TEXT("\x80\x02T\xff\xff\xff\x7f"
               "abc."),
          "wants 2147483647 bytes" },
        { TEXT("\x80\x02U\xff"
               "abc."),
          "wants 255 bytes" },
        { TEXT("\x80\x02\x8a\xff"
               "abc."),
          "wants 255 bytes" },
        { TEXT("\x80\x02\x8b\xff\xff\xff\x7f."), "wants 2147483647 bytes" },
        { TEXT("\x80\x02\x8b\xff\xff\xff\xff."), "negative length" },
        { TEXT("\x80\x02"
               "0."),
          "opcode POP finds nothing" },
        { TEXT("\x80\x02"
               "1."),
          "opcode POP_MARK finds no mark" },
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
        { TEXT("\x80\x02I12x\n."), "not followed by an integer" },
        { TEXT("\x80\x02I\n."), "not followed by an integer" },
        { TEXT("\x80\x02I1234567890123456789\n."), "not followed by an integer" },
        { TEXT("\x80\x02I123456789012345678901234567890\n."), "a line of more than 20 bytes" },
        { TEXT("\x80\x02I12"), "ends within a line" },
        /* protocols and what is no pickle */
        { TEXT(""), "not the beginning of a pickle of protocol 2 to 5" },
        { TEXT("\x80"), "not the beginning of a pickle" },
        { TEXT("(dp0\n."), "not the beginning of a pickle of protocol 2 to 5: write it again with protocol 2" },
        { TEXT("\x80\x00N."), "says protocol 0" },
        { TEXT("\x80\x01N."), "says protocol 1" },
        { TEXT("\x80\x06N."), "says protocol 6; 2 to 5 are read" },
        { TEXT("\x80\x02N\x80\x02."), "opcode PROTO comes a second time" },
        { TEXT("\x80\x02\xff."), "0xff is not an opcode" },
        { TEXT("\x80\x02\x00."), "0x00 is not an opcode" },
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
    expect_refusal(data, bytes, "is one more than the limit of 8000000");
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
    if (pickle_text_read(&pickle, whole, used + 2, &memory, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_int_equal(pickle.root->list.count, 51);
    assert_true(pickle.arena_bytes < 1 << 20);
    pickle_free(&pickle);
    free(memory);
    static const char circle[] = "\x80\x02]q\x01h\x01"
                                 "a.";
    assert_int_equal(pickle_text_read(&pickle, circle, sizeof circle - 1, &memory, &error), STATUS_OK);
    assert_ptr_equal(pickle.root->list.items[0], pickle.root);
    pickle_free(&pickle);
    free(memory);
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
    if (pickle_text_read(&pickle, good, sizeof good - 1, &memory, &error) != STATUS_OK)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),       cmocka_unit_test(test_opaque),  cmocka_unit_test(test_given),
        cmocka_unit_test(test_protocols),    cmocka_unit_test(test_hostile), cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_constructors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
