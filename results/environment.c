#include "results/environment.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "base/build_info.h"

/* The CPU's name as /proc/cpuinfo has it; "" elsewhere. */
static void read_cpu(char name[256])
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    name[0] = '\0';
    if (file == NULL)
        return;
    while (name[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL)
            snprintf(name, 256, "%.*s", (int)strcspn(colon + 1 + strspn(colon + 1, " "), "\n"),
                     colon + 1 + strspn(colon + 1, " "));
    }
    fclose(file);
}

json_t *environment_host(void)
{
    struct utsname names;
    char cpu[256], system[512] = "";
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (uname(&names) != 0)
        memset(&names, 0, sizeof names);
    else
        snprintf(system, sizeof system, "%s %s %s", names.sysname, names.release, names.machine);
    read_cpu(cpu);
    return json_pack("{s:s, s:s, s:s, s:i}", "name", names.nodename, "system", system, "cpu", cpu, "cpus",
                     cpus > 0 ? (int)cpus : 0);
}

json_t *environment_program(void)
{
    const char *libc = "unknown";
#ifdef __GLIBC__
    libc = gnu_get_libc_version();
#endif
    return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s}}", "version", build_version, "compiler", build_compiler,
                     "flags", build_flags, "configured", build_configure, "libraries", "libc", libc, "libcrypto",
                     OpenSSL_version(OPENSSL_VERSION), "jansson", JANSSON_VERSION);
}

size_t environment_peak_memory_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}

void environment_time(char text[ENVIRONMENT_TIME_BYTES])
{
    time_t now = time(NULL);
    struct tm utc;
    text[0] = '\0';
    if (gmtime_r(&now, &utc) != NULL)
        strftime(text, ENVIRONMENT_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}
