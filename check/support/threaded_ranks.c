#include "check/support/threaded_ranks.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks/module.h"

static _Thread_local uint32_t self;
static uint32_t count_of_ranks;
static pthread_barrier_t barrier;
static const unsigned char *pieces[THREADED_RANKS_MAX];
static const size_t *sizes[THREADED_RANKS_MAX];

static void give_up(const char *what)
{
    fprintf(stderr, "threaded ranks: %s\n", what);
    abort();
}

static size_t bytes_before(const size_t *bytes, uint32_t rank)
{
    size_t sum = 0;
    for (uint32_t r = 0; r < rank; r++)
        sum += bytes[r];
    return sum;
}

static void show(const void *data, const size_t *bytes)
{
    pieces[self] = data;
    sizes[self] = bytes;
    pthread_barrier_wait(&barrier);
}

static void threads_library(char *text, size_t size)
{
    snprintf(text, size, "threads");
}

static const char *threads_start(uint32_t *rank, uint32_t *count)
{
    *rank = self;
    *count = count_of_ranks;
    return NULL;
}

static void threads_gather(void *all, const size_t *bytes)
{
    show(all, bytes);
    for (uint32_t r = 0; r < count_of_ranks; r++) {
        const size_t at = bytes_before(bytes, r);
        if (sizes[r][r] != bytes[r] || sizes[r][self] != bytes[self])
            give_up("two ranks gather other numbers of bytes");
        if (r != self)
            memcpy((unsigned char *)all + at, pieces[r] + at, bytes[r]);
    }
    pthread_barrier_wait(&barrier);
}

static void threads_exchange(const void *to_send, const size_t *sent_bytes, void *received,
                             const size_t *received_bytes)
{
    unsigned char *to = received;
    show(to_send, sent_bytes);
    for (uint32_t r = 0; r < count_of_ranks; to += received_bytes[r++]) {
        if (sizes[r][self] != received_bytes[r])
            give_up("a rank sends another number of bytes than this one expects");
        memcpy(to, pieces[r] + bytes_before(sizes[r], self), received_bytes[r]);
    }
    pthread_barrier_wait(&barrier);
}

static void threads_abort(int exit_status)
{
    (void)exit_status;
    give_up("aborted");
}

static void threads_finish(void)
{
    pthread_barrier_wait(&barrier);
}

static const struct ranks_module module = {
    .version = RANKS_MODULE_VERSION,
    .library = threads_library,
    .start = threads_start,
    .gather = threads_gather,
    .exchange = threads_exchange,
    .abort = threads_abort,
    .finish = threads_finish,
};

struct member {
    uint32_t rank;
    void (*work)(void *context, struct ranks *ranks);
    void *context;
};

static void *run_member(void *argument)
{
    const struct member *member = argument;
    struct ranks *ranks;
    struct error error;
    self = member->rank;
    if (ranks_join(&ranks, &module, &error) != STATUS_OK)
        give_up(error.message);
    member->work(member->context, ranks);
    ranks_close(ranks);
    return NULL;
}

void threaded_ranks_run(uint32_t count, void (*work)(void *context, struct ranks *ranks), void *context)
{
    pthread_t threads[THREADED_RANKS_MAX];
    struct member members[THREADED_RANKS_MAX];
    count_of_ranks = count;
    pthread_barrier_init(&barrier, NULL, count);
    for (uint32_t r = 0; r < count; r++) {
        members[r] = (struct member){ r, work, context };
        if (pthread_create(&threads[r], NULL, run_member, &members[r]) != 0)
            give_up("no more threads");
    }
    for (uint32_t r = 0; r < count; r++)
        pthread_join(threads[r], NULL);
    pthread_barrier_destroy(&barrier);
}
