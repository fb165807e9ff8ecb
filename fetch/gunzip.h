/* The bytes of a gzip file, one after the other, with its CRC checked and nothing allowed behind it.
 *
 * memory   gunzip_open to gunzip_close; about half a MiB.
 * errors   STATUS_INPUT for what is no gzip, cut, damaged or too large; each names the file. */
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
