#include "base/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void machine_processor_name(char name[MACHINE_NAME_BYTES])
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    name[0] = '\0';
    if (file == NULL)
        return;
    while (name[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL)
            snprintf(name, MACHINE_NAME_BYTES, "%.*s", (int)strcspn(colon + 1 + strspn(colon + 1, " "), "\n"),
                     colon + 1 + strspn(colon + 1, " "));
    }
    fclose(file);
}

uint32_t machine_processors_online(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 0;
}

uint32_t machine_processors_usable(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : (uint32_t)count;
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
