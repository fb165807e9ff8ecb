#include "base/hash.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
