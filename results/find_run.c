#include "results/find_run.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build_info.h"
#include "base/text.h"
#include "results/packed_run.h"
#include "results/record_json.h"

const char *record_runs_folder(const char *option)
{
    const char *environment = getenv("SELFSAME_RUNS");
    if (option != NULL)
        return option;
    return environment != NULL && environment[0] != '\0' ? environment : "runs";
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static bool has_record(const char *folder)
{
    char path[FILE_PATH_BYTES];
    struct error ignored;
    return file_path(path, &ignored, "%s/%s", folder, RECORD_FILE) == STATUS_OK && file_exists(path);
}

/* A run that comes with the program: of the source tree, or as installed. "" where there is none of that name. */
static enum status find_published(const char *run, char folder[FILE_PATH_BYTES], struct error *error)
{
    const char *folders[BUILD_FOLDERS];
    static const char prefix[] = "published/";
    enum status status = STATUS_OK;
    build_folders(BUILD_PUBLISHED, folders);
    for (size_t i = 0; i < BUILD_FOLDERS && strncmp(run, prefix, strlen(prefix)) == 0; i++) {
        status = file_path(folder, error, "%s/%s", folders[i], run + strlen(prefix));
        if (status != STATUS_OK || has_record(folder))
            return status;
    }
    folder[0] = '\0';
    return status;
}

/* The name in the runs folder that is nearest to one that is not there; "" where none is near. */
static void find_nearest(const char *runs, const char *run, char nearest[RUN_NAME_BYTES])
{
    char **names;
    size_t count;
    struct error ignored;
    nearest[0] = '\0';
    if (record_list(runs, &names, &count, &ignored) != STATUS_OK)
        return;
    const char **list = calloc(count + 1, sizeof *list);
    for (size_t i = 0; list != NULL && i < count; i++)
        list[i] = names[i];
    const char *found = list != NULL ? nearest_word(run, list) : NULL;
    if (found != NULL)
        snprintf(nearest, RUN_NAME_BYTES, "%s", found);
    free(list);
    record_list_free(names, count);
}

enum status find_run(const char *runs, const char *run, char folder[FILE_PATH_BYTES], struct error *error)
{
    size_t length = strlen(run);
    while (length > 1 && run[length - 1] == '/')
        length--;
    enum status status = find_published(run, folder, error);
    if (status != STATUS_OK || folder[0] != '\0')
        return status;
    if (packed_run_is(run))
        return file_path(folder, error, "%s", run);
    if (strchr(run, '/') != NULL || has_record(run)) {
        status = file_path(folder, error, "%.*s", (int)length, run);
        if (status == STATUS_OK && !has_record(folder))
            status = error_set(error, STATUS_INPUT, "%s is not a run: it has no %s", folder, RECORD_FILE);
        return status;
    }
    status = file_path(folder, error, "%s/%s", runs, run);
    if (status == STATUS_OK && !has_record(folder)) {
        char nearest[RUN_NAME_BYTES];
        find_nearest(runs, run, nearest);
        status = error_set(error, STATUS_INPUT,
                           "there is no run \"%s\" in the folder %s (no %s/%s); %s%s%sname a run's folder, or pass the "
                           "runs folder with --runs",
                           run, runs, folder, RECORD_FILE, nearest[0] != '\0' ? "did you mean " : "", nearest,
                           nearest[0] != '\0' ? "? Or " : "");
    }
    return status;
}

enum status find_run_to_change(const char *runs, const char *run, char folder[FILE_PATH_BYTES], struct error *error)
{
    enum status status = find_published(run, folder, error);
    if (status == STATUS_OK && folder[0] != '\0')
        return error_set(error, STATUS_INPUT, "%s comes with the program and stays as it is; copy its folder %s first",
                         run, folder);
    if (status == STATUS_OK)
        status = find_run(runs, run, folder, error);
    if (status == STATUS_OK && packed_run_is(folder))
        return error_set(error, STATUS_INPUT, "%s is a packed run; unpack it first: selfsame unpack %s", run, run);
    return status;
}

enum status find_run_check_name(const char *name, struct error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name);
    if (length == 0 || length > 200 || strspn(name, letters) != length || name[0] == '.' || name[0] == '-')
        return error_set(
            error, STATUS_INPUT,
            "'%.200s' cannot be the name of a run; a name has at most 200 letters, digits, '.', '_' and '-', and "
            "does not begin with '.' or '-'",
            name);
    return STATUS_OK;
}

void find_run_name(const char *folder, char name[RUN_NAME_BYTES])
{
    /* "." and the like have no name of their own. */
    char *whole = realpath(folder, NULL);
    const char *from = whole != NULL ? whole : folder, *slash = strrchr(from, '/');
    snprintf(name, RUN_NAME_BYTES, "%s", slash != NULL && slash[1] != '\0' ? slash + 1 : from);
    free(whole);
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status record_list(const char *runs, char ***names, size_t *count, struct error *error)
{
    enum status status = STATUS_OK;
    size_t room = 0;
    *names = NULL;
    *count = 0;
    if (!file_exists(runs))
        return STATUS_OK;
    DIR *list = opendir(runs);
    if (list == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the runs folder %s", runs);
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(list)) != NULL;) {
        char path[FILE_PATH_BYTES];
        if (entry->d_name[0] == '.' || file_path(path, error, "%s/%s", runs, entry->d_name) != STATUS_OK ||
            !has_record(path))
            continue;
        if (*count == room) {
            char **more = realloc(*names, (2 * room + 16) * sizeof **names);
            room = 2 * room + 16;
            if (more == NULL) {
                status = error_out_of_memory(error, "the runs in %s", runs);
                break;
            }
            *names = more;
        }
        (*names)[*count] = strdup(entry->d_name);
        if ((*names)[*count] == NULL)
            status = error_out_of_memory(error, "the runs in %s", runs);
        else
            ++*count;
    }
    closedir(list);
    if (status != STATUS_OK) {
        record_list_free(*names, *count);
        *names = NULL;
        *count = 0;
    } else if (*count > 0) {
        qsort(*names, *count, sizeof **names, by_name);
    }
    return status;
}

void record_list_free(char **names, size_t count)
{
    text_free_list(names, count);
}
