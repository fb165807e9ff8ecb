/* Settings, the count and failure of calls, errors, and the order that the seed gives. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/cuda_host/cuda_host.h"
#include "check/cuda_host/host.h"

enum { FAILURES = 16 };

static struct settings now;
static struct failure {
    enum call call;
    uint64_t turn; /* the how-manieth call fails */
    cudaError_t error;
} failures[FAILURES];
static size_t failure_count;
static uint64_t calls[CALLS];
static cudaError_t ended;
static _Thread_local cudaError_t last; /* of the host thread's calls */
static uint64_t random_state;
static pthread_mutex_t lock = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static int started;

static const struct {
    const char *name, *text;
    cudaError_t error;
    int ends;
} errors[] = {
#define ERROR(name, value, text, ends) { #name, text, name, ends },
    CUDA_HOST_ERRORS(ERROR)
#undef ERROR
};

static const char *const call_names[CALLS] = {
#define NAME(name) #name,
    CUDA_HOST_CALLS(NAME)
#undef NAME
};

void host_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("cuda_host: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void *host_allocate(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        host_fatal("out of the host's memory at %zu bytes", bytes);
    return memory;
}

void *host_allocate_zeroed(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes);
    if (!memory)
        host_fatal("out of the host's memory at %zu times %zu bytes", count, bytes);
    return memory;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return otherwise;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || *text == '-')
        host_fatal("%s is \"%s\", which is not a number", name, text);
    return value;
}

static void take_failures(const char *text)
{
    memset(calls, 0, sizeof calls);
    failure_count = 0;
    while (text && *text) {
        char call[64], error[64];
        unsigned long long turn;
        int length = 0;
        if (sscanf(text, "%63[A-Za-z]:%llu:%63[A-Za-z]%n", call, &turn, error, &length) != 3 || turn == 0 ||
            (text[length] && text[length] != ','))
            host_fatal("\"%s\" is not CALL:N:ERROR", text);
        size_t c = 0, e = 0;
        while (c < CALLS && strcmp(call_names[c], call) != 0)
            c++;
        while (e < sizeof errors / sizeof *errors && strcmp(errors[e].name, error) != 0)
            e++;
        if (c == CALLS || e == sizeof errors / sizeof *errors || failure_count == FAILURES)
            host_fatal("\"%s\": no such call or error here, or too many failures", text);
        failures[failure_count++] = (struct failure){ (enum call)c, turn, errors[e].error };
        text += length + (text[length] == ',');
    }
}

static void seed(uint64_t value)
{
    now.seed = value;
    random_state = value;
}

static void take_environment(void)
{
    now.memory_bytes = from_environment("SELFSAME_CUDA_HOST_MEMORY", (uint64_t)4 << 30);
    now.shared_bytes = from_environment("SELFSAME_CUDA_HOST_SHARED", 99 << 10);
    now.lazy = from_environment("SELFSAME_CUDA_HOST_LAZY", 0) != 0;
    now.compute_mode = (int)from_environment("SELFSAME_CUDA_HOST_MODE", cudaComputeModeDefault);
    now.driver_version = (int)from_environment("SELFSAME_CUDA_HOST_DRIVER", CUDART_VERSION);
    now.protect = from_environment("SELFSAME_CUDA_HOST_PROTECT", 1) != 0;
    if (now.shared_bytes < BLOCK_SHARED_DEFAULT || now.shared_bytes > BLOCK_SHARED_LIMIT)
        host_fatal("a block has %d to %d bytes of shared memory", BLOCK_SHARED_DEFAULT, BLOCK_SHARED_LIMIT);
    seed(from_environment("SELFSAME_CUDA_HOST_SEED", 0));
    take_failures(getenv("SELFSAME_CUDA_HOST_FAIL"));
    ended = last = cudaSuccess;
}

static void report_at_exit(void)
{
    if (ended == cudaSuccess) {
        memory_report();
        work_report();
    }
}

static void take_lock(void)
{
    if (pthread_mutex_lock(&lock) != 0)
        host_fatal("called from a kernel, or after a signal ended one");
    if (!started) {
        started = 1;
        take_environment();
        atexit(report_at_exit);
    }
}

const struct settings *settings(void)
{
    return &now;
}

void cuda_host_seed(uint64_t value)
{
    take_lock();
    seed(value);
    pthread_mutex_unlock(&lock);
}

void cuda_host_memory(size_t bytes)
{
    take_lock();
    now.memory_bytes = bytes;
    pthread_mutex_unlock(&lock);
}

void cuda_host_shared(size_t bytes)
{
    take_lock();
    if (bytes < BLOCK_SHARED_DEFAULT || bytes > BLOCK_SHARED_LIMIT)
        host_fatal("a block has %d to %d bytes of shared memory", BLOCK_SHARED_DEFAULT, BLOCK_SHARED_LIMIT);
    now.shared_bytes = bytes;
    pthread_mutex_unlock(&lock);
}

void cuda_host_fail(const char *text)
{
    take_lock();
    take_failures(text);
    pthread_mutex_unlock(&lock);
}

void cuda_host_reset(void)
{
    take_lock();
    work_reset();
    memory_reset();
    device_reset();
    take_environment();
    pthread_mutex_unlock(&lock);
}

size_t cuda_host_objects(void)
{
    take_lock();
    size_t objects = memory_objects() + work_objects();
    pthread_mutex_unlock(&lock);
    return objects;
}

/* ---- calls and errors -------------------------------------------------------------------------------------------- */

cudaError_t call_enter(enum call call)
{
    take_lock();
    if (ended != cudaSuccess)
        return ended;
    calls[call]++;
    for (size_t i = 0; i < failure_count; i++) {
        if (failures[i].call == call && failures[i].turn == calls[call])
            return failures[i].error;
    }
    return cudaSuccess;
}

cudaError_t call_leave(cudaError_t error)
{
    for (size_t i = 0; ended == cudaSuccess && i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error && errors[i].ends) {
            ended = error;
            work_abandon();
        }
    }
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last = error;
    pthread_mutex_unlock(&lock);
    return error;
}

cudaError_t call_ended(void)
{
    return ended;
}

cudaError_t cudaPeekAtLastError(void)
{
    take_lock();
    cudaError_t error = ended != cudaSuccess ? ended : last;
    pthread_mutex_unlock(&lock);
    return error;
}

cudaError_t cudaGetLastError(void)
{
    take_lock();
    cudaError_t error = ended != cudaSuccess ? ended : last;
    last = cudaSuccess;
    pthread_mutex_unlock(&lock);
    return error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error)
            return errors[i].name;
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].error == error)
            return errors[i].text;
    }
    return "unrecognized error code";
}

/* Not in the table of calls: it works, and brings the card back, whatever happened. */
cudaError_t cudaDeviceReset(void)
{
    take_lock();
    work_reset();
    memory_reset();
    device_reset();
    ended = last = cudaSuccess;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* splitmix64. source   Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t order_random(uint64_t limit)
{
    return now.seed > 1 && limit > 1 ? next_random() % limit : 0;
}

size_t order_pick(size_t candidates)
{
    return now.seed == 0 ? 0 : now.seed == 1 ? candidates - 1 : (size_t)order_random(candidates);
}

void order_next(unsigned *order, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        order[i] = now.seed == 1 ? count - 1 - i : i;
    if (now.seed <= 1)
        return;
    for (unsigned i = count; i > 1; i--) {
        unsigned j = (unsigned)order_random(i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}
