/* A run that is read where no folder is: from a packed run (results/pack.h), on disk or at a URL. */
#ifndef SELFSAME_PACKED_RUN_H
#define SELFSAME_PACKED_RUN_H

#include <stdbool.h>

#include "base/file.h"

/* Whether a run is called by a URL: https, http or file. */
bool packed_run_is_url(const char *run);
/* Whether a run is called by a packed run's path or URL. */
bool packed_run_is(const char *run);

/* Fetches it if need be, and unpacks it into a folder in `scratch`, which file_scratch_close removes. Where it cannot
 * be unpacked, the scratch folder is gone. */
enum status packed_run_open(const char *run, struct scratch *scratch, char folder[FILE_PATH_BYTES],
                            struct error *error) MUST_USE;

#endif
