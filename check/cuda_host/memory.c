/* Device memory and page-locked host memory. A device allocation is a mapping of its own between two inaccessible
 * pages: it ends where the upper one begins, except for its alignment. A pattern fills that gap and the space before
 * the allocation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check/cuda_host/cuda_host.h"
#include "check/cuda_host/host.h"

enum { ALIGNMENT = 256, FILL = 0xff, MARGIN = 0xa5 };

/* Of an allocation, as the program hands them out. */
struct piece {
    struct piece *next;
    uint64_t first, end;
};

struct allocation {
    struct allocation *next;
    struct piece *pieces; /* the latest first; NULL: it is used as a whole */
    unsigned char *mapping, *data;
    size_t mapping_bytes, bytes;
    int locked; /* page-locked host memory */
};

static struct allocation *allocations;
static size_t held, most;
static int opened;

static size_t page(void)
{
    static size_t bytes;
    if (bytes == 0)
        bytes = (size_t)sysconf(_SC_PAGESIZE);
    return bytes;
}

static void protect(struct allocation *allocation, int access)
{
    if (!allocation->locked && settings()->protect &&
        mprotect(allocation->mapping + page(), allocation->mapping_bytes - 2 * page(), access) != 0)
        host_fatal("mprotect failed");
}

void memory_open(void)
{
    for (struct allocation *a = allocations; opened == 0 && a; a = a->next)
        protect(a, PROT_READ | PROT_WRITE);
    opened++;
}

void memory_close(void)
{
    opened--;
    for (struct allocation *a = allocations; opened == 0 && a; a = a->next)
        protect(a, PROT_NONE);
}

static cudaError_t allocate(void **pointer, size_t bytes, int locked)
{
    if (!pointer)
        return cudaErrorInvalidValue;
    *pointer = NULL;
    if (bytes == 0)
        return cudaSuccess;
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (rounded < bytes || (!locked && rounded > settings()->memory_bytes - held))
        return cudaErrorMemoryAllocation;
    size_t inside = (rounded + page() - 1) / page() * page();
    struct allocation *a = host_allocate_zeroed(1, sizeof *a);
    a->mapping_bytes = inside + 2 * page();
    a->mapping = mmap(NULL, a->mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->mapping == MAP_FAILED || mprotect(a->mapping + page(), inside, PROT_READ | PROT_WRITE) != 0)
        host_fatal("the host has no memory for %zu bytes of the device", bytes);
    a->data = a->mapping + page() + inside - rounded;
    a->bytes = bytes;
    a->locked = locked;
    memset(a->mapping + page(), MARGIN, inside - rounded);
    memset(a->data, FILL, bytes);
    memset(a->data + bytes, MARGIN, rounded - bytes);
    if (!opened)
        protect(a, PROT_NONE);
    if (!locked) {
        held += rounded;
        most = held > most ? held : most;
    }
    a->next = allocations;
    allocations = a;
    *pointer = a->data;
    return cudaSuccess;
}

static void check_margins(const struct allocation *a)
{
    const unsigned char *first = a->mapping + page(), *end = a->mapping + a->mapping_bytes - page();
    for (const unsigned char *at = first; at < end; at++) {
        if (at == a->data)
            at += a->bytes;
        if (at < end && *at != MARGIN)
            host_fatal("%s memory: %zu bytes at %p were overrun: byte %td is written",
                       a->locked ? "page-locked" : "device", a->bytes, (void *)a->data, at - a->data);
    }
}

