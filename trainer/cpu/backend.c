#include "trainer/cpu/backend.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#endif

uint32_t backend_image(const struct backend_batch *batch, uint32_t n)
{
    return batch->samples != NULL ? batch->samples[n].image : batch->first + n;
}

void backend_blame(struct backend_outcome *outcome, enum non_finite what, const char *name)
{
    if (outcome->non_finite[0] == '\0')
        non_finite_describe(outcome->non_finite, sizeof outcome->non_finite, what, name);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

enum { ALIGNMENT = 64, HUGE_BYTES = 2 << 20 };

#ifdef HAVE_ASAN
/* Has AddressSanitizer report what is read or written between two pieces. */
static size_t watch(const void *piece, size_t bytes)
{
    enum { APART = 4 * ALIGNMENT };
    const size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (piece != NULL)
        __asan_poison_memory_region((const char *)piece + rounded, APART);
    return APART;
}
#endif

struct arena backend_arena(void)
{
    struct arena arena = { .alignment = ALIGNMENT };
#ifdef HAVE_ASAN
    arena.watch = watch;
#endif
    return arena;
}

static size_t whole_pages(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

enum status backend_allocate(struct arena *arena, const struct recipe *recipe, struct error *error)
{
    const size_t bytes = arena->bytes, mapped = whole_pages(bytes), spare = bytes >= HUGE_BYTES ? HUGE_BYTES : 0;
    char *mapping = mmap(NULL, mapped + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return error_out_of_memory(error, "the %zu MiB of depth %u at batch %u; a smaller batch_size needs less",
                                   bytes >> 20, recipe->model.depth, recipe->training.batch_size);
    /* It begins with a huge page. What is around it goes back. */
    const size_t before = spare > 0 ? (HUGE_BYTES - (uintptr_t)mapping % HUGE_BYTES) % HUGE_BYTES : 0;
    if (before > 0)
        (void)munmap(mapping, before);
    if (spare > before)
        (void)munmap(mapping + before + mapped, spare - before);
    if (spare > 0)
        (void)madvise(mapping + before, bytes, MADV_HUGEPAGE); /* only speed depends on it */
    arena->memory = mapping + before;
    arena->bytes = 0;
    return STATUS_OK;
}

void backend_free(void *memory, size_t bytes)
{
    if (memory == NULL)
        return;
#ifdef HAVE_ASAN
    __asan_unpoison_memory_region(memory, bytes);
#endif
    (void)munmap(memory, whole_pages(bytes));
}
