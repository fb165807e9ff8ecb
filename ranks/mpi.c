/* The module for an MPI library, built by its own mpicc: module.h in MPI's words. No reduction of MPI is used, because
 * its order of additions is its own. */
#include <mpi.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks/module.h"

extern const struct ranks_module selfsame_ranks_module;

/* Tests of a request before a waiting rank lets others have its processor. */
enum { SPINS = 1000 };

static int ranks, self;
static int *counts[2], *places[2]; /* [ranks]: of what is sent, and of what is received */

/* MPI libraries spin while they wait. Where there are more ranks than processors, the spinning rank keeps the late one
 * from running. */
static void wait_for(MPI_Request *request)
{
    int done = 0;
    for (int i = 0; !done; i++) {
        MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (!done && i >= SPINS)
            sched_yield();
    }
}

/* MPI counts in int. The program's pieces are far smaller (shares.c), so that this is a bug. */
static int to_int(size_t bytes)
{
    if (bytes > INT_MAX) {
        fprintf(stderr, "selfsame: %zu bytes are too many for one exchange\n", bytes);
        MPI_Abort(MPI_COMM_WORLD, 3);
    }
    return (int)bytes;
}

static void lay_out(int direction, const size_t *bytes)
{
    size_t at = 0;
    for (int r = 0; r < ranks; r++) {
        counts[direction][r] = to_int(bytes[r]);
        places[direction][r] = to_int(at);
        at += bytes[r];
    }
}

/* "Open MPI v4.1.4, package: ..." and "MPICH Version:\t4.0.2\n..." are one line of words. */
static void module_library(char *text, size_t size)
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "", *rest = version;
    int length;
    MPI_Get_library_version(version, &length);
    version[strcspn(version, ",\n")] = '\0';
    text[0] = '\0';
    for (const char *word; (word = strtok_r(rest, " \t", &rest)) != NULL;) {
        const size_t used = strlen(text);
        if (strcmp(word, "Version:") != 0)
            snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "", word);
    }
}

static const char *module_start(uint32_t *rank, uint32_t *count)
{
    int provided;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
        return "MPI_Init_thread failed";
    if (provided < MPI_THREAD_FUNNELED)
        return "this MPI library supports no threads";
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &self);
    for (int i = 0; i < 2; i++) {
        counts[i] = calloc((size_t)ranks, sizeof *counts[i]);
        places[i] = calloc((size_t)ranks, sizeof *places[i]);
        if (counts[i] == NULL || places[i] == NULL)
            return "out of memory";
    }
    *rank = (uint32_t)self;
    *count = (uint32_t)ranks;
    return NULL;
}

static void module_gather(void *all, const size_t *bytes)
{
    MPI_Request request;
    lay_out(1, bytes);
    MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, counts[1], places[1], MPI_BYTE, MPI_COMM_WORLD, &request);
    wait_for(&request);
}

static void module_exchange(const void *to_send, const size_t *sent_bytes, void *received, const size_t *received_bytes)
{
    MPI_Request request;
    lay_out(0, sent_bytes);
    lay_out(1, received_bytes);
    MPI_Ialltoallv(to_send, counts[0], places[0], MPI_BYTE, received, counts[1], places[1], MPI_BYTE, MPI_COMM_WORLD,
                   &request);
    wait_for(&request);
}

static void module_abort(int exit_status)
{
    MPI_Abort(MPI_COMM_WORLD, exit_status);
}

static void module_finish(void)
{
    MPI_Finalize();
    for (int i = 0; i < 2; i++) {
        free(counts[i]);
        free(places[i]);
    }
}

const struct ranks_module selfsame_ranks_module = {
    .version = RANKS_MODULE_VERSION,
    .library = module_library,
    .start = module_start,
    .gather = module_gather,
    .exchange = module_exchange,
    .abort = module_abort,
    .finish = module_finish,
};