/* Unlinks and frees *link. */
static void release(struct allocation **link)
{
    struct allocation *a = *link;
    protect(a, PROT_READ | PROT_WRITE);
    check_margins(a);
    if (!a->locked)
        held -= (a->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *link = a->next;
    while (a->pieces) {
        struct piece *next = a->pieces->next;
        free(a->pieces);
        a->pieces = next;
    }
    munmap(a->mapping, a->mapping_bytes);
    free(a);
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

enum { PIECES_APART = 4096, BEHIND = 256 /* bytes behind an end that are reported as its overrun */ };

static size_t pieces_told;

size_t cuda_host_piece(const void *pointer, size_t bytes)
{
    const char *shrink = getenv("SELFSAME_CUDA_HOST_SHRINK");
    const uint64_t first = (uintptr_t)pointer;
    unsigned long number, by;
    if (!getenv("SELFSAME_CUDA_HOST_PTX"))
        return 0;
    for (struct allocation *a = allocations; pointer && a; a = a->next) {
        if (first < (uintptr_t)a->data || first + bytes > (uintptr_t)a->data + a->bytes)
            continue;
        struct piece *piece = host_allocate(sizeof *piece);
        *piece = (struct piece){ a->pieces, first, first + bytes };
        if (shrink && sscanf(shrink, "%lu:%lu", &number, &by) == 2 && number == ++pieces_told && by <= bytes)
            piece->end -= by;
        a->pieces = piece;
    }
    return PIECES_APART;
}

static int holds(uint64_t address, uint64_t from, uint64_t to, uint64_t *first, uint64_t *end)
{
    *first = from;
    *end = to;
    return address >= from && address < to + BEHIND;
}

int memory_holding(uint64_t address, uint64_t *first, uint64_t *end)
{
    for (const struct allocation *a = allocations; a; a = a->next) {
        const uint64_t data = (uintptr_t)a->data;
        for (const struct piece *piece = a->pieces; piece; piece = piece->next)
            if (holds(address, piece->first, piece->end, first, end))
                return 0;
        if (!a->pieces && holds(address, data, data + a->bytes, first, end))
            return 0;
    }
    return 1;
}

static cudaError_t release_pointer(void *pointer, int locked)
{
    if (!pointer)
        return cudaSuccess;
    for (struct allocation **link = &allocations; *link; link = &(*link)->next) {
        if ((*link)->data == pointer && (*link)->locked == locked) {
            work_finish();
            release(link);
            return cudaSuccess;
        }
    }
    return cudaErrorInvalidValue;
}

enum memory_place memory_place(const void *pointer, size_t bytes)
{
    const unsigned char *at = pointer;
    for (const struct allocation *a = allocations; a; a = a->next) {
        if (at + bytes <= a->mapping || at >= a->mapping + a->mapping_bytes)
            continue;
        if (at < a->data || at > a->data + a->bytes || bytes > (size_t)(a->data + a->bytes - at))
            return MEMORY_BEYOND;
        return a->locked ? MEMORY_HOST : MEMORY_DEVICE;
    }
    return MEMORY_HOST;
}

size_t memory_objects(void)
{
    size_t objects = 0;
    for (const struct allocation *a = allocations; a; a = a->next)
        objects++;
    return objects;
}

void memory_report(void)
{
    for (const struct allocation *a = allocations; a; a = a->next)
        fprintf(stderr, "cuda_host: not freed: %zu bytes of %s memory at %p\n", a->bytes,
                a->locked ? "page-locked" : "device", (void *)a->data);
}

void memory_reset(void)
{
    while (allocations)
        release(&allocations);
    held = most = 0;
}

size_t cuda_host_bytes(void)
{
    return held;
}

size_t cuda_host_peak_bytes(void)
{
    return most;
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    cudaError_t error = call_enter(CALL_cudaMalloc);
    if (error == cudaSuccess)
        error = work_capturing() ? cudaErrorStreamCaptureUnsupported : allocate(pointer, bytes, 0);
    return call_leave(error);
}

cudaError_t cudaFree(void *pointer)
{
    cudaError_t error = call_enter(CALL_cudaFree);
    if (error == cudaSuccess)
        error = work_capturing() ? cudaErrorStreamCaptureUnsupported : release_pointer(pointer, 0);
    return call_leave(error);
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned flags)
{
    cudaError_t error = call_enter(CALL_cudaHostAlloc);
    if (error == cudaSuccess && flags & ~(cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        error = work_capturing() ? cudaErrorStreamCaptureUnsupported : allocate(pointer, bytes, 1);
    return call_leave(error);
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes)
{
    cudaError_t error = call_enter(CALL_cudaMallocHost);
    if (error == cudaSuccess)
        error = work_capturing() ? cudaErrorStreamCaptureUnsupported : allocate(pointer, bytes, 1);
    return call_leave(error);
}

cudaError_t cudaFreeHost(void *pointer)
{
    cudaError_t error = call_enter(CALL_cudaFreeHost);
    if (error == cudaSuccess)
        error = work_capturing() ? cudaErrorStreamCaptureUnsupported : release_pointer(pointer, 1);
    return call_leave(error);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    cudaError_t error = call_enter(CALL_cudaMemGetInfo);
    if (error == cudaSuccess && (!free_bytes || !total_bytes))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        *total_bytes = settings()->memory_bytes;
        *free_bytes = *total_bytes - held;
    }
    return call_leave(error);
}
