#include "ranks/ranks.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/build_info.h"
#include "base/file.h"
#include "ranks/module.h"

enum { HOST_BYTES = 64, LIBRARY_BYTES = 64, REASON_BYTES = FILE_PATH_BYTES + 256 };

struct ranks {
    const struct ranks_module *module;
    uint32_t count, own, here;
    size_t *bytes;                   /* [count], of this file's own exchanges */
    enum status failed;              /* what an agreement ended with; STATUS_OK: none has */
    char (*hosts)[HOST_BYTES];       /* [count] */
    char (*texts)[RANKS_TEXT_BYTES]; /* [count] that are compared */
    char *description;
    struct ranks_traffic traffic;
};

/* ---- modules ----------------------------------------------------------------------------------------------------- */

/* A module's file is selfsame-mpi-NAME.so. `library` is what people call it. */
struct module_name {
    const char *name, *library, *package;
};
static const struct module_name modules[] = {
    { "openmpi", "Open MPI", "libopenmpi-dev" },
    { "mpich", "MPICH", "libmpich-dev" },
};
enum { MODULES = sizeof modules / sizeof *modules, OPENMPI = 0, MPICH = 1 };

#define MODULE_VARIABLE "SELFSAME_MPI_MODULE"

/* A launcher shows itself in variables that it gives to the processes. */
struct launcher {
    const char *count; /* the variable with the number of processes, or NULL: Slurm's */
    const char *mark;  /* another that must be there; NULL: none */
    int module;
};
static const struct launcher launchers[] = {
    { "OMPI_COMM_WORLD_SIZE", NULL, OPENMPI },        /* Open MPI's mpirun */
    { "PMI_SIZE", NULL, MPICH },                      /* mpiexec of MPICH and its relatives; srun --mpi=pmi2 */
    { "SLURM_STEP_NUM_TASKS", "PMIX_RANK", OPENMPI }, /* srun --mpi=pmix */
};

/* How many processes a launcher started with this one, and for which library; 1 without any. */
static long started_by(const struct launcher **launcher)
{
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        *launcher = &launchers[i];
        const char *count = getenv(launchers[i].count);
        if (count != NULL && (launchers[i].mark == NULL || getenv(launchers[i].mark) != NULL))
            return strtol(count, NULL, 10);
    }
    *launcher = NULL;
    return 1;
}

#ifdef HAVE_MPI_MODULES
/* MPI libraries open parts of themselves, which may look for the rest among what is loaded globally. `local`: two
 * libraries are opened, which have the same names in them. What is loaded stays, because it may have threads. */
static const struct ranks_module *open_module(const char *path, bool local, char *reason, size_t size)
{
    void *file = dlopen(path, RTLD_NOW | RTLD_NODELETE | (local ? RTLD_LOCAL : RTLD_GLOBAL));
    const struct ranks_module *module = file != NULL ? dlsym(file, RANKS_MODULE_SYMBOL) : NULL;
    if (module == NULL) {
        snprintf(reason, size, "%s", dlerror());
    } else if (module->version != RANKS_MODULE_VERSION) {
        snprintf(reason, size, "%s is of another version of selfsame", path);
        module = NULL;
    }
    return module;
}
#else
static const struct ranks_module *open_module(const char *path, bool local, char *reason, size_t size)
{
    (void)local;
    snprintf(reason, size, "%s: this program was built without MPI", path);
    return NULL;
}
#endif

static enum status module_path(const struct module_name *name, char path[FILE_PATH_BYTES], struct error *error)
{
    char folder[FILE_PATH_BYTES];
    build_modules_folder(folder, sizeof folder);
    return file_path(path, error, "%s/selfsame-mpi-%s.so", folder, name->name);
}

