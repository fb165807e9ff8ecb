#include "trainer/cpu/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"

enum { SPINS = 300 }; /* pauses, some 10 to 40 microseconds, before a waiting thread sleeps */

/* One thread's run of items. */
struct share {
    _Alignas(64) atomic_uint taken;
    uint32_t begin, end;
};

struct member {
    struct team *team;
    uint32_t thread;
    pthread_t handle;
};

struct team {
    uint32_t threads, started; /* started: members that run, without the caller */
    struct member *members;    /* [threads]; 0 unused */
    struct share *shares;      /* [threads] */
    bool down;
    void (*work)(void *context, uint32_t thread);
    void *context;
    atomic_uint generation, running; /* generation counts pieces of work, the end included */
    bool closing, pinned;
    cpu_set_t former; /* processors of the caller, where the team is pinned */
    pthread_mutex_t mutex;
    pthread_cond_t begin, done;
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void *member_main(void *argument)
{
    struct member *member = argument;
    struct team *team = member->team;
    unsigned seen = 0;
    (void)float_environment_enter();
    for (;;) {
        for (int i = 0; i < SPINS && atomic_load_explicit(&team->generation, memory_order_acquire) == seen; i++)
            pause_briefly();
        if (atomic_load_explicit(&team->generation, memory_order_acquire) == seen) {
            pthread_mutex_lock(&team->mutex);
            while (atomic_load_explicit(&team->generation, memory_order_acquire) == seen)
                pthread_cond_wait(&team->begin, &team->mutex);
            pthread_mutex_unlock(&team->mutex);
        }
        seen++;
        if (team->closing)
            return NULL;
        team->work(team->context, member->thread);
        if (atomic_fetch_sub_explicit(&team->running, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&team->mutex);
            pthread_cond_signal(&team->done);
            pthread_mutex_unlock(&team->mutex);
        }
    }
}

/* Starts a generation: the mutex makes sure that a member that is about to sleep sees it. */
static void begin(struct team *team)
{
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add_explicit(&team->generation, 1, memory_order_release);
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->mutex);
}

void team_run(struct team *team, void (*work)(void *context, uint32_t thread), void *context)
{
    team->work = work;
    team->context = context;
    if (team->started > 0) {
        atomic_store_explicit(&team->running, team->started, memory_order_relaxed);
        begin(team);
    }
    work(context, 0);
    for (int i = 0; i < SPINS && atomic_load_explicit(&team->running, memory_order_acquire) > 0; i++)
        pause_briefly();
    if (atomic_load_explicit(&team->running, memory_order_acquire) > 0) {
        pthread_mutex_lock(&team->mutex);
        while (atomic_load_explicit(&team->running, memory_order_acquire) > 0)
            pthread_cond_wait(&team->done, &team->mutex);
        pthread_mutex_unlock(&team->mutex);
    }
}

void team_share(struct team *team, uint32_t count, bool down)
{
    team->down = down;
    for (uint32_t t = 0; t < team->threads; t++) {
        atomic_store_explicit(&team->shares[t].taken, 0, memory_order_relaxed);
        team->shares[t].begin = (uint32_t)((uint64_t)count * t / team->threads);
        team->shares[t].end = (uint32_t)((uint64_t)count * (t + 1) / team->threads);
    }
}

bool team_take(struct team *team, uint32_t thread, uint32_t *victim, uint32_t *item, uint32_t *after)
{
    do {
        struct share *share = &team->shares[*victim];
        uint32_t size = share->end - share->begin;
        uint32_t taken = atomic_fetch_add_explicit(&share->taken, 1, memory_order_relaxed);
        if (taken < size) {
            *item = team->down ? share->end - 1 - taken : share->begin + taken;
            *after = taken + 1 == size ? *item : team->down ? *item - 1 : *item + 1;
            return true;
        }
        *victim = (*victim + 1) % team->threads;
    } while (*victim != thread);
    return false;
}

enum status team_open(struct team **out, uint32_t threads, struct error *error)
{
    *out = NULL;
    struct team *team = calloc(1, sizeof *team);
    if (team == NULL)
        return error_out_of_memory(error, "%u threads", threads);
    team->threads = threads;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->begin, NULL);
    pthread_cond_init(&team->done, NULL);
    team->members = calloc(threads, sizeof *team->members);
    team->shares = aligned_alloc(_Alignof(struct share), threads * sizeof *team->shares);
    if (team->members == NULL || team->shares == NULL) {
        team_close(team);
        return error_out_of_memory(error, "%u threads", threads);
    }
    for (uint32_t t = 1; t < threads; t++) {
        team->members[t] = (struct member){ .team = team, .thread = t };
        int failure = pthread_create(&team->members[t].handle, NULL, member_main, &team->members[t]);
        if (failure != 0) {
            team_close(team);
            return error_set(error, STATUS_ENVIRONMENT,
                             "the system gave only %u of %u threads: %s; ask for fewer with --threads", t, threads,
                             strerror(failure));
        }
        team->started++;
    }
    *out = team;
    return STATUS_OK;
}

enum status team_pin(struct team *team, const uint32_t *processors, struct error *error)
{
    team->pinned = sched_getaffinity(0, sizeof team->former, &team->former) == 0;
    for (uint32_t t = 0; t < team->threads; t++) {
        cpu_set_t set;
        CPU_ZERO(&set);
        if (processors[t] < CPU_SETSIZE)
            CPU_SET(processors[t], &set);
        const int failure = pthread_setaffinity_np(t == 0 ? pthread_self() : team->members[t].handle, sizeof set, &set);
        if (failure != 0)
            return error_set(error, STATUS_ENVIRONMENT, "cannot keep thread %u on processor %u: %s; leave out --pin", t,
                             processors[t], strerror(failure));
    }
    return STATUS_OK;
}

void team_close(struct team *team)
{
    if (team == NULL)
        return;
    if (team->pinned)
        (void)sched_setaffinity(0, sizeof team->former, &team->former);
    team->closing = true;
    if (team->started > 0)
        begin(team);
    for (uint32_t t = 1; t <= team->started; t++)
        pthread_join(team->members[t].handle, NULL);
    pthread_mutex_destroy(&team->mutex);
    pthread_cond_destroy(&team->begin);
    pthread_cond_destroy(&team->done);
    free(team->members);
    free(team->shares);
    free(team);
}
