#include "results/new_run.h"

#include <stdio.h>

#include "results/find_run.h"

enum status new_run_open(struct new_run *run, const char *runs, struct error *error)
{
    char prefix[FILE_PATH_BYTES];
    *run = (struct new_run){ .runs = runs };
    enum status status = file_make_folders(runs, error);
    if (status == STATUS_OK)
        status = file_path(prefix, error, "%s/.new", runs);
    if (status == STATUS_OK)
        status = file_scratch_open(&run->scratch, prefix, error);
    if (status != STATUS_OK)
        return status;
    status = file_path(run->folder, error, "%s/run", run->scratch.path);
    if (status != STATUS_OK) {
        file_scratch_close(&run->scratch);
        run->folder[0] = '\0';
    }
    return status;
}

enum status new_run_publish(const struct new_run *run, const char *name, char folder[FILE_PATH_BYTES],
                            struct error *error)
{
    enum status status = find_run_check_name(name, error);
    if (status == STATUS_OK)
        status = file_path(folder, error, "%s/%s", run->runs, name);
    if (status == STATUS_OK && file_exists(folder))
        status = error_set(error, STATUS_INPUT, "%s exists already; choose another name with --name", folder);
    if (status == STATUS_OK && rename(run->folder, folder) != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot rename the finished folder to %s", folder);
    return status == STATUS_OK ? file_sync_folder(run->runs, error) : status;
}

void new_run_close(struct new_run *run)
{
    if (run->folder[0] != '\0')
        file_scratch_close(&run->scratch);
    run->folder[0] = '\0';
}
