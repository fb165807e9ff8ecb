/* PTX on the CPU: runs a kernel as nvcc compiled it, instruction by instruction, and watches it.
 *
 * A module is the PTX of one .cu file. A launch runs a grid's blocks one after the other, the warps of a block in turns
 * between barriers, the lanes of a warp together as long as they stay together.
 *
 * Arithmetic   As the PTX ISA has it: rounding, subnormals or .ftz, the canonical NaN of f32, min and max of zeros,
 *              conversions that clamp. What PTX leaves open (.approx, and a plain add or mul, which ptxas may contract)
 *              is done in some way that it allows; ptx_list tells of it.
 * Reported     Shared memory: two threads and one write between barriers, reads of memory that no thread of the block
 *              has written, accesses outside every variable. Local memory: the latter two. Global memory: what lies
 *              outside an allocation, misalignment, and what blocks of one launch read of each other without a fence,
 *              or both write. Barriers that part of a warp does not reach, different barriers, shuffles that miss
 *              lanes.
 * Not covered  What ptxas makes of the PTX; textures, surfaces, tensor cores, asynchronous copies, clusters, calls,
 *              constant memory and module variables, votes and matching. A module that has any of it is refused by the
 *              instruction's name.
 *
 * memory   A module is never freed. A launch allocates and frees.
 * errors   ptx_load says on stderr what it does not understand, and gives NULL. A report goes to stderr once for each
 *          place, and is counted; the launch goes on.
 * order    One launch at a time. */
#ifndef PTX_H
#define PTX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ptx_module;
struct ptx_kernel;

struct ptx_module *ptx_load(const char *path);
/* The same from text in memory. Messages name it `name`. */
struct ptx_module *ptx_parse(const char *name, const char *text, size_t length);
const struct ptx_kernel *ptx_find(const struct ptx_module *module, const char *name);

/* Lists each kernel's instructions with counts on stdout, and where bits depend on ptxas or on flags; gives the number
 * of such places. */
size_t ptx_list(const struct ptx_module *module);

struct ptx_launch {
    uint32_t grid[3], block[3];
    size_t shared_bytes;  /* dynamic */
    const void *argument; /* as many bytes as the kernel's parameters have */
};

/* What a launch asks of its surroundings. */
struct ptx_host {
    /* The allocation that holds the byte at `address`: sets first and end, gives 0; or not 0 where there is none. */
    int (*find)(uint64_t address, uint64_t *first, uint64_t *end);
    /* Fills order[0..count) with 0 .. count-1: in what order blocks and warps take turns. */
    void (*order)(uint32_t *order, uint32_t count);
};

void ptx_run(const struct ptx_kernel *kernel, const struct ptx_launch *launch, const struct ptx_host *host);

/* Instructions run so far, of warps and of their lanes. */
uint64_t ptx_warp_instructions(void);
uint64_t ptx_lane_instructions(void);

/* How many of a kernel's instructions no launch has run, of how many; and a line for each of them, where `to` is not
 * NULL. */
size_t ptx_never_run(const struct ptx_kernel *kernel, size_t *of, FILE *to);

/* Reports so far, each place counted once; without notes, of memory that is copied before it is written, as
 * padding is. */
size_t ptx_reports(void);

#ifdef __cplusplus
}
#endif

#endif
