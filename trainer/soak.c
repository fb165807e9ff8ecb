/* See soak.h. */
#include "trainer/soak.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/machine.h"

/* A check that is short is made again for this long, so that the cores compute and do not begin threads. */
static const double TURN_S = 0.2;

struct soak {
    const struct soak_options *options;
    const struct soak_data *data;
    struct soak_report *report;
    float answer[SOAK_PERIOD];
    double began_s;
    pthread_mutex_t lock; /* guards what follows, and the report */
    pthread_cond_t changed;
    size_t running;
    bool end; /* stop as soon as possible */
    enum status status;
    struct error error;
};

/* What one thread does: one kind of check by one engine, in one place. */
struct job {
    struct soak *soak;
    size_t engine, kind;
    int64_t core;        /* or SOAK_TOGETHER, SOAK_CARD */
    uint32_t core_index; /* of options->cores */
    pthread_t thread;
};

/* ---- the kinds of checks ----------------------------------------------------------------------------------------- */

/* From the smallest working set to the largest: vectors and networks in turn. */
static bool kind_is_vector(size_t kind)
{
    return kind % 2 == 0;
}

const char *soak_kind(const struct soak_options *options, size_t kind, char label[SOAK_LABEL_BYTES])
{
    if (kind_is_vector(kind)) {
        const size_t kib = options->vector_bytes[kind / 2] / 1024;
        snprintf(label, SOAK_LABEL_BYTES, "vectors, %zu %s", kib < 10240 ? kib : kib / 1024,
                 kib < 10240 ? "KiB" : "MiB");
    } else {
        const uint32_t batch = soak_networks[kind / 2].batch;
        snprintf(label, SOAK_LABEL_BYTES, "network of %u image%s", batch, batch == 1 ? "" : "s");
    }
    return label;
}

void soak_machine(struct soak_options *options)
{
    const size_t unit = SOAK_PERIOD * sizeof(float);
    options->core_count = machine_processor_numbers(options->cores, SOAK_CORES_MAX);
    if (options->core_count == 0)
        options->core_count = 1; /* the first one, whatever the system says */
    for (int level = 1; level <= 3; level++)
        options->vector_bytes[level - 1] = machine_cache_bytes(level) / 2;
    size_t bytes = 2 * machine_cache_bytes(3);
    const uint64_t share = machine_free_memory_bytes() / 4 / (options->core_count > 0 ? options->core_count : 1);
    if (share > 0 && bytes > share)
        bytes = (size_t)share;
    options->vector_bytes[SOAK_MEMORY] = bytes;
    for (int level = 0; level < SOAK_LEVELS; level++) {
        size_t *size = &options->vector_bytes[level];
        *size = *size < 4 * unit ? 4 * unit : *size / unit * unit;
    }
}

static bool is_reference(const struct soak_options *options, const struct soak_engine *engine)
{
    const struct soak_engine *reference = &options->reference;
    return engine->isa != NULL && reference->isa != NULL && strcmp(engine->isa, reference->isa) == 0;
}

/* An engine computes vectors once, not once for each arithmetic. The reference leaves out the largest network, on which
 * it takes seconds. */
static bool applies(const struct soak_options *options, size_t index, size_t kind)
{
    const struct soak_engine *engine = &options->engines[index];
    if (kind_is_vector(kind))
        return engine->operations->exercise != NULL && engine->arithmetic == ARITHMETIC_EXACT_1;
    return kind / 2 + 1 < SOAK_NETWORKS || !is_reference(options, engine);
}

/* ---- a job ------------------------------------------------------------------------------------------------------- */

static bool job_ends(void *context)
{
    struct job *job = context;
    pthread_mutex_lock(&job->soak->lock);
    const bool end = job->soak->end;
    pthread_mutex_unlock(&job->soak->lock);
    return end;
}

static void count(struct soak_count *count, bool wrong, double seconds)
{
    count->checks++;
    count->wrong += wrong;
    count->seconds += seconds;
}

