/* The interpreter: a grid's blocks one after the other, the warps of a block in turns, each until it waits.
 *
 * Lanes of a warp that are at one instruction go together. If they are at different instructions, the ones furthest
 * behind go first, so that they meet again. If no barrier orders two accesses, memory.c reports them in any order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/ptx/memory.h"

enum { WARPS = 32, NOWHERE = 0x7fffffff };

struct warp {
    unsigned char *registers;
    uint32_t first_thread;
    uint32_t runs, at_barrier, in_exchange; /* bits of lanes; those in none of the three have ended */
    uint32_t at[LANES];                     /* of each lane that does not run just now: its instruction */
};

static struct {
    const struct ptx_kernel *kernel;
    struct actor actor;
    uint32_t threads, warps;
    struct warp warp[WARPS];
} block;
static uint64_t warp_instructions, lane_instructions;

uint64_t ptx_warp_instructions(void)
{
    return warp_instructions;
}

uint64_t ptx_lane_instructions(void)
{
    return lane_instructions;
}

static void complain(const struct warp *warp, uint32_t lanes, uint32_t at, const char *kind, const char *what)
{
    block.actor.thread = warp->first_thread + (uint32_t)__builtin_ctz(lanes);
    report(block.kernel, at, &block.actor, kind, "lanes 0x%08x: %s", lanes, what);
}

/* ---- exchanges between lanes ------------------------------------------------------------------------------------- */

static uint32_t word(const struct warp *warp, int32_t at, uint32_t lane)
{
    return ((const uint32_t *)(warp->registers + at))[lane];
}

/* For `lanes`, which have come together. source   PTX ISA, shfl.sync. */
static void shuffle(struct warp *warp, const struct instruction *in, uint32_t at, uint32_t lanes)
{
    uint32_t results[LANES] = { 0 }, inside = 0;
    for (uint32_t left = lanes; left; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left), b = word(warp, in->from[1], lane) & 31,
                 c = word(warp, in->from[2], lane);
        uint32_t segments = c >> 8 & 31, most = (lane & segments) | (c & 31 & ~segments), least = lane & segments;
        int32_t from = in->kind == SHUFFLE_UP     ? (int32_t)lane - (int32_t)b
                       : in->kind == SHUFFLE_DOWN ? (int32_t)(lane + b)
                       : in->kind == SHUFFLE_BFLY ? (int32_t)(lane ^ b)
                                                  : (int32_t)(least | (b & ~segments));
        int is_inside = in->kind == SHUFFLE_UP ? from >= (int32_t)most : from <= (int32_t)most;
        if (!is_inside)
            from = (int32_t)lane;
        inside |= (uint32_t)is_inside << lane;
        if (!(lanes >> from & 1))
            complain(warp, 1u << lane, at, "exchange between lanes", "reads a lane that is not in it");
        results[lane] = word(warp, in->from[0], (uint32_t)from);
    }
    for (uint32_t left = lanes; left; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left);
        ((uint32_t *)(warp->registers + in->to[0]))[lane] = results[lane];
    }
    if (in->to[1] >= 0) {
        uint32_t *predicate = (uint32_t *)(warp->registers + in->to[1]);
        *predicate = (*predicate & ~lanes) | (inside & lanes);
    }
}

/* Of the lanes that have not ended and that the mask of `lane` names. */
static uint32_t members(const struct warp *warp, const struct instruction *in, uint32_t lane)
{
    return word(warp, in->from[3], lane) & (warp->runs | warp->at_barrier | warp->in_exchange);
}

/* Whether `lanes`, at this instruction, are all that it is for. */
static int is_complete(const struct warp *warp, const struct instruction *in, uint32_t lanes)
{
    for (uint32_t left = lanes; left; left &= left - 1) {
        if (members(warp, in, (uint32_t)__builtin_ctz(left)) != lanes)
            return 0;
    }
    return 1;
}

/* No lane runs: those that have come to one exchange go on, whether or not all have come. */
static void finish_exchange(struct warp *warp)
{
    uint32_t first = (uint32_t)__builtin_ctz(warp->in_exchange), at = warp->at[first], lanes = 0;
    const struct instruction *in = &block.kernel->code[at];
    for (uint32_t left = warp->in_exchange; left; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left);
        if (warp->at[lane] == at && word(warp, in->from[3], lane) == word(warp, in->from[3], first))
            lanes |= 1u << lane;
    }
    uint32_t named = members(warp, in, first);
    if (lanes & ~named)
        complain(warp, lanes & ~named, at, "exchange between lanes", "are not in their own mask");
    if (named & ~lanes)
        complain(warp, named & ~lanes, at, "exchange between lanes", "are in the mask and do not come");
    shuffle(warp, in, at, lanes);
    warp->in_exchange &= ~lanes;
    warp->runs |= lanes;
    for (uint32_t left = lanes; left; left &= left - 1)
        warp->at[__builtin_ctz(left)]++;
}