static enum status find_module(const struct launcher *launcher, long count, const struct ranks_module **module,
                               struct error *error)
{
    const struct module_name *name = &modules[launcher->module];
    char path[FILE_PATH_BYTES], reason[REASON_BYTES];
    const char *chosen = getenv(MODULE_VARIABLE);
    if (chosen != NULL && chosen[0] != '\0') {
        *module = open_module(chosen, false, reason, sizeof reason);
        return *module != NULL ? STATUS_OK
                               : error_set(error, STATUS_ENVIRONMENT,
                                           "the module that " MODULE_VARIABLE " names cannot be opened: %s", reason);
    }
    enum status status = module_path(name, path, error);
    if (status != STATUS_OK)
        return status;
    *module = open_module(path, false, reason, sizeof reason);
    if (*module != NULL)
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT,
                     "a launcher started %ld processes of this program for %s, but its module cannot be opened: %s; "
                     "build selfsame where %s's mpicc is installed (Debian: %s), or start one process",
                     count, name->library, reason, name->library, name->package);
}

const char *ranks_module(size_t index, char *library, size_t size)
{
    char path[FILE_PATH_BYTES], reason[REASON_BYTES];
    struct error error;
    if (index >= MODULES)
        return NULL;
    library[0] = '\0';
    if (module_path(&modules[index], path, &error) != STATUS_OK || !file_exists(path))
        return modules[index].library;
    const struct ranks_module *module = open_module(path, true, reason, sizeof reason);
    if (module != NULL)
        module->library(library, size);
    else
        snprintf(library, size, "%s", reason);
    return modules[index].library;
}

/* ---- exchanges --------------------------------------------------------------------------------------------------- */

uint32_t ranks_count(const struct ranks *ranks)
{
    return ranks == NULL ? 1 : ranks->count;
}

uint32_t ranks_own(const struct ranks *ranks)
{
    return ranks == NULL ? 0 : ranks->own;
}

uint32_t ranks_here(const struct ranks *ranks)
{
    return ranks == NULL ? 1 : ranks->here;
}

const char *ranks_describe(const struct ranks *ranks)
{
    return ranks == NULL ? NULL : ranks->description;
}

struct ranks_traffic ranks_traffic(const struct ranks *ranks)
{
    static const struct ranks_traffic none;
    return ranks == NULL ? none : ranks->traffic;
}

static void count_traffic(struct ranks *ranks, const size_t *bytes)
{
    ranks->traffic.exchanges++;
    for (uint32_t r = 0; r < ranks->count; r++)
        ranks->traffic.bytes += r != ranks->own ? bytes[r] : 0;
}

void ranks_gather(struct ranks *ranks, void *all, const size_t *bytes)
{
    count_traffic(ranks, bytes);
    ranks->module->gather(all, bytes);
}

void ranks_exchange(struct ranks *ranks, const void *to_send, const size_t *sent_bytes, void *received,
                    const size_t *received_bytes)
{
    count_traffic(ranks, received_bytes);
    ranks->module->exchange(to_send, sent_bytes, received, received_bytes);
}

/* Of one rank to all others. */
static void send_all(struct ranks *ranks, uint32_t from, void *data, size_t bytes)
{
    for (uint32_t r = 0; r < ranks->count; r++)
        ranks->bytes[r] = r == from ? bytes : 0;
    ranks_gather(ranks, data, ranks->bytes);
}

void ranks_send_all(struct ranks *ranks, void *data, size_t bytes)
{
    if (ranks != NULL)
        send_all(ranks, 0, data, bytes);
}

/* As many bytes of every rank; the own are at their place. */
static void gather_equal(struct ranks *ranks, void *all, size_t bytes)
{
    for (uint32_t r = 0; r < ranks->count; r++)
        ranks->bytes[r] = bytes;
    ranks_gather(ranks, all, ranks->bytes);
}

/* ---- agreement --------------------------------------------------------------------------------------------------- */

struct vote {
    uint8_t status, flag;
};

/* The first with an error, or else the first that was interrupted; `count` where all are well. */
static uint32_t first_failure(const struct vote *votes, uint32_t count)
{
    uint32_t first = count;
    for (uint32_t r = 0; r < count; r++) {
        if (votes[r].status != STATUS_OK &&
            (first == count || (votes[first].status == STATUS_INTERRUPTED && votes[r].status != STATUS_INTERRUPTED)))
            first = r;
    }
    return first;
}

