#include "trainer/cpu/backend.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

enum status backend_allocate(struct arena *arena, const struct recipe *recipe, struct error *error)
{
    const size_t bytes = arena->bytes;
    void *memory;
    if (posix_memalign(&memory, bytes >= HUGE_BYTES ? HUGE_BYTES : ALIGNMENT, bytes) != 0)
        return error_out_of_memory(error, "the %zu MiB of depth %u at batch %u; a smaller batch_size needs less",
                                   bytes >> 20, recipe->model.depth, recipe->training.batch_size);
    if (bytes >= HUGE_BYTES)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* only speed depends on it */
    memset(memory, 0, bytes);
    arena->memory = memory;
    arena->bytes = 0;
    return STATUS_OK;
}
