#include "check/support/edits.h"

#include <stdlib.h>
#include <string.h>

static uint64_t random_state;

void edits_begin(void)
{
    const char *seed = getenv("SEED");
    random_state = 0x9e3779b97f4a7c15u ^ (seed != NULL ? strtoull(seed, NULL, 10) << 32 : 0);
}

uint64_t edits_below(uint64_t count)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 16) % count;
}

unsigned long edits_wanted(void)
{
    const char *wanted = getenv("EDITS");
    return wanted != NULL ? strtoul(wanted, NULL, 10) : 1000;
}

size_t edits_room(size_t bytes, size_t foreign_bytes)
{
    return 2 * bytes + 2 * foreign_bytes + 128;
}

/* Where a random line begins, and its length with the end of the line. */
static size_t random_line(const char *data, size_t bytes, size_t *length)
{
    size_t lines = 0, start = 0;
    for (size_t i = 0; i < bytes; i++)
        lines += data[i] == '\n';
    for (size_t n = lines > 0 ? edits_below(lines) : 0; n > 0; n--)
        start = (size_t)((char *)memchr(data + start, '\n', bytes - start) - data) + 1;
    const char *end = start < bytes ? memchr(data + start, '\n', bytes - start) : NULL;
    *length = end != NULL ? (size_t)(end - data) - start + 1 : bytes - start;
    return start;
}

static void drop(char *data, size_t *bytes, size_t at, size_t count)
{
    memmove(data + at, data + at + count, *bytes - at - count);
    *bytes -= count;
}

static void repeat(char *data, size_t *bytes, size_t at, size_t count)
{
    memmove(data + at + count, data + at, *bytes - at);
    *bytes += count;
}

static void other_digit(char *data, size_t bytes, size_t at)
{
    for (size_t i = 0; i < bytes && (data[at] < '0' || data[at] > '9'); i++)
        at = (at + 1) % bytes;
    if (bytes > 0 && data[at] >= '0' && data[at] <= '9')
        data[at] = (char)('0' + (data[at] - '0' + 1 + (int)edits_below(9)) % 10);
}

const char *edit_bytes(char *data, size_t *bytes, const char *foreign, size_t foreign_bytes)
{
    size_t at = *bytes > 0 ? edits_below(*bytes) : 0, count = 1 + edits_below(64);
    if (count > *bytes - at)
        count = *bytes - at;
    switch (edits_below(12)) {
    case 0:
        *bytes = at;
        return "cut";
    case 1:
        if (*bytes > 0)
            data[at] ^= (char)(1u << edits_below(8));
        return "a flipped bit";
    case 2:
    case 3:
        other_digit(data, *bytes, at);
        return "another digit";
    case 4:
        memset(data + at, 0, count);
        return "zeros";
    case 5:
        memset(data + at, 0, *bytes - at);
        return "zeros to the end";
    case 6:
        drop(data, bytes, at, count);
        return "bytes less";
    case 7:
        repeat(data, bytes, at, count);
        return "bytes doubled";
    case 8:
        at = random_line(data, *bytes, &count);
        drop(data, bytes, at, count);
        return "a line less";
    case 9:
        at = random_line(data, *bytes, &count);
        repeat(data, bytes, at, count);
        return "a line doubled";
    case 10:
        memcpy(data, foreign, foreign_bytes);
        *bytes = foreign_bytes;
        return "another one";
    default:
        for (size_t i = 0; i < count; i++)
            data[at + i] = (char)edits_below(256);
        return "rubbish";
    }
}