/* ---- a warp ------------------------------------------------------------------------------------------------------ */

/* Of the lanes that run, those that are furthest behind; *limit: where they may meet others. */
static uint32_t choose(const struct warp *warp, uint32_t *at, uint32_t *limit)
{
    uint32_t lanes = 0;
    *at = *limit = NOWHERE;
    for (uint32_t left = warp->runs; left; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left), its = warp->at[lane];
        if (its < *at) {
            *limit = *at;
            *at = its;
            lanes = 0;
        } else if (its > *at && its < *limit)
            *limit = its;
        lanes |= (uint32_t)(its == *at) << lane;
    }
    return lanes;
}

static void leave_at(struct warp *warp, uint32_t lanes, uint32_t at)
{
    for (; lanes; lanes &= lanes - 1)
        warp->at[__builtin_ctz(lanes)] = at;
}

/* Of `width` bytes a lane, from one register to another. */
static void blend(unsigned char *to, const unsigned char *from, uint32_t lanes, uint32_t width)
{
    for (; lanes; lanes &= lanes - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(lanes);
        if (width == 4)
            ((uint32_t *)to)[lane] = ((const uint32_t *)from)[lane];
        else if (width == 8)
            ((uint64_t *)to)[lane] = ((const uint64_t *)from)[lane];
        else
            ((uint16_t *)to)[lane] = ((const uint16_t *)from)[lane];
    }
}

#define LANES_OF(T, at) ((const lane_##T *)(registers + (at)))
#define EVERY_LANE(i) _Pragma("GCC ivdep") for (uint32_t i = 0; i < LANES; i++)

#define UNARY_CASE(id, name, D, A, ...)                \
    case OP_##id: {                                    \
        const lane_##A *pa = LANES_OF(A, in->from[0]); \
        lane_##D *pd = (lane_##D *)to;                 \
        EVERY_LANE(i)                                  \
        {                                              \
            const lane_##A a = pa[i];                  \
            pd[i] = (__VA_ARGS__);                     \
        }                                              \
        break;                                         \
    }
#define BINARY_CASE(id, name, D, A, B, ...)            \
    case OP_##id: {                                    \
        const lane_##A *pa = LANES_OF(A, in->from[0]); \
        const lane_##B *pb = LANES_OF(B, in->from[1]); \
        lane_##D *pd = (lane_##D *)to;                 \
        EVERY_LANE(i)                                  \
        {                                              \
            const lane_##A a = pa[i];                  \
            const lane_##B b = pb[i];                  \
            pd[i] = (__VA_ARGS__);                     \
        }                                              \
        break;                                         \
    }
#define TERNARY_CASE(id, name, D, A, B, C, ...)        \
    case OP_##id: {                                    \
        const lane_##A *pa = LANES_OF(A, in->from[0]); \
        const lane_##B *pb = LANES_OF(B, in->from[1]); \
        const lane_##C *pc = LANES_OF(C, in->from[2]); \
        lane_##D *pd = (lane_##D *)to;                 \
        EVERY_LANE(i)                                  \
        {                                              \
            const lane_##A a = pa[i];                  \
            const lane_##B b = pb[i];                  \
            const lane_##C c = pc[i];                  \
            pd[i] = (__VA_ARGS__);                     \
        }                                              \
        break;                                         \
    }
#define COMPARISON_CASE(id, name, T, ...)                                              \
    case OP_##id: {                                                                    \
        const lane_##T *pa = LANES_OF(T, in->from[0]), *pb = LANES_OF(T, in->from[1]); \
        uint32_t holds = 0;                                                            \
        for (uint32_t i = 0; i < LANES; i++) {                                         \
            const lane_##T a = pa[i], b = pb[i];                                       \
            holds |= (uint32_t)(__VA_ARGS__) << i;                                     \
        }                                                                              \
        *PREDICATE(in->to[0]) = (*PREDICATE(in->to[0]) & ~lanes) | (holds & lanes);    \
        goto done;                                                                     \
    }
#define SELECTION_CASE(id, name, T)                                                    \
    case OP_##id: {                                                                    \
        const lane_##T *pa = LANES_OF(T, in->from[0]), *pb = LANES_OF(T, in->from[1]); \
        const uint32_t which = *PREDICATE(in->from[2]);                                \
        lane_##T *pd = (lane_##T *)to;                                                 \
        EVERY_LANE(i)                                                                  \
        pd[i] = which >> i & 1 ? pa[i] : pb[i];                                        \
        break;                                                                         \
    }
