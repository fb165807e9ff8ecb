/* Reports what the interpreter found, each place once, with the kernel's source line. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/ptx/program.h"

struct reported {
    const struct ptx_kernel *kernel;
    uint32_t at;
    const char *kind;
    uint64_t times;
};
static struct reported *reported;
static size_t reported_count, reported_room, notes;

void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory) {
        fprintf(stderr, "ptx: out of memory\n");
        abort();
    }
    return memory;
}

const char *place_text(const struct ptx_kernel *kernel, uint32_t at)
{
    static char texts[4][256];
    static unsigned turn;
    const struct place *place = &kernel->places[at < kernel->count ? at : kernel->count - 1];
    const struct ptx_module *module = kernel->module;
    char *text = texts[turn++ % 4];
    if (place->file > 0 && place->file < module->file_count && module->files[place->file]) {
        const char *path = module->files[place->file], *slash = strrchr(path, '/');
        snprintf(text, sizeof texts[0], "%s:%u (PTX line %u, %s)", slash ? slash + 1 : path, place->source, place->line,
                 place->name);
    } else {
        const char *slash = strrchr(module->path, '/');
        snprintf(text, sizeof texts[0], "%s:%u (%s)", slash ? slash + 1 : module->path, place->line, place->name);
    }
    return text;
}

/* Whether this place was reported before. */
static int is_known(const struct ptx_kernel *kernel, uint32_t at, const char *kind)
{
    for (size_t i = 0; i < reported_count; i++) {
        struct reported *r = &reported[i];
        if (r->kernel == kernel && r->at == at && strcmp(r->kind, kind) == 0) {
            r->times++;
            return 1;
        }
    }
    if (reported_count == reported_room) {
        reported_room = reported_room ? 2 * reported_room : 64;
        reported = realloc(reported, reported_room * sizeof *reported);
        if (!reported)
            abort();
    }
    reported[reported_count++] = (struct reported){ kernel, at, kind, 1 };
    return 0;
}

void report(const struct ptx_kernel *kernel, uint32_t at, const struct actor *actor, const char *kind,
            const char *format, ...)
{
    va_list list;
    if (is_known(kernel, at, kind))
        return;
    notes += strncmp(kind, "note", 4) == 0;
    fprintf(stderr, "ptx: %s: %s: kernel %s, block (%u,%u,%u), thread %u: ", kind, place_text(kernel, at), kernel->name,
            actor->block[0], actor->block[1], actor->block[2], actor->thread);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n");
}

size_t ptx_reports(void)
{
    return reported_count - notes;
}
