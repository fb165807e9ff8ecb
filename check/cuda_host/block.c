#include "check/cuda_host/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/cuda_host/fiber.h"
#include "check/cuda_host/host.h"

/* An exchange between lanes that is under way, or done and not yet read by all of them. */
struct exchange {
    enum block_exchange kind;
    struct block_site site;
    unsigned mask, arrived, unread; /* bits of lanes */
    int done;
    uint64_t values[BLOCK_WARP];
};

struct warp {
    unsigned ended;                        /* lanes that have, or that the block does not have */
    unsigned used;                         /* bits of exchanges[] */
    struct exchange exchanges[BLOCK_WARP]; /* a lane is in one at most */
};

enum thread_state { READY, RUNNING, AT_BARRIER, IN_EXCHANGE, ENDED };

struct thread {
    struct fiber fiber;
    enum thread_state state;
    uint3 index;
    struct block_site site; /* where it waits */
    unsigned mask;          /* of its exchange */
};

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

static struct {
    const struct block_kernel *kernel;
    unsigned threads, living, ready;
    unsigned order[BLOCK_THREADS], cursor; /* in which order threads are looked for */
    struct thread *running;
    unsigned at_barrier; /* threads */
    struct block_site barrier;
    int predicates, predicates_before;
} block;
static struct thread threads[BLOCK_THREADS];
static struct warp warps[BLOCK_THREADS / BLOCK_WARP];
static unsigned created; /* threads whose fiber exists */
static struct fiber host_fiber;

/* ---- reports ----------------------------------------------------------------------------------------------------- */