#define PREDICATE_CASE(id, name, operands, ...)                                                     \
    case OP_##id: {                                                                                 \
        const uint32_t a = *PREDICATE(in->from[0]), b = operands > 1 ? *PREDICATE(in->from[1]) : 0; \
        (void)b;                                                                                    \
        *PREDICATE(in->to[0]) = (*PREDICATE(in->to[0]) & ~lanes) | ((__VA_ARGS__)&lanes);           \
        goto done;                                                                                  \
    }
#define PREDICATE(at) ((uint32_t *)(registers + (at)))

/* Until all lanes wait at barriers or have ended. */
static void run_warp(struct warp *warp)
{
    const struct ptx_kernel *kernel = block.kernel;
    unsigned char *registers = warp->registers;
    unsigned char apart[8 * LANES] __attribute__((aligned(64)));
    uint32_t at, limit, group;
again:
    while (warp->runs == 0 && warp->in_exchange)
        finish_exchange(warp);
    if (warp->runs == 0)
        return;
    group = choose(warp, &at, &limit);
    const uint32_t size = (uint32_t)__builtin_popcount(group);
    for (;;) {
        if (at >= limit) {
            leave_at(warp, group, at);
            goto again;
        }
        const struct instruction *in = &kernel->code[at];
        uint32_t lanes = group;
        warp_instructions++;
        kernel->ran[at] = 1;
        lane_instructions += size;
        if (in->guard >= 0) {
            lanes &= *PREDICATE(in->guard) ^ (in->guard_negated ? ~0u : 0);
            if (lanes == 0) {
                at++;
                continue;
            }
        }
        unsigned char *to = lanes == ~0u ? registers + in->to[0] : apart;
        switch ((enum operation)in->operation) {
            PTX_UNARY(UNARY_CASE)
            PTX_BINARY(BINARY_CASE)
            PTX_TERNARY(TERNARY_CASE)
            PTX_COMPARISON(COMPARISON_CASE)
            PTX_SELECTION(SELECTION_CASE)
            PTX_PREDICATE(PREDICATE_CASE)
        case OP_bfi: {
            const uint32_t *a = LANES_OF(b32, in->from[0]), *b = LANES_OF(b32, in->from[1]),
                           *c = LANES_OF(b32, in->from[2]), *d = LANES_OF(b32, in->from[3]);
            EVERY_LANE(i)
            ((uint32_t *)to)[i] = inserted(a[i], b[i], c[i], d[i]);
            break;
        }
        case OP_pack:
            for (uint32_t i = 0; i < LANES; i++) {
                for (uint32_t j = 0; j < in->components; j++)
                    memcpy(apart + (i * in->components + j) * in->width, registers + in->from[j] + i * in->width,
                           in->width);
            }
            blend(registers + in->to[0], apart, lanes, in->width * in->components);
            goto done;
        case OP_unpack:
            memcpy(apart, registers + in->from[0], (size_t)LANES * in->width * in->components);
            for (uint32_t j = 0; j < in->components; j++) {
                for (uint32_t left = lanes; left; left &= left - 1) {
                    uint32_t i = (uint32_t)__builtin_ctz(left);
                    memcpy(registers + in->to[j] + i * in->width, apart + (i * in->components + j) * in->width,
                           in->width);
                }
            }
            goto done;
        case OP_load:
            memory_load(in, at, registers, lanes, warp->first_thread);
            goto done;
        case OP_store:
            memory_store(in, at, registers, lanes, warp->first_thread);
            goto done;
        case OP_atomic:
            memory_atomic(in, at, registers, lanes, warp->first_thread);
            goto done;
        case OP_fence:
            memory_fence(lanes, warp->first_thread);
            goto done;
        case OP_shuffle:
            if (is_complete(warp, in, lanes)) {
                shuffle(warp, in, at, lanes);
                goto done;
            }
            leave_at(warp, group & ~lanes, at + 1);
            leave_at(warp, lanes, at);
            warp->runs &= ~lanes;
            warp->in_exchange |= lanes;
            goto again;
        case OP_barrier:
            leave_at(warp, group & ~lanes, at + 1);
            leave_at(warp, lanes, at);
            warp->runs &= ~lanes;
            warp->at_barrier |= lanes;
            goto again;
        case OP_exit:
            leave_at(warp, group & ~lanes, at + 1);
            warp->runs &= ~lanes;
            goto again;
        case OP_branch:
            if (lanes == group) {
                at = in->target;
                continue;
            }
            leave_at(warp, lanes, in->target);
            leave_at(warp, group & ~lanes, at + 1);
            goto again;
        case OPERATIONS:
            abort();
        }
        if (to == apart)
            blend(registers + in->to[0], apart, lanes, in->to_width);
    done:
        at++;
    }
}

/* ---- a block ----------------------------------------------------------------------------------------------------- */