static void note(struct job *job, bool wrong, double seconds, const char *what)
{
    struct soak_report *report = job->soak->report;
    pthread_mutex_lock(&job->soak->lock);
    count(&report->all, wrong, seconds);
    count(job->core >= 0               ? &report->cores[job->core_index]
          : job->core == SOAK_TOGETHER ? &report->together
                                       : &report->card,
          wrong, seconds);
    count(&report->engines[job->engine], wrong, seconds);
    count(&report->kinds[job->kind], wrong, seconds);
    if (wrong && report->fault_count < SOAK_FAULTS_MAX) {
        struct soak_fault *fault = &report->faults[report->fault_count++];
        *fault = (struct soak_fault){ .core = job->core,
                                      .engine = job->engine,
                                      .at_s = clock_seconds() - job->soak->began_s };
        snprintf(fault->what, sizeof fault->what, "%s", what);
    }
    pthread_mutex_unlock(&job->soak->lock);
}

/* Another core for the search of a tensor; -1: there is none. */
static int other_core(const struct job *job)
{
    const struct soak_options *options = job->soak->options;
    for (uint32_t i = 0; i < options->core_count; i++)
        if (job->core >= 0 && options->cores[i] != (uint32_t)job->core)
            return (int)options->cores[i];
    return -1;
}

/* Makes the check again until the turn is over, a fault is found, or the soak ends. */
static enum status repeat(struct job *job, struct error *error)
{
    const struct soak *soak = job->soak;
    const struct soak_options *options = soak->options;
    const struct soak_engine *engine = &options->engines[job->engine];
    struct engine *opened = NULL;
    struct network *network = NULL;
    float *values = NULL;
    size_t bytes = 0;
    enum status status = STATUS_OK;
    if (kind_is_vector(job->kind)) {
        bytes = options->vector_bytes[job->kind / 2];
        values = aligned_alloc(64, bytes);
        if (values == NULL)
            return error_out_of_memory(error, "%zu bytes to compute in", bytes);
        status = soak_vector_open(engine, &opened, &network, soak->data, error);
    }
    const double began = clock_seconds();
    double last = began;
    while (status == STATUS_OK && last - began < TURN_S && !job_ends(job)) {
        char what[SOAK_WHAT_BYTES] = "";
        if (kind_is_vector(job->kind))
            status = soak_vector_check(engine->operations, opened, values, bytes, soak->answer, what);
        else
            status = soak_network_check(engine, &soak_networks[job->kind / 2],
                                        job->core == SOAK_TOGETHER ? options->core_count : 1, soak->data,
                                        &options->reference, other_core(job), job_ends, job, what, error);
        const double now = clock_seconds();
        if (status == STATUS_OK || status == STATUS_NO)
            note(job, status == STATUS_NO, now - last, what);
        last = now;
    }
    if (opened != NULL)
        engine->operations->close(opened);
    network_close(network);
    free(values);
    return status == STATUS_NO || status == STATUS_INTERRUPTED ? STATUS_OK : status;
}

static void *run_job(void *context)
{
    struct job *job = context;
    struct soak *soak = job->soak;
    struct error error;
    enum status status = STATUS_OK;
    if (job->core >= 0)
        status = machine_pin_thread((uint32_t)job->core, &error);
    if (status == STATUS_OK)
        status = repeat(job, &error);
    pthread_mutex_lock(&soak->lock);
    if (status != STATUS_OK && soak->status == STATUS_OK) {
        soak->status = status;
        soak->error = error;
        soak->end = true;
    }
    soak->running--;
    pthread_cond_signal(&soak->changed);
    pthread_mutex_unlock(&soak->lock);
    return NULL;
}

/* ---- running jobs ------------------------------------------------------------------------------------------------ */

static void describe(const struct soak_options *options, const struct job *job, size_t jobs, char *label, size_t size)
{
    const struct soak_engine *engine = &options->engines[job->engine];
    char kind[SOAK_LABEL_BYTES], place[32];
    if (jobs > 1)
        snprintf(place, sizeof place, "all cores");
    else if (job->core >= 0)
        snprintf(place, sizeof place, "core %" PRId64, job->core);
    else
        snprintf(place, sizeof place, job->core == SOAK_CARD ? "card" : "all cores together");
    snprintf(label, size, "%s, %s in %s, %s", place, engine->isa != NULL ? engine->isa : engine->operations->name,
             arithmetic_version(engine->arithmetic), soak_kind(options, job->kind, kind));
}

