/* Watches every access of a kernel: races, unwritten memory, fences. The code is in a header only for memory.c, so that
 * the compiler inlines it there.
 *
 * Shared memory has two marks for every unit: the thread that wrote it last, and a thread that read it since. A mark
 * has the barrier interval, the thread and the instruction; of two marks in one interval by different threads, one
 * being a write, neither is ordered by a barrier. A unit is four bytes, or one where the kernel has an access of less.
 *
 * Global memory has the same for every four bytes that the launch has touched, with block and time. What blocks of one
 * launch read of each other must have been released: written, fenced (by the writer, or by the thread of the atomic
 * operation after a barrier), and followed by an atomic operation of the writer's block; and acquired: the reader's
 * block has had an atomic operation, and the reader a fence after that. That is how the last block of a grid reads what
 * the others left, and no other protocol is understood. */
#ifndef PTX_WATCH_H
#define PTX_WATCH_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/ptx/memory.h"

enum { FILL = 0xff, THREADS = 1024 };

static struct {
    const struct ptx_kernel *kernel;
    const struct ptx_launch *launch;
    const struct ptx_host *host;
    struct actor actor; /* the block, and the thread at hand */
    uint32_t threads, block, blocks;
    uint32_t interval, first_interval; /* between barriers, counted through the launch; the block's first */
    uint64_t from, to;                 /* the allocation found last */
    unsigned char *local;
    uint64_t *local_written; /* a bit for each byte */
} memory;

/* ---- shared memory ----------------------------------------------------------------------------------------------- */

/* A mark: interval (24 bits), thread (10), flags (2), instruction (28). */
enum { INTERVAL_AT = 40, THREAD_AT = 30, PLACE_BITS = 28, INTERVALS = 1 << 24 };
#define MARK_ATOMIC (UINT64_C(1) << 29)
#define MARK_SEVERAL (UINT64_C(1) << 28) /* of reads: by other threads, too */
#define MARK_OUTSIDE (~UINT64_C(0))

static struct {
    unsigned char *bytes;
    uint64_t *written, *read;
    uint32_t end, shift; /* of a unit */
} shared;

static uint32_t interval_of(uint64_t mark)
{
    return (uint32_t)(mark >> INTERVAL_AT);
}

static uint32_t thread_of(uint64_t mark)
{
    return (uint32_t)(mark >> THREAD_AT) & (THREADS - 1);
}

static uint32_t place_of(uint64_t mark)
{
    return (uint32_t)(mark & ((1u << PLACE_BITS) - 1));
}

/* Only accesses outside leave a mark. */
static void shared_forget(uint32_t units)
{
    memset(shared.written, 0, units * sizeof *shared.written);
    memset(shared.read, 0, units * sizeof *shared.read);
    for (uint32_t i = 0; i < (uint32_t)DYNAMIC_SHARED >> shared.shift; i++)
        shared.written[i] = MARK_OUTSIDE;
    for (uint32_t i = 0; i < memory.kernel->variable_count; i++) {
        const struct variable *v = &memory.kernel->variables[i];
        if (v->space == SPACE_SHARED && v->bytes > 0)
            memset(shared.written + (v->at >> shared.shift), 0, (v->bytes >> shared.shift) * sizeof *shared.written);
    }
    memory.interval = 0;
}

static void shared_begin(void)
{
    const struct ptx_kernel *kernel = memory.kernel;
    shared.end = DYNAMIC_SHARED + (uint32_t)memory.launch->shared_bytes;
    shared.shift = kernel->narrow_shared ? 0 : 2;
    shared.bytes = allocate(shared.end);
    uint32_t units = (shared.end >> shared.shift) + 1;
    shared.written = allocate(units * sizeof *shared.written);
    shared.read = allocate(units * sizeof *shared.read);
    shared_forget(units);
}

/* "byte 36 of name", valid until the next call. */
static const char *shared_text(uint64_t address)
{
    static char text[600];
    for (uint32_t i = 0; i < memory.kernel->variable_count; i++) {
        const struct variable *v = &memory.kernel->variables[i];
        if (v->space == SPACE_SHARED && address >= v->at && (v->bytes == 0 || address < v->at + v->bytes)) {
            snprintf(text, sizeof text, "byte %" PRIu64 " of %s", (uint64_t)(address - v->at), v->name);
            return text;
        }
    }
    return "no variable";
}

static __attribute__((noinline)) void report_race(uint32_t at, uint32_t thread, uint64_t address, uint64_t other,
                                                  const char *what)
{
    memory.actor.thread = thread;
    report(memory.kernel, at, &memory.actor, "race in shared memory",
           "%s %s%s thread %u at %s, with no barrier between", shared_text(address), what,
           other & MARK_SEVERAL ? " several threads, one of them" : "", thread_of(other),
           place_text(memory.kernel, place_of(other)));
}

