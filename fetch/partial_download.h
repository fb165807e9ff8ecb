/* A download that is not finished: a file that grows, the digests of its bytes, and where they came from. After a cut
 * or a kill, another process can continue it.
 *
 * files    PATH, and next to it PATH.origin with three lines: the URL, the validator (a strong ETag or a Last-Modified;
 *          may be empty) and "one" or "mixed": mixed has pieces that no validator ties together, and only a digest can
 *          tell whether they fit.
 * memory   part_close releases the descriptor; the files stay until part_remove, or until the store takes them. */
#ifndef SELFSAME_PART_H
#define SELFSAME_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

enum { PART_URL_BYTES = 2048, PART_VALIDATOR_BYTES = 512 };

struct part {
    char path[FILE_PATH_BYTES];
    int descriptor;
    uint64_t bytes; /* in the file; all of them are in the digests */
    bool with_md5;
    struct sha256 sha256;
    struct md5 md5;
    char url[PART_URL_BYTES]; /* "" while nothing is known of the file */
    char validator[PART_VALIDATOR_BYTES];
    bool mixed;
};

/* Opens or creates the file, and reads what is in it into the digests. */
enum status part_open(struct part *part, const char *path, bool with_md5, struct error *error) MUST_USE;
/* Adds to the file's end. After an error the file ends where it did. */
enum status part_append(struct part *part, const void *data, size_t bytes, struct error *error) MUST_USE;
/* Empties it: what was there came from elsewhere, or was wrong. */
enum status part_restart(struct part *part, struct error *error) MUST_USE;
/* Says where the next bytes come from. To be called before they are added. */
enum status part_origin(struct part *part, const char *url, const char *validator, bool mixed,
                        struct error *error) MUST_USE;
/* Makes it last, and takes the digests; md5 is "" without with_md5. Nothing but part_restart and part_close may
 * follow. */
enum status part_finish(struct part *part, char sha256[DIGEST_HEX_BYTES], char md5[MD5_HEX_BYTES],
                        struct error *error) MUST_USE;
void part_close(struct part *part);
/* Removes both files of a path; those that are not there are fine. */
enum status part_remove(const char *path, struct error *error) MUST_USE;

#endif
