#include "base/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The first value of a key in a file like /proc/cpuinfo; "" where there is none. */
static void read_cpuinfo(const char *path, const char *key, char value[MACHINE_NAME_BYTES])
{
    char line[512];
    FILE *file = fopen(path, "re");
    value[0] = '\0';
    if (file == NULL)
        return;
    while (value[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) == 0 && colon != NULL &&
            line + strlen(key) + strspn(line + strlen(key), " \t") == colon)
            snprintf(value, MACHINE_NAME_BYTES, "%.*s", (int)strcspn(colon + 1 + strspn(colon + 1, " "), "\n"),
                     colon + 1 + strspn(colon + 1, " "));
    }
    fclose(file);
}

void machine_processor_name(const char *path, char name[MACHINE_NAME_BYTES])
{
    /* x86 and some RISC-V; POWER; boards with an ARM; other RISC-V; IBM Z */
    static const char *const keys[] = { "model name", "cpu", "Model", "uarch", "vendor_id" };
    char implementer[MACHINE_NAME_BYTES], part[MACHINE_NAME_BYTES];
    name[0] = '\0';
    for (size_t i = 0; i < sizeof keys / sizeof *keys && name[0] == '\0'; i++)
        read_cpuinfo(path, keys[i], name);
    read_cpuinfo(path, "CPU implementer", implementer);
    read_cpuinfo(path, "CPU part", part);
    if (name[0] == '\0' && implementer[0] != '\0')
        snprintf(name, MACHINE_NAME_BYTES, "ARM %.16s part %.16s", implementer, part);
}

void machine_microcode(char version[MACHINE_NAME_BYTES])
{
    read_cpuinfo("/proc/cpuinfo", "microcode", version);
}

/* The first line of FOLDER/INNER/NAME, without its end; false where it cannot be read. */
static bool read_line(char *line, size_t size, const char *folder, const char *inner, const char *name)
{
    char path[512];
    const int length = snprintf(path, sizeof path, "%s/%s/%s", folder, inner, name);
    FILE *file = length >= 0 && (size_t)length < sizeof path ? fopen(path, "re") : NULL;
    const bool read = file != NULL && fgets(line, (int)size, file) != NULL;
    if (file != NULL)
        fclose(file);
    if (read)
        line[strcspn(line, "\n")] = '\0';
    return read;
}

void machine_caches(const char *folder, char text[MACHINE_NAME_BYTES])
{
    enum { CACHES_MAX = 8 };
    char inner[16], level[16], type[32], size[32];
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < CACHES_MAX && used < MACHINE_NAME_BYTES; i++) {
        snprintf(inner, sizeof inner, "index%d", i);
        if (!read_line(level, sizeof level, folder, inner, "level") ||
            !read_line(type, sizeof type, folder, inner, "type") ||
            !read_line(size, sizeof size, folder, inner, "size"))
            return;
        const char *kind = strcmp(type, "Data") == 0 ? "d" : strcmp(type, "Instruction") == 0 ? "i" : "";
        used += (size_t)snprintf(text + used, MACHINE_NAME_BYTES - used, "%sL%s%s %s", i > 0 ? ", " : "", level, kind,
                                 size);
    }
}

uint64_t machine_memory_bytes(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

const char *machine_container(void)
{
    static const struct {
        const char *variable, *file, *name;
    } signs[] = {
        { "KUBERNETES_SERVICE_HOST", NULL, "kubernetes" },
        { "APPTAINER_CONTAINER", NULL, "apptainer" },
        { "SINGULARITY_CONTAINER", NULL, "singularity" },
        { NULL, "/run/.containerenv", "podman" },
        { NULL, "/.dockerenv", "docker" },
        { "container", NULL, "another" }, /* systemd-nspawn, lxc and others set it */
    };
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        if ((signs[i].variable != NULL && getenv(signs[i].variable) != NULL) ||
            (signs[i].file != NULL && access(signs[i].file, F_OK) == 0))
            return signs[i].name;
    }
    return "";
}

/* ---- energy ------------------------------------------------------------------------------------------------------ */

static bool read_counter(const struct machine_energy *energy, int package, const char *name, uint64_t *value)
{
    char inner[32], line[64], *end;
    snprintf(inner, sizeof inner, "intel-rapl:%d", package);
    if (!read_line(line, sizeof line, energy->folder, inner, name))
        return false;
    *value = strtoull(line, &end, 10);
    return line[0] >= '0' && line[0] <= '9' && *end == '\0';
}

void machine_energy_open(struct machine_energy *energy, const char *folder)
{
    *energy = (struct machine_energy){ .folder = folder };
    for (int i = 0; i < MACHINE_PACKAGES; i++)
        energy->known[i] = read_counter(energy, i, "energy_uj", &energy->last[i]) &&
                           read_counter(energy, i, "max_energy_range_uj", &energy->range[i]);
}