static enum status silent(const struct ranks *ranks, struct error *error)
{
    error->status = ranks->failed;
    error->message[0] = '\0';
    return ranks->failed;
}

enum status ranks_agree(struct ranks *ranks, enum status status, bool *flag, struct error *error)
{
    struct vote votes[RANKS_MAX];
    if (ranks == NULL)
        return status;
    if (ranks->failed != STATUS_OK)
        return ranks->own == 0 ? ranks->failed : silent(ranks, error);
    votes[ranks->own] = (struct vote){ (uint8_t)status, flag != NULL && *flag };
    gather_equal(ranks, votes, sizeof *votes);
    for (uint32_t r = 0; r < ranks->count && flag != NULL; r++)
        *flag = *flag || votes[r].flag;
    const uint32_t failure = first_failure(votes, ranks->count);
    if (failure == ranks->count)
        return STATUS_OK;
    char message[ERROR_MESSAGE_BYTES] = "";
    if (failure == ranks->own)
        snprintf(message, sizeof message, "%s", error->message);
    send_all(ranks, failure, message, sizeof message);
    ranks->failed = votes[failure].status;
    if (ranks->own != 0)
        return silent(ranks, error);
    error->status = ranks->failed;
    memcpy(error->message, message, sizeof error->message);
    return failure == 0 ? ranks->failed : error_prefix(error, "rank %u on %s", failure, ranks->hosts[failure]);
}

static void gather_texts(struct ranks *ranks, const char *text)
{
    snprintf(ranks->texts[ranks->own], RANKS_TEXT_BYTES, "%s", text);
    gather_equal(ranks, ranks->texts, sizeof *ranks->texts);
}

enum status ranks_check_same(struct ranks *ranks, const char *text, const char *what, const char *advice,
                             struct error *error)
{
    if (ranks == NULL)
        return STATUS_OK;
    gather_texts(ranks, text);
    for (uint32_t r = 1; r < ranks->count; r++) {
        if (strcmp(ranks->texts[r], ranks->texts[0]) != 0)
            return error_set(error, STATUS_INPUT, "rank %u on %s has %s than rank 0 on %s; %s", r, ranks->hosts[r],
                             what, ranks->hosts[0], advice);
    }
    return STATUS_OK;
}

const char *ranks_find_other(struct ranks *ranks, const char *text, const char *expected)
{
    if (ranks == NULL)
        return strcmp(text, expected) != 0 ? text : NULL;
    gather_texts(ranks, text);
    for (uint32_t r = 0; r < ranks->count; r++) {
        if (strcmp(ranks->texts[r], expected) != 0)
            return ranks->texts[r];
    }
    return NULL;
}

enum status ranks_agreed(const struct ranks *ranks)
{
    return ranks == NULL ? STATUS_OK : ranks->failed;
}