static __attribute__((noinline)) int report_shared(uint32_t at, uint32_t thread, uint64_t address, int outside)
{
    memory.actor.thread = thread;
    if (outside)
        report(memory.kernel, at, &memory.actor, "outside shared memory",
               "address %" PRIu64 " is in no variable; dynamic shared memory is %" PRIu64 " to %u", address,
               (uint64_t)DYNAMIC_SHARED, shared.end);
    else
        report(memory.kernel, at, &memory.actor,
               memory.kernel->code[at].copies ? "note: shared memory copied before it is written"
                                              : "shared memory read before it is written",
               "%s", shared_text(address));
    return outside;
}

/* Whether [address, address + bytes) may be touched. */
static inline __attribute__((always_inline)) int shared_read_by(uint32_t at, uint32_t thread, uint64_t address,
                                                                uint32_t bytes, uint64_t flags, uint32_t shift)
{
    if (__builtin_expect(address + bytes > shared.end || address + bytes < bytes, 0))
        return !report_shared(at, thread, address, 1);
    for (uint64_t unit = address >> shift, end = (address + bytes - 1) >> shift; unit <= end; unit++) {
        uint64_t w = shared.written[unit], r = shared.read[unit];
        if (__builtin_expect(interval_of(w) - memory.first_interval > memory.interval - memory.first_interval, 0) &&
            report_shared(at, thread, unit << shift, w == MARK_OUTSIDE))
            return 0;
        if (__builtin_expect(interval_of(w) == memory.interval && thread_of(w) != thread && !(w & flags & MARK_ATOMIC),
                             0))
            report_race(at, thread, unit << shift, w, "is read here and written by");
        if (flags & MARK_ATOMIC)
            continue;
        if (interval_of(r) != memory.interval)
            shared.read[unit] = (uint64_t)memory.interval << INTERVAL_AT | (uint64_t)thread << THREAD_AT | at;
        else if (thread_of(r) != thread && !(r & MARK_SEVERAL))
            shared.read[unit] = r | MARK_SEVERAL;
    }
    return 1;
}

static int shared_read(uint32_t at, uint32_t thread, uint64_t address, uint32_t bytes, uint64_t flags)
{
    return shared_read_by(at, thread, address, bytes, flags, shared.shift);
}

static inline int shared_write(uint32_t at, uint32_t thread, uint64_t address, uint32_t bytes, uint64_t flags)
{
    if (__builtin_expect(address + bytes > shared.end || address + bytes < bytes, 0))
        return !report_shared(at, thread, address, 1);
    for (uint64_t unit = address >> shared.shift, end = (address + bytes - 1) >> shared.shift; unit <= end; unit++) {
        uint64_t w = shared.written[unit], r = shared.read[unit];
        if (__builtin_expect(w == MARK_OUTSIDE, 0))
            return !report_shared(at, thread, unit << shared.shift, 1);
        if (__builtin_expect(interval_of(w) == memory.interval && thread_of(w) != thread && !(w & flags & MARK_ATOMIC),
                             0))
            report_race(at, thread, unit << shared.shift, w, "is written here and by");
        if (__builtin_expect(interval_of(r) == memory.interval && (thread_of(r) != thread || (r & MARK_SEVERAL)), 0))
            report_race(at, thread, unit << shared.shift, r, "is written here and read by");
        shared.written[unit] = (uint64_t)memory.interval << INTERVAL_AT | (uint64_t)thread << THREAD_AT | flags | at;
    }
    return 1;
}

/* ---- global memory ----------------------------------------------------------------------------------------------- */

/* The last accesses of four bytes. If they are of an older launch, `launch` is another number. time: when, counted
 * through the launch in accesses. */
struct touch {
    uint32_t launch, who, time, at; /* who: 1024 times the block, and the thread */
};

enum { PAGE_WORDS = 1024, PAGE_SLOTS = 1 << 20 };

struct page {
    uint64_t number;
    struct touch written[PAGE_WORDS], read[PAGE_WORDS];
    struct page *next;
};

static struct {
    struct page *slots[PAGE_SLOTS], *last;
    uint32_t launch;
    uint32_t time, barrier; /* now; the block's last barrier */
    uint32_t *fences;       /* [threads]: the block's threads' last fences */
    uint32_t *before;       /* [threads]: those before the last barrier */
    uint32_t *released;     /* [blocks][threads]: what a thread did before this, an atomic operation has released */
    uint32_t atomic;        /* the block's last atomic operation; 0: none */
    uint32_t atomic_thread;
} global;

static struct page *page_of(uint64_t address)
{
    uint64_t number = address / (4 * PAGE_WORDS);
    if (global.last && global.last->number == number)
        return global.last;
    struct page **slot = &global.slots[number * UINT64_C(0x9e3779b97f4a7c15) >> 44], *page = *slot;
    while (page && page->number != number)
        page = page->next;
    if (!page) {
        page = allocate(sizeof *page);
        page->number = number;
        page->next = *slot;
        *slot = page;
    }
    return global.last = page;
}

