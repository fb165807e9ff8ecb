#include "results/packed_run.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/download.h"
#include "results/pack.h"

static const uint64_t DOWNLOAD_LIMIT = (uint64_t)1 << 36;

bool packed_run_is_url(const char *run)
{
    static const char *const schemes[] = { "https://", "http://", "file://" };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strncmp(run, schemes[i], strlen(schemes[i])) == 0)
            return true;
    }
    return false;
}

/* By its name, or by how its first entry is called. */
bool packed_run_is(const char *run)
{
    char begin[4] = "";
    const size_t length = strlen(run), suffix = strlen(PACK_SUFFIX);
    if (packed_run_is_url(run))
        return true;
    if (!file_exists(run) || file_is_folder(run))
        return false;
    if (length > suffix && strcmp(run + length - suffix, PACK_SUFFIX) == 0)
        return true;
    const int descriptor = open(run, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const bool same =
        descriptor >= 0 && read(descriptor, begin, sizeof begin) == sizeof begin && memcmp(begin, "run/", 4) == 0;
    if (descriptor >= 0)
        close(descriptor);
    return same;
}

static enum status fetch(const char *url, const char *path, struct error *error)
{
    const struct source source = { .urls = &url, .url_count = 1 };
    const struct download_options options = { .retries = 4, .retry_delay_s = 1, .speed_time_s = 30 };
    struct download_result result;
    return download_file(&source, url, DOWNLOAD_LIMIT, path, &options, &result, error);
}

enum status packed_run_open(const char *run, struct scratch *scratch, char folder[FILE_PATH_BYTES], struct error *error)
{
    const char *temporary = getenv("TMPDIR");
    char prefix[FILE_PATH_BYTES], file[FILE_PATH_BYTES];
    struct packed packed;
    enum status status =
        file_path(prefix, error, "%s/selfsame-run", temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp");
    if (status == STATUS_OK)
        status = file_scratch_open(scratch, prefix, error);
    if (status != STATUS_OK)
        return status;
    status = file_path(folder, error, "%s/run", scratch->path);
    if (status == STATUS_OK)
        status = file_path(file, error, "%s/packed", scratch->path);
    if (status == STATUS_OK && packed_run_is_url(run)) {
        status = fetch(run, file, error);
        if (status == STATUS_OK)
            status = pack_read(file, folder, &packed, error);
        if (status != STATUS_OK)
            error_replace(error, file, run);
    } else if (status == STATUS_OK) {
        status = pack_read(run, folder, &packed, error);
    }
    if (status != STATUS_OK)
        file_scratch_close(scratch);
    return status;
}
