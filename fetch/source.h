/* A published file: its URLs, its size and its digests. Downloads and the store need only this, and know nothing of
 * manifests. */
#ifndef SELFSAME_SOURCE_H
#define SELFSAME_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

struct source {
    const char *const *urls; /* in the order to try; they outlive the source */
    size_t url_count;
    uint64_t bytes;                       /* 0: not published */
    char sha256[DIGEST_HEX_BYTES];        /* lower-case hexadecimal digits; "": not published */
    char sha256_prefix[DIGEST_HEX_BYTES]; /* its first digits, where only those are published */
    char md5[MD5_HEX_BYTES];
};

#endif