static int same_site(struct block_site a, struct block_site b)
{
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

static void describe(const struct thread *thread)
{
    fprintf(stderr, "thread (%u,%u,%u) ", thread->index.x, thread->index.y, thread->index.z);
    switch (thread->state) {
    case AT_BARRIER:
        fprintf(stderr, "waits at the barrier of %s:%d\n", thread->site.file, thread->site.line);
        break;
    case IN_EXCHANGE:
        fprintf(stderr, "waits at %s:%d for the lanes of mask 0x%08x\n", thread->site.file, thread->site.line,
                thread->mask);
        break;
    case ENDED:
        fprintf(stderr, "has ended\n");
        break;
    case READY:
    case RUNNING:
        fprintf(stderr, "runs\n");
    }
}

/* One thread of every kind of waiting, and how many are like it. */
static void describe_all(void)
{
    for (unsigned i = 0; i < block.threads; i++) {
        unsigned like = 0, first = 1;
        for (unsigned j = 0; j < block.threads; j++) {
            if (threads[j].state == threads[i].state && threads[j].mask == threads[i].mask &&
                (threads[i].state == ENDED || threads[i].state == READY ||
                 same_site(threads[j].site, threads[i].site))) {
                like++;
                first &= j >= i;
            }
        }
        if (!first)
            continue;
        fprintf(stderr, "    %u like this one: ", like);
        describe(&threads[i]);
    }
}

static _Noreturn void fail(struct block_site site, const char *what)
{
    fprintf(stderr, "cuda_host: kernel %s, block (%u,%u,%u), thread (%u,%u,%u), %s:%d: %s\n",
            kernel_name(block.kernel->kernel, block.kernel->type), blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
            threadIdx.y, threadIdx.z, site.file, site.line, what);
    describe_all();
    abort();
}

/* ---- which thread runs ------------------------------------------------------------------------------------------- */

static void wake(struct thread *thread)
{
    thread->state = READY;
    block.ready++;
}

static void release_barrier(void)
{
    block.at_barrier = 0;
    block.predicates_before = block.predicates;
    block.predicates = 0;
    for (unsigned i = 0; i < block.threads; i++) {
        if (threads[i].state == AT_BARRIER)
            wake(&threads[i]);
    }
    order_next(block.order, block.threads);
    block.cursor = 0;
}

/* The thread that runs next, the running one having found its own state; NULL when all have ended. */
static struct thread *next_thread(void)
{
    if (block.ready == 0) {
        if (block.living == 0)
            return NULL;
        if (block.at_barrier < block.living)
            fail(block.running->site,
                 "no thread can go on: lanes of a mask do not come, or part of a warp waits at a barrier");
        release_barrier();
    }
    for (;;) {
        if (block.cursor == block.threads)
            block.cursor = 0;
        struct thread *thread = &threads[block.order[block.cursor++]];
        if (thread->state == READY)
            return thread;
    }
}

static void run(struct thread *thread)
{
    thread->state = RUNNING;
    block.ready--;
    block.running = thread;
    threadIdx = thread->index;
}

/* Returns when the running thread is woken and its turn has come. */
static void wait_in(enum thread_state state, struct block_site site)
{
    struct thread *self = block.running;
    self->state = state;
    self->site = site;
    struct thread *next = next_thread();
    run(next);
    if (next != self)
        fiber_switch(&self->fiber, &next->fiber);
}

/* ---- barriers ---------------------------------------------------------------------------------------------------- */

int block_barrier(int predicate, struct block_site site)
{
    if (block.at_barrier == 0)
        block.barrier = site;
    else if (!same_site(block.barrier, site)) {
        fprintf(stderr, "cuda_host: others wait at the barrier of %s:%d\n", block.barrier.file, block.barrier.line);
        fail(site, "this barrier is not the one where other threads of the block wait");
    }
    block.at_barrier++;
    block.predicates += predicate != 0;
    wait_in(AT_BARRIER, site);
    return block.predicates_before;
}

/* ---- exchanges between lanes ------------------------------------------------------------------------------------- */

static unsigned lane_of(const struct thread *thread)
{
    return (unsigned)(thread - threads) % BLOCK_WARP;
}

static struct warp *warp_of(const struct thread *thread)
{
    return &warps[(thread - threads) / BLOCK_WARP];
}

/* Once all have come that still can; wakes those that wait for it. */
static void complete(struct warp *warp, struct exchange *exchange)
{
    if (exchange->mask & ~(exchange->arrived | warp->ended))
        return;
    exchange->done = 1;
    exchange->unread = exchange->arrived;
    struct thread *first = &threads[(warp - warps) * BLOCK_WARP];
    for (unsigned bits = exchange->arrived; bits; bits &= bits - 1) {
        struct thread *thread = first + __builtin_ctz(bits);
        if (thread->state == IN_EXCHANGE)
            wake(thread);
    }
}

/* Lane `lane` of an exchange reads lane `from`. source   PTX ISA, "shfl.sync": a lane out of bounds reads itself. */
static unsigned source_lane(enum block_exchange kind, unsigned lane, unsigned operand, unsigned width)
{
    unsigned first = lane & ~(width - 1), last = first + width - 1;
    switch (kind) {
    case BLOCK_SHUFFLE_UP:
        return lane < first + operand ? lane : lane - operand;
    case BLOCK_SHUFFLE_DOWN:
        return lane + operand > last ? lane : lane + operand;
    case BLOCK_SHUFFLE_XOR:
        return (lane ^ operand) > last ? lane : lane ^ operand;
    default:
        return first + (operand & (width - 1));
    }
}

static struct exchange *join(struct warp *warp, enum block_exchange kind, unsigned mask, struct block_site site)
{
    for (unsigned bits = warp->used; bits; bits &= bits - 1) {
        struct exchange *exchange = &warp->exchanges[__builtin_ctz(bits)];
        if (exchange->done || exchange->mask != mask)
            continue;
        if (exchange->kind != kind || !same_site(exchange->site, site)) {
            fprintf(stderr, "cuda_host: others wait at %s:%d\n", exchange->site.file, exchange->site.line);
            fail(site, "lanes of one mask are at different exchanges");
        }
        return exchange;
    }
    unsigned slot = (unsigned)__builtin_ctz(~warp->used);
    warp->used |= 1u << slot;
    struct exchange *exchange = &warp->exchanges[slot];
    exchange->kind = kind;
    exchange->site = site;
    exchange->mask = mask;
    exchange->arrived = exchange->unread = 0;
    exchange->done = 0;
    return exchange;
}

uint64_t block_exchange(enum block_exchange kind, unsigned mask, uint64_t value, unsigned operand, unsigned width,
                        struct block_site site)
{
    struct thread *self = block.running;
    struct warp *warp = warp_of(self);
    unsigned lane = lane_of(self), bit = 1u << lane;
    if (!(mask & bit))
        fail(site, "the calling lane is not in the mask");
    if (width == 0 || width > BLOCK_WARP || (width & (width - 1)) != 0)
        fail(site, "the width is not a power of two up to 32");
    struct exchange *exchange = join(warp, kind, mask, site);
    exchange->arrived |= bit;
    exchange->values[lane] = value;
    complete(warp, exchange);
    if (!exchange->done) {
        self->mask = mask;
        wait_in(IN_EXCHANGE, site);
        self->mask = 0;
    }
    uint64_t result = 0;
    if (kind == BLOCK_BALLOT) {
        for (unsigned bits = exchange->arrived; bits; bits &= bits - 1) {
            unsigned other = (unsigned)__builtin_ctz(bits);
            result |= (uint64_t)(exchange->values[other] != 0) << other;
        }
    } else if (kind != BLOCK_SYNC) {
        unsigned from = source_lane(kind, lane, operand, width);
        if (!(exchange->arrived & 1u << from))
            fail(site, "reads a lane that is not in the shuffle");
        result = exchange->values[from];
    }
    exchange->unread &= ~bit;
    if (exchange->unread == 0)
        warp->used &= ~(1u << (exchange - warp->exchanges));
    return result;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* A fiber: the same thread of one block after the other. */
static void thread_body(void)
{
    for (;;) {
        struct thread *self = block.running;
        block.kernel->entry(block.kernel->kernel, block.kernel->argument);
        self->state = ENDED;
        block.living--;
        struct warp *warp = warp_of(self);
        warp->ended |= 1u << lane_of(self);
        for (unsigned bits = warp->used; bits; bits &= bits - 1) {
            struct exchange *exchange = &warp->exchanges[__builtin_ctz(bits)];
            if (!exchange->done)
                complete(warp, exchange);
        }
        struct thread *next = next_thread();
        if (next)
            run(next);
        fiber_switch(&self->fiber, next ? &next->fiber : &host_fiber);
    }
}

static void run_block(void)
{
    shared_fill(block.kernel);
    block.living = block.threads;
    block.ready = 0;
    block.at_barrier = 0;
    block.predicates = 0;
    for (unsigned i = 0; i < block.threads; i++) {
        threads[i].mask = 0;
        wake(&threads[i]);
    }
    for (unsigned i = 0; i * BLOCK_WARP < block.threads; i++) {
        unsigned lanes = block.threads - i * BLOCK_WARP;
        warps[i].used = 0;
        warps[i].ended = lanes < BLOCK_WARP ? ~0u << lanes : 0;
    }
    order_next(block.order, block.threads);
    block.cursor = 0;
    struct thread *first = next_thread();
    run(first);
    fiber_switch(&host_fiber, &first->fiber);
    shared_check(block.kernel);
}

void block_run_kernel(const struct block_kernel *kernel)
{
    dim3 grid = kernel->grid, size = kernel->block;
    if (block_run_ptx(kernel))
        return;
    block.kernel = kernel;
    block.threads = size.x * size.y * size.z;
    blockDim = size;
    gridDim = grid;
    for (; created < block.threads; created++)
        fiber_create(&threads[created].fiber, thread_body, created);
    for (unsigned i = 0; i < block.threads; i++)
        threads[i].index = (uint3){ i % size.x, i / size.x % size.y, i / size.x / size.y };
    size_t blocks = (size_t)grid.x * grid.y * grid.z;
    unsigned *order = host_allocate(blocks * sizeof *order);
    order_next(order, (unsigned)blocks);
    for (size_t i = 0; i < blocks; i++) {
        blockIdx = (uint3){ order[i] % grid.x, order[i] / grid.x % grid.y, order[i] / grid.x / grid.y };
        run_block();
    }
    free(order);
    block.kernel = NULL;
}
