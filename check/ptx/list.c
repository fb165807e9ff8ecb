/* Lists the kernels and instructions of a module. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/ptx/program.h"

struct name_count {
    const char *name;
    uint32_t count;
};

static int by_count(const void *a, const void *b)
{
    const struct name_count *left = a, *right = b;
    return left->count != right->count ? (left->count < right->count) - (left->count > right->count)
                                       : strcmp(left->name, right->name);
}

static size_t list_kernel(const struct ptx_kernel *kernel)
{
    static const char *const doubts[] = { "", "may be contracted by ptxas", "flushes subnormals", "is approximate" };
    struct name_count *names = allocate(kernel->count * sizeof *names);
    uint32_t count = 0;
    size_t doubtful = 0;
    for (uint32_t i = 0; i + 1 < kernel->count; i++) {
        uint32_t j = 0;
        while (j < count && strcmp(names[j].name, kernel->places[i].name) != 0)
            j++;
        if (j == count)
            names[count++] = (struct name_count){ kernel->places[i].name, 0 };
        names[j].count++;
        enum doubt doubt = doubt_of(kernel->places[i].name);
        doubtful += doubt != DOUBT_NONE;
        if (doubt != DOUBT_NONE)
            printf("    %s %s\n", place_text(kernel, i), doubts[doubt]);
    }
    qsort(names, count, sizeof *names, by_count);
    printf("%s: %u instructions, %u bytes of shared, %u of local memory, %zu places in doubt\n   ", kernel->name,
           kernel->count - 1, kernel->shared_bytes, kernel->local_bytes, doubtful);
    for (uint32_t j = 0; j < count; j++)
        printf(" %u %s%s", names[j].count, names[j].name, j + 1 < count ? "," : "\n");
    free(names);
    return doubtful;
}

size_t ptx_never_run(const struct ptx_kernel *kernel, size_t *of, FILE *to)
{
    size_t never = 0;
    *of = kernel->count - 1;
    for (uint32_t i = 0; i + 1 < kernel->count; i++) {
        never += !kernel->ran[i];
        if (!kernel->ran[i] && to)
            fprintf(to, "%s %s\n", kernel->name, place_text(kernel, i));
    }
    return never;
}

size_t ptx_list(const struct ptx_module *module)
{
    size_t doubtful = 0;
    for (const struct ptx_kernel *kernel = module->kernels; kernel; kernel = kernel->next)
        doubtful += list_kernel(kernel);
    return doubtful;
}
