/* A run that is put into the runs folder from outside, such as from a packed file. It grows in a folder that nobody
 * takes for a run, and appears whole or not at all. What a killed process left of one goes with the next. */
#ifndef SELFSAME_NEW_RUN_H
#define SELFSAME_NEW_RUN_H

#include "base/error.h"
#include "base/file.h"

struct new_run {
    const char *runs;
    struct scratch scratch;       /* in the runs folder */
    char folder[FILE_PATH_BYTES]; /* in that: where to write the run's files. It is not made yet. "": not open */
};

enum status new_run_open(struct new_run *run, const char *runs, struct error *error) MUST_USE;
/* Moves the run to its place, where nothing may be. `folder` is that place. */
enum status new_run_publish(const struct new_run *run, const char *name, char folder[FILE_PATH_BYTES],
                            struct error *error) MUST_USE;
/* Removes what is left in the temporary folder. A run whose `folder` is "", since it was not opened, is fine. */
void new_run_close(struct new_run *run);

#endif
