#include "base/append.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum status append_open(struct appender *appender, const char *path, uint64_t keep, struct error *error)
{
    struct stat about;
    int descriptor;
    appender->descriptor = -1;
    enum status status = file_path(appender->path, error, "%s", path);
    if (status == STATUS_OK)
        status = file_open_own(path, O_WRONLY | O_APPEND, &descriptor, error);
    if (status != STATUS_OK)
        return status;
    if (fstat(descriptor, &about) != 0) {
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot examine %s", path);
    } else {
        appender->bytes = (uint64_t)about.st_size;
        if (keep < appender->bytes) {
            appender->bytes = keep;
            if (ftruncate(descriptor, (off_t)keep) != 0)
                status =
                    error_set_errno(error, STATUS_ENVIRONMENT, "cannot shorten %s to %" PRIu64 " bytes", path, keep);
        }
    }
    if (status != STATUS_OK) {
        close(descriptor);
        return status;
    }
    appender->descriptor = descriptor;
    return STATUS_OK;
}

enum status append_write(struct appender *appender, const void *data, size_t bytes, struct error *error)
{
    if (file_write_all(appender->descriptor, data, bytes) != 0) {
        error_set_errno(error, STATUS_ENVIRONMENT, "cannot append to %s", appender->path);
        if (ftruncate(appender->descriptor, (off_t)appender->bytes) != 0)
            return error_prefix(error, "%s ends in an unfinished line", appender->path);
        return error->status;
    }
    appender->bytes += bytes;
    return STATUS_OK;
}

enum status append_sync(struct appender *appender, struct error *error)
{
    if (fsync(appender->descriptor) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot sync %s", appender->path);
    return STATUS_OK;
}

void append_close(struct appender *appender)
{
    if (appender->descriptor >= 0)
        close(appender->descriptor);
    appender->descriptor = -1;
}
