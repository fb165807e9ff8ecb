/* SHA-256 and MD5. A leaf room. */
#ifndef SELFSAME_HASH_H
#define SELFSAME_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_HEX_BYTES = 65 };

/* A running SHA-256. sha256_finish releases it; every start wants its finish. Ends the program if there is no memory
 * for the few hundred bytes of state: a digest that may be missing is worse. */
struct sha256 {
    void *context;
};

void sha256_start(struct sha256 *sha256);
void sha256_add(struct sha256 *sha256, const void *data, size_t bytes);
void sha256_finish(struct sha256 *sha256, uint8_t digest[DIGEST_BYTES]);

/* A running MD5, for what was published before SHA-256 was usual: it tells damage, not forgery. As above. */
enum { MD5_HEX_BYTES = 33 };

struct md5 {
    void *context;
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
