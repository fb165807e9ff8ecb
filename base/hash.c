/* libcrypto's older interface: its states are plain structs, so no digest can fail because memory is short. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <assert.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>

static_assert(sizeof(SHA256_CTX) <= sizeof(struct sha256), "struct sha256 is too small");
static_assert(sizeof(MD5_CTX) <= sizeof(struct md5), "struct md5 is too small");
static_assert((int)SHA256_DIGEST_LENGTH == (int)DIGEST_BYTES, "");

void sha256_start(struct sha256 *sha256)
{
    SHA256_Init((SHA256_CTX *)sha256->state);
}

void sha256_add(struct sha256 *sha256, const void *data, size_t bytes)
{
    SHA256_Update((SHA256_CTX *)sha256->state, data, bytes);
}

void sha256_finish(struct sha256 *sha256, uint8_t digest[DIGEST_BYTES])
{
    SHA256_Final(digest, (SHA256_CTX *)sha256->state);
}

void md5_start(struct md5 *md5)
{
    MD5_Init((MD5_CTX *)md5->state);
}

void md5_add(struct md5 *md5, const void *data, size_t bytes)
{
    MD5_Update((MD5_CTX *)md5->state, data, bytes);
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
    uint8_t digest[MD5_DIGEST_LENGTH];
    MD5_Final(digest, (MD5_CTX *)md5->state);
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
