#include "results/environment.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "base/build_info.h"
#include "base/machine.h"

void environment_read(struct environment *environment)
{
    struct utsname names;
    *environment = (struct environment){ .cpus = machine_processors_online() };
    if (uname(&names) == 0) {
        snprintf(environment->host, sizeof environment->host, "%s", names.nodename);
        snprintf(environment->system, sizeof environment->system, "%s %s %s", names.sysname, names.release,
                 names.machine);
    }
    machine_processor_name(environment->cpu);
}

void environment_describe(const struct environment *environment, struct record_facts *facts)
{
    facts->host_name = environment->host;
    facts->host_system = environment->system;
    facts->host_cpu = environment->cpu;
    facts->host_cpus = environment->cpus;
    facts->program_version = build_version;
    facts->program_compiler = build_compiler;
    facts->program_flags = build_flags;
    facts->program_configured = build_configure;
    facts->libcrypto_version = OpenSSL_version(OPENSSL_VERSION);
    facts->jansson_version = JANSSON_VERSION;
#ifdef __GLIBC__
    facts->libc_version = gnu_get_libc_version();
#else
    facts->libc_version = "unknown";
#endif
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
