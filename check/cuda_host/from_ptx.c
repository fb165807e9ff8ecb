/* The imitation of CUDA with its kernels run from PTX: block.c asks here before it runs a kernel itself. cuda_host.h
 * says which setting names the modules; a kernel that is in none of them is the host's, as without them.
 *
 *   SELFSAME_CUDA_HOST_PTX_TIMES   1: at the end, a line for each kernel
 *   SELFSAME_CUDA_HOST_PTX_NEVER   a file, to which a line for each instruction that no launch has run is written at
 *                                  the end
 *
 * When the program ends, a line on stderr says what was run. If anything was reported, the exit status is 99. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check/cuda_host/host.h"
#include "check/ptx/ptx.h"

enum { MODULES = 32, KERNELS = 256, REPORTED = 99 };

static struct ptx_module *modules[MODULES];
static size_t module_count;

/* What became of a kernel of the program. */
static struct seen {
    const void *kernel;
    const char *name;
    const struct ptx_kernel *ptx; /* NULL: the host's */
    uint64_t launches, warp_instructions, lane_instructions;
    double seconds;
} seen[KERNELS];
static size_t seen_count;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void tell_kernel(const struct seen *s, FILE *never)
{
    const char *times = getenv("SELFSAME_CUDA_HOST_PTX_TIMES");
    size_t left = 0, of = 0;
    if (s->ptx != NULL)
        left = ptx_never_run(s->ptx, &of, never);
    if (times != NULL && *times == '1')
        fprintf(stderr,
                "ptx: %6" PRIu64
                " launches, %9.3f s, %8.1f M warp, %9.1f M lane instructions, %4zu of %5zu never run  %s%s\n",
                (uint64_t)s->launches, s->seconds, 1e-6 * (double)s->warp_instructions,
                1e-6 * (double)s->lane_instructions, left, of, s->name, s->ptx != NULL ? "" : "  (the host's)");
}

static void conclude(void)
{
    uint64_t launches = 0, hosts = 0;
    const char *path = getenv("SELFSAME_CUDA_HOST_PTX_NEVER");
    FILE *never = path != NULL ? fopen(path, "w") : NULL;
    for (size_t i = 0; i < seen_count; i++) {
        *(seen[i].ptx != NULL ? &launches : &hosts) += seen[i].launches;
        tell_kernel(&seen[i], never);
    }
    if (never != NULL)
        fclose(never);
    fprintf(stderr,
            "ptx: %" PRIu64 " launches from PTX, %" PRIu64
            " of the host's, %.1f M lane instructions, %zu places reported\n",
            (uint64_t)launches, (uint64_t)hosts, 1e-6 * (double)ptx_lane_instructions(), ptx_reports());
    if (ptx_reports() > 0) {
        fflush(NULL);
        _exit(REPORTED);
    }
}

static void load_modules(const char *paths)
{
    char *copy = strdup(paths), *rest = copy;
    if (copy == NULL)
        host_fatal("out of the host's memory for the names of modules");
    for (char *path = strsep(&rest, ":"); path != NULL; path = strsep(&rest, ":")) {
        if (module_count == MODULES || (modules[module_count++] = ptx_load(path)) == NULL)
            host_fatal("%s cannot be run as PTX", path);
    }
    free(copy);
    atexit(conclude);
}

/* A static kernel is _ZL4load... to the C++ compiler and _Z4load... to nvcc. */
static const struct ptx_kernel *find_kernel(const char *name)
{
    char without[512];
    snprintf(without, sizeof without, "_Z%s", strncmp(name, "_ZL", 3) == 0 ? name + 3 : "");
    for (size_t i = 0; i < module_count; i++) {
        const struct ptx_kernel *kernel = ptx_find(modules[i], name);
        if (kernel == NULL)
            kernel = ptx_find(modules[i], without);
        if (kernel != NULL)
            return kernel;
    }
    return NULL;
}

static struct seen *see(const struct block_kernel *kernel)
{
    for (size_t i = 0; i < seen_count; i++) {
        if (seen[i].kernel == kernel->kernel)
            return &seen[i];
    }
    if (seen_count == KERNELS)
        host_fatal("more kernels than %d", KERNELS);
    struct seen *s = &seen[seen_count++];
    s->kernel = kernel->kernel;
    s->name = kernel_name(kernel->kernel, kernel->type);
    s->ptx = find_kernel(s->name);
    return s;
}

int block_run_ptx(const struct block_kernel *kernel)
{
    static const struct ptx_host host = { memory_holding, order_next };
    static int begun;
    const char *paths = getenv("SELFSAME_CUDA_HOST_PTX");
    if (!begun && paths != NULL)
        load_modules(paths);
    begun = 1;
    if (module_count == 0)
        return 0;
    struct seen *s = see(kernel);
    s->launches++;
    if (s->ptx == NULL)
        return 0;
    const double from = now();
    const uint64_t warps = ptx_warp_instructions(), lanes = ptx_lane_instructions();
    const struct ptx_launch launch = { .grid = { kernel->grid.x, kernel->grid.y, kernel->grid.z },
                                       .block = { kernel->block.x, kernel->block.y, kernel->block.z },
                                       .shared_bytes = kernel->shared_bytes,
                                       .argument = kernel->argument };
    ptx_run(s->ptx, &launch, &host);
    s->warp_instructions += ptx_warp_instructions() - warps;
    s->lane_instructions += ptx_lane_instructions() - lanes;
    s->seconds += now() - from;
    return 1;
}
