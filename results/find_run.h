/* Finds runs: in the runs folder, and among the runs that come with the program.
 *
 * You name a run by its folder (anything with a slash, and every existing folder with a record.json), by its name in
 * the runs folder, or as published/... if it comes with the program. You name a packed run by its path or
 * URL. A run's name is the name of its folder. */
#ifndef SELFSAME_FIND_RUN_H
#define SELFSAME_FIND_RUN_H

#include <stddef.h>

#include "base/error.h"
#include "base/file.h"
#include "results/record_data.h"

/* The runs folder: `option` (of --runs) unless NULL, else the environment's SELFSAME_RUNS unless empty, else "runs". */
const char *record_runs_folder(const char *option);

/* The folder of a run, or the path or URL of a packed one. STATUS_INPUT if there is none. */
enum status find_run(const char *runs, const char *run, char folder[FILE_PATH_BYTES], struct error *error) MUST_USE;
/* The same of a run that may be changed: STATUS_INPUT for a packed one, and for one that comes with the program. */
enum status find_run_to_change(const char *runs, const char *run, char folder[FILE_PATH_BYTES],
                               struct error *error) MUST_USE;
/* STATUS_INPUT for what a run in the runs folder cannot be called. */
enum status find_run_check_name(const char *name, struct error *error) MUST_USE;
/* The name of the run in a folder. */
void find_run_name(const char *folder, char name[RUN_NAME_BYTES]);

/* The names of the runs in a runs folder, sorted; a folder that does not exist has none. The caller frees with
 * record_list_free. */
enum status record_list(const char *runs, char ***names, size_t *count, struct error *error) MUST_USE;
void record_list_free(char **names, size_t count);

#endif