static void global_begin(void)
{
    size_t threads = memory.threads;
    global.launch++;
    global.time = 1;
    global.fences = allocate(threads * sizeof *global.fences);
    global.before = allocate(threads * sizeof *global.before);
    global.released = allocate(memory.blocks * threads * sizeof *global.released);
}

static void global_block(void)
{
    memset(global.fences, 0, memory.threads * sizeof *global.fences);
    memset(global.before, 0, memory.threads * sizeof *global.before);
    global.barrier = ++global.time;
    global.atomic = 0;
}

void memory_fence(uint32_t mask, uint32_t first_thread)
{
    global.time++;
    for (; mask; mask &= mask - 1)
        global.fences[first_thread + (uint32_t)__builtin_ctz(mask)] = global.time;
}

/* By `thread`, now: releases what it has fenced, and what others had fenced before the last barrier, or all of it if
 * this thread has fenced since. */
static void global_release(uint32_t thread)
{
    uint32_t *released = global.released + (size_t)memory.block * memory.threads;
    int cumulates = global.fences[thread] > global.barrier;
    for (uint32_t i = 0; i < memory.threads; i++) {
        uint32_t until = i == thread ? global.fences[i] : cumulates ? global.barrier : global.before[i];
        released[i] = until > released[i] ? until : released[i];
    }
    global.atomic = ++global.time;
    global.atomic_thread = thread;
}

/* Whether what another block did at `t` is ordered before what `thread` does now. */
static int is_ordered(const struct touch *t, uint32_t thread)
{
    int acquired = global.atomic > 0 && (thread == global.atomic_thread || global.barrier > global.atomic) &&
                   global.fences[thread] > global.atomic;
    return acquired && global.released[(size_t)(t->who / THREADS) * memory.threads + t->who % THREADS] > t->time;
}

static __attribute__((noinline)) void report_global(uint32_t at, uint32_t thread, uint64_t address,
                                                    const struct touch *other, const char *what)
{
    memory.actor.thread = thread;
    report(memory.kernel, at, &memory.actor, "race in global memory",
           "byte %" PRIu64 " of its allocation: %s thread %u of block number %u at %s",
           (uint64_t)(address - memory.from), what, other->who % THREADS, other->who / THREADS,
           place_text(memory.kernel, other->at));
}

/* Whether `t`, of this launch, is another thread's and not ordered before `who`, now. */
static inline int conflicts(const struct touch *t, uint32_t who)
{
    if (t->launch != global.launch || t->who == who)
        return 0;
    return t->who / THREADS == memory.block ? t->time > global.barrier : !is_ordered(t, who % THREADS);
}

/* Bytes of one word may be different threads', so that less than a word is only noted. */
static inline void global_touch(uint32_t at, uint32_t thread, uint64_t address, uint32_t bytes, int writes, int cache)
{
    const uint32_t who = memory.block * THREADS + thread;
    const struct touch now = { global.launch, who, global.time, at };
    struct page *page = page_of(address);
    uint32_t first = (uint32_t)(address / 4 % PAGE_WORDS), last = first + (bytes - 1) / 4;
    for (uint32_t word = first; word <= last; word++) {
        struct touch *w = &page->written[word], *r = &page->read[word];
        uint64_t where = page->number * 4 * PAGE_WORDS + 4 * word;
        if (__builtin_expect(bytes >= 4 && conflicts(w, who), 0))
            report_global(at, thread, where, w,
                          writes ? "is written here and, unordered, by" : "is read here and, unordered, written by");
        if (__builtin_expect(writes && bytes >= 4 && conflicts(r, who), 0))
            report_global(at, thread, where, r, "is written here and, unordered, read by");
        if (__builtin_expect(cache == CACHE_CONSTANT && w->launch == global.launch, 0))
            report_global(at, thread, where, w, "is read here as if it were constant (.nc), and written by");
        *(writes ? w : r) = now;
    }
}

/* Whether it may be touched. */
static inline int global_check(uint32_t at, uint32_t thread, uint64_t address, uint32_t bytes)
{
    if (__builtin_expect(address >= memory.from && address + bytes <= memory.to, 1))
        return 1;
    uint64_t from, to;
    int none = memory.host->find(address, &from, &to);
    if (!none && address + bytes <= to) {
        memory.from = from, memory.to = to;
        return 1;
    }
    memory.actor.thread = thread;
    if (none)
        report(memory.kernel, at, &memory.actor, "outside every allocation", "%u bytes at address 0x%" PRIx64, bytes,
               address);
    else
        report(memory.kernel, at, &memory.actor, "outside an allocation", "%u bytes at byte %" PRIu64 " of %" PRIu64,
               bytes, (uint64_t)(address - from), (uint64_t)(to - from));
    return 0;
}

#endif
