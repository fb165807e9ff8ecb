/* SHA-256 against its published vectors; the weights digest and the chain against their bytes written out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/hash.h"
#include "trainer/digests.h"

/* source   FIPS 180-4's examples and NIST's "SHA Test Vectors for Hashing Byte-Oriented Messages". */
static void test_published_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *message, *hex;
    } vectors[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    char hex[DIGEST_HEX_BYTES];
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        sha256_hex(vectors[i].message, strlen(vectors[i].message), hex);
        assert_string_equal(hex, vectors[i].hex);
    }
}

static void test_million_in_pieces(void **state)
{
    (void)state;
    static char letters[997];
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    struct sha256 sha256;
    memset(letters, 'a', sizeof letters);
    sha256_start(&sha256);
    for (size_t left = 1000000, part; left > 0; left -= part) {
        part = left < sizeof letters ? left : sizeof letters;
        sha256_add(&sha256, letters, part);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_hex(void **state)
{
    (void)state;
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES], *good = "00ff0123456789abcdef00112233445566778899aabbccddeeff000102030405";
    assert_true(digest_from_hex(good, digest));
    assert_int_equal(digest[1], 0xff);
    digest_to_hex(digest, hex);
    assert_string_equal(hex, good);
    assert_false(digest_from_hex("00ff", digest));
    assert_false(digest_from_hex("00FF0123456789abcdef00112233445566778899aabbccddeeff000102030405", digest));
    assert_false(digest_from_hex("00ff0123456789abcdef00112233445566778899aabbccddeeff0001020304050", digest));
    assert_false(digest_from_hex("00ff0123456789abcdef00112233445566778899aabbccddeeff00010203040g", digest));
}

static void test_tensor_framing(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        6, 0, 0, 0, 'l', 'i', 'n', 'e', 'a', 'r', 3, 0, 0, 0, 'F', '3', '2',  2,    0, 0, 0, 2,    0,
        0, 0, 0, 0, 0,   0,   1,   0,   0,   0,   0, 0, 0, 0, 0,   0,   0x80, 0x3f, 0, 0, 0, 0x80,
    };
    const float values[] = { 1.0f, -0.0f };
    uint8_t digest[DIGEST_BYTES], expected[DIGEST_BYTES];
    struct sha256 sha256;
    sha256_start(&sha256);
    digest_tensor(&sha256, "linear", 2, (uint32_t[]){ 2, 1 }, values);
    sha256_finish(&sha256, digest);
    sha256_bytes(bytes, sizeof bytes, expected);
    assert_memory_equal(digest, expected, DIGEST_BYTES);
}

static void test_chain(void **state)
{
    (void)state;
    uint8_t chain[DIGEST_BYTES], weights[DIGEST_BYTES], all[2 * DIGEST_BYTES + 2 * DIGEST_STEP_BYTES],
        expected[DIGEST_BYTES];
    static const uint8_t first[DIGEST_STEP_BYTES] = { 0x88, 0x13, 0,    0,    0,    0,    0,    0,    0,    0,   0x20,
                                                      0x40, 7,    0,    0,    0,    8,    7,    6,    5,    4,   3,
                                                      2,    1,    0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11 };
    uint8_t *entries = all + 2 * DIGEST_BYTES;
    digest_step(entries, 5000, 2.5f, 7, (uint64_t[]){ 0x0102030405060708, 0x1112131415161718 });
    assert_memory_equal(entries, first, DIGEST_STEP_BYTES);
    digest_step(entries + DIGEST_STEP_BYTES, 5001, 2.25f, 0, (uint64_t[]){ 1, 2 });
    sha256_bytes("chain", 5, chain);
    sha256_bytes("weights", 7, weights);
    memcpy(all, chain, DIGEST_BYTES);
    memcpy(all + DIGEST_BYTES, weights, DIGEST_BYTES);
    sha256_bytes(all, sizeof all, expected);
    digest_chain(chain, weights, entries, 2);
    assert_memory_equal(chain, expected, DIGEST_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_million_in_pieces),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_tensor_framing),
        cmocka_unit_test(test_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