/* All living threads wait: at one barrier of the source, as they should, or at several. */
static void pass_barrier(void)
{
    const struct ptx_kernel *kernel = block.kernel;
    uint32_t first = NOWHERE;
    for (uint32_t i = 0; i < block.warps; i++) {
        struct warp *warp = &block.warp[i];
        for (uint32_t left = warp->at_barrier; left; left &= left - 1) {
            uint32_t lane = (uint32_t)__builtin_ctz(left), at = warp->at[lane]++;
            first = first == NOWHERE ? at : first;
            const struct place *a = &kernel->places[at], *b = &kernel->places[first];
            if (at != first && (a->file != b->file || a->source != b->source || a->file == 0)) {
                block.actor.thread = warp->first_thread + lane;
                report(kernel, at, &block.actor, "barrier", "others wait at that of %s", place_text(kernel, first));
            }
        }
        warp->runs = warp->at_barrier;
        warp->at_barrier = 0;
    }
    memory_barrier();
}

static void set_special(enum special which, uint32_t warp, uint32_t lane, uint32_t value)
{
    if (block.kernel->special[which] >= 0)
        ((uint32_t *)(block.warp[warp].registers + block.kernel->special[which]))[lane] = value;
}

static void run_block(const uint32_t index[3], const uint32_t *order)
{
    memcpy(block.actor.block, index, sizeof block.actor.block);
    for (uint32_t i = 0; i < block.warps; i++) {
        struct warp *warp = &block.warp[i];
        uint32_t left = block.threads - LANES * i;
        warp->runs = left < LANES ? (1u << left) - 1 : ~0u;
        warp->at_barrier = warp->in_exchange = 0;
        memset(warp->at, 0, sizeof warp->at);
        for (uint32_t lane = 0; lane < LANES; lane++) {
            for (uint32_t d = 0; d < 3; d++)
                set_special(SPECIAL_CTAID_X + d, i, lane, index[d]);
        }
    }
    for (;;) {
        uint32_t waiting = 0;
        for (uint32_t i = 0; i < block.warps; i++) {
            run_warp(&block.warp[order[i]]);
            waiting |= block.warp[order[i]].at_barrier;
        }
        if (!waiting)
            return;
        pass_barrier();
    }
}

static void fill_constants(void)
{
    const struct ptx_kernel *kernel = block.kernel;
    for (uint32_t w = 0; w < block.warps; w++) {
        for (uint32_t i = 0; i < kernel->constant_count; i++) {
            const struct constant *c = &kernel->constants[i];
            unsigned char *to = block.warp[w].registers + c->at;
            if (c->width == 0)
                memcpy(to, &c->bits, 4);
            for (uint32_t lane = 0; c->width > 0 && lane < LANES; lane++)
                memcpy(to + c->width * lane, &c->bits, c->width);
        }
    }
}

static void fill_special(const struct ptx_launch *launch)
{
    for (uint32_t thread = 0; thread < block.threads; thread++) {
        uint32_t w = thread / LANES, lane = thread % LANES, x = launch->block[0], y = launch->block[1];
        set_special(SPECIAL_TID_X, w, lane, thread % x);
        set_special(SPECIAL_TID_Y, w, lane, thread / x % y);
        set_special(SPECIAL_TID_Z, w, lane, thread / x / y);
        for (uint32_t d = 0; d < 3; d++) {
            set_special(SPECIAL_NTID_X + d, w, lane, launch->block[d]);
            set_special(SPECIAL_NCTAID_X + d, w, lane, launch->grid[d]);
        }
    }
}

void ptx_run(const struct ptx_kernel *kernel, const struct ptx_launch *launch, const struct ptx_host *host)
{
    uint32_t blocks = launch->grid[0] * launch->grid[1] * launch->grid[2], warp_order[WARPS];
    block.kernel = kernel;
    block.threads = launch->block[0] * launch->block[1] * launch->block[2];
    block.warps = (block.threads + LANES - 1) / LANES;
    size_t bytes = (kernel->register_bytes + 63) / 64 * 64;
    unsigned char *registers = aligned_alloc(64, bytes * block.warps + 64);
    uint32_t *order = allocate(blocks * sizeof *order);
    if (!registers)
        abort();
    memset(registers, 0, bytes * block.warps);
    for (uint32_t i = 0; i < block.warps; i++) {
        block.warp[i].registers = registers + i * bytes;
        block.warp[i].first_thread = i * LANES;
    }
    fill_constants();
    fill_special(launch);
    memory_begin(kernel, launch, host);
    if (kernel->max_threads && block.threads > kernel->max_threads)
        report(kernel, 0, &block.actor, "launch", "%u threads a block, and it is compiled for %u", block.threads,
               kernel->max_threads);
    host->order(order, blocks);
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t b = order[i], x = launch->grid[0], y = launch->grid[1];
        const uint32_t index[3] = { b % x, b / x % y, b / x / y };
        host->order(warp_order, block.warps);
        memory_block(b, index);
        run_block(index, warp_order);
    }
    memory_end();
    free(order);
    free(registers);
}
