#include "results/environment.h"

#include <archive.h>
#include <assert.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <yaml.h>
#include <zlib.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "base/build_info.h"
#include "base/file.h"
#include "base/machine.h"
#include "base/text.h"
#include "fetch/http.h"

static const char *const names[] = {
    "SELFSAME_ISA",
    "SELFSAME_CUDA_DEVICE",
    "SELFSAME_CUDNN_LIBRARY",
    "SELFSAME_CUBLAS_LIBRARY",
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "GLIBC_TUNABLES",
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "SLURM_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_CPUS_PER_TASK",
};

static void read_variables(struct environment *environment)
{
    size_t count = 0;
    static_assert(sizeof names / sizeof *names <= ENVIRONMENT_VARIABLES, "room for every variable");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char value[ENVIRONMENT_VARIABLE_BYTES - 64];
        if (getenv(names[i]) == NULL)
            continue;
        (void)text_escape(value, sizeof value, TEXT_TERMINAL, getenv(names[i]));
        snprintf(environment->variables[count], ENVIRONMENT_VARIABLE_BYTES, "%s=%s", names[i], value);
        environment->list[count] = environment->variables[count];
        count++;
    }
    environment->list[count] = NULL;
}

void environment_read(struct environment *environment)
{
    struct utsname system;
    *environment = (struct environment){ .cpus = machine_processors_online() };
    if (uname(&system) == 0) {
        snprintf(environment->host, sizeof environment->host, "%s", system.nodename);
        snprintf(environment->system, sizeof environment->system, "%s %s %s", system.sysname, system.release,
                 system.machine);
    }
    machine_processor_name("/proc/cpuinfo", environment->cpu);
    machine_microcode(environment->microcode);
    machine_caches(MACHINE_CACHES, environment->caches);
    environment_program_sha256(environment->program_sha256);
    read_variables(environment);
}

void environment_describe(const struct environment *environment, struct record_facts *facts)
{
    facts->host_name = environment->host;
    facts->host_system = environment->system;
    facts->host_cpu = environment->cpu;
    facts->host_cpus = environment->cpus;
    facts->host_microcode = environment->microcode;
    facts->host_caches = environment->caches;
    facts->host_memory_bytes = machine_memory_bytes();
    facts->host_container = machine_container();
    facts->environment = environment->list[0] != NULL ? environment->list : NULL;
    facts->program_version = build_version;
    facts->program_commit = build_commit;
    memcpy(facts->program_sha256, environment->program_sha256, sizeof facts->program_sha256);
    facts->program_compiler = build_compiler;
    facts->program_flags = build_flags;
    facts->program_configured = build_configure;
    facts->libcrypto_version = OpenSSL_version(OPENSSL_VERSION);
    facts->jansson_version = jansson_version_str();
    facts->libz_version = zlibVersion();
    facts->libyaml_version = yaml_get_version_string();
    facts->libarchive_version = archive_version_string();
    facts->libcurl_version = http_library_version();
    facts->sqlite_version = sqlite3_libversion();
#ifdef __GLIBC__
    facts->libc_version = gnu_get_libc_version();
#else
    facts->libc_version = "unknown";
#endif
}

void environment_program_sha256(char hex[DIGEST_HEX_BYTES])
{
    struct error ignored;
    if (file_sha256("/proc/self/exe", hex, &ignored) != STATUS_OK)
        hex[0] = '\0';
}

double environment_cpu_seconds(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0.0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
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
