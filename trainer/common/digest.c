#include "trainer/common/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/common/bytes.h"

static void require(int good)
{
    if (good)
        return;
    fputs("selfsame: no memory, or libcrypto lacks SHA-256 or MD5\n", stderr);
    abort();
}

static void *start(const EVP_MD *kind)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    require(context != NULL && EVP_DigestInit_ex(context, kind, NULL) == 1);
    return context;
}

static void add(void *context, const void *data, size_t bytes)
{
    if (bytes > 0)
        require(EVP_DigestUpdate(context, data, bytes) == 1);
}

static void finish(void **context, uint8_t *digest)
{
    require(EVP_DigestFinal_ex(*context, digest, NULL) == 1);
    EVP_MD_CTX_free(*context);
    *context = NULL;
}

void sha256_start(struct sha256 *sha256)
{
    sha256->context = start(EVP_sha256());
}

void sha256_add(struct sha256 *sha256, const void *data, size_t bytes)
{
    add(sha256->context, data, bytes);
}

void sha256_finish(struct sha256 *sha256, uint8_t digest[DIGEST_BYTES])
{
    finish(&sha256->context, digest);
}

void md5_start(struct md5 *md5)
{
    md5->context = start(EVP_md5());
}

void md5_add(struct md5 *md5, const void *data, size_t bytes)
{
    add(md5->context, data, bytes);
}

void sha256_bytes(const void *data, size_t bytes, uint8_t digest[DIGEST_BYTES])
{
    struct sha256 sha256;
    sha256_start(&sha256);
    sha256_add(&sha256, data, bytes);
    sha256_finish(&sha256, digest);
}

void sha256_hex(const void *data, size_t bytes, char hex[DIGEST_HEX_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    sha256_bytes(data, bytes, digest);
    digest_to_hex(digest, hex);
}

static void to_hex(const uint8_t *bytes, size_t count, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * count] = '\0';
}

void digest_to_hex(const uint8_t digest[DIGEST_BYTES], char hex[DIGEST_HEX_BYTES])
{
    to_hex(digest, DIGEST_BYTES, hex);
}

void md5_finish(struct md5 *md5, char hex[MD5_HEX_BYTES])
{
    uint8_t digest[16];
    finish(&md5->context, digest);
    to_hex(digest, sizeof digest, hex);
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

int digest_from_hex(const char *hex, uint8_t digest[DIGEST_BYTES])
{
    if (strlen(hex) != 2 * DIGEST_BYTES)
        return 0;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}

static void add_u32(struct sha256 *sha256, uint32_t value)
{
    uint8_t bytes[4];
    bytes_put_u32(bytes, value);
    sha256_add(sha256, bytes, sizeof bytes);
}

static void add_text(struct sha256 *sha256, const char *text)
{
    add_u32(sha256, (uint32_t)strlen(text));
    sha256_add(sha256, text, strlen(text));
}

static void add_values(struct sha256 *sha256, const float *values, size_t count)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    sha256_add(sha256, values, count * sizeof *values);
#else
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[4];
        bytes_put_floats(bytes, &values[i], 1);
        sha256_add(sha256, bytes, sizeof bytes);
    }
#endif
}

void digest_tensor(struct sha256 *sha256, const char *name, uint32_t rank, const uint32_t *shape, const float *values)
{
    size_t count = 1;
    add_text(sha256, name);
    add_text(sha256, "F32");
    add_u32(sha256, rank);
    for (uint32_t i = 0; i < rank; i++) {
        uint8_t bytes[8];
        bytes_put_u64(bytes, shape[i]);
        sha256_add(sha256, bytes, sizeof bytes);
        count *= shape[i];
    }
    add_values(sha256, values, count);
}

void digest_step(uint8_t entry[DIGEST_STEP_BYTES], uint64_t step, float loss, uint32_t errors, const uint64_t digest[2])
{
    uint32_t bits;
    memcpy(&bits, &loss, sizeof bits);
    bytes_put_u64(entry, step);
    bytes_put_u32(entry + 8, bits);
    bytes_put_u32(entry + 12, errors);
    bytes_put_u64(entry + 16, digest[0]);
    bytes_put_u64(entry + 24, digest[1]);
}

void digest_chain(uint8_t chain[DIGEST_BYTES], const uint8_t weights[DIGEST_BYTES], const uint8_t *entries,
                  size_t count)
{
    struct sha256 sha256;
    sha256_start(&sha256);
    sha256_add(&sha256, chain, DIGEST_BYTES);
    sha256_add(&sha256, weights, DIGEST_BYTES);
    sha256_add(&sha256, entries, count * DIGEST_STEP_BYTES);
    sha256_finish(&sha256, chain);
}