void ranks_abort(struct ranks *ranks, int exit_status)
{
    ranks->module->abort(exit_status);
    _exit(exit_status);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* "0 to 1 on a, 2 on b". */
static void list_hosts(const struct ranks *ranks, FILE *text)
{
    for (uint32_t first = 0, end; first < ranks->count; first = end) {
        for (end = first + 1; end < ranks->count && strcmp(ranks->hosts[end], ranks->hosts[first]) == 0;)
            end++;
        fprintf(text, "%s%u", first > 0 ? ", " : "", first);
        if (end - first > 1)
            fprintf(text, " to %u", end - 1);
        fprintf(text, " on %s", ranks->hosts[first]);
    }
}

static enum status describe(struct ranks *ranks, struct error *error)
{
    char library[LIBRARY_BYTES];
    size_t size;
    ranks->module->library(library, sizeof library);
    if (gethostname(ranks->hosts[ranks->own], HOST_BYTES - 1) != 0)
        snprintf(ranks->hosts[ranks->own], HOST_BYTES, "unknown");
    gather_equal(ranks, ranks->hosts, HOST_BYTES);
    for (uint32_t r = 0; r < ranks->count; r++)
        ranks->here += strcmp(ranks->hosts[r], ranks->hosts[ranks->own]) == 0;
    FILE *text = open_memstream(&ranks->description, &size);
    if (text == NULL)
        return error_out_of_memory(error, "%u ranks", ranks->count);
    fprintf(text, "%u ranks by %s: ", ranks->count, library);
    list_hosts(ranks, text);
    return fclose(text) == 0 ? STATUS_OK : error_out_of_memory(error, "%u ranks", ranks->count);
}

static enum status start(struct ranks *ranks, struct error *error)
{
    const char *reason = ranks->module->start(&ranks->own, &ranks->count);
    if (reason != NULL)
        return error_set(error, STATUS_ENVIRONMENT, "MPI cannot be started: %s", reason);
    if (ranks->count > RANKS_MAX)
        return error_set(error, STATUS_INPUT, "%u ranks are more than the %d that this program can be", ranks->count,
                         RANKS_MAX);
    ranks->bytes = calloc(ranks->count, sizeof *ranks->bytes);
    ranks->hosts = calloc(ranks->count, sizeof *ranks->hosts);
    ranks->texts = calloc(ranks->count, sizeof *ranks->texts);
    if (ranks->bytes == NULL || ranks->hosts == NULL || ranks->texts == NULL)
        return error_out_of_memory(error, "%u ranks", ranks->count);
    return describe(ranks, error);
}

static void release(struct ranks *ranks)
{
    free(ranks->bytes);
    free(ranks->hosts);
    free(ranks->texts);
    free(ranks->description);
    free(ranks);
}

/* srun starts each task on its own unless it is told which MPI to serve. */
static enum status check_slurm(struct error *error)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (tasks == NULL || strtol(tasks, NULL, 10) < 2)
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT,
                     "srun started %s tasks of this program without MPI; pass srun --mpi=pmix for Open MPI or "
                     "--mpi=pmi2 for MPICH (srun --mpi=list shows what this cluster has), or start one task",
                     tasks);
}

char **ranks_environment(void)
{
    static const char *const of_launchers[] = {
        "OMPI_", "PMIX_", "PMI_", "HYDI_", "MPI_LOCAL", "SLURM_STEP_NUM_TASKS"
    };
    enum { PREFIXES = sizeof of_launchers / sizeof *of_launchers };
    size_t count = 0, kept = 0;
    while (environ[count] != NULL)
        count++;
    char **list = calloc(count + 1, sizeof *list);
    for (size_t i = 0; list != NULL && i < count; i++) {
        size_t p = 0;
        while (p < PREFIXES && strncmp(environ[i], of_launchers[p], strlen(of_launchers[p])) != 0)
            p++;
        if (p == PREFIXES)
            list[kept++] = environ[i];
    }
    return list;
}

enum status ranks_join(struct ranks **out, const struct ranks_module *module, struct error *error)
{
    *out = NULL;
    struct ranks *ranks = calloc(1, sizeof *ranks);
    if (ranks == NULL)
        return error_out_of_memory(error, "the ranks");
    ranks->module = module;
    enum status status = start(ranks, error);
    if (status == STATUS_OK)
        *out = ranks;
    else
        release(ranks);
    return status;
}

enum status ranks_open(struct ranks **out, struct error *error)
{
    const struct launcher *launcher;
    const struct ranks_module *module;
    *out = NULL;
    const long count = started_by(&launcher);
    if (launcher == NULL)
        return check_slurm(error);
    if (count < 2)
        return STATUS_OK;
    enum status status = find_module(launcher, count, &module, error);
    if (status != STATUS_OK)
        return status;
    status = ranks_join(out, module, error);
    if (status != STATUS_OK || (*out)->count == (uint32_t)count)
        return status;
    status =
        error_set(error, STATUS_ENVIRONMENT,
                  "the launcher started %ld processes, but MPI sees %u; use the mpirun of the same MPI library, or "
                  "name its module in " MODULE_VARIABLE,
                  count, (*out)->count);
    ranks_close(*out);
    *out = NULL;
    return status;
}

void ranks_close(struct ranks *ranks)
{
    if (ranks == NULL)
        return;
    ranks->module->finish();
    release(ranks);
}
