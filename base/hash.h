/* SHA-256 and MD5. */
#ifndef SELFSAME_HASH_H
#define SELFSAME_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_HEX_BYTES = 65 };

/* A running SHA-256: a plain struct, which may be dropped at any time. Nothing here can fail. */
struct sha256 {
    uint64_t state[14];
};

void sha256_start(struct sha256 *sha256);
void sha256_add(struct sha256 *sha256, const void *data, size_t bytes);
void sha256_finish(struct sha256 *sha256, uint8_t digest[DIGEST_BYTES]);

/* A running MD5, for files that were published before SHA-256 was usual. It shows damage, but not forgery. */
enum { MD5_HEX_BYTES = 33 };

struct md5 {
    uint64_t state[12];
};

void md5_start(struct md5 *md5);
void md5_add(struct md5 *md5, const void *data, size_t bytes);
void md5_finish(struct md5 *md5, char hex[MD5_HEX_BYTES]);

/* All at once; hex is 64 lower-case digits and a NUL. */
void sha256_bytes(const void *data, size_t bytes, uint8_t digest[DIGEST_BYTES]);
void sha256_hex(const void *data, size_t bytes, char hex[DIGEST_HEX_BYTES]);

void digest_to_hex(const uint8_t digest[DIGEST_BYTES], char hex[DIGEST_HEX_BYTES]);
/* 1 if hex is 64 lower-case digits, which are then in digest; else 0. */
int digest_from_hex(const char *hex, uint8_t digest[DIGEST_BYTES]);

#endif
