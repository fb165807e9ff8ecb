/* selfsame delete: removes runs. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/text.h"
#include "commands/command.h"
#include "results/record.h"

/* A run that is to be deleted. Nobody can train it while its lock is held. */
struct doomed {
    char folder[FILE_PATH_BYTES];
    struct lock lock;
    uint64_t bytes;
};

static bool is_same(const char *folder, const char *other)
{
    struct stat a, b;
    return stat(folder, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* What the disk gives back: a file with another name elsewhere frees nothing. Links are not followed. */
static uint64_t bytes_of(const char *path, unsigned depth)
{
    struct stat about;
    if (lstat(path, &about) != 0)
        return 0;
    uint64_t bytes = S_ISDIR(about.st_mode) || about.st_nlink == 1 ? (uint64_t)about.st_blocks * 512 : 0;
    DIR *list = S_ISDIR(about.st_mode) && depth > 0 ? opendir(path) : NULL;
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        char inner[FILE_PATH_BYTES];
        struct error ignored;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            file_path(inner, &ignored, "%s/%s", path, entry->d_name) == STATUS_OK)
            bytes += bytes_of(inner, depth - 1);
    }
    if (list != NULL)
        closedir(list);
    return bytes;
}

static enum status take(struct doomed *list, size_t before, const char *runs, const char *run, struct error *error)
{
    enum { DEPTH = 8 };
    char path[FILE_PATH_BYTES], holder[LOCK_HOLDER_BYTES];
    struct doomed *doomed = &list[before];
    struct stat about;
    bool taken = false;
    enum status status = find_run_to_change(runs, run, doomed->folder, error);
    if (status == STATUS_OK && lstat(doomed->folder, &about) == 0 && S_ISLNK(about.st_mode))
        return error_set(error, STATUS_INPUT, "%s is a symbolic link; delete the folder that it points to",
                         doomed->folder);
    for (size_t i = 0; i < before && status == STATUS_OK; i++) {
        if (is_same(list[i].folder, doomed->folder))
            return error_set(error, STATUS_INPUT, "%s and %s are the same run", list[i].folder, doomed->folder);
    }
    if (status == STATUS_OK)
        status = file_check_folder(doomed->folder, false, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/" RECORD_LOCK_FILE, doomed->folder);
    if (status == STATUS_OK)
        status = lock_try(&doomed->lock, path, &taken, holder, error);
    if (status == STATUS_OK && !taken)
        return error_set(error, STATUS_ENVIRONMENT, "%s is in use by %s; wait for it to end, or stop it",
                         doomed->folder, holder);
    if (status == STATUS_OK)
        doomed->bytes = bytes_of(doomed->folder, DEPTH);
    return status;
}

static void print_doomed(const struct doomed *doomed)
{
    struct record *record;
    struct error ignored;
    char state[RECORD_STATE_BYTES];
    if (record_open_head(&record, NULL, doomed->folder, &ignored) != STATUS_OK) {
        text_fact(stdout, 2, "%s: a damaged record, %" PRIu64 " bytes", doomed->folder, doomed->bytes);
        return;
    }
    record->locked = false; /* by us */
    text_fact(stdout, 2, "%s: %s, %" PRIu64 " of %" PRIu64 " epochs, %" PRIu64 " bytes", doomed->folder,
              record_state_text(record, state), record->facts.result.epochs, record->facts.epochs_wanted,
              doomed->bytes);
    record_close(record);
}

static enum status ask(size_t count, uint64_t bytes, struct error *error)
{
    char answer[16] = "";
    if (isatty(STDIN_FILENO) != 1)
        return error_set(error, STATUS_INPUT,
                         "nothing is deleted, since standard input is no terminal that could answer; pass --yes");
    printf("delete %zu run%s for ever, and free %" PRIu64 " bytes? [y/N] ", count, count == 1 ? "" : "s", bytes);
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
        return STATUS_OK;
    return error_set(error, STATUS_NO, "nothing is deleted");
}

/* The run leaves the runs folder at once. If the process is killed while it removes the files, the next `delete` there
 * removes the rest. */
static enum status delete_one(struct doomed *doomed, struct error *error)
{
    char parent[FILE_PATH_BYTES], prefix[FILE_PATH_BYTES], left[FILE_PATH_BYTES];
    memcpy(parent, doomed->folder, sizeof parent);
    enum status status = file_path(prefix, error, "%s/.deleted", dirname(parent));
    if (status != STATUS_OK)
        return status;
    status = file_discard_folder(doomed->folder, prefix, left, error);
    if (status != STATUS_OK && file_exists(left))
        error_prefix(error, "%s is no longer a run, but not all of its files could be removed; they are in %s",
                     doomed->folder, left);
    return status;
}

/* All runs are found and locked before the first is deleted. */
static enum status run_delete(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs"));
    const size_t count = arguments->operand_count;
    uint64_t bytes = 0, freed = 0;
    enum status status = STATUS_OK;
    struct doomed *doomed = calloc(count, sizeof *doomed);
    if (doomed == NULL)
        return error_out_of_memory(error, "the list of runs");
    for (size_t i = 0; i < count; i++)
        doomed[i].lock.descriptor = -1;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = take(doomed, i, runs, arguments->operands[i], error);
        bytes += doomed[i].bytes;
    }
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        print_doomed(&doomed[i]);
    if (status == STATUS_OK && !arguments_flag(arguments, "yes"))
        status = ask(count, bytes, error);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = delete_one(&doomed[i], error);
        freed += status == STATUS_OK ? doomed[i].bytes : 0;
    }
    if (status == STATUS_OK || freed > 0)
        printf("%" PRIu64 " bytes freed\n", freed);
    for (size_t i = 0; i < count; i++)
        lock_release(&doomed[i].lock);
    free(doomed);
    return status;
}

static const struct option_definition options[] = {
    { "yes", NULL, OPTION_FLAG, 0, 0, NULL, "delete without asking" },
    OPTION_RUNS,
    OPTIONS_END,
};

const struct command delete_command = {
    .name = "delete",
    .operands = "RUN...",
    .summary = "delete runs, for ever",
    .options = options,
    .description =
        "Says what each run is and how many bytes it takes, asks, and deletes the runs' folders with all that is in "
        "them. If one of the runs is not there or is being trained, it deletes none.\n\n"
        "It refuses packed runs, symbolic links and the runs that come with the program. The exit status is 1 if you "
        "answered no, and 3 if a process is training one of the runs.",
    .examples = "selfsame delete old-seed1 old-seed2\tasks first\n"
                "selfsame delete old-seed1 --yes\tin a script\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_delete,
};