static void wait_for_jobs(struct soak *soak, const char *label)
{
    const struct soak_options *options = soak->options;
    pthread_mutex_lock(&soak->lock);
    while (soak->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&soak->changed, &soak->lock, &until);
        const uint64_t checks = soak->report->all.checks, wrong = soak->report->all.wrong;
        pthread_mutex_unlock(&soak->lock);
        const double elapsed = clock_seconds() - soak->began_s;
        const bool stop = options->stop != NULL && options->stop(options->context);
        if (options->progress != NULL)
            options->progress(options->context, elapsed, checks, wrong, label);
        pthread_mutex_lock(&soak->lock);
        soak->report->stopped |= stop;
        soak->end |= stop || elapsed >= options->seconds;
    }
    pthread_mutex_unlock(&soak->lock);
}

/* Runs these jobs at once, each on a thread. False when the soak is to end. */
static bool run_jobs(struct soak *soak, struct job *jobs, size_t count)
{
    char label[2 * SOAK_LABEL_BYTES];
    size_t begun = 0;
    soak->running = count;
    describe(soak->options, jobs, count, label, sizeof label);
    for (; begun < count; begun++)
        if (pthread_create(&jobs[begun].thread, NULL, run_job, &jobs[begun]) != 0)
            break;
    if (begun < count) {
        pthread_mutex_lock(&soak->lock);
        soak->running -= count - begun;
        soak->end = true;
        soak->status =
            error_set(&soak->error, STATUS_ENVIRONMENT, "the system has no more threads: %zu of %zu run", begun, count);
        pthread_mutex_unlock(&soak->lock);
    }
    wait_for_jobs(soak, label);
    for (size_t i = 0; i < begun; i++)
        pthread_join(jobs[i].thread, NULL);
    return !soak->end;
}

/* One kind of check by one engine, in all its places. */
static bool run_everywhere(struct soak *soak, size_t engine, size_t kind, struct job *jobs)
{
    const struct soak_options *options = soak->options;
    const bool processor = options->engines[engine].isa != NULL;
    const struct job one = { .soak = soak, .engine = engine, .kind = kind, .core = SOAK_CARD };
    if (!processor) {
        jobs[0] = one;
        return run_jobs(soak, jobs, 1);
    }
    for (uint32_t i = 0; i < options->core_count; i++) {
        jobs[0] = one;
        jobs[0].core = options->cores[i];
        jobs[0].core_index = i;
        if (!run_jobs(soak, jobs, 1))
            return false;
    }
    if (options->core_count < 2)
        return true;
    for (uint32_t i = 0; i < options->core_count; i++) {
        jobs[i] = one;
        jobs[i].core = options->cores[i];
        jobs[i].core_index = i;
    }
    if (!run_jobs(soak, jobs, options->core_count))
        return false;
    if (kind_is_vector(kind))
        return true;
    jobs[0] = one;
    jobs[0].core = SOAK_TOGETHER;
    return run_jobs(soak, jobs, 1);
}

static bool run_round(struct soak *soak, struct job *jobs)
{
    for (size_t kind = 0; kind < SOAK_KINDS; kind++)
        for (size_t engine = 0; engine < soak->options->engine_count; engine++)
            if (applies(soak->options, engine, kind) && !run_everywhere(soak, engine, kind, jobs))
                return false;
    return true;
}

enum status soak_run(const struct soak_options *options, const struct soak_data *data, struct soak_report *report,
                     struct error *error)
{
    struct soak soak = { .options = options, .data = data, .report = report, .began_s = clock_seconds() };
    memset(report, 0, sizeof *report);
    enum status status = soak_vector_answer(soak.answer, error);
    if (status != STATUS_OK)
        return status;
    struct job *jobs = calloc(options->core_count > 0 ? options->core_count : 1, sizeof *jobs);
    if (jobs == NULL)
        return error_out_of_memory(error, "%u jobs", options->core_count);
    pthread_mutex_init(&soak.lock, NULL);
    pthread_cond_init(&soak.changed, NULL);
    while (run_round(&soak, jobs))
        report->rounds++;
    pthread_cond_destroy(&soak.changed);
    pthread_mutex_destroy(&soak.lock);
    free(jobs);
    report->seconds = clock_seconds() - soak.began_s;
    if (soak.status != STATUS_OK)
        *error = soak.error;
    return soak.status;
}
