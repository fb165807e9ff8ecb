#include "fetch/gunzip.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"

enum { IN_BYTES = 128 * 1024, OUT_BYTES = 256 * 1024, GZIP_WINDOW = 15 + 16 };

struct gunzip {
    char path[FILE_PATH_BYTES];
    int descriptor;
    bool input_ended, ended;
    uint64_t limit, out_total;
    z_stream stream;
    uint8_t in[IN_BYTES], out[OUT_BYTES];
};

enum status gunzip_open(struct gunzip **result, const char *path, uint64_t limit, struct error *error)
{
    *result = NULL;
    struct gunzip *gunzip = calloc(1, sizeof *gunzip);
    if (gunzip == NULL)
        return error_out_of_memory(error, "%s", path);
    struct stat about;
    gunzip->limit = limit;
    gunzip->descriptor = -1;
    if (inflateInit2(&gunzip->stream, GZIP_WINDOW) != Z_OK) {
        free(gunzip);
        return error_out_of_memory(error, "%s", path);
    }
    enum status status = file_path(gunzip->path, error, "%s", path);
    if (status == STATUS_OK) {
        gunzip->descriptor =
            open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe without a writer would make it wait */
        if (gunzip->descriptor < 0)
            status = error_set_errno(error, STATUS_INPUT, "cannot open %s", path);
        else if (fstat(gunzip->descriptor, &about) != 0 || !S_ISREG(about.st_mode))
            status = error_set(error, STATUS_INPUT, "%s is not a regular file", path);
    }
    if (status != STATUS_OK) {
        gunzip_close(gunzip);
        return status;
    }
    *result = gunzip;
    return STATUS_OK;
}

static enum status fill(struct gunzip *gunzip, struct error *error)
{
    ssize_t got;
    do
        got = read(gunzip->descriptor, gunzip->in, IN_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot read %s", gunzip->path);
    gunzip->input_ended = got == 0;
    gunzip->stream.next_in = gunzip->in;
    gunzip->stream.avail_in = (uInt)got;
    return STATUS_OK;
}

/* The stream has ended; the file must have, too. */
static enum status check_end(struct gunzip *gunzip, struct error *error)
{
    enum status status = STATUS_OK;
    gunzip->ended = true;
    if (gunzip->stream.avail_in == 0)
        status = fill(gunzip, error);
    if (status == STATUS_OK && gunzip->stream.avail_in > 0)
        status = error_set(error, STATUS_INPUT,
                           "%s has more bytes after its gzip stream, from byte %lu on; download "
                           "it again",
                           gunzip->path, gunzip->stream.total_in);
    return status;
}

enum status gunzip_next(struct gunzip *gunzip, const void **data, size_t *bytes, struct error *error)
{
    z_stream *stream = &gunzip->stream;
    enum status status = STATUS_OK;
    stream->next_out = gunzip->out;
    stream->avail_out = OUT_BYTES;
    *data = gunzip->out;
    *bytes = 0;
    while (status == STATUS_OK && !gunzip->ended && stream->avail_out > 0) {
        if (stream->avail_in == 0 && !gunzip->input_ended)
            status = fill(gunzip, error);
        if (status == STATUS_OK && stream->avail_in == 0)
            status = error_set(error, STATUS_INPUT,
                               "%s is damaged: it ends before its gzip stream does; download it again", gunzip->path);
        if (status != STATUS_OK)
            break;
        int result = inflate(stream, Z_NO_FLUSH);
        if (result == Z_STREAM_END)
            status = check_end(gunzip, error);
        else if (result == Z_MEM_ERROR)
            status = error_out_of_memory(error, "%s", gunzip->path);
        else if (result != Z_OK)
            status = error_set(error, STATUS_INPUT,
                               "%s is not a gzip file, or is damaged near byte %lu: %s; "
                               "download it again",
                               gunzip->path, stream->total_in, stream->msg != NULL ? stream->msg : zError(result));
    }
    *bytes = OUT_BYTES - stream->avail_out;
    if (status == STATUS_OK && *bytes > gunzip->limit - gunzip->out_total)
        status = error_set(error, STATUS_INPUT,
                           "%s unpacks to more than %" PRIu64 " bytes, which is more than such a file can contain",
                           gunzip->path, gunzip->limit);
    gunzip->out_total += *bytes;
    return status;
}

void gunzip_close(struct gunzip *gunzip)
{
    if (gunzip == NULL)
        return;
    inflateEnd(&gunzip->stream);
    if (gunzip->descriptor >= 0)
        close(gunzip->descriptor);
    free(gunzip);
}
