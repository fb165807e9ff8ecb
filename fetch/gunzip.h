/* Reads the bytes of a gzip file. Its CRC is checked, and no bytes may follow.
 *
 * memory   gunzip_open to gunzip_close; about half a MiB.
 * errors   STATUS_INPUT if it is not gzip, or cut, damaged or too large; each names the file. */
#ifndef SELFSAME_GUNZIP_H
#define SELFSAME_GUNZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct gunzip;

/* `limit`: the most bytes that may come out. */
enum status gunzip_open(struct gunzip **gunzip, const char *path, uint64_t limit, struct error *error) MUST_USE;
/* The next bytes, which stay until the next call; *bytes is 0 at the end, which has then been checked. */
enum status gunzip_next(struct gunzip *gunzip, const void **data, size_t *bytes, struct error *error) MUST_USE;
void gunzip_close(struct gunzip *gunzip); /* NULL: nothing happens */

#endif
