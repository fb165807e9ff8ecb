/* download.h for a program that is linked without libcurl: it downloads nothing, and its message says so. */
#include "fetch/download.h"

#include <string.h>

enum status download_file(const struct source *source, const char *name, uint64_t limit_bytes, const char *part,
                          const struct download_options *options, struct download_result *result, struct error *error)
{
    (void)source, (void)limit_bytes, (void)part, (void)options;
    memset(result, 0, sizeof *result);
    return error_set(error, STATUS_ENVIRONMENT,
                     "%s: this program cannot download (it is from `make gpu-bundle`); fetch it on another machine, "
                     "and name its folder with --data",
                     name);
}
