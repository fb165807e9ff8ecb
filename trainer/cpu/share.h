/* Shares the items 0 .. count-1 of a pass among threads: each begins with a run of its own, for the sake of its caches, and takes over from the
 * others when it is done, so that a core that something else needs delays nobody. Who computes what cannot show in a result. */
#ifndef SELFSAME_SHARE_H
#define SELFSAME_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct share {
    _Alignas(64) atomic_uint next; /* how many items of this run have been taken */
    uint32_t begin, end;
};

/* Sets up the runs of `threads` threads; one thread calls it before the team starts. */
static inline void share_reset(struct share *shares, uint32_t threads, uint32_t count)
{
    for (uint32_t t = 0; t < threads; t++) {
        atomic_store_explicit(&shares[t].next, 0, memory_order_relaxed);
        shares[t].begin = (uint32_t)((uint64_t)count * t / threads);
        shares[t].end = (uint32_t)((uint64_t)count * (t + 1) / threads);
    }
}

/* Takes the next item for a thread; *victim starts as the thread's number and is the caller's to keep. With `down` each run is
 * walked from its end. False when nothing is left. *after is the item that follows in the run, or the item itself at its end. */
static inline bool share_take(struct share *shares, uint32_t threads, uint32_t thread, uint32_t *victim, bool down, uint32_t *item,
                              uint32_t *after)
{
    do {
        struct share *share = &shares[*victim];
        uint32_t size = share->end - share->begin;
        uint32_t taken = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
        if (taken < size) {
            *item = down ? share->end - 1 - taken : share->begin + taken;
            *after = taken + 1 == size ? *item : down ? *item - 1 : *item + 1;
            return true;
        }
        *victim = (*victim + 1) % threads;
    } while (*victim != thread);
    return false;
}

#endif
