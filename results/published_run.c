#include "results/published_run.h"

#include <string.h>

#include "base/build_info.h"

enum status published_open(struct record **record, const char *runs, const char *run, struct error *error)
{
    const char *const folders[] = { build_source_published, build_installed_published };
    static const char prefix[] = "published/";
    char path[FILE_PATH_BYTES];
    for (size_t i = 0; i < sizeof folders / sizeof *folders && strncmp(run, prefix, strlen(prefix)) == 0; i++) {
        enum status status = file_path(path, error, "%s/%s", folders[i], run + strlen(prefix));
        if (status != STATUS_OK)
            return status;
        if (file_is_folder(path))
            return record_open(record, runs, path, error);
    }
    return record_open(record, runs, run, error);
}
