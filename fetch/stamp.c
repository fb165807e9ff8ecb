#include "fetch/stamp.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum { SETTLED_S = 3 }; /* FAT's times are two seconds apart */

void stamp_of(const char *path, char stamp[STAMP_BYTES], bool *settled)
{
    struct stat about;
    stamp[0] = '\0';
    *settled = false;
    if (stat(path, &about) != 0)
        return;
    snprintf(stamp, STAMP_BYTES, "%" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld %" PRId64 ".%09ld", (uint64_t)about.st_size,
             (uint64_t)about.st_ino, (int64_t)about.st_mtim.tv_sec, about.st_mtim.tv_nsec,
             (int64_t)about.st_ctim.tv_sec, about.st_ctim.tv_nsec);
    *settled = about.st_ctim.tv_sec + SETTLED_S <= time(NULL);
}