void machine_energy_update(struct machine_energy *energy)
{
    for (int i = 0; i < MACHINE_PACKAGES; i++) {
        uint64_t now;
        if (!energy->known[i] || !read_counter(energy, i, "energy_uj", &now))
            continue;
        const uint64_t since =
            now >= energy->last[i] ? now - energy->last[i] : now + energy->range[i] - energy->last[i];
        energy->joules += 1e-6 * (double)since;
        energy->last[i] = now;
    }
}

/* ---- processors and the stack ------------------------------------------------------------------------------------ */

uint32_t machine_processors_online(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 0;
}

bool machine_processors_bound(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && (uint32_t)CPU_COUNT(&set) < machine_processors_online();
}

uint32_t machine_processors_usable(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    const uint32_t quota = machine_processor_quota(MACHINE_GROUPS, MACHINE_GROUP_FOLDER);
    const int count = CPU_COUNT(&set);
    if (count < 1)
        return 1;
    return quota > 0 && quota < (uint32_t)count ? quota : (uint32_t)count;
}

/* The limit of one group: "200000 100000" is the time of two processors, "max 100000" none. */
static uint32_t group_quota(const char *folder, const char *group)
{
    char line[64];
    unsigned long long time, period;
    if (!read_line(line, sizeof line, folder, group, "cpu.max") || sscanf(line, "%llu %llu", &time, &period) != 2 ||
        time == 0 || period == 0)
        return 0;
    const unsigned long long processors = time / period + (time % period != 0);
    return processors < UINT32_MAX ? (uint32_t)processors : 0;
}

uint32_t machine_processor_quota(const char *groups, const char *folder)
{
    static const char version_2[] = "0::/";
    char line[512];
    uint32_t least = 0;
    FILE *file = fopen(groups, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, version_2, strlen(version_2)) != 0)
            continue;
        char *group = line + strlen(version_2);
        group[strcspn(group, "\n")] = '\0';
        for (;;) {
            const uint32_t quota = group_quota(folder, group[0] != '\0' ? group : ".");
            if (quota > 0 && (least == 0 || quota < least))
                least = quota;
            if (group[0] == '\0')
                break;
            char *slash = strrchr(group, '/');
            *(slash != NULL ? slash : group) = '\0'; /* the group above */
        }
    }
    fclose(file);
    return least;
}

/* Whether a list such as "0-3,8" has one of the numbers. */
static bool list_has_one(const char *list, const uint32_t *numbers, uint32_t count)
{
    while (*list >= '0' && *list <= '9') {
        char *end;
        const unsigned long first = strtoul(list, &end, 10), last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
        for (uint32_t i = 0; i < count; i++) {
            if (numbers[i] >= first && numbers[i] <= last)
                return true;
        }
        list = end + (*end == ',');
    }
    return false;
}

void machine_cores_first(const char *folder, uint32_t *numbers, uint32_t count)
{
    uint32_t sharing[CPU_SETSIZE], cores = 0, others = 0;
    for (uint32_t i = 0; i < count && i < CPU_SETSIZE; i++) {
        char inner[32], list[256];
        const uint32_t number = numbers[i];
        snprintf(inner, sizeof inner, "cpu%u/topology", number);
        if (read_line(list, sizeof list, folder, inner, "thread_siblings_list") && list_has_one(list, numbers, cores))
            sharing[others++] = number;
        else
            numbers[cores++] = number;
    }
    memcpy(numbers + cores, sharing, others * sizeof *sharing);
}

uint32_t machine_processor_numbers(uint32_t *numbers, uint32_t size)
{
    cpu_set_t set;
    uint32_t count = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    for (uint32_t number = 0; number < CPU_SETSIZE && count < size; number++)
        if (CPU_ISSET(number, &set))
            numbers[count++] = number;
    return count;
}

enum status machine_pin_thread(uint32_t processor, struct error *error)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (processor < CPU_SETSIZE)
        CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        return STATUS_OK;
    return error_set_errno(error, STATUS_ENVIRONMENT, "cannot run on processor %u alone", processor);
}

size_t machine_cache_bytes(int level)
{
    static const size_t usual[] = { 32 << 10, 1 << 20, 32 << 20 };
    long bytes = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    static const int names[] = { _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE };
    bytes = sysconf(names[level - 1]);
#endif
    return bytes > 0 ? (size_t)bytes : usual[level - 1];
}

uint64_t machine_free_memory_bytes(void)
{
    const long pages = sysconf(_SC_AVPHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

enum status machine_check_stack(struct error *error)
{
    enum { NEEDED_KIB = 256 }; /* 32 was too little for `manifest`, 48 enough; threads have this limit, too */
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= (rlim_t)NEEDED_KIB * 1024)
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT,
                     "the stack is limited to %d KiB, but selfsame needs %d: run ulimit -s 8192 first",
                     (int)(limit.rlim_cur / 1024), NEEDED_KIB);
}
