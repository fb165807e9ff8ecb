/* Reads the names of the kernels and their shared arrays from the program's own symbol table.
 *
 * A shared array is a thread-local variable of its kernel (device.h), which makes it one for all fibers of a thread,
 * and gives it a symbol of type STT_TLS with a mangled name: that of its function, _Z and the encoding, becomes _ZZ,
 * the encoding and E.
 * source   Itanium C++ ABI, section 5.1.6; ELF gABI, "Symbol Table". */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check/cuda_host/fiber.h"
#include "check/cuda_host/host.h"

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* The array that `extern __shared__ T dynamic_shared[]` of the kernels means. */
extern _Thread_local unsigned char dynamic_shared[];
_Thread_local unsigned char dynamic_shared[BLOCK_SHARED_LIMIT] __attribute__((aligned(128)));

/* What C++ calls before it reads a thread-local variable of another file, should that need a constructor; g++ 12 leaves
 * out the test for its absence in templates. */
void _ZTH14dynamic_shared(void);
void _ZTH14dynamic_shared(void) {}

enum { FILL = 0xff, NAME_BYTES = 160, CHECKED_BYTES = 1024 };

struct array {
    size_t at, bytes; /* in a thread's block of the program's thread-local variables */
};

/* The shared arrays of a kernel, and those of device functions that are not known to be another kernel's. */
struct shared {
    const void *kernel;
    char name[NAME_BYTES];
    struct array *arrays;
    size_t count, static_bytes;
    struct shared *next;
};

static struct {
    int read;
    const unsigned char *file;
    size_t file_bytes;
    const ElfW(Sym) * symbols;
    size_t count;
    const char *strings;
    uintptr_t base;
} program;
static struct shared *kernels;

static int find_base(struct dl_phdr_info *info, size_t size, void *base)
{
    (void)size;
    *(uintptr_t *)base = info->dlpi_addr; /* the program itself comes first */
    return 1;
}

static int find_tls(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    *(unsigned char **)data = info->dlpi_tls_data;
    return 1;
}

static void read_program(void)
{
    program.read = 1;
    dl_iterate_phdr(find_base, &program.base);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (file < 0 || fstat(file, &about) != 0)
        host_fatal("/proc/self/exe cannot be read");
    program.file_bytes = (size_t)about.st_size;
    program.file = mmap(NULL, program.file_bytes, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (program.file == MAP_FAILED)
        host_fatal("/proc/self/exe cannot be mapped");
    const ElfW(Ehdr) *header = (const void *)program.file;
    const ElfW(Shdr) *sections = (const void *)(program.file + header->e_shoff);
    for (size_t i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type == SHT_SYMTAB) {
            program.symbols = (const void *)(program.file + sections[i].sh_offset);
            program.count = sections[i].sh_size / sizeof *program.symbols;
            program.strings = (const char *)(program.file + sections[sections[i].sh_link].sh_offset);
        }
    }
    if (!program.symbols)
        host_fatal("the program has no symbol table, by which shared memory is found; do not strip it");
}

static const char *symbol_name(size_t i)
{
    return program.strings + program.symbols[i].st_name;
}

/* Of a variable in a function: whether that function is `function`, a mangled name. */
static int is_within(const char *variable, const char *function)
{
    size_t length = strlen(function);
    return length > 2 && strncmp(function, "_Z", 2) == 0 && strncmp(variable, "_ZZ", 3) == 0 &&
           strncmp(variable + 3, function + 2, length - 2) == 0 && variable[3 + length - 2] == 'E';
}

/* Whether a shared array belongs to some function of the program other than `kernel`. */
static int is_anothers(const char *variable, const char *kernel)
{
    for (size_t i = 0; i < program.count; i++) {
        if (ELF64_ST_TYPE(program.symbols[i].st_info) == STT_FUNC && is_within(variable, symbol_name(i)) &&
            strcmp(symbol_name(i), kernel) != 0)
            return 1;
    }
    return 0;
}

static struct shared *shared_of(const void *kernel)
{
    for (struct shared *known = kernels; known; known = known->next) {
        if (known->kernel == kernel)
            return known;
    }
    if (!program.read)
        read_program();
    struct shared *shared = host_allocate_zeroed(1, sizeof *shared);
    shared->kernel = kernel;
    const char *name = "";
    for (size_t i = 0; i < program.count; i++) {
        if (ELF64_ST_TYPE(program.symbols[i].st_info) == STT_FUNC &&
            program.base + program.symbols[i].st_value == (uintptr_t)kernel)
            name = symbol_name(i);
    }
    snprintf(shared->name, sizeof shared->name, "%s", name);
    shared->arrays = host_allocate(program.count * sizeof *shared->arrays);
    for (size_t i = 0; i < program.count; i++) {
        const ElfW(Sym) *symbol = &program.symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_TLS || strncmp(symbol_name(i), "_ZZ", 3) != 0)
            continue;
        if (!is_within(symbol_name(i), name) && is_anothers(symbol_name(i), name))
            continue;
        shared->arrays[shared->count++] = (struct array){ symbol->st_value, symbol->st_size };
        if (is_within(symbol_name(i), name))
            shared->static_bytes += symbol->st_size;
    }
    shared->next = kernels;
    return kernels = shared;
}

const char *kernel_name(const void *kernel, const char *type)
{
    const char *name = shared_of(kernel)->name;
    return *name ? name : type;
}

size_t shared_static_bytes(const void *kernel)
{
    return shared_of(kernel)->static_bytes;
}

static size_t checked_bytes(size_t used)
{
    return BLOCK_SHARED_LIMIT - used < CHECKED_BYTES ? BLOCK_SHARED_LIMIT - used : CHECKED_BYTES;
}

void shared_fill(const struct block_kernel *kernel)
{
    const struct shared *shared = shared_of(kernel->kernel);
    unsigned char *block = NULL;
    if (shared->count)
        dl_iterate_phdr(find_tls, &block);
    for (size_t i = 0; i < shared->count; i++)
        memset(block + shared->arrays[i].at, FILL, shared->arrays[i].bytes);
    memset(dynamic_shared, FILL, kernel->shared_bytes + checked_bytes(kernel->shared_bytes));
#ifdef FIBER_ASAN
    ASAN_POISON_MEMORY_REGION(dynamic_shared + kernel->shared_bytes, BLOCK_SHARED_LIMIT - kernel->shared_bytes);
#endif
}

void shared_check(const struct block_kernel *kernel)
{
#ifdef FIBER_ASAN
    ASAN_UNPOISON_MEMORY_REGION(dynamic_shared, BLOCK_SHARED_LIMIT);
#endif
    for (size_t i = kernel->shared_bytes; i < kernel->shared_bytes + checked_bytes(kernel->shared_bytes); i++) {
        if (dynamic_shared[i] != FILL)
            host_fatal("kernel %s: its %zu bytes of dynamic shared memory were overrun: byte %zu is written",
                       kernel_name(kernel->kernel, kernel->type), kernel->shared_bytes, i);
    }
}
