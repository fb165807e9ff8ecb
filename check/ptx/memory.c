/* The memory of a launch: which allocation an address belongs to, and what an instruction does there. */
#include "check/ptx/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/ptx/watch.h"

/* ---- local memory ------------------------------------------------------------------------------------------------ */

static unsigned char *local_at(uint32_t at, uint32_t thread, uint64_t address, uint32_t bytes, int writes)
{
    memory.actor.thread = thread;
    if (address + bytes > memory.kernel->local_bytes || address + bytes < bytes) {
        report(memory.kernel, at, &memory.actor, "outside local memory", "byte %" PRIu64 " of %u", address,
               memory.kernel->local_bytes);
        return NULL;
    }
    uint64_t first = (uint64_t)thread * memory.kernel->local_bytes + address;
    for (uint64_t i = first; i < first + bytes; i++) {
        if (writes)
            memory.local_written[i / 64] |= UINT64_C(1) << i % 64;
        else if (!(memory.local_written[i / 64] >> i % 64 & 1))
            report(memory.kernel, at, &memory.actor, "local memory read before it is written", "byte %" PRIu64,
                   (uint64_t)(i - first + address));
    }
    return memory.local + first;
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

void memory_begin(const struct ptx_kernel *kernel, const struct ptx_launch *launch, const struct ptx_host *host)
{
    memory.kernel = kernel;
    memory.launch = launch;
    memory.host = host;
    memory.threads = launch->block[0] * launch->block[1] * launch->block[2];
    memory.blocks = launch->grid[0] * launch->grid[1] * launch->grid[2];
    memory.from = memory.to = 0;
    size_t local = (size_t)kernel->local_bytes * memory.threads;
    memory.local = allocate(local);
    memory.local_written = allocate(local / 8 + 8);
    shared_begin();
    global_begin();
}

void memory_end(void)
{
    free(memory.local);
    free(memory.local_written);
    free(shared.bytes);
    free(shared.written);
    free(shared.read);
    free(global.fences);
    free(global.before);
    free(global.released);
}

void memory_block(uint32_t number, const uint32_t block[3])
{
    memory.block = number;
    memcpy(memory.actor.block, block, sizeof memory.actor.block);
    if (memory.interval > INTERVALS / 2) /* a block has fewer barriers than that */
        shared_forget((shared.end >> shared.shift) + 1);
    memory.first_interval = ++memory.interval;
    memset(shared.bytes, FILL, memory.kernel->shared_bytes);
    memset(shared.bytes + DYNAMIC_SHARED, FILL, memory.launch->shared_bytes);
    memset(memory.local_written, 0, (size_t)memory.kernel->local_bytes * memory.threads / 8 + 8);
    global_block();
}

void memory_barrier(void)
{
    memory.interval++;
    global.barrier = ++global.time;
    memcpy(global.before, global.fences, memory.threads * sizeof *global.before);
}

/* ---- instructions ------------------------------------------------------------------------------------------------ */

#define EACH_LANE(lane, mask)                                                                                  \
    for (uint32_t lane##_left = (mask), lane; lane##_left && (lane = (uint32_t)__builtin_ctz(lane##_left), 1); \
         lane##_left &= lane##_left - 1)

static void read_addresses(const struct instruction *in, const unsigned char *registers, uint64_t addresses[LANES])
{
    const uint64_t displacement = (uint64_t)in->displacement;
    const unsigned char *base = registers + in->from[3];
    for (uint32_t lane = 0; in->from[3] < 0 && lane < LANES; lane++)
        addresses[lane] = displacement;
    for (uint32_t lane = 0; in->from[3] >= 0 && in->address_width == 4 && lane < LANES; lane++)
        addresses[lane] = ((const uint32_t *)base)[lane] + displacement;
    for (uint32_t lane = 0; in->from[3] >= 0 && in->address_width == 8 && lane < LANES; lane++)
        addresses[lane] = ((const uint64_t *)base)[lane] + displacement;
}

static int is_aligned(uint32_t at, uint32_t thread, uint64_t address, uint32_t bytes)
{
    if (__builtin_expect((address & (bytes - 1)) == 0, 1))
        return 1;
    memory.actor.thread = thread;
    report(memory.kernel, at, &memory.actor, "misaligned", "%u bytes at address 0x%" PRIx64, bytes, address);
    return 0;
}

static inline int shared_load(const struct instruction *in, uint32_t at, uint32_t thread, uint64_t address)
{
    if (__builtin_expect(in->used == (1u << in->components) - 1, 1))
        return shared_read(at, thread, address, (uint32_t)in->width * in->components, 0);
    for (uint32_t i = 0; i < in->components; i++) {
        if (in->used >> i & 1 && !shared_read(at, thread, address + i * in->width, in->width, 0))
            return 0;
    }
    return 1;
}

/* Where the lane's access goes, having been looked at; NULL where there is nothing. */
static inline unsigned char *resolve(const struct instruction *in, uint32_t at, uint32_t thread, uint64_t address,
                                     int reads, int writes)
{
    const uint32_t bytes = (uint32_t)in->width * in->components;
    const uint64_t flags = reads && writes ? MARK_ATOMIC : 0;
    uint32_t space = in->space;
    if (!is_aligned(at, thread, address, bytes))
        return NULL;
    if (space == SPACE_GENERIC) {
        space = address & WINDOW_SHARED ? SPACE_SHARED : address & WINDOW_LOCAL ? SPACE_LOCAL : SPACE_GLOBAL;
        address -= space == SPACE_SHARED ? WINDOW_SHARED : space == SPACE_LOCAL ? WINDOW_LOCAL : 0;
    }
    switch (space) {
    case SPACE_SHARED:
        if (reads && !(writes ? shared_read(at, thread, address, bytes, flags) : shared_load(in, at, thread, address)))
            return NULL;
        if (writes && !shared_write(at, thread, address, bytes, flags))
            return NULL;
        return shared.bytes + address;
    case SPACE_LOCAL:
        return local_at(at, thread, address, bytes, writes);
    case SPACE_PARAM:
        if (address + bytes > memory.kernel->parameter_bytes) {
            memory.actor.thread = thread;
            report(memory.kernel, at, &memory.actor, "outside the parameters", "byte %" PRIu64, address);
            return NULL;
        }
        return (unsigned char *)(uintptr_t)memory.launch->argument + address;
    default:
        if (!global_check(at, thread, address, bytes))
            return NULL;
        if (!flags)
            global_touch(at, thread, address, bytes, writes, in->cache);
        return (unsigned char *)(uintptr_t)address;
    }
}

/* memcpy of a width that is 1, 2, 4 or 8, without the call. */
static inline void copy(void *to, const void *from, uint32_t width)
{
    if (width == 4)
        memcpy(to, from, 4);
    else if (width == 8)
        memcpy(to, from, 8);
    else if (width == 2)
        memcpy(to, from, 2);
    else
        memcpy(to, from, 1);
}

static inline uint64_t fetched(const unsigned char *from, const struct instruction *in)
{
    uint64_t value = 0;
    copy(&value, from, in->width);
    if (in->is_signed && in->width < 8) {
        uint64_t sign = UINT64_C(1) << (8 * in->width - 1);
        value = (value ^ sign) - sign;
    }
    return value;
}

static inline uint64_t taken(const unsigned char *registers, int32_t at, uint32_t width, uint32_t lane)
{
    uint64_t value = 0;
    copy(&value, registers + at + width * lane, width);
    return value;
}

/* What there is where nothing is. */
static const unsigned char nothing[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static inline void deliver(const struct instruction *in, unsigned char *registers, uint32_t lane,
                           const unsigned char *from)
{
    for (uint32_t i = 0; i < in->components; i++) {
        uint64_t value = fetched(from + i * in->width, in);
        copy(registers + in->to[i] + in->to_width * lane, &value, in->to_width);
    }
}

/* To all lanes. */
static void deliver_to_all(const struct instruction *in, unsigned char *registers, const unsigned char *from)
{
    for (uint32_t i = 0; i < in->components; i++) {
        uint64_t value = fetched(from + i * in->width, in);
        unsigned char *to = registers + in->to[i];
        for (uint32_t lane = 0; in->to_width == 4 && lane < LANES; lane++)
            ((uint32_t *)to)[lane] = (uint32_t)value;
        for (uint32_t lane = 0; in->to_width != 4 && lane < LANES; lane++)
            copy(to + in->to_width * lane, &value, in->to_width);
    }
}

/* Whether no thread has written these units since the last barrier. */
static inline int is_quiet(uint64_t unit, uint32_t count)
{
    int quiet = 1;
    for (uint32_t i = 0; i < count; i++)
        quiet &= interval_of(shared.written[unit + i]) != memory.interval;
    return quiet;
}

/* All lanes read one place of shared memory that none has written since the last barrier: looked at once. */
static int load_same(const struct instruction *in, uint32_t at, unsigned char *registers, uint32_t first_thread,
                     uint64_t address)
{
    const uint32_t bytes = (uint32_t)in->width * in->components;
    if (!is_aligned(at, first_thread, address, bytes) || address + bytes > shared.end || address + bytes < bytes)
        return 0;
    const uint64_t first = address >> shared.shift, last = (address + bytes - 1) >> shared.shift;
    if (!is_quiet(first, (uint32_t)(last - first) + 1) || !shared_load(in, at, first_thread, address))
        return 0;
    for (uint64_t unit = first; unit <= last; unit++)
        shared.read[unit] |= interval_of(shared.read[unit]) == memory.interval ? MARK_SEVERAL : 0;
    deliver_to_all(in, registers, shared.bytes + address);
    return 1;
}

/* The most frequent load, of whole words of shared memory: neighbouring lanes that read one place are looked at
 * together. */
static inline __attribute__((always_inline)) void load_words(const struct instruction *in, uint32_t at,
                                                             unsigned char *registers, uint32_t mask,
                                                             uint32_t first_thread, const uint64_t *addresses,
                                                             const uint32_t components)
{
    const unsigned char *from = nothing;
    uint64_t before = ~UINT64_C(0);
    int marked = 0;
    EACH_LANE(lane, mask)
    {
        const uint64_t address = addresses[lane], unit = address / 4;
        if (address == before && from != nothing && (marked || is_quiet(unit, components))) {
            for (uint32_t i = 0; !marked && i < components; i++)
                shared.read[unit + i] |= interval_of(shared.read[unit + i]) == memory.interval ? MARK_SEVERAL : 0;
            marked = 1;
        } else {
            const uint32_t thread = first_thread + lane;
            const int good = is_aligned(at, thread, address, 4 * components) &&
                             shared_read_by(at, thread, address, 4 * components, 0, 2);
            from = good ? shared.bytes + address : nothing;
            before = address;
            marked = 0;
        }
        for (uint32_t i = 0; i < components; i++)
            ((uint32_t *)(registers + in->to[i]))[lane] = ((const uint32_t *)from)[i];
    }
}

void memory_load(const struct instruction *in, uint32_t at, unsigned char *registers, uint32_t mask,
                 uint32_t first_thread)
{
    uint64_t addresses[LANES], differ = 0;
    global.time++;
    read_addresses(in, registers, addresses);
    for (uint32_t lane = 1; lane < LANES; lane++)
        differ |= addresses[lane] ^ addresses[0];
    if (mask == ~0u && differ == 0) {
        if (in->space == SPACE_SHARED && load_same(in, at, registers, first_thread, addresses[0]))
            return;
        if (in->space == SPACE_PARAM) {
            const unsigned char *from = resolve(in, at, first_thread, addresses[0], 1, 0);
            deliver_to_all(in, registers, from ? from : nothing);
            return;
        }
    }
    if (in->space == SPACE_SHARED && in->width == 4 && in->to_width == 4 && in->used == (1u << in->components) - 1 &&
        shared.shift == 2) {
        if (in->components == 4)
            load_words(in, at, registers, mask, first_thread, addresses, 4);
        else if (in->components == 2)
            load_words(in, at, registers, mask, first_thread, addresses, 2);
        else
            load_words(in, at, registers, mask, first_thread, addresses, 1);
        return;
    }
    EACH_LANE(lane, mask)
    {
        const unsigned char *from = resolve(in, at, first_thread + lane, addresses[lane], 1, 0);
        deliver(in, registers, lane, from ? from : nothing);
    }
}

void memory_store(const struct instruction *in, uint32_t at, unsigned char *registers, uint32_t mask,
                  uint32_t first_thread)
{
    uint64_t addresses[LANES];
    global.time++;
    read_addresses(in, registers, addresses);
    EACH_LANE(lane, mask)
    {
        unsigned char *to = resolve(in, at, first_thread + lane, addresses[lane], 0, 1);
        for (uint32_t i = 0; to && i < in->components; i++)
            copy(to + i * in->width, registers + in->to[i] + in->to_width * lane, in->width);
    }
}

static uint64_t combined(const struct instruction *in, uint64_t old, uint64_t a, uint64_t b)
{
    int less = in->is_signed ? in->width == 4 ? (int32_t)a < (int32_t)old : (int64_t)a < (int64_t)old : a < old;
    switch (in->kind) {
    case ATOMIC_ADD:
        return old + a;
    case ATOMIC_MIN:
        return less ? a : old;
    case ATOMIC_MAX:
        return less ? old : a;
    case ATOMIC_EXCH:
        return a;
    case ATOMIC_CAS:
        return old == a ? b : old;
    case ATOMIC_AND:
        return old & a;
    case ATOMIC_OR:
        return old | a;
    case ATOMIC_INC:
        return old >= a ? 0 : old + 1;
    case ATOMIC_DEC:
        return old == 0 || old > a ? a : old - 1;
    default:
        return old ^ a;
    }
}

void memory_atomic(const struct instruction *in, uint32_t at, unsigned char *registers, uint32_t mask,
                   uint32_t first_thread)
{
    uint64_t addresses[LANES];
    read_addresses(in, registers, addresses);
    EACH_LANE(lane, mask)
    {
        unsigned char *to = resolve(in, at, first_thread + lane, addresses[lane], 1, 1);
        if (!to)
            continue;
        uint64_t old = 0, a = taken(registers, in->from[0], in->width, lane);
        copy(&old, to, in->width);
        uint64_t value =
            combined(in, old, a, in->kind == ATOMIC_CAS ? taken(registers, in->from[1], in->width, lane) : 0);
        copy(to, &value, in->width);
        if (in->to[0] >= 0)
            copy(registers + in->to[0] + in->width * lane, &old, in->width);
        if (in->space != SPACE_SHARED)
            global_release(first_thread + lane);
    }
}
